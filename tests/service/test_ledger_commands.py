"""The commands about the log and its ledgers, beside a service that runs."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import pytest
from click.testing import CliRunner

from hawsepipe.cli import main
from hawsepipe.clock import system_clock
from hawsepipe.config import Config
from hawsepipe.ledger import merkle, tiles
from hawsepipe.model import Change, Method, Transaction
from hawsepipe.service import credentials
from hawsepipe.service.running import opened


def put(number: int, family: str = "Åkesson") -> Change:
    body = {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": family}]}
    return Change(Method.PUT, "Patient", f"p{number}", body)


async def run(*arguments: str) -> tuple[int, str]:
    """Run a command in a thread, as the service goes on beside it."""
    result = await asyncio.to_thread(CliRunner().invoke, main, list(arguments))
    return result.exit_code, result.output


@pytest.fixture
async def anchored(install: Callable[[str], Any]) -> Config:
    config: Config = install("one").config
    async with opened(config, system_clock) as service:
        for number in (1, 2):
            await service.store.commit(Transaction((put(number),), None, "feed:test", system_clock()))
        await service.store.commit(Transaction((put(1, "Berg"),), None, "feed:test", system_clock()))
        async with asyncio.timeout(60):
            while await service.store.outbox_depth() or await service.store.anchored(config.channel, ("log",)) < 3:
                await asyncio.sleep(0.02)
        code, told = await run("ledger", "status", "-c", str(config.path))
        assert code == 0, told
        assert "log      good" in told
        assert "0 waiting" in told
        code, told = await run("ledger", "audit", "-c", str(config.path))
        assert code == 0, told
        assert told.startswith("3 versions, ")
        assert "nothing found" in told
    return config


async def test_an_audit_tells_what_was_tampered_with_and_ends_with_one(anchored: Config, tmp_path: Path) -> None:
    database = apsw.Connection(str(anchored.data / "store" / "store.db"))
    database.execute("UPDATE version SET content = CAST(replace(content, 'Berg', 'Borg') AS BLOB)")
    database.close()
    report = tmp_path / "report.json"
    code, told = await run("ledger", "audit", "-c", str(anchored.path), "--report", str(report))
    assert code == 1
    assert told.splitlines()[0].startswith("CONTENT_MISMATCH")
    assert told.splitlines()[-1].endswith("1 findings")
    assert "Borg" not in told
    found = json.loads(report.read_text())
    assert found["counts"] == {"CONTENT_MISMATCH": 1}


async def test_exported_evidence_says_what_is_the_latest_and_what_never_was(anchored: Config, tmp_path: Path) -> None:
    config, trust = ["-c", str(anchored.path)], ["--trust", str(anchored.data / "trust.json")]
    for reference, code, told in (
        ("Patient/p1", 0, "it is the latest version"),
        ("Patient/p1/2", 0, "it is the latest version"),
        ("Patient/p1/1", 1, "STALE_VERSION"),
        ("Patient/p7", 0, "there never was such a resource"),
    ):
        out = tmp_path / f"{reference.replace('/', '-')}.json"
        assert (await run("ledger", "export", *config, reference, "--out", str(out)))[0] == 0
        assert out.stat().st_mode & 0o777 == 0o600
        latest = [] if reference == "Patient/p7" else ["--latest"]
        found = await run("verify", str(out), *trust, *latest)
        assert found[0] == code, found[1]
        assert told in found[1]
    assert (await run("ledger", "export", *config, "Patient/p1/9"))[0] == 2
    assert (await run("ledger", "export", *config, "nonsense"))[0] == 2
    assert (await run("ledger", "audit", *config, "--seen", f"99:{'0' * 64}"))[0] == 1


async def test_a_ledger_that_has_more_than_the_log_is_told(anchored: Config) -> None:
    database = apsw.Connection(str(anchored.data / "store" / "store.db"))
    database.execute("DELETE FROM checkpoint; DELETE FROM receipt")
    database.close()
    code, told = await run("ledger", "status", "-c", str(anchored.path))
    assert code == 1
    assert "rolled-back" in told


async def test_the_log_is_shown_as_tiles_to_operators_alone(anchored: Config) -> None:
    operator = credentials.operator_token(anchored, system_clock())
    async with opened(anchored, system_clock), aiohttp.ClientSession() as session:

        async def got(path: str, token: str | None = operator) -> tuple[int, bytes]:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            url = f"http://{anchored.host}:{anchored.port}/log/{path}"
            async with session.get(url, headers=headers) as response:
                return response.status, await response.read()

        status, head = await got("checkpoint")
        assert status == 200
        lines = head.decode().splitlines()
        size, root = int(lines[1]), base64.b64decode(lines[2])
        status, hashes = await got(f"tile/{tiles.path(0, 0, size)}")
        assert (status, len(hashes)) == (200, 32 * size)
        frontier = merkle.Frontier()
        for place in range(size):
            frontier.append(hashes[32 * place : 32 * place + 32])
        assert frontier.root() == root
        for path in (tiles.path(0, 0, size + 1), "0/000", "entries/000", "0/nonsense"):
            assert (await got(f"tile/{path}"))[0] == 404
        for path in ("checkpoint", f"tile/{tiles.path(0, 0, size)}"):
            assert (await got(path, None))[0] == 401
