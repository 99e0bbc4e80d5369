"""Backup and restore of the store in PostgreSQL, by COPY of each table in one snapshot; services may go on meanwhile.

Beside the server's own means (base backups, an archive of its log), which a large installation needs for what came
after the last backup.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from hawsepipe.errors import StoreError
from hawsepipe.fhir.dates import instant_text
from hawsepipe.store import backups
from hawsepipe.store.backups import Manifest
from hawsepipe.store.postgres import schema
from hawsepipe.store.postgres.connection import Way, opening, translated

KIND: Final = "postgres"
_COLUMNS: Final = (
    "SELECT table_name::text, array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns"
    " WHERE table_schema = $1 GROUP BY 1 ORDER BY 1"
)
_LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


async def backup(way: Way, into: Path, instant: datetime) -> Manifest:
    """Write a backup of a schema: what was committed when it began. Raises StoreError."""
    backups.begun(into)
    try:
        connection = await opening(way, "hawsepipe backup")
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _copied(connection, way, into, instant)
        finally:
            connection.terminate()
    except _LOST as error:
        raise translated(error) from error


async def _copied(connection: Any, way: Way, into: Path, instant: datetime) -> Manifest:
    columns = {row[0]: tuple(row[1]) for row in await connection.fetch(_COLUMNS, way.schema)}
    if "tables" not in columns:
        raise StoreError(f"there is no store in the schema {way.schema}")
    version = int(await connection.fetchval("SELECT version FROM tables"))
    logged = int(await connection.fetchval("SELECT log_size FROM state"))
    leaves = int(await connection.fetchval("SELECT coalesce(max(sequence), 0) FROM leaf"))
    files: dict[str, str] = {}
    for table, names in columns.items():
        path = into / f"{table}.copy"
        path.touch(mode=0o600, exist_ok=False)
        await connection.copy_from_table(table, schema_name=way.schema, columns=names, output=path, format="binary")
        backups.flushed(path)
        files[path.name] = backups.digest_of(path)
    manifest = Manifest(KIND, version, instant_text(instant), leaves, logged, files, columns)
    manifest.write(into)
    return manifest


async def restore(way: Way, backup: Path) -> Manifest:
    """Put a backup into a schema that has no store, all of it or nothing. Raises StoreError."""
    manifest = backups.read(backup, KIND, schema.VERSION)
    try:
        connection = await opening(way, "hawsepipe restore")
        try:
            if await connection.fetchval("SELECT 1 FROM pg_tables WHERE schemaname = $1", way.schema):
                raise StoreError(f"there are tables in the schema {way.schema} already; name another one, or drop it")
            async with connection.transaction():
                await _filled(connection, way, backup, manifest)
        finally:
            connection.terminate()
    except _LOST as error:
        raise translated(error) from error
    return manifest


async def _filled(connection: Any, way: Way, backup: Path, manifest: Manifest) -> None:
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{way.schema}"')
    await connection.execute(schema.tables_of(manifest.version))
    made = {row[0]: tuple(row[1]) for row in await connection.fetch(_COLUMNS, way.schema)}
    if {name: set(told) for name, told in made.items()} != {name: set(told) for name, told in manifest.columns.items()}:
        raise StoreError("the backup's tables are not those of its version")
    for table, names in manifest.columns.items():
        await connection.execute(f'DELETE FROM "{table}"')  # noqa: S608  a name of a manifest whose tables are there
        await connection.copy_to_table(
            table, schema_name=way.schema, columns=names, source=backup / f"{table}.copy", format="binary"
        )
    for table, column in schema.COUNTED.items():
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"  # noqa: S608  our own names
            f" coalesce(max({column}), 0) + 1, false) FROM {table}"
        )
