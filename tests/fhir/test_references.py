"""references: parse and walk."""

from __future__ import annotations

import pytest

from hawsepipe.fhir.query import ReferenceValue
from hawsepipe.fhir.references import parse, patients_of, walk

BASE = "https://hawsepipe.example/fhir"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/1", ReferenceValue("Patient", "1", None)),
        ("Patient/a-b.c/_history/2", ReferenceValue("Patient", "a-b.c", None)),
        (f"{BASE}/Patient/1", ReferenceValue("Patient", "1", None)),
        (f"{BASE}/Patient/1/_history/3", ReferenceValue("Patient", "1", None)),
        ("Patient/1#part", ReferenceValue("Patient", "1", None)),
        (f"{BASE}x/Patient/1", ReferenceValue(None, None, f"{BASE}x/Patient/1")),
        ("https://elsewhere/Patient/1/_history/3", ReferenceValue(None, None, "https://elsewhere/Patient/1")),
        ("urn:uuid:6a7b", ReferenceValue(None, None, "urn:uuid:6a7b")),
        ("#p", ReferenceValue(None, None, "#p")),
        ("patient/1", ReferenceValue(None, None, "patient/1")),
        ("Patient/", ReferenceValue(None, None, "Patient/")),
    ],
)
def test_a_reference_is_local_or_a_url(reference: str, expected: ReferenceValue) -> None:
    assert parse(reference, BASE) == expected


def test_without_a_base_only_relative_references_are_local() -> None:
    assert parse("/Patient/1", "") == ReferenceValue(None, None, "/Patient/1")
    assert parse("Patient/1", "") == ReferenceValue("Patient", "1", None)


def test_walk_finds_every_reference_with_its_path() -> None:
    resource = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Specimen", "subject": {"reference": "Patient/2"}}],
        "extension": [{"url": "u", "valueReference": {"reference": "#s"}}],
        "subject": {"reference": "Patient/1", "display": "x"},
        "performer": [{"display": "nobody"}, {"reference": "Practitioner/1"}],
    }
    assert list(walk(resource)) == [
        ("Observation.contained[0].subject", "Patient/2"),
        ("Observation.extension[0].valueReference", "#s"),
        ("Observation.subject", "Patient/1"),
        ("Observation.performer[1]", "Practitioner/1"),
    ]


@pytest.mark.parametrize(
    ("resource", "patients"),
    [
        ({"resourceType": "Patient", "id": "1", "link": [{"other": {"reference": "Patient/2"}}]}, ("1",)),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/1/_history/3"}}, ("1",)),
        ({"resourceType": "Observation", "subject": {"reference": "Group/1"}}, ()),
        ({"resourceType": "Observation", "subject": {"identifier": {"value": "1"}}}, ()),
        ({"resourceType": "Observation", "subject": {"reference": "https://elsewhere/Patient/1"}}, ()),
        ({"resourceType": "Observation", "subject": {"reference": f"{BASE}/Patient/1"}}, ("1",)),
        ({"resourceType": "Coverage", "beneficiary": {"reference": "Patient/1"}}, ("1",)),
        ({"resourceType": "RelatedPerson", "patient": {"reference": "Patient/1"}}, ("1",)),
        ({"resourceType": "Consent", "patient": {"reference": "Patient/1"}}, ("1",)),
        ({"resourceType": "Binary", "securityContext": {"reference": "Patient/1"}}, ("1",)),
        ({"resourceType": "Task", "for": {"reference": "Patient/1"}}, ("1",)),
        ({"resourceType": "Device", "patient": {"reference": "Patient/1"}}, ("1",)),
        ({"resourceType": "Organization", "name": "Patient/1"}, ()),
        (
            {
                "resourceType": "AuditEvent",
                "agent": [{"who": {"reference": "Practitioner/1"}}, {"who": {"reference": "Patient/2"}}],
                "entity": [{"what": {"reference": "Patient/1"}}, {"what": {"reference": "Patient/2"}}],
            },
            ("1", "2"),
        ),
        ({"resourceType": "Provenance", "target": [{"reference": "Patient/1/_history/1"}]}, ("1",)),
        (
            {
                "resourceType": "Bundle",
                "entry": [
                    {"resource": {"resourceType": "Patient", "id": "1"}},
                    {"resource": {"resourceType": "Encounter", "subject": {"reference": "Patient/2"}}},
                ],
            },
            ("1", "2"),
        ),
        (
            {
                "resourceType": "Medication",
                "contained": [
                    {"resourceType": "Patient", "id": "x"},
                    {"resourceType": "Observation", "subject": {"reference": "Patient/1"}},
                ],
            },
            ("1",),
        ),
        ({"resourceType": "Observation", "subject": "Patient/1"}, ()),
        ({"resourceType": "Nothing"}, ()),
        ({}, ()),
    ],
)
def test_a_resource_is_about_the_patients_of_its_compartments(
    resource: dict[str, object], patients: tuple[str, ...]
) -> None:
    assert sorted(patients_of(resource, BASE)) == sorted(patients)


def test_resources_at_any_depth_of_a_bundle_or_of_parameters_are_about_their_patients() -> None:
    def patient(identity: str) -> dict[str, object]:
        return {"resourceType": "Patient", "id": identity}

    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "a", "part": [{"name": "b", "part": [{"name": "c", "resource": patient("p1")}]}]},
            {
                "name": "d",
                "part": [{"name": "e", "part": [{"name": "f", "valueReference": {"reference": "Patient/p2"}}]}],
            },
        ],
    }
    bundle = {
        "resourceType": "Bundle",
        "type": "history",
        "entry": [
            {"response": {"status": "200", "outcome": patient("p3")}},
            {"resource": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": parameters}]}},
        ],
    }
    assert set(patients_of(bundle, BASE)) == {"p1", "p2", "p3"}
