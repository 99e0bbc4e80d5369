"""The feed kind `fhir-poll`: what changes on a remote FHIR server, fetched again and again.

`history` asks for `_history?_since=` (of the server, or of each type) and sees each version and each delete; `search`
asks each type for `_lastUpdated=ge…&_sort=_lastUpdated` and sees the newest versions, without deletes. Every version
becomes a message of its own under the key `Type/id/_history/version`. How far the feed has come is noted after its
messages are in the journal, so nothing is lost; what is fetched twice, after a crash or within the overlap of two
rounds, is recognised, so nothing is doubled.

A history has its newest version first, and effects must come in the order of the events. So a round's pages are laid
into a folder and read from the last to the first.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import structlog

from hawsepipe import (
    ConfigError,
    Feed,
    HawsepipeError,
    Intake,
    Kind,
    Opening,
    RawMessage,
    Resource,
    decode,
    encode,
    outcome,
)
from hawsepipe_fhir import detection
from hawsepipe_fhir.arrival import Arrival, arrive
from hawsepipe_fhir.copying import Copy
from hawsepipe_fhir.pages import Item, items, next_link
from hawsepipe_fhir.progress import Progress
from hawsepipe_fhir.remote import Remote, RemoteTrouble
from hawsepipe_fhir.settings import POLL_SCHEMA, filled

_log = structlog.get_logger("hawsepipe.feed")
_MOST_PAGES: Final = 1_000_000


class PollingFeed:
    """One remote server. It is asked from `start` on until its context is left."""

    def __init__(self, opening: Opening) -> None:
        settings = filled(POLL_SCHEMA, opening.settings)
        self._opening = opening
        self._remote = Remote(settings, opening.base, opening.clock)
        self._history: bool = settings["mode"] == "history"
        self._types: Sequence[str] = settings["types"]
        if not self._history and not self._types:
            raise ConfigError("types", "a search is by type: name those to be asked for")
        self._fixed = detection.named(settings["version"]) if "version" in settings else None
        self._version: str | None = self._fixed
        self._count: int = settings["page_size"]
        self._interval: float = settings["interval_seconds"]
        self._overlap = timedelta(seconds=settings["overlap_seconds"])
        self._window: int = settings["window"]
        self._first: float = settings["retry"]["first_seconds"]
        self._most: float = settings["retry"]["most_seconds"]
        self._begin = _instant(settings["since"]) if "since" in settings else None
        self._random = random.Random()  # noqa: S311  spreads retries, guards nothing
        self._task: asyncio.Task[None] | None = None
        self._failing: datetime | None = None

    @property
    def failing_since(self) -> datetime | None:
        """See `hawsepipe.Sourced`."""
        return self._failing

    @property
    def address(self) -> str:
        """The base address of the server."""
        return self._remote.url

    async def copy(self, folder: Path, told: Callable[[int], None]) -> Mapping[str, Any]:
        """See `hooks.Copying`."""
        copying = Copy(
            self._remote, folder, self._opening.clock, history=self._history, types=self._types, count=self._count,
            overlap=self._overlap, pause=self._first,
        )  # fmt: skip
        return await copying.run(told)

    async def start(self, intake: Intake) -> None:
        """Begin to ask. Raises ConfigError when what was noted last cannot be read."""
        path = self._opening.directory / "progress.json"
        progress = await asyncio.to_thread(Progress, path, self._remote.url, self._overlap)
        self._task = asyncio.create_task(self._watch(intake, progress))

    async def stop(self) -> None:
        """Stop; what is on its way is fetched again at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._remote.close()

    async def _watch(self, intake: Intake, progress: Progress) -> None:
        failures = 0
        while True:
            wait = self._interval
            try:
                await self._round(intake, progress)
                failures = 0
            except RemoteTrouble as trouble:
                failures = 0 if trouble.expired and not failures else failures + 1
                wait = max(self._pause(failures), trouble.wait)
                self._report(trouble.event)
            except (OSError, HawsepipeError) as error:
                # The store or the disk: what is journalled already is recognised the next time.
                failures += 1
                wait = self._pause(failures)
                _log.error("a poll waits", feed=self._opening.name, error=type(error).__name__)
            except Exception:
                # A fault of ours must not end the feed in silence; what was not noted is asked for again.
                failures += 1
                wait = self._pause(failures)
                self._opening.meters.framing.labels(self._opening.name, "poll_fault").inc()
                _log.exception("a poll failed", feed=self._opening.name)
            if not failures:
                self._failing = None
            elif self._failing is None:
                self._failing = self._opening.clock()
            await asyncio.sleep(wait)

    def _pause(self, failures: int) -> float:
        """Return a wait that doubles with each failure, half of it by chance."""
        whole = min(self._first * 2.0 ** min(failures - 1, 30), self._most)
        return float(whole * (0.5 + self._random.random() / 2))

    def _report(self, event: str) -> None:
        self._opening.meters.framing.labels(self._opening.name, f"poll_{event}").inc()
        _log.warning("the remote server was not read", feed=self._opening.name, reason=event)

    async def _round(self, intake: Intake, progress: Progress) -> None:
        if self._version is None:
            self._version = await self._server_version()
        for name in self._types or ("",):
            await (self._past if self._history else self._newest)(name, intake, progress)

    async def _server_version(self) -> str | None:
        """Return the version that the server says it speaks; None when it says none."""
        answer = await self._remote.get(f"{self._remote.url}/metadata")
        return answer.version or detection.stated(answer.body)

    def _since(self, name: str, progress: Progress) -> datetime | None:
        since = progress.stream(name).since
        return self._begin if since is None else since - self._overlap

    async def _pages(self, address: str) -> AsyncIterator[Resource]:
        """Yield page after page. Raises RemoteTrouble."""
        asked: set[str] = set()
        while address not in asked and len(asked) < _MOST_PAGES:
            asked.add(address)
            answer = await self._remote.get(address)
            if answer.body.get("resourceType") != "Bundle":
                raise RemoteTrouble("no_bundle")
            if self._version is None:
                self._version = answer.version
            elif answer.version not in (None, self._version):
                raise RemoteTrouble("other_version")
            yield answer.body
            link = next_link(answer.body)
            if link is None:
                return
            address = self._remote.address(link)
        raise RemoteTrouble("endless_pages")

    async def _newest(self, name: str, intake: Intake, progress: Progress) -> None:
        """Take the newest versions of one type, the oldest of them first."""
        since = self._since(name, progress)
        asked = {"_sort": "_lastUpdated", "_count": str(self._count)}
        if since is not None:
            asked = {"_lastUpdated": f"ge{_told(since)}", **asked}
        newest, sorted_ = since, True
        async for page in self._pages(f"{self._remote.url}/{name}?{urlencode(asked)}"):
            found = list(items(page))
            await self._take(name, found, intake, progress)
            for item in found:
                if item.instant is not None:
                    sorted_ = sorted_ and (newest is None or item.instant >= newest)
                    newest = item.instant if newest is None else max(newest, item.instant)
            # A server that does not sort may have older ones on its next page.
            await self._note(name, progress, newest if sorted_ else None)
        await self._note(name, progress, newest)

    async def _past(self, name: str, intake: Intake, progress: Progress) -> None:
        """Take every version and delete of the server or of one type, the oldest first."""
        since = self._since(name, progress)
        asked = {"_count": str(self._count), **({"_since": _told(since)} if since is not None else {})}
        place = f"{self._remote.url}/{name}/_history" if name else f"{self._remote.url}/_history"
        folder = self._opening.directory / "round"
        try:
            await asyncio.to_thread(_emptied, folder)
            pages = 0
            async for page in self._pages(f"{place}?{urlencode(asked)}"):
                await asyncio.to_thread((folder / str(pages)).write_bytes, encode(page))
                pages += 1
            laid = [folder / str(number) for number in range(pages)]  # one page at least
            rising = await asyncio.to_thread(_rising, laid)
            for path in laid if rising else reversed(laid):
                page = decode(await asyncio.to_thread(path.read_bytes))
                found = list(items(page))
                if not rising:
                    found.reverse()
                await self._take(name, found, intake, progress)
                # Everything that is older has been taken before.
                instants = [item.instant for item in found if item.instant is not None]
                await self._note(name, progress, max(instants, default=None))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _take(self, name: str, found: Sequence[Item], intake: Intake, progress: Progress) -> None:
        """Have entries stored, in their order; return when all of them are."""
        seen = progress.stream(name).seen
        fresh = [item for item in found if item.mark not in seen]
        arrivals = await asyncio.to_thread(lambda: [self._arrival(item) for item in fresh])
        waiting: deque[asyncio.Task[None]] = deque()
        try:
            for arrival in arrivals:
                # Tasks start in the order of their making, so the journal has the order of the entries.
                waiting.append(asyncio.create_task(self._hand_over(arrival, intake)))
                if len(waiting) >= self._window:
                    await waiting.popleft()
            while waiting:
                await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        seen.update({item.mark: item.instant for item in fresh if item.instant is not None})

    def _arrival(self, item: Item) -> Arrival:
        number = "" if self._version is None else f"; fhirVersion={detection.NUMBERED[self._version]}"
        raw = RawMessage(self._opening.name, self._opening.clock(), f"application/fhir+json{number}", item.body)
        return replace(arrive(raw, self._fixed), key=item.key)

    async def _hand_over(self, arrival: Arrival, intake: Intake) -> None:
        meters, name = self._opening.meters, self._opening.name
        meters.received.labels(name).inc()
        report = encode(outcome(arrival.issues))
        found = await intake.accept(arrival.raw, key=arrival.key, reply=report, refusal=arrival.refusal)
        if found.duplicate:
            meters.duplicates.labels(name).inc()

    async def _note(self, name: str, progress: Progress, newest: datetime | None) -> None:
        """Note how far a stream is; a time that is still to come would hide everything until then."""
        instant = None if newest is None else min(newest, self._opening.clock())
        await asyncio.to_thread(progress.advance, name, instant)


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


def _rising(pages: Sequence[Path]) -> bool:
    """Say whether a history has its oldest version first, which it should not."""
    told = [
        item.instant
        for path in dict.fromkeys((pages[0], pages[-1]))
        for item in items(decode(path.read_bytes()))
        if item.instant is not None
    ]
    return len(told) > 1 and told[0] < told[-1]


def _told(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError("since", "an instant is written as 2026-03-01T00:00:00Z") from error
    if moment.tzinfo is None:
        raise ConfigError("since", "an instant needs its offset, as in 2026-03-01T00:00:00Z")
    return moment


@asynccontextmanager
async def open_polling(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it."""
    feed = PollingFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


KIND: Kind[Feed] = Kind("fhir-poll", POLL_SCHEMA, open_polling)
