"""The adapter's public door: translate, bundle, split."""

from __future__ import annotations

import re
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import hawsepipe_hl7v2
from hawsepipe import ConfigError, MessageError, RawMessage, Severity
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator
from hawsepipe_hl7v2 import bundle, split, translate, translator

NAMES = ["admission", "result", "vaccination", "merge"]
VALIDATOR = Validator(load())
README = (Path(__file__).resolve().parents[2] / "adapters" / "README.md").read_text(encoding="utf-8")


def body(samples: Any, name: str) -> bytes:
    return "\r".join(samples[name]).encode()


def entries(made: dict[str, Any], type_: str) -> list[dict[str, Any]]:
    return [entry for entry in made["entry"] if entry.get("resource", {}).get("resourceType") == type_]


def test_the_door_offers_what_it_promises_and_the_readme_tells_each() -> None:
    assert hawsepipe_hl7v2.__all__ == sorted(hawsepipe_hl7v2.__all__)
    for name in hawsepipe_hl7v2.__all__:
        assert callable(getattr(hawsepipe_hl7v2, name))
        assert f"`{name}(" in README


def test_the_example_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(textwrap.dedent(example), "README.md", "exec"), {})


@pytest.mark.parametrize("name", NAMES)
def test_bytes_and_raw_messages_give_the_same_from_any_thread(samples: Any, name: str) -> None:
    message = body(samples, name)
    first = encode(bundle(translate(message)))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: encode(bundle(translate(message))), range(64))) == {first}
    raw = RawMessage("feed", hawsepipe_hl7v2.library._SOME_TIME, "application/hl7-v2", message)
    assert encode(bundle(translator().read(raw))) == first


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_valid_whole_and_resolves_within_itself(samples: Any, name: str) -> None:
    made = bundle(translate(body(samples, name)))
    assert [issue for issue in VALIDATOR.check(decode(encode(made))) if issue.severity in ("error", "fatal")] == []
    assert made["type"] == "transaction"
    urls = [entry["fullUrl"] for entry in made["entry"]]
    assert len(set(urls)) == len(urls)
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", url) for url in urls)
    references = set(re.findall(r'"reference":"([^"#][^"]*)"', encode(made).decode()))
    assert references <= set(urls)


def test_who_is_known_by_an_identifier_is_met_by_it(samples: Any) -> None:
    made = bundle(translate(body(samples, "admission")))
    (patient,) = entries(made, "Patient")
    assert patient["request"] == {"method": "PUT", "url": "Patient?identifier=urn:hawsepipe:authority:GOOD|MRN1"}
    doctors = [entry["request"] for entry in entries(made, "Practitioner")]
    assert doctors[0] == {
        "method": "POST",
        "url": "Practitioner",
        "ifNoneExist": "identifier=urn:hawsepipe:authority:GOOD|D77",
    }
    (condition,) = entries(made, "Condition")
    assert condition["request"]["url"] == f"Condition/{condition['resource']['id']}"
    # A result knows the patient by the way: it must not overwrite what is there.
    (patient,) = entries(bundle(translate(body(samples, "result"))), "Patient")
    assert patient["request"]["method"] == "POST"


def test_what_a_search_takes_for_syntax_is_escaped_in_a_condition() -> None:
    message = b"MSH|^~\\&|A|B|||20260301||ADT^A28|1|P|2.5\rPID|1||a,b$c d^^^A+B^MR||DOE\r"
    (patient,) = entries(bundle(translate(message)), "Patient")
    assert patient["request"]["url"] == "Patient?identifier=urn:hawsepipe:authority:A%252BB|a%5C%2Cb%5C%24c%20d"


def test_the_bundle_has_the_messages_id_and_time_and_one_provenance_of_all_it_made(samples: Any) -> None:
    made = bundle(translate(body(samples, "admission")))
    assert made["identifier"] == {"system": "urn:hawsepipe:facility:GOOD:message", "value": "M0001"}
    assert made["timestamp"] == "2026-03-01T08:30:00+00:00"
    (provenance,) = [entry["resource"] for entry in entries(made, "Provenance")]
    targets = {target["reference"] for target in provenance["target"]}
    sources = {entry["fullUrl"] for type_ in ("MessageHeader", "DocumentReference") for entry in entries(made, type_)}
    assert targets == {entry["fullUrl"] for entry in made["entry"]} - sources - {made["entry"][-1]["fullUrl"]}
    assert provenance["recorded"] == "2026-03-01T08:30:00+00:00"
    assert [agent["type"]["coding"][0]["code"] for agent in provenance["agent"]] == ["assembler", "author"]


def test_settings_are_those_of_the_kind(samples: Any, tmp_path: Path) -> None:
    local = b"MSH|^~\\&|A|B|||20260301||ADT^A28|1|P|2.5\rPID|1||M1||DOE||||||||||||||||||||||||20260201100000|Y\r"
    (patient,) = entries(bundle(translate(local, timezone="Europe/Berlin")), "Patient")
    assert patient["resource"]["deceasedDateTime"] == "2026-02-01T10:00:00+01:00"
    with pytest.raises(ConfigError):
        translate(local, timezone="Middle/Earth")
    (tmp_path / "b.toml").write_text('timezone = "Asia/Tokyo"\n[sender]\nfacility = "B"\n', encoding="utf-8")
    (patient,) = entries(bundle(translate(local, overlays=tmp_path)), "Patient")
    assert patient["resource"]["deceasedDateTime"] == "2026-02-01T10:00:00+09:00"


HEAD = b"MSH|^~\\&|A|B|C|D|20260301083000+0000||ADT^A28|1|P|2.5.1"
PID = b"PID|1||M1^^^GOOD^MR||DOE^JANE"


def read(message: bytes) -> tuple[dict[str, Any], set[tuple[str, str]]]:
    """The patient, and the cause and location of each error."""
    translation = translate(message)
    assert [issue for issue in VALIDATOR.check(decode(encode(bundle(translation)))) if issue.severity == "error"] == []
    found = {(one.cause, one.location) for one in translation.issues if one.severity is Severity.ERROR}
    patients = [change.resource or {} for change in translation.changes if change.type == "Patient"]
    return (patients or [{}])[0], found


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (HEAD.replace(b"\\&", b"\\\\&") + b"\r" + PID, ("parse", "MSH-2")),
        (HEAD.replace(b"^~\\&", b"^~\\") + b"\r" + PID, ("parse", "MSH-2")),
        (HEAD.replace(b"^~\\&", b"") + b"\r" + PID, ("parse", "MSH-2")),
        (HEAD + b"||||||KLINGON\r" + PID, ("parse", "MSH-18")),
        (HEAD + b"\r" + PID + b"^\xfc", ("parse", "MSH-18")),
        (HEAD + b"\r0ID|2||M2\r" + PID, ("parse", "MSH")),
        (HEAD + b"\r" + PID + b"\r" + HEAD + b"\r" + PID, ("structure", "MSH[2]")),
        (HEAD + b"\r" + PID + b"\rNTE|1||" + b"&" * 1001, ("structure", "NTE-3")),
        (HEAD + b"\r" + PID + b"\rNTE|1||" + b"~" * 1001, ("structure", "NTE-3")),
        (HEAD + b"\r" + PID + b"\rZZZ" + b"|" * 1001 + b"x", ("structure", "ZZZ")),
        (HEAD + b"\r" + PID + b"\rNTE|1" * 10_001, ("structure", "NTE[9999]")),
        ((HEAD + b"\r" + PID).decode().encode("utf-16"), ("parse", "MSH")),
        ((HEAD + b"\r" + PID).decode().encode("utf-16-le"), ("parse", "MSH")),
    ],
)
def test_what_is_damaged_is_told_and_the_rest_is_read(message: bytes, fault: tuple[str, str]) -> None:
    patient, found = read(message)
    assert found == {fault}
    assert patient["name"][0]["family"] == "DOE"
    with pytest.raises(MessageError) as caught:
        translator().translate(RawMessage("f", hawsepipe_hl7v2.library._SOME_TIME, "application/hl7-v2", message))
    assert (caught.value.cause, caught.value.location) == fault


def test_a_line_break_inside_a_value_stays_in_it() -> None:
    head = HEAD.replace(b"ADT^A28", b"ORU^R01")
    message = head + b"\r" + PID + b"\rOBR|1||F1|X^Panel|||20260301\rOBX|1|TX|N^Note||first line\nsecond line||||||F"
    translation = translate(message)
    (result,) = [change.resource or {} for change in translation.changes if change.type == "Observation"]
    assert result["valueString"] == "first line\nsecond line"
    assert result["status"] == "final"
    errors = [one.location for one in translation.issues if one.severity is Severity.ERROR]
    assert errors == ["OBX"]


@pytest.mark.parametrize(
    "message", [b"MSH", b"MSH|", b"MSH|^~\\&", b"MSHABC", b"MSH\0", b"MSH\x01^~\\&\x01", b"\xef\xbb\xbfMSH||"]
)
def test_anything_that_begins_with_an_msh_gives_an_answer(message: bytes) -> None:
    translation = translate(message)
    assert translation.header is not None
    assert any(one.severity is Severity.ERROR for one in translation.issues)


@pytest.mark.parametrize("message", [b"", b"PID|1", b"{}", b"FHS|^~\\&\rMSH|^~\\&|A"])
def test_what_does_not_is_no_message(message: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        translate(message)
    assert (caught.value.cause, caught.value.location) == ("structure", "MSH")


def test_a_file_is_split_into_its_messages() -> None:
    one, two = HEAD + b"\r" + PID, HEAD.replace(b"|1|P|", b"|2|P|") + b"\r" + PID
    assert list(split([one + b"\r" + two[:20], two[20:]])) == [one, two]
    assert list(split([b"FHS|^~\\&\rBHS|^~\\&\r" + one + b"\r" + two + b"\rBTS|2\rFTS|1\r"])) == [one, two]
    assert list(split([b"\x0b" + one + b"\r\x1c\r\x0b" + two + b"\r\x1c\r"])) == [one, two]


@pytest.mark.parametrize(
    "result",
    [
        "OBX|1|TS|X^Y||20260301101500~20260302||||||F",
        "OBX|1|DT|X^Y||^odd||||||F",
        "OBX|1|TM|X^Y||\\H\\||||||F",
    ],
)
def test_odd_values_of_dates_are_valid_wherever_they_stand(result: str) -> None:
    head = HEAD.replace(b"ADT^A28", b"ORU^R01").replace(b"+0000", b"").decode()
    lines = (head, PID.decode(), "OBR|1||F1|X^Panel||||||||||||||||||||A  B||F||^^^^^A  B", result)
    made = bundle(translate("\r".join(lines).encode()))
    assert [issue for issue in VALIDATOR.check(decode(encode(made))) if issue.severity in ("error", "fatal")] == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"timezon": "Europe/Berlin"}, "timezon: this key is not known here; did you mean timezone?"),
        ({"foo": 1}, "foo: this key is not known here"),
        ({"charset": "klingon"}, "charset: `klingon` is none of"),
        ({"systems": {"KN": "x y"}}, "systems.KN: "),
        ({"timezone": 5}, "timezone: `5` is not text"),
    ],
)
def test_a_setting_that_is_wrong_is_told(samples: Any, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        translate(body(samples, "admission"), **settings)
    assert str(caught.value).startswith(told)


def test_a_message_is_bytes(samples: Any) -> None:
    with pytest.raises(TypeError, match="a message is bytes as they were sent, not str"):
        translate(body(samples, "admission").decode())  # type: ignore[arg-type]  # what is tested


def test_a_bundle_is_written_with_its_digits(samples: Any) -> None:
    assert b'"value":5.40' in encode(bundle(translate(body(samples, "result"))))


def test_a_conditional_request_carries_no_id_of_ours(samples: Any) -> None:
    made = bundle(translate(body(samples, "admission")))
    for entry in made["entry"]:
        conditional = "?" in entry["request"]["url"] or "ifNoneExist" in entry["request"]
        assert ("id" in entry["resource"]) is not conditional
    urls = {entry["fullUrl"] for entry in made["entry"]}
    (visit,) = entries(made, "Encounter")
    assert visit["resource"]["subject"]["reference"] in urls


def test_a_bundle_that_the_record_would_refuse_says_so(samples: Any) -> None:
    sent = body(samples, "admission")
    assert "meta" not in bundle(translate(sent))
    refused = bundle(translate(sent.replace(b"ADT^A01^ADT_A01", b"ADT^Z01")))
    assert refused["meta"]["tag"][0]["code"] == "refused"


def test_a_stray_line_becomes_no_part_of_the_value_before_it() -> None:
    head = b"MSH|^~\\&|RX|GOOD|HP|HUB|20260301083000+0000||RDE^O11|M1|P|2.5.1\rPID|1||M1\rORC|NW|P1\r"
    lines = b"RXE||1^Saline^L|1||BAG\rRXC|A|1^Salt^L|5|ml\rRDE-JUNK\r"
    made = translate(head + lines)
    assert b"JUNK" not in encode({"all": [c.resource for c in made.changes if c.type != "DocumentReference"]})
    (issue,) = (one for one in made.issues if one.cause == "parse" and one.severity == Severity.ERROR)
    assert (issue.location, issue.text) == ("RXC", "the line after RXC is no segment; it is not read")
    note = translate(head.replace(b"RDE^O11", b"ORU^R01") + b"OBR|1|P1|F1|1^A^L\rNTE|1||first line\rand second\r")
    assert b"first line\\nand second" in encode({"all": [c.resource for c in note.changes]})


def test_a_message_that_was_cut_off_is_refused_and_says_so() -> None:
    message = b"\r".join((HEAD, PID, b"NTE|1||" + b"x" * (17 * 1024 * 1024), b"AL1|1|DA|PEN^Penicillin^L"))
    (piece,) = split([message])
    translation = translate(piece)
    first = translation.issues[0]
    assert (first.severity, first.cause) == (Severity.ERROR, "parse")
    assert bundle(translation)["meta"]["tag"][0]["code"] == "refused"
    whole = list(split([HEAD + b"\r" + PID]))
    assert [type(one) for one in whole] == [bytes]
