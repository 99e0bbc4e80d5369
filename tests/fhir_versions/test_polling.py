"""The polling feed: order, checkpoints, pages, patience, tokens; against a small server over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.hl7v2.conftest import Journal

from hawsepipe import ConfigError, Meters, Method, Opening, Sourced, StoreFull
from hawsepipe_fhir.polling import KIND
from hawsepipe_fhir.translator import FhirTranslator

from .remote_server import BEGIN, Server, running


class Bed:
    """A feed that can be stopped and started again over one directory."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.journal, self.meters = Journal(), Meters()
        self.feed: Sourced | None = None

    @asynccontextmanager
    async def polling(self, **settings: Any) -> AsyncIterator[None]:
        told = {
            "url": self.server.url,
            "interval_seconds": 0.01,
            "page_size": 3,
            "retry": {"first_seconds": 0.01, "most_seconds": 0.02},
        } | settings

        def now() -> datetime:
            return BEGIN + timedelta(days=1)

        opening = Opening("north", told, self.folder, now, self.meters, self.folder)
        async with KIND.open(opening) as feed:
            await feed.start(self.journal)
            assert isinstance(feed, Sourced)
            self.feed = feed
            yield

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    @property
    def keys(self) -> list[str]:
        return [key for _, key, _ in self.journal.messages]

    def events(self) -> dict[str, float]:
        return {
            sample.labels["event"]: sample.value
            for metric in self.meters.registry.collect()
            for sample in metric.samples
            if sample.name == "hawsepipe_feed_framing_events_total"
        }


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    async with running() as server:
        yield Bed(tmp_path, server)


async def _rounds(bed: Bed, count: int) -> None:
    """Wait for so many more questions of first pages."""
    begun = len([path for path in bed.server.asked if "offset" not in path])
    await bed.until(lambda: len([path for path in bed.server.asked if "offset" not in path]) >= begun + count)


@pytest.mark.parametrize("rising", [False, True])
async def test_a_history_of_many_pages_comes_in_the_order_of_its_events(bed: Bed, rising: bool) -> None:
    bed.server.rising = rising
    for number in range(8):
        bed.server.put("Patient", str(number % 3), number, gender="male")
    bed.server.delete("Patient", "0", 9)
    async with bed.polling():
        await bed.until(lambda: len(bed.keys) == 9)
        await _rounds(bed, 2)
    assert bed.keys == [f"Patient/{n % 3}/_history/{n // 3 + 1}" for n in range(8)] + ["Patient/0/_history/9"]
    assert all(refusal is None for _, _, refusal in bed.journal.messages)
    made = [FhirTranslator({}).translate(raw) for raw, _, _ in bed.journal.messages]
    assert [it.changes[0].method for it in made] == [Method.PUT] * 8 + [Method.DELETE]
    assert [it.event_time for it in made][-2:] == [BEGIN + timedelta(seconds=7), BEGIN + timedelta(seconds=9)]


async def test_only_what_is_new_is_asked_for_and_what_shows_late_is_not_missed(bed: Bed) -> None:
    bed.server.put("Patient", "1", 100)
    async with bed.polling(overlap_seconds=30):
        await bed.until(lambda: len(bed.keys) == 1)
        # A transaction that began earlier ends later.
        bed.server.put("Patient", "2", 80)
        bed.server.entries.sort(key=lambda entry: str(entry["_at"]))
        await bed.until(lambda: len(bed.keys) == 2)
        await _rounds(bed, 3)
    assert "_since=2026-11-01T08:01:10.000Z" in bed.server.asked[-1]
    assert bed.keys == ["Patient/1/_history/1", "Patient/2/_history/1"]
    async with bed.polling(overlap_seconds=30):
        bed.server.put("Patient", "3", 200)
        await bed.until(lambda: len(bed.keys) == 3)


async def test_a_search_takes_the_newest_versions_by_type(bed: Bed) -> None:
    for number in range(5):
        bed.server.put("Patient", str(number), number)
    bed.server.put("Observation", "o", 3, status="final", code={"text": "x"})
    bed.server.put("Patient", "0", 6)
    async with bed.polling(mode="search", types=["Patient", "Observation"]):
        await bed.until(lambda: len(bed.keys) == 6)
        await _rounds(bed, 4)
    assert bed.keys == [f"Patient/{n}/_history/1" for n in (1, 2, 3, 4)] + [
        "Patient/0/_history/2",
        "Observation/o/_history/1",
    ]


async def test_a_server_that_does_not_sort_loses_nothing_when_the_feed_stops_between_pages(bed: Bed) -> None:
    bed.server.sorted = False
    for number in range(9):
        bed.server.put("Patient", str(number), number * 1000)
    first: list[Callable[[], web.StreamResponse]] = []
    async with bed.polling(mode="search", types=["Patient"], overlap_seconds=0):
        await bed.until(lambda: len(bed.keys) >= 3)
        bed.server.faults = first or [lambda: web.Response(status=500)] * 1000
        await bed.until(lambda: len(bed.server.faults) < 990)
    bed.server.faults = []
    async with bed.polling(mode="search", types=["Patient"], overlap_seconds=0):
        await bed.until(lambda: len(bed.keys) == 9)


async def test_trouble_passes_and_is_counted_by_its_kind(bed: Bed) -> None:
    for number in range(7):
        bed.server.put("Patient", str(number), number)

    def page(text: str, status: int = 200) -> Callable[[], web.StreamResponse]:
        headers = {"Content-Type": "application/fhir+json; fhirVersion=4.0"}
        return lambda: web.Response(body=text.encode(), status=status, headers=headers)

    elsewhere = {"resourceType": "Bundle", "link": [{"relation": "next", "url": "http://127.0.0.2:1/fhir/x"}]}
    loop = {"resourceType": "Bundle", "link": [{"relation": "next", "url": f"{bed.server.url}/_history?_count=3"}]}
    bed.server.faults = [
        lambda: web.Response(status=503, headers={"Retry-After": "0"}),
        lambda: web.Response(status=429),
        page("{", 200),
        page('{"resourceType": "Patient"}'),
        page(json.dumps(elsewhere)),
        page(json.dumps(loop)),
        page("{}", 500),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.2:1/"}),
        lambda: web.Response(status=410),
        lambda: web.Response(body=b"{}", headers={"Content-Type": "application/fhir+json; fhirVersion=3.0"}),
        lambda: web.Response(body=b" " * 5000, headers={"Content-Type": "application/json"}),
    ]
    async with bed.polling(version="R4", page_bytes=4096):
        await bed.until(lambda: len(bed.keys) == 7)
    assert bed.events() == {
        "poll_throttled": 2,
        "poll_unreadable": 1,
        "poll_no_bundle": 2,
        "poll_foreign_link": 1,
        "poll_endless_pages": 1,
        "poll_status_500": 1,
        "poll_status_302": 1,
        "poll_status_410": 1,
        "poll_page_too_large": 1,
    }
    assert len(set(bed.keys)) == 7


async def test_a_feed_tells_since_when_its_source_cannot_be_read(bed: Bed) -> None:
    def since() -> datetime | None:
        assert bed.feed is not None
        return bed.feed.failing_since

    bed.server.put("Patient", "1", 1)
    bed.server.faults = [lambda: web.Response(status=401)] * 20
    async with bed.polling(version="R4"):
        await bed.until(lambda: since() == BEGIN + timedelta(days=1))
        await bed.until(lambda: bool(bed.keys) and since() is None)


async def test_a_server_that_asks_for_time_gets_it(bed: Bed) -> None:
    bed.server.put("Patient", "1", 0)
    bed.server.faults = [lambda: web.Response(status=503, headers={"Retry-After": "1"})]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with bed.polling(version="R4"):
        await bed.until(lambda: len(bed.keys) == 1)
    assert loop.time() - begun >= 1


async def test_what_the_store_does_not_take_is_fetched_again(bed: Bed) -> None:
    for number in range(4):
        bed.server.put("Patient", str(number), number)
    bed.journal.fault = StoreFull("there is no room on the disk")
    async with bed.polling():
        await _rounds(bed, 3)
        assert bed.keys == []
        bed.journal.fault = None
        await bed.until(lambda: len(bed.keys) == 4)


async def test_a_time_that_is_still_to_come_hides_nothing(bed: Bed) -> None:
    bed.server.put("Patient", "1", 10 * 365 * 86400)
    async with bed.polling():
        await bed.until(lambda: len(bed.keys) == 1)
        bed.server.put("Patient", "2", 86400)
        bed.server.entries.reverse()
        await bed.until(lambda: len(bed.keys) == 2)


async def test_the_version_is_the_servers_word(bed: Bed) -> None:
    bed.server.media_type = "application/json"
    bed.server.put("Patient", "1", 0)
    async with bed.polling():
        await bed.until(lambda: len(bed.keys) == 1)
    assert bed.server.asked[0].endswith("/metadata")
    assert bed.journal.messages[0][0].media_type == "application/fhir+json; fhirVersion=4.0"


async def test_tokens_come_from_files_and_grants_and_go_nowhere_else(
    bed: Bed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bed.server.put("Patient", "1", 0)
    (tmp_path / "token").write_text("first\n")
    bed.server.allowed = "second"
    async with bed.polling(token={"file": "token"}):
        await bed.until(lambda: bed.events().get("poll_status_401", 0) >= 1)
        (tmp_path / "token").write_text("second\n")
        await bed.until(lambda: len(bed.keys) == 1)
    (tmp_path / "secret").write_text("s3cret")
    client = {
        "token_url": bed.server.url.replace("/fhir", "/token"),
        "id": "hawsepipe",
        "secret": {"file": "secret"},
        "scope": "system/*.rs",
    }
    async with bed.polling(client=client):
        bed.server.put("Patient", "2", 1)
        await bed.until(lambda: len(bed.keys) == 2)
        bed.server.allowed = "taken back"
        bed.server.put("Patient", "3", 2)
        await bed.until(lambda: len(bed.keys) == 3)
    assert bed.server.granted == 2
    told = "".join(capfd.readouterr())
    assert not [word for word in ("first", "second", "s3cret", "granted-") if word in told]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"mode": "search"}, "types"),
        ({"since": "2026-11-01"}, "since"),
        ({"token": {"file": "nowhere"}}, "token.file"),
        ({"ca": "nowhere.pem"}, "ca"),
    ],
)
async def test_a_feed_that_cannot_work_does_not_open(bed: Bed, settings: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        async with bed.polling(**settings):
            pass


async def test_progress_that_is_damaged_or_about_another_server_stops_the_start(bed: Bed, tmp_path: Path) -> None:
    bed.server.put("Patient", "1", 0)
    async with bed.polling():
        await bed.until(lambda: (tmp_path / "progress.json").exists())
    held = json.loads((tmp_path / "progress.json").read_text())
    for document in ('{"format": 1', json.dumps(held | {"url": "http://else"}), json.dumps(held | {"streams": 1})):
        (tmp_path / "progress.json").write_text(document)
        with pytest.raises(ConfigError):
            async with bed.polling():
                pass
