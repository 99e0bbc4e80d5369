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
        self._retried: dict[int, asyncio.Future[int]] = {}

    def replayed(self, letter: int, sequence: int) -> None:
        """Say that a letter was journalled anew under another number."""
        future = self._retried.pop(letter, None)
        if future is not None and not future.done():
            future.set_result(sequence)

    async def mended(self, sequence: int) -> None:
        """Return once a retry of a message that was set aside is applied. Only retries of this process are heard of:
        whoever waits for one does not outlive it.
        """
        while True:
            future = self._retried.get(sequence)
            if future is None:
                future = self._retried[sequence] = asyncio.get_running_loop().create_future()
            try:
                replay = await asyncio.shield(future)
            except asyncio.CancelledError:
                self._retried.pop(sequence, None)
                raise
            if await self.of(replay) is None:
                return
            sequence = replay

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
