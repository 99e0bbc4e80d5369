"""What holds for every message (validity, references, determinism, one kind of error), and the tables themselves."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid5

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hawsepipe import Change, ConfigError, Issue, MessageError, RawMessage, Severity, Translation, plugins
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load as load_definitions
from hawsepipe.fhir.validate import Validator
from hawsepipe_hl7v2.message import parse
from hawsepipe_hl7v2.naming import NAMESPACE, resource_id
from hawsepipe_hl7v2.reference import fields
from hawsepipe_hl7v2.settings import filled
from hawsepipe_hl7v2.tables import documents, shipped
from hawsepipe_hl7v2.translator import Hl7v2Translator
from hawsepipe_schemas import load

NAMES = ["admission", "result", "vaccination", "merge"]
TRANSLATOR = Hl7v2Translator({"charset": "latin-1"})
VALIDATOR = Validator(load_definitions())


def bytes_of(translation: Translation) -> list[bytes]:
    return [encode(change.resource or {}) for change in translation.changes]


def raw(body: bytes) -> RawMessage:
    return RawMessage("adt", datetime(2026, 3, 1, tzinfo=UTC), "application/hl7-v2", body)


def changes_or_fault(body: bytes) -> tuple[Change, ...]:
    """Translate; nothing for a message that is refused. A fault of the translator itself fails the test."""
    try:
        return TRANSLATOR.translate(raw(body)).changes
    except MessageError as error:
        if "failed" in error.reason:
            raise AssertionError("the translator failed") from error
        return ()


def faults(changes: Any) -> list[Issue]:
    return [
        issue
        for change in changes
        for issue in VALIDATOR.check(decode(encode(change.resource)))
        if issue.severity in (Severity.ERROR, Severity.FATAL)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_resource_is_valid_r4_and_every_reference_is_in_the_message(
    translate: Any, samples: Any, name: str
) -> None:
    changes = translate(samples[name]).translation.changes
    assert faults(changes) == []
    text = b"".join(encode(change.resource) for change in changes).decode()
    made = {f"{change.type}/{change.id}" for change in changes}
    assert set(re.findall(r'"reference":"([^"]+)"', text)) <= made


@pytest.mark.parametrize("name", NAMES)
def test_the_same_message_twice_gives_the_same_bytes(samples: Any, name: str) -> None:
    body = "\r".join(samples[name]).encode()
    first, second = (Hl7v2Translator({}).translate(raw(body)) for _ in range(2))
    assert bytes_of(first) == bytes_of(second)
    assert (first.issues, first.trail) == (second.issues, second.trail)


@pytest.mark.parametrize("name", NAMES)
def test_every_trail_leads_from_a_field_to_a_value(translate: Any, samples: Any, name: str) -> None:
    translation = translate(samples[name]).translation
    resources = {f"{change.type}/{change.id}": change.resource for change in translation.changes}
    header = translation.header or {}
    resources |= {f"MessageHeader/{header['id']}": header, "Provenance": translation.provenance}
    for trail in translation.trail:
        node: Any = resources[trail.resource]
        for step in re.findall(r"\w+|\[\d+\]", trail.path):
            node = node[int(step[1:-1])] if step[0] == "[" else node[step]
        assert node not in (None, "", [], {})
        assert re.fullmatch(r"[A-Z][A-Z0-9]{2}(\[\d+\])?(-\d+(\[\d+\])?(\.\d+){0,2})?", trail.source)


@pytest.mark.parametrize("name", NAMES)
def test_hl7apy_agrees_on_every_field(samples: Any, name: str) -> None:
    text = "\r".join(samples[name])
    ours = {
        f"{segment.label}-{number}" + (f"[{index}]" if index > 1 else ""): value
        for segment in parse(text.encode()).segments
        for number in range(1, len(segment.fields))
        if not (segment.name == "MSH" and number < 3)
        for index, value in enumerate(segment.repetitions(number), 1)
        if value
    }
    assert ours == fields(text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(NAMES))
def test_a_damaged_message_never_raises_anything_but_a_message_error(samples: Any, data: Any, name: str) -> None:
    body = bytearray("\r".join(samples[name]).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        piece = data.draw(
            st.one_of(
                st.sampled_from([b"|", b"^", b"~", b"\\", b"&", b'""', b"\r", b"99999999999", b"-1"]),
                st.binary(max_size=4),
            )
        )
        body[at : at + data.draw(st.integers(0, 8))] = piece
    assert faults(changes_or_fault(bytes(body))) == []


@given(st.binary(max_size=200))
def test_noise_never_raises_anything_but_a_message_error(body: bytes) -> None:
    for message in (body, b"MSH|^~\\&|" + body):
        changes_or_fault(message)


def test_a_message_that_gives_nothing_is_a_message_error() -> None:
    with pytest.raises(MessageError) as caught:
        Hl7v2Translator({"unmapped_events": ["ZZZ^*"]}).translate(
            raw(b"MSH|^~\\&|A|B|C|D|2026||ZZZ^Z01|1|P|2.5.1\rZBR|1\r")
        )
    assert (caught.value.cause, caught.value.location) == ("mapping", "MSH-9")


def test_every_table_keeps_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(load("mapping-table.schema.json"))
    found = {name: [error.message for error in validator.iter_errors(table)] for name, table in documents().items()}
    assert {name: errors for name, errors in found.items() if errors} == {}


def test_every_table_is_in_the_file_of_its_name() -> None:
    keys = {"segments": "segment", "datatypes": "datatype", "codes": "table", "messages": "message"}
    for name, table in documents().items():
        folder, _, file = name.rpartition("/")
        assert not folder or table[keys[folder]] == file.removesuffix(".json")


def test_the_rules_digest_follows_tables_and_settings() -> None:
    segments = dict(shipped().segments)
    segments["AL1"] = {**segments["AL1"], "targets": []}
    digests = {
        Hl7v2Translator({}).rules_digest,
        Hl7v2Translator({"timezone": "Europe/Berlin"}).rules_digest,
        Hl7v2Translator({}, replace(shipped(), segments=segments)).rules_digest,
    }
    assert len(digests) == 3
    assert Hl7v2Translator({}).rules_digest in digests


def test_a_segment_is_added_by_table_rows_alone() -> None:
    row = {"from": "ZPA-2", "to": "maritalStatus.text", "via": "string"}
    table = {"segment": "ZPA", "targets": [{"resource": "Patient", "joins": "patient", "rows": [row]}]}
    tables = replace(shipped(), segments={**shipped().segments, "ZPA": table})
    body = b"MSH|^~\\&|A|B|C|D|2026||ADT^A28|1|P|2.5.1\rPID|1||M1\rZPA|1|complicated\r"
    patient = Hl7v2Translator({}, tables).translate(raw(body)).changes[0].resource
    assert patient is not None
    assert patient["maritalStatus"] == {"text": "complicated"}


@pytest.mark.parametrize("via", ["nothing-like-that", "code:NoTable"])
def test_a_table_that_names_nothing_stops_the_start(via: str) -> None:
    row = {"from": "ZPA-2", "to": "gender", "via": via}
    target = {"resource": "Patient", "joins": "patient", "rows": [row]}
    with pytest.raises(ConfigError):
        Hl7v2Translator({}, replace(shipped(), segments={"ZPA": {"segment": "ZPA", "targets": [target]}}))


def test_an_unknown_time_zone_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="timezone"):
        Hl7v2Translator({"timezone": "Middle/Earth"})


def test_the_plugin_offers_its_kinds_with_settings_that_their_schemas_take() -> None:
    offered = plugins.load(["hl7v2"])
    assert (set(offered.feeds), set(offered.translators)) == ({"mllp", "hl7v2-http", "hl7v2-files"}, {"hl7v2"})
    for kind in (offered.feeds["mllp"], offered.feeds["hl7v2-http"], offered.translators["hl7v2"]):
        jsonschema.validate(filled(dict(kind.config_schema), {}), kind.config_schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"no_such_setting": 1}, kind.config_schema)


@pytest.mark.parametrize("type_", ["Patient", "Observation", "Location"])
def test_an_id_is_a_version_5_uuid_of_its_business_key(type_: str) -> None:
    assert resource_id(type_, "urn:oid:1.2|é") == str(uuid5(NAMESPACE, f"{type_}|urn:oid:1.2|é"))


def test_an_observation_without_a_code_is_kept_with_its_code_absent() -> None:
    body = b"MSH|^~\\&|A|B|C|D|2026||ORU^R01|1|P|2.5.1\rPID|1||M1\rOBR|1||F1|X^Panel\rOBX|1|ST|||text||||||F\r"
    changes = TRANSLATOR.translate(raw(body)).changes
    (observation,) = [change.resource for change in changes if change.type == "Observation" and change.resource]
    assert observation["valueString"] == "text"
    assert "extension" in observation["code"]
    assert faults(changes) == []


def test_an_order_event_without_its_order_speaks_of_the_patient() -> None:
    body = (
        b"MSH|^~\\&|A|B|C|D|2026||ORM^O01|1|P|2.5.1\rPID|1||M1^^^G^MR\rORC|NW||||||||20260301100000+0000|77^CLERK^ANN\r"
    )
    changes = TRANSLATOR.read(raw(body)).changes
    assert faults(changes) == []
    told = [change.resource for change in changes if change.type == "Provenance"]
    assert all(resource is not None and resource["target"] for resource in told)


def test_the_version_of_a_value_set_may_hold_anything() -> None:
    code = "W^White^L" + "^" * 11 + "^9.9^a value set^2026 b"
    body = f"MSH|^~\\&|A|B|C|D|2026||ADT^A28|1|P|2.8\rPID|1||M1^^^G^MR|||||||{code}\r".encode()
    assert faults(TRANSLATOR.read(raw(body)).changes) == []


@pytest.mark.parametrize(
    "tail",
    [
        "PID|1||M1^^^G^MR" + "|" * 20 + "Y\rPID|2||M1^^^G^MR" + "|" * 21 + "|2",
        "ORC|NW|^OE\rOBR|1|^OE||C^Culture^L\rSPM|1|S1\rOBR|2|^OE||D^Other^L",
        "SFT|Vendor||Product||| 20260301".replace("SFT", "OBR|1|P1|F1|C^C^L\rSFT", 1),
        "AL1|1|DA|PEN^Penicillin^L||^",
        "OBR|1|P1|F1|C^Culture^L\rOBX|1|ED|D^Doc^L||^Application^PDF^Base64^QUJDRA===||||||F",
    ],
    ids=["one patient in two PID", "numbers without a value", "no version", "no reaction", "padding too many"],
)
def test_what_damage_has_shown_stays_valid(tail: str) -> None:
    body = f"MSH|^~\\&|A|B|C|D|2026||OML^O21|1|P|2.5.1\rPID|1||M1^^^G^MR\r{tail}\r".encode()
    translation = TRANSLATOR.read(raw(body))
    assert faults(translation.changes) == []
    assert not [issue for issue in translation.issues if "failed" in issue.text]
