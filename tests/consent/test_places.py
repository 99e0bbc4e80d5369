"""The place of a resource in an order tells nothing of a version that its reader does not see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hawsepipe.fhir.query import Kind, Query, Sort

T = "http://terminology.hl7.org/CodeSystem/"
LOINC = "http://loinc.org"


def observation(identity: str, day: int, code: str = "8480-6") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": f"2026-02-{day:02}",
    }


CONSENT: dict[str, Any] = {
    "resourceType": "Consent",
    "id": "c",
    "status": "active",
    "scope": {"coding": [{"system": T + "consentscope", "code": "patient-privacy"}]},
    "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}],
    "patient": {"reference": "Patient/p"},
    "policy": [{"uri": "http://example.org/policy"}],
    "provision": {
        "type": "permit",
        "provision": [{"type": "deny", "code": [{"coding": [{"system": LOINC, "code": "2345-7"}]}]}],
    },
}


async def walked(hospital: Any, hidden_before: bool) -> list[str]:
    await hospital.put({"resourceType": "Patient", "id": "p"}, CONSENT, observation("o1", 1), observation("o2", 5))
    if hidden_before:
        await hospital.put(observation("x", 3, "2345-7"))
    query = Query("Observation", (), (Sort("date", Kind.DATE, False),), count=1)
    page = await hospital.view().search(query)
    await hospital.put(observation("x", 9))
    found = [it.id for it in page.versions]
    while page.next is not None:
        page = await hospital.view().search(replace(query, cursor=page.next))
        found += [it.id for it in page.versions]
    return found


async def test_what_became_visible_between_two_pages_has_no_place_by_its_hidden_version(hospital: Any) -> None:
    assert await walked(hospital, hidden_before=True) == ["o1", "o2"]


async def test_what_came_between_two_pages_has_no_place_either(hospital: Any) -> None:
    assert await walked(hospital, hidden_before=False) == ["o1", "o2"]
