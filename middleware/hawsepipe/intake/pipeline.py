"""Applies journalled messages in the order of the journal.

The journal is the queue: whatever is in state RECEIVED has still to be applied, also after a restart. Effects are
worked out some messages ahead, in order; each is committed on its own (effect, Provenance, outbox and journal state
together), a slice shares one fsync. What cannot be applied becomes a dead letter; what the store cannot take now is
tried again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import HawsepipeError, StoreError
from hawsepipe.hooks import Refusal
from hawsepipe.intake.effects import Desk, Effect, Task
from hawsepipe.intake.rehearsal import refusal_of
from hawsepipe.meters import Meters
from hawsepipe.model import Severity
from hawsepipe.store.answers import Held
from hawsepipe.store.contract import Application, JournalRecord, Store
from hawsepipe.store.prepared import PreparedTransaction

_log = structlog.get_logger("hawsepipe.intake")
_READ = 128
"""Messages that are read from the journal at once; no more are read while half of them are in hand."""

_PART = 8
"""Messages whose effects are worked out in one call."""

_QUIET = 64
"""Messages that are applied in one commit while nothing arrives: the more, the cheaper each is."""

_BUSY = 8
"""The same while messages arrive: an acknowledgement waits for no more than these."""

_LULL = 0.1
"""Seconds without an arrival after which nothing arrives: a sender that waits for an answer is silent, too."""

_LINGER = 0.01
"""Seconds to wait for as many as that, so that a lone sender's messages share commits as well."""


_MOMENT = timedelta(microseconds=1)


class _Ready(NamedTuple):
    record: JournalRecord
    effect: Effect


class _Ahead:
    """Messages that are in hand: read, being worked out, ready to be applied; always in the order of the journal."""

    def __init__(self, desk: Desk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock
        self._read: deque[JournalRecord] = deque()
        self._parts: deque[tuple[Sequence[JournalRecord], asyncio.Task[list[Effect]]]] = deque()
        self._ready: deque[_Ready] = deque()
        self._working = 0
        self._last: datetime | None = None
        self.count = 0

    def add(self, records: Sequence[JournalRecord]) -> None:
        """Put messages after all others."""
        self._read += records
        self.count += len(records)
        self._start()

    async def take(self, size: int) -> list[_Ready]:
        """Return the next messages, `size` of them or all that are in hand, once they are ready."""
        while len(self._ready) < min(size, self.count):
            records, working = self._parts[0]
            effects = await working
            self._parts.popleft()
            self._ready += map(_Ready, records, effects)
        taken = [self._ready.popleft() for _ in range(min(size, self.count))]
        self.count -= len(taken)
        return taken

    def _start(self) -> None:
        while self._read and self._working < self._desk.width:
            records = [self._read.popleft() for _ in range(min(_PART, len(self._read)))]
            tasks = [Task(record.sequence, self._instant(), record.message) for record in records]
            working = asyncio.create_task(self._desk.effects(tasks))
            self._working += 1
            working.add_done_callback(self._done)
            self._parts.append((records, working))

    def _instant(self) -> datetime:
        """Return the present instant, or one after the last that was given: no two effects are to have the same."""
        now = self._clock()
        self._last = now if self._last is None else max(now, self._last + _MOMENT)
        return self._last

    def _done(self, _: asyncio.Task[list[Effect]]) -> None:
        self._working -= 1
        self._start()

    async def drop(self) -> None:
        """Let go of everything: it is in the journal still."""
        self._read.clear()
        for _, working in self._parts:
            working.cancel()
        await asyncio.gather(*(working for _, working in self._parts), return_exceptions=True)


class Pipeline:
    """One pipeline per store. Effects are worked out at `desk`."""

    def __init__(
        self,
        store: Store,
        desk: Desk,
        clock: Clock,
        meters: Meters,
        committed: Callable[[], None],
        *,
        pause: float = 0.5,
        passing: frozenset[str] = frozenset(),
    ) -> None:
        """`committed` is called after each slice; `pause` is the wait, in seconds, after the store could not write;
        `passing` are the feeds whose letters hold nobody's lane.
        """
        self._passing = passing
        self._pause = pause
        self._store = store
        self._desk = desk
        self._clock = clock
        self._meters = meters
        self._committed = committed
        self._arrived: float | None = None
        self._unread = True
        self._after = 0
        self._awake = asyncio.Event()
        self._idle = asyncio.Event()

    def wake(self) -> None:
        """Say that there is something new in the journal."""
        self._arrived = asyncio.get_running_loop().time()
        self._unread = True
        self._idle.clear()
        self._awake.set()

    async def settled(self) -> None:
        """Return when everything that was journalled before this call is applied or set aside."""
        await self._idle.wait()

    async def run(self) -> None:
        """Apply messages until cancelled."""
        while True:
            self._awake.clear()
            try:
                await self.drain()
            except HawsepipeError as error:
                # Nothing is lost: what was not applied is in the journal still, and is tried again.
                _log.error("the store does not take the effects", error=type(error).__name__)
                await asyncio.sleep(self._pause)
                continue
            if not self._awake.is_set():
                self._idle.set()
            await self._awake.wait()

    async def drain(self) -> None:
        """Apply everything that is in the journal, and what comes meanwhile. Raises StoreError."""
        ahead = _Ahead(self._desk, self._clock)
        self._after, self._unread = 0, True
        again = False
        try:
            while True:
                await self._read(ahead)
                if not ahead.count:
                    if self._unread:
                        continue
                    if not again and await self._store.backlog():
                        # What waited behind a letter may go on, in its old place.
                        self._after, self._unread, again = 0, True, True
                        continue
                    break
                again = False
                busy = self._arrived is not None and asyncio.get_running_loop().time() < self._arrived + _LULL
                if busy and ahead.count < _BUSY:
                    await asyncio.sleep(_LINGER)
                    await self._read(ahead)
                await self._apply(await ahead.take(_BUSY if busy else _QUIET))
                self._meters.backlog.set(await self._store.backlog())
        finally:
            await ahead.drop()

    async def _read(self, ahead: _Ahead) -> None:
        if not self._unread or ahead.count > _READ // 2:
            return
        self._unread = False
        records = await self._store.received(self._after, _READ)
        if records:
            self._after = records[-1].sequence
            ahead.add(records)
            self._unread |= len(records) == _READ

    async def _apply(self, slice_: Sequence[_Ready]) -> None:
        applications = [self._application(*ready) for ready in slice_]
        outcomes = await self._store.apply(applications)
        refused: list[Application] = []
        for application, outcome in zip(applications, outcomes, strict=True):
            if isinstance(outcome, StoreError):
                raise outcome
            if isinstance(outcome, HawsepipeError):
                refused.append(self._refused(outcome, application))
        if refused:
            for outcome in await self._store.apply(refused):
                if isinstance(outcome, HawsepipeError):
                    raise outcome
        refusals = {application.sequence: application.refusal for application in (*applications, *refused)}
        for (record, effect), outcome in zip(slice_, outcomes, strict=True):
            if isinstance(outcome, Held):
                self._meters.held.labels(record.message.feed).inc()
                _log.info("held", feed=record.message.feed, sequence=record.sequence, behind=outcome.behind)
                continue
            self._report(record, effect)
            self._count(record, refusals[record.sequence])
        self._committed()

    def _application(self, record: JournalRecord, effect: Effect) -> Application:
        transaction = effect.transaction
        if transaction is not None and record.forced:
            transaction = transaction._replace(event_time=None)
        hold = record.message.feed not in self._passing
        return Application(record.sequence, effect.label, transaction, effect.refusal, effect.named, hold)

    def _refused(self, error: HawsepipeError, application: Application) -> Application:
        """Return what makes a dead letter of a message that the store does not take."""
        transaction = application.transaction
        whom = transaction.named if isinstance(transaction, PreparedTransaction) else application.named
        refusal = _refusal(error, application)
        return replace(application, transaction=None, refusal=refusal, named=whom)

    def _report(self, record: JournalRecord, effect: Effect) -> None:
        """Count what the translator reported and log the places of warnings."""
        feed = record.message.feed
        for cause, severity, location in effect.findings:
            self._meters.findings.labels(feed, cause, severity.value).inc()
            if severity is not Severity.INFORMATION:
                _log.warning("finding", feed=feed, sequence=record.sequence, cause=cause, location=location)

    def _count(self, record: JournalRecord, refusal: Refusal | None) -> None:
        feed = record.message.feed
        if refusal is None:
            self._meters.applied.labels(feed).inc()
            return
        self._meters.dead_letters.labels(feed, refusal.cause).inc()
        place = refusal.location
        _log.warning("dead letter", feed=feed, sequence=record.sequence, cause=refusal.cause, location=place)


def _refusal(error: HawsepipeError, application: Application) -> Refusal:
    changes = application.transaction.changes if application.transaction is not None else ()
    return refusal_of(error, len(changes), _told(application))


def _told(application: Application) -> str:
    """Return where in its message the identifiers of the first patient stand."""
    transaction = application.transaction
    if not isinstance(transaction, PreparedTransaction):
        return ""
    trail = transaction.lines if transaction.story is None else transaction.story.lines
    for one in transaction.named:
        for line in trail.get(one.reference, "").split("\n"):
            path, _, source = line.partition("=")
            if path.startswith("identifier["):
                return source.partition(".")[0]
    return ""
