"""Takes away contents that no version names: what a crash, or a refused write, left behind.

A content is durable before the version that names it is committed, so what nothing names may be about to be named. It
has a time of grace, which begins anew whenever somebody brings the same content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from hawsepipe.clock import Clock
from hawsepipe.contents.contract import Contents
from hawsepipe.errors import StoreError
from hawsepipe.store.contract import Store

_log = structlog.get_logger("hawsepipe.contents")


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The sweeping of one store's contents; `interval` is the time between two looks."""

    store: Store
    contents: Contents
    clock: Clock
    grace: timedelta
    interval: timedelta

    async def run(self) -> None:
        """Sweep now and after each interval, until cancelled."""
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                _log.error("contents were not swept", error=type(error).__name__)
            await asyncio.sleep(self.interval.total_seconds())

    async def sweep(self) -> int:
        """Take away what is past its grace and named by no version; return how many contents. Raises StoreError."""
        before = self.clock() - self.grace
        batches = self.contents.stale(before)
        gone = 0
        while batch := await asyncio.to_thread(_following, batches):
            named = await self.store.contents_named(batch)
            for sha256 in batch:
                if sha256 not in named:
                    gone += await asyncio.to_thread(self.contents.remove, sha256, before)
        if gone:
            _log.info("contents that nothing names were taken away", count=gone)
        return gone


def _following(batches: Iterator[Sequence[str]]) -> Sequence[str] | None:
    return next((batch for batch in batches if batch), None)
