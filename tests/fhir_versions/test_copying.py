"""Copies of a server: everything, what changes meanwhile, and no gap where pages shift."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hawsepipe import ConfigError, Copying, Meters, Opening
from hawsepipe_fhir.polling import KIND

from .remote_server import BEGIN, Server, running


async def copied(folder: Path, server: Server, told: Callable[[int], None] = lambda _: None, **settings: Any) -> Any:
    held = {"url": server.url, "page_size": 3, "retry": {"first_seconds": 0.001, "most_seconds": 0.01}} | settings
    opening = Opening("north", held, folder, lambda: BEGIN + timedelta(hours=1), Meters(), folder)
    async with KIND.open(opening) as feed:
        assert isinstance(feed, Copying)
        return await feed.copy(folder, told)


def lines(folder: Path) -> list[str]:
    """What was copied, as Type/id/version."""
    found = []
    for path in sorted(folder.glob("[!.]*.ndjson")):
        for line in path.read_text(encoding="utf-8").splitlines():
            (entry,) = json.loads(line)["entry"]
            resource = entry.get("resource", {})
            version = resource.get("meta", {}).get("versionId", "deleted")
            found.append(f"{entry['request']['url']}/{version}")
    return found


@pytest.mark.parametrize("mode", ["history", "search"])
async def test_everything_is_copied_and_what_changes_meanwhile_too(tmp_path: Path, mode: str) -> None:
    async with running() as server:
        for number in range(8):
            server.put("Patient", str(number), number)
        pages = 0

        def told(_: int) -> None:
            nonlocal pages
            pages += 1
            if pages == 2:  # in the middle of the first pass
                server.put("Patient", "1", 4000, active=False)
                server.put("Patient", "new", 4001)

        window = await copied(tmp_path, server, told, mode=mode, types=["Patient"])
    found = lines(tmp_path)
    assert set(found) >= {f"Patient/{n}/1" for n in range(8) if n != 1} | {"Patient/1/2", "Patient/new/1"}
    assert len(found) == len(set(found))
    assert window["complete"]
    assert window["missing"] == {}
    assert window["begun"] <= window["ended"]
    assert window["passes"][-1]["entries"] == 0
    assert json.loads((tmp_path / ".window.json").read_bytes()) == window


async def test_deletes_of_a_history_are_copied(tmp_path: Path) -> None:
    async with running() as server:
        server.put("Patient", "1", 0)
        server.delete("Patient", "1", 1)
        await copied(tmp_path, server)
    assert sorted(lines(tmp_path)) == ["Patient/1/1", "Patient/1/deleted"]


async def test_a_copy_that_was_broken_off_goes_on_and_a_whole_one_is_left_alone(tmp_path: Path) -> None:
    async with running() as server:
        for number in range(5):
            server.put("Patient", str(number), number)
            server.put("Observation", str(number), number)

        def broken(count: int) -> None:
            if count > 5:
                raise KeyError

        settings: dict[str, Any] = {"mode": "search", "types": ["Patient", "Observation"]}
        with pytest.raises(KeyError):
            await copied(tmp_path, server, broken, **settings)
        assert len(lines(tmp_path)) == 5
        server.put("Patient", "0", 3600, active=False)  # long before the copy goes on, and after it began
        await copied(tmp_path, server, **settings)
        assert len(lines(tmp_path)) == len(set(lines(tmp_path))) == 11
        server.asked.clear()
        await copied(tmp_path, server, **settings)
        assert server.asked == []


async def test_what_may_pass_is_tried_again_and_what_does_not_is_told(tmp_path: Path) -> None:
    async with running() as server:
        server.put("Patient", "1", 0)
        server.faults += [lambda: web.Response(status=503), lambda: web.Response(status=500)]
        await copied(tmp_path / "a", server)
        assert lines(tmp_path / "a") == ["Patient/1/1"]
        server.faults.append(lambda: web.Response(status=403))
        with pytest.raises(ConfigError, match="status_403"):
            await copied(tmp_path / "b", server)
    async with running() as other:
        with pytest.raises(ConfigError, match="another server"):
            await copied(tmp_path / "b", other)
