"""What a writing job works with: the connection, the interned texts, the current versions and the counters.

All of them roll back together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from hawsepipe.store.sql.commonness import Common
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.current import Currents
from hawsepipe.store.sql.interned import Interned
from hawsepipe.store.sql.lanes import Lanes


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


Mark = tuple[State, tuple[int, int], tuple[int, int], tuple[int, int], int, int, tuple[int, int]]


@dataclass(slots=True)
class Pen:
    """See the module. `state` is replaced, never changed; `stored` collects the types of new versions."""

    connection: Connection
    symbols: Interned
    people: Interned
    common: Common
    state: State
    lanes: Lanes
    currents: Currents = field(default_factory=Currents)
    stored: list[str] = field(default_factory=list)
    _saved: State | None = None
    _written: int = -1

    @classmethod
    def over(cls, connection: Connection) -> Pen:
        """Return a pen with the counters that the file has."""
        state = counted(connection)
        symbols = Interned(connection, "symbol", "text")
        return cls(
            connection,
            symbols,
            Interned(connection, "person", "id"),
            Common(connection, symbols),
            state,
            Lanes(connection),
            _saved=state,
        )

    def renew(self) -> None:
        """Learn what somebody else may have written since; numbers that were given never change."""
        self.state = self._saved = counted(self.connection)
        self.symbols.renew()
        self.people.renew()
        self.common.renew()
        self.currents = Currents()
        self.lanes = Lanes(self.connection)

    def count(self, **changes: int) -> None:
        """Give counters new values."""
        self.state = self.state._replace(**changes)

    def mark(self) -> Mark:
        """Return a point to go back to."""
        return (
            self.state,
            self.symbols.mark(),
            self.people.mark(),
            self.common.mark(),
            self.currents.mark(),
            len(self.stored),
            self.lanes.mark(),
        )

    def back(self, mark: Mark) -> None:
        """Take the memory back to the mark, after the database was rolled back."""
        self.state = mark[0]
        self.symbols.forget(mark[1])
        self.people.forget(mark[2])
        self.common.forget(mark[3])
        self.currents.forget(mark[4])
        del self.stored[mark[5] :]
        self.lanes.back(mark[6])

    def begin(self) -> None:
        """Begin a transaction."""
        if self.connection.begin():
            self.renew()
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
                    self.back(mark)
                    self.begin()
                else:
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
        if saved is None or (state.leaves, state.backlog) != (saved.leaves, saved.backlog):
            self.connection.stir()
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
        self.common.settle()
        self.currents.settle()
        self.lanes.settle()
        stored, self.stored = self.stored, []
        return stored


def counted(connection: Connection) -> State:
    """Return the counters that the tables have."""
    instant, epoch, log_size = connection.execute("SELECT instant, epoch, log_size FROM state").get
    leaves = connection.execute("SELECT coalesce(max(sequence), 0) FROM leaf").get
    backlog = connection.execute("SELECT count(*) FROM journal WHERE state = 'received'").get
    resources = connection.execute("SELECT coalesce(max(key), 0) FROM resource").get
    return State(instant, epoch, log_size, leaves, resources, backlog)
