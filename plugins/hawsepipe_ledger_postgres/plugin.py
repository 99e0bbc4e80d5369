"""The entry point: offers the ledger kind `postgres`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from hawsepipe import ConfigError, Kind, LedgerBackend, Opening, hookimpl
from hawsepipe_ledger_postgres.backend import PostgresLedger

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a postgres ledger",
    "type": "object",
    "additionalProperties": False,
    "required": ["dsn"],
    "properties": {
        "dsn": {
            "description": "postgresql://ledger@db.example/anchors?sslmode=verify-full, without a password.",
            "type": "string",
            "pattern": "^postgres(ql)?://",
        },
        "password_file": {
            "description": "A file that holds the password, read anew for each connection.",
            "type": "string",
            "minLength": 1,
        },
        "schema": {
            "description": "The schema that the table is in; made when it is not there and the role may.",
            "type": "string",
            "pattern": "^[a-z_][a-z0-9_]{0,62}$",
            "default": "hawsepipe_ledger",
        },
        "connections": {
            "description": "The most connections that are open at one time.",
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "default": 4,
        },
        "timeout_seconds": {
            "description": "How long a connection and a statement may take.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 10,
        },
    },
}


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[PostgresLedger]:
    settings = opening.settings
    try:
        secret = urlsplit(settings["dsn"]).password
    except ValueError as error:
        raise ConfigError(f"ledgers.{opening.name}.dsn", "this is not an address") from error
    if secret is not None:
        raise ConfigError(f"ledgers.{opening.name}.dsn", "a password does not belong here; use password_file")
    file = settings.get("password_file")
    path = opening.base / file if file else None
    if path is not None and not path.is_file():
        raise ConfigError(f"ledgers.{opening.name}.password_file", "there is no such file")
    ledger = PostgresLedger(
        settings["dsn"],
        path,
        settings.get("schema", "hawsepipe_ledger"),
        connections=settings.get("connections", 4),
        timeout=settings.get("timeout_seconds", 10),
    )
    try:
        yield ledger
    finally:
        await ledger.close()


@hookimpl
def register_ledgers() -> Sequence[Kind[LedgerBackend]]:
    """Offer the kind `postgres`."""
    return (Kind("postgres", SCHEMA, _open),)
