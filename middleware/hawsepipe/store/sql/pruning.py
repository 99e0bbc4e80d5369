"""The statements that take messages out of the journal, give their room back, and know a store's keys again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hawsepipe.store.answers import Pruned
from hawsepipe.store.contract import JournalState
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.vault import Vault

_PRUNED = (JournalState.APPLIED, JournalState.DISCARDED)
"""Nothing else is ever taken out: not what waits, not what a person has still to decide about."""


def prune(pen: Pen, cutoffs: Mapping[JournalState, int], anchored: int, after: int, limit: int) -> Pruned:
    """See `contract.Store.prune`. The instants are microseconds."""
    rows: list[tuple[Any, ...]] = pen.connection.execute(
        "SELECT sequence, state, settled_at, leaf,"
        " EXISTS (SELECT 1 FROM delivery WHERE delivery.sequence = journal.sequence)"
        " FROM journal WHERE sequence > ? ORDER BY sequence LIMIT ?",
        (after, max(limit, 1)),
    ).fetchall()
    gone: list[tuple[int]] = []
    counts: Counter[str] = Counter()
    for sequence, text, settled, leaf, delivered in rows:
        state = JournalState(text)
        cutoff = cutoffs.get(state) if state in _PRUNED else None
        if cutoff is None or settled is None or settled >= cutoff or delivered:
            continue
        if state is JournalState.APPLIED and (leaf is None or leaf > anchored):
            continue
        gone.append((sequence,))
        counts[state] += 1
    with pen.connection.wiping():
        for table in ("journal", "concern", "part"):
            pen.connection.executemany(f"DELETE FROM {table} WHERE sequence = ?", gone)  # noqa: S608  our own names
    return Pruned(counts, rows[-1][0] if len(rows) == max(limit, 1) else None)


def give_back(pen: Pen, pages: int) -> int:
    """Give unused pages back, as far as the database can."""
    return pen.connection.give_back(pages)


def know(connection: Connection, vault: Vault) -> None:
    """Compare a vault's keys with those that content is under, and note the current one before it is used.

    Raises StoreError when a key is missing, or is another one than it was.
    """
    known: list[tuple[Any, ...]] = connection.execute("SELECT name, proof FROM cipher").fetchall()
    for name, proof in known:
        vault.open(name, proof, _proof(name))
    if vault.current is not None and vault.current not in {name for name, _ in known}:
        proof = vault.seal(b"", _proof(vault.current))
        connection.execute("INSERT INTO cipher (name, proof) VALUES (?, ?)", (vault.current, proof))


def _proof(name: str) -> bytes:
    return b"key|" + name.encode("ascii")
