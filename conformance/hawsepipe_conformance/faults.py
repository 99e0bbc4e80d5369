"""A ledger that misbehaves on purpose: it passes every call on to a real backend, but for the one that is to go wrong.

Without a fault it is the backend that it wraps, and keeps its contract.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from hawsepipe import AnchorStatus, Checkpoint, LedgerBackend, LedgerUnavailable, Pushback, Receipt

T = TypeVar("T")


class Fault(StrEnum):
    """How a call goes wrong."""

    LOST_REQUEST = "lost-request"  # it never arrives
    LOST_REPLY = "lost-reply"  # it takes effect, and the caller is told that it failed
    REPEATED = "repeated"  # it arrives twice
    PUSHBACK = "pushback"  # it is put off
    CRASH = "crash"  # it takes effect, and an exception comes that is not one of ours


class FaultyLedger:
    """A backend whose `at`-th call (from 1; 0 for none) goes wrong in the given way; `calls` counts them."""

    def __init__(self, inner: LedgerBackend, fault: Fault, at: int) -> None:
        self._inner = inner
        self._fault = fault
        self._at = at
        self.calls = 0

    @property
    def capabilities(self) -> frozenset[str]:
        """As the real one."""
        return self._inner.capabilities

    async def head(self, channel: str) -> Checkpoint | None:
        """As the real one, or the fault."""
        return await self._call(lambda: self._inner.head(channel))

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        """As the real one, or the fault."""
        return await self._call(lambda: self._inner.publish(new, expected))

    async def status(self, handle: str) -> AnchorStatus:
        """As the real one, or the fault."""
        return await self._call(lambda: self._inner.status(handle))

    async def receipt(self, handle: str) -> Receipt:
        """As the real one, or the fault."""
        return await self._call(lambda: self._inner.receipt(handle))

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        """As the real one."""
        self._inner.verify_receipt(receipt, checkpoint, trust)

    def trust(self) -> Mapping[str, Any]:
        """As the real one."""
        return self._inner.trust()

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        """As the real one, or the fault."""
        return await self._call(lambda: self._inner.scan(channel, from_size))

    async def health(self) -> None:
        """As the real one, or the fault."""
        await self._call(self._inner.health)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        if self.calls != self._at:
            return await call()
        match self._fault:
            case Fault.LOST_REQUEST:
                raise LedgerUnavailable("the request was lost")
            case Fault.PUSHBACK:
                raise Pushback(5.0)
            case Fault.REPEATED:
                await call()
                return await call()
            case Fault.LOST_REPLY:
                await call()
                raise LedgerUnavailable("the reply was lost")
            case Fault.CRASH:
                await call()
                raise OSError("the connection broke")
