"""Who sent what to whom: the header, the sender's words for the Provenance, the message itself, answers and errors."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from hawsepipe import RawMessage, Translation, visibility
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator
from hawsepipe_hl7v2.bundles import bundle
from hawsepipe_hl7v2.translator import Hl7v2Translator

PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"
VALIDATOR = Validator(load())


def read(*segments: str, **settings: Any) -> Translation:
    body = "\r".join(segments).encode()
    translation = Hl7v2Translator(settings).read(
        RawMessage("adt", datetime(2026, 3, 1, tzinfo=UTC), "application/hl7-v2", body)
    )
    made = bundle(translation)
    found = [issue for issue in VALIDATOR.check(decode(encode(made))) if issue.severity in ("error", "fatal")]
    assert found == []
    return translation


def header(translation: Translation) -> dict[str, Any]:
    assert translation.header is not None
    return translation.header


def told(translation: Translation) -> dict[str, Any]:
    assert translation.provenance is not None
    return translation.provenance


def extension(resource: dict[str, Any], name: str) -> list[Any]:
    """The values of an extension of ours."""
    found = [item for item in resource.get("extension", []) if item["url"] == f"urn:hawsepipe:extension:{name}"]
    return [value for item in found for key, value in item.items() if key.startswith("value")]


def sources(translation: Translation, resource: str, path: str) -> set[str]:
    return {one.source for one in translation.trail if one.resource.startswith(resource) and one.path == path}


def test_the_header_says_who_sent_what_to_whom(write: Any) -> None:
    made = read(
        write(
            "MSH",
            f1="^~\\&",
            f2="APP^2.999.1^ISO",
            f3="GOOD^2.999.2^ISO",
            f4="HP^lab.example^DNS",
            f5="HUB",
            f6="20260301083000+0000",
            f7="hush",
            f8="ADT^A01^ADT_A01",
            f9="M1",
            f10="T^I",
            f11="2.5.1^USA&&ISO3166_1",
            f12="17",
            f16="USA",
            f17="UNICODE UTF-8",
            f18="en-GB^English",
            f20="PROFILE^^2.999.9^ISO~OTHER",
            f21="Good Trust^^T1^^^GOOD",
            f22="Hub Trust^^T2^^^HUB",
            f25="R^restricted^http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
            f26="REDACT^redact^http://terminology.hl7.org/CodeSystem/v3-ActCode",
        ),
        PID,
    )
    one = header(made)
    assert one["eventCoding"] == {
        "system": "http://terminology.hl7.org/CodeSystem/v2-0003",
        "code": "A01",
        "display": "ADT^A01^ADT_A01",
    }
    assert (one["source"]["name"], one["source"]["endpoint"]) == ("APP", "urn:oid:2.999.1")
    (destination,) = one["destination"]
    assert (destination["name"], destination["endpoint"]) == ("HP", "urn:dns:lab.example")
    known = {f"{change.type}/{change.id}": change.resource or {} for change in made.changes}
    assert known[destination["receiver"]["reference"]]["name"] == "Hub Trust"
    assert known[destination["target"]["reference"]]["identifier"][1]["value"] == "urn:dns:lab.example"
    sender = known[one["sender"]["reference"]]
    assert [item["value"] for item in sender["identifier"]] == ["GOOD", "urn:oid:2.999.2"]
    assert sender["address"] == [{"country": "USA"}]
    assert known[one["responsible"]["reference"]]["name"] == "Good Trust"
    assert [tag["code"] for tag in one["meta"]["tag"]] == ["T", "I"]
    assert [label.get("code", label.get("display")) for label in one["meta"]["security"]] == ["hush", "R", "REDACT"]
    assert one["language"] == "en-GB"
    assert extension(one, "message-time") == ["2026-03-01T08:30:00+00:00"]
    assert extension(one, "message-control-id") == [{"system": "urn:hawsepipe:facility:GOOD:message", "value": "M1"}]
    assert [coding["code"] for coding in extension(one, "version-id")[0]["coding"]] == ["2.5.1", "USA"]
    assert extension(one, "sequence-number") == ["17"]
    assert [item["value"] for item in extension(one, "message-profile")] == ["PROFILE", "OTHER"]
    assert [known[about["reference"]]["resourceType"] for about in one["focus"]] == ["Patient"]
    assert sources(made, "MessageHeader", "eventCoding.code") == {"MSH-9.2"}
    assert sources(made, "MessageHeader", "meta.tag[1].code") == {"MSH-11.2"}


def test_an_application_without_an_address_has_an_endpoint_that_is_absent(samples: Any) -> None:
    one = header(read(*samples["admission"]))
    assert one["source"]["_endpoint"]["extension"][0]["valueCode"] == "unknown"
    assert "destination" not in header(read("MSH|^~\\&|APP|GOOD|||20260301||ADT^A28|M1|P|2.5", PID))


def test_the_header_is_no_part_of_the_record(samples: Any) -> None:
    made = read(*samples["admission"])
    assert "MessageHeader" not in {change.type for change in made.changes}
    assert "MessageHeader" in {entry["resource"]["resourceType"] for entry in bundle(made)["entry"]}


@pytest.mark.parametrize(("name", "focus"), [("admission", "Patient"), ("result", "DiagnosticReport")])
def test_the_header_points_to_what_the_message_is_about(samples: Any, name: str, focus: str) -> None:
    made = read(*samples[name])
    about = {f"{change.type}/{change.id}" for change in made.changes if change.type == focus}
    assert {one["reference"] for one in header(made)["focus"]} == about


def test_the_senders_words_say_when_why_where_and_by_whom(write: Any) -> None:
    event = write(
        "EVN",
        f1="A01",
        f2="20260301083100+0000",
        f3="20260301090000+0000",
        f4="01",
        f5="D77^WELBY^MARCUS",
        f6="20260301082500+0000",
        f7="GOOD^2.999.2^ISO",
    )
    made = read("MSH|^~\\&|APP|GOOD|HP|HUB|20260301083000+0000||ADT^A01|M1|P|2.5", event, PID)
    words = told(made)
    assert (words["recorded"], words["occurredDateTime"]) == ("2026-03-01T08:31:00+00:00", "2026-03-01T08:25:00+00:00")
    assert words["reason"][0]["coding"][0]["code"] == "PATRQT"
    roles = [agent["type"]["coding"][0]["code"] for agent in words["agent"]]
    assert roles == ["author", "enterer"]
    known = {f"{change.type}/{change.id}": change.resource or {} for change in made.changes}
    assert known[words["agent"][0]["who"]["reference"]]["identifier"][0]["value"] == "GOOD"
    assert known[words["agent"][1]["who"]["reference"]]["name"][0]["family"] == "WELBY"
    assert known[words["location"]["reference"]]["name"] == "GOOD"
    assert extension(words, "planned") == ["2026-03-01T09:00:00+00:00"]
    assert sources(made, "Provenance", "recorded") == {"EVN-2"}
    assert sources(made, "Provenance", "occurredDateTime") == {"EVN-6"}
    assert sources(made, "Provenance", "activity.coding[0].code") == {"MSH-9.2"}


def test_without_an_event_the_message_time_counts_and_a_time_in_no_zone_is_kept_beside() -> None:
    zoned = told(read("MSH|^~\\&|APP|GOOD|||20260301083000+0000||ADT^A28|M1|P|2.5", PID))
    assert (zoned["recorded"], zoned["occurredDateTime"]) == ("2026-03-01T08:30:00+00:00",) * 2
    local = told(read("MSH|^~\\&|APP|GOOD|||20260301083000||ADT^A28|M1|P|2.5", PID))
    assert "recorded" not in local
    (kept,) = local["_recorded"]["extension"]
    assert kept["valueDateTime"] == "2026-03-01"
    assert kept["_valueDateTime"]["extension"][0]["valueString"] == "20260301083000"
    assert local["occurredDateTime"] == "2026-03-01"


def test_the_message_is_kept_byte_for_byte_sealed_and_named_as_the_source(samples: Any) -> None:
    body = "\r".join(samples["admission"]).encode()
    made = read(*samples["admission"])
    (document,) = [change.resource or {} for change in made.changes if change.type == "DocumentReference"]
    attachment = document["content"][0]["attachment"]
    assert base64.b64decode(attachment["data"]) == body
    assert attachment["contentType"] == "application/hl7-v2"
    assert document["meta"]["security"] == [dict(zip(("system", "code"), visibility.SEALED, strict=True))]
    patients = [change.id for change in made.changes if change.type == "Patient"]
    assert document["subject"] == {"reference": f"Patient/{patients[0]}"}
    assert told(made)["entity"][0]["what"] == {"reference": f"DocumentReference/{document['id']}"}


def test_a_setting_keeps_no_message(samples: Any) -> None:
    made = read(*samples["admission"], original="none")
    assert [change for change in made.changes if change.type == "DocumentReference"] == []
    assert "entity" not in told(made)


def test_the_update_of_a_patient_by_a_facility_is_a_provenance_of_its_own(write: Any) -> None:
    patient = write("PID", f3="MRN1^^^GOOD^MR", f5="DOE", f33="20260228120000+0000", f34="OLD")
    made = read("MSH|^~\\&|APP|GOOD|||20260301083000+0000||ADT^A28|M1|P|2.5", patient)
    (update,) = [change.resource or {} for change in made.changes if change.type == "Provenance"]
    (about,) = [change.id for change in made.changes if change.type == "Patient"]
    assert update["target"] == [{"reference": f"Patient/{about}"}]
    assert update["occurredDateTime"] == update["recorded"] == "2026-02-28T12:00:00+00:00"
    assert update["agent"][0]["who"]["display"] == "OLD"
    assert told(made)["occurredDateTime"] == "2026-03-01T08:30:00+00:00"


def test_the_senders_software_is_a_device_and_the_source_of_the_header() -> None:
    software = "SFT|Acme^L^^^^^^^^A1|4.2|Ward|bin-7|notes|20250101"
    made = read("MSH|^~\\&|APP|GOOD|||20260301083000+0000||ADT^A28|M1|P|2.5", software, PID)
    assert (header(made)["source"]["software"], header(made)["source"]["version"]) == ("Ward", "4.2")
    devices = [change.resource or {} for change in made.changes if change.type == "Device"]
    (device,) = [one for one in devices if "manufacturer" in one]
    assert device["manufacturer"] == "Acme"
    assert device["deviceName"] == [{"name": "Ward", "type": "manufacturer-name"}]
    assert device["version"][0]["value"] == "4.2"
    assert device["version"][0]["extension"][0]["valueDateTime"] == "2025-01-01"
    assert (device["modelNumber"], device["note"]) == ("bin-7", [{"text": "notes"}])


def test_a_credential_is_taken_over_nowhere() -> None:
    credential = "UAC|SAML^^HL70615|^application^xml^A^secret-token"
    made = read("MSH|^~\\&|APP|GOOD|||20260301||ADT^A28|M1|P|2.8", credential, PID, original="none")
    assert b"secret-token" not in encode(bundle(made))
    assert [issue.text for issue in made.issues if issue.location == "UAC"] == [
        "a credential is not taken over, and is left out of the copy of the message"
    ]


ACK = "MSH|^~\\&|HP|HUB|APP|GOOD|20260301083001+0000||ACK^A01^ACK|R1|P|2.5.1"


@pytest.mark.parametrize(
    ("code", "condition", "meaning"),
    [
        ("AA", "", "ok"),
        ("CA", "", "ok"),
        ("AE", "101", "fatal-error"),
        ("AR", "200", "fatal-error"),
        ("AR", "207", "transient-error"),
    ],
)
def test_an_answer_names_what_it_answers_and_how(write: Any, code: str, condition: str, meaning: str) -> None:
    errors = [write("ERR", f2="PID^1^3^2^4", f3=f"{condition}^what^HL70357", f4="E", f8="seen")] if condition else []
    made = read(ACK, f"MSA|{code}|M1|as you say", *errors)
    response = header(made)["response"]
    assert (response["code"], response["identifier"]) == (meaning, "M1")
    kept = response["_code"]["extension"][0]["valueCodeableConcept"]["coding"][0]
    assert kept["code"] == code
    outcome = header(made)["contained"][0]
    assert outcome["issue"][0]["diagnostics"] == "as you say"
    if condition:
        assert outcome["issue"][1]["location"] == ["PID-3[2].4"]
        assert outcome["issue"][1]["details"]["coding"][0]["code"] == condition
        assert outcome["issue"][1]["details"]["text"] == "seen"


def test_errors_as_written_until_2_4_are_issues_too() -> None:
    made = read(ACK.replace("2.5.1", "2.3"), "MSA|AE|M 1", "ERR|PID^1^3^101&required&HL70357~OBX^2^5^102")
    one = header(made)
    assert "identifier" not in one["response"]
    assert one["response"]["_identifier"]["extension"][0]["valueString"] == "M 1"
    issues = one["contained"][0]["issue"]
    assert [issue["location"] for issue in issues] == [["PID-3"], ["OBX[2]-5"]]
    assert [issue["code"] for issue in issues] == ["required", "value"]


def test_what_the_sender_classifies_is_classified_with_all_that_the_message_tells(write: Any, samples: Any) -> None:
    head = samples["admission"][0].split("|")
    head += [""] * (27 - len(head))
    head[25] = "r^restricted"
    made = read("|".join(head), *samples["admission"][1:])
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R", "display": "restricted"}
    labelled = {
        change.type for change in made.changes if label in (change.resource or {}).get("meta", {}).get("security", [])
    }
    assert labelled >= {"Patient", "Encounter", "Condition", "AllergyIntolerance", "Coverage"}
    assert not labelled & {"Practitioner", "Location", "Organization", "Device"}
    assert label in header(made)["meta"]["security"]
    assert sources(made, "Encounter", "meta.security[0].code") == {"MSH-26.1"}


def test_errors_without_an_answer_are_an_answer_to_nobody_knows_what() -> None:
    response = header(read(ACK, "ERR|||207^Application error^HL70357|E"))["response"]
    assert response["code"] == "fatal-error"
    assert "_identifier" in response
