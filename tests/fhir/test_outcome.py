"""outcome: the form of every error."""

from __future__ import annotations

from hawsepipe.errors import Forbidden, InvalidRequest, InvalidResource, NotFound, StoreFull
from hawsepipe.fhir.outcome import from_error, outcome
from hawsepipe.model import Issue, Severity


def test_an_issue_keeps_its_place_as_fhirpath_or_as_location() -> None:
    made = outcome(
        [
            Issue(Severity.ERROR, "value", "Patient.name[0].family", "is empty"),
            Issue(Severity.WARNING, "mapping", "PID-5.1", "is not mapped"),
        ]
    )
    assert made["issue"] == [
        {"severity": "error", "code": "value", "diagnostics": "is empty", "expression": ["Patient.name[0].family"]},
        {"severity": "warning", "code": "informational", "diagnostics": "is not mapped", "location": ["PID-5.1"]},
    ]


def test_no_issue_is_said_as_information() -> None:
    assert outcome([])["issue"][0]["severity"] == "information"


def test_an_error_becomes_the_issue_that_its_class_states() -> None:
    assert from_error(NotFound("Patient/1 is not known"))["issue"] == [
        {"severity": "error", "code": "not-found", "diagnostics": "Patient/1 is not known"}
    ]
    assert from_error(InvalidRequest("no date", location="birthdate"))["issue"][0]["location"] == ["birthdate"]
    assert from_error(Forbidden("no", expression="Patient"))["issue"][0]["expression"] == ["Patient"]
    assert from_error(StoreFull())["issue"][0]["code"] == "no-store"


def test_an_invalid_resource_shows_each_finding() -> None:
    issues = [Issue(Severity.ERROR, "required", "Patient.link[0].type", "is missing")] * 2
    assert len(from_error(InvalidResource(issues))["issue"]) == 2
