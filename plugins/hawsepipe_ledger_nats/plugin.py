"""The entry point: offers the ledger kind `nats`."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from hawsepipe import ConfigError, Kind, LedgerBackend, Opening, hookimpl
from hawsepipe_ledger_nats.backend import NatsLedger
from hawsepipe_ledger_nats.stream import Stream

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a nats ledger",
    "type": "object",
    "additionalProperties": False,
    "required": ["servers"],
    "properties": {
        "servers": {
            "description": "The servers of one cluster: nats://host:4222 or tls://host:4222. No password in them.",
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "pattern": "^(nats|tls)://[^/]"},
        },
        "stream": {
            "description": "The stream; made when it is not there and the account may.",
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]{1,64}$",
            "default": "hawsepipe-ledger",
        },
        "replicas": {
            "description": "On how many servers a stream that is made is kept.",
            "type": "integer",
            "enum": [1, 3, 5],
            "default": 1,
        },
        "credentials": {"description": "A NATS credentials file (.creds).", "type": "string", "minLength": 1},
        "ca": {"description": "A PEM file with the authorities of the servers.", "type": "string", "minLength": 1},
        "timeout_seconds": {
            "description": "How long an answer may take.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 10,
        },
    },
}


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[NatsLedger]:
    settings, place = opening.settings, f"ledgers.{opening.name}"
    for number, server in enumerate(settings["servers"]):
        try:
            parts = urlsplit(server)
            named = parts.username is not None or parts.password is not None
        except ValueError as error:
            raise ConfigError(f"{place}.servers.{number}", "this is not an address") from error
        if named:
            raise ConfigError(f"{place}.servers.{number}", "a password does not belong here; use credentials")
    files = {name: opening.base / settings[name] for name in ("credentials", "ca") if settings.get(name)}
    for name, path in files.items():
        if not path.is_file():
            raise ConfigError(f"{place}.{name}", "there is no such file")
    tls = None
    if "ca" in files or any(server.startswith("tls:") for server in settings["servers"]):
        try:
            tls = ssl.create_default_context(cafile=str(files["ca"]) if "ca" in files else None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{place}.ca", "this is not a PEM file with certificates") from error
    stream = Stream(
        settings["servers"],
        settings.get("stream", "hawsepipe-ledger"),
        replicas=settings.get("replicas", 1),
        credentials=files.get("credentials"),
        tls=tls,
        timeout=settings.get("timeout_seconds", 10),
    )
    try:
        yield NatsLedger(stream)
    finally:
        await stream.close()


@hookimpl
def register_ledgers() -> Sequence[Kind[LedgerBackend]]:
    """Offer the kind `nats`."""
    return (Kind("nats", SCHEMA, _open),)
