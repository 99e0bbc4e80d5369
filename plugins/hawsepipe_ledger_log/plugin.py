"""The entry point: offers the ledger kind `log`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hawsepipe import Kind, LedgerBackend, Opening, hookimpl
from hawsepipe_ledger_log.backend import LogLedger, opened

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "key_name": {
            "description": "Name of the cosigning key, without scheme; ledger-log/<instance> when it is not given.",
            "type": "string",
            "pattern": "^[!-*,-~]{1,200}$",
        }
    },
}


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[LogLedger]:
    name = str(opening.settings.get("key_name") or f"ledger-log/{opening.name}")
    async with opened(opening.name, name, opening.directory, opening.clock) as ledger:
        yield ledger


@hookimpl
def register_ledgers() -> Sequence[Kind[LedgerBackend]]:
    """Offer the kind `log`."""
    return (Kind("log", SCHEMA, _open),)
