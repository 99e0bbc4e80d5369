"""How connections are opened and what SQLite's errors become."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from hawsepipe.errors import StoreError, StoreFull
from hawsepipe.store.sqlite import formulas

CHECKPOINT_PAGES: Final = 2000
"""Pages in the write-ahead log after which they are copied into the file."""

_WAIT_MS: Final = 5000
_STATEMENTS: Final = 400

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


def open_writer(file: Path, vfs: str | None = None) -> apsw.Connection:
    """Open the one connection that writes; each of its commits is on the disk when it returns."""
    connection = apsw.Connection(str(file), statementcachesize=_STATEMENTS, vfs=vfs)
    connection.set_busy_timeout(_WAIT_MS)
    formulas.register(connection)
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreError("the file system cannot hold a write-ahead log")
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -64_000)
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("journal_size_limit", 64 << 20)
    return connection


def open_reader(file: Path, vfs: str | None = None) -> apsw.Connection:
    """Open a connection that only reads and sees every commit that was finished when its statement began."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_STATEMENTS, vfs=vfs)
    connection.set_busy_timeout(_WAIT_MS)
    formulas.register(connection)
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -16_000)
    connection.pragma("temp_store", "MEMORY")
    return connection


def translated(error: apsw.Error) -> StoreError:
    """Return our error for one of SQLite's, without its words."""
    if isinstance(error, apsw.FullError):
        return StoreFull("there is no room on the disk")
    return StoreError(f"the store cannot do it now ({type(error).__name__})")
