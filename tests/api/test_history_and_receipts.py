"""history of an instance, and the evidence of a version."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.ledger.verify import verify
from hawsepipe.model import Resource


async def test_a_history_is_newest_first_with_requests_and_responses(service: Any, ann: Resource) -> None:
    await service.put(ann)
    await service.put({**ann, "gender": "unknown"})
    bundle = (await service.ask("GET", "Patient/ann/_history")).json
    assert bundle["type"] == "history"
    assert [it["response"]["etag"] for it in bundle["entry"]] == ['W/"2"', 'W/"1"']
    assert bundle["entry"][0]["request"] == {"method": "PUT", "url": "Patient/ann"}
    assert bundle["entry"][0]["resource"]["gender"] == "unknown"


async def test_a_history_pages_by_version(service: Any, ann: Resource) -> None:
    for number in range(5):
        await service.put({**ann, "name": [{"family": f"F{number}"}]})
    seen: list[str] = []
    address = "Patient/ann/_history?_count=2"
    for _ in range(3):
        bundle = (await service.ask("GET", address)).json
        seen += [it["response"]["etag"] for it in bundle["entry"]]
        address = next((it["url"] for it in bundle["link"] if it["relation"] == "next"), "")
    assert seen == [f'W/"{number}"' for number in (5, 4, 3, 2, 1)]
    assert address == ""


@pytest.mark.parametrize("query", ["_count=0", "_count=-1", "_count=x", "_cursor=x", "_count=1&_count=2"])
async def test_a_bad_history_parameter_is_an_invalid_request(service: Any, ann: Resource, query: str) -> None:
    await service.put(ann)
    assert (await service.ask("GET", f"Patient/ann/_history?{query}")).status == 400


async def test_the_receipt_of_a_version_verifies_without_us(service: Any, ann: Resource) -> None:
    await service.put(ann)
    await service.anchorer.once()
    answer = await service.ask("GET", "Patient/ann/_history/1/$receipt")
    stored = await service.store.read("Patient", "ann")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert (answer.json["commitment"], answer.json["version"]) == (stored.commitment.hex(), 1)
    findings = verify(answer.body, service.trust)
    assert findings.ok, str(findings)
    assert not verify(answer.body.replace(b"Lindqvist", b"Lindkvist"), service.trust).ok


async def test_a_version_that_is_not_anchored_yet_says_when_to_come_back(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = await service.ask("GET", "Patient/ann/_history/1/$receipt")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json["issue"][0]["code"] == "transient"
    await service.anchorer.once()
    assert (await service.ask("GET", "Patient/ann/_history/1/$receipt")).status == 200


async def test_the_server_says_whether_a_version_is_untouched_and_the_latest(
    service: Any, ann: Resource, tmp_path: Path
) -> None:
    await service.put(ann)
    assert (await service.ask("GET", "Patient/ann/_history/1/$verify")).status == 503
    await service.put({**ann, "gender": "unknown"})
    await service.anchorer.once()

    async def told(version: int) -> dict[str, Any]:
        answer = await service.ask("GET", f"Patient/ann/_history/{version}/$verify")
        assert answer.status == 200
        assert answer.json["resourceType"] == "Parameters"
        found = {}
        for part in answer.json["parameter"]:
            (value,) = (part[key] for key in part if key.startswith("value"))
            found[part["name"]] = value
        return found

    assert await told(1) == {"untouched": True, "latest": False, "finding": "STALE_VERSION"}
    assert await told(2) == {"untouched": True, "latest": True}
    (file,) = tmp_path.rglob("store.db")  # noqa: ASYNC240  a test may wait for the disk
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("UPDATE version SET content = CAST(replace(content, 'unknown', 'other') AS BLOB)")
    assert await told(2) == {"untouched": False, "latest": True, "finding": "CONTENT_MISMATCH"}
    database.execute("UPDATE version SET salt = NULL")
    database.close()
    assert await told(2) == {"untouched": False, "finding": "MISSING_OPENING"}
