"""What the anchorer does when a key, a ledger or a row of the store is not what it was."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe import Checkpoint, ConfigError, LedgerBackend, LedgerUnavailable, Meters
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.highwater import HighWater
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.publisher import LedgerState
from hawsepipe.model import Version
from hawsepipe.store.contract import Store

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

    def made(store: Store, backends: dict[str, LedgerBackend], **options: Any) -> Anchorer:
        named = {"signer": signer, "channel": channel, **options}
        return Anchorer(store, backends, clock=wall, meters=meters, random=lambda: 1.0, **named)

    return made


def patient(number: int) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}"}


def tamper(tmp_path: Path, *statements: str) -> None:
    """Change rows behind the store's back."""
    database = sqlite3.connect(tmp_path / "store" / "store.db", isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


async def test_a_ledger_that_holds_less_than_it_has_receipted_is_rolled_back(
    store: Store,
    ledgers: Ledgers,
    tmp_path: Path,
    anchorers: Callable[..., Anchorer],
    write: Writer,
    channel: str,
) -> None:
    async with ledgers(tmp_path / "ledger") as ledger:
        await write(store, patient(1))
        assert await anchorers(store, {"log": ledger}).once() is True
    shutil.copytree(tmp_path / "ledger", tmp_path / "older")
    async with ledgers(tmp_path / "ledger") as ledger:
        await write(store, patient(2))
        assert await anchorers(store, {"log": ledger}).once() is True
    await write(store, patient(3))
    for name, size in (("older", 3), ("new", 0)):
        async with ledgers(tmp_path / name) as ledger:
            anchorer = anchorers(store, {"log": ledger})
            with structlog.testing.capture_logs() as lines:
                assert await anchorer.once() is False
            assert anchorer.state is LedgerState.ROLLED_BACK
            assert [(line["state"], line["size"]) for line in lines if line["log_level"] == "critical"] == [
                ("rolled-back", size)
            ]
            head = await ledger.head(channel)
            assert (head.size if head is not None else 0) == size, "nothing was published"
    assert await store.outbox_depth() == 2


async def test_another_ledger_may_begin_at_any_time(
    store: Store, ledgers: Ledgers, tmp_path: Path, anchorers: Callable[..., Anchorer], write: Writer
) -> None:
    async with ledgers(tmp_path / "a", "a") as first, ledgers(tmp_path / "b", "b") as second:
        await write(store, patient(1))
        assert await anchorers(store, {"a": first}).once() is True
        await write(store, patient(2))
        assert await anchorers(store, {"a": first, "b": second}).once() is True


async def test_a_ledger_whose_directory_is_deleted_under_it_is_unavailable(
    store: Store,
    ledgers: Ledgers,
    tmp_path: Path,
    anchorers: Callable[..., Anchorer],
    write: Writer,
    channel: str,
    wall: Wall,
) -> None:
    async with ledgers(tmp_path / "ledger") as ledger:
        await write(store, patient(1))
        anchorer = anchorers(store, {"log": ledger})
        assert await anchorer.once() is True
        shutil.rmtree(tmp_path / "ledger")
        with pytest.raises(LedgerUnavailable):
            await ledger.health()
        held = await store.checkpoint(channel)
        assert held is not None
        with pytest.raises(LedgerUnavailable):
            await ledger.publish(Checkpoint(channel, 9, held.root, held.note), held)
        wall.forward(61)
        assert await anchorer.once() is False, "a ledger that has nothing to do is looked at too"
        assert anchorer.state is LedgerState.UNREACHABLE
        await write(store, patient(2))
        wall.forward(61)
        assert await anchorer.once() is False
        assert await store.outbox_depth() == 0, "the log goes on"
        assert await store.receipts(channel, 4) == ()


@pytest.mark.parametrize("name", ["checkpoints.db", "checkpoints.db-wal"])
async def test_a_ledger_whose_file_is_replaced_under_it_is_unavailable(
    ledgers: Ledgers, tmp_path: Path, name: str, channel: str
) -> None:
    async with ledgers(tmp_path / "ledger") as ledger:
        assert await ledger.head(channel) is None
        path = tmp_path / "ledger" / name
        shutil.copy(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
        for call in (ledger.health, lambda: ledger.head(channel), lambda: ledger.scan(channel, 0)):
            with pytest.raises(LedgerUnavailable):
                await call()


async def test_a_ledger_that_has_lost_its_key_makes_no_new_one(ledgers: Ledgers, tmp_path: Path) -> None:
    async with ledgers(tmp_path / "ledger"):
        pass
    key = tmp_path / "ledger" / "cosigner.key"
    key.unlink()
    with pytest.raises(ConfigError, match=r"cosigner\.key is missing"):
        async with ledgers(tmp_path / "ledger"):
            pass
    assert not key.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE state SET log_size = 1",
        "UPDATE state SET log_size = 0",
        "UPDATE state SET log_size = 5",
        "DELETE FROM leaf WHERE sequence = 4",
        "DELETE FROM leaf WHERE sequence = 5",
        "DELETE FROM checkpoint",
        "UPDATE checkpoint SET note = x'00'",
        "UPDATE checkpoint SET size = 3",
    ],
)
@pytest.mark.parametrize("restart", [False, True])
async def test_a_log_whose_size_or_rows_were_changed_is_broken(
    statement: str, restart: bool, stores: Stores, tmp_path: Path, anchorers: Callable[..., Anchorer], write: Writer
) -> None:
    async with stores(tmp_path / "store") as store:
        await write(store, patient(1), patient(2), patient(3))
        anchorer = anchorers(store, {})
        assert await anchorer.once() is True
        await write(store, patient(4))
        if not restart:
            tamper(tmp_path, statement)
            assert await anchorer.once() is False
            assert anchorer.state is LedgerState.BROKEN
    if restart:
        tamper(tmp_path, statement)
        async with stores(tmp_path / "store") as store:
            anchorer = anchorers(store, {})
            assert await anchorer.once() is False
            assert anchorer.state is LedgerState.BROKEN


async def test_a_log_of_another_key_or_channel_stops_the_start(
    store: Store, anchorers: Callable[..., Anchorer], write: Writer, log_key: Ed25519PrivateKey, channel: str
) -> None:
    await anchorers(store, {}).resume()
    await write(store, patient(1))
    await anchorers(store, {}, signer=Signer(channel, Ed25519PrivateKey.generate())).resume()
    await anchorers(store, {}).once()
    await anchorers(store, {}).resume()
    with pytest.raises(ConfigError, match=r"log\.key"):
        await anchorers(store, {}, signer=Signer(channel, Ed25519PrivateKey.generate())).resume()
    with pytest.raises(ConfigError, match=r"^service\.channel: "):
        await anchorers(store, {}, channel="elsewhere", signer=Signer("elsewhere", log_key)).resume()


async def test_a_halted_log_is_told_of_again_each_minute(
    store: Store, anchorers: Callable[..., Anchorer], write: Writer, wall: Wall, tmp_path: Path
) -> None:
    await write(store, patient(1))
    anchorer = anchorers(store, {})
    await anchorer.once()
    await write(store, patient(2))
    tamper(tmp_path, "UPDATE state SET log_size = 1")
    with structlog.testing.capture_logs() as lines:
        for _ in range(300):
            await anchorer.once()
            wall.forward(1)
    assert [line["log_level"] for line in lines] == ["critical"] + ["error"] * 4
    assert {line["state"] for line in lines[1:]} == {"broken"}


async def test_gauges_show_what_stands_how_and_start_with_what_the_store_knows(
    stores: Stores,
    ledgers: Ledgers,
    tmp_path: Path,
    write: Writer,
    signer: Signer,
    channel: str,
    wall: Wall,
) -> None:
    def value(meters: Meters, name: str, **labels: str) -> float | None:
        return meters.registry.get_sample_value(f"hawsepipe_ledger_{name}", labels)

    async with stores(tmp_path / "store") as store:
        async with ledgers(tmp_path / "ledger") as ledger:
            for number in range(5):
                await write(store, patient(number))
                assert await Anchorer(store, {"log": ledger}, signer, channel, wall, Meters()).once() is True
        await write(store, patient(9))
        assert await Anchorer(store, {}, signer, channel, wall, Meters()).once() is True
        async with ledgers(tmp_path / "new") as ledger:
            meters = Meters()
            anchorer = Anchorer(store, {"log": ledger}, signer, channel, wall, meters)
            await anchorer.resume()
            assert (value(meters, "log_size"), value(meters, "anchored_size", backend="log")) == (18, 15)
            assert value(meters, "state", backend="log", state="unknown") == 1
            await anchorer.once()
            assert value(meters, "state", backend="log", state="unknown") == 0
            assert value(meters, "state", backend="log", state="rolled-back") == 1
            assert value(meters, "log_state", state="rolled-back") == 1
            assert value(meters, "log_state", state="good") == 0


@pytest.mark.parametrize(("behind", "state"), [(True, LedgerState.ROLLED_BACK), (False, LedgerState.FORKED)])
async def test_a_store_that_is_not_as_far_as_it_was_is_seen_without_any_ledger(
    behind: bool,
    state: LedgerState,
    stores: Stores,
    tmp_path: Path,
    signer: Signer,
    channel: str,
    wall: Wall,
    write: Writer,
) -> None:
    mark = HighWater(tmp_path / "log.mark", channel)

    async def told(store: Store) -> LedgerState:
        anchorer = Anchorer(store, {}, signer, channel, wall, Meters(), mark=mark)
        await anchorer.resume()
        await anchorer.once()
        return anchorer.state

    async with stores(tmp_path / "store") as store:
        await write(store, patient(1))
        assert await told(store) is LedgerState.GOOD
        await write(store, patient(2))
        assert await told(store) is LedgerState.GOOD
        assert await told(store) is LedgerState.GOOD
    async with stores(tmp_path / "other") as store:
        for number in range(1 if behind else 3):
            await write(store, patient(number + 20))
        await Anchorer(store, {}, signer, channel, wall, Meters()).once()
        await write(store, patient(9))
        assert await told(store) is state
        assert await store.outbox_depth() == 2, "nothing was signed"


@pytest.mark.parametrize("content", [b"", b"x", b"3 00\nledger.example/ward\n", b"1 " + b"0" * 64 + b"\nelsewhere\n"])
def test_a_mark_that_says_nothing_is_refused(content: bytes, tmp_path: Path, channel: str) -> None:
    (tmp_path / "log.mark").write_bytes(content)
    with pytest.raises(ConfigError, match=r"log\.mark"):
        HighWater(tmp_path / "log.mark", channel).read()
