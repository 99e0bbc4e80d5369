"""validate: what R4 allows, where a resource breaks it, and that the fast schema never allows more than the walk."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.fhir import narrative
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.primitives import fits
from hawsepipe.fhir.schemas import Schemas
from hawsepipe.fhir.validate import LIMIT, Validator, _Walk

DEFINITIONS = load()
VALIDATOR = Validator(DEFINITIONS)
SCHEMAS = Schemas(DEFINITIONS)

DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p style="color: red">A</p></div>'

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p-1",
    "meta": {"versionId": "1", "lastUpdated": "2026-03-01T08:00:00.000001Z"},
    "text": {"status": "generated", "div": DIV},
    "extension": [{"url": "urn:x", "extension": [{"url": "a", "valueCode": "b"}]}],
    "identifier": [{"use": "official", "system": "urn:oid:1.2", "value": "7", "period": {"start": "2024-02-29"}}],
    "active": True,
    "name": [{"family": "A", "given": ["B", "C"]}],
    "telecom": [{"system": "phone", "value": "1", "rank": 1}],
    "gender": "female",
    "birthDate": "1970",
    "_birthDate": {"extension": [{"url": "urn:t", "valueDateTime": "1970-01-01T00:00:00+01:00"}]},
    "deceasedBoolean": False,
    "multipleBirthInteger": 2,
    "maritalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}]},
    "managingOrganization": {"reference": "Organization/1"},
    "link": [{"other": {"reference": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"}, "type": "seealso"}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "category": [{"text": "laboratory"}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
    "subject": {"reference": "Patient/1"},
    "effectiveDateTime": "2026-03-01T08:00:00-05:00",
    "valueQuantity": {"value": Decimal("13.50"), "comparator": "<", "unit": "g/dL", "code": "g/dL"},
    "component": [{"code": {"text": "x"}, "valueInteger": 3}],
}
CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "clinicalStatus": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
    },
    "subject": {"reference": "https://elsewhere.example/fhir/Patient/1"},
    "onsetAge": {"value": Decimal("50"), "code": "a"},
}
BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [{"fullUrl": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "resource": PATIENT}],
}
MEDICATION: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "x"}}],
    "status": "active",
    "intent": "order",
    "medicationReference": {"reference": "#m"},
    "subject": {"reference": "Patient/1"},
}
RESOURCES = (PATIENT, OBSERVATION, CONDITION, BUNDLE, MEDICATION)


def places(resource: Any) -> list[tuple[str, str]]:
    return [(issue.cause, issue.location) for issue in VALIDATOR.check(resource)]


def walk(resource: Any) -> list[Any]:
    rule = _Walk(DEFINITIONS, None)
    rule.resource(resource, "", None)
    return rule.issues


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda it: str(it["resourceType"]))
def test_a_right_resource_has_no_issue(resource: dict[str, Any]) -> None:
    assert VALIDATOR.check(resource) == ()
    assert walk(resource) == []


@pytest.mark.parametrize("resource", [PATIENT, OBSERVATION, CONDITION], ids=["Patient", "Observation", "Condition"])
def test_the_schema_knows_the_usual_right_resource_by_itself(resource: dict[str, Any]) -> None:
    assert SCHEMAS.accepts(resource)


def test_a_decimal_of_any_spelling_is_right() -> None:
    for lexeme in (b"1e2", b"0.0000001", b"1.00", b"7"):
        data = (
            b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":%b}}' % lexeme
        )
        assert VALIDATOR.check(decode(data)) == ()
    assert fits("decimal", msgspec.Raw(b"1e2"))


GONE = object()


def altered(resource: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(resource)
    node: Any = made
    for step in path[:-1]:
        node = node[step]
    if value is GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return made


@pytest.mark.parametrize(
    ("resource", "path", "value", "cause", "location"),
    [
        (PATIENT, ("nope",), 1, "structure", "Patient"),
        (PATIENT, ("_name",), [{}], "structure", "Patient"),
        (PATIENT, ("name", 0, "nope"), "x", "structure", "Patient.name[0]"),
        (PATIENT, ("name",), [], "structure", "Patient.name"),
        (PATIENT, ("name",), {"family": "A"}, "structure", "Patient.name"),
        (PATIENT, ("name", 0), {}, "structure", "Patient.name[0]"),
        (PATIENT, ("name", 0, "family"), "", "value", "Patient.name[0].family"),
        (PATIENT, ("name", 0, "family"), ["A"], "structure", "Patient.name[0].family"),
        (PATIENT, ("name", 0, "family"), "a\x00", "value", "Patient.name[0].family"),
        (PATIENT, ("name", 0, "given"), ["B", None], "structure", "Patient.name[0].given[1]"),
        (PATIENT, ("name", 0, "_given"), [None], "structure", "Patient.name[0].given"),
        (PATIENT, ("name", 0, "_family"), {}, "structure", "Patient.name[0].family"),
        (PATIENT, ("id",), "a b", "value", "Patient.id"),
        (PATIENT, ("id",), "x" * 65, "value", "Patient.id"),
        (PATIENT, ("active",), "true", "value", "Patient.active"),
        (PATIENT, ("gender",), "F", "code-invalid", "Patient.gender"),
        (PATIENT, ("birthDate",), "2025-02-29", "value", "Patient.birthDate"),
        (PATIENT, ("birthDate",), "1970-1-1", "value", "Patient.birthDate"),
        (PATIENT, ("birthDate",), "1970-01-01T00:00:00Z", "value", "Patient.birthDate"),
        (PATIENT, ("deceasedDateTime",), "2026", "structure", "Patient.deceased"),
        (PATIENT, ("_deceasedDateTime",), {"id": "x"}, "structure", "Patient.deceased"),
        (PATIENT, ("multipleBirthInteger",), Decimal("2.0"), "value", "Patient.multipleBirth"),
        (PATIENT, ("multipleBirthInteger",), True, "value", "Patient.multipleBirth"),
        (PATIENT, ("multipleBirthInteger",), 2**31, "value", "Patient.multipleBirth"),
        (PATIENT, ("telecom", 0, "rank"), 0, "value", "Patient.telecom[0].rank"),
        (PATIENT, ("link", 0, "type"), GONE, "required", "Patient.link[0].type"),
        (PATIENT, ("link", 0, "other"), {"reference": "Group/1"}, "structure", "Patient.link[0].other.reference"),
        (PATIENT, ("managingOrganization", "reference"), "#x", "invariant", "Patient.managingOrganization.reference"),
        (PATIENT, ("extension", 0, "valueString"), "x", "invariant", "Patient.extension[0]"),
        (PATIENT, ("extension", 0, "extension"), GONE, "invariant", "Patient.extension[0]"),
        (PATIENT, ("extension", 0, "url"), GONE, "required", "Patient.extension[0].url"),
        (PATIENT, ("meta", "lastUpdated"), "2026-03-01", "value", "Patient.meta.lastUpdated"),
        (PATIENT, ("text", "div"), "<div>x</div>", "invalid", "Patient.text.div"),
        (OBSERVATION, ("status",), GONE, "required", "Observation.status"),
        (OBSERVATION, ("code",), GONE, "required", "Observation.code"),
        (OBSERVATION, ("subject", "reference"), "Practitioner/1", "structure", "Observation.subject.reference"),
        (OBSERVATION, ("valueString",), "x", "structure", "Observation.value"),
        (OBSERVATION, ("valueQuantity", "value"), "13.5", "value", "Observation.value.value"),
        (OBSERVATION, ("valueQuantity", "value"), float("nan"), "value", "Observation.value.value"),
        (OBSERVATION, ("effectiveDateTime",), "2026-03-01T08:00:00", "value", "Observation.effective"),
        (OBSERVATION, ("effectiveDateTime",), "2026-03-01T08:00:00+15:00", "value", "Observation.effective"),
        (CONDITION, ("clinicalStatus", "coding", 0, "code"), "on", "code-invalid", "Condition.clinicalStatus"),
        (CONDITION, ("subject", "reference"), "https://x/Device/1", "structure", "Condition.subject.reference"),
        (BUNDLE, ("entry", 0, "resource", "gender"), "F", "code-invalid", "Bundle.entry[0].resource.gender"),
        (BUNDLE, ("entry", 0, "resource", "resourceType"), "X", "structure", "Bundle.entry[0].resource"),
        (MEDICATION, ("contained", 0, "nope"), 1, "structure", "MedicationRequest.contained[0]"),
        (MEDICATION, ("contained", 0, "contained"), [], "invariant", "MedicationRequest.contained[0].contained"),
        (MEDICATION, ("medicationReference", "reference"), "#y", "invariant", "MedicationRequest.medication.reference"),
        (MEDICATION, ("medicationReference",), GONE, "required", "MedicationRequest.medication"),
    ],
)
def test_a_wrong_element_is_found_in_its_place(
    resource: dict[str, Any], path: tuple[str | int, ...], value: Any, cause: str, location: str
) -> None:
    wrong = altered(resource, path, value)
    assert (cause, location) in places(wrong)
    assert not SCHEMAS.accepts(wrong)


def test_a_required_primitive_may_be_absent_with_a_reason() -> None:
    resource = altered(OBSERVATION, ("status",), GONE)
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    assert VALIDATOR.check(resource | {"_status": absent}) == ()


@pytest.mark.parametrize(
    "resource", [{}, {"resourceType": 1}, {"resourceType": "Nothing"}, {"resourceType": "Resource"}]
)
def test_what_is_no_resource_of_r4_is_said_so(resource: dict[str, Any]) -> None:
    assert places(resource) == [("structure", "Resource")]


def test_texts_hold_nothing_of_the_content_and_issues_are_bounded() -> None:
    wrong = altered(PATIENT, ("identifier",), [{"value": 1, "secret name": "secret"}] * 100)
    issues = VALIDATOR.check(wrong)
    assert len(issues) == LIMIT
    assert not any("secret" in f"{issue}" for issue in issues)


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, 1, -1, 2**40, Decimal("1.0"), Decimal("NaN"), 1.5, float("inf")),
        *("", " ", "x", "a b", "é\u00a0", "1\n", "active", "2026", "2026-02-30", "2026-03-01T08:00:00Z", DIV),
        *("urn:oid:1.2", "#m", "#", "Patient/1", "Group/1/_history/2", "http://x/Group/1"),
        *([], {}, [{}], [None], ["x"], {"id": "x"}, {"reference": "Patient/1"}, {"text": "x"}),
        *(
            {"extension": [{"url": "u", "valueCode": "c"}]},
            {"coding": [{"code": "x"}]},
            [{"url": "u", "valueCode": "c"}],
        ),
    ]
)
KEYS = st.sampled_from(
    ["id", "_id", "extension", "value", "valueString", "_valueString", "valueCode", "status", "_status", "contained",
     "text", "resourceType", "deceasedDateTime", "_given", "reference", "type", "coding", "nope", "modifierExtension"]
)  # fmt: skip


@given(st.sampled_from(RESOURCES), st.data())
def test_the_schema_never_accepts_what_the_walk_refuses(resource: dict[str, Any], data: st.DataObject) -> None:
    made = copy.deepcopy(resource)
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = made
        while True:
            inner = [
                it for it in (node.values() if isinstance(node, dict) else node) if isinstance(it, dict | list) and it
            ]
            if not inner or not data.draw(st.booleans()):
                break
            node = data.draw(st.sampled_from(inner))
        value = copy.deepcopy(data.draw(ODD))
        if isinstance(node, dict):
            node[data.draw(st.sampled_from(sorted(node)) | KEYS)] = value
        else:
            node[data.draw(st.integers(0, len(node) - 1))] = value
    issues = VALIDATOR.check(made)  # nothing that JSON can hold is an error of another kind
    if SCHEMAS.accepts(made):
        assert walk(made) == []
    else:
        assert list(issues) == walk(made)


@given(st.sampled_from(sorted({*DEFINITIONS.elements} - {"xhtml", "decimal"})), ODD | st.text(max_size=6))
def test_the_schema_and_the_walk_agree_about_primitives(name: str, value: Any) -> None:
    if name in DEFINITIONS.primitives:
        key = f"value{name[0].upper()}{name[1:]}"
        resource = {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "u", key: value}]}
        assert SCHEMAS.accepts(resource) == (walk(resource) == [])


@pytest.mark.parametrize(
    "div",
    [
        DIV,
        '<div xmlns="http://www.w3.org/1999/xhtml">&nbsp;&eacute; <a href="https://x.example/y">z</a></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><img src="#pic" alt="a"/></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><img src="data:image/png;base64,AA=="/></div>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><table class="grid"><tr><td colspan="2">1</td></tr></table></div>',
    ],
)
def test_formatted_text_is_allowed_in_a_narrative(div: str) -> None:
    assert narrative.flaw(div) is None


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>x",
        '<p onclick="x()">x</p>',
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" java\tscript:alert(1)">x</a>',
        '<a href="data:text/html,x">x</a>',
        '<img src="https://elsewhere.example/pixel.png"/>',
        '<img src="//elsewhere.example/pixel.png"/>',
        '<img src="data:image/svg+xml;base64,AA=="/>',
        '<p style="background: url(https://elsewhere.example/x)">x</p>',
        '<p style="width: expression(alert(1))">x</p>',
        "<form><input/></form>x",
        "<iframe src='x'></iframe>x",
        "<object data='x'></object>x",
        "<style>p {}</style>x",
        '<link rel="stylesheet" href="x"/>x',
        '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>x',
        "<p>x",
        "&undefined;",
        "<?php x ?>x",
        " ",
    ],
)
def test_active_and_foreign_content_is_refused_in_a_narrative(inner: str) -> None:
    assert narrative.flaw(f'<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>') is not None


@pytest.mark.parametrize(
    "div",
    [
        "x",
        "<div>x</div>",
        '<p xmlns="http://www.w3.org/1999/xhtml">x</p>',
        '<!DOCTYPE div [<!ENTITY a "b">]><div xmlns="http://www.w3.org/1999/xhtml">&a;</div>',
    ],
)
def test_a_narrative_is_one_div_of_xhtml(div: str) -> None:
    assert narrative.flaw(div) is not None
