"""`:in`, `:not-in`, `:above` and `:below` ask value sets and code systems that are stored."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

COLOURS: Resource = {
    "resourceType": "CodeSystem",
    "id": "colours",
    "url": "http://example.org/colours",
    "status": "active",
    "content": "complete",
    "hierarchyMeaning": "is-a",
    "concept": [{"code": "red", "concept": [{"code": "crimson"}, {"code": "scarlet"}]}, {"code": "blue"}],
}
REDS: Resource = {
    "resourceType": "ValueSet",
    "id": "reds",
    "url": "http://example.org/reds",
    "status": "active",
    "compose": {
        "include": [
            {
                "system": "http://example.org/colours",
                "filter": [{"property": "concept", "op": "descendent-of", "value": "red"}],
            }
        ]
    },
}


@pytest.fixture
async def painted(service: Any, ann: Resource) -> Any:
    await service.put(ann, COLOURS, REDS)
    for code in ("red", "crimson", "scarlet", "blue"):
        coding = {"system": COLOURS["url"], "code": code}
        await service.put(
            {"resourceType": "Observation", "id": code, "status": "final", "code": {"coding": [coding]},
             "subject": {"reference": "Patient/ann"}}
        )  # fmt: skip
    return service


async def ids(service: Any, query: str) -> list[str]:
    answer = await service.ask("GET", query)
    assert answer.status == 200, answer.body
    return sorted(it["resource"]["id"] for it in answer.json.get("entry", []))


async def test_a_stored_value_set_is_asked_for_its_members(painted: Any) -> None:
    assert await ids(painted, "Observation?code:in=http://example.org/reds") == ["crimson", "scarlet"]
    assert await ids(painted, "Observation?code:not-in=http://example.org/reds") == ["blue", "red"]
    assert await ids(painted, "Patient?_has:Observation:patient:code:in=http://example.org/reds") == ["ann"]
    implied = "http://example.org/colours?fhir_vs=isa/red".replace("?", "%3F").replace("=", "%3D")
    assert await ids(painted, f"Observation?code:in={implied}") == ["crimson", "red", "scarlet"]


async def test_a_stored_code_system_is_asked_what_is_below(painted: Any) -> None:
    url = COLOURS["url"]
    assert await ids(painted, f"Observation?code:below={url}|red") == ["crimson", "red", "scarlet"]
    assert await ids(painted, f"Observation?code:above={url}|crimson") == ["crimson", "red"]
    assert await ids(painted, f"Observation?code:below={url}|blue") == ["blue"]
    assert await ids(painted, f"?_type=Observation,Condition&code:below={url}|blue") == ["blue"]


async def test_what_is_not_known_is_refused_and_so_is_what_is_hidden(painted: Any) -> None:
    unknown = (
        "code:in=http://example.org/nothing code:below=http://example.org/colours|pink code:below=http://nowhere|x"
    )
    broken = "code:below=red code:in= code:in=a,,b code:below=|x code:in=%5Cx"
    for asked in (*unknown.split(), *broken.split()):
        assert (await painted.ask("GET", f"Observation?{asked}")).status == 400, asked
    narrow = painted.token(scopes=("user/Observation.rs",))
    hidden = await painted.ask("GET", "Observation?code:in=http://example.org/reds", token=narrow)
    absent = await painted.ask("GET", "Observation?code:in=http://example.org/nots", token=narrow)
    assert (hidden.status, hidden.body) == (absent.status, absent.body)
    assert hidden.status == 400
