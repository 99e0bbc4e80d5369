from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe import AnchorStatus, Checkpoint, LedgerBackend, LedgerUnavailable, Meters, StoreError
from hawsepipe.ledger import merkle, statemap
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.commitment import commitment, state_opening
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.publisher import LedgerState
from hawsepipe.model import Version
from hawsepipe.store.contract import Store
from hawsepipe.store.sequencing import place_of
from hawsepipe_conformance.faults import Fault, FaultyLedger

Writer = Callable[..., Awaitable[tuple[Version, ...]]]
Ledgers = Callable[..., AbstractAsyncContextManager[LedgerBackend]]
Stores = Callable[[Path], AbstractAsyncContextManager[Store]]


class Wall(Protocol):
    """The clock of these tests."""

    def __call__(self) -> Any: ...

    def forward(self, seconds: float) -> None: ...


@pytest.fixture
def anchorers(signer: Signer, channel: str, wall: Wall, meters: Meters) -> Callable[..., Anchorer]:
    """Makes an anchorer over a store and backends by name; its jitter is none."""

    def made(store: Store, **options: Any) -> Anchorer:
        backends = options.pop("backends")
        key = options.pop("signer", signer)
        return Anchorer(store, backends, key, channel, wall, meters, random=lambda: 1.0, **options)

    return made


def patient(number: int, family: str = "Lindqvist") -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": family}]}


async def leaves(store: Store, size: int) -> list[bytes]:
    """Return the log's leaf hashes."""
    found = await store.nodes([(0, index) for index in range(size)])
    return [found[0, index] for index in range(size)]


def root(hashes: Sequence[bytes]) -> bytes:
    frontier = merkle.Frontier()
    for value in hashes:
        frontier.append(value)
    return frontier.root()


async def consistent(store: Store, ledger: LedgerBackend, versions: Sequence[Version], channel: str) -> None:
    """Assert that each version is in the log once, and that whatever was signed, held and receipted is of this log."""
    head = await store.checkpoint(channel)
    assert head is not None
    found = await leaves(store, head.size)
    sealed = {size: leaf for size in range(1, head.size + 1) if (leaf := await store.state_leaf(size)) is not None}
    expected = {merkle.leaf_hash(version.commitment) for version in versions}
    assert len(found) == len(set(found)) == head.size
    assert set(found) == expected | {merkle.leaf_hash(leaf.commitment) for leaf in sealed.values()}
    latest = {place_of(one.type, one.id): one.commitment for one in sorted(versions, key=lambda it: it.version)}
    assert sealed[head.size].root == statemap.grown({}, latest)[0]
    for size, leaf in sealed.items():
        assert found[size - 1] == merkle.leaf_hash(leaf.commitment)
        assert leaf.commitment == commitment(leaf.salt, state_opening(channel, size, leaf.root))
    assert head.root == root(found)
    held = await ledger.scan(channel, 0)
    assert [one.size for one in held] == sorted({one.size for one in held})
    for one in held:
        assert one.root == root(found[: one.size])
    assert held[-1] == head
    receipts = await store.receipts(channel, head.size)
    assert [receipt.backend for receipt in receipts] == ["log"]
    ledger.verify_receipt(receipts[0], head, ledger.trust())


async def test_what_is_in_the_outbox_gets_into_the_log_and_to_the_ledger(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, channel: str, meters: Meters
) -> None:
    anchorer = anchorers(store, backends={"log": ledger})
    assert await anchorer.once() is True
    made = await write(store, patient(1), patient(2))
    assert len(made) == 3
    assert await anchorer.once() is True
    await consistent(store, ledger, made, channel)
    assert await store.outbox_depth() == 0
    assert anchorer.state is LedgerState.GOOD
    assert meters.registry.get_sample_value("hawsepipe_ledger_log_size") == 4
    assert meters.registry.get_sample_value("hawsepipe_ledger_anchored_size", {"backend": "log"}) == 4


async def test_a_provenance_comes_before_what_it_made(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer
) -> None:
    made = await write(store, patient(1), patient(2))
    await anchorers(store, backends={"log": ledger}).once()
    places = {version.type: await store.leaf_index(version.commitment) for version in made}
    provenance = places.pop("Provenance")
    assert provenance == 0
    assert all(place is not None and place > provenance for place in places.values())


async def test_batches_are_bounded_and_the_ledger_gets_the_newest_only(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, channel: str
) -> None:
    made = await write(store, *(patient(number) for number in range(11)))
    assert await anchorers(store, backends={"log": ledger}, batch=5).once() is True
    sizes = [
        checkpoint.size
        for index in range(15)
        if (checkpoint := await store.checkpoint_covering(channel, index, None)) is not None
    ]
    assert sizes == [6] * 6 + [12] * 6 + [15] * 3
    assert [one.size for one in await ledger.scan(channel, 0)] == [15]
    await consistent(store, ledger, made, channel)


async def test_a_log_goes_on_while_its_ledger_is_away_and_one_publish_catches_up(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, channel: str, wall: Wall
) -> None:
    class Away(FaultyLedger):
        async def head(self, channel: str) -> Checkpoint | None:
            raise LedgerUnavailable("away")

    anchorer = anchorers(store, backends={"log": Away(ledger, Fault.CRASH, 0)})
    made = list(await write(store, patient(1)))
    assert await anchorer.once() is False
    made += await write(store, patient(2))
    wall.forward(120)
    assert await anchorer.once() is False
    assert anchorer.state is LedgerState.UNREACHABLE
    head = await store.checkpoint(channel)
    assert head is not None
    assert head.size == 6
    assert await store.receipts(channel, 6) == ()
    assert await anchorers(store, backends={"log": ledger}).once() is True
    assert [one.size for one in await ledger.scan(channel, 0)] == [6]
    await consistent(store, ledger, made, channel)


class Slow(FaultyLedger):
    """A ledger whose checkpoints are on their way until `settled`; `lost` says that one has vanished."""

    settled = False
    lost = False
    published = 0

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        self.published += 1
        return await super().publish(new, expected)

    async def status(self, handle: str) -> AnchorStatus:
        if self.lost:
            return AnchorStatus.UNKNOWN
        return await super().status(handle) if self.settled else AnchorStatus.PENDING


async def test_a_checkpoint_that_is_on_its_way_is_waited_for_before_a_newer_one_is_published(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, channel: str, wall: Wall
) -> None:
    slow = Slow(ledger, Fault.LOST_REPLY, 0)
    anchorer = anchorers(store, backends={"log": slow})
    first = await write(store, patient(1))
    assert await anchorer.once() is False
    assert anchorer.states["log"] is LedgerState.GOOD  # nothing is wrong with it
    assert await store.receipts(channel, 3) == ()
    made = await write(store, patient(2))
    for _ in range(3):
        wall.forward(2)
        assert await anchorer.once() is False
    assert slow.published == 1
    slow.settled = True
    wall.forward(2)
    assert await anchorer.once() is True
    assert slow.published == 2
    assert len(await store.receipts(channel, 3)) == 1
    await consistent(store, ledger, (*first, *made), channel)


async def test_a_checkpoint_that_vanishes_while_it_is_on_its_way_is_published_again(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, channel: str, wall: Wall
) -> None:
    slow = Slow(ledger, Fault.LOST_REPLY, 0)
    anchorer = anchorers(store, backends={"log": slow})
    await write(store, patient(1))
    await anchorer.once()
    slow.lost = True
    wall.forward(2)
    assert await anchorer.once() is False
    assert anchorer.states["log"] is LedgerState.UNREACHABLE
    slow.lost, slow.settled = False, True
    wall.forward(120)
    assert await anchorer.once() is True
    assert slow.published == 2
    assert len(await store.receipts(channel, 3)) == 1


async def test_attempts_at_a_ledger_that_is_away_grow_apart(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, wall: Wall
) -> None:
    class Away(FaultyLedger):
        async def head(self, channel: str) -> Checkpoint | None:
            self.calls += 1
            raise LedgerUnavailable("away")

    away = Away(ledger, Fault.CRASH, 0)
    anchorer = anchorers(store, backends={"log": away})
    await write(store, patient(1))
    seen = []
    for _ in range(240):
        await anchorer.once()
        seen.append(away.calls)
        wall.forward(0.5)
    attempts = [number for number in range(1, 240) if seen[number] != seen[number - 1]]
    gaps = [after - before for before, after in pairwise(attempts)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= 120
    assert len(attempts) < 10


async def test_a_ledger_that_pushes_back_is_left_alone_for_so_long(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, wall: Wall
) -> None:
    faulty = FaultyLedger(ledger, Fault.PUSHBACK, 2)
    anchorer = anchorers(store, backends={"log": faulty})
    await write(store, patient(1))
    assert await anchorer.once() is False
    calls = faulty.calls
    wall.forward(4.9)
    assert await anchorer.once() is False
    assert faulty.calls == calls
    wall.forward(0.2)
    assert await anchorer.once() is True


async def test_an_anchorer_that_starts_anew_signs_no_second_root_for_a_size(
    stores: Stores,
    tmp_path: Path,
    ledger: LedgerBackend,
    anchorers: Callable[..., Anchorer],
    write: Writer,
    channel: str,
) -> None:
    made: list[Version] = []
    for number in range(4):
        async with stores(tmp_path / "store") as store:
            anchorer = anchorers(store, backends={"log": ledger})
            assert await anchorer.once() is True
            made += await write(store, patient(number))
            assert await anchorer.once() is True
            await consistent(store, ledger, made, channel)
    assert [one.size for one in await ledger.scan(channel, 0)] == [3, 6, 9, 12]


async def test_a_store_restored_from_a_backup_is_seen_and_signs_nothing(
    stores: Stores,
    tmp_path: Path,
    ledger: LedgerBackend,
    anchorers: Callable[..., Anchorer],
    write: Writer,
    channel: str,
) -> None:
    async with stores(tmp_path / "new") as store:
        await write(store, patient(1))
        await write(store, patient(2))
        assert await anchorers(store, backends={"log": ledger}).once() is True
    for name, earlier in (("empty", 0), ("older", 1)):
        async with stores(tmp_path / name) as store:
            offline = anchorers(store, backends={})
            for number in range(earlier):
                await write(store, patient(number))
                await offline.once()
            size = 3 * earlier
            await write(store, patient(7))
            anchorer = anchorers(store, backends={"log": ledger})
            with structlog.testing.capture_logs() as lines:
                assert await anchorer.once() is False
            assert anchorer.state is LedgerState.ROLLED_BACK
            assert [line["state"] for line in lines if line["log_level"] == "critical"] == ["rolled-back"]
            head = await store.checkpoint(channel)
            assert (head.size if head is not None else 0) == size
            assert await store.outbox_depth() == 2
            assert [one.size for one in await ledger.scan(channel, 0)] == [5]


async def test_a_ledger_with_another_history_is_a_fork_and_is_not_overwritten(
    stores: Stores,
    tmp_path: Path,
    ledger: LedgerBackend,
    anchorers: Callable[..., Anchorer],
    write: Writer,
    channel: str,
) -> None:
    async with stores(tmp_path / "a") as store:
        await write(store, patient(1))
        assert await anchorers(store, backends={"log": ledger}).once() is True
    held = await ledger.head(channel)
    for name, later in (("same-size", 0), ("larger", 2)):
        async with stores(tmp_path / name) as store:
            for number in range(1 + later):
                await write(store, patient(number))
            await anchorers(store, backends={}).once()
            anchorer = anchorers(store, backends={"log": ledger})
            assert await anchorer.once() is False
            assert anchorer.state is LedgerState.FORKED
            assert await ledger.head(channel) == held
            await write(store, patient(9))
            await anchorer.once()
            assert await store.outbox_depth() == 2


async def test_a_log_that_was_signed_with_another_key_is_not_continued(
    store: Store, anchorers: Callable[..., Anchorer], write: Writer, channel: str
) -> None:
    await write(store, patient(1))
    await anchorers(store, backends={}).once()
    await write(store, patient(2))
    anchorer = anchorers(store, backends={}, signer=Signer(channel, Ed25519PrivateKey.generate()))
    assert await anchorer.once() is False
    assert anchorer.state is LedgerState.BROKEN
    assert await store.outbox_depth() == 2


async def test_one_ledger_s_trouble_does_not_keep_another_from_going_on(
    store: Store, ledgers: Ledgers, tmp_path: Path, anchorers: Callable[..., Anchorer], write: Writer, channel: str
) -> None:
    async with ledgers(tmp_path / "a", "a") as good, ledgers(tmp_path / "b", "b") as bad:
        anchorer = anchorers(store, backends={"a": good, "b": FaultyLedger(bad, Fault.LOST_REQUEST, 1)})
        await write(store, patient(1))
        assert await anchorer.once() is False
        assert anchorer.states == {"a": LedgerState.GOOD, "b": LedgerState.UNREACHABLE}
        assert [receipt.backend for receipt in await store.receipts(channel, 3)] == ["a"]


async def test_a_running_anchorer_wakes_when_it_is_told_and_passes_over_a_ledger_that_hangs(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, channel: str
) -> None:
    class Hanging(FaultyLedger):
        async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
            await asyncio.Event().wait()
            return ""

    backends = {"log": ledger, "hanging": Hanging(ledger, Fault.CRASH, 0)}
    await write(store, patient(9))
    await anchorers(store, backends={}).once()
    anchorer = anchorers(store, backends=backends, interval=3600.0, linger=0.0, patience=60.0)
    running = asyncio.create_task(anchorer.run())
    async with asyncio.timeout(10):
        for number in range(3):
            made = await write(store, patient(number))
            anchorer.notify()
            while await store.leaf_index(made[-1].commitment) is None:
                await asyncio.sleep(0)
            while not await store.receipts(channel, 3 * number + 6):
                await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_ledger_that_answers_outside_its_contract_is_only_unreachable(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, channel: str
) -> None:
    class Elsewhere(FaultyLedger):
        async def head(self, channel: str) -> Checkpoint | None:
            return Checkpoint("ledger.example/other", 900, bytes(32), b"")

    anchorer = anchorers(store, backends={"log": Elsewhere(ledger, Fault.CRASH, 0)})
    await write(store, patient(1))
    assert await anchorer.once() is False
    assert anchorer.state is LedgerState.UNREACHABLE


async def test_after_a_failure_the_ledger_is_asked_for_its_head_before_anything_is_submitted_again(
    store: Store, ledger: LedgerBackend, anchorers: Callable[..., Anchorer], write: Writer, wall: Wall
) -> None:
    asked: list[str] = []

    class Listening(FaultyLedger):
        async def head(self, channel: str) -> Checkpoint | None:
            asked.append("head")
            return await super().head(channel)

        async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
            asked.append("publish")
            return await super().publish(new, expected)

    anchorer = anchorers(store, backends={"log": Listening(ledger, Fault.LOST_REPLY, 2)})
    await write(store, patient(1))
    assert await anchorer.once() is False
    wall.forward(60)
    assert await anchorer.once() is True
    assert asked == ["head", "publish", "head", "publish"]


async def test_a_log_whose_nodes_do_not_give_the_signed_root_is_not_continued(
    store: Store, anchorers: Callable[..., Anchorer], write: Writer, channel: str
) -> None:
    await write(store, patient(1), patient(2))
    await anchorers(store, backends={}).once()
    await write(store, patient(3))

    class Tampered(FaultyLog):
        async def nodes(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
            return dict.fromkeys(places, bytes(32))

    class Torn(FaultyLog):
        async def nodes(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
            return {}

    for kind in (Tampered, Torn):
        anchorer = anchorers(kind(store, 0, False), backends={})
        assert await anchorer.once() is False
        assert anchorer.state is LedgerState.BROKEN
        assert await store.outbox_depth() == 2


@pytest.mark.parametrize(
    ("fault", "restart"),
    [*((fault, False) for fault in Fault), (Fault.LOST_REPLY, True), (Fault.CRASH, True)],
)
async def test_whatever_call_to_the_ledger_goes_wrong_everything_is_anchored_once(
    fault: Fault,
    restart: bool,
    stores: Stores,
    ledgers: Ledgers,
    tmp_path: Path,
    anchorers: Callable[..., Anchorer],
    write: Writer,
    channel: str,
    wall: Wall,
) -> None:
    at = 0
    completed = False
    while not completed:
        at += 1
        async with stores(tmp_path / f"store{at}") as store, ledgers(tmp_path / f"ledger{at}") as real:
            ledger = FaultyLedger(real, fault, at)
            anchorer = anchorers(store, backends={"log": ledger})
            made: list[Version] = []
            for number in range(2):
                made += await write(store, patient(number))
                for _ in range(4):
                    if await anchorer.once():
                        break
                    wall.forward(10)
                    if restart:
                        anchorer = anchorers(store, backends={"log": ledger})
                else:
                    pytest.fail("it does not come to an end")
            await consistent(store, real, made, channel)
            completed = ledger.calls < at
    assert at > 5


class FaultyLog:
    """The store, but its `at`-th call fails: before it has an effect (a store's error) or after it (a crash)."""

    def __init__(self, inner: Store, at: int, after: bool) -> None:
        self._inner = inner
        self._at = at
        self._after = after
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls == self._at and not self._after:
                raise StoreError("no")
            result = await getattr(self._inner, name)(*arguments)
            if self.calls == self._at:
                raise StoreError("too late")
            return result

        return call


@pytest.mark.parametrize("after", [False, True])
async def test_whatever_call_to_the_store_goes_wrong_everything_is_anchored_once(
    after: bool,
    stores: Stores,
    ledgers: Ledgers,
    tmp_path: Path,
    anchorers: Callable[..., Anchorer],
    write: Writer,
    channel: str,
) -> None:
    at = 0
    completed = False
    while not completed:
        at += 1
        async with stores(tmp_path / f"store{at}") as real, ledgers(tmp_path / f"ledger{at}") as ledger:
            store: Any = FaultyLog(real, at, after)
            made: list[Version] = []
            for number in range(2):
                made += await write(real, patient(number))
                try:
                    await anchorers(store, backends={"log": ledger}).once()
                except StoreError:
                    await anchorers(store, backends={"log": ledger}).once()
                await consistent(real, ledger, made, channel)
            completed = store.calls < at
    assert at > 10
