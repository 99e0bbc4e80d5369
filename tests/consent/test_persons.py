"""A search for what is about a patient is one for what is about the person, at every step of a chain."""

from __future__ import annotations

from hawsepipe.consent.persons import throughout
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.query import Query

PARAMETERS = Parameters(load(), "https://fhir.example.org/fhir")
PERSONS = {"old": frozenset({"old", "new"}), "new": frozenset({"old", "new"})}


def query(kind: str, name: str, value: str) -> Query:
    return PARAMETERS.parse(kind, [(name, value)], strict=True).query


def test_a_reference_to_one_record_of_a_person_is_one_to_all() -> None:
    for kind, name in (
        ("Observation", "patient"),
        ("Observation", "encounter.patient"),
        ("Encounter", "_has:Observation:encounter:patient"),
        ("Patient", "_has:Group:member:member"),
    ):
        asked = throughout(query(kind, name, "Patient/new"), PERSONS)
        both = query(kind, name, "Patient/new,Patient/old")
        assert asked == both, name
        assert throughout(query(kind, name, "Patient/other"), PERSONS) == query(kind, name, "Patient/other")


def test_the_references_of_a_patient_are_left_as_they_are() -> None:
    """Whom a record was merged with is told by its own link."""
    asked = query("Patient", "link", "Patient/new")
    assert throughout(asked, PERSONS) == asked
