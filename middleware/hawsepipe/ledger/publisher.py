"""Keeps one backend at the log's newest checkpoint, by compare-and-set.

A failed call says nothing about whether it took effect: after any failure the backend is asked for its head before
anything is submitted again. A backend that knows more than we do, or other than we do, is never overwritten: the log
stops growing and people are called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import TypeVar

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import (
    Fork,
    HawsepipeError,
    LedgerError,
    LedgerUnavailable,
    Pushback,
    Rejected,
    StaleHead,
    StoreError,
    VerificationError,
)
from hawsepipe.hooks import AnchorStatus, LedgerBackend
from hawsepipe.ledger import merkle
from hawsepipe.ledger.log import Log
from hawsepipe.meters import Meters
from hawsepipe.model import Checkpoint

_log = structlog.get_logger("hawsepipe.ledger")
T = TypeVar("T")

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 60.0
_STALE_ROUNDS = 3
_LOOK = timedelta(seconds=60)
_PENDING = timedelta(seconds=1)


class LedgerState(StrEnum):
    """How a backend, or the log as a whole, stands."""

    UNKNOWN = "unknown"  # not compared yet
    GOOD = "good"  # the backend's head is on our log
    UNREACHABLE = "unreachable"  # the last attempt failed; it is tried again
    ROLLED_BACK = "rolled-back"  # the backend holds more than our log, or less than it has receipted: one is a backup
    FORKED = "forked"  # the backend holds another root for a size that we signed
    BROKEN = "broken"  # our own log does not give the root that we signed, or another key signed it


HALTED = frozenset({LedgerState.ROLLED_BACK, LedgerState.FORKED, LedgerState.BROKEN})
"""States in which nothing is signed or published any more until a person has looked and the service is started anew."""


class Publisher:
    """One backend's line. `random` gives floats in [0, 1) for the jitter; `patience` bounds each call, in seconds."""

    def __init__(
        self,
        name: str,
        backend: LedgerBackend,
        log: Log,
        channel: str,
        clock: Clock,
        meters: Meters,
        *,
        random: Callable[[], float],
        patience: float,
    ) -> None:
        self.name = name
        self.state = LedgerState.UNKNOWN
        self.met = asyncio.Event()  # set once the backend has been asked for its head, whatever came of it
        self._backend = backend
        self._log = log
        self._channel = channel
        self._clock = clock
        self._meters = meters
        self._random = random
        self._patience = patience
        self.receipted = 0  # the size of the newest checkpoint that is known to be held for good
        self._head: Checkpoint | None = None
        self._head_known = False
        self._done: tuple[int, bytes] | None = None
        self._pending: tuple[str, Checkpoint] | None = None  # published, and not for good yet
        self._failures = 0
        self._not_before: datetime | None = None
        self._looked = clock()
        for state in LedgerState:
            meters.ledger_state.labels(name, state.value).set_function(partial(self._stands, state))

    def _stands(self, state: LedgerState) -> float:
        return float(self.state is state)

    async def resume(self, size: int) -> None:
        """Set the gauge of what the backend has receipted of our log, which has this size. Raises StoreError."""
        low, high = 0, size  # it has receipted a checkpoint of `low`, and none above `high`
        while low < high:
            middle = (low + high) // 2
            covering = await self._log.checkpoint_covering(self._channel, middle, self.name)
            low, high = (low, middle) if covering is None else (covering.size, high)
        self.receipted = low
        self._meters.anchored_size.labels(self.name).set(low)

    def delay(self) -> float:
        """Return how many seconds the publisher wants to wait before the next attempt; 0.0 when it may go on."""
        if self._not_before is None:
            return 0.0
        return max(0.0, (self._not_before - self._clock()).total_seconds())

    async def advance(self) -> bool:
        """Bring the backend to the newest checkpoint and keep its receipt. True when nothing is left to do.

        Backend failures are counted, logged and answered with False. Raises StoreError when our own store fails.
        """
        if self.state in HALTED or self.delay() > 0.0:
            return False
        try:
            for _ in range(_STALE_ROUNDS):
                try:
                    await self._advance()
                    break
                except StaleHead as error:
                    self._failed(error)
            else:
                raise LedgerUnavailable("the ledger's head keeps moving")
        except StoreError:
            raise
        except Fork as error:
            self._failed(error)
            self._halt(LedgerState.FORKED, error.have[0])
        except (LedgerError, VerificationError) as error:
            self._failed(error)
            if self.state not in HALTED:
                self._later(error)
        else:
            self._failures = 0
            if self._pending is None:
                self._not_before = None
        return self.state is LedgerState.GOOD and self._pending is None

    async def _advance(self) -> None:
        newest = await self._log.checkpoint(self._channel)
        if self._pending is not None and not await self._settled(*self._pending):
            return
        if newest is not None and self._done == (newest.size, newest.root):
            await self._look()
            self.state = LedgerState.GOOD
            return
        head = await self._compared(newest)
        if self.state in HALTED:
            return
        if newest is not None:
            # The same publish again gives the same handle: so a receipt that was lost is fetched again.
            handle = await self._call(self._backend.publish(newest, head))
            self._pending = (handle, newest)
            if not await self._settled(handle, newest):
                return
        self.state = LedgerState.GOOD

    async def _settled(self, handle: str, checkpoint: Checkpoint) -> bool:
        """Keep the receipt once the backend holds the checkpoint for good; False while that is on its way.

        Until then nothing newer is published: with a stream of checkpoints none would ever be the last for long enough.
        """
        status = await self._call(self._backend.status(handle))
        if status is AnchorStatus.PENDING:
            self.state = LedgerState.GOOD
            self._not_before = self._clock() + _PENDING
            return False
        self._pending = None
        if status not in (AnchorStatus.COMMITTED, AnchorStatus.FINAL):
            raise LedgerUnavailable("the publication is not in the ledger")
        self._head, self._head_known = checkpoint, True
        await self._keep_receipt(handle, checkpoint)
        self._done = (checkpoint.size, checkpoint.root)
        self.receipted = checkpoint.size
        self._meters.anchored_size.labels(self.name).set(checkpoint.size)
        return True

    async def _look(self) -> None:
        """Ask an idle backend now and then whether it is well: a quiet night must not hide its loss."""
        if self._clock() - self._looked >= _LOOK:
            await self._call(self._backend.health())
            self._looked = self._clock()

    async def _compared(self, newest: Checkpoint | None) -> Checkpoint | None:
        """Return the backend's head after seeing that our log has it, else halt."""
        if self._head_known:
            return self._head
        head = await self._call(self._backend.head(self._channel))
        if head is not None:
            if head.channel != self._channel:
                raise LedgerUnavailable("the ledger answered for another channel")
            if newest is None or head.size > newest.size:
                self._halt(LedgerState.ROLLED_BACK, head.size)
                return head
            if await self._root_at(head.size) != head.root:
                self._halt(LedgerState.FORKED, head.size)
                return head
        size = head.size if head is not None else 0
        if await self._log.checkpoint_covering(self._channel, size, self.name) is not None:
            # What it has receipted it has lost: its files were deleted, or restored from a backup.
            self._halt(LedgerState.ROLLED_BACK, size)
            return head
        self._head, self._head_known = head, True
        self.met.set()
        return head

    async def _root_at(self, size: int) -> bytes | None:
        """Return the root that our log had at this size."""
        try:
            return merkle.root_of(size, await self._log.nodes(merkle.peaks(size)))
        except KeyError:
            return None

    async def _keep_receipt(self, handle: str, checkpoint: Checkpoint) -> None:
        if "receipts" not in self._backend.capabilities:
            return
        receipt = await self._call(self._backend.receipt(handle))
        if (receipt.channel, receipt.size, receipt.root) != (self._channel, checkpoint.size, checkpoint.root):
            raise LedgerUnavailable("the receipt is for another checkpoint")
        try:
            self._backend.verify_receipt(receipt, checkpoint, self._backend.trust())
        except VerificationError:
            raise
        except Exception as error:
            raise LedgerUnavailable("the ledger failed outside its contract") from error
        await self._log.put_receipt(replace(receipt, backend=self.name))

    async def _call(self, awaitable: Awaitable[T]) -> T:
        """Await a backend within the patience; whatever it raises that is not ours becomes LedgerUnavailable."""
        try:
            async with asyncio.timeout(self._patience):
                return await awaitable
        except TimeoutError as error:
            raise LedgerUnavailable("the ledger did not answer in time") from error
        except (LedgerError, VerificationError):
            raise
        except Exception as error:
            raise LedgerUnavailable("the ledger failed outside its contract") from error

    def _failed(self, error: HawsepipeError) -> None:
        self._head_known, self._done, self._pending = False, None, None
        self.met.set()
        self._meters.ledger_failures.labels(self.name, type(error).__name__).inc()
        _log.warning("ledger call failed", backend=self.name, channel=self._channel, error=type(error).__name__)

    def _later(self, error: HawsepipeError) -> None:
        self.state = LedgerState.UNREACHABLE
        if isinstance(error, Pushback):
            seconds = min(max(error.retry_after, 0.0), 10 * _LONGEST_DELAY)
        else:
            most = _LONGEST_DELAY if isinstance(error, Rejected) else _FIRST_DELAY * 2.0 ** min(self._failures, 16)
            seconds = min(most, _LONGEST_DELAY) * (0.5 + self._random() / 2)
        self._failures += 1
        self._not_before = self._clock() + timedelta(seconds=seconds)

    def _halt(self, state: LedgerState, size: int) -> None:
        self.state = state
        self.met.set()
        self._meters.ledger_failures.labels(self.name, state.value).inc()
        _log.critical(
            "the ledger contradicts our log", backend=self.name, channel=self._channel, state=state.value, size=size
        )
