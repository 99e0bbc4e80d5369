"""The feed kind `dicom-changes`: studies of an Orthanc archive, as its list of changes tells of them.

A study is taken when the archive calls it stable, and again whenever it has become so anew. One that the archive never
calls stable (since it was restarted meanwhile) is taken when no instance more has come for a while. How far the feed
has come is noted after the study is in the journal: what is told twice is the same message, or the same content.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from hawsepipe import Feed, HawsepipeError, Intake, Kind, Opening, RawMessage
from hawsepipe_dicom.archive import Archive, Event, Gone, Trouble
from hawsepipe_dicom.manifest import MEDIA_TYPE, body_of
from hawsepipe_dicom.progress import Progress
from hawsepipe_dicom.settings import FEED_SCHEMA

_log = structlog.get_logger("hawsepipe.feed")
_FIRST, _MOST = 1.0, 300.0


class ChangesFeed:
    """One archive. It is asked from `start` on until the context is left."""

    def __init__(self, opening: Opening) -> None:
        settings = opening.settings
        self._opening = opening
        self._archive = Archive(settings, opening.base)
        self._interval: float = settings["interval_seconds"]
        self._settle = timedelta(seconds=settings["settle_seconds"])
        self._page: int = settings["page_size"]
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The archive."""
        return self._archive.url

    async def start(self, intake: Intake) -> None:
        """Begin to ask. Raises ConfigError when what was noted last cannot be read."""
        progress = await asyncio.to_thread(Progress, self._opening.directory / "progress.json", self._archive.url)
        self._task = asyncio.create_task(self._watch(intake, progress))

    async def stop(self) -> None:
        """Stop; what is on its way is asked for again at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._archive.close()

    async def _watch(self, intake: Intake, progress: Progress) -> None:
        failures = 0
        while True:
            wait = self._interval
            try:
                await self._round(intake, progress)
                failures = 0
            except Trouble as trouble:
                failures += 1
                wait = min(_FIRST * 2.0 ** min(failures - 1, 30), _MOST)
                self._count(f"archive_{trouble.event}")
                _log.warning("the archive was not read", feed=self._opening.name, reason=trouble.event)
            except (OSError, HawsepipeError) as error:
                failures += 1
                wait = min(_FIRST * 2.0 ** min(failures - 1, 30), _MOST)
                _log.error("a study waits", feed=self._opening.name, error=type(error).__name__)
            except Exception:
                # A fault of ours must not end the feed in silence; what was not noted is asked for again.
                failures += 1
                wait = min(_FIRST * 2.0 ** min(failures - 1, 30), _MOST)
                self._count("archive_fault")
                _log.exception("a look at the archive failed", feed=self._opening.name)
            await asyncio.sleep(wait)

    def _count(self, event: str) -> None:
        self._opening.meters.framing.labels(self._opening.name, event).inc()

    async def _round(self, intake: Intake, progress: Progress) -> None:
        done = False
        while not done:
            events, last, done = await self._archive.changes(progress.last, self._page)
            for event in events:
                await self._follow(event, intake, progress)
            if last < progress.last and not events:
                # The archive was set up anew: its numbers begin again.
                self._count("archive_reset")
                last = 0
            if last != progress.last:
                progress.last = last
                await asyncio.to_thread(progress.note)
        await self._overdue(intake, progress)

    async def _follow(self, event: Event, intake: Intake, progress: Progress) -> None:
        if event.type == "NewInstance":
            progress.open[event.id] = self._opening.clock()
        elif event.type == "StableStudy":
            await self._take(event.id, event.number, intake, progress)

    async def _overdue(self, intake: Intake, progress: Progress) -> None:
        """Take the studies of instances that have waited too long for a word of the archive."""
        before = self._opening.clock() - self._settle
        while (instance := next((id_ for id_, at in progress.open.items() if at < before), None)) is not None:
            try:
                await self._take(await self._archive.parent(instance), progress.last, intake, progress)
            except Gone:
                self._count("archive_gone")
            progress.open.pop(instance, None)
            await asyncio.to_thread(progress.note)

    async def _take(self, id_: str, number: int, intake: Intake, progress: Progress) -> None:
        """Have a study stored as it is now; a study that is gone is nobody's."""
        try:
            study, instances = await self._archive.study(id_)
        except Gone:
            self._count("archive_gone")
            return
        meters, name = self._opening.meters, self._opening.name
        raw = RawMessage(name, self._opening.clock(), MEDIA_TYPE, body_of(study))
        found = await intake.accept(raw, key=f"{study.tags.get('StudyInstanceUID', id_)}|{number}", reply=b"")
        meters.received.labels(name).inc()
        if found.duplicate:
            meters.duplicates.labels(name).inc()
        for instance in instances:
            progress.open.pop(instance, None)


@asynccontextmanager
async def open_feed(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it. Raises ConfigError."""
    feed = ChangesFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


KIND: Kind[Feed] = Kind("dicom-changes", FEED_SCHEMA, open_feed)
