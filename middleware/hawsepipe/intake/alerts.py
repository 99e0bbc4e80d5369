"""What somebody has to look at: one notice when it begins, reminders while it lasts, one when it is over.

Whoever finds that something is wrong says so as often as it likes; what is told to people does not depend on how often.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import HawsepipeError
from hawsepipe.hooks import Feed, Sourced
from hawsepipe.meters import Meters
from hawsepipe.store.contract import Store

_log = structlog.get_logger("hawsepipe.alert")
_KEPT: Final = 100
"""Alerts that are over and still told."""
_LOOK: Final = 5.0
"""Seconds between two looks at how long messages wait."""
_SELDOM: Final = 6
"""Of so many looks one is at the dead letters too, which takes longer the more there are."""
_PART: Final = "DSC-1"
"""The place of letters that are parts of a message."""

DELIVERY: Final = "delivery"
"""A destination does not take messages."""
BACKLOG: Final = "backlog"
"""The oldest message of a feed waits for its effect for too long."""
QUEUE: Final = "queue"
"""The oldest message for a destination waits for too long."""
REFUSED: Final = "refused"
"""A destination would not have a message, which was set aside."""
LETTERS: Final = "letters"
"""There are dead letters of a feed and a cause."""
SOURCE: Final = "source"
"""The source that a feed reads could not be read for too long."""
STORE: Final = "store"
"""The store cannot be read."""


@dataclass(slots=True)
class Alert:
    """Something that is, or was, wrong: its kind, whom it is about (a feed, `feed/cause` or a destination), how often
    it was found, how many notices there were.
    """

    kind: str
    about: str
    since: datetime
    found: int = 1
    notices: int = 1
    told: datetime | None = None
    closed: datetime | None = None

    def summary(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "kind": self.kind,
            "about": self.about,
            "since": self.since.isoformat(),
            "closed": None if self.closed is None else self.closed.isoformat(),
            "found": self.found,
            "notices": self.notices,
        }


class Alerts:
    """The alerts of one service, since its start. A notice is a log line and a count."""

    def __init__(self, clock: Clock, meters: Meters, remind: timedelta) -> None:
        """`remind` is how long after a notice the next one follows while an alert is open."""
        self._clock = clock
        self._meters = meters
        self._remind = remind
        self._open: dict[tuple[str, str], Alert] = {}
        self._closed: deque[Alert] = deque(maxlen=_KEPT)

    def raised(self, kind: str, about: str) -> None:
        """Say that something is wrong (now, or still)."""
        now = self._clock()
        alert = self._open.get((kind, about))
        if alert is None:
            alert = self._open[kind, about] = Alert(kind, about, now)
            self._tell(alert, "opened", now)
            return
        alert.found += 1
        if alert.told is not None and now - alert.told >= self._remind:
            self._tell(alert, "reminder", now)

    def cleared(self, kind: str, about: str) -> None:
        """Say that nothing is wrong, or nothing any more."""
        alert = self._open.pop((kind, about), None)
        if alert is not None:
            alert.closed = self._clock()
            self._closed.appendleft(alert)
            self._tell(alert, "closed", alert.closed)

    def open(self, *kinds: str) -> set[tuple[str, str]]:
        """Return kind and whom they are about of the open ones of some kinds."""
        return {place for place in self._open if place[0] in kinds}

    def list(self) -> list[dict[str, Any]]:
        """Return the open ones, the oldest first, then those that are over, the last one first."""
        return [alert.summary() for alert in (*self._open.values(), *self._closed)]

    def _tell(self, alert: Alert, notice: str, now: datetime) -> None:
        if notice == "reminder":
            alert.notices += 1
        alert.told = now
        self._meters.alerts_open.labels(alert.kind, alert.about).set(alert.closed is None)
        self._meters.alert_notices.labels(alert.kind, alert.about, notice).inc()
        write = _log.info if notice == "closed" else _log.warning
        seconds = int((now - alert.since).total_seconds())
        write("alert", notice=notice, kind=alert.kind, about=alert.about, seconds=seconds, found=alert.found)


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks at how long messages wait (`longest` is from when on that is an alert), and at what was set aside."""

    store: Store
    clock: Clock
    alerts: Alerts
    longest: timedelta
    feeds: Callable[[], Mapping[str, Feed]] = dict

    async def run(self) -> None:
        """Look until cancelled."""
        turn = 0
        while True:
            await self.look()
            if turn % _SELDOM == 0:
                await self.look_at_letters()
            turn += 1
            await asyncio.sleep(_LOOK)

    async def look_at_letters(self) -> None:
        """Look once for dead letters, by feed and cause."""
        try:
            groups = await self.store.letter_groups()
        except HawsepipeError:
            return  # `look` tells of it
        # A part of a message waits for its rest by itself.
        found = {f"{group.feed}/{group.refusal.cause}" for group in groups if group.refusal.location != _PART}
        for about in found:
            self.alerts.raised(LETTERS, about)
        for kind, about in self.alerts.open(LETTERS) - {(LETTERS, about) for about in found}:
            self.alerts.cleared(kind, about)

    async def look(self) -> None:
        """Look once."""
        try:
            waiting, queues = await self.store.waiting(), await self.store.queues()
        except HawsepipeError:
            self.alerts.raised(STORE, "store")
            return
        self.alerts.cleared(STORE, "store")
        oldest = {(BACKLOG, name): one.oldest for name, one in waiting.items() if one.count}
        feeds = self.feeds()
        oldest |= {
            (SOURCE, name): feed.failing_since
            for name, feed in feeds.items()
            if isinstance(feed, Sourced) and feed.failing_since is not None
        }
        oldest |= {(QUEUE, name): one.oldest for name, one in queues.items() if one.oldest is not None}
        now = self.clock()
        late = {(REFUSED, name) for name, one in queues.items() if one.set_aside}
        late |= {place for place, since in oldest.items() if now - since > self.longest}
        for place in late:
            self.alerts.raised(*place)
        for kind, about in self.alerts.open(BACKLOG, QUEUE, REFUSED, SOURCE) - late:
            self.alerts.cleared(kind, about)
