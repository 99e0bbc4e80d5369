"""What a service does whose keys, trust file, ledger or rows are not what they were: it says so and makes nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hawsepipe.clock import system_clock
from hawsepipe.config import Config, read
from hawsepipe.errors import ConfigError
from hawsepipe.model import Change, Method, Transaction
from hawsepipe.service.running import Service, opened

if TYPE_CHECKING:
    from tests.service.conftest import Installation


@asynccontextmanager
async def _running(config: Config) -> AsyncIterator[Service]:
    async with asyncio.timeout(30), opened(config, system_clock) as service:
        yield service


async def _refused(config: Config) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        async with _running(config):
            pass
    return raised.value


async def _get(config: Config, path: str, token: str | None = None) -> tuple[int, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = f"http://{config.host}:{config.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        text = await response.text()
        return response.status, text if path == "/metrics" else json.loads(text)


async def _anchored(service: Service, number: int) -> None:
    """Store a patient and wait for the receipt of the checkpoint that covers it."""
    identity = f"p{number}"
    change = Change(Method.PUT, "Patient", identity, {"resourceType": "Patient", "id": identity})
    made = await service.store.commit(Transaction((change,), None, "feed:test", system_clock()))
    async with asyncio.timeout(20):
        while True:
            index = await service.store.leaf_index(made[0].commitment)
            if index is not None and await service.store.checkpoint_covering(service.config.channel, index, "log"):
                return
            await asyncio.sleep(0.02)


async def _state(config: Config, expected: str) -> None:
    """Wait until readiness tells this state of the ledger; it is ready throughout."""
    async with asyncio.timeout(20):
        while True:
            status, body = await _get(config, "/health/ready")
            assert (status, body["status"], body["parts"]["store"]) == (200, "ready", "ready")
            if body["parts"]["ledger"] == expected:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def used(installation: Installation) -> Config:
    """An installation whose service has run once and anchored something."""
    async with _running(installation.config) as service:
        await _anchored(service, 1)
    return installation.config


@pytest.mark.parametrize("name", ["log.key", "issuer.key", "cursor.key"])
async def test_a_key_that_is_missing_stops_the_start_and_is_not_made_anew(used: Config, name: str) -> None:
    trust = (used.data / "trust.json").read_bytes()
    (used.data / "keys" / name).unlink()
    error = await _refused(used)
    assert error.key == "service.data"
    assert str(used.data / "keys" / name) in error.reason
    assert not (used.data / "keys" / name).exists()
    assert (used.data / "trust.json").read_bytes() == trust


async def test_a_cursor_key_that_is_cut_short_stops_the_start(used: Config) -> None:
    (used.data / "keys" / "cursor.key").write_bytes(b"")
    assert (await _refused(used)).key == "service.data"


async def test_the_command_says_it_in_one_line(installation: Installation) -> None:
    (installation.config.data / "keys" / "log.key").unlink()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hawsepipe", "serve", "-c", str(installation.config.path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 2
    assert len(output.splitlines()) == 1
    assert b"log.key is missing" in output


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_log_key_that_has_not_signed_the_log_stops_the_start(
    used: Config, install: Callable[[str], Installation], trusted: bool
) -> None:
    trust = used.data / "trust.json"
    before = trust.read_bytes()
    if not trusted:
        trust.unlink()
    shutil.copy(install("other").config.data / "keys" / "log.key", used.data / "keys" / "log.key")
    assert "keys/log.key" in (await _refused(used)).reason
    assert (trust.read_bytes() == before) if trusted else not trust.exists()


async def test_a_ledger_that_was_deleted_and_made_anew_stops_the_start(used: Config) -> None:
    trust = (used.data / "trust.json").read_bytes()
    shutil.rmtree(used.data / "ledgers" / "log")
    for _ in range(2):
        error = await _refused(used)
        assert error.key == "service.data"
        assert "ledger log" in error.reason
        assert "\n" not in str(error)
        assert (used.data / "trust.json").read_bytes() == trust


async def test_without_its_trust_file_a_deleted_ledger_is_still_seen(used: Config) -> None:
    shutil.rmtree(used.data / "ledgers" / "log")
    (used.data / "trust.json").unlink()
    async with _running(used):
        await _state(used, "rolled-back")
        text = (await _get(used, "/metrics"))[1]
    assert 'hawsepipe_ledger_state{backend="log",state="rolled-back"} 1.0' in text
    assert 'hawsepipe_ledger_state{backend="log",state="good"} 0.0' in text
    assert "hawsepipe_ledger_log_size 2.0" in text
    assert 'hawsepipe_ledger_anchored_size{backend="log"} 2.0' in text


async def test_a_ledger_that_is_deleted_while_it_runs_is_seen_and_care_goes_on(used: Config) -> None:
    async with _running(used) as service:
        await _state(used, "good")
        shutil.rmtree(used.data / "ledgers" / "log")
        change = Change(Method.PUT, "Patient", "p2", {"resourceType": "Patient", "id": "p2"})
        await service.store.commit(Transaction((change,), None, "feed:test", system_clock()))
        await _state(used, "unreachable")


async def test_the_trust_file_stays_as_it_is_and_learns_a_new_ledger(used: Config) -> None:
    trust = used.data / "trust.json"
    before, written = trust.read_bytes(), trust.stat()
    async with _running(used):
        pass
    assert trust.stat() == written
    text = used.path.read_text(encoding="utf-8")
    used.path.write_text(text + '\n[[ledgers]]\nname = "second"\nkind = "log"\n', encoding="utf-8")
    async with _running(read(used.path)):
        pass
    held = json.loads(trust.read_bytes())
    assert list(held["backends"]) == ["log", "second"]
    del held["backends"]["second"]
    assert held == json.loads(before)
    assert sorted(path.name for path in used.data.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"backends": {}, "log": [3]}', b"\xff"])
async def test_a_trust_file_that_cannot_be_read_stops_the_start_and_is_left_alone(used: Config, junk: bytes) -> None:
    (used.data / "trust.json").write_bytes(junk)
    assert "trust.json" in (await _refused(used)).reason
    assert (used.data / "trust.json").read_bytes() == junk


async def test_a_receipt_of_tampered_rows_is_an_alarm_with_its_code(
    used: Config, installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    token = installation.token()
    used = dataclasses.replace(used, default_policy="https://profiles.ihe.net/ITI/PCF/Policy-basic-normal")
    path = "/fhir/Patient/p1/_history/1/$receipt"
    async with _running(used):
        assert (await _get(used, path, token))[0] == 200
        for statement, finding in (
            ("UPDATE version SET commitment = randomblob(32)", "LEAF_MISMATCH"),
            ("UPDATE version SET salt = NULL", "MISSING_OPENING"),
        ):
            _tamper(used.data / "store" / "store.db", statement)
            status, body = await _get(used, path, token)
            assert (status, body["issue"][0]["code"]) == (500, "security")
            assert body["issue"][0]["diagnostics"].startswith(f"{finding}: ")
    lines = [line for line in capsys.readouterr().out.splitlines() if "critical" in line]
    assert ["LEAF_MISMATCH" in line and "error=Tampered" in line for line in lines] == [True, False]


def _tamper(path: Path, statement: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement)
    database.close()
