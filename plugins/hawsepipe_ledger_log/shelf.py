"""The file: one growing line of checkpoints a channel, in SQLite, each row durable before the call returns.

Blocking; used from one thread.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hawsepipe import Checkpoint, Fork, LedgerUnavailable, Rejected, StaleHead

_SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoint (
    channel TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL, cosignature TEXT NOT NULL,
    PRIMARY KEY (channel, size)
) STRICT, WITHOUT ROWID
"""
_HEAD = "SELECT channel, size, root, note FROM checkpoint WHERE channel = ? ORDER BY size DESC LIMIT 1"
_AT = "SELECT channel, size, root, note FROM checkpoint WHERE channel = ? AND size = ?"
_FROM = "SELECT channel, size, root, note FROM checkpoint WHERE channel = ? AND size >= ? ORDER BY size"
_COSIGNATURE = "SELECT cosignature FROM checkpoint WHERE channel = ? AND size = ? AND root = ?"


class Shelf:
    """Checkpoints in a file. Every method may raise LedgerUnavailable; nothing has happened then."""

    def __init__(self, path: Path) -> None:
        self._files: dict[Path, tuple[int, int] | None] = {}
        with _translated():
            # One thread uses it, but not the one that opens it. Another process may share the file: SQLite's lock
            # decides.
            self._database = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(_SCHEMA)
        self._files = {file: _identity(file) for file in (path, path.with_name(f"{path.name}-wal"))}
        if self._files[path] is None:
            raise LedgerUnavailable("the ledger's file is gone")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def head(self, channel: str) -> Checkpoint | None:
        """Return the largest checkpoint of a channel."""
        return self._one(_HEAD, channel)

    def at(self, channel: str, size: int) -> Checkpoint | None:
        """Return the checkpoint of this size."""
        return self._one(_AT, channel, size)

    def cosignature(self, channel: str, size: int, root: bytes) -> str | None:
        """Return the cosignature that was stored with a checkpoint."""
        with self._present():
            row = self._database.execute(_COSIGNATURE, (channel, size, root)).fetchone()
        return None if row is None else str(row[0])

    def scan(self, channel: str, from_size: int) -> tuple[Checkpoint, ...]:
        """Return the checkpoints of at least this size, growing."""
        with self._present():
            rows = self._database.execute(_FROM, (channel, from_size)).fetchall()
        return tuple(Checkpoint(*row) for row in rows)

    def append(self, new: Checkpoint, expected: Checkpoint | None, cosign: Callable[[], str]) -> None:
        """Append a checkpoint if the head is the expected one; one that is held already changes nothing.

        `cosign` is called once the checkpoint is known to be next. Raises Fork, StaleHead and Rejected as
        `LedgerBackend.publish` says.
        """
        with self._present():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._append(new, expected, cosign)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def check(self) -> None:
        """Return if the file can be read."""
        with self._present():
            self._database.execute("SELECT 1 FROM checkpoint LIMIT 1").fetchone()

    @contextmanager
    def _present(self) -> Iterator[None]:
        """See that the open files are those at the path, before and after: SQLite would write on to deleted ones."""
        self._look()
        with _translated():
            yield
        self._look()

    def _look(self) -> None:
        for file, identity in self._files.items():
            if identity is not None and _identity(file) != identity:
                raise LedgerUnavailable("the ledger's file was deleted or replaced; start the service anew")

    def _append(self, new: Checkpoint, expected: Checkpoint | None, cosign: Callable[[], str]) -> None:
        held = self.at(new.channel, new.size)
        if held is not None:
            if held.root != new.root:
                raise Fork((held.size, held.root))
            return
        head = self.head(new.channel)
        if _place(head) != _place(expected):
            raise StaleHead(_place(head))
        if new.size <= (head.size if head is not None else 0):
            raise Rejected("a checkpoint must be larger than the head")
        self._database.execute(
            "INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?)", (new.channel, new.size, new.root, new.note, cosign())
        )

    def _one(self, statement: str, *values: str | int) -> Checkpoint | None:
        with self._present():
            row = self._database.execute(statement, values).fetchone()
        return None if row is None else Checkpoint(*row)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _place(checkpoint: Checkpoint | None) -> tuple[int, bytes] | None:
    return None if checkpoint is None else (checkpoint.size, checkpoint.root)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerUnavailable("the ledger's file cannot be used now") from error
