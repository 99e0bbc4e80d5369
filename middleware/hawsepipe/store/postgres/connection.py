"""A connection to PostgreSQL as `store.sql` works with one: asyncpg in an event loop of its own, run by our threads."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg
import uvloop
from asyncpg.prepared_stmt import PreparedStatement

from hawsepipe.errors import StoreError, StoreFull
from hawsepipe.store.postgres.binding import Bindings, fit
from hawsepipe.store.postgres.dialect import said
from hawsepipe.store.sql import kept as boxes
from hawsepipe.store.vault import Vault

T = TypeVar("T")

FATAL: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.PostgresSystemError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.InternalServerError,
    OSError,
)
"""Errors of the server or the way to it: everything of the open transaction is lost. Others concern one statement."""

_STATEMENTS: Final = 400
_PLANS: Final = {
    # Our own plan: joins in the order of the text, each by an index; what is rare is counted before.
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
_ALIVE: Final = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""How soon the server notices that a machine is gone, and lets go of its locks."""

_TEXTS: Final = {
    "token": (2,),
    "reference": (2,),
    "uri": (2,),
    "string": (3, 4),
    "quantity": (4, 5, 6),
    "facet": (2,),
    "common_facet": (2,),
    "symbol": (0,),
    "person": (0,),
}
"""Where a row of a table has texts that others chose; long ones and NUL are nothing that PostgreSQL takes."""

_WHOLE: Final = {"string", "facet", "common_facet", "symbol", "person"}
"""Tables whose texts no tree of an index holds whole."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the database is reached: address, password, schema and seconds."""

    url: str
    schema: str
    password: Callable[[], str] | None = None
    timeout: float = 30.0


class Answer:
    """The rows of a statement."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Any]) -> None:
        self._rows: Iterator[Any] = iter(rows)

    @property
    def get(self) -> Any:
        """The only value, the only row if it has several, all rows if there are several, None if there is none."""
        rows = [row[0] if len(row) == 1 else row for row in self._rows]
        return None if not rows else rows[0] if len(rows) == 1 else rows

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


_NOTHING: Final = Answer([])


class Connection:
    """Implements `store.sql.connection.Connection`. Connects again when the connection was lost."""

    fatal: tuple[type[Exception], ...] = FATAL
    errors: tuple[type[Exception], ...] = (*FATAL, asyncpg.PostgresError)
    broken: type[Exception] = asyncpg.PostgresConnectionError

    def __init__(self, way: Way, vault: Vault | None = None, *, name: str = "hawsepipe") -> None:
        self._way = way
        self._vault = vault or Vault()
        self._name = name
        self._loop = uvloop.new_event_loop()
        self._raw: asyncpg.Connection[asyncpg.Record] | None = None
        self._prepared: OrderedDict[str, tuple[PreparedStatement[asyncpg.Record], list[tuple[int, bool]]]] = (
            OrderedDict()
        )
        self._changed = 0
        self._total = 0
        self._turn: int | None = None
        self._begun = 0
        self._stirred = False
        self._numbers: dict[str, int] = {}

    # statements

    def execute(self, statements: str, bindings: Any = None, /) -> Answer:
        """Run a statement."""
        if bindings is None and not statements.lstrip().startswith(("SELECT", "WITH")):
            self._count(self._run(self._connected().execute(statements)))
            return _NOTHING
        text, order = said(statements)
        values = [_value(bindings[place]) for place in order]
        return self._run(self._fetched(text, values))

    async def _fetched(self, text: str, values: Sequence[Any]) -> Answer:
        known = self._prepared.get(text)
        if known is None:
            statement = await self._connected().prepare(text)
            closed = [
                (place, column.name == "unsealed")
                for place, column in enumerate(statement.get_attributes())
                if column.name.startswith(("opened ", "unsealed"))
            ]
            known = self._prepared[text] = (statement, closed)
            if len(self._prepared) > _STATEMENTS:
                self._prepared.popitem(last=False)
        else:
            self._prepared.move_to_end(text)
            statement, closed = known
        rows: list[Any] = await statement.fetch(*values)
        self._count(statement.get_statusmsg() or "")
        if closed:
            return Answer([self._opened(row, closed) for row in rows])
        return Answer([tuple(row) for row in rows])

    def _count(self, status: str) -> None:
        command, _, count = status.rpartition(" ")
        if command != "SELECT":
            self._changed = int(count) if count.isdigit() else 0
            self._total += self._changed

    def _opened(self, row: Any, closed: list[tuple[int, bool]]) -> tuple[Any, ...]:
        values = list(row)
        for place, message in closed:
            values[place] = self._message(values[place]) if message else self._content(values[place])
        return tuple(values)

    def _content(self, value: bytes | None) -> bytes | None:
        if value is None:
            return None
        return boxes.opened(self._vault, value[8:], int.from_bytes(value[:8], "big"))

    def _message(self, value: bytes) -> bytes:
        name, _, rest = value.partition(b"\n")
        return self._vault.open(name.decode("ascii"), rest[32:], rest[:32]) if name else rest[32:]

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any], /) -> None:
        """Run a statement for each of the values, all in one turn."""
        text, order = said(statements)
        rows = [[_value(row[place]) for place in order] for row in sequenceofbindings]
        if rows:
            self._run(self._connected().executemany(text, rows))
            self._total += len(rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table by COPY."""
        if not rows:
            return
        places = _TEXTS.get(table)
        if places is not None:
            rows = [_fitting(row, places, table in _WHOLE) for row in rows]
        copied = self._connected().copy_records_to_table(
            table, records=rows, columns=columns, schema_name=self._way.schema
        )
        self._run(copied)
        self._total += len(rows)

    def changes(self) -> int:
        """Return how many rows the newest statement changed."""
        return self._changed

    def total_changes(self) -> int:
        """Return a number that grows with each row that is changed."""
        return self._total

    # transactions

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._raw is not None and not self._raw.is_closed() and self._raw.is_in_transaction()

    def begin(self) -> bool:
        """Begin a transaction that writes, once nobody else does; say whether another has written since."""
        self._start("BEGIN")
        (turn,) = self.execute("SELECT turn FROM state FOR UPDATE").fetchone()
        strange, self._turn, self._begun, self._stirred = turn != self._turn, turn, self._total, False
        return bool(strange)

    def stir(self) -> None:
        """Note that who listens is to be told of this commit."""
        self._stirred = True

    def finish(self) -> None:
        """Commit. A commit whose answer was lost is looked for once the database answers again."""
        if self._total == self._begun:
            self.execute("COMMIT")
            return
        assert self._turn is not None
        token, turn = secrets.token_hex(8), self._turn + 1
        try:
            told = f'; NOTIFY "{self._way.schema}"' if self._stirred else ""
            self.execute(f"UPDATE state SET turn = {turn}, token = '{token}'{told}; COMMIT")  # noqa: S608  ours
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
            if not self._came_through(token):
                raise
        self._turn = turn

    def _came_through(self, token: str) -> bool:
        try:
            self.connect()
            # The lock waits for the end of what a lost connection may still be committing.
            self.execute("BEGIN")
            found = bool(self.execute("SELECT token = ? FROM state FOR UPDATE", (token,)).get)
            self.execute("ROLLBACK")
        except self.errors:
            return False
        return found

    def look(self) -> None:
        """Begin a transaction that only reads, all of it as of one moment."""
        self._start("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def _start(self, statement: str) -> None:
        """Begin a transaction; where the connection was lost unnoticed, over a new one."""
        self.connect()
        try:
            self.execute(statement)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
            self._lost()
            self.connect()
            self.execute(statement)

    def committed(self) -> None:
        """Nothing is due: the server checkpoints on its own."""

    def relieve(self) -> None:
        """Nothing is kept here: the pages are the server's."""

    def undone(self) -> None:
        """Roll back what is open; what was remembered of the tables is doubtful."""
        self._turn = None
        try:
            if self.in_transaction:
                self.execute("ROLLBACK")
        except self.errors:
            self._lost()

    # values

    def bindings(self) -> Bindings:
        """Return a place for the values of a search."""
        return Bindings(self)

    def number(self, text: str) -> int | None:
        """Return the number of an interned text; numbers once given never change."""
        known = self._numbers.get(text)
        if known is None:
            known = self.execute("SELECT key FROM symbol WHERE text = ?", (text,)).get
            if known is not None:
                if len(self._numbers) > 50_000:
                    self._numbers.clear()
                self._numbers[text] = known
        return known

    def array(self, values: Iterable[int] | Iterable[str]) -> list[Any]:
        """Return values as an array."""
        return list(values)

    def kept(self, content: bytes | None, key: int) -> bytes | None:
        """Return a version's content under the current key, if it holds a message as received."""
        return boxes.kept(self._vault, content, key)

    def sealed(self, body: bytes, digest: bytes) -> tuple[str | None, bytes]:
        """Return a message's body under the current key, and the key's name."""
        name = self._vault.current
        return name, body if name is None else self._vault.seal(body, digest)

    def wiping(self) -> contextlib.AbstractContextManager[None]:
        """Leave it to the server, whose vacuum frees what was deleted for others."""
        return contextlib.nullcontext()

    def give_back(self, pages: int) -> int:
        """Leave it to the server, which vacuums on its own."""
        return 0

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of PostgreSQL's."""
        return translated(error)

    # the connection

    def close(self) -> None:
        """Close it and its loop."""
        if not self._loop.is_closed():
            raw, self._raw = self._raw, None
            if raw is not None:
                raw.terminate()
                self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def _run(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(work)

    def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._raw is None or self._raw.is_closed():
            raise asyncpg.InterfaceError("the connection is closed")
        return self._raw

    def _lost(self) -> None:
        raw, self._raw = self._raw, None
        self._prepared.clear()
        self._turn = None
        if raw is not None:
            raw.terminate()

    def connect(self) -> None:
        """Connect, if there is no connection (any more)."""
        if self._raw is not None and not self._raw.is_closed():
            return
        self._lost()
        self._raw = self._run(opening(self._way, self._name))


async def opening(way: Way, name: str) -> asyncpg.Connection[asyncpg.Record]:
    """Return a connection whose commits are on the disk when they are answered. `name` is for who looks at the server.

    Raises StoreError when the server keeps nothing safe, asyncpg's errors.
    """
    raw: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        way.url,
        password=None if way.password is None else way.password(),
        timeout=way.timeout,
        statement_cache_size=100,
        server_settings={"application_name": name, "search_path": f'"{way.schema}"', **_ALIVE, **_PLANS},
    )
    durable = await raw.fetchval(_DURABLE)
    if not durable:
        raw.terminate()
        raise StoreError("the database runs without fsync or full_page_writes: what it answers is not kept")
    return raw


_DURABLE: Final = """
SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'
  AND (current_setting('synchronous_commit') NOT IN ('off', 'local')
       OR set_config('synchronous_commit', 'on', false) = 'on')
"""


def translated(error: Exception) -> StoreError:
    """Return our error for one of PostgreSQL's, without its words."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncpg.exceptions.DiskFullError):
        return StoreFull("there is no room on the database's disk")
    return StoreError(f"the database cannot do it now ({type(error).__name__})")


def _value(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value


def _fitting(row: Sequence[Any], places: Sequence[int], whole: bool) -> Sequence[Any]:
    for place in places:
        text = row[place]
        if len(text) > 400 or "\0" in text:
            changed = text.replace("\0", "\ufffd") if whole else fit(text)
            row = (*row[:place], changed, *row[place + 1 :])
    return row
