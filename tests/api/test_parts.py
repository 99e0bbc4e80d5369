"""Parts of resources: _summary and _elements (https://hl7.org/fhir/R4/search.html#summary, #elements)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


@pytest.mark.parametrize(
    ("query", "there", "away"),
    [
        ("_summary=true", {"identifier", "name", "gender"}, {"text", "contact", "communication"}),
        ("_summary=text", {"text", "id"}, {"name", "gender"}),
        ("_summary=data", {"name", "contact"}, {"text"}),
        ("_elements=gender,birthDate", {"gender", "birthDate", "id"}, {"name", "text"}),
        ("_elements=Patient.deceased", {"deceasedBoolean"}, {"name"}),
    ],
)
async def test_a_part_of_a_resource_is_marked_as_one(
    service: Any, ann: Resource, query: str, there: set[str], away: set[str]
) -> None:
    await service.put(
        {
            **ann,
            "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Ann</div>'},
            "contact": [{"gender": "male"}],
            "communication": [{"language": {"text": "sv"}}],
            "deceasedBoolean": False,
        }
    )
    for path in (f"Patient/ann?{query}", f"Patient?_id=ann&{query}", f"Patient/ann/_history?{query}"):
        answer = (await service.ask("GET", path)).json
        found = answer if answer["resourceType"] == "Patient" else answer["entry"][0]["resource"]
        assert there <= found.keys(), path
        assert away.isdisjoint(found), path
        assert SUBSETTED in found["meta"]["tag"]
    whole = (await service.ask("GET", "Patient/ann?_summary=false")).json
    assert "tag" not in whole["meta"]


async def test_summary_count_gives_the_total_alone(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = (await service.ask("GET", "Patient?_summary=count")).json
    assert (answer["total"], "entry" in answer) == (1, False)
    assert (await service.ask("GET", "Patient/ann?_summary=count")).status == 400


ODD = ["_summary=much", "_summary=true&_summary=data", "_elements=", "_summary=text&_elements=a"]


@pytest.mark.parametrize("query", ODD)
async def test_an_odd_summary_is_an_invalid_request(service: Any, ann: Resource, query: str) -> None:
    await service.put(ann)
    for path in ("Patient/ann", "Patient"):
        assert (await service.ask("GET", f"{path}?{query}")).status == 400


async def test_pages_keep_their_summary(service: Any, ann: Resource) -> None:
    await service.put(ann, {**ann, "id": "bob"})
    first = (await service.ask("GET", "Patient?_count=1&_elements=gender")).json
    links = {link["relation"]: link["url"] for link in first["link"]}
    assert "_elements=gender" in links["self"]
    second = (await service.ask("GET", links["next"])).json
    assert "name" not in second["entry"][0]["resource"]
    assert SUBSETTED in second["entry"][0]["resource"]["meta"]["tag"]


async def test_a_part_cannot_be_written_over_the_whole(service: Any, ann: Resource) -> None:
    await service.put(ann)
    part = (await service.ask("GET", "Patient/ann?_elements=gender")).json
    answer = await service.ask("PUT", "Patient/ann", part)
    assert answer.status == 422
    assert (await service.ask("GET", "Patient/ann")).json["name"] == ann["name"]
