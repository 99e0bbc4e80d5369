"""Writes what versions are found by: search rows, facets, patients.

Which side tables hold rows of a resource is kept with it, a bit for each table in the order of `_KEYS`, so that
removing them costs no more than there is to remove. The order is part of the stored format.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from hawsepipe.store.prepared import Sight
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.decimals import sortable
from hawsepipe.store.sql.pen import Pen

_KEYS: Final = {
    "token": ("parameter", "code", "system"),
    "reference": ("parameter", "value", "type"),
    "uri": ("parameter", "uri"),
    "string": ("parameter", "place", "normal", "exact"),
    "date": ("parameter", "low", "high"),
    "number": ("parameter", "value"),
    "quantity": ("parameter", "place", "value", "system", "code", "unit"),
    "facet": ("kind", "value"),
    "about": ("person",),
}
"""The side tables and what is in a row beside the resource's key."""

_DELETES: Final = tuple(
    f"DELETE FROM {table} WHERE resource = ? AND {' AND '.join(f'{column} = ?' for column in columns)}"  # noqa: S608  our own tables
    for table, columns in _KEYS.items()
)
_SELECTS: Final = tuple(
    f"SELECT resource, {', '.join(columns)} FROM {table} WHERE resource = ?"  # noqa: S608  our own tables
    for table, columns in _KEYS.items()
)


_Tuple = tuple[Any, ...]


def parameter_symbol(type_: str, parameter: str) -> str:
    """Return the interned text of a search parameter of a type."""
    return f"{type_}?{parameter}"


Found = tuple[Collection[_Tuple], ...]
"""The rows that one resource is found by: those of each side table in the order of `_KEYS`, each once."""

NOTHING: Final[Found] = ((),) * len(_KEYS)
"""What a deleted resource is found by."""


def indexed(found: Found) -> int:
    """Return which side tables hold these rows, a bit each."""
    bits = 0
    for place, rows in enumerate(found):
        if rows:
            bits |= 1 << place
    return bits


def found_by(pen: Pen, key: int, type_: str, sight: Sight, patients: Sequence[str]) -> Found:
    """Return the rows of a resource by its key."""
    rows = sight.rows
    symbols, people = pen.symbols.numbers, pen.people.numbers
    names = pen.symbols.below(parameter_symbol(type_, ""))
    references: dict[_Tuple, None] = {}
    for name, kind, id_, url in rows.references:
        references[(key, names[name], url, 0) if url else (key, names[name], id_, symbols[kind])] = None
    return (
        [(key, names[name], code, symbols[system]) for name, system, code in rows.tokens],
        references,
        [(key, names[name], uri) for name, uri in rows.uris] if rows.uris else (),
        [(key, names[name], place, normal, exact) for place, (name, exact, normal) in enumerate(rows.strings)],
        [(key, names[name], low, high) for name, low, high in rows.dates],
        {(key, names[name], sortable(value)): None for name, value in rows.numbers} if rows.numbers else (),
        [
            (key, names[name], place, sortable(value), system, code, unit)
            for place, (name, value, system, code, unit) in enumerate(rows.quantities)
        ],
        [(key, symbols[kind], value) for kind, value in sight.own] if sight.own else (),
        {(key, people[patient]): None for patient in patients},
    )


class Rows:
    """Changes of rows of several resources, collected to be written table by table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inserts: list[list[_Tuple]] = [[] for _ in _KEYS]
        self._deletes: list[list[_Tuple]] = [[] for _ in _KEYS]

    def replace(self, key: int, before: int, found: Found) -> None:
        """Collect what makes these the rows of a resource, which is in the tables `before` (see `indexed`)."""
        for place, (rows, inserts) in enumerate(zip(found, self._inserts, strict=True)):
            if before >> place & 1:
                # Most rows outlive an update: to find those that do is far cheaper than to write them again.
                written = set(self._connection.execute(_SELECTS[place], (key,)))
                wanted = set(rows)
                self._deletes[place] += written - wanted
                inserts += [row for row in rows if row not in written]
            elif rows:
                inserts += rows

    def write(self) -> None:
        """Write everything that was collected."""
        for statement, rows in zip(_DELETES, self._deletes, strict=True):
            if rows:
                self._connection.executemany(statement, rows)
        for (table, columns), rows in zip(_KEYS.items(), self._inserts, strict=True):
            if rows:
                self._connection.insert(table, ("resource", *columns), rows)
