"""Lanes that are held: who waits behind which letter, in memory and in its table, rolled back together.

An entry in a lane is a letter that nobody has decided about yet, its replay, or a message that waits behind it. It has
a row for each person whom it is about; its position is the number in the journal of the message as it first came, so
that a replay stands where the letter stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from hawsepipe.store.answers import Lane
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.instants import instant


class Entry(NamedTuple):
    """Where an entry stands, and in whose lanes (ids of patients)."""

    position: int
    people: tuple[str, ...]


class Lanes:
    """The lanes of a store. Nearly always there are none, and then nothing here costs anything."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._entries: dict[int, Entry] = {}
        self._people: dict[str, dict[int, int]] = {}
        self._log: list[tuple[int, Entry | None, Entry | None]] = []
        self._written = 0
        found: dict[int, tuple[int, list[str]]] = {}
        for person, position, sequence in connection.execute("SELECT person, position, sequence FROM lane ORDER BY 3"):
            found.setdefault(sequence, (position, []))[1].append(person)
        for sequence, (position, people) in found.items():
            self._put(sequence, Entry(position, tuple(people)))

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __contains__(self, sequence: object) -> bool:
        return sequence in self._entries

    def ahead(self, sequence: int, people: Iterable[str]) -> int | None:
        """Return the entry behind which a message about these people has to wait, None when it need not."""
        own = self._entries.get(sequence)
        position = sequence if own is None else own.position
        found: list[tuple[int, int]] = []
        for person in people:
            lane = self._people.get(person)
            if lane and (first := min(lane)) < position:
                found.append((first, lane[first]))
        return min(found)[1] if found else None

    def hold(self, sequence: int, people: Iterable[str]) -> None:
        """Put an entry into the lanes of these people, or leave it there."""
        own = self._entries.get(sequence)
        self._change(sequence, Entry(sequence if own is None else own.position, tuple(dict.fromkeys(people))))

    def replay(self, letter: int, sequence: int) -> None:
        """Let a replay stand where its letter stood."""
        own = self._entries.get(letter)
        if own is not None:
            self._change(letter, None)
            self._change(sequence, own)

    def free(self, sequence: int) -> set[int]:
        """Take an entry out of its lanes; return those that may go on."""
        own = self._entries.get(sequence)
        if own is None:
            return set()
        self._change(sequence, None)
        return {other for person in own.people for other in self._people.get(person, {}).values()}

    def write(self) -> None:
        """Write what has changed."""
        if self._written == len(self._log):
            return
        changes, self._written = self._log[self._written :], len(self._log)
        for sequence, before, after in changes:
            if before is not None:
                self._connection.execute("DELETE FROM lane WHERE sequence = ?", (sequence,))
            if after is not None:
                rows = [(person, after.position, sequence) for person in after.people]
                self._connection.executemany("INSERT INTO lane (person, position, sequence) VALUES (?, ?, ?)", rows)

    def mark(self) -> tuple[int, int]:
        """Return a point to go back to."""
        return len(self._log), self._written

    def back(self, mark: tuple[int, int]) -> None:
        """Undo what changed since the mark; what was written of it the database has rolled back."""
        length, self._written = mark
        while len(self._log) > length:
            sequence, before, _ = self._log.pop()
            self._put(sequence, before)

    def settle(self) -> None:
        """Take note that everything is committed."""
        self._log.clear()
        self._written = 0

    def _change(self, sequence: int, entry: Entry | None) -> None:
        before = self._entries.get(sequence)
        if before != entry:
            self._log.append((sequence, before, entry))
            self._put(sequence, entry)

    def _put(self, sequence: int, entry: Entry | None) -> None:
        before = self._entries.pop(sequence, None)
        for person in before.people if before is not None else ():
            lane = self._people[person]
            del lane[before.position]  # type: ignore[union-attr]  # there are people, so there is one
            if not lane:
                del self._people[person]
        if entry is not None:
            self._entries[sequence] = entry
            for person in entry.people:
                self._people.setdefault(person, {})[entry.position] = sequence


_TOLD = (
    "SELECT l.person, min(l.position), count(*) - 1, min(j.received_at) FROM lane l JOIN journal j USING (sequence)"
    " GROUP BY l.person ORDER BY 2, 1"
)


def told(connection: Connection) -> tuple[Lane, ...]:
    """Return the lanes that are held, the longest held first."""
    return tuple(_lanes(connection))


def _lanes(connection: Connection) -> Iterator[Lane]:
    rows: list[Any] = connection.execute(_TOLD).fetchall()
    for person, position, waiting, oldest in rows:
        ((letter, state),) = connection.execute(
            "SELECT l.sequence, j.state FROM lane l JOIN journal j USING (sequence) WHERE person = ? AND position = ?",
            (person, position),
        )
        yield Lane(person, letter, state, waiting, instant(oldest))
