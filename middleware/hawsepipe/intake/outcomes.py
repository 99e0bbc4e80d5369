"""What becomes of messages that somebody waits for."""

from __future__ import annotations

import asyncio

from hawsepipe.errors import StoreError
from hawsepipe.hooks import Refusal
from hawsepipe.store.contract import JournalState, Store

_PAUSE = 0.5
"""Seconds after which the journal is asked again, should nobody have said that something was settled."""


class Outcomes:
    """Asks the journal when something was settled, and only if somebody waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Event()

    def look(self) -> None:
        """Say that messages were settled."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def of(self, sequence: int) -> Refusal | None:
        """Return once a message is applied (None) or set aside (why). A letter that was discarded is set aside."""
        while True:
            changed = self._changed
            try:
                record = await self._store.journal(sequence)
            except StoreError:
                record = None
            if record is not None and record.state not in (JournalState.RECEIVED, JournalState.HELD):
                return None if record.state is JournalState.APPLIED else record.refusal or _DISCARDED
            try:
                async with asyncio.timeout(_PAUSE):
                    await changed.wait()
            except TimeoutError:
                pass


_DISCARDED = Refusal("delivery", "", "the message was set aside")
