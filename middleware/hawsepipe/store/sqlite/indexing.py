"""Writes what versions are found by: search rows, facets, patients.

Which side tables hold rows of a resource is kept with it, a bit for each table in the order of `_KEYS`, so that
removing them costs no more than there is to remove. The order is part of the stored format.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import apsw

from hawsepipe.fhir.index import (
    DateRow,
    NumberRow,
    QuantityRow,
    ReferenceRow,
    Row,
    StringRow,
    TokenRow,
    UriRow,
)
from hawsepipe.store.sqlite.decimals import sortable
from hawsepipe.store.sqlite.pen import Pen
from hawsepipe.visibility import Facets

COLUMNS: Final = frozenset({"_id", "_lastUpdated"})
"""Parameters that are columns of the resource itself and need no rows."""

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

_INSERTS: Final = tuple(
    f"INSERT INTO {table} (resource, {', '.join(columns)}) VALUES ({', '.join('?' * (len(columns) + 1))})"  # noqa: S608  our own tables
    for table, columns in _KEYS.items()
)
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


def found_by(pen: Pen, key: int, type_: str, rows: Sequence[Row], facets: Facets, patients: Sequence[str]) -> Found:
    """Return the rows of a resource by its key."""
    tokens: dict[_Tuple, None] = {}
    references: dict[_Tuple, None] = {}
    uris: dict[_Tuple, None] = {}
    strings: list[_Tuple] = []
    dates: dict[_Tuple, None] = {}
    numbers: dict[_Tuple, None] = {}
    quantities: list[_Tuple] = []
    symbol = pen.symbols.key
    for row in rows:
        name = row.parameter
        if name in COLUMNS:
            continue
        parameter = symbol(f"{type_}?{name}")
        match row:
            case TokenRow():
                tokens[key, parameter, row.code, symbol(row.system)] = None
            case ReferenceRow():
                if row.url:
                    references[key, parameter, row.url, 0] = None
                else:
                    references[key, parameter, row.id, symbol(row.type)] = None
            case DateRow():
                dates[key, parameter, row.low, row.high] = None
            case StringRow():
                strings.append((key, parameter, len(strings), row.normal, row.exact))
            case UriRow():
                uris[key, parameter, row.uri] = None
            case QuantityRow():
                value = sortable(row.value)
                quantities.append((key, parameter, len(quantities), value, row.system, row.code, row.unit))
            case NumberRow():
                numbers[key, parameter, sortable(row.value)] = None
    marks = [
        (key, number, value) for kind, values in facets.values.items() for number in (symbol(kind),) for value in values
    ]
    person = pen.people.key
    about = {(key, person(patient)): None for patient in patients}
    return tokens, references, uris, strings, dates, numbers, quantities, marks, about


class Rows:
    """Changes of rows of several resources, collected to be written table by table."""

    def __init__(self, connection: apsw.Connection) -> None:
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
        for statements, collected in ((_DELETES, self._deletes), (_INSERTS, self._inserts)):
            for statement, rows in zip(statements, collected, strict=True):
                if rows:
                    self._connection.executemany(statement, rows)
