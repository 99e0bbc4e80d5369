"""Documents: MDM, with their content, states, and what an addendum, an edit and a replacement do."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator

VALIDATOR = Validator(load())
PID = "PID|1||P1^^^GOOD^MR||DOE^JANE||19800101|F"
PV1 = "PV1|1|I|W1||||||||||||||||V1^^^GOOD^VN"


@pytest.fixture
def made(translate: Any, write: Any) -> Any:
    """The documents of a message: TXA with the given fields, and what follows it."""

    def run(trigger: str, *others: str, before: tuple[str, ...] = (), **fields: str) -> Any:
        head = f"MSH|^~\\&|DICT|GOOD|HP|HUB|20260301083000+0100||MDM^{trigger}|D0001|P|2.5.1"
        document = write("TXA", **({"f1": "1", "f2": "DS^Discharge summary^L", "f12": "DOC2^DICT"} | fields))
        found = translate((head, f"EVN|{trigger}|20260301083000+0100", PID, PV1, *before, document, *others))
        for change in found.translation.changes:
            assert VALIDATOR.check(decode(encode(change.resource))) == ()
        return found

    return run


def about(found: Any, number: str) -> Any:
    """Return the document of a number."""
    return next(one for one in found.all("DocumentReference") if one["masterIdentifier"]["value"] == number)


def test_all_lines_of_text_are_one_attachment_with_the_name_of_each_part(made: Any) -> None:
    found = made(
        "T02",
        "OBX|1|TX|HIST^History^L||First line~second line||||||F",
        "OBX|2|TX|HIST^History^L||||||||F",
        "OBX|3|FT|FIND^Findings^L||third\\.br\\fourth||||||F",
        f3="TX",
        f25="Summary",
    )
    document = found.one("DocumentReference")
    (content,) = document["content"]
    assert (
        b64decode(content["attachment"]["data"]).decode() == "History\nFirst line\nsecond line\nFindings\nthird\nfourth"
    )
    assert (content["attachment"]["contentType"], content["attachment"]["title"]) == ("text/plain", "Summary")
    assert found.source("DocumentReference", "content[0].attachment.data") == {
        "OBX-3",
        "OBX-5",
        "OBX-5[2]",
        "OBX[3]-3",
        "OBX[3]-5",
    }
    assert found.all("Observation") == []
    assert document["subject"]["reference"].startswith("Patient/")
    assert document["context"]["encounter"] == [{"reference": f"Encounter/{found.one('Encounter')['id']}"}]


def test_data_and_pointers_are_attachments_of_their_own(made: Any) -> None:
    document = made(
        "T02",
        "OBX|1|TX|T||See attached||||||F",
        "OBX|2|ED|P||^AP^PDF^Base64^JVBERi0=||||||F",
        "OBX|3|RP|U||http://images.example/1^PACS^IM^JPEG||||||F",
        "OBX|4|ED|E||^application^pdf^Base64^||||||F",
    ).one("DocumentReference")
    kinds = [one["attachment"]["contentType"] for one in document["content"]]
    assert kinds == ["text/plain", "application/pdf", "image/jpeg", "application/pdf"]
    assert document["content"][1]["attachment"]["data"] == "JVBERi0="
    assert document["content"][2]["attachment"]["url"] == "http://images.example/1"


def test_a_value_that_is_no_text_is_an_observation_of_its_own(made: Any) -> None:
    found = made(
        "T02", "OBX|1|TX|T||Weight below||||||F", "OBX|2|NM|29463-7^Weight^LN||70|kg^^UCUM|||||F", "NTE|1||scale"
    )
    assert found.one("Observation")["valueQuantity"]["value"] == 70
    assert found.one("Observation")["note"][0]["text"] == "scale"
    assert len(found.one("DocumentReference")["content"]) == 1


@pytest.mark.parametrize(
    ("trigger", "code", "status", "kept"),
    [
        ("T01", "", "current", False),
        ("T02", "AV", "current", False),
        ("T02", "OB", "superseded", False),
        ("T03", "CA", "entered-in-error", False),
        ("T03", "", "current", True),
        ("T04", "UN", "current", False),
        ("T11", "AV", "entered-in-error", False),
    ],
)
def test_the_status_is_what_the_event_and_the_availability_say(
    made: Any, trigger: str, code: str, status: str, kept: bool
) -> None:
    found = made(trigger, f19=code)
    document = found.one("DocumentReference")
    assert document["status"] == status
    assert ("status" in found.change("DocumentReference").keep) is kept
    if code not in ("", "AV") and trigger != "T11":
        assert document["_status"]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == code


@pytest.mark.parametrize(
    ("trigger", "code", "status"),
    [
        ("T02", "DI", "preliminary"),
        ("T02", "AU", "final"),
        ("T04", "LA", "final"),
        ("T08", "AU", "amended"),
        ("T11", "AU", "entered-in-error"),
    ],
)
def test_a_document_is_as_complete_as_its_authentication(made: Any, trigger: str, code: str, status: str) -> None:
    assert made(trigger, f17=code).one("DocumentReference")["docStatus"] == status


@pytest.mark.parametrize(
    ("trigger", "relation", "before"),
    [
        ("T05", "appends", "current"),
        ("T06", "appends", "current"),
        ("T08", "replaces", "current"),
        ("T09", "replaces", "superseded"),
        ("T10", "replaces", "superseded"),
    ],
)
def test_a_document_says_what_it_does_to_its_parent(made: Any, trigger: str, relation: str, before: str) -> None:
    found = made(trigger, "OBX|1|TX|T||More||||||F", f13="DOC1^DICT")
    document, parent = about(found, "DOC2"), about(found, "DOC1")
    assert document["relatesTo"] == [{"code": relation, "target": {"reference": f"DocumentReference/{parent['id']}"}}]
    assert (document["status"], parent["status"]) == ("current", before)
    change = next(one for one in found.translation.changes if one.id == parent["id"])
    assert {"content", "subject"} <= change.keep
    assert ("status" in change.keep) is (before == "current")
    first = made("T02", "OBX|1|TX|T||Text||||||F", f12="DOC1^DICT").one("DocumentReference")
    assert first["id"] == parent["id"]


def test_a_notification_leaves_the_stored_content(made: Any) -> None:
    assert "content" in made("T03", f3="TX").change("DocumentReference").keep
    assert "content" not in made("T04", "OBX|1|TX|T||Text||||||F").change("DocumentReference").keep


@pytest.mark.parametrize(
    ("code", "label", "access"), [("V", "V", ["V"]), ("R", "R", ["R"]), ("U", "N", []), ("UC", "N", [])]
)
def test_a_confidential_document_is_labelled_where_access_is_decided(
    made: Any, code: str, label: str, access: list[str]
) -> None:
    document = made("T02", f18=code).one("DocumentReference")
    (made_label,) = document["securityLabel"]
    assert [one["code"] for one in made_label["coding"]] == [code, label]
    assert [one["code"] for one in document.get("meta", {}).get("security", ())] == access


def test_who_authenticated_is_told_with_the_time(made: Any) -> None:
    found = made("T02", f10="D9^TOBE^ANN", f17="LA", f22="D1^HOUSE^GREG^^^^^^^^^^^^20260301080000+0100~D2^WILSON^JIM")
    document = found.one("DocumentReference")
    attesters = [one for one in document["extension"] if one["url"].endswith(".attester")]
    inner = [{part["url"]: part for part in one["extension"]} for one in attesters]
    assert [one["party"]["valueReference"]["display"] for one in inner] == ["GREG HOUSE", "JIM WILSON"]
    assert inner[0]["time"]["valueDateTime"] == "2026-03-01T08:00:00+01:00"
    assert inner[0]["mode"]["valueCodeableConcept"]["coding"][0]["code"] == "legal"
    assert document["authenticator"]["display"] == "GREG HOUSE"
    alone = made("T02", f10="D9^TOBE^ANN").one("DocumentReference")
    assert alone["authenticator"]["display"] == "ANN TOBE"


def test_a_document_is_of_its_orders(made: Any) -> None:
    order = ("ORC|NW|O1^CLINIC|F1^LAB", "OBR|1|O1^CLINIC|F1^LAB|24627-2^CT chest^LN")
    found = made("T02", before=order, f14="O1^CLINIC", f15="F9^LAB")
    related = found.one("DocumentReference")["context"]["related"]
    assert related[0] == {"reference": f"ServiceRequest/{found.one('ServiceRequest')['id']}"}
    assert related[1]["identifier"]["value"] == "F9"
    assert len(related) == 2


def test_a_document_about_results_is_of_their_report_too(made: Any) -> None:
    request = "OBR|1|O1^CLINIC|F1^LAB|24627-2^CT chest^LN|||20260301080000+0100|||||||||||||||20260301090000+0100|||F"
    found = made("T02", before=("ORC|SC|O1^CLINIC|F1^LAB", request))
    report = found.one("DiagnosticReport")
    assert (report["status"], report["issued"]) == ("final", "2026-03-01T09:00:00+01:00")
    related = [one["reference"].split("/")[0] for one in found.one("DocumentReference")["context"]["related"]]
    assert related == ["ServiceRequest", "DiagnosticReport"]


def test_a_mere_date_of_origin_is_kept_as_a_date(made: Any) -> None:
    document = made("T02", f6="20260228").one("DocumentReference")
    assert "date" not in document
    (origin,) = [one for one in document["extension"] if one["url"].endswith("origination-date")]
    assert origin["valueDateTime"] == "2026-02-28"
    assert made("T02", f6="20260228101500+0100").one("DocumentReference")["date"] == "2026-02-28T10:15:00+01:00"


def test_a_note_is_no_part_of_the_document(made: Any) -> None:
    document = made("T02", "OBX|1|TX|T||Text||||||F", "NTE|1||Typed twice||D1^HOUSE^GREG").one("DocumentReference")
    assert b64decode(document["content"][0]["attachment"]["data"]) == b"Text"
    (note,) = [one["valueAnnotation"] for one in document["extension"] if "valueAnnotation" in one]
    assert (note["text"], note["authorReference"]["display"]) == ("Typed twice", "GREG HOUSE")


def test_an_edit_is_a_provenance_of_the_document(made: Any) -> None:
    found = made(
        "T08", f8="20260228100000+0100~20260301080000+0100", f9="D1^HOUSE^GREG", f21="Typing error", f23="D2^WILSON^JIM"
    )
    edit = found.one("Provenance")
    assert edit["target"] == [{"reference": f"DocumentReference/{found.one('DocumentReference')['id']}"}]
    assert (edit["recorded"], edit["reason"]) == ("2026-03-01T08:00:00+01:00", [{"text": "Typing error"}])
    assert [one["type"]["coding"][0]["code"] for one in edit["agent"]] == ["author", "IRCP"]
    assert found.source("Provenance", "recorded") == {"TXA-8[2]"}
