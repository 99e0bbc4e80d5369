"""What a writing job works with: the connection, the interned texts, the current versions and the counters.

All of them roll back together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import apsw

from hawsepipe.store.sqlite.current import Currents
from hawsepipe.store.sqlite.lanes import Lanes

_KEPT: Final = 200_000
"""Interned texts that are remembered between transactions."""


class State(NamedTuple):
    """The counters of a store as of a commit. `leaves` counts the outbox and the log together, `resources` is the
    highest key.
    """

    instant: int
    epoch: int
    log_size: int
    leaves: int
    resources: int
    backlog: int


class _Numbers(dict[str, int]):
    """Numbers by text; one that is not there is asked for."""

    def __init__(self, ask: Callable[[str], int]) -> None:
        super().__init__()
        self._ask = ask

    def __missing__(self, text: str) -> int:
        return self._ask(text)


class _Below(dict[str, int]):
    """Numbers of texts that begin alike, by what comes after."""

    def __init__(self, numbers: _Numbers, prefix: str) -> None:
        super().__init__()
        self._numbers = numbers
        self._prefix = prefix

    def __missing__(self, text: str) -> int:
        number = self[text] = self._numbers[self._prefix + text]
        return number


class Interned:
    """Small integers for texts, from one table, whose new rows `write` writes.

    What was added since `mark` can be forgotten after a rollback.
    """

    def __init__(self, connection: apsw.Connection, table: str, column: str) -> None:
        self._connection = connection
        self._select = f"SELECT key FROM {table} WHERE {column} = ?"  # noqa: S608  our own two names
        self._insert = f"INSERT INTO {table} ({column}, key) VALUES (?, ?)"  # noqa: S608  our own two names
        self.numbers = _Numbers(self._new)
        """The number of each text, which gets one if it has none."""
        self._below: dict[str, _Below] = {}
        self._added: list[tuple[str, int]] = []
        self._written = 0
        self._last: int = connection.execute(f"SELECT coalesce(max(key), 0) FROM {table}").get  # noqa: S608  our own name

    def key(self, text: str) -> int:
        """Return the text's number, giving it one if it has none."""
        return self.numbers[text]

    def below(self, prefix: str) -> Mapping[str, int]:
        """Return the number of `prefix` and a text, by the text alone, until the next rollback."""
        known = self._below.get(prefix)
        return known if known is not None else self._below.setdefault(prefix, _Below(self.numbers, prefix))

    def _new(self, text: str) -> int:
        found = self._connection.execute(self._select, (text,)).get
        if found is None:
            key = self._last = self._last + 1
            self._added.append((text, key))
        else:
            key = int(found)
        self.numbers[text] = key
        return key

    def write(self) -> None:
        """Write the rows of what was added."""
        if self._written < len(self._added):
            self._connection.executemany(self._insert, self._added[self._written :])
            self._written = len(self._added)

    def mark(self) -> tuple[int, int]:
        """Return a point to forget back to."""
        return len(self._added), self._written

    def forget(self, mark: tuple[int, int]) -> None:
        """Forget what was added since the mark, and that rows were written since: the rollback took them."""
        kept, self._written = mark
        gone = self._added[kept:]
        for text, _ in gone:
            self.numbers.pop(text, None)
        if gone:
            self._below.clear()
        self._last -= len(gone)
        del self._added[kept:]

    def settle(self) -> None:
        """Take note that everything added is committed."""
        self._added.clear()
        self._written = 0
        if len(self.numbers) > _KEPT:
            self.numbers.clear()


Mark = tuple[State, tuple[int, int], tuple[int, int], int, int, tuple[int, int]]


@dataclass(slots=True)
class Pen:
    """See the module. `state` is replaced, never changed; `stored` collects the types of new versions."""

    connection: apsw.Connection
    symbols: Interned
    people: Interned
    state: State
    lanes: Lanes
    currents: Currents = field(default_factory=Currents)
    stored: list[str] = field(default_factory=list)
    _saved: State | None = None
    _written: int = -1

    @classmethod
    def over(cls, connection: apsw.Connection) -> Pen:
        """Return a pen with the counters that the file has."""
        instant, epoch, log_size = connection.execute("SELECT instant, epoch, log_size FROM state").get
        leaves = connection.execute("SELECT coalesce(max(sequence), 0) FROM leaf").get
        backlog = connection.execute("SELECT count(*) FROM journal WHERE state = 'received'").get
        resources = connection.execute("SELECT coalesce(max(key), 0) FROM resource").get
        state = State(instant, epoch, log_size, leaves, resources, backlog)
        return cls(
            connection,
            Interned(connection, "symbol", "text"),
            Interned(connection, "person", "id"),
            state,
            Lanes(connection),
            _saved=state,
        )

    def count(self, **changes: int) -> None:
        """Give counters new values."""
        self.state = self.state._replace(**changes)

    def mark(self) -> Mark:
        """Return a point to go back to."""
        return (
            self.state,
            self.symbols.mark(),
            self.people.mark(),
            self.currents.mark(),
            len(self.stored),
            self.lanes.mark(),
        )

    def back(self, mark: Mark) -> None:
        """Take the memory back to the mark, after the database was rolled back."""
        self.state = mark[0]
        self.symbols.forget(mark[1])
        self.people.forget(mark[2])
        self.currents.forget(mark[3])
        del self.stored[mark[4] :]
        self.lanes.back(mark[5])

    def begin(self) -> None:
        """Begin a transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        self._written = self.connection.total_changes()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo everything that the block wrote if it raises; nests.

        Where nothing is written yet the transaction is begun anew: SQLite copies each page that is changed below a
        savepoint, in case it has to go back.
        """
        mark = self.mark()
        execute = self.connection.execute
        if self.connection.total_changes() == self._written:
            try:
                yield
            except BaseException:
                if self.connection.in_transaction:
                    execute("ROLLBACK")
                    self.begin()
                self.back(mark)
                raise
            return
        execute("SAVEPOINT job")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                execute("ROLLBACK TO job")
                execute("RELEASE job")
            self.back(mark)
            raise
        execute("RELEASE job")

    def save(self) -> None:
        """Write the counters that changed, as the last statement of a transaction."""
        state, saved = self.state, self._saved
        if saved is None or (state.instant, state.epoch, state.log_size) != (
            saved.instant,
            saved.epoch,
            saved.log_size,
        ):
            self.connection.execute(
                "UPDATE state SET instant = ?, epoch = ?, log_size = ?",
                (state.instant, state.epoch, state.log_size),
            )

    def settle(self) -> list[str]:
        """Take note that the transaction is committed; return the types of the versions that it stored."""
        self._saved = self.state
        self.symbols.settle()
        self.people.settle()
        self.currents.settle()
        self.lanes.settle()
        stored, self.stored = self.stored, []
        return stored
