"""The store over one directory: `open_store`, and the Protocol's methods as jobs for the writer and the readers."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from hawsepipe.clock import Clock
from hawsepipe.errors import StoreError
from hawsepipe.meters import Meters
from hawsepipe.store.contract import (
    Extractor,
    Labeller,
    Sealer,
    Store,
    Validator,
)
from hawsepipe.store.sql import pruning
from hawsepipe.store.sql.commits import Commits
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sql.readers import Readers
from hawsepipe.store.sql.store import SqlReading, SqlStore
from hawsepipe.store.sql.writer import Writer
from hawsepipe.store.sqlite import schema
from hawsepipe.store.sqlite.connection import Connection, open_reader, open_writer, translated
from hawsepipe.store.vault import Vault

FILE: Final = "store.db"
LOCK: Final = "store.lock"
READERS: Final = 4


@asynccontextmanager
async def open_store(
    path: Path,
    *,
    sealer: Sealer,
    labeller: Labeller,
    extractor: Extractor,
    validator: Validator,
    clock: Clock,
    meters: Meters,
    base_url: str = "",
    readers: int = READERS,
    vfs: str | None = None,
    vault: Vault | None = None,
) -> AsyncIterator[Store]:
    """Open the store in the directory `path`, making both if they are not there; leaving finishes what waits and
    closes it.

    `base_url` is our own address, so that absolute references to our patients make a resource theirs. `readers` is
    the number of threads that read; `vfs` names a SQLite VFS other than the default; `vault` has the keys that raw
    content is under. Raises StoreError when another process has it open, when it is of a newer version, when the disk
    does not do, and when a key is missing or another one than before.
    """
    commits = Commits(sealer, labeller, extractor, validator, base_url.rstrip("/"))
    with _locked(path):
        writer = await asyncio.to_thread(_opened, path / FILE, vfs, vault or Vault())
        pool: Readers | None = None
        running: Writer | None = None
        try:
            running = Writer(await asyncio.to_thread(Pen.over, writer), meters)
            pool = Readers(partial(_reading, path / FILE, vfs, vault), readers)
            yield SqlStore(running, pool, commits, clock, base_url.rstrip("/"))
        finally:
            if running is not None:
                await asyncio.to_thread(running.close)
            if pool is not None:
                await asyncio.to_thread(pool.close)
            await asyncio.to_thread(_closed, writer)


@asynccontextmanager
async def read_store(path: Path, vault: Vault | None = None) -> AsyncIterator[SqlReading]:
    """Open the store in a directory for reading only, whether or not somebody else writes.

    Raises StoreError when there is none, or one of another version.
    """
    file = path / FILE
    if not file.is_file():
        raise StoreError("there is no store")
    pool = Readers(partial(_reading, file, None, vault), 1)
    try:
        if await pool.run(lambda connection: connection.execute("PRAGMA user_version").get) != schema.VERSION:
            raise StoreError("the store has tables of another version; start the service once")
        yield SqlReading(pool)
    finally:
        await asyncio.to_thread(pool.close)


def _reading(file: Path, vfs: str | None, vault: Vault | None) -> Connection:
    try:
        return open_reader(file, vfs, vault)
    except apsw.Error as error:
        raise translated(error) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the directory's lock, which the system lets go of when the process ends, however it ends."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError("the store's directory cannot be written") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError("the store is open in another process") from error
        yield
    finally:
        os.close(descriptor)


def _opened(file: Path, vfs: str | None, vault: Vault) -> Connection:
    try:
        # Made first, so that nobody else on the machine can read it or its write-ahead log for a moment.
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        connection = open_writer(file, vfs, vault)
        try:
            schema.prepare(connection)
            pruning.know(connection, vault)
        except BaseException:
            connection.close()
            raise
        return connection
    except apsw.Error as error:
        raise translated(error) from error
    except OSError as error:
        raise StoreError("the store's directory cannot be written") from error


def _closed(connection: Connection) -> None:
    try:
        connection.close()
    except apsw.Error as error:
        raise translated(error) from error
