"""history of a type and of the system, with _since and _at (https://hl7.org/fhir/R4/http.html#history)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}


def told(answer: Any) -> list[str]:
    """Each entry as `ann/2`, a deletion with a dash."""
    found = []
    for entry in answer.json.get("entry", []):
        number = entry["response"]["etag"].strip('W/"')
        dash = "" if "resource" in entry else "-"
        found.append(f"{dash}{entry['request']['url'].rpartition('/')[2]}/{number}")
    return found


@pytest.fixture
async def past(service: Any, ann: Resource) -> Any:
    await service.put(ann)
    await service.put({**ann, "id": "bob"}, {"resourceType": "Organization", "id": "org", "name": "O"})
    await service.put({**ann, "gender": "other"})
    await service.delete("Patient", "bob")
    return service


async def test_the_history_of_a_type_and_of_the_system_is_newest_first(past: Any) -> None:
    of_type = await past.ask("GET", "Patient/_history")
    assert (of_type.json["type"], of_type.json["total"]) == ("history", 4)
    assert told(of_type) == ["-bob/2", "ann/2", "bob/1", "ann/1"]
    everything = await past.ask("GET", "_history")
    assert told(everything) == ["-bob/2", "ann/2", "org/1", "bob/1", "ann/1"]


@pytest.mark.parametrize("path", ["_history", "Patient/_history"])
async def test_a_history_of_many_resources_pages(past: Any, ann: Resource, path: str) -> None:
    whole = told(await past.ask("GET", path))
    seen: list[str] = []
    answer = await past.ask("GET", f"{path}?_count=2")
    while True:
        assert len(answer.json["entry"]) <= 2
        seen += told(answer)
        links = {link["relation"]: link["url"] for link in answer.json["link"]}
        if "next" not in links:
            break
        await past.put({**ann, "id": f"new{len(seen)}"})  # what others write meanwhile moves nothing
        answer = await past.ask("GET", links["next"])
    assert seen == whole


async def test_since_and_at_choose_versions(past: Any) -> None:
    entries = (await past.ask("GET", "_history")).json["entry"]
    instants = [entry["response"]["lastModified"] for entry in entries]
    assert told(await past.ask("GET", f"_history?_since={instants[1]}")) == ["-bob/2", "ann/2"]
    assert told(await past.ask("GET", f"Patient/_history?_since={instants[1]}")) == ["-bob/2", "ann/2"]
    assert told(await past.ask("GET", f"_history?_at={instants[3]}")) == ["org/1", "bob/1", "ann/1"]
    assert told(await past.ask("GET", f"Patient/ann/_history?_at={instants[3]}")) == ["ann/1"]
    assert told(await past.ask("GET", f"Patient/ann/_history?_since={instants[1]}")) == ["ann/2"]
    assert told(await past.ask("GET", f"_history?_at={instants[0]}")) == ["-bob/2", "ann/2", "org/1"]
    assert told(await past.ask("GET", "_history?_at=2020")) == []
    for bad in ("_since=x", "_at=2026-13", "_since=2026&_since=2026", "_count=0"):
        assert (await past.ask("GET", f"_history?{bad}")).status == 400


async def test_histories_answer_as_if_the_hidden_did_not_exist(past: Any, ann: Resource) -> None:
    before = [
        (await past.ask("GET", path)).json for path in ("_history", "Patient/_history", "Patient/_history?_count=2")
    ]
    hidden = {**ann, "id": "hide", "meta": {"security": [HIDDEN]}}
    await past.put(hidden)
    await past.put({**hidden, "gender": "other"})
    await past.put({**ann, "id": "late"})
    await past.put({**hidden, "id": "late"})
    await past.delete("Patient", "hide")
    after = [
        (await past.ask("GET", path)).json for path in ("_history", "Patient/_history", "Patient/_history?_count=2")
    ]
    for one, other in zip(before, after, strict=True):
        assert one["entry"] == other["entry"]
        assert one.get("total") == other.get("total")
        assert len(one["link"]) == len(other["link"])


async def test_a_history_shows_the_types_that_the_scopes_cover(past: Any) -> None:
    token = past.token(scopes=("user/Organization.rs",))
    assert told(await past.ask("GET", "_history", token=token)) == ["org/1"]
    assert (await past.ask("GET", "Patient/_history", token=token)).status == 403
    assert (await past.ask("GET", "_history", token=past.token(scopes=("user/Patient.c",)))).status == 403
