"""The backend: one growing line of checkpoints a channel, in a table that a constraint keeps a line.

Each row names the size of the one before it, and no two rows of a channel may name the same: of two publishers that
race for a place the database lets one in, whatever program they are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from hawsepipe import (
    AnchorStatus,
    Checkpoint,
    Fork,
    LedgerUnavailable,
    Receipt,
    Rejected,
    StaleHead,
    Unsupported,
    VerificationError,
)

_HANDLE = re.compile(r"([1-9][0-9]{0,18})/([0-9a-f]{64})/(.+)", re.DOTALL)
_LARGEST_SIZE = 2**63 - 1
_LARGEST_NOTE = 1 << 16
_STEP = 8

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS "{0}";
CREATE TABLE IF NOT EXISTS "{0}".checkpoint (
    channel text NOT NULL,
    size bigint NOT NULL CHECK (size > previous),
    previous bigint NOT NULL CHECK (previous >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note bytea NOT NULL,
    PRIMARY KEY (channel, size),
    CONSTRAINT one_line UNIQUE (channel, previous)
);
CREATE OR REPLACE FUNCTION "{0}".kept() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a checkpoint is never changed or deleted'; END $$;
CREATE OR REPLACE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON "{0}".checkpoint
FOR EACH STATEMENT EXECUTE FUNCTION "{0}".kept();
"""
_SETTLED = "SELECT to_regclass($1) IS NOT NULL"
_MAKING = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_DURABLE = """
SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
       CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
            THEN set_config('synchronous_commit', 'on', false) END
"""
_ROW = 'SELECT channel, size, root, note FROM "{0}".checkpoint WHERE channel = $1'
_INSERT = 'INSERT INTO "{0}".checkpoint (channel, size, previous, root, note) VALUES ($1, $2, $3, $4, $5)'


class PostgresLedger:
    """One opened ledger; keeps the contract of `hawsepipe.LedgerBackend`. Connects when it is first asked."""

    def __init__(self, dsn: str, password_file: Path | None, schema: str, *, connections: int, timeout: float) -> None:
        self._dsn = dsn
        self._password_file = password_file
        self._schema = schema
        self._most = connections
        self._timeout = timeout
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._settled = False

    async def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        if self._pool is not None:
            self._pool.terminate()

    @property
    def capabilities(self) -> frozenset[str]:
        """It can be scanned. A database signs nothing, so it gives no receipts."""
        return frozenset({"scan"})

    async def head(self, channel: str) -> Checkpoint | None:
        """Return the newest checkpoint."""
        async with self._connection() as connection:
            return await self._one(connection, "ORDER BY size DESC LIMIT 1", channel)

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        """Append a checkpoint by compare-and-set and return its handle."""
        fits = 0 < new.size <= _LARGEST_SIZE and len(new.root) == 32 and len(new.note) <= _LARGEST_NOTE
        if not fits or "\0" in new.channel:
            raise Rejected("this is not a checkpoint")
        async with self._connection() as connection:
            await self._append(connection, new, expected)
        return f"{new.size}/{new.root.hex()}/{new.channel}"

    async def status(self, handle: str) -> AnchorStatus:
        """FINAL for what is held, which is never taken back; else UNKNOWN."""
        match = _HANDLE.fullmatch(handle)
        if match is None or int(match[1]) > _LARGEST_SIZE or "\0" in match[3]:
            return AnchorStatus.UNKNOWN
        async with self._connection() as connection:
            held = await self._one(connection, "AND size = $2", match[3], int(match[1]))
        return AnchorStatus.FINAL if held is not None and held.root.hex() == match[2] else AnchorStatus.UNKNOWN

    async def receipt(self, handle: str) -> Receipt:
        """There are none."""
        raise Unsupported("a database signs nothing: this ledger gives no receipts")

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        """There are none."""
        raise VerificationError("RECEIPT_INVALID", _STEP, "this ledger gives no receipts")

    def trust(self) -> Mapping[str, Any]:
        """Nothing can be checked offline; an auditor asks the database."""
        return {}

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        """Return the held checkpoints, growing."""
        if from_size > _LARGEST_SIZE:
            return ()
        query = f"{_ROW.format(self._schema)} AND size >= $2 ORDER BY size"
        async with self._connection() as connection:
            rows = await connection.fetch(query, channel, max(from_size, 0))
        return tuple(_checkpoint(row) for row in rows)

    async def health(self) -> None:
        """Return if the table can be read."""
        async with self._connection() as connection:
            await connection.fetchval(f'SELECT 1 FROM "{self._schema}".checkpoint LIMIT 1')  # noqa: S608  the schema's name is checked

    async def _append(self, connection: _Connection, new: Checkpoint, expected: Checkpoint | None) -> None:
        # The head first: what comes between the two looks is seen by the second, and may be this very checkpoint.
        head = await self._one(connection, "ORDER BY size DESC LIMIT 1", new.channel)
        held = await self._one(connection, "AND size = $2", new.channel, new.size)
        if held is not None:
            if held.root != new.root:
                raise Fork((held.size, held.root))
            return
        if _place(head) != _place(expected):
            raise StaleHead(_place(head))
        previous = head.size if head is not None else 0
        if new.size <= previous:
            raise Rejected("a checkpoint must be larger than the head")
        try:
            await connection.execute(_INSERT.format(self._schema), new.channel, new.size, previous, new.root, new.note)
        except asyncpg.UniqueViolationError:
            # Somebody else was faster, perhaps with the same checkpoint.
            await self._append(connection, new, expected)

    async def _one(self, connection: _Connection, which: str, *values: str | int) -> Checkpoint | None:
        row = await connection.fetchrow(f"{_ROW.format(self._schema)} {which}", *values)
        return None if row is None else _checkpoint(row)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        """Lend a connection; what the database or the way to it says becomes LedgerUnavailable."""
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=self._timeout) as connection:
                if not self._settled:
                    await self._settle(connection)
                yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
            raise LedgerUnavailable("the database cannot be used now") from error

    async def _opened(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    password=self._password if self._password_file is not None else None,
                    min_size=0,
                    max_size=self._most,
                    timeout=self._timeout,
                    command_timeout=self._timeout,
                    init=_checked,
                    server_settings={"application_name": "hawsepipe"},
                )
            return self._pool

    def _password(self) -> str:
        assert self._password_file is not None
        return self._password_file.read_text(encoding="utf-8").strip()

    async def _settle(self, connection: _Connection) -> None:
        if not await connection.fetchval(_SETTLED, f'"{self._schema}".checkpoint'):
            async with connection.transaction():
                # Two services that start together would both make it.
                await connection.execute(_MAKING, f"hawsepipe ledger {self._schema}")
                await connection.execute(_SCHEMA.format(self._schema))
        self._settled = True


_Connection = Any
"""A connection lent by asyncpg's pool (its proxy has no public type)."""


async def _checked(connection: _Connection) -> None:
    """See that a commit is on the disk before it is answered, as `publish` promises."""
    durable, _ = await connection.fetchrow(_DURABLE)
    if not durable:
        raise LedgerUnavailable("the database runs without fsync or full_page_writes: what it answers is not kept")


def _place(checkpoint: Checkpoint | None) -> tuple[int, bytes] | None:
    return None if checkpoint is None else (checkpoint.size, checkpoint.root)


def _checkpoint(row: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(row["channel"], row["size"], row["root"], row["note"])
