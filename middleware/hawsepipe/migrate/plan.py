"""What a load is going to do, in which order: its documents and records in a file of its own, derived from the sources.

Consents come first, then the first version of everything, then the second ones and so on; messages by their time. The
same sources give the same plan. The file may be lost: it is made anew, and must come out with the same digest.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Held(NamedTuple):
    """A record of the plan with where it is read, and what people know its document by."""

    number: int
    source: str
    form: str
    path: str
    offset: int
    length: int
    line: int
    digest: bytes
    type: str
    id: str
    version: str
    bundle: int
    document: int
    label: str


class Plan:
    """An open plan. Not for two threads at a time."""

    def __init__(self, path: Path) -> None:
        self._file = opened(path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def finished(self) -> Mapping[str, Any] | None:
        """What the plan says of itself once it is whole: digest, chunks, records, bytes, counts by source and type."""
        try:
            row = self._file.execute("SELECT value FROM told WHERE key = 'plan'").fetchone()
        except sqlite3.Error:
            return None
        return None if row is None else json.loads(row[0])

    def chunk(self, number: int) -> list[Held]:
        """Return the records of a chunk in their order."""
        return [
            Held(*row)
            for row in self._file.execute(
                "SELECT r.number, r.source, r.form, d.path, r.offset, r.length, r.line, r.digest, r.type, r.id,"
                " r.version, r.bundle, r.document, d.label FROM place AS p CROSS JOIN record AS r"
                " ON r.number = p.record CROSS JOIN document AS d ON d.number = r.document"
                " WHERE p.chunk = ? ORDER BY p.number",
                (number,),
            )
        ]

    def record(self, number: int) -> Held:
        """Return one record."""
        row = self._file.execute(
            "SELECT r.number, r.source, r.form, d.path, r.offset, r.length, r.line, r.digest, r.type, r.id, r.version,"
            " r.bundle, r.document, d.label FROM record AS r JOIN document AS d ON d.number = r.document"
            " WHERE r.number = ?",
            (number,),
        ).fetchone()
        return Held(*row)

    def named(self, source: str, type_: str, id_: str) -> Held | None:
        """Return the first record of a resource in its source."""
        row = self._file.execute(
            "SELECT number FROM record WHERE source = ? AND type = ? AND id = ? ORDER BY sort, number LIMIT 1",
            (source, type_, id_),
        ).fetchone()
        return None if row is None else self.record(row[0])

    def place(self, held: Held, url: str) -> str | None:
        """Return what an address stands for (`Type/id`): in the record's own Bundle, else in its source."""
        row = self._file.execute(
            "SELECT place FROM address WHERE source = ? AND url = ?"
            " ORDER BY document = ? DESC, bundle = ? DESC LIMIT 1",
            (held.source, url, held.document, held.bundle),
        ).fetchone()
        return None if row is None else str(row[0])

    def digests(self, source: str) -> Iterator[bytes]:
        """Yield the digest of each record of a source in the order of its documents."""
        for (digest,) in self._file.execute("SELECT digest FROM record WHERE source = ? ORDER BY number", (source,)):
            yield digest

    def unread(self) -> list[tuple[str, str, str]]:
        """Return source, label and reason of the documents that are not read."""
        rows = self._file.execute("SELECT source, label, refused FROM document WHERE refused != '' ORDER BY number")
        return [(str(a), str(b), str(c)) for a, b, c in rows]

    def contradictions(self, limit: int) -> tuple[int, list[tuple[str, str, int]]]:
        """Return how many resources a source tells in two ways as one and the same version, and the first of them as
        (source, Type/id, how many ways).
        """
        asked = (
            "SELECT source, type || '/' || id AS place, count(DISTINCT digest) AS ways FROM record WHERE form = 'fhir'"
            " AND id != '' GROUP BY source, type, id, sort HAVING ways > 1"
        )
        count = self._file.execute(f"SELECT count(*) FROM ({asked})").fetchone()[0]  # noqa: S608  our own text
        return count, [tuple(row) for row in self._file.execute(f"{asked} LIMIT ?", (limit,))]


def opened(path: Path) -> sqlite3.Connection:
    """Open the file of a plan. What is in it can be made anew, so nothing is done to keep it."""
    file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    file.execute("PRAGMA journal_mode = MEMORY")
    file.execute("PRAGMA synchronous = OFF")
    return file
