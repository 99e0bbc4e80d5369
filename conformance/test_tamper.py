"""Every way of tampering with a real store and ledger is found by its code, and nothing else gives an alarm."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hawsepipe_conformance.tamper.__main__ import outcome
from hawsepipe_conformance.tamper.ground import LOG, Ground, honest, made
from hawsepipe_conformance.tamper.rows import ROWS, Row


@pytest.fixture(scope="module")
def true(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return asyncio.run(made(tmp_path_factory.mktemp("true") / "ground", LOG))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
async def test_it_is_found_by_its_code(row: Row, true: Ground, tmp_path: Path) -> None:
    good, told = await outcome(row, true.copy(tmp_path / "ground"))
    assert good, told


async def test_nothing_is_found_where_nothing_was_tampered_with(tmp_path: Path) -> None:
    assert await honest(tmp_path / "honest", LOG, 100, lambda done: None) == []


@pytest.mark.soak
async def test_nothing_is_found_in_many_honest_versions(tmp_path: Path) -> None:
    assert await honest(tmp_path / "honest", LOG, 20_000, lambda done: None) == []
