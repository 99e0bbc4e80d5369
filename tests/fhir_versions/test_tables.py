"""The rule tables keep their schema and fit what they are about."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from hawsepipe_fhir import definitions, tables
from hawsepipe_fhir.coercions import NAMED
from hawsepipe_fhir.conversion import NUMBERS, converter
from hawsepipe_fhir.decisions import DECISIONS
from hawsepipe_schemas import load

DOCUMENTS = tables.documents()
VERSIONS = sorted(NUMBERS)
COMMON = (
    *("Patient", "Practitioner", "Organization", "Location", "Encounter", "Condition", "Observation", "Procedure"),
    *("DiagnosticReport", "Medication", "MedicationStatement", "MedicationAdministration", "MedicationDispense"),
    *("Immunization", "AllergyIntolerance", "CarePlan", "Goal", "Appointment", "DocumentReference", "Coverage"),
    *("Device", "Specimen", "RelatedPerson", "Composition", "Questionnaire", "QuestionnaireResponse", "Provenance"),
    *("Binary", "Bundle", "Communication", "CommunicationRequest", "Schedule", "Slot"),
)
RENAMED = {
    "dstu2": {
        "MedicationOrder": "MedicationRequest",
        "DiagnosticOrder": "ServiceRequest",
        "ProcedureRequest": "ServiceRequest",
        "ReferralRequest": "ServiceRequest",
        "Conformance": "CapabilityStatement",
        "BodySite": "BodyStructure",
    },
    "stu3": {
        "ProcedureRequest": "ServiceRequest",
        "ReferralRequest": "ServiceRequest",
        "Sequence": "MolecularSequence",
        "BodySite": "BodyStructure",
    },
    "r5": {"DeviceUsage": "DeviceUseStatement", "RequestOrchestration": "RequestGroup"},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_table_keeps_the_schema(name: str) -> None:
    jsonschema.validate(DOCUMENTS[name], load("fhir-version-table.schema.json"))


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "codes.json"])
def test_a_table_is_called_as_its_type(name: str) -> None:
    assert name.rpartition("/")[2] == f"{DOCUMENTS[name]['type']}.json"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_is_about_something_that_the_version_has(version: str) -> None:
    assert converter(version).compiler.unused() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_common_types_have_a_home(version: str) -> None:
    homes = converter(version).compiler.homes
    assert {type_: homes[type_] for type_ in COMMON} == {type_: type_ for type_ in COMMON}
    assert {type_: homes[type_] for type_ in RENAMED[version]} == RENAMED[version]


def _rows() -> list[tuple[str, dict[str, Any]]]:
    return [(name, row) for name, held in DOCUMENTS.items() for row in held.get("rows", ())]


def test_every_function_is_used_by_a_row_and_every_row_names_one() -> None:
    moves = {row["via"] for _, row in _rows() if "via" in row and "to" in row}
    decided = {row["via"] for _, row in _rows() if "via" in row and "to" not in row}
    assert moves <= NAMED.keys()
    assert decided == DECISIONS.keys()


def test_a_code_table_leads_to_codes_of_r4() -> None:
    known = definitions.r4()
    wrong = []
    for name, held in DOCUMENTS.items():
        for row in held.get("rows", ()):
            codes = row.get("codes", {})
            codes = DOCUMENTS["codes.json"]["codes"][codes] if isinstance(codes, str) else codes
            type_, below = held.get("to", held["type"]), ""
            for key in row.get("to", "").split(".") if codes else ():
                field = known.children(type_, below)[key]
                type_, below = (field.type, "") if field.type else (field.owner, field.below)
                allowed = frozenset().union(*field.codes.values()) if field.codes else None
            if codes and allowed is not None:
                wrong += [(name, row["from"], code) for code in codes.values() if code not in allowed]
    assert wrong == []


def test_a_code_that_r4_has_is_not_called_otherwise_by_a_shared_table() -> None:
    systems = DOCUMENTS["codes.json"]["codes"]["code-systems"]
    assert all(old.startswith("http://") and new.startswith("http://") and old != new for old, new in systems.items())
    assert not set(systems) & set(systems.values())
