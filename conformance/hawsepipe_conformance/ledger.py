"""The contract of ledger backends as a class to subclass.

    from hawsepipe_conformance.ledger import LedgerContract

    class TestMyLedger(LedgerContract):
        plugin = "my_package.plugin"
        kind_name = "mine"

pytest runs each `test_*` against the kind, opened in fresh directories; it needs pytest-asyncio in `auto` mode. Each
check is a sentence of the contract of `hawsepipe.LedgerBackend`; a capability that is not claimed must raise
Unsupported.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import json
import logging
import string
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe import (
    AnchorStatus,
    Checkpoint,
    Fork,
    Kind,
    LedgerBackend,
    LedgerError,
    Meters,
    Opening,
    Receipt,
    StaleHead,
    Unsupported,
    VerificationError,
)

CAPABILITIES = frozenset({"receipts", "scan"})
INSTANT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHANNEL = "ledger.example/contract"


def checkpoint(size: int, *, channel: str = CHANNEL, variant: int = 0) -> Checkpoint:
    """Return a signed checkpoint whose root depends on channel, size and variant; it is no real tree's."""
    seed = hashlib.sha256(f"key of {channel}".encode()).digest()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    root = hashlib.sha256(f"{channel} {size} {variant}".encode()).digest()
    text = f"{channel}\n{size}\n{base64.b64encode(root).decode()}\n".encode()
    public = key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(channel.encode() + b"\n\x01" + public).digest()[:4]
    line = f"— {channel} {base64.b64encode(key_id + key.sign(text)).decode()}\n"
    return Checkpoint(channel, size, root, text + b"\n" + line.encode())


def kind_of(plugin: str, name: str) -> Kind[LedgerBackend]:
    """Return a ledger kind of a plugin module."""
    kinds: list[Kind[LedgerBackend]] = list(importlib.import_module(plugin).register_ledgers())
    return next(kind for kind in kinds if kind.name == name)


def opened(
    plugin: str, kind: str, directory: Path, settings: Mapping[str, Any]
) -> AbstractAsyncContextManager[LedgerBackend]:
    """Open a backend in a directory, which is made if it is not there, with a clock that stands still."""
    directory.mkdir(parents=True, exist_ok=True)
    return kind_of(plugin, kind).open(Opening("ledger", settings, directory, lambda: INSTANT, Meters()))


class LedgerContract:
    """What every ledger backend promises.

    Set `plugin` (a module) and `kind_name`, and `settings` as the kind's schema asks.
    """

    plugin: ClassVar[str]
    kind_name: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    def settings_in(self, directory: Path) -> Mapping[str, Any]:
        """Return the settings of the ledger that belongs to a directory: another directory MUST be another ledger.

        A backend that keeps nothing in its directory overrides this, with a table, a stream or a contract a directory.
        """
        return self.settings

    def open(self, directory: Path) -> AbstractAsyncContextManager[LedgerBackend]:
        """Open a backend; the same directory again is the same ledger."""
        return opened(self.plugin, self.kind_name, directory, self.settings_in(directory))

    async def test_an_empty_channel_has_no_head(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            assert await ledger.head(CHANNEL) is None

    async def test_a_published_checkpoint_is_the_head_byte_for_byte(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(3), None)
            assert await ledger.head(CHANNEL) == checkpoint(3)

    async def test_the_head_grows_and_sizes_may_be_skipped(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(1), None)
            await ledger.publish(checkpoint(2), checkpoint(1))
            await ledger.publish(checkpoint(10**12), checkpoint(2))
            assert await ledger.head(CHANNEL) == checkpoint(10**12)

    async def test_expecting_an_empty_channel_that_is_not_empty_is_a_stale_head(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(3), None)
            with pytest.raises(StaleHead) as raised:
                await ledger.publish(checkpoint(5), None)
            assert raised.value.have == (3, checkpoint(3).root)
            assert await ledger.head(CHANNEL) == checkpoint(3)

    async def test_expecting_a_head_that_was_overtaken_is_a_stale_head(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(3), None)
            await ledger.publish(checkpoint(5), checkpoint(3))
            with pytest.raises(StaleHead) as raised:
                await ledger.publish(checkpoint(8), checkpoint(3))
            assert raised.value.have == (5, checkpoint(5).root)
            assert await ledger.head(CHANNEL) == checkpoint(5)

    async def test_expecting_a_head_in_an_empty_channel_is_a_stale_head(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            with pytest.raises(StaleHead) as raised:
                await ledger.publish(checkpoint(8), checkpoint(3))
            assert raised.value.have is None
            assert await ledger.head(CHANNEL) is None

    async def test_expecting_the_right_size_with_another_root_is_a_stale_head(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(3), None)
            with pytest.raises(StaleHead):
                await ledger.publish(checkpoint(5), checkpoint(3, variant=1))
            assert await ledger.head(CHANNEL) == checkpoint(3)

    async def test_a_second_root_of_the_head_is_a_fork(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(3), None)
            for expected in (None, checkpoint(3)):
                with pytest.raises(Fork) as raised:
                    await ledger.publish(checkpoint(3, variant=1), expected)
                assert raised.value.have == (3, checkpoint(3).root)
            assert await ledger.head(CHANNEL) == checkpoint(3)

    async def test_a_smaller_checkpoint_is_refused(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(9), None)
            for expected in (None, checkpoint(9), checkpoint(3)):
                with pytest.raises(LedgerError):
                    await ledger.publish(checkpoint(4), expected)
            assert await ledger.head(CHANNEL) == checkpoint(9)

    async def test_an_empty_tree_is_refused(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            with pytest.raises(LedgerError):
                await ledger.publish(checkpoint(0), None)
            assert await ledger.head(CHANNEL) is None

    async def test_the_same_publish_again_gives_the_same_handle(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            handle = await ledger.publish(checkpoint(3), None)
            assert await ledger.publish(checkpoint(3), None) == handle
            assert await ledger.publish(checkpoint(3), checkpoint(3)) == handle
            assert await ledger.head(CHANNEL) == checkpoint(3)

    async def test_different_checkpoints_have_different_handles(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            first = await ledger.publish(checkpoint(3), None)
            second = await ledger.publish(checkpoint(5), checkpoint(3))
            other = await ledger.publish(checkpoint(3, channel="ledger.example/b"), None)
            assert len({first, second, other}) == 3

    async def test_a_checkpoint_is_still_there_after_a_reopening(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            handle = await ledger.publish(checkpoint(3), None)
        async with self.open(tmp_path) as ledger:
            assert await ledger.head(CHANNEL) == checkpoint(3)
            assert await ledger.status(handle) in (AnchorStatus.PENDING, AnchorStatus.COMMITTED, AnchorStatus.FINAL)
            assert await ledger.publish(checkpoint(3), None) == handle
            with pytest.raises(StaleHead):
                await ledger.publish(checkpoint(5), None)
            await ledger.publish(checkpoint(5), checkpoint(3))

    async def test_a_checkpoint_is_still_there_after_a_kill(self, tmp_path: Path) -> None:
        arguments = [self.plugin, self.kind_name, str(tmp_path), json.dumps(dict(self.settings_in(tmp_path)))]
        for sizes in (1, 7):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hawsepipe_conformance.publishing", *arguments, stdout=asyncio.subprocess.PIPE
            )
            assert child.stdout is not None
            told = [int(await child.stdout.readline()) for _ in range(sizes)]
            child.kill()
            await child.wait()
            async with self.open(tmp_path) as ledger:
                head = await ledger.head(CHANNEL)
                assert head is not None
                assert head == checkpoint(head.size)
                assert head.size >= told[-1]

    async def test_channels_do_not_know_each_other(self, tmp_path: Path) -> None:
        other = "ledger.example/contract2"
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(9), None)
            assert await ledger.head(other) is None
            await ledger.publish(checkpoint(3, channel=other), None)
            assert await ledger.head(other) == checkpoint(3, channel=other)
            assert await ledger.head(CHANNEL) == checkpoint(9)

    async def test_of_publishers_that_race_for_the_next_place_one_wins(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(1), None)
            racers = [checkpoint(2 + number % 3, variant=number) for number in range(12)]
            outcomes = await asyncio.gather(
                *(ledger.publish(racer, checkpoint(1)) for racer in racers), return_exceptions=True
            )
            winners = [racer for racer, outcome in zip(racers, outcomes, strict=True) if isinstance(outcome, str)]
            assert len(winners) == 1
            assert await ledger.head(CHANNEL) == winners[0]
            assert all(isinstance(outcome, str | StaleHead | Fork) for outcome in outcomes)

    async def test_publishers_of_the_same_checkpoint_all_succeed(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            handles = await asyncio.gather(*(ledger.publish(checkpoint(4), None) for _ in range(8)))
            assert len(set(handles)) == 1

    async def test_a_cancelled_publish_has_happened_or_not(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(1), None)
            for turns in range(4):
                head = await ledger.head(CHANNEL)
                assert head is not None
                new = checkpoint(head.size + 1)
                publishing = asyncio.create_task(ledger.publish(new, head))
                for _ in range(turns):
                    await asyncio.sleep(0)
                publishing.cancel()
                await asyncio.gather(publishing, return_exceptions=True)
                assert await ledger.head(CHANNEL) in (head, new)
                await ledger.publish(new, head)
                assert await ledger.head(CHANNEL) == new

    async def test_the_event_loop_goes_on_during_a_publish(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            await asyncio.sleep(0)
            before = turns
            await ledger.publish(checkpoint(4), None)
            assert turns > before
            counting.cancel()

    async def test_nothing_of_a_note_or_of_a_secret_is_logged(self, tmp_path: Path) -> None:
        said = _Said()
        logging.getLogger().addHandler(said)
        try:
            with structlog.testing.capture_logs() as lines:
                async with self.open(tmp_path) as ledger:
                    await ledger.publish(checkpoint(3), None)
                    await ledger.head(CHANNEL)
                    with pytest.raises(LedgerError):
                        await ledger.publish(checkpoint(2), checkpoint(3))
        finally:
            logging.getLogger().removeHandler(said)
        text = "\n".join([*map(repr, lines), *said.lines])
        signed = checkpoint(3).note.decode().splitlines()[-1].rpartition(" ")[2]
        assert signed not in text
        assert "PRIVATE KEY" not in text

    async def test_an_unknown_handle_is_unknown(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            handle = await ledger.publish(checkpoint(3), None)
            for strange in ("", "nothing", f"{handle}0", handle[:-1], "3/00/x"):
                assert await ledger.status(strange) is AnchorStatus.UNKNOWN

    async def test_a_published_checkpoint_is_on_its_way_or_there(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            first = await ledger.publish(checkpoint(3), None)
            second = await ledger.publish(checkpoint(5), checkpoint(3))
            for handle in (first, second):
                assert await ledger.status(handle) in (AnchorStatus.PENDING, AnchorStatus.COMMITTED, AnchorStatus.FINAL)

    async def test_it_is_healthy(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.health()

    async def test_its_trust_is_json(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            trust = dict(ledger.trust())
            assert json.loads(json.dumps(trust)) == trust

    async def test_it_claims_known_capabilities_only(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            assert ledger.capabilities <= CAPABILITIES

    async def test_scan_gives_what_is_held_growing_or_is_not_claimed(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            await ledger.publish(checkpoint(3), None)
            await ledger.publish(checkpoint(5), checkpoint(3))
            await ledger.publish(checkpoint(9), checkpoint(5))
            await ledger.publish(checkpoint(7, channel="ledger.example/b"), None)
            if "scan" not in ledger.capabilities:
                with pytest.raises(Unsupported):
                    await ledger.scan(CHANNEL, 0)
                return
            assert list(await ledger.scan(CHANNEL, 0)) == [checkpoint(3), checkpoint(5), checkpoint(9)]
            assert list(await ledger.scan(CHANNEL, 5)) == [checkpoint(5), checkpoint(9)]
            assert list(await ledger.scan(CHANNEL, 6)) == [checkpoint(9)]
            assert list(await ledger.scan(CHANNEL, 10)) == []
            assert list(await ledger.scan("ledger.example/none", 0)) == []

    async def test_a_receipt_verifies_or_is_not_claimed(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            handle = await ledger.publish(checkpoint(3), None)
            if "receipts" not in ledger.capabilities:
                with pytest.raises(Unsupported):
                    await ledger.receipt(handle)
                return
            receipt = await ledger.receipt(handle)
            assert (receipt.channel, receipt.size, receipt.root) == (CHANNEL, 3, checkpoint(3).root)
            assert json.loads(json.dumps(receipt.proof)) == receipt.proof
            ledger.verify_receipt(receipt, checkpoint(3), ledger.trust())

    async def test_a_receipt_is_the_same_later_and_verifies_offline(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            if "receipts" not in ledger.capabilities:
                return
            handle = await ledger.publish(checkpoint(3), None)
            first = await ledger.receipt(handle)
            await ledger.publish(checkpoint(5), checkpoint(3))
            assert await ledger.receipt(handle) == first
        async with self.open(tmp_path) as ledger:
            assert await ledger.receipt(handle) == first
            trust = json.loads(json.dumps(dict(ledger.trust())))
        ledger.verify_receipt(first, checkpoint(3), trust)

    async def test_a_receipt_for_nothing_is_refused(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            with pytest.raises(LedgerError):
                await ledger.receipt("nothing")

    async def test_a_receipt_does_not_verify_for_another_checkpoint(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            if "receipts" not in ledger.capabilities:
                return
            receipt = await ledger.receipt(await ledger.publish(checkpoint(3), None))
            right = checkpoint(3)
            for wrong in (
                checkpoint(4),
                checkpoint(3, variant=1),
                checkpoint(3, channel="ledger.example/b"),
                replace(right, size=4),
                replace(right, root=bytes(32)),
                replace(right, note=checkpoint(4).note),
            ):
                for told in (receipt, replace(receipt, channel=wrong.channel, size=wrong.size, root=wrong.root)):
                    with pytest.raises(VerificationError):
                        ledger.verify_receipt(told, wrong, ledger.trust())

    async def test_a_receipt_with_one_changed_character_does_not_verify(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as ledger:
            if "receipts" not in ledger.capabilities:
                return
            receipt = await ledger.receipt(await ledger.publish(checkpoint(3), None))
            for mutant in _mutants(receipt):
                with pytest.raises(VerificationError):
                    ledger.verify_receipt(mutant, checkpoint(3), ledger.trust())

    async def test_a_receipt_does_not_verify_with_the_trust_of_another_ledger(self, tmp_path: Path) -> None:
        async with self.open(tmp_path / "a") as ledger, self.open(tmp_path / "b") as other:
            if "receipts" not in ledger.capabilities:
                return
            receipt = await ledger.receipt(await ledger.publish(checkpoint(3), None))
            for trust in (other.trust(), {}):
                with pytest.raises(VerificationError):
                    ledger.verify_receipt(receipt, checkpoint(3), trust)


class _Said(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _mutants(receipt: Receipt) -> list[Receipt]:
    """Return the receipt with one thing changed at a time: each field, each character of each string in the proof."""
    found = [
        replace(receipt, size=receipt.size + 1),
        replace(receipt, root=bytes([receipt.root[0] ^ 1]) + receipt.root[1:]),
        replace(receipt, channel=f"{receipt.channel}x"),
        replace(receipt, proof={}),
    ]
    alphabet = string.ascii_letters + string.digits
    for key, value in receipt.proof.items():
        found.append(replace(receipt, proof={name: part for name, part in receipt.proof.items() if name != key}))
        if isinstance(value, str):
            for place, char in enumerate(value):
                other = alphabet[(alphabet.find(char) + 1) % len(alphabet)]
                changed = value[:place] + other + value[place + 1 :]
                found.append(replace(receipt, proof={**receipt.proof, key: changed}))
    return found
