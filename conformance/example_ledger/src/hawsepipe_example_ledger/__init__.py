"""A ledger in a file of JSON lines, as a third party would write it."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hawsepipe import (
    AnchorStatus,
    Checkpoint,
    Fork,
    Kind,
    LedgerBackend,
    LedgerUnavailable,
    Opening,
    Receipt,
    Rejected,
    StaleHead,
    Unsupported,
    hookimpl,
)


class LineLedger:
    """Checkpoints in the order in which they came, one JSON object a line."""

    capabilities = frozenset({"scan"})

    def __init__(self, path: Path) -> None:
        self._path = path

    async def head(self, channel: str) -> Checkpoint | None:
        """Return the last checkpoint of a channel."""
        return next(reversed(await self.scan(channel, 0)), None)

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        """Append a checkpoint if the head is the expected one."""
        await asyncio.to_thread(self._append, new, expected)
        return _handle(new)

    async def status(self, handle: str) -> AnchorStatus:
        """FINAL for what is in the file."""
        held = await asyncio.to_thread(self._read)
        return AnchorStatus.FINAL if handle in map(_handle, held) else AnchorStatus.UNKNOWN

    async def receipt(self, handle: str) -> Receipt:
        """There are none."""
        raise Unsupported("this ledger gives no receipts")

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        """There are none."""
        raise Unsupported("this ledger gives no receipts")

    def trust(self) -> Mapping[str, Any]:
        """Nobody can check anything about it."""
        return {}

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        """Return the held checkpoints of a channel."""
        held = await asyncio.to_thread(self._read)
        return [one for one in held if one.channel == channel and one.size >= from_size]

    async def health(self) -> None:
        """Return if the file can be read."""
        await asyncio.to_thread(self._read)

    def _append(self, new: Checkpoint, expected: Checkpoint | None) -> None:
        try:
            with self._path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                held = [one for one in self._read() if one.channel == new.channel]
                for one in held:
                    if one.size == new.size and one.root != new.root:
                        raise Fork((one.size, one.root))
                    if one.size == new.size:
                        return
                head = held[-1] if held else None
                if _place(head) != _place(expected):
                    raise StaleHead(_place(head))
                if new.size <= (head.size if head is not None else 0):
                    raise Rejected("a checkpoint must be larger than the head")
                file.truncate(self._whole())  # what a crash left of a line was never answered for
                file.write(_line(new))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LedgerUnavailable("the file cannot be written") from error

    def _read(self) -> list[Checkpoint]:
        try:
            data = self._path.read_bytes()[: self._whole()]
        except OSError as error:
            raise LedgerUnavailable("the file cannot be read") from error
        return [_checkpoint(line) for line in data.splitlines()]

    def _whole(self) -> int:
        """Return the length of the file without an unfinished last line."""
        return self._path.read_bytes().rfind(b"\n") + 1


def _place(checkpoint: Checkpoint | None) -> tuple[int, bytes] | None:
    return None if checkpoint is None else (checkpoint.size, checkpoint.root)


def _handle(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.channel} {checkpoint.size} {checkpoint.root.hex()}"


def _line(checkpoint: Checkpoint) -> bytes:
    note = base64.b64encode(checkpoint.note).decode()
    return json.dumps([checkpoint.channel, checkpoint.size, checkpoint.root.hex(), note]).encode() + b"\n"


def _checkpoint(line: bytes) -> Checkpoint:
    channel, size, root, note = json.loads(line)
    return Checkpoint(channel, size, bytes.fromhex(root), base64.b64decode(note))


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[LineLedger]:
    path = opening.directory / "checkpoints.jsonl"
    await asyncio.to_thread(path.touch, 0o600)
    yield LineLedger(path)


@hookimpl
def register_ledgers() -> Sequence[Kind[LedgerBackend]]:
    """Offer the kind `lines`."""
    return (Kind("lines", {"type": "object", "additionalProperties": False}, _open),)
