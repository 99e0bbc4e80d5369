"""The translator kind `fhir`: bodies of any version to changes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from hawsepipe import MessageError, Method, RawMessage, Severity, Translation
from hawsepipe_fhir import guessed
from hawsepipe_fhir.translator import FhirTranslator

RECEIVED = datetime(2026, 3, 1, 8, 31, tzinfo=UTC)
JSON = "application/fhir+json"


def message(body: Any, media_type: str = JSON) -> RawMessage:
    return RawMessage("f", RECEIVED, media_type, json.dumps(body).encode())


def translated(body: Any, media_type: str = JSON, **settings: str) -> Translation:
    return FhirTranslator(settings).translate(message(body, media_type))


ORDER = {
    "resourceType": "MedicationOrder",
    "id": "m1",
    "status": "active",
    "patient": {"reference": "Patient/p1"},
    "medicationCodeableConcept": {"text": "aspirin"},
    "meta": {"versionId": "7", "lastUpdated": "2020-01-02T03:04:05+01:00"},
}


def test_a_resource_of_another_version_is_a_put_under_its_own_id() -> None:
    made = translated(ORDER, f"{JSON}; fhirVersion=1.0")
    (change,) = made.changes
    assert (change.method, change.type, change.id) == (Method.PUT, "MedicationRequest", "m1")
    assert change.resource is not None
    assert change.resource["subject"] == {"reference": "Patient/p1"}
    assert change.resource["meta"] == {
        "extension": [
            {
                "url": "urn:hawsepipe:extension:source-version",
                "extension": [
                    {"url": "versionId", "valueString": "7"},
                    {"url": "lastUpdated", "valueInstant": "2020-01-02T03:04:05+01:00"},
                ],
            }
        ]
    }
    assert made.label == "DSTU2 MedicationRequest"
    assert made.event_time == datetime(2020, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert ("MedicationRequest/m1", "subject.reference", "patient.reference") in {tuple(it) for it in made.trail}


@pytest.mark.parametrize(
    ("media_type", "version"),
    [
        ("application/fhir+json", "R4"),
        ("application/fhir+json; charset=utf-8; fhirVersion=3.0", "STU3"),
        ('application/json; fhirVersion="5.0"', "R5"),
        ("application/fhir+json;fhirversion=4.0.1", "R4"),
    ],
)
def test_the_media_type_says_the_version(media_type: str, version: str) -> None:
    assert translated({"resourceType": "Patient", "id": "p1"}, media_type).label == f"{version} Patient"


def test_without_a_version_the_resource_the_setting_or_its_shape_decides() -> None:
    assert translated(ORDER, version="DSTU2").changes[0].type == "MedicationRequest"
    assert translated(ORDER, version="guess").changes[0].type == "MedicationRequest"
    profiled = {"resourceType": "Patient", "meta": {"profile": ["http://hl7.org/fhir/3.0/StructureDefinition/Patient"]}}
    assert translated(profiled).label == "STU3 Patient"
    assert (
        guessed({"resourceType": "Encounter", "status": "finished", "reason": [{"text": "x"}], "patient": {}})
        == "dstu2"
    )
    assert guessed({"resourceType": "Encounter", "status": "finished", "actualPeriod": {}}) == "r5"
    assert guessed({"resourceType": "Patient", "active": True}) == "r4"


@pytest.mark.parametrize(
    ("body", "media_type", "cause"),
    [
        (b"<Patient/>", "application/fhir+xml", "structure"),
        (b"{", JSON, "parse"),
        (b"[]", JSON, "parse"),
        (b'{"a": 1, "a": 2}', JSON, "parse"),
        (b"{}", JSON, "structure"),
        (b'{"resourceType": "Patient"}', f"{JSON}; fhirVersion=9.9", "structure"),
        (b'{"resourceType": "Nothing"}', f"{JSON}; fhirVersion=3.0", "structure"),
        (b'{"resourceType": 7}', f"{JSON}; fhirVersion=3.0", "structure"),
        (b'{"resourceType": "Bundle", "type": "batch", "entry": []}', JSON, "structure"),
    ],
)
def test_what_is_no_message_is_refused_in_words_without_content(body: bytes, media_type: str, cause: str) -> None:
    with pytest.raises(MessageError) as refused:
        FhirTranslator({}).translate(RawMessage("f", RECEIVED, media_type, body))
    assert refused.value.cause == cause


def test_elements_of_no_version_refuse_the_message_unless_the_settings_say_otherwise() -> None:
    body = {"resourceType": "Patient", "id": "p1", "favouriteColour": "red"}
    with pytest.raises(MessageError, match="favouriteColour"):
        translated(body, f"{JSON}; fhirVersion=3.0")
    made = translated(body, f"{JSON}; fhirVersion=3.0", unreadable="report")
    assert [(it.severity, it.location) for it in made.issues] == [(Severity.WARNING, "favouriteColour")]


def test_a_name_that_no_element_can_have_is_not_repeated() -> None:
    body = {"resourceType": "Patient", "id": "p1", "name": [{"Jane Doe, 1 Main St": 1}]}
    made = translated(body, f"{JSON}; fhirVersion=3.0", unreadable="report")
    assert [it.location for it in made.issues] == ["name[0].?"]


def bundle(type_: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries)}


def test_references_inside_a_bundle_lead_to_what_its_entries_become() -> None:
    made = translated(
        bundle(
            "transaction",
            {
                "fullUrl": "urn:uuid:6bc55e39-55de-4b9c-9d70-2b6a0e96b4b8",
                "resource": {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "7"}]},
                "request": {"method": "POST", "url": "Patient"},
            },
            {
                "fullUrl": "http://old/fhir/MedicationOrder/m1",
                "resource": {**ORDER, "patient": {"reference": "urn:uuid:6bc55e39-55de-4b9c-9d70-2b6a0e96b4b8"}},
                "request": {"method": "PUT", "url": "MedicationOrder/m1"},
            },
            {
                "resource": {
                    "resourceType": "MedicationAdministration",
                    "id": "a1",
                    "status": "completed",
                    "patient": {"reference": "http://old/fhir/Patient/p9"},
                    "prescription": {"reference": "http://old/fhir/MedicationOrder/m1"},
                    "medicationReference": {"reference": "http://else/fhir/Medication/1"},
                    "effectiveTimeDateTime": "2020-01-02",
                },
                "request": {"method": "PUT", "url": "MedicationAdministration/a1"},
            },
            {"request": {"method": "DELETE", "url": "DiagnosticOrder/d1"}},
        ),
        f"{JSON}; fhirVersion=1.0",
    )
    patient, order, given, gone = made.changes
    assert patient.resource is not None
    assert order.resource is not None
    assert given.resource is not None
    assert order.resource["subject"] == {"reference": f"Patient/{patient.id}"}
    assert given.resource["request"] == {"reference": "MedicationRequest/m1"}
    assert given.resource["subject"] == {"reference": "Patient/p9"}
    assert given.resource["medicationReference"] == {"reference": "http://else/fhir/Medication/1"}
    assert (gone.method, gone.type, gone.id, gone.resource) == (Method.DELETE, "ServiceRequest", "d1", None)
    assert made.label == "DSTU2 Bundle transaction (4 resources)"
    sources = {(it.path, it.source) for it in made.trail if it.resource == "MedicationRequest/m1"}
    assert ("subject.reference", "entry[1].resource.patient.reference") in sources


def test_the_same_message_gives_the_same_ids_and_equal_resources_stay_apart() -> None:
    note = {"resource": {"resourceType": "Basic", "code": {"text": "note"}}}
    made = translated(bundle("collection", note, note))
    again = translated(bundle("collection", note, note))
    assert made == again
    assert len({change.id for change in made.changes}) == 2


def test_a_name_for_the_source_keeps_its_ids_apart_from_those_of_another() -> None:
    body = bundle(
        "collection",
        {"resource": {"resourceType": "Patient", "id": "1"}},
        {
            "resource": {
                "resourceType": "Observation",
                "id": "1",
                "status": "final",
                "subject": {"reference": "Patient/1/_history/3"},
            }
        },
    )
    one, other = translated(body, source="north"), translated(body, source="south")
    assert {change.id for change in one.changes}.isdisjoint(change.id for change in other.changes)
    patient, observation = one.changes
    assert observation.resource is not None
    assert observation.resource["subject"] == {"reference": f"Patient/{patient.id}"}


def test_a_history_gives_the_newest_version_of_each_resource() -> None:
    made = translated(
        bundle(
            "history",
            {
                "resource": {"resourceType": "Patient", "id": "1", "gender": "male"},
                "request": {"method": "PUT", "url": "Patient/1"},
            },
            {"resource": {"resourceType": "Patient", "id": "1"}, "request": {"method": "POST", "url": "Patient"}},
            {"request": {"method": "DELETE", "url": "Patient/2"}},
        )
    )
    assert [(it.method, it.id) for it in made.changes] == [(Method.PUT, "1"), (Method.DELETE, "2")]
    assert made.changes[0].resource is not None
    assert made.changes[0].resource["gender"] == "male"


def test_a_transaction_that_names_a_resource_twice_is_refused() -> None:
    entry = {"resource": {"resourceType": "Patient", "id": "1"}, "request": {"method": "PUT", "url": "Patient/1"}}
    with pytest.raises(MessageError):
        translated(bundle("transaction", entry, entry))


def test_a_search_gives_its_matches_and_not_its_outcome() -> None:
    made = translated(
        bundle(
            "searchset",
            {"resource": {"resourceType": "Patient", "id": "1"}, "search": {"mode": "match"}},
            {"resource": {"resourceType": "OperationOutcome", "issue": []}, "search": {"mode": "outcome"}},
        )
    )
    assert [change.type for change in made.changes] == ["Patient"]


def test_threads_share_a_translator() -> None:
    translator = FhirTranslator({})
    body = message(
        bundle("collection", *({"resource": {**ORDER, "id": f"m{n}"}} for n in range(20))), f"{JSON}; fhirVersion=1.0"
    )
    expected = translator.translate(body)
    with ThreadPoolExecutor(4) as pool:
        assert all(made == expected for made in pool.map(translator.translate, [body] * 40))


def test_the_rules_digest_tells_settings_apart() -> None:
    assert FhirTranslator({}).rules_digest == FhirTranslator({"version": "R4"}).rules_digest
    assert FhirTranslator({}).rules_digest != FhirTranslator({"source": "north"}).rules_digest


CONSENT = {
    "resourceType": "Consent",
    "id": "c1",
    "status": "active",
    "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
    "patient": {"reference": "Patient/p1"},
}


def test_a_consent_that_a_feed_brings_only_narrows_and_takes_no_other_away() -> None:
    made = translated(bundle("transaction", {"resource": CONSENT}, {"resource": PATIENT}))
    change = made.changes[0]
    assert change.resource is not None
    (kept, absent) = change.resource["scope"]["extension"]
    assert kept["valueCodeableConcept"] == CONSENT["scope"]
    assert absent["valueCode"] == "masked"
    assert (change.method, change.keep) == (Method.MERGE, frozenset(CONSENT) - {"id"})
    assert [it.location for it in made.issues] == ["entry[0].resource.scope"]
    other = translated({**CONSENT, "status": "inactive"}).changes[0]
    assert len({change.id, other.id, "c1"}) == 3, "what was there goes on narrowing beside it"
    assert translated(CONSENT).changes[0].id == change.id
    gone = bundle("history", {"request": {"method": "DELETE", "url": "Consent/c1"}}, {"resource": PATIENT})
    assert [it.type for it in translated(gone).changes] == ["Patient"]
    assert translated(CONSENT, consents="trust").changes[0].resource == CONSENT
    with pytest.raises(MessageError, match="takes no Consent"):
        translated(CONSENT, consents="refuse")


PATIENT = {"resourceType": "Patient", "id": "p1"}


@pytest.mark.parametrize("version", ["1.0", "3.0", "4.0", "5.0"])
@pytest.mark.parametrize(
    "part",
    [
        {"modifierExtension": [{"url": "urn:not", "valueBoolean": True}]},
        {"implicitRules": "urn:other-rules"},
        {"contact": [{"modifierExtension": [{"url": "urn:not", "valueBoolean": True}], "gender": "male"}]},
    ],
)
def test_a_modifier_that_nobody_here_understands_refuses_the_message(part: dict[str, Any], version: str) -> None:
    with pytest.raises(MessageError, match="nobody here understands"):
        translated(PATIENT | part, f"{JSON}; fhirVersion={version}")
    known: Any = {"modifiers": ["urn:not", "urn:other-rules"]}
    assert translated(PATIENT | part, f"{JSON}; fhirVersion={version}", **known).changes


def test_a_message_of_one_resource_is_as_old_as_the_resource() -> None:
    entry = {"resource": {**PATIENT, "meta": {"lastUpdated": "2020-01-02T03:04:05Z"}}}
    assert translated(bundle("history", entry)).event_time == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert translated(bundle("history", entry, entry | {"resource": VISITOR})).event_time is None


VISITOR = {"resourceType": "Patient", "id": "p2"}


def _record(server: str, version: str) -> tuple[dict[str, Any], str]:
    """The same patient, condition and results as two servers have them."""
    person = {
        "resourceType": "Patient",
        "id": f"{server}-1",
        "identifier": [
            {"system": "urn:card", "value": "9"},
            {"type": {"coding": [{"code": "MR"}]}, "system": "urn:mrn", "value": "77"},
        ],
    }
    whose = {"reference": f"Patient/{server}-1"}
    condition = {
        "resourceType": "Condition",
        "id": f"{server}-2",
        "code": {"coding": [{"system": "urn:c", "code": "1"}]},
        "clinicalStatus": "active",
        "verificationStatus": "confirmed",
        "patient" if version == "1.0" else "subject": whose,
        "onsetDateTime": "2020-01-01T10:00:00+01:00",
    }
    values = [
        {
            "resourceType": "Observation",
            "id": f"{server}-{n}",
            "status": "final",
            "subject": whose,
            "code": {"coding": [{"system": "urn:c", "code": "2"}]},
            "effectiveDateTime": "2020-01-01",
            "valueString": str(n),
        }
        for n in (3, 4)
    ]
    return bundle("collection", *({"resource": it} for it in (condition, *values, person))), version


def test_two_servers_that_speak_of_one_patient_make_one_record() -> None:
    old, new = (
        translated(body, f"{JSON}; fhirVersion={version}", identity="shared", source=f"s{version}")
        for body, version in (_record("a", "1.0"), _record("b", "3.0"))
    )
    assert [(it.type, it.id) for it in old.changes] == [(it.type, it.id) for it in new.changes]
    assert len({it.id for it in old.changes}) == 4, "two results of one code and time stay two"
    assert {it.method for it in old.changes} == {Method.MERGE}
    patient = next(it.id for it in new.changes if it.type == "Patient")
    assert all(
        it.resource["subject"] == {"reference": f"Patient/{patient}"}
        for it in new.changes
        if it.resource is not None and it.type != "Patient"
    )
    alone = bundle("collection", {"resource": {"resourceType": "Basic", "subject": {"reference": "Patient/a-1"}}})
    with pytest.raises(MessageError, match="does not hold"):
        translated(alone, f"{JSON}; fhirVersion=4.0", identity="shared")
