"""How connections are opened and what SQLite's errors become."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import apsw

from hawsepipe.errors import StoreError, StoreFull
from hawsepipe.store.sqlite import formulas, looking
from hawsepipe.store.vault import Vault
from hawsepipe.visibility import SEALED

CHECKPOINT_PAGES: Final = 2000
"""Pages in the write-ahead log after which they are copied into the file."""

_DOCUMENT: Final = b'{"resourceType":"DocumentReference"'
_SEALED: Final = f'"{SEALED[1]}"'.encode()
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


def open_writer(file: Path, vfs: str | None = None, vault: Vault | None = None) -> apsw.Connection:
    """Open the one connection that writes; each of its commits is on the disk when it returns."""
    connection = apsw.Connection(str(file), statementcachesize=_STATEMENTS, vfs=vfs)
    connection.set_busy_timeout(_WAIT_MS)
    formulas.register(connection)
    looking.register(connection)
    keep_under(connection, vault or Vault())
    # Only a file that has nothing in it yet can learn to give back what is free in it.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreError("the file system cannot hold a write-ahead log")
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -64_000)
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("journal_size_limit", 64 << 20)
    return connection


def open_reader(file: Path, vfs: str | None = None, vault: Vault | None = None) -> apsw.Connection:
    """Open a connection that only reads and sees every commit that was finished when its statement began."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=_STATEMENTS, vfs=vfs)
    connection.set_busy_timeout(_WAIT_MS)
    formulas.register(connection)
    looking.register(connection)
    keep_under(connection, vault or Vault())
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -16_000)
    connection.pragma("temp_store", "MEMORY")
    return connection


def keep_under(connection: apsw.Connection, vault: Vault) -> None:
    """Let statements seal and open content.

    `sealed(body, digest)` and `unsealed(key, body, digest)` are for messages, `sealing()` names the key or is NULL;
    `kept(content, row key)` and `opened(content, row key)` are for versions: those that hold a message as received.
    """

    def sealed(*values: Any) -> Any:
        body, digest = values
        return body if vault.current is None else vault.seal(body, digest)

    def unsealed(*values: Any) -> Any:
        name, body, digest = values
        return body if name is None else vault.open(name, body, digest)

    def sealing(*_: Any) -> Any:
        return vault.current

    def opened(*values: Any) -> Any:
        content, key = values
        return None if content is None else vault.plain(content, place_of(key))

    def kept(*values: Any) -> Any:
        content, key = values
        if vault.current is None or content is None or not _whole_message(content):
            return content
        return vault.boxed(content, place_of(key))

    connection.create_scalar_function("kept", kept, 2)
    connection.create_scalar_function("sealed", sealed, 2)
    connection.create_scalar_function("unsealed", unsealed, 3)
    connection.create_scalar_function("sealing", sealing, 0)
    connection.create_scalar_function("opened", opened, 2)


def _whole_message(content: bytes) -> bool:
    """Say whether a version may be a message as received; where it is in doubt it is sealed as well."""
    return content.startswith(_DOCUMENT) and _SEALED in content


def place_of(key: int) -> bytes:
    """Return what a version's box is bound to: its row key."""
    return b"version|%d" % key


def translated(error: apsw.Error) -> StoreError:
    """Return our error for one of SQLite's, without its words."""
    if isinstance(error, apsw.FullError):
        return StoreFull("there is no room on the disk")
    return StoreError(f"the store cannot do it now ({type(error).__name__})")
