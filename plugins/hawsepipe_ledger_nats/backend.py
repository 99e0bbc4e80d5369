"""The backend: what `LedgerBackend` asks, on a stream.

A server that syncs only now and then answers before the disk has it: run it with `sync_interval: always`, or as a
cluster of three with `replicas = 3`. A client cannot see which; docs/ledgers.md says how to set it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hawsepipe import (
    AnchorStatus,
    Checkpoint,
    Fork,
    LedgerUnavailable,
    Receipt,
    Rejected,
    StaleHead,
    Unsupported,
    VerificationError,
)
from hawsepipe_ledger_nats.stream import Held, Overtaken, Stream

_HANDLE = re.compile(r"([1-9][0-9]{0,18})/([0-9a-f]{64})/(.+)", re.DOTALL)
_LARGEST_SIZE = 2**63 - 1
_LARGEST_NOTE = 1 << 16
_RACES = 20
_STEP = 8


class NatsLedger:
    """One opened ledger; keeps the contract of `hawsepipe.LedgerBackend`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def capabilities(self) -> frozenset[str]:
        """It can be scanned. A stream signs nothing, so it gives no receipts."""
        return frozenset({"scan"})

    async def head(self, channel: str) -> Checkpoint | None:
        """Return the newest checkpoint."""
        held = await self._stream.last(channel)
        return None if held is None else held.checkpoint

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        """Append a checkpoint by compare-and-set and return its handle."""
        if not 0 < new.size <= _LARGEST_SIZE or len(new.root) != 32 or len(new.note) > _LARGEST_NOTE:
            raise Rejected("this is not a checkpoint")
        for _ in range(_RACES):
            head = await self._stream.last(new.channel)
            if await self._has(new, head):
                break
            if _place(head) != (None if expected is None else (expected.size, expected.root)):
                raise StaleHead(_place(head))
            if head is not None and new.size <= head.checkpoint.size:
                raise Rejected("a checkpoint must be larger than the head")
            try:
                await self._stream.append(new, head.sequence if head is not None else 0)
                break
            except Overtaken:
                continue  # perhaps by the same checkpoint
        else:
            raise LedgerUnavailable("the channel's head keeps moving")
        return f"{new.size}/{new.root.hex()}/{new.channel}"

    async def status(self, handle: str) -> AnchorStatus:
        """FINAL for what is held, which is never taken back; else UNKNOWN."""
        match = _HANDLE.fullmatch(handle)
        if match is None:
            return AnchorStatus.UNKNOWN
        held = await self._stream.find(match[3], int(match[1]))
        return AnchorStatus.FINAL if _place(held) == (int(match[1]), bytes.fromhex(match[2])) else AnchorStatus.UNKNOWN

    async def receipt(self, handle: str) -> Receipt:
        """There are none."""
        raise Unsupported("a stream signs nothing: this ledger gives no receipts")

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        """There are none."""
        raise VerificationError("RECEIPT_INVALID", _STEP, "this ledger gives no receipts")

    def trust(self) -> Mapping[str, Any]:
        """Nothing can be checked offline; an auditor asks the stream."""
        return {}

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        """Return the held checkpoints, growing."""
        found: list[Checkpoint] = []
        held = await self._stream.find(channel, from_size)
        while held is not None:
            found.append(held.checkpoint)
            held = await self._stream.next(channel, held.sequence + 1)
        return tuple(found)

    async def health(self) -> None:
        """Return if the stream is there and keeps what it gets."""
        await self._stream.check()

    async def _has(self, new: Checkpoint, head: Held | None) -> bool:
        """Say whether this checkpoint is held already. Raises Fork when another one of its size is."""
        if head is None or head.checkpoint.size < new.size:
            return False
        held = await self._stream.find(new.channel, new.size)
        if held is None or held.checkpoint.size != new.size:
            return False
        if held.checkpoint.root != new.root:
            raise Fork((held.checkpoint.size, held.checkpoint.root))
        return True


def _place(held: Held | None) -> tuple[int, bytes] | None:
    return None if held is None else (held.checkpoint.size, held.checkpoint.root)
