"""The backend: what `LedgerBackend` asks, on a thread of its own so that the event loop never waits for the disk.

Its receipt is a C2SP cosignature/v1. It says that this ledger held the checkpoint as its newest at that second and
never held a smaller or another one after it; it does not say that the ledger has seen a consistency proof, as a
witness would.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from hawsepipe import (
    AnchorStatus,
    Checkpoint,
    Clock,
    ConfigError,
    Cosigner,
    LedgerUnavailable,
    Receipt,
    Rejected,
    VerificationError,
    signing_key,
    verify_cosignature,
)
from hawsepipe_ledger_log.shelf import Shelf

FILE = "checkpoints.db"
KEY = "cosigner.key"
TRUST_TYPE = "cosignature/v1"

_HANDLE = re.compile(r"([1-9][0-9]{0,17})/([0-9a-f]{64})/(.+)", re.DOTALL)
_LARGEST_SIZE = 2**63 - 1
_STEP = 8
T = TypeVar("T")


@asynccontextmanager
async def opened(name: str, key_name: str, directory: Path, clock: Clock) -> AsyncIterator[LogLedger]:
    """Open the ledger in a directory; `name` is the instance's, `key_name` the cosigning key's.

    Raises ConfigError when others may read the key or when it is gone from a ledger that exists, LedgerUnavailable when
    the file cannot be opened.
    """
    # The key is made before the file: a file without a key has lost it, and a new one would prove nothing about it.
    if await asyncio.to_thread(lambda: (directory / FILE).exists() and not (directory / KEY).exists()):
        raise ConfigError(f"ledgers.{name}", f"{directory / KEY} is missing; put it back from a backup")
    cosigner = Cosigner(key_name, await asyncio.to_thread(signing_key, directory / KEY))
    shelf = await asyncio.to_thread(Shelf, directory / FILE)
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-log")
    try:
        yield LogLedger(name, cosigner, shelf, thread, clock)
    finally:
        await asyncio.to_thread(thread.shutdown)
        await asyncio.to_thread(shelf.close)


class LogLedger:
    """One opened embedded ledger; keeps the contract of `hawsepipe.LedgerBackend`."""

    def __init__(self, name: str, cosigner: Cosigner, shelf: Shelf, thread: ThreadPoolExecutor, clock: Clock) -> None:
        self._name = name
        self._cosigner = cosigner
        self._shelf = shelf
        self._thread = thread
        self._clock = clock

    @property
    def capabilities(self) -> frozenset[str]:
        """It gives receipts and can be scanned."""
        return frozenset({"receipts", "scan"})

    async def head(self, channel: str) -> Checkpoint | None:
        """Return the newest checkpoint."""
        return await self._run(lambda: self._shelf.head(channel))

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        """Append a checkpoint by compare-and-set, cosigning it, and return its handle."""
        if not 0 < new.size <= _LARGEST_SIZE or len(new.root) != 32:
            raise Rejected("this is not a checkpoint")

        def cosigned() -> str:
            try:
                return self._cosigner.cosign(new, self._clock())
            except VerificationError as error:
                raise Rejected("the note does not say what the checkpoint says") from error

        await self._run(lambda: self._shelf.append(new, expected, cosigned))
        return f"{new.size}/{new.root.hex()}/{new.channel}"

    async def status(self, handle: str) -> AnchorStatus:
        """FINAL for what is held, which is never taken back; else UNKNOWN."""
        held = await self._cosignature(handle)
        return AnchorStatus.UNKNOWN if held is None else AnchorStatus.FINAL

    async def receipt(self, handle: str) -> Receipt:
        """Return the cosignature; its `position` is the size, `proof` is {"cosignature": signature line}."""
        line = await self._cosignature(handle)
        place = _place(handle)
        if line is None or place is None:
            raise LedgerUnavailable("the ledger holds no such checkpoint")
        channel, size, root = place
        return Receipt(self._name, channel, size, root, position=str(size), proof={"cosignature": line.rstrip("\n")})

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        """Check that the key of the trust document cosigned this checkpoint. Raises VerificationError."""
        held = (receipt.channel, receipt.size, receipt.root, receipt.position)
        if held != (checkpoint.channel, checkpoint.size, checkpoint.root, str(checkpoint.size)):
            raise VerificationError("RECEIPT_INVALID", _STEP, "the receipt is for another checkpoint")
        line, vkey = receipt.proof.get("cosignature"), trust.get("vkey")
        if set(receipt.proof) != {"cosignature"} or not isinstance(line, str) or not isinstance(vkey, str):
            raise VerificationError("RECEIPT_INVALID", _STEP, "the receipt or the trust holds no cosignature")
        if trust.get("type") != TRUST_TYPE:
            raise VerificationError("RECEIPT_INVALID", _STEP, "the trust is for another kind of ledger")
        verify_cosignature(line, checkpoint, vkey)

    def trust(self) -> Mapping[str, Any]:
        """Return the cosigning key as a C2SP vkey."""
        return {"type": TRUST_TYPE, "vkey": str(self._cosigner.vkey)}

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        """Return the held checkpoints, growing."""
        return await self._run(lambda: self._shelf.scan(channel, max(from_size, 0)))

    async def health(self) -> None:
        """Return if the file can be read."""
        await self._run(self._shelf.check)

    async def _cosignature(self, handle: str) -> str | None:
        place = _place(handle)
        return None if place is None else await self._run(lambda: self._shelf.cosignature(*place))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            waiting = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError as error:
            raise LedgerUnavailable("the ledger is closed") from error
        return await waiting


def _place(handle: str) -> tuple[str, int, bytes] | None:
    match = _HANDLE.fullmatch(handle)
    return None if match is None else (match[3], int(match[1]), bytes.fromhex(match[2]))
