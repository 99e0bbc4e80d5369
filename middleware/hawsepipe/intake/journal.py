"""The door that feeds knock at: a message is journalled durably, or the feed is told that it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from hawsepipe.hooks import Acceptance, Refusal, Reuse
from hawsepipe.intake.outcomes import Outcomes
from hawsepipe.meters import Meters
from hawsepipe.model import RawMessage
from hawsepipe.store.contract import JournalEntry, Letters, Store

_log = structlog.get_logger("hawsepipe.intake")
_MOST: Final = 1000


class Journal:
    """Implements `hooks.Intake` over a store. `wake` is called when there is something new to apply."""

    def __init__(
        self, store: Store, meters: Meters, wake: Callable[[], None], outcomes: Outcomes | None = None
    ) -> None:
        self._store = store
        self._meters = meters
        self._wake = wake
        self._outcomes = outcomes if outcomes is not None else Outcomes(store)

    async def accept(
        self, message: RawMessage, *, key: str, reply: bytes, refusal: Refusal | None = None, reuse: Reuse | None = None
    ) -> Acceptance:
        """See `hooks.Intake.accept`."""
        acceptance = await self._store.append(JournalEntry(message, key, reply, refusal, reuse=reuse))
        if acceptance.duplicate:
            return acceptance
        if acceptance.reused:
            _log.warning("control id used again", feed=message.feed, sequence=acceptance.sequence)
            self._meters.reused.labels(message.feed).inc()
            if reuse is not None and refusal is None:
                refusal = reuse.refusal
        if refusal is None:
            self._wake()
        else:
            self._meters.dead_letters.labels(message.feed, refusal.cause).inc()
            _log.warning(
                "dead letter",
                feed=message.feed,
                sequence=acceptance.sequence,
                cause=refusal.cause,
                location=refusal.location,
            )
        return acceptance

    async def outcome(self, sequence: int) -> Refusal | None:
        """See `hooks.Intake.outcome`."""
        return await self._outcomes.of(sequence)

    async def mended(self, sequence: int) -> None:
        """See `hooks.Intake.mended`."""
        await self._outcomes.mended(sequence)

    async def set_aside(self, feed: str, location: str) -> Sequence[tuple[int, RawMessage]]:
        """See `hooks.Intake.set_aside`."""
        found = await self._store.dead_letters(0, _MOST, Letters(feed=feed, location=location))
        return [(letter.sequence, letter.message) for letter in found]

    async def taken_up(self, sequences: Sequence[int], instant: datetime) -> None:
        """See `hooks.Intake.taken_up`."""
        for sequence in sequences:
            await self._store.discard(sequence, instant)
