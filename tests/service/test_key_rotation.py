"""The log's key is changed: both keys sign it, evidence from before and after verifies, and nothing can be cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from hawsepipe.cli import main
from hawsepipe.clock import system_clock
from hawsepipe.config import Config
from hawsepipe.errors import ConfigError, VerificationError
from hawsepipe.ledger.rotation import check
from hawsepipe.model import Change, Method, Transaction
from hawsepipe.service import rotating, trust
from hawsepipe.service.running import opened
from hawsepipe.store.sql.store import SqlStore
from hawsepipe_schemas import load


async def run(*arguments: str) -> tuple[int, str]:
    result = await asyncio.to_thread(CliRunner().invoke, main, list(arguments))
    return result.exit_code, result.output


async def written(config: Config, *numbers: int) -> None:
    """Run the service, store patients, and wait until the ledger has them."""
    async with opened(config, system_clock) as service:
        for number in numbers:
            change = Change(Method.PUT, "Patient", f"p{number}", {"resourceType": "Patient", "id": f"p{number}"})
            await service.store.commit(Transaction((change,), None, "feed:test", system_clock()))
        async with asyncio.timeout(60):
            while await service.store.outbox_depth() or await service.store.anchored(
                config.channel, ("log",)
            ) < await service.store.anchored(config.channel, ()):
                await asyncio.sleep(0.02)


async def proven(config: Config, tmp_path: Path, *numbers: int) -> None:
    """Assert that an audit finds nothing and that these patients' evidence verifies."""
    code, told = await run("ledger", "audit", "-c", str(config.path))
    assert code == 0, told
    trust = config.data / "trust.json"
    for number in numbers:
        out = tmp_path / "evidence.json"
        assert (await run("ledger", "export", "-c", str(config.path), f"Patient/p{number}", "--out", str(out)))[0] == 0
        code, told = await run("verify", str(out), "--trust", str(trust), "--latest")
        assert code == 0, told


async def test_a_new_key_follows_the_old_one_and_all_evidence_verifies(
    install: Callable[[str], Any], tmp_path: Path
) -> None:
    config: Config = install("one").config
    await written(config, 1, 2)
    before = (config.data / "keys" / "log.key").read_bytes()
    code, told = await run("ledger", "keys", "rotate", "-c", str(config.path))
    assert code == 0, told
    assert (config.data / "keys" / "log.key.old").read_bytes() == before
    trust = json.loads((config.data / "trust.json").read_bytes())
    jsonschema.validate(trust, load("trust.schema.json"))
    old, new = trust["log"]
    assert (old["toSize"], new["toSize"]) == (new["fromSize"], None)
    assert len(check(new, old["vkey"])) == 32
    for forged in (new | {"fromSize": 2}, new | {"vkey": old["vkey"]}, {"vkey": new["vkey"]}):
        with pytest.raises(VerificationError, match="KEY_NOT_VALID_AT_SIZE"):
            check(forged, old["vkey"])
    await proven(config, tmp_path, 1)
    await written(config, 3)
    await proven(config, tmp_path, 1, 3)
    # The old key put back signs nothing any more.
    (config.data / "keys" / "log.key").write_bytes(before)
    with pytest.raises(ConfigError):
        await written(config, 4)


@pytest.mark.parametrize(
    ("place", "after"),
    [
        ("announce", True),
        pytest.param("announce", False, marks=pytest.mark.soak),
        pytest.param("put_leaf", False, marks=pytest.mark.soak),
        ("put_leaf", True),
        ("settle", False),
        pytest.param("settle", True, marks=pytest.mark.soak),
    ],
)
async def test_a_rotation_that_was_cut_off_goes_on(
    place: str, after: bool, install: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: Config = install("one").config
    await written(config, 1)

    class Cut(Exception):
        """The power went."""

    target: Any = SqlStore if place == "put_leaf" else trust
    real = getattr(target, place)

    def cut(*arguments: Any) -> Any:
        if after:
            real(*arguments)
        raise Cut

    async def cut_later(*arguments: Any) -> Any:
        if after:
            await real(*arguments)
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(target, place, cut_later if place == "put_leaf" else cut)
        with pytest.raises(Cut):
            await rotating.rotate(config, system_clock)
    with pytest.raises(ConfigError, match="a new log key waits"):
        await written(config, 2)
    await rotating.rotate(config, system_clock)
    await written(config, 3)
    await proven(config, tmp_path, 1, 3)
    assert len(json.loads((config.data / "trust.json").read_bytes())["log"]) == 2
