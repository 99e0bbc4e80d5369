"""R4 as STU3 and R4 again: the same, but for what the table of losses says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fhir_versions.full import Maker

from hawsepipe import MessageError
from hawsepipe_fhir import definitions
from hawsepipe_fhir.backward import backward
from hawsepipe_fhir.conversion import convert
from hawsepipe_fhir.definitions import Field
from hawsepipe_fhir.spellings import TERMINOLOGY
from hawsepipe_schemas import load

RESOURCES = sorted(name for name in definitions.r4().rows if definitions.r4().resource(name))
ABSTRACT = {"Resource", "DomainResource"}
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "fhir-versions.md").read_text(encoding="utf-8")


class Valid(Maker):
    """Makes resources whose codes are some that R4 has."""

    def _value(self, field: Field, depth: int) -> Any:
        codes = sorted((system, code) for system, known in (field.codes or {}).items() for code in known)
        if not codes or field.type not in ("code", "Coding", "CodeableConcept"):
            return super()._value(field, depth)
        system, code = codes[self._count % len(codes)]
        coding = {"system": system, "code": code}
        return {"code": code, "Coding": coding, "CodeableConcept": {"coding": [coding]}}[field.type]


def there_and_back(resource: dict[str, Any]) -> dict[str, Any]:
    older = backward("stu3").convert(resource)
    assert older.losses == ()
    known = definitions.source("stu3")
    assert known.resource(older.resource["resourceType"])
    newer = convert(older.resource, "stu3")
    assert [loss for loss in newer.losses if loss.severity.value == "error"] == []
    return newer.resource


REASON = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}


def absent(value: Any) -> bool:
    """Say whether a value is what is written for a required element that a resource does not have: the maker stops
    somewhere.
    """
    if type(value) is dict:
        return bool(value) and all(held == [REASON] or absent(held) for held in value.values())
    return type(value) is list and bool(value) and all(map(absent, value))


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if type(one) is dict and type(other) is dict:
        for key in {**one, **other}:
            if key in one and key in other:
                yield from differences(one[key], other[key], f"{path}.{key}" if path else key)
            elif key in one or not absent(other[key]):
                yield f"{path}.{key}"
    elif type(one) is list and type(other) is list and len(one) == len(other):
        for before, after in zip(one, other, strict=True):
            yield from differences(before, after, path)
    elif one != other:
        yield path


def table() -> list[str]:
    """Return the paths of the table of losses, as regular expressions."""
    return [row["path"] for row in load("fhir-round-trip.json")["stu3"]]


VISIT: dict[str, Any] = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    "reasonCode": [{"text": "Cough"}],
    "reasonReference": [{"reference": "Condition/c1"}],
    "basedOn": [{"reference": "ServiceRequest/s1"}],
    "diagnosis": [{"condition": {"reference": "Condition/c1"}, "use": {"text": "billing"}}],
}
DOSE: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "id": "m1",
    "status": "on-hold",
    "intent": "order",
    "medicationCodeableConcept": {"text": "Water"},
    "subject": {"reference": "Patient/p1"},
    "encounter": {"reference": "Encounter/e1"},
    "_authoredOn": {"extension": [{"url": "urn:example:why", "valueString": "asked"}]},
    "dosageInstruction": [
        {"doseAndRate": [{"type": {"text": "ordered"}, "doseQuantity": {"value": 2}}]},
        {"doseAndRate": [{"type": {"text": "ordered"}, "doseQuantity": {"value": 2}}, {"rateQuantity": {"value": 3}}]},
    ],
}


def test_what_stu3_calls_otherwise_is_there_under_its_own_name() -> None:
    older = backward("stu3").convert(VISIT).resource
    assert older["reason"] == [{"text": "Cough"}]
    assert older["class"]["system"] == "http://hl7.org/fhir/v3/ActCode"
    assert older["diagnosis"][0]["role"] == {"text": "billing"}
    request = backward("stu3").convert(DOSE).resource
    first, second = request["dosageInstruction"]
    assert first["doseQuantity"] == {"value": 2}
    assert not {"doseQuantity", "rateQuantity"} & second.keys()  # a dose of one and a rate of another are no dosage
    assert request["context"] == {"reference": "Encounter/e1"}


@pytest.mark.parametrize("resource", [VISIT, DOSE], ids=["visit", "dose"])
def test_a_resource_comes_back_as_it_was(resource: dict[str, Any]) -> None:
    assert there_and_back(resource) == resource


def test_a_type_that_stu3_lacks_is_a_basic_on_the_way() -> None:
    invoice = {"resourceType": "Invoice", "id": "i1", "status": "issued", "lineItem": [{"sequence": 1}]}
    older = backward("stu3").convert(invoice).resource
    assert older["resourceType"] == "Basic"
    assert there_and_back(invoice) == invoice


def test_a_service_request_is_a_procedure_request_and_its_references_go_with_it() -> None:
    request = {
        "resourceType": "ServiceRequest",
        "id": "s1",
        "status": "revoked",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "replaces": [{"reference": "ServiceRequest/s0"}],
    }
    older = backward("stu3").convert(request).resource
    assert (older["resourceType"], older["status"]) == ("ProcedureRequest", "cancelled")
    assert older["replaces"] == [{"reference": "ProcedureRequest/s0"}]
    assert there_and_back(request) == request


def test_an_order_not_to_do_something_is_refused_where_stu3_cannot_say_so() -> None:
    with pytest.raises(MessageError, match="not to be done"):
        backward("stu3").convert({**DOSE, "doNotPerform": True})
    assert there_and_back({**DOSE, "doNotPerform": False}) == {**DOSE, "doNotPerform": False}


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "ResearchStudy", "status": "completed"},  # STU3 has a code of that name for something else
        {"resourceType": "Evidence", "exposureBackground": {"reference": "EvidenceVariable/1"}, "status": "draft"},
        {"resourceType": "Patient", "maritalStatus": {"coding": [{"system": f"{TERMINOLOGY}v2-0360/2.7"}]}},
        {
            "resourceType": "Patient",
            "_birthDate": {"extension": [{"url": "urn:x", "valueExpression": {"language": "text/cql"}}]},
        },
    ],
    ids=["code", "reference", "system", "extension"],
)
def test_what_looks_like_something_else_in_stu3_comes_back_as_it_was(resource: dict[str, Any]) -> None:
    back = convert(backward("stu3").convert(resource).resource, "stu3").resource
    assert list(differences(resource, back)) == []


def test_a_consent_is_refused_wherever_it_is() -> None:
    consent = {"resourceType": "Consent", "id": "c1", "status": "active"}
    for resource in (consent, {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": consent}]}):
        with pytest.raises(MessageError, match="permit more"):
            backward("stu3").convert(resource)


def test_an_extension_that_names_no_element_of_r4_stays_one() -> None:
    url = "http://hl7.org/fhir/4.0/StructureDefinition/extension-Patient.nothing"
    patient = {"resourceType": "Patient", "extension": [{"url": url, "valueString": "x"}], "active": True}
    assert convert(patient, "stu3").resource["extension"] == patient["extension"]


@pytest.mark.parametrize(("choice", "many"), [(0, False), (1, True), (2, False), (5, True)])
def test_every_element_of_every_resource_comes_back_or_is_in_the_table(choice: int, many: bool) -> None:
    known = [re.compile(pattern) for pattern in table()]
    wrong: dict[str, list[str]] = {}
    for name in RESOURCES:
        if name in ABSTRACT or name == "Consent":
            continue
        made = Valid(definitions.r4(), choice, many=many, depth=3).resource(name)
        older = backward("stu3").convert(_without(made, "doNotPerform"))
        told = convert(older.resource, "stu3").resource
        for path in differences(_without(made, "doNotPerform"), told):
            place = f"{name}.{path.lstrip('.')}"
            if not any(pattern.fullmatch(place) for pattern in known):
                wrong.setdefault(name, []).append(place)
    assert wrong == {}


def _without(value: Any, name: str) -> Any:
    if type(value) is dict:
        return {key: _without(held, name) for key, held in value.items() if key != name}
    return [_without(item, name) for item in value] if type(value) is list else value


def test_the_table_of_losses_is_told() -> None:
    section = DOCS.split("## R4 as STU3")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE) == table()


def test_each_row_of_the_table_is_needed() -> None:
    old = "http://hl7.org/fhir/v3/ActCode"
    narrative = {"status": "generated", "div": "<div>x</div>"}
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": "2026-03-01T10:00:00Z",
        "entry": [
            {
                "resource": {
                    "resourceType": "Patient",
                    "text": narrative,
                    "maritalStatus": {"coding": [{"system": old}]},
                }
            },
            {"resource": {"resourceType": "Basic", "subject": {"reference": "ProcedureRequest/1"}}},
        ],
    }
    told = convert(backward("stu3").convert(bundle).resource, "stu3").resource
    found = {f"Bundle.{path.lstrip('.')}" for path in differences(bundle, told)}
    assert len(found) == len(table())
    assert all(any(re.fullmatch(pattern, path) for path in found) for pattern in table())


@pytest.mark.parametrize("many", [False, True])
def test_what_was_an_extension_is_told_to_be_where_it_is_now(many: bool) -> None:
    for name in ("MedicationRequest", "Invoice", "Encounter", "ImagingStudy"):
        made = _without(Valid(definitions.r4(), many=many, depth=3).resource(name), "doNotPerform")
        newer = convert(backward("stu3").convert(made).resource, "stu3")
        lost = [move.target for move in newer.moves if not _leads(newer.resource, move.target)]
        assert lost == [], name


def _leads(value: Any, path: str) -> bool:
    for name, index in re.findall(r"([A-Za-z]+)|\[([0-9]+)\]", path):
        if index:
            if type(value) is not list or int(index) >= len(value):
                return False
            value = value[int(index)]
            continue
        if type(value) is not dict or not {name, f"_{name}"} & value.keys():
            return name == "resourceType" or (type(value) is not dict and name in ("extension", "id", "value"))
        value = value.get(name, value.get(f"_{name}"))
    return True
