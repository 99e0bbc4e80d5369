"""Numbers for what resources have in common: each set of facets (`store.commonness`) is written once."""

from __future__ import annotations

import itertools
from hashlib import sha256
from typing import Final

from hawsepipe.store.commonness import common, members
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.interned import Interned

_KEPT: Final = 4096
"""Sets that are remembered between transactions."""

_ALL: Final = (
    "SELECT f.resource, s.text, f.value FROM facet f CROSS JOIN symbol s ON s.key = f.kind"
    " WHERE s.text NOT IN ('author', 'ref') ORDER BY f.resource"
)
_MOVED: Final = "DELETE FROM facet WHERE kind NOT IN (SELECT key FROM symbol WHERE text IN ('author', 'ref'))"

_DIGEST: Final = 16
"""Bytes of a set's digest that it is known by."""


class Common:
    """The sets that are known. What was added since `mark` can be forgotten after a rollback."""

    def __init__(self, connection: Connection, symbols: Interned) -> None:
        self._connection = connection
        self._symbols = symbols
        self._numbers: dict[bytes, int] = {}
        self._added: list[tuple[bytes, int]] = []
        self._written = 0
        self._last = 0
        self.renew()

    def renew(self) -> None:
        """Learn how far the numbers go that are given."""
        self._last = int(self._connection.execute("SELECT coalesce(max(key), 0) FROM common").get)

    def key(self, text: bytes) -> int | None:
        """Return the number of the set with this text, giving it one if it has none; None for the empty set."""
        if not text:
            return None
        key = self._numbers.get(text)
        return self._new(text) if key is None else key

    def _new(self, text: bytes) -> int:
        found = self._connection.execute("SELECT key FROM common WHERE digest = ?", (_digest(text),)).get
        if found is None:
            key = self._last = self._last + 1
            for kind in members(text):
                self._symbols.key(kind)
            self._added.append((text, key))
        else:
            key = int(found)
        self._numbers[text] = key
        return key

    def write(self) -> None:
        """Write the rows of what was added; after those of the symbols."""
        added = self._added[self._written :]
        if added:
            rows = [
                (key, self._symbols.key(kind), value)
                for text, key in added
                for kind, values in members(text).items()
                for value in sorted(values)
            ]
            self._connection.insert("common", ("key", "digest"), [(key, _digest(text)) for text, key in added])
            self._connection.insert("common_facet", ("common", "kind", "value"), rows)
            self._written = len(self._added)

    def mark(self) -> tuple[int, int]:
        """Return a point to forget back to."""
        return len(self._added), self._written

    def forget(self, mark: tuple[int, int]) -> None:
        """Forget what was added since the mark, and that rows were written since: the rollback took them."""
        kept, self._written = mark
        for text, _ in self._added[kept:]:
            self._numbers.pop(text, None)
        self._last -= len(self._added) - kept
        del self._added[kept:]

    def settle(self) -> None:
        """Take note that everything added is committed."""
        self._added.clear()
        self._written = 0
        if len(self._numbers) > _KEPT:
            self._numbers.clear()


def _digest(text: bytes) -> bytes:
    return sha256(text).digest()[:_DIGEST]


def held_in_common(connection: Connection) -> None:
    """Take the facets that resources have in common out of their own, in tables that had them all there."""
    sets = Common(connection, Interned(connection, "symbol", "text"))
    moved: list[tuple[int | None, int]] = []
    for resource, found in itertools.groupby(connection.execute(_ALL), key=lambda row: row[0]):
        values: dict[str, set[str]] = {}
        for _, kind, value in found:
            values.setdefault(str(kind), set()).add(str(value))
        moved.append((sets.key(common({kind: frozenset(some) for kind, some in values.items()})), int(resource)))
    sets.write()
    connection.executemany("UPDATE resource SET common = ? WHERE key = ?", moved)
    connection.execute(_MOVED)
