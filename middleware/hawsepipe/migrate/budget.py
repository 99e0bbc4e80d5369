"""How fast a load may go: a rate that it shares with live messages, which go first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

_PATIENCE: Final = 1.0
"""Seconds that a chunk waits for live messages at most: a load slows down beside a busy feed, it does not stop."""

_LOOK: Final = 0.005

Backlog = Callable[[], Awaitable[int]]
Sleep = Callable[[float], Awaitable[None]]


class Budget:
    """Gives a load leave to write. `rate` is records a second, those of live messages included; None for no bound."""

    def __init__(
        self, rate: float | None, backlog: Backlog, now: Callable[[], float], sleep: Sleep = asyncio.sleep
    ) -> None:
        self._rate = rate
        self._backlog = backlog
        self._now = now
        self._sleep = sleep
        self._due = now()
        self.arrived = 0

    def live(self, count: int = 1) -> None:
        """Take note that live messages came: their share is the load's no more."""
        self.arrived += count
        if self._rate is not None:
            self._due = max(self._due, self._now()) + count / self._rate

    async def take(self, count: int) -> None:
        """Return when so many records may be written; nothing that was not used is saved up."""
        until = self._now() + _PATIENCE
        while await self._backlog() and self._now() < until:
            await self._sleep(_LOOK)
        if self._rate is None:
            return
        begin = max(self._due, self._now())
        self._due = begin + count / self._rate
        if (wait := self._due - self._now()) > 0:
            await self._sleep(wait)
