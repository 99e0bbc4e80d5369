"""The feed kind `mqtt`: readings of devices from a broker.

A message is acknowledged (PUBACK) after it is on the disk: in the journal, or, as a part of a window, in the feed's
spool, from which the window goes to the journal when it closes. A window closes when the device's own clock has passed
its end, or when the device is silent; what comes later makes a new version of its Observation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import apsw
import structlog

from hawsepipe import ConfigError, Feed, HawsepipeError, Intake, Kind, Opening, RawMessage, Refusal
from hawsepipe_iomt.broker import Broker, Delivery
from hawsepipe_iomt.door import REPLAY, SIGNATURE, Door, Verdict
from hawsepipe_iomt.messages import WINDOW, reading_type, window_body
from hawsepipe_iomt.payloads import microseconds
from hawsepipe_iomt.settings import FEED_SCHEMA
from hawsepipe_iomt.spool import Batch, Frozen, Place, Spool
from hawsepipe_iomt.translator import files_of

T = TypeVar("T")
_log = structlog.get_logger("hawsepipe.feed")
_MOST = 500
"""Messages in one commit."""
_TOGETHER = 250
"""Windows that are on their way to the journal at once."""
_BEAT = 0.25
"""Seconds between two looks at the windows."""
_PAUSE = 0.5
_HOUSEKEEPING = 240
"""Looks at the windows between two times of forgetting."""


class DeviceFeed:
    """One session at a broker."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._book, self._registry = files_of(opening)
        settings = opening.settings
        topics = settings.get("topics") or list(dict.fromkeys(it.filter for it in self._book.templates))
        self._broker = Broker(opening.name, settings, opening.base, topics, opening.clock, self._count)
        self._remember = int(settings["remember_seconds"] * 1_000_000)
        self._tasks: list[asyncio.Task[None]] = []
        self._spool: Spool | None = None
        # One thread: a call whose task was cancelled is over before the next begins, also before the file is closed.
        self._thread = ThreadPoolExecutor(1, f"spool-{opening.name}")
        self._waiting: dict[Place, float] = {}
        """Windows with readings that the journal does not have, and when the last of them came (monotonic)."""
        self._passed: dict[str, int] = {}
        """The latest time of each device of which everything is stored, in microseconds since 1970."""

    @property
    def address(self) -> str:
        """The broker."""
        return self._broker.address

    async def start(self, intake: Intake) -> None:
        """Begin. Raises ConfigError when the spool cannot be opened."""
        settings = self._opening.settings
        try:
            self._spool = await asyncio.to_thread(Spool, self._opening.directory / "spool.sqlite")
            known = self._spool.devices()
            self._passed = {id_: it.latest for id_, it in known.items()}
            self._door = Door(
                self._book, self._registry, known, self._spool.last(), self._spool.horizons(),
                timedelta(seconds=settings["ahead_seconds"]), settings["payload_bytes"],
            )  # fmt: skip
            now = asyncio.get_running_loop().time()
            self._waiting = dict.fromkeys(await asyncio.to_thread(self._spool.waiting), now)
        except (apsw.Error, ValueError) as error:
            raise ConfigError("templates", f"the spool cannot be opened ({type(error).__name__})") from error
        self._broker.start()
        self._tasks = [
            asyncio.create_task(self._for_ever(self._receive, intake)),
            asyncio.create_task(self._for_ever(self._gather, intake)),
        ]

    async def stop(self) -> None:
        """Stop; what is not acknowledged comes again, what is in the spool stays there."""
        if self._tasks:
            await asyncio.to_thread(self._broker.stop)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spool is not None:
            await self._with_spool(Spool.close)
            self._spool = None
        self._thread.shutdown()

    async def _for_ever(self, work: Callable[[Intake], Awaitable[None]], intake: Intake) -> None:
        while True:
            try:
                await work(intake)
            except Exception:
                # A fault of ours must not end the feed in silence: nothing is acknowledged that is not stored.
                self._count("fault")
                _log.exception("a device feed failed", feed=self._opening.name)
                await asyncio.sleep(_PAUSE)

    def _count(self, event: str, number: int = 1) -> None:
        self._opening.meters.framing.labels(self._opening.name, event).inc(number)

    # messages

    async def _receive(self, intake: Intake) -> None:
        deliveries = await self._broker.take(_MOST)
        batch = Batch()
        verdicts = [self._door.judge(one.arrived, batch) for one in deliveries]
        while not await self._stored(deliveries, verdicts, batch, intake):  # noqa: ASYNC110  nothing tells when it can
            await asyncio.sleep(_PAUSE)
        now = asyncio.get_running_loop().time()
        # Only now: a window must not be closed by a reading whose forerunners are not in the spool yet.
        self._passed.update({id_: known.latest for id_, known in batch.devices.items()})
        for verdict in verdicts:
            for kept in verdict.kept:
                self._waiting[kept.place] = now
        self._broker.acknowledge(deliveries)

    async def _stored(
        self, deliveries: Sequence[Delivery], verdicts: Sequence[Verdict], batch: Batch, intake: Intake
    ) -> bool:
        """Have a batch stored; say whether it is. What of it was stored before is known again the next time."""
        meters, name = self._opening.meters, self._opening.name
        pairs = [(one, verdict) for one, verdict in zip(deliveries, verdicts, strict=True) if verdict.key]
        # Tasks start in the order of their making, so the journal has the order of the messages.
        found = await asyncio.gather(
            *(self._hand_over(one, verdict, intake) for one, verdict in pairs), return_exceptions=True
        )
        for outcome in found:
            if isinstance(outcome, HawsepipeError):
                _log.error("the journal does not take readings", feed=name, error=type(outcome).__name__)
                return False
            if isinstance(outcome, BaseException):
                raise outcome
        batch.kept = [kept for verdict in verdicts for kept in verdict.kept]
        try:
            known = await self._with_spool(lambda spool: spool.commit(batch))
        except apsw.Error as error:
            _log.error("the spool does not take readings", feed=name, error=type(error).__name__)
            return False
        doubled = known + sum(verdict.duplicate for verdict in verdicts) + sum(outcome is True for outcome in found)
        meters.duplicates.labels(name).inc(doubled)
        spooled = sum(bool(verdict.kept) for verdict in verdicts)
        if spooled:
            self._count("window_reading", spooled)
        for one, verdict in zip(deliveries, verdicts, strict=True):
            if one.arrived.retained:
                self._count("retained")
            for event, number in verdict.events:
                self._count(event, number)
                if event in (SIGNATURE, REPLAY):
                    _log.warning("security: a reading was refused", feed=name, event_=event)
                else:
                    _log.warning("readings are missing or out of order", feed=name, event_=event, number=number)
        return True

    async def _hand_over(self, one: Delivery, verdict: Verdict, intake: Intake) -> bool:
        """Have one message journalled; say whether it was there before."""
        arrived = one.arrived
        raw = RawMessage(self._opening.name, arrived.received, reading_type(arrived.topic), arrived.payload)
        return await self._journal(raw, verdict.key, verdict.refusal, intake)

    async def _journal(self, raw: RawMessage, key: str, refusal: Refusal | None, intake: Intake) -> bool:
        accepted = await intake.accept(raw, key=key, reply=b"", refusal=refusal)
        if not accepted.duplicate:
            self._opening.meters.received.labels(self._opening.name).inc()
        return accepted.duplicate

    # windows

    async def _gather(self, intake: Intake) -> None:
        """Close windows as they are due, again and again."""
        beats = 0
        while True:
            due = self._due(asyncio.get_running_loop().time())
            for begin in range(0, len(due), _TOGETHER):
                await self._close(due[begin : begin + _TOGETHER], intake)
            beats += 1
            if beats % _HOUSEKEEPING == 1:
                await self._forget()
            await asyncio.sleep(_BEAT)

    async def _forget(self) -> None:
        before = microseconds(self._opening.clock()) - self._remember
        self._door.forgotten(await self._with_spool(lambda spool: spool.forget(before)))

    def _due(self, now: float) -> list[Place]:
        found = []
        for place, last in self._waiting.items():
            template = self._book.named(place.template)
            window = template.window if template is not None else None
            if window is None:
                # The template is gone: its readings go to the journal all the same, and are set aside there.
                found.append(place)
                continue
            over = self._passed.get(place.device, 0) >= place.start + window.length + window.lateness
            if over or now - last >= window.idle / 1_000_000:
                found.append(place)
        return sorted(found, key=lambda place: place.start)

    async def _close(self, places: Sequence[Place], intake: Intake) -> None:
        for place in places:
            self._waiting.pop(place, None)
        try:
            frozen = await self._with_spool(lambda spool: spool.freeze(places))
            await asyncio.gather(*(self._send(one, intake) for one in frozen))
            now = microseconds(self._opening.clock())
            again = await self._with_spool(lambda spool: spool.done(places, now))
        except (HawsepipeError, apsw.Error) as error:
            _log.error("windows wait", feed=self._opening.name, error=type(error).__name__)
            again = list(places)
            await asyncio.sleep(_PAUSE)
        moment = asyncio.get_running_loop().time()
        for place in again:
            self._waiting.setdefault(place, moment)

    async def _send(self, one: Frozen, intake: Intake) -> None:
        body = window_body(one.gathered)
        raw = RawMessage(self._opening.name, self._opening.clock(), WINDOW, body)
        key = "|".join(("window", one.place.template, one.place.device, str(one.place.start), str(one.revision)))
        await self._journal(raw, key, None, intake)
        if one.revision > 1:
            self._count("window_late")

    async def _with_spool(self, work: Callable[[Spool], T]) -> T:
        if self._spool is None:
            raise apsw.Error("closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._spool)


@asynccontextmanager
async def open_feed(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it. Raises ConfigError."""
    feed = DeviceFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


KIND: Kind[Feed] = Kind("mqtt", FEED_SCHEMA, open_feed)
