"""Readings that wait for their window to close, on the disk, and what is known of each device. One thread at a time.

Everything that `commit` returns from survives a loss of power. A window is frozen (its readings get the number of its
revision) before it goes to the journal and marked done after: what a crash leaves frozen goes there again with the
same bytes under the same key, and the journal knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from hawsepipe_iomt.messages import Gathered, Sample

_FORM = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS form (number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS device (
  id TEXT PRIMARY KEY, nonce INTEGER NOT NULL, sequence INTEGER NOT NULL, latest INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS last (topic TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS window (
  template TEXT, device TEXT, start INTEGER, revision INTEGER NOT NULL, done INTEGER NOT NULL, closed INTEGER NOT NULL,
  PRIMARY KEY (template, device, start)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS horizon (
  template TEXT, device TEXT, start INTEGER NOT NULL, PRIMARY KEY (template, device)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reading (
  template TEXT, device TEXT, start INTEGER, mark BLOB, at INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
  revision INTEGER NOT NULL, PRIMARY KEY (template, device, start, mark)
) WITHOUT ROWID;
"""


class Place(NamedTuple):
    """A window: template by name, device, beginning (microseconds since 1970)."""

    template: str
    device: str
    start: int


class Kept(NamedTuple):
    """A reading for a window. `mark` is a digest of topic and payload: the same reading twice is one."""

    place: Place
    mark: bytes
    sample: Sample


@dataclass(slots=True)
class Known:
    """What is known of a device: its last nonce and sequence number (-1 for none), its latest time (microseconds)."""

    nonce: int = -1
    sequence: int = -1
    latest: int = 0


@dataclass(slots=True)
class Batch:
    """What one commit makes durable: readings, devices by id, digests of the last message by topic."""

    kept: list[Kept] = field(default_factory=list)
    devices: dict[str, Known] = field(default_factory=dict)
    last: dict[str, bytes] = field(default_factory=dict)


class Frozen(NamedTuple):
    """A window as it goes to the journal."""

    place: Place
    revision: int
    gathered: Gathered


class Spool:
    """The file. Whoever calls sees to it that one call is over before the next begins."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises apsw.Error, and ValueError for one that is of another form."""
        self._base = apsw.Connection(str(path))
        self._base.pragma("journal_mode", "wal")
        self._base.pragma("synchronous", "full")
        self._base.execute(_TABLES)
        form = self._base.execute("SELECT number FROM form").fetchone()
        if form is None:
            self._base.execute("INSERT INTO form VALUES (?)", (_FORM,))
        elif form[0] != _FORM:
            raise ValueError(f"{path} is of form {form[0]}")

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def devices(self) -> dict[str, Known]:
        """Return every device."""
        return {row[0]: Known(*row[1:]) for row in self._base.execute("SELECT id, nonce, sequence, latest FROM device")}

    def last(self) -> dict[str, bytes]:
        """Return the digest of the last message of each topic."""
        rows: Any = self._base.execute("SELECT topic, digest FROM last")
        return dict(rows)

    def horizons(self) -> dict[tuple[str, str], int]:
        """Return the beginning of the last window that is forgotten, by template and device."""
        return {(row[0], row[1]): row[2] for row in self._base.execute("SELECT template, device, start FROM horizon")}

    def waiting(self) -> list[Place]:
        """Return the windows that have readings which the journal does not have."""
        rows = self._base.execute(
            "SELECT DISTINCT template, device, start FROM reading WHERE revision = 0"
            " UNION SELECT template, device, start FROM window WHERE NOT done"
        )
        return [Place(*row) for row in rows]

    def commit(self, batch: Batch) -> int:
        """Make a batch durable; return how many of its readings were there before."""
        before = self._base.total_changes()
        with self._base:
            self._base.executemany(
                "INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                [(*one.place, one.mark, one.sample.at, one.sample.topic, one.sample.payload) for one in batch.kept],
            )
            fresh = self._base.total_changes() - before
            self._base.executemany(
                "INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)",
                [(id_, it.nonce, it.sequence, it.latest) for id_, it in batch.devices.items()],
            )
            self._base.executemany("INSERT OR REPLACE INTO last VALUES (?, ?)", list(batch.last.items()))
        return len(batch.kept) - fresh

    def freeze(self, places: Iterable[Place]) -> list[Frozen]:
        """Give what has come for windows a revision of its own; return them whole, with what was there before."""
        frozen = []
        with self._base:
            for place in places:
                row = self._base.execute(
                    "SELECT revision, done FROM window WHERE (template, device, start) = (?, ?, ?)", place
                ).fetchone()
                revision, done = row if row is not None else (0, 1)
                if done:
                    revision += 1
                    self._base.execute("INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?, 0, 0)", (*place, revision))
                    self._base.execute(
                        "UPDATE reading SET revision = ? WHERE (template, device, start) = (?, ?, ?) AND revision = 0",
                        (revision, *place),
                    )
                rows = self._base.execute(
                    "SELECT at, topic, payload FROM reading"
                    " WHERE (template, device, start) = (?, ?, ?) AND revision > 0",
                    place,
                )
                samples = [Sample(*found) for found in rows]
                frozen.append(Frozen(place, revision, Gathered(*place, samples)))
        return frozen

    def done(self, places: Iterable[Place], now: int) -> list[Place]:
        """Note that the journal has these windows; return those that have got more since."""
        with self._base:
            again = []
            for place in places:
                self._base.execute(
                    "UPDATE window SET done = 1, closed = ? WHERE (template, device, start) = (?, ?, ?)", (now, *place)
                )
                if self._base.execute(
                    "SELECT 1 FROM reading WHERE (template, device, start) = (?, ?, ?) AND revision = 0 LIMIT 1", place
                ).fetchone():
                    again.append(place)
        return again

    def forget(self, before: int) -> Mapping[tuple[str, str], int]:
        """Forget the windows that were closed before an instant; return the horizons that this moves."""
        with self._base:
            places = [
                Place(str(row[0]), str(row[1]), int(str(row[2])))
                for row in self._base.execute(
                    "SELECT template, device, start FROM window WHERE done AND closed < ? AND NOT EXISTS (SELECT 1"
                    " FROM reading AS r WHERE r.revision = 0"
                    " AND (r.template, r.device, r.start) = (window.template, window.device, window.start))",
                    (before,),
                )
            ]
            horizons: dict[tuple[str, str], int] = {}
            for place in places:
                self._base.execute("DELETE FROM reading WHERE (template, device, start) = (?, ?, ?)", place)
                self._base.execute("DELETE FROM window WHERE (template, device, start) = (?, ?, ?)", place)
                whose = (place.template, place.device)
                horizons[whose] = max(place.start, horizons.get(whose, place.start))
            for (template, device), start in horizons.items():
                self._base.execute(
                    "INSERT INTO horizon VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET start = max(start, excluded.start)",
                    (template, device, start),
                )
        return self.horizons() if horizons else {}
