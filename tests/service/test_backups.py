"""Backup and restore of both stores: what comes back, what is refused, and what the ledger says of it."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hawsepipe.clock import system_clock
from hawsepipe.config import Config, read
from hawsepipe.errors import StoreError
from hawsepipe.model import Change, Method, RawMessage, Transaction
from hawsepipe.service import backups
from hawsepipe.service.running import Service, opened
from hawsepipe.store.contract import JournalEntry

if TYPE_CHECKING:
    from tests.service.conftest import Installation

    from hawsepipe.store.postgres import Database

Databases = Callable[[Path], "Database"]


@pytest.fixture(params=["sqlite", "postgres"])
def configured(request: pytest.FixtureRequest, installation: Installation, tmp_path: Path) -> Callable[[str], Config]:
    """Gives the configuration with an empty store of a kind, another one for another name."""
    path = installation.config.path
    template = path.read_text(encoding="utf-8")

    def make(name: str) -> Config:
        if request.param == "sqlite":
            store = installation.config.data / "store"
            if store.exists():
                store.rename(installation.config.data / f"store-{name}")
            return installation.config
        found = request.getfixturevalue("database_at")(tmp_path / name)
        settings = (
            f'[store]\nkind = "postgres"\nurl = "{found.url}"\nschema = "{found.schema}_{secrets.token_hex(4)}"\n'
        )
        path.write_text(template.replace("[store]\n", settings), encoding="utf-8")
        return read(path)

    return make


async def _put(service: Service, number: int) -> None:
    """Store a patient and wait for the receipt of the checkpoint that covers it."""
    identity = f"p{number}"
    change = Change(Method.PUT, "Patient", identity, {"resourceType": "Patient", "id": identity})
    (made,) = await service.store.commit(Transaction((change,), None, "feed:test", system_clock()))
    async with asyncio.timeout(30):
        while True:
            index = await service.store.leaf_index(made.commitment)
            if index is not None and await service.store.checkpoint_covering(service.config.channel, index, "log"):
                return
            await asyncio.sleep(0.05)


async def _ledger(config: Config, expected: str) -> None:
    """Wait until readiness tells this state of the ledger."""
    url = f"http://{config.host}:{config.port}/health/ready"
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as response:
                body: Any = await response.json()
            if body["parts"]["ledger"] == expected:
                return
            await asyncio.sleep(0.05)


async def test_a_store_comes_back_as_it_was_and_a_ledger_that_saw_more_says_so(
    configured: Callable[[str], Config], tmp_path: Path
) -> None:
    config = configured("first")
    folder = tmp_path / "backup"
    async with opened(config, system_clock) as service:
        await _put(service, 1)
        message = RawMessage("adt", system_clock(), "application/hl7-v2", b"MSH|1")
        await service.store.append(JournalEntry(message, "1", b"AA"))
        content = config.data / "contents" / "ab" / ("ab" * 32)
        content.parent.mkdir(parents=True, exist_ok=True)
        content.write_bytes(b"large")
        manifest = await asyncio.to_thread(backups.backup, config, folder, system_clock())
        before = await service.store.read("Patient", "p1")
        await _put(service, 2)
    assert (manifest.commitments, manifest.logged) == (1, 1)
    private = [folder, *(path for path in folder.rglob("*") if path.is_file())]
    assert [path for path in private if path.stat().st_mode & 0o077] == []
    config = configured("second")
    content.unlink()
    assert await asyncio.to_thread(backups.restore, config, folder) == manifest
    assert content.read_bytes() == b"large"
    async with opened(config, system_clock) as service:
        assert await service.store.read("Patient", "p1") == before
        assert await service.store.read("Patient", "p2") is None
        entry = await service.store.append(JournalEntry(replace(message, body=b"MSH|2"), "2", b"AA"))
        assert entry.sequence == 2, "numbers go on where they were"
        await _ledger(config, "rolled-back")


async def test_a_ledger_that_saw_no_more_goes_on(configured: Callable[[str], Config], tmp_path: Path) -> None:
    config = configured("first")
    async with opened(config, system_clock) as service:
        await _put(service, 1)
        await asyncio.to_thread(backups.backup, config, tmp_path / "backup", system_clock())
    config = configured("second")
    await asyncio.to_thread(backups.restore, config, tmp_path / "backup")
    async with opened(config, system_clock) as service:
        await _put(service, 2)
        await _ledger(config, "good")


async def test_what_is_no_whole_backup_is_refused_and_nothing_is_overwritten(
    configured: Callable[[str], Config], tmp_path: Path
) -> None:
    config = configured("first")
    folder = tmp_path / "backup"
    async with opened(config, system_clock):
        await asyncio.to_thread(backups.backup, config, folder, system_clock())
    with pytest.raises(StoreError, match="not empty"):
        await asyncio.to_thread(backups.backup, config, folder, system_clock())
    with pytest.raises(StoreError, match="already"):
        await asyncio.to_thread(backups.restore, config, folder)
    config = configured("second")
    torn = tmp_path / "torn"
    shutil.copytree(folder, torn)
    name = next(path for path in sorted(torn.iterdir()) if path.suffix in (".db", ".copy"))
    name.write_bytes(name.read_bytes()[:-1] + b"\x00\x00")
    with pytest.raises(StoreError, match="is not what it was"):
        await asyncio.to_thread(backups.restore, config, torn)
    (torn / "manifest.json").unlink()
    with pytest.raises(StoreError, match="no whole backup"):
        await asyncio.to_thread(backups.restore, config, torn)
    await asyncio.to_thread(backups.restore, config, folder)
