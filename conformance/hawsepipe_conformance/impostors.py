"""Evil twins of a ledger backend: each is a real one but for one promise that it breaks.

A contract that one of them keeps says nothing about that promise: `python -m pytest conformance/test_impostors.py` sees
each of them fail, and the honest one pass.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import structlog

from hawsepipe import AnchorStatus, Checkpoint, Fork, LedgerBackend, Receipt, Rejected, StaleHead
from hawsepipe_conformance.faults import Fault, FaultyLedger
from hawsepipe_conformance.ledger import opened

T = TypeVar("T")
_log = structlog.get_logger("impostor")


class Impostor(FaultyLedger):
    """The honest one: it does as the ledger that it wraps. `seen_by` names the check that sees through an evil one."""

    seen_by = ""

    def __init__(self, inner: LedgerBackend, directory: Path) -> None:
        super().__init__(inner, Fault.CRASH, 0)
        self.real, self.directory = inner, directory


class AcceptsStaleHeads(Impostor):
    """It appends whatever is expected."""

    seen_by = "test_expecting_a_head_that_was_overtaken_is_a_stale_head"

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        try:
            return await self.real.publish(new, expected)
        except StaleHead:
            return await self.real.publish(new, await self.real.head(new.channel))


class RefusesTheRightHead(Impostor):
    """It takes every second publish for stale."""

    seen_by = "test_the_head_grows_and_sizes_may_be_skipped"

    turns = 0

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        self.turns += 1
        if self.turns % 2 == 0:
            raise StaleHead(None)
        return await self.real.publish(new, expected)


class Forgets(Impostor):
    """It keeps everything in memory."""

    seen_by = "test_a_checkpoint_is_still_there_after_a_reopening"


class Truncates(Impostor):
    """It takes a smaller checkpoint and forgets the larger ones."""

    seen_by = "test_a_smaller_checkpoint_is_refused"

    cut: Checkpoint | None = None

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        head = await self.head(new.channel)
        if head is not None and new.size < head.size:
            self.cut = new
            return f"{new.size}/{new.root.hex()}/{new.channel}"
        self.cut = None
        return await self.real.publish(new, expected)

    async def head(self, channel: str) -> Checkpoint | None:
        return self.cut if self.cut is not None else await self.real.head(channel)


class Equivocates(Impostor):
    """It takes a second root of a size."""

    seen_by = "test_a_second_root_of_the_head_is_a_fork"

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        try:
            return await self.real.publish(new, expected)
        except Fork:
            return f"{new.size}/{new.root.hex()}/{new.channel}"


class LiesAboutFinality(Impostor):
    """All that it is asked about is final."""

    seen_by = "test_an_unknown_handle_is_unknown"

    async def status(self, handle: str) -> AnchorStatus:
        return AnchorStatus.FINAL


class KnowsNothing(Impostor):
    """It knows none of what it has taken."""

    seen_by = "test_a_published_checkpoint_is_on_its_way_or_there"

    async def status(self, handle: str) -> AnchorStatus:
        return AnchorStatus.UNKNOWN


class AnswersForAnotherChannel(Impostor):
    """It has one line for all channels."""

    seen_by = "test_channels_do_not_know_each_other"

    newest: Checkpoint | None = None

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        handle = await self.real.publish(new, expected)
        self.newest = new
        return handle

    async def head(self, channel: str) -> Checkpoint | None:
        return self.newest


class IsNotIdempotent(Impostor):
    """Each publish has a handle of its own."""

    seen_by = "test_the_same_publish_again_gives_the_same_handle"

    count = itertools.count()

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        return f"{await self.real.publish(new, expected)}#{next(self.count)}"

    async def status(self, handle: str) -> AnchorStatus:
        return await self.real.status(handle.partition("#")[0])

    async def receipt(self, handle: str) -> Receipt:
        return await self.real.receipt(handle.partition("#")[0])


class VerifiesAnything(Impostor):
    """It takes every receipt for good."""

    seen_by = "test_a_receipt_does_not_verify_for_another_checkpoint"

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        return None


class AcceptsOtherSizes(Impostor):
    """It does not look at the size of a receipt."""

    seen_by = "test_a_receipt_with_one_changed_character_does_not_verify"

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        told = replace(receipt, size=checkpoint.size, position=str(checkpoint.size))
        self.real.verify_receipt(told, checkpoint, trust)


class VerifiesWithItsOwnKey(Impostor):
    """It does not look at the trust that it is given."""

    seen_by = "test_a_receipt_does_not_verify_with_the_trust_of_another_ledger"

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        self.real.verify_receipt(receipt, checkpoint, self.real.trust())


class Reorders(Impostor):
    """It gives what it holds newest first."""

    seen_by = "test_scan_gives_what_is_held_growing_or_is_not_claimed"

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        return tuple(reversed(await self.real.scan(channel, from_size)))


class RewritesNotes(Impostor):
    """It gives another note back than it was given."""

    seen_by = "test_a_published_checkpoint_is_the_head_byte_for_byte"

    async def head(self, channel: str) -> Checkpoint | None:
        head = await self.real.head(channel)
        return None if head is None else replace(head, note=head.note + b"\n")


class BlocksTheLoop(Impostor):
    """Nothing else goes on while it publishes."""

    seen_by = "test_the_event_loop_goes_on_during_a_publish"

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        return _elsewhere(lambda: self._published(new, expected))

    async def _published(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        return await self.real.publish(new, expected)


class TakesTheEmptyTree(Impostor):
    """It takes a log without leaves for a checkpoint."""

    seen_by = "test_an_empty_tree_is_refused"

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        try:
            return await self.real.publish(new, expected)
        except Rejected:
            return "empty"


class ClaimsTooMuch(Impostor):
    """It claims what there is not."""

    seen_by = "test_it_claims_known_capabilities_only"

    @property
    def capabilities(self) -> frozenset[str]:
        return self.real.capabilities | {"time-travel"}


class ClaimsTooLittle(Impostor):
    """It gives receipts and does not say so."""

    seen_by = "test_a_receipt_verifies_or_is_not_claimed"

    @property
    def capabilities(self) -> frozenset[str]:
        return self.real.capabilities - {"receipts"}


class LogsSecrets(Impostor):
    """It writes the notes that it is given into the log."""

    seen_by = "test_nothing_of_a_note_or_of_a_secret_is_logged"

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        _log.info("publishing", note=new.note.decode(), channel=new.channel)
        return await self.real.publish(new, expected)


IMPOSTORS: tuple[type[Impostor], ...] = tuple(Impostor.__subclasses__())
"""All of them, without the honest one."""

_runs = itertools.count()


@asynccontextmanager
async def impostor(kind: type[Impostor], directory: Path) -> AsyncIterator[LedgerBackend]:
    """Open one over a ledger of the kind `log` in a directory."""
    place = directory / f"forgotten{next(_runs)}" if kind is Forgets else directory
    async with opened("hawsepipe_ledger_log.plugin", "log", place, {}) as ledger:
        yield kind(ledger, place)


def _elsewhere(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in another thread's event loop and stand still until it is done."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()
