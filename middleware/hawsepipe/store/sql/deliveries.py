"""The statements of the delivery queues: routes, the next one, delivered, set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hawsepipe.hooks import Refusal
from hawsepipe.store.answers import Aside, Delivery, Queue
from hawsepipe.store.sql import journal
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.instants import optional_instant
from hawsepipe.store.sql.pen import Pen


def route(pen: Pen, routes: Mapping[str, Sequence[str]]) -> None:
    """Say which feeds' messages go to which destination from now on; what waits goes on waiting."""
    pen.connection.execute("DELETE FROM route")
    pen.connection.executemany(
        "INSERT INTO route (feed, destination) VALUES (?, ?)",
        [(feed, destination) for destination, feeds in routes.items() for feed in feeds],
    )


def following(connection: Connection, destination: str) -> Delivery | None:
    """Return the oldest entry of a queue that waits."""
    row = connection.execute(
        "SELECT number, sequence FROM delivery WHERE destination = ? AND cause IS NULL ORDER BY number LIMIT 1",
        (destination,),
    ).fetchone()
    if row is None:
        return None
    record = journal.record(connection, row[1])
    return None if record is None else Delivery(row[0], row[1], record.message)


def delivered(pen: Pen, number: int) -> None:
    """Take an entry off its queue."""
    pen.connection.execute("DELETE FROM delivery WHERE number = ?", (number,))


def set_aside(pen: Pen, number: int, refusal: Refusal, micros: int) -> None:
    """Note why an entry is not delivered; it waits no more."""
    pen.connection.execute(
        "UPDATE delivery SET cause = ?, text = ?, settled_at = ? WHERE number = ?",
        (refusal.cause, refusal.text, micros, number),
    )


def again(pen: Pen, destination: str) -> int:
    """Let what was set aside wait again, in its old place; return how many entries."""
    pen.connection.execute(
        "UPDATE delivery SET cause = NULL, text = NULL, settled_at = NULL WHERE destination = ? AND cause IS NOT NULL",
        (destination,),
    )
    return pen.connection.changes()


_ENTRIES = (
    "SELECT d.number, d.destination, d.sequence, coalesce(j.label, ''), d.cause, d.text, d.settled_at"
    " FROM delivery AS d LEFT JOIN journal AS j ON j.sequence = d.sequence WHERE "
)


def asides(connection: Connection, destination: str | None, after: int, limit: int) -> tuple[Aside, ...]:
    """Return what was set aside, in order."""
    there, values = ("", ()) if destination is None else (" AND d.destination = ?", (destination,))
    rows = connection.execute(
        f"{_ENTRIES} d.cause IS NOT NULL AND d.number > ?{there} ORDER BY d.number LIMIT ?",
        (after, *values, max(limit, 0)),
    )
    return tuple(_aside(row) for row in rows)


def entry(connection: Connection, number: int) -> Aside | None:
    """Return one entry."""
    row = connection.execute(f"{_ENTRIES} d.number = ?", (number,)).fetchone()
    return None if row is None else _aside(row)


def one_again(pen: Pen, number: int) -> bool:
    """Let one that was set aside wait again."""
    pen.connection.execute(
        "UPDATE delivery SET cause = NULL, text = NULL, settled_at = NULL WHERE number = ? AND cause IS NOT NULL",
        (number,),
    )
    return pen.connection.changes() == 1


def _aside(row: tuple[Any, ...]) -> Aside:
    number, destination, sequence, label, cause, text, settled = row
    refusal = None if cause is None else Refusal(cause, "", text)
    return Aside(number, destination, sequence, label, refusal, optional_instant(settled))


def queues(connection: Connection) -> dict[str, Queue]:
    """Return how long each queue is."""
    rows = connection.execute(
        "SELECT destination, count(*) FILTER (WHERE cause IS NULL), count(*) FILTER (WHERE cause IS NOT NULL),"
        " min(CASE WHEN cause IS NULL THEN queued_at END) FROM delivery GROUP BY destination"
    )
    return {name: Queue(waiting, aside, optional_instant(oldest)) for name, waiting, aside, oldest in rows}
