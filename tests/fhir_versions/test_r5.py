"""R5 to R4."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fhir_versions.conftest import Converting

KEPT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"
TERMS = "http://terminology.hl7.org/CodeSystem/"
PATIENT = {"reference": "Patient/p1"}


def test_the_reasons_of_an_encounter_stay(converted: Converting) -> None:
    made = converted(
        "r5",
        {
            "resourceType": "Encounter",
            "status": "completed",
            "class": [{"coding": [{"code": "AMB"}]}],
            "subject": PATIENT,
            "participant": [{"actor": {"reference": "Practitioner/1"}}, {"actor": {"reference": "Device/1"}}],
            "actualPeriod": {"start": "2020-01-02"},
            "reason": [
                {
                    "use": [{"text": "chief"}],
                    "value": [{"concept": {"text": "cough"}}, {"reference": {"reference": "Condition/1"}}],
                }
            ],
            "admission": {"origin": {"reference": "Location/1"}},
            "dietPreference": [{"text": "vegan"}],
        },
    ).resource
    assert (made["status"], made["class"], made["period"]) == ("finished", {"code": "AMB"}, {"start": "2020-01-02"})
    assert made["reasonCode"] == [{"text": "cough"}]
    assert made["reasonReference"] == [{"reference": "Condition/1"}]
    assert made["hospitalization"] == {"origin": {"reference": "Location/1"}, "dietPreference": [{"text": "vegan"}]}
    assert made["participant"][0] == {"individual": {"reference": "Practitioner/1"}}
    assert made["participant"][1]["extension"][0]["url"] == f"{KEPT}Encounter.participant.actor"
    assert made["extension"] == [{"url": f"{KEPT}Encounter.reason.use", "valueCodeableConcept": {"text": "chief"}}]


@pytest.mark.parametrize(("code", "status"), [("taking", "active"), ("not-taking", "not-taken"), (None, "unknown")])
def test_whether_a_medication_is_taken_is_part_of_the_status(
    code: str | None, status: str, converted: Converting
) -> None:
    statement: dict[str, Any] = {
        "resourceType": "MedicationStatement",
        "status": "recorded",
        "medication": {"reference": {"reference": "Medication/1"}},
        "subject": PATIENT,
        "reason": [{"concept": {"text": "pain"}}],
    }
    if code is not None:
        statement["adherence"] = {"code": {"coding": [{"code": code}]}}
    made = converted("r5", statement).resource
    assert made["status"] == status
    assert made["medicationReference"] == {"reference": "Medication/1"}
    assert made["reasonCode"] == [{"text": "pain"}]


def test_participants_with_a_function_are_recorder_and_asserter(converted: Converting) -> None:
    def participant(code: str, number: int) -> dict[str, Any]:
        return {"function": {"coding": [{"code": code}]}, "actor": {"reference": f"Practitioner/{number}"}}

    made = converted(
        "r5",
        {
            "resourceType": "Condition",
            "clinicalStatus": {"coding": [{"system": f"{TERMS}condition-clinical", "code": "active"}]},
            "subject": PATIENT,
            "participant": [participant("enterer", 1), participant("informant", 2), participant("reviewer", 3)],
            "evidence": [{"concept": {"text": "seen"}}],
        },
    ).resource
    assert (made["recorder"], made["asserter"]) == ({"reference": "Practitioner/1"}, {"reference": "Practitioner/2"})
    assert [it["url"] for it in made["extension"]] == [f"{KEPT}Condition.participant"]
    assert made["evidence"] == [{"code": [{"text": "seen"}]}]


def test_a_consent_states_its_decision_as_the_type_of_each_rule(converted: Converting) -> None:
    made = converted(
        "r5",
        {
            "resourceType": "Consent",
            "status": "active",
            "subject": PATIENT,
            "date": "2020-01-02",
            "decision": "deny",
            "provision": [{"purpose": [{"code": "TREAT"}], "provision": [{"purpose": [{"code": "HMARKT"}]}]}],
        },
    ).resource
    rule = made["provision"]
    (exception,) = rule["provision"]
    assert (made["patient"], made["dateTime"]) == (PATIENT, "2020-01-02")
    assert (rule["type"], exception["type"], exception["provision"][0]["type"]) == ("deny", "permit", "deny")


def test_a_concept_with_a_text_alone_is_a_string_and_any_other_is_kept(converted: Converting) -> None:
    made = converted(
        "r5",
        {
            "resourceType": "CommunicationRequest",
            "status": "active",
            "intent": "order",
            "payload": [
                {"contentCodeableConcept": {"text": "words"}},
                {"contentCodeableConcept": {"coding": [{"code": "c"}]}},
            ],
        },
    ).resource
    assert made["payload"][0] == {"contentString": "words"}
    assert made["payload"][1]["extension"][0]["valueCodeableConcept"] == {"coding": [{"code": "c"}]}


def test_a_size_is_a_number_and_one_that_r4_cannot_hold_is_kept(converted: Converting) -> None:
    def size(text: str) -> Any:
        made = converted(
            "r5",
            {"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": {"size": text}}]},
        )
        return made.resource["content"][0]["attachment"]

    assert size("42") == {"size": 42}
    assert size("9999999999")["_size"]["extension"][0] == {"url": f"{KEPT}Attachment.size", "valueString": "9999999999"}


def test_more_than_one_of_what_r4_has_once_is_kept(converted: Converting) -> None:
    made = converted(
        "r5",
        {
            "resourceType": "MedicationRequest",
            "status": "ended",
            "intent": "order",
            "medication": {"concept": {"text": "aspirin"}},
            "subject": PATIENT,
            "performer": [{"reference": "Practitioner/1"}, {"reference": "Practitioner/2"}],
        },
    ).resource
    assert made["status"] == "completed"
    assert made["medicationCodeableConcept"] == {"text": "aspirin"}
    assert made["performer"] == {"reference": "Practitioner/1"}
    assert made["extension"] == [
        {"url": f"{KEPT}MedicationRequest.performer", "valueReference": {"reference": "Practitioner/2"}}
    ]


def test_opening_hours_and_attesters_find_their_places(converted: Converting) -> None:
    hours = [{"daysOfWeek": ["mon"], "availableStartTime": "08:00:00"}, {"daysOfWeek": ["tue"], "allDay": True}]
    place = converted("r5", {"resourceType": "Location", "hoursOfOperation": [{"availableTime": hours}]}).resource
    assert place["hoursOfOperation"] == [
        {"daysOfWeek": ["mon"], "openingTime": "08:00:00"},
        {"daysOfWeek": ["tue"], "allDay": True},
    ]
    document = converted(
        "r5",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "attester": [
                {"mode": {"coding": [{"code": "personal"}]}, "party": {"reference": "Practitioner/1"}},
                {"mode": {"coding": [{"code": "professional"}]}, "party": {"reference": "Practitioner/2"}},
            ],
            "content": [{"attachment": {"title": "x"}}],
        },
    ).resource
    assert document["authenticator"] == {"reference": "Practitioner/2"}
    assert [it["url"] for it in document["extension"]] == [f"{KEPT}DocumentReference.attester"]
