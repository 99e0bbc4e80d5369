"""$lastn: the newest Observations of each code."""

from __future__ import annotations

from typing import Any

from hawsepipe.model import Resource

HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
LAB = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]


def observation(identity: str, day: int, *codes: str, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "category": LAB,
        "code": {"coding": [{"system": "http://loinc.org", "code": code} for code in codes]}
        if codes
        else {"text": "t"},
        "subject": {"reference": "Patient/ann"},
        "effectiveDateTime": f"2026-01-{day:02}",
        **more,
    }


async def ids(service: Any, query: str) -> list[str]:
    answer = await service.ask("GET", f"Observation/$lastn?patient=ann&category=laboratory{query}")
    assert answer.status == 200, answer.body
    assert answer.json["total"] == len(answer.json.get("entry", []))
    return [it["resource"]["id"] for it in answer.json.get("entry", [])]


async def test_lastn_gives_the_newest_of_each_code(service: Any, ann: Resource) -> None:
    await service.put(ann)
    await service.put(*(observation(f"a{day}", day, "1-1") for day in (3, 1, 2)))
    await service.put(
        observation("b9", 9, "2-2"), observation("b8", 8, "2-2"), observation("t", 4), observation("u", 5)
    )
    assert await ids(service, "") == ["b9", "u", "a3"]
    assert await ids(service, "&max=2") == ["b9", "b8", "u", "t", "a3", "a2"]
    assert await ids(service, "&max=2&code=1-1") == ["a3", "a2"]


async def test_codes_with_a_coding_in_common_are_one(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("x", 1, "1-1"), observation("y", 2, "2-2"), observation("z", 3, "3-3"))
    assert await ids(service, "") == ["z", "y", "x"]
    await service.put(observation("both", 1, "1-1", "2-2", effectiveDateTime="2025"))
    assert await ids(service, "") == ["z", "y"]
    assert await ids(service, "&max=3") == ["z", "y", "x", "both"]


async def test_lastn_needs_a_patient_and_a_category_or_code(service: Any) -> None:
    for query in ("", "?patient=ann", "?code=1-1", "?patient=ann&category=laboratory&max=0"):
        assert (await service.ask("GET", f"Observation/$lastn{query}")).status == 400
    assert (await service.ask("GET", "Patient/$lastn?patient=ann")).status == 404


async def test_a_hidden_observation_takes_no_place_among_the_last(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("a", 1, "1-1"))
    before = await service.ask("GET", "Observation/$lastn?subject=Patient/ann&code=1-1")
    await service.put(observation("h", 2, "1-1", meta={"security": [HIDDEN]}))
    after = await service.ask("GET", "Observation/$lastn?subject=Patient/ann&code=1-1")
    assert before.json["entry"][0]["resource"]["id"] == "a"
    assert (before.status, before.body) == (after.status, after.body)
