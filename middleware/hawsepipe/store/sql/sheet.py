"""Everything that transactions will write, collected to be written table by table: one statement for many rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final, NamedTuple

from hawsepipe.fhir import contents
from hawsepipe.store.sql import indexing, journal, log
from hawsepipe.store.sql.pen import Pen

_COLUMNS: Final = (
    "version",
    "deleted",
    "last_updated",
    "rank",
    "clinical_start",
    "clinical_end",
    "indexed",
    "event",
    "common",
    "key",
)
_UPDATE: Final = f"UPDATE resource SET {' = ?, '.join(_COLUMNS[:-1])} = ? WHERE key = ?"  # noqa: S608  our own columns
_NEW: Final = (*_COLUMNS, "type", "id", "first_recorded")
_VERSION: Final = ("key", "recorded", "operation", "patients", "commitment", "opening", "salt", "content")

_Tuple = tuple[Any, ...]


class Stand(NamedTuple):
    """What a resource becomes: its row (`_COLUMNS`), what a new one is named by (type, id, first recorded), the side
    tables that have rows of it so far and its rows from now on (see `indexing`).
    """

    row: _Tuple
    named: _Tuple | None
    before: int
    found: indexing.Found


Mark = tuple[int, int, int, int, int, int, int, int]


class Sheet:
    """What is collected, in the order of the transactions; what came after a mark can be struck out again."""

    def __init__(self) -> None:
        self._versions: list[_Tuple] = []
        self._leaves: list[tuple[int, bytes, int]] = []
        self._settled: list[journal.Settled] = []
        self._stands: dict[int, Stand] = {}
        self._replaced: list[tuple[int, Stand | None]] = []
        self._heard: list[tuple[int, int]] = []
        self._released: list[set[int]] = []
        self._concerned: list[tuple[int, int]] = []
        self._identified: list[tuple[str, str]] = []
        self._holders: dict[tuple[str, str], list[str]] = {}

    def heard(self, key: int, event: int) -> None:
        """Collect that a resource shows already what a newer event tells."""
        self._heard.append((event, key))

    def version(self, row: _Tuple, sequence: int, commitment: bytes) -> None:
        """Collect a version and its place in the outbox."""
        self._versions.append(row)
        self._leaves.append((sequence, commitment, row[0]))

    def stand(self, key: int, stand: Stand) -> None:
        """Collect what a resource becomes; of several, the last one counts."""
        earlier = self._stands.get(key)
        self._replaced.append((key, earlier))
        if earlier is not None:
            # Nothing of it is written: what it was to be found by never was in a table.
            stand = stand._replace(named=earlier.named, before=earlier.before)
        self._stands[key] = stand

    def identified(self, id_: str, identifiers: Iterable[tuple[str, str]]) -> None:
        """Collect by which (system, value) a patient can be met from now on."""
        for identifier in identifiers:
            self._identified.append(identifier)
            self._holders.setdefault(identifier, []).append(id_)

    def holders(self, identifiers: Collection[tuple[str, str]]) -> Iterator[str]:
        """Yield the patients of this sheet that can be met by one of these."""
        for identifier in identifiers:
            yield from self._holders.get(identifier, ())

    def settle(self, settled: journal.Settled) -> None:
        """Collect what becomes of a message."""
        self._settled.append(settled)

    def concern(self, sequence: int, people: Iterable[int]) -> None:
        """Collect whom a message is about, by their keys."""
        self._concerned += [(person, sequence) for person in people]

    def release(self, sequences: set[int]) -> None:
        """Collect messages that wait no more."""
        self._released.append(sequences)

    def mark(self) -> Mark:
        """Return a point to strike out back to."""
        return (
            len(self._versions),
            len(self._leaves),
            len(self._settled),
            len(self._replaced),
            len(self._heard),
            len(self._identified),
            len(self._released),
            len(self._concerned),
        )

    def back(self, mark: Mark) -> None:
        """Strike out what was collected since the mark."""
        versions, leaves, settled, replaced, heard, identified, released, concerned = mark
        del self._concerned[concerned:]
        while len(self._identified) > identified:
            self._holders[self._identified.pop()].pop()
        del self._released[released:]
        del self._heard[heard:]
        del self._versions[versions:]
        del self._leaves[leaves:]
        del self._settled[settled:]
        while len(self._replaced) > replaced:
            key, earlier = self._replaced.pop()
            if earlier is None:
                del self._stands[key]
            else:
                self._stands[key] = earlier

    def write(self, pen: Pen) -> None:
        """Write it all."""
        pen.symbols.write()
        pen.people.write()
        pen.common.write()
        execute = pen.connection.executemany
        if self._stands:
            rows = indexing.Rows(pen.connection)
            for key, stand in self._stands.items():
                rows.replace(key, stand.before, stand.found)
            execute(_UPDATE, [it.row for it in self._stands.values() if it.named is None])
            insert = pen.connection.insert
            insert("resource", _NEW, [(*it.row, *it.named) for it in self._stands.values() if it.named is not None])
            kept = pen.connection.kept
            insert("version", _VERSION, [(*row[:-1], kept(row[-1], row[0])) for row in self._versions])
            uses = [
                (sha256, row[0]) for row in self._versions if row[-1] is not None for sha256 in contents.named(row[-1])
            ]
            if uses:
                execute("INSERT INTO content (sha256, version) VALUES (?, ?) ON CONFLICT DO NOTHING", uses)
            rows.write()
            log.enqueue(pen, self._leaves)
        if self._heard:
            execute("UPDATE resource SET event = ?1 WHERE key = ?2 AND (event IS NULL OR event < ?1)", self._heard)
        if self._settled:
            journal.settle(pen, self._settled)
        if self._concerned:
            execute("INSERT INTO concern (person, sequence) VALUES (?, ?) ON CONFLICT DO NOTHING", self._concerned)
        pen.lanes.write()
        if self._released:
            # Nothing is before settling: what waits since this very sheet goes on as well.
            journal.release(pen, set().union(*self._released))
