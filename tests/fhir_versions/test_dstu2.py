"""DSTU2 to R4 in one step."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fhir_versions.conftest import Converting

KEPT = "http://hl7.org/fhir/1.0/StructureDefinition/extension-"
TERMS = "http://terminology.hl7.org/CodeSystem/"
PATIENT = {"reference": "Patient/p1"}


def test_an_order_of_a_medication_is_a_medication_request(converted: Converting) -> None:
    made = converted(
        "dstu2",
        {
            "resourceType": "MedicationOrder",
            "id": "m1",
            "status": "active",
            "dateWritten": "2016-11-13",
            "patient": PATIENT,
            "prescriber": {"reference": "Practitioner/1"},
            "medicationCodeableConcept": {"text": "aspirin"},
            "reasonCodeableConcept": {"text": "pain"},
            "note": "with water",
            "priorPrescription": {"reference": "MedicationOrder/m0"},
            "dosageInstruction": [
                {
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnits": "d"}},
                    "doseQuantity": {"value": 1},
                    "additionalInstructions": {"text": "slowly"},
                }
            ],
            "substitution": {"type": {"text": "generic"}},
        },
    ).resource
    assert (made["resourceType"], made["id"], made["intent"]) == ("MedicationRequest", "m1", "order")
    assert made["subject"] == PATIENT
    assert made["reasonCode"] == [{"text": "pain"}]
    assert made["note"] == [{"text": "with water"}]
    assert made["priorPrescription"] == {"reference": "MedicationRequest/m0"}
    (dosage,) = made["dosageInstruction"]
    assert dosage["timing"]["repeat"]["periodUnit"] == "d"
    assert dosage["doseAndRate"] == [{"doseQuantity": {"value": 1}}]
    assert dosage["additionalInstruction"] == [{"text": "slowly"}]
    assert made["substitution"] == {"allowedCodeableConcept": {"text": "generic"}}


@pytest.mark.parametrize(
    ("status", "clinical", "verification"),
    [
        ("active", "active", None),
        ("confirmed", "active", "confirmed"),
        ("refuted", None, "refuted"),
        ("resolved", "resolved", None),
    ],
)
def test_the_one_status_of_an_allergy_is_two_in_r4(
    status: str, clinical: str | None, verification: str | None, converted: Converting
) -> None:
    made = converted(
        "dstu2",
        {
            "resourceType": "AllergyIntolerance",
            "status": status,
            "substance": {"text": "nuts"},
            "patient": PATIENT,
            "criticality": "CRITH",
            "reporter": PATIENT,
        },
    ).resource
    codes = [made.get(name, {}).get("coding", [{}])[0].get("code") for name in ("clinicalStatus", "verificationStatus")]
    assert codes == [clinical, verification]
    assert (made["criticality"], made["code"], made["asserter"]) == ("high", {"text": "nuts"}, PATIENT)


def test_an_encounter_has_a_class_from_actcode_and_its_diagnoses_have_roles(converted: Converting) -> None:
    made = converted(
        "dstu2",
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": "inpatient",
            "patient": PATIENT,
            "indication": [{"reference": "Condition/1"}],
            "hospitalization": {
                "admittingDiagnosis": [{"reference": "Condition/2"}],
                "dischargeDiagnosis": [{"reference": "Condition/3"}],
                "admitSource": {"text": "street"},
            },
        },
    ).resource
    assert made["class"] == {"system": f"{TERMS}v3-ActCode", "code": "IMP"}
    assert made["reasonReference"] == [{"reference": "Condition/1"}]
    assert [(it["condition"]["reference"], it["use"]["coding"][0]["code"]) for it in made["diagnosis"]] == [
        ("Condition/2", "AD"),
        ("Condition/3", "DD"),
    ]
    assert made["hospitalization"] == {"admitSource": {"text": "street"}}


def test_a_diagnostic_order_is_a_service_request_of_its_first_item(converted: Converting) -> None:
    made = converted(
        "dstu2",
        {
            "resourceType": "DiagnosticOrder",
            "status": "in-progress",
            "subject": PATIENT,
            "orderer": {"reference": "Practitioner/1"},
            "item": [{"code": {"text": "sodium"}}, {"code": {"text": "potassium"}, "bodySite": {"text": "arm"}}],
        },
    ).resource
    assert (made["resourceType"], made["status"], made["intent"]) == ("ServiceRequest", "active", "order")
    assert made["code"] == {"text": "sodium"}
    assert made["bodySite"] == [{"text": "arm"}]
    assert made["extension"] == [
        {"url": f"{KEPT}DiagnosticOrder.item.code", "valueCodeableConcept": {"text": "potassium"}}
    ]


def test_several_family_names_are_one_string_and_keep_their_extensions(converted: Converting) -> None:
    made = converted(
        "dstu2",
        {
            "resourceType": "Patient",
            "name": [
                {
                    "family": ["van", "Dyke"],
                    "_family": [None, {"extension": [{"url": "http://example.org/x", "valueBoolean": True}]}],
                }
            ],
            "careProvider": [{"reference": "Practitioner/1"}],
        },
    ).resource
    assert made["name"][0]["family"] == "van Dyke"
    assert made["name"][0]["_family"]["extension"][0]["url"] == "http://example.org/x"
    assert made["generalPractitioner"] == [{"reference": "Practitioner/1"}]


def test_a_group_of_questions_is_an_item_of_type_group(converted: Converting) -> None:
    inner: dict[str, Any] = {
        "linkId": "1",
        "title": "A",
        "question": [
            {"linkId": "1.1", "type": "choice", "option": [{"code": "a"}, {"code": "b"}]},
            {"linkId": "1.2", "type": "string", "group": [{"linkId": "1.2.1", "text": "why"}]},
        ],
    }
    made = converted(
        "dstu2", {"resourceType": "Questionnaire", "status": "published", "group": {"linkId": "0", "group": [inner]}}
    ).resource
    (root,) = made["item"]
    (group,) = root["item"]
    assert (made["status"], root["type"], group["type"], group["prefix"]) == ("active", "group", "group", "A")
    assert [it["type"] for it in group["item"]] == ["choice", "string"]
    assert group["item"][0]["answerOption"] == [{"valueCoding": {"code": "a"}}, {"valueCoding": {"code": "b"}}]
    assert group["item"][1]["item"] == [{"linkId": "1.2.1", "text": "why", "type": "group"}]


def test_what_r4_requires_and_dstu2_lacks_is_absent_with_a_reason(converted: Converting) -> None:
    made = converted("dstu2", {"resourceType": "Coverage", "issuer": {"reference": "Organization/1"}, "group": "G1"})
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    assert made.resource["_status"] == absent
    assert made.resource["beneficiary"] == absent
    assert made.resource["payor"] == [{"reference": "Organization/1"}]
    assert {it.target for it in made.notes} == {"status", "beneficiary"}


def test_a_narrative_gets_its_namespace_and_empty_strings_are_given_up(converted: Converting) -> None:
    made = converted(
        "dstu2",
        {
            "resourceType": "Observation",
            "text": {"status": "generated", "div": "<div>fine</div>"},
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": ""},
        },
    )
    assert made.resource["text"]["div"] == '<div xmlns="http://www.w3.org/1999/xhtml">fine</div>'
    assert "subject" not in made.resource
    assert [it.source for it in made.losses] == ["subject.reference"]
