"""Small integers for texts, each from a table of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hawsepipe.store.sql.connection import Connection

_KEPT: Final = 20_000
"""Interned texts that are remembered between transactions: 3 MiB. A message may bring a new one, a person's; whoever
comes again after so many is found in the table."""


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

    def __init__(self, connection: Connection, table: str, column: str) -> None:
        self._connection = connection
        self._select = f"SELECT key FROM {table} WHERE {column} = ?"  # noqa: S608  our own two names
        self._table, self._columns = table, (column, "key")
        self.numbers = _Numbers(self._new)
        """The number of each text, which gets one if it has none."""
        self._below: dict[str, _Below] = {}
        self._added: list[tuple[str, int]] = []
        self._written = 0
        self._last = 0
        self.renew()

    def renew(self) -> None:
        """Learn how far the numbers go that are given."""
        self._last = int(self._connection.execute(f"SELECT coalesce(max(key), 0) FROM {self._table}").get)  # noqa: S608  our own name

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
            self._connection.insert(self._table, self._columns, self._added[self._written :])
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
