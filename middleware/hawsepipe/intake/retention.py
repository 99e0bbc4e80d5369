"""Takes old messages out of the journal and gives their room back, a little at a time.

Never what waits, what is a dead letter, what is still to be delivered, or what has an effect that the ledgers do not
hold yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import StoreError
from hawsepipe.meters import Meters
from hawsepipe.store.contract import JournalState, Store

_log = structlog.get_logger("hawsepipe.intake")
_ENTRIES = 500
_PAGES = 256
_BREATH = 0.02
"""Seconds between two slices: senders come first."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long entries of a state stay after they were settled; a state that is not named stays for ever. `interval`
    is the time between two looks.
    """

    kept: Mapping[JournalState, timedelta]
    interval: timedelta = timedelta(hours=1)


class Retention:
    """The retention of one store. `backends` are the ledgers that have to hold what a message made."""

    def __init__(
        self, store: Store, terms: Terms, channel: str, backends: Sequence[str], clock: Clock, meters: Meters
    ) -> None:
        self._store = store
        self._terms = terms
        self._channel = channel
        self._backends = tuple(backends)
        self._clock = clock
        self._meters = meters

    async def run(self) -> None:
        """Prune now and after each interval, until cancelled."""
        while True:
            try:
                await self.prune()
            except StoreError as error:
                _log.error("the journal was not pruned", error=type(error).__name__)
            await asyncio.sleep(self._terms.interval.total_seconds())

    async def prune(self) -> Mapping[str, int]:
        """Take out what is due and return how many entries of each state that was. Raises StoreError."""
        now = self._clock()
        before = {state: now - kept for state, kept in self._terms.kept.items()}
        anchored = await self._store.anchored(self._channel, self._backends)
        counts: dict[str, int] = dict.fromkeys(before, 0)
        after: int | None = 0
        while after is not None:
            pruned = await self._store.prune(before, anchored, after, _ENTRIES)
            for state, count in pruned.counts.items():
                counts[state] += count
                self._meters.pruned.labels(state).inc(count)
            after = pruned.last
            await asyncio.sleep(_BREATH)
        left = -1
        while (now_left := await self._store.give_back(_PAGES)) not in (0, left):
            left = now_left
            await asyncio.sleep(_BREATH)
        return counts
