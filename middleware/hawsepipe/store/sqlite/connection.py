"""How connections are opened and what SQLite's errors become."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import apsw

from hawsepipe.errors import StoreError, StoreFull
from hawsepipe.store.sql.kept import kept
from hawsepipe.store.sqlite import functions
from hawsepipe.store.sqlite.binding import Bindings
from hawsepipe.store.vault import Vault

CHECKPOINT_PAGES: Final = 2000
"""Pages in the write-ahead log after which they are copied into the file."""

_WAIT_MS: Final = 5000
_FORGET_MS: Final = 50
_STATEMENTS: Final = 400
_INCREMENTAL: Final = 2

FATAL: Final = (
    apsw.FullError,
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ProtocolError,
)
"""Errors of the disk or the file: everything of the open transaction is lost. Others concern one statement."""


class Connection(apsw.Connection):
    """A connection of apsw that keeps `store.sql.connection.Connection`."""

    fatal: tuple[type[Exception], ...] = FATAL
    errors: tuple[type[Exception], ...] = (apsw.Error,)
    broken: type[Exception] = apsw.IOError

    def __init__(self, file: str, *, vault: Vault | None = None, vfs: str | None = None, new: bool = True) -> None:
        """Open the file; without `new` it has to be there."""
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if new else 0)
        super().__init__(file, flags=flags, statementcachesize=_STATEMENTS, vfs=vfs)
        self._vault = vault or Vault()
        self._pages = 0
        self._heavy = False
        self._pruned = False
        self._reads = not new
        self._due = CHECKPOINT_PAGES
        self.set_busy_timeout(_WAIT_MS)
        functions.register(self, self._vault)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table."""
        self.executemany(_insert(table, tuple(columns)), rows)

    def begin(self) -> bool:
        """Begin a transaction that writes: nobody else does."""
        self.execute("BEGIN IMMEDIATE")
        return False

    def stir(self) -> None:
        """Nobody else has it open."""

    def finish(self) -> None:
        """Commit."""
        self.execute("COMMIT")

    def look(self) -> None:
        """Begin a transaction that only reads."""
        self.execute("BEGIN")

    def watch(self) -> None:
        """Take note how long the write-ahead log gets."""
        self.set_wal_hook(self._logged)

    def _logged(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._pages:  # the log began anew
            self._due = CHECKPOINT_PAGES
        self._pages = pages
        return apsw.SQLITE_OK

    def relieve(self) -> None:
        """Let the pages of a large value out of the cache: those that were read now, those written once they are."""
        self._heavy = True
        if self._reads:
            self.committed()

    def committed(self) -> None:
        """Copy the write-ahead log into the file between two groups."""
        if self._heavy:
            self._heavy = False
            self.pragma("shrink_memory")
        if self._pruned:
            self._forget()
        if self._pages < self._due:
            return
        self._due = self._pages + CHECKPOINT_PAGES
        # It only saves room and is tried again later; what is committed is safe without it.
        with contextlib.suppress(apsw.Error):
            self.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _forget(self) -> None:
        """Empty the write-ahead log: it holds what was taken out. While somebody reads, that is tried again after the
        next commit.
        """
        self.set_busy_timeout(_FORGET_MS)
        try:
            self.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error:
            return
        finally:
            self.set_busy_timeout(_WAIT_MS)
        self._pruned = False

    def undone(self) -> None:
        """Roll back and write a tick: a failed commit may have left a whole, valid transaction in the write-ahead log,
        which a crash would bring back; the tick overwrites it.
        """
        with contextlib.suppress(apsw.Error):
            if self.in_transaction:
                self.execute("ROLLBACK")
        with contextlib.suppress(apsw.Error):
            try:
                self.execute("BEGIN IMMEDIATE")
                self.execute("UPDATE state SET tick = tick + 1")
                self.execute("COMMIT")
            finally:
                if self.in_transaction:
                    self.execute("ROLLBACK")

    def bindings(self) -> Bindings:
        """Return a place for the values of a search."""
        return Bindings()

    def array(self, values: Iterable[int] | Iterable[str]) -> str:
        """Return values as JSON."""
        return json.dumps(list(values))

    def kept(self, content: bytes | None, key: int) -> bytes | None:
        """Return a version's content under the current key, if it holds a message as received."""
        return kept(self._vault, content, key)

    def sealed(self, body: bytes, digest: bytes) -> tuple[str | None, bytes]:
        """Return a message's body under the current key, and the key's name."""
        name = self._vault.current
        return name, body if name is None else self._vault.seal(body, digest)

    @contextlib.contextmanager
    def wiping(self) -> Iterator[None]:
        """What is deleted inside leaves no bytes in its page; whole pages go with `give_back`. At all times it would
        make a message dearer by an eighth.
        """
        self.pragma("secure_delete", "fast")
        try:
            yield
        finally:
            self.pragma("secure_delete", 0)

    def give_back(self, pages: int) -> int:
        """Give unused pages back, as far as the file can (one that was made before this could cannot); with the last
        of them the write-ahead log is emptied.
        """
        left = 0
        if self.pragma("auto_vacuum") == _INCREMENTAL:
            self.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()
            left = int(self.pragma("freelist_count"))
        self._pruned = self._pruned or not left
        return left

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of SQLite's."""
        return translated(error)


@cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608  our own tables


def open_writer(file: Path, vfs: str | None = None, vault: Vault | None = None) -> Connection:
    """Open the one connection that writes; each of its commits is on the disk when it returns."""
    connection = Connection(str(file), vfs=vfs, vault=vault)
    # Only a file that has nothing in it yet can learn to give back what is free in it.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreError("the file system cannot hold a write-ahead log")
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -64_000)
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("journal_size_limit", 64 << 20)
    connection.watch()
    return connection


def open_reader(file: Path, vfs: str | None = None, vault: Vault | None = None) -> Connection:
    """Open a connection that only reads and sees every commit that was finished when its statement began."""
    connection = Connection(str(file), vfs=vfs, vault=vault, new=False)
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -16_000)
    connection.pragma("temp_store", "MEMORY")
    return connection


def translated(error: Exception) -> StoreError:
    """Return our error for one of SQLite's, without its words."""
    if isinstance(error, apsw.FullError):
        return StoreFull("there is no room on the disk")
    return StoreError(f"the store cannot do it now ({type(error).__name__})")
