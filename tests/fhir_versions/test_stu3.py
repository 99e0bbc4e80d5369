"""STU3 to R4: what changed its name, its type or its meaning."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.fhir_versions.conftest import Converting

from hawsepipe import Severity

KEPT = "http://hl7.org/fhir/3.0/StructureDefinition/extension-"
TERMS = "http://terminology.hl7.org/CodeSystem/"
PATIENT = {"reference": "Patient/p1"}


def test_an_encounter_gives_its_reasons_and_referrals_other_names(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "Encounter",
            "id": "e1",
            "status": "finished",
            "class": {"system": "http://hl7.org/fhir/v3/ActCode", "code": "AMB"},
            "subject": PATIENT,
            "reason": [{"text": "cough"}],
            "incomingReferral": [{"reference": "ReferralRequest/r1"}],
            "diagnosis": [{"condition": {"reference": "Condition/c1"}, "role": {"text": "admission"}, "rank": 1}],
        },
    ).resource
    assert made["class"]["system"] == f"{TERMS}v3-ActCode"
    assert made["reasonCode"] == [{"text": "cough"}]
    assert made["basedOn"] == [{"reference": "ServiceRequest/r1"}]
    assert made["diagnosis"] == [{"condition": {"reference": "Condition/c1"}, "use": {"text": "admission"}, "rank": 1}]
    assert "reason" not in made


def test_a_context_that_is_an_episode_of_care_is_the_standard_extension(converted: Converting) -> None:
    condition = {"resourceType": "Condition", "subject": PATIENT, "assertedDate": "2020-01-02"}
    visit = converted("stu3", {**condition, "context": {"reference": "Encounter/e1"}}).resource
    episode = converted("stu3", {**condition, "context": {"reference": "EpisodeOfCare/e1"}}).resource
    assert visit["encounter"] == {"reference": "Encounter/e1"}
    assert visit["recordedDate"] == "2020-01-02"
    assert episode["extension"] == [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/workflow-episodeOfCare",
            "valueReference": {"reference": "EpisodeOfCare/e1"},
        }
    ]


def test_a_status_code_becomes_a_concept_of_the_system_that_r4_requires(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": "resolved",
            "verificationStatus": "confirmed",
            "patient": PATIENT,
        },
    ).resource
    assert made["clinicalStatus"] == {"coding": [{"system": f"{TERMS}allergyintolerance-clinical", "code": "resolved"}]}
    assert made["verificationStatus"]["coding"][0]["code"] == "confirmed"


def test_a_reason_not_given_is_no_reason_for_giving(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "Immunization",
            "status": "completed",
            "notGiven": True,
            "vaccineCode": {"text": "measles"},
            "patient": PATIENT,
            "date": "2020-01-02",
            "primarySource": True,
            "explanation": {"reasonNotGiven": [{"text": "refused"}, {"text": "ill"}]},
            "practitioner": [{"role": {"text": "gave it"}, "actor": {"reference": "Practitioner/1"}}],
            "vaccinationProtocol": [
                {"doseSequence": 2, "targetDisease": [{"text": "measles"}], "doseStatus": {"text": "counts"}}
            ],
        },
    ).resource
    assert made["status"] == "not-done"
    assert made["_status"] == {"extension": [{"url": f"{KEPT}Immunization.status", "valueCode": "completed"}]}
    assert made["statusReason"] == {"text": "refused"}
    assert "reasonCode" not in made
    assert made["occurrenceDateTime"] == "2020-01-02"
    assert made["performer"] == [{"function": {"text": "gave it"}, "actor": {"reference": "Practitioner/1"}}]
    assert made["protocolApplied"][0]["doseNumberPositiveInt"] == 2
    assert made["extension"] == [
        {"url": f"{KEPT}Immunization.explanation.reasonNotGiven", "valueCodeableConcept": {"text": "ill"}}
    ]


@pytest.mark.parametrize(
    ("type_", "flag", "status"),
    [
        ("Procedure", "notDone", "not-done"),
        ("MedicationDispense", "notDone", "declined"),
        ("Communication", "notDone", "not-done"),
    ],
)
def test_what_was_not_done_has_a_status_that_says_so(type_: str, flag: str, status: str, converted: Converting) -> None:
    base: dict[str, Any] = {"resourceType": type_, "status": "completed", "subject": PATIENT}
    if type_ == "MedicationDispense":
        base["medicationCodeableConcept"] = {"text": "aspirin"}
    assert converted("stu3", {**base, flag: True}).resource["status"] == status
    assert converted("stu3", {flag: False, **base}).resource["status"] == "completed"


def test_a_medication_that_is_not_taken_has_that_status_and_its_old_one_is_kept(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationCodeableConcept": {"text": "aspirin"},
            "subject": PATIENT,
            "taken": "n",
            "reasonNotTaken": [{"text": "rash"}],
        },
    ).resource
    assert made["status"] == "not-taken"
    assert made["_status"]["extension"][0]["valueCode"] == "active"
    assert made["statusReason"] == [{"text": "rash"}]
    assert made["extension"] == [{"url": f"{KEPT}MedicationStatement.taken", "valueCode": "n"}]


def test_a_dose_moves_into_the_dose_and_rate_and_decimals_stay_as_they_were_spelt(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationReference": {"reference": "Medication/1"},
            "subject": PATIENT,
            "requester": {"agent": {"reference": "Practitioner/1"}, "onBehalfOf": {"reference": "Organization/1"}},
            "dosageInstruction": [
                {
                    "text": "one",
                    "doseQuantity": {"value": Decimal("1.00"), "unit": "tablet"},
                    "rateRatio": {"numerator": {"value": 1}},
                }
            ],
        },
    ).resource
    (dosage,) = made["dosageInstruction"]
    assert dosage["doseAndRate"] == [
        {"doseQuantity": {"value": Decimal("1.00"), "unit": "tablet"}, "rateRatio": {"numerator": {"value": 1}}}
    ]
    assert str(dosage["doseAndRate"][0]["doseQuantity"]["value"]) == "1.00"
    assert made["requester"] == {"reference": "Practitioner/1"}
    assert made["extension"][0]["url"] == f"{KEPT}MedicationRequest.requester.onBehalfOf"


def test_related_observations_are_members_or_sources_or_kept(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "panel"},
            "comment": "well done",
            "related": [
                {"type": "has-member", "target": {"reference": "Observation/1"}},
                {"type": "derived-from", "target": {"reference": "Observation/2"}},
                {"type": "replaces", "target": {"reference": "Observation/3"}},
                {"target": {"reference": "Observation/4"}},
            ],
        },
    ).resource
    assert made["note"] == [{"text": "well done"}]
    assert made["hasMember"] == [{"reference": "Observation/1"}]
    assert made["derivedFrom"] == [{"reference": "Observation/2"}]
    assert [it["url"] for it in made["extension"]] == [f"{KEPT}Observation.related"] * 2
    assert made["extension"][0]["extension"] == [
        {"url": "type", "valueCode": "replaces"},
        {"url": "target", "valueReference": {"reference": "Observation/3"}},
    ]


def test_the_levels_of_a_coverage_are_classes(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "Coverage",
            "status": "active",
            "beneficiary": PATIENT,
            "payor": [{"reference": "Organization/1"}],
            "grouping": {"group": "G1", "groupDisplay": "Group one", "subPlan": "S1"},
            "sequence": "9",
        },
    ).resource
    assert [(it["type"]["coding"][0]["code"], it["value"], it.get("name")) for it in made["class"]] == [
        ("group", "G1", "Group one"),
        ("subplan", "S1", None),
        ("sequence", "9", None),
    ]


def test_a_consent_keeps_its_terms_as_provisions_and_claims_no_scope(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "Consent",
            "status": "active",
            "patient": PATIENT,
            "policyRule": "http://example.org/policy",
            "securityLabel": [{"system": "http://hl7.org/fhir/v3/Confidentiality", "code": "R"}],
            "consentingParty": [PATIENT],
            "except": [{"type": "deny", "purpose": [{"system": "http://hl7.org/fhir/v3/ActReason", "code": "HRESCH"}]}],
        },
    ).resource
    provision = made["provision"]
    assert provision["securityLabel"] == [{"system": f"{TERMS}v3-Confidentiality", "code": "R"}]
    assert provision["provision"][0]["type"] == "deny"
    assert provision["provision"][0]["purpose"][0]["system"] == f"{TERMS}v3-ActReason"
    assert made["policyRule"]["coding"] == [{"system": "urn:ietf:rfc:3986", "code": "http://example.org/policy"}]
    assert "coding" not in made["scope"]


def test_a_goal_has_two_statuses(converted: Converting) -> None:
    def goal(status: str) -> dict[str, Any]:
        made = converted(
            "stu3",
            {"resourceType": "Goal", "status": status, "description": {"text": "walk"}, "subject": PATIENT},
        )
        return made.resource

    assert goal("on-hold")["lifecycleStatus"] == "on-hold"
    achieved = goal("achieved")
    assert (achieved["lifecycleStatus"], achieved["achievementStatus"]["coding"][0]["code"]) == (
        "completed",
        "achieved",
    )
    behind = goal("behind-target")
    assert behind["lifecycleStatus"] == "active"
    assert behind["_lifecycleStatus"]["extension"][0]["valueCode"] == "behind-target"


def test_extensions_of_primitives_ids_and_contained_resources_survive(converted: Converting) -> None:
    born = {
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
                "valueDateTime": "2020-01-02T03:04:05Z",
            }
        ]
    }
    made = converted(
        "stu3",
        {
            "resourceType": "Patient",
            "id": "p1",
            "contained": [{"resourceType": "Organization", "id": "o1", "name": "clinic"}],
            "name": [
                {
                    "id": "n1",
                    "given": ["Ann", None],
                    "_given": [None, {"extension": [{"url": "http://example.org/x", "valueCode": "masked"}]}],
                }
            ],
            "birthDate": "2020-01-02",
            "_birthDate": born,
            "managingOrganization": {"reference": "#o1"},
            "animal": {"species": {"text": "dog"}, "breed": {"text": "poodle"}},
        },
    ).resource
    assert made["_birthDate"] == born
    assert made["contained"] == [{"resourceType": "Organization", "id": "o1", "name": "clinic"}]
    assert made["name"][0]["given"] == ["Ann", None]
    assert made["name"][0]["_given"][1]["extension"][0]["valueCode"] == "masked"
    assert made["extension"] == [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/patient-animal",
            "extension": [
                {"url": "species", "valueCodeableConcept": {"text": "dog"}},
                {"url": "breed", "valueCodeableConcept": {"text": "poodle"}},
            ],
        }
    ]


def test_a_code_that_r4_does_not_have_is_kept_beside_the_place_of_a_code(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "docStatus": "appended",
            "content": [{"attachment": {"title": "x"}}],
        },
    )
    assert "docStatus" not in made.resource
    assert made.resource["_docStatus"]["extension"] == [
        {"url": f"{KEPT}DocumentReference.docStatus", "valueCode": "appended"}
    ]
    assert [(it.target, it.severity) for it in made.notes] == [("docStatus", Severity.WARNING)]


def test_a_reference_to_a_type_that_r4_does_not_take_there_is_kept(converted: Converting) -> None:
    made = converted(
        "stu3",
        {
            "resourceType": "Specimen",
            "subject": PATIENT,
            "collection": {"collector": {"reference": "Organization/1"}},
        },
    ).resource
    assert made["collection"]["extension"] == [
        {"url": f"{KEPT}Specimen.collection.collector", "valueReference": {"reference": "Organization/1"}}
    ]


def test_a_modifier_extension_is_lifted_and_never_lost_in_silence(converted: Converting) -> None:
    extension = {"url": "http://example.org/not", "valueBoolean": True}
    made = converted(
        "stu3",
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "x"},
            "performer": [{"actor": {"reference": "Practitioner/1"}, "modifierExtension": [extension]}],
        },
    )
    assert made.resource["performer"] == [{"reference": "Practitioner/1"}]
    assert made.resource["modifierExtension"] == [extension]
    assert [(it.target, it.severity) for it in made.notes] == [("modifierExtension[0]", Severity.WARNING)]


def test_what_the_version_does_not_have_is_reported_with_its_path(converted: Converting) -> None:
    made = converted("stu3", {"resourceType": "Patient", "name": [{"family": "Doe", "surname": "Roe"}]})
    assert [(it.source, it.severity) for it in made.losses] == [("name[0].surname", Severity.ERROR)]


def test_a_type_without_a_counterpart_is_a_basic_resource_that_says_it_all(converted: Converting) -> None:
    made = converted("stu3", {"resourceType": "DataElement", "id": "d1", "status": "active", "title": "x"}).resource
    assert made["resourceType"] == "Basic"
    assert made["code"]["coding"] == [{"system": "http://hl7.org/fhir/3.0/resource-types", "code": "DataElement"}]
    assert made["extension"] == [
        {"url": f"{KEPT}DataElement.status", "valueCode": "active"},
        {"url": f"{KEPT}DataElement.title", "valueString": "x"},
    ]


def test_an_item_of_an_item_follows_the_rows_of_the_item(converted: Converting) -> None:
    item = {
        "linkId": "1",
        "type": "group",
        "item": [
            {
                "linkId": "1.1",
                "type": "choice",
                "option": [{"valueString": "a"}, {"valueString": "b"}],
                "enableWhen": [{"question": "1", "hasAnswer": True}],
            }
        ],
    }
    made = converted("stu3", {"resourceType": "Questionnaire", "status": "draft", "item": [item]}).resource
    (inner,) = made["item"][0]["item"]
    assert inner["answerOption"] == [{"valueString": "a"}, {"valueString": "b"}]
    assert inner["enableWhen"] == [{"question": "1", "operator": "exists", "answerBoolean": True}]
