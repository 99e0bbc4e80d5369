"""The store over one schema of a PostgreSQL database: `open_store`.

Several processes may have it open. Who writes holds the row of `state`, so writers take turns; one that finds that
another has written since forgets what it remembered of the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from hawsepipe.clock import Clock
from hawsepipe.errors import StoreError
from hawsepipe.meters import Meters
from hawsepipe.store.contract import Extractor, Labeller, Sealer, Store, Validator
from hawsepipe.store.postgres import schema
from hawsepipe.store.postgres.connection import Connection, Way
from hawsepipe.store.sql import pruning
from hawsepipe.store.sql.commits import Commits
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sql.readers import Readers
from hawsepipe.store.sql.store import SqlReading, SqlStore
from hawsepipe.store.sql.writer import Writer
from hawsepipe.store.vault import Vault

READERS: Final = 4


@dataclass(frozen=True, slots=True)
class Database:
    """Where the store is: a `postgresql://` address without a password, a file with the password, the schema."""

    url: str
    password_file: Path | None = None
    schema: str = "hawsepipe"
    timeout: float = 30.0


@asynccontextmanager
async def open_store(
    database: Database,
    *,
    sealer: Sealer,
    labeller: Labeller,
    extractor: Extractor,
    validator: Validator,
    clock: Clock,
    meters: Meters,
    base_url: str = "",
    readers: int = READERS,
    vault: Vault | None = None,
) -> AsyncIterator[Store]:
    """Open the store, making its tables if they are not there; leaving finishes what waits and closes it.

    See `store.sqlite.open_store`. Raises StoreError when the database does not answer, does not keep what it
    acknowledges, or has tables of a newer version.
    """
    commits = Commits(sealer, labeller, extractor, validator, base_url.rstrip("/"))
    way = way_to(database)
    connection = Connection(way, vault, name="hawsepipe writer")
    pool: Readers | None = None
    running: Writer | None = None
    try:
        pen = await asyncio.to_thread(_opened, connection, database.schema, vault or Vault())
        running = Writer(pen, meters)
        pool = Readers(partial(Connection, way, vault, name="hawsepipe reader"), readers)
        yield SqlStore(running, pool, commits, clock, base_url.rstrip("/"), shared=True)
    finally:
        if running is not None:
            await asyncio.to_thread(running.close)
        if pool is not None:
            await asyncio.to_thread(pool.close)
        await asyncio.to_thread(connection.close)


@asynccontextmanager
async def read_store(database: Database, vault: Vault | None = None) -> AsyncIterator[SqlReading]:
    """Open the store for reading only. Raises StoreError when there is none, or one of another version."""
    pool = Readers(partial(Connection, way_to(database), vault, name="hawsepipe auditor"), 1)
    try:
        there = await pool.run(lambda it: it.execute("SELECT to_regclass('tables') IS NOT NULL").get)
        if not there:
            raise StoreError(f"there is no store in the schema {database.schema}")
        if await pool.run(lambda it: it.execute("SELECT version FROM tables").get) != schema.VERSION:
            raise StoreError("the store has tables of another version; start the service once")
        yield SqlReading(pool)
    finally:
        await asyncio.to_thread(pool.close)


def way_to(database: Database) -> Way:
    """Return how a connection is made."""
    file = database.password_file
    password = None if file is None else lambda: file.read_text(encoding="utf-8").strip()
    return Way(database.url, database.schema, password, database.timeout)


def _opened(connection: Connection, name: str, vault: Vault) -> Pen:
    try:
        schema.prepare(connection, name)
        connection.begin()
        pruning.know(connection, vault)
        pen = Pen.over(connection)
        connection.finish()
    except connection.errors as error:
        raise connection.translated(error) from error
    return pen
