"""Loads of history: many transactions and the load's own state in one commit, and the notes that hold the state."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe.errors import Conflict, HawsepipeError
from hawsepipe.fhir.provenance import withdrawn
from hawsepipe.model import Transaction
from hawsepipe.store.loads import Note, Outcome, Told
from hawsepipe.store.preparation import unprepared
from hawsepipe.store.prepared import PreparedTransaction
from hawsepipe.store.sql.commits import Commits, meet
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.drafting import current_of
from hawsepipe.store.sql.meeting import Meeting
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sql.sheet import Sheet
from hawsepipe.store.sql.writer import unexpected


def load(
    pen: Pen, commits: Commits, transactions: Sequence[Transaction | PreparedTransaction], told: Told
) -> list[Outcome]:
    """See `Store.load`."""
    before, sheet = pen.mark(), Sheet()
    prepared = [_alike(transaction) for transaction in transactions]
    ready = [it for it in prepared if isinstance(it, PreparedTransaction)]
    meet(pen, ready)
    meeting = Meeting(pen, sheet, [it.named for it in ready])
    outcomes = [_loaded(pen, commits, sheet, meeting, it) for it in prepared]
    try:
        with pen.savepoint():
            sheet.write(pen)
    except pen.connection.fatal:
        raise
    except Exception:
        # One transaction's rows spoil the sheet: which one shows when each is written alone.
        if not pen.connection.in_transaction:
            raise
        pen.back(before)
        outcomes = [_alone(pen, commits, it) for it in prepared]
    note = told(outcomes)
    pen.connection.execute(
        "INSERT INTO note (load, part, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (note.load, note.part, note.value),
    )
    if not pen.connection.changes():
        raise Conflict(f"the load has noted part {note.part} already")
    return outcomes


def _alike(transaction: Transaction | PreparedTransaction) -> PreparedTransaction | HawsepipeError:
    if isinstance(transaction, PreparedTransaction):
        return transaction
    try:
        return unprepared(transaction)
    except HawsepipeError as error:
        return error


def _loaded(
    pen: Pen, commits: Commits, sheet: Sheet, meeting: Meeting, transaction: PreparedTransaction | HawsepipeError
) -> Outcome:
    if isinstance(transaction, HawsepipeError):
        return transaction
    return () if _had(pen, transaction) else commits.draft(pen, sheet, meeting, transaction)


def _alone(pen: Pen, commits: Commits, transaction: PreparedTransaction | HawsepipeError) -> Outcome:
    sheet = Sheet()
    try:
        with pen.savepoint():
            named = transaction.named if isinstance(transaction, PreparedTransaction) else ()
            outcome = _loaded(pen, commits, sheet, Meeting(pen, sheet, [named]), transaction)
            sheet.write(pen)
            return outcome
    except pen.connection.fatal:
        raise
    except Exception as error:
        if not pen.connection.in_transaction:
            raise
        return unexpected(error)


def _had(pen: Pen, transaction: PreparedTransaction) -> bool:
    """Say whether a transaction has had its effect: its Provenance is there and was not withdrawn."""
    if transaction.draft is None:
        return False
    current = current_of(pen, "Provenance", transaction.draft.id)
    if current is None or current.resource is None:
        return False
    return not withdrawn(current.resource)


def keep(pen: Pen, notes: Sequence[Note]) -> None:
    """See `Store.keep`."""
    pen.connection.executemany(
        "INSERT INTO note (load, part, value) VALUES (?, ?, ?)"
        " ON CONFLICT (load, part) DO UPDATE SET value = excluded.value",
        [(note.load, note.part, note.value) for note in notes],
    )


def notes(connection: Connection, load: str, after: str, limit: int) -> tuple[Note, ...]:
    """See `Store.notes`."""
    rows = connection.execute(
        "SELECT part, value FROM note WHERE load = ? AND part > ? ORDER BY part LIMIT ?", (load, after, max(limit, 0))
    )
    return tuple(Note(load, part, value) for part, value in rows)


def loads(connection: Connection) -> tuple[str, ...]:
    """See `Store.loads`."""
    return tuple(name for (name,) in connection.execute("SELECT DISTINCT load FROM note ORDER BY load"))
