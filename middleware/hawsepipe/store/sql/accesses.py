"""The access record: appended, never changed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hawsepipe.fhir.dates import microseconds
from hawsepipe.model import Access
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.instants import instant
from hawsepipe.store.sql.pen import Pen


def record(pen: Pen, accesses: Sequence[Access]) -> None:
    """Append entries."""
    pen.connection.executemany(
        "INSERT INTO access (instant, subject, client, purpose, interaction, target, patients, permit, reasons,"
        " consents, query) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                microseconds(entry.instant),
                entry.subject,
                entry.client,
                entry.purpose,
                entry.interaction,
                entry.target,
                json.dumps(entry.patients),
                int(entry.permit),
                json.dumps(entry.reasons),
                json.dumps(entry.consents),
                entry.query,
            )
            for entry in accesses
        ],
    )


def accesses(connection: Connection, after: int, limit: int) -> tuple[tuple[int, Access], ...]:
    """Return entries with a number above `after`, in order."""
    rows = connection.execute(
        "SELECT number, instant, subject, client, purpose, interaction, target, patients, permit, reasons, consents,"
        " query FROM access WHERE number > ? ORDER BY number LIMIT ?",
        (after, max(limit, 0)),
    )
    return tuple(
        (
            number,
            Access(
                instant(micros),
                subject,
                client,
                purpose,
                interaction,
                target,
                tuple(json.loads(patients)),
                bool(permit),
                tuple(json.loads(reasons)),
                tuple(json.loads(consents)),
                query,
            ),
        )
        for (
            number,
            micros,
            subject,
            client,
            purpose,
            interaction,
            target,
            patients,
            permit,
            reasons,
            consents,
            query,
        ) in rows
    )
