"""Evidence of a version whose rows somebody has changed: a typed alarm, never a crash, never "ask again"."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from hawsepipe import LedgerBackend, Meters
from hawsepipe.clock import Clock
from hawsepipe.errors import NotInLog, StoreError, Tampered
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.evidence import Evidence
from hawsepipe.ledger.note import Signer
from hawsepipe.model import Version
from hawsepipe.store.contract import Store

Writer = Callable[..., Awaitable[tuple[Version, ...]]]

ROWS = {
    "UPDATE version SET commitment = randomblob(32)": "LEAF_MISMATCH",
    "UPDATE version SET commitment = x''": "LEAF_MISMATCH",
    "UPDATE version SET salt = NULL": "MISSING_OPENING",
    "UPDATE version SET opening = NULL": "MISSING_OPENING",
    "UPDATE version SET salt = NULL, opening = NULL": "MISSING_OPENING",
    "UPDATE version SET salt = randomblob(32)": "LEAF_MISMATCH",
    "UPDATE version SET opening = x'ff00'": "LEAF_MISMATCH",
    "UPDATE leaf SET commitment = randomblob(32)": "LEAF_MISSING",
    "UPDATE leaf SET commitment = randomblob(32) WHERE sequence = 1": "DEPENDENCY_MISSING",
    "DELETE FROM leaf": "LEAF_MISSING",
    "DELETE FROM leaf WHERE sequence = 1": "DEPENDENCY_MISSING",
    "DELETE FROM node": "LEAF_MISSING",
    "DELETE FROM checkpoint": "CHECKPOINT_INVALID",
    "UPDATE checkpoint SET note = x'ff00'": "CHECKPOINT_INVALID",
    "UPDATE checkpoint SET note = CAST('junk' AS BLOB)": "CHECKPOINT_INVALID",
    "UPDATE checkpoint SET root = randomblob(32)": "CHECKPOINT_INVALID",
    "UPDATE receipt SET proof = 'junk'": "MALFORMED",
    "UPDATE receipt SET proof = '7'": "MALFORMED",
    "UPDATE version SET content = x'ff00'": "MALFORMED",
}


@pytest.fixture
async def evidence(
    store: Store,
    ledger: LedgerBackend,
    signer: Signer,
    channel: str,
    wall: Clock,
    meters: Meters,
    write: Writer,
) -> Evidence:
    made = await write(store, *({"resourceType": "Patient", "id": f"p{number}"} for number in range(3)))
    assert len(made) == 4
    assert await Anchorer(store, {"log": ledger}, signer, channel, wall, meters).once() is True
    return Evidence(store, channel, ["log"])


async def first(store: Store) -> Version:
    version = await store.vread("Patient", "p0", 1)
    assert version is not None
    return version


@pytest.mark.parametrize("statement", ROWS)
async def test_a_changed_row_gives_an_alarm_with_its_code(
    statement: str, evidence: Evidence, store: Store, tmp_path: Path
) -> None:
    assert (await evidence.of(await first(store)))["leafIndex"] == 1
    database = sqlite3.connect(tmp_path / "store" / "store.db", isolation_level=None)
    database.execute(statement)
    database.close()
    version = await first(store)
    with structlog.testing.capture_logs() as lines, pytest.raises(Tampered) as raised:
        await evidence.of(version)
    assert raised.value.finding == ROWS[statement]
    assert (raised.value.status, raised.value.code) == (500, "security")
    assert str(raised.value).startswith(f"{ROWS[statement]}: ")
    assert [(line["log_level"], line["finding"]) for line in lines] == [("critical", ROWS[statement])]
    assert lines[0]["error"]
    assert "p0" not in repr(lines)


async def test_a_version_on_its_way_to_the_log_is_no_alarm(evidence: Evidence, store: Store, write: Writer) -> None:
    made = await write(store, {"resourceType": "Patient", "id": "p9"})
    with structlog.testing.capture_logs() as lines, pytest.raises(NotInLog):
        await evidence.of(made[0])
    assert lines == []


async def test_a_version_that_enters_the_log_between_two_questions_is_no_alarm(
    evidence: Evidence, store: Store, channel: str
) -> None:
    class Moving:
        """The store, but the version leaves the outbox right after the first question."""

        asked = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def leaf_index(self, commitment: bytes) -> int | None:
            self.asked += 1
            return None if self.asked == 1 else await store.leaf_index(commitment)

    assert (await Evidence(Moving(), channel, ["log"]).of(await first(store)))["leafIndex"] == 1


async def test_a_failing_store_is_no_alarm(store: Store, evidence: Evidence, channel: str) -> None:
    class Failing:
        """The store, out of order."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def leaf_index(self, commitment: bytes) -> int | None:
            raise StoreError("no")

    with structlog.testing.capture_logs() as lines, pytest.raises(StoreError):
        await Evidence(Failing(), channel, ["log"]).of(await first(store))
    assert lines == []


async def test_a_version_that_was_never_stored_is_an_alarm(evidence: Evidence, store: Store) -> None:
    with pytest.raises(Tampered, match="LEAF_MISMATCH"):
        await evidence.of(replace(await first(store), commitment=bytes(32)))
