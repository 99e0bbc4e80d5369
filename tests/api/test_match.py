"""$match: who may be the patient that is sent."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir.likeness import Grade, likeness
from hawsepipe.model import Resource

HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
EVA: Resource = {
    "resourceType": "Patient",
    "id": "eva",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "77"}],
    "name": [{"family": "Åström", "given": ["Eva", "Maria"]}],
    "gender": "female",
    "birthDate": "1981-03-04",
    "telecom": [{"system": "phone", "value": "+46 70 123 45 67"}],
    "address": [{"postalCode": "111 22"}],
}


def without(*names: str, **more: Any) -> Resource:
    return {name: value for name, value in {**EVA, **more}.items() if name not in names}


async def match(service: Any, sent: Resource, **more: Any) -> list[tuple[str, str]]:
    listed = [{"name": "resource", "resource": sent}]
    listed += [
        {"name": name, "valueBoolean" if isinstance(it, bool) else "valueInteger": it} for name, it in more.items()
    ]
    answer = await service.ask("POST", "Patient/$match", {"resourceType": "Parameters", "parameter": listed})
    assert answer.status == 200, answer.body
    found = answer.json.get("entry", [])
    scores = [it["search"]["score"] for it in found]
    assert scores == sorted(scores, reverse=True)
    return [(it["resource"]["id"], it["search"]["extension"][0]["valueCode"]) for it in found]


async def test_match_ranks_candidates_and_grades_them(service: Any, ann: Resource) -> None:
    namesake = without("identifier", "telecom", "address", id="namesake", birthDate="1950-01-01")
    twin = without("identifier", "telecom", id="twin", name=[{"family": "Astrom", "given": ["E."]}])
    await service.put(EVA, ann, namesake, twin)
    assert await match(service, without("id")) == [
        ("eva", "certain"),
        ("twin", "probable"),
        ("namesake", "possible"),
    ]
    assert await match(service, without("id"), onlyCertainMatches=True) == [("eva", "certain")]
    assert await match(service, without("id"), count=1) == [("eva", "certain")]
    unsure = without("id", "identifier", "telecom", "address", "birthDate")
    assert "certain" not in dict(await match(service, unsure)).values()
    assert await match(service, {"resourceType": "Patient", "birthDate": "1999"}) == []


async def test_a_patient_may_be_sent_without_parameters_around_it(service: Any) -> None:
    await service.put(EVA)
    answer = await service.ask("POST", "Patient/$match", EVA)
    assert answer.json["entry"][0]["search"]["mode"] == "match"
    assert (await service.ask("POST", "Patient/$match", {"resourceType": "Observation"})).status == 400


async def test_a_hidden_patient_is_no_match(service: Any) -> None:
    before = await service.ask("POST", "Patient/$match", EVA)
    await service.put({**EVA, "meta": {"security": [HIDDEN]}})
    after = await service.ask("POST", "Patient/$match", EVA)
    assert (before.status, before.body) == (after.status, after.body)


@pytest.mark.parametrize(
    ("held", "grade"),
    [
        (EVA, Grade.CERTAIN),
        (without("identifier"), Grade.PROBABLE),
        (without(birthDate="1981-04-03"), Grade.PROBABLE),
        (without("identifier", "telecom", "address", name=[{"family": "Astrom"}]), Grade.PROBABLE),
        (without("identifier", "telecom", "address", "birthDate"), Grade.POSSIBLE),
        (without(gender="male"), Grade.PROBABLE),
        ({"resourceType": "Patient", "name": [{"family": "Berg"}], "birthDate": "1960"}, Grade.CERTAINLY_NOT),
        ({"resourceType": "Patient"}, Grade.CERTAINLY_NOT),
    ],
)
def test_what_speaks_for_and_against_makes_the_grade(held: Resource, grade: Grade) -> None:
    assert likeness(EVA, held).grade is grade
    assert likeness(held, EVA) == likeness(EVA, held)
