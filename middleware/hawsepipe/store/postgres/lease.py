"""Which of the processes with a store open does what only one may do, and how the others hear of what was committed.

The lease is a lock of a session: the server lets go of it when the process, or the way to it, is no more. What is done
under it is safe even where two do it for a moment (a message is applied once, a batch of the log continues the log);
the lease keeps messages about one patient in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import asyncpg
import structlog

from hawsepipe.store.postgres.connection import Way, opening

_log = structlog.get_logger("store")
_PAUSE: Final = 1.0
_LOOK: Final = 2.0
"""Seconds between two looks whether the lease is still held."""

_LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

Chore = Callable[[], Coroutine[Any, Any, None]]


class Lease:
    """The lease of one schema."""

    def __init__(self, way: Way) -> None:
        self._way = way

    async def lead(self, before: Callable[[], Awaitable[None]], chores: Sequence[Chore], group: str = "work") -> None:
        """Wait for the lease of a group of chores, then do them for as long as it is held; so until cancelled.

        `before` is done each time that the lease is taken. What a chore raises ends it.
        """
        lock = f"hawsepipe lease {self._way.schema} {group}"
        while True:
            try:
                connection = await opening(self._way, "hawsepipe lease")
            except _LOST:
                await asyncio.sleep(_PAUSE)
                continue
            try:
                await connection.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", lock, timeout=None)
            except _LOST:
                connection.terminate()
                await asyncio.sleep(_PAUSE)
                continue
            try:
                await self._led(connection, before, chores)
            finally:
                connection.terminate()
            _log.warning("the lease was lost", schema=self._way.schema)

    async def _led(self, connection: Any, before: Callable[[], Awaitable[None]], chores: Sequence[Chore]) -> None:
        _log.info("leads", schema=self._way.schema)
        await before()
        working = asyncio.gather(*(chore() for chore in chores))
        try:
            while True:
                done, _ = await asyncio.wait([working], timeout=_LOOK)
                if done:
                    working.result()
                    return
                try:
                    await connection.fetchval("SELECT 1", timeout=_LOOK * 2)
                except _LOST:
                    return
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await working

    async def listen(self, stirred: Callable[[], None]) -> None:
        """Call `stirred` whenever messages or commitments came, by whichever process; so until cancelled."""
        while True:
            lost = asyncio.Event()
            try:
                connection = await opening(self._way, "hawsepipe listener")
            except _LOST:
                await asyncio.sleep(_PAUSE)
                continue
            try:
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(self._way.schema, lambda *_: stirred())
                stirred()  # what was committed before this
                await lost.wait()
            except _LOST:
                await asyncio.sleep(_PAUSE)
            finally:
                connection.terminate()
