"""Writes what versions are found by: search rows, facets, patients.

Which side tables hold rows of a resource is kept with it, a bit for each table in the order of `_KEYS`, so that
removing them costs no more than there is to remove. The order is part of the stored format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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
from hawsepipe.store.visibility import Facets

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

_INSERTS: Final = {
    table: f"INSERT INTO {table} (resource, {', '.join(columns)}) VALUES ({', '.join('?' * (len(columns) + 1))})"  # noqa: S608  our own tables
    for table, columns in _KEYS.items()
}
_DELETES: Final = {
    table: f"DELETE FROM {table} WHERE resource = ? AND {' AND '.join(f'{column} = ?' for column in columns)}"  # noqa: S608  our own tables
    for table, columns in _KEYS.items()
}
_SELECTS: Final = {
    table: f"SELECT resource, {', '.join(columns)} FROM {table} WHERE resource = ?"  # noqa: S608  our own tables
    for table, columns in _KEYS.items()
}


_Tuple = tuple[Any, ...]


def parameter_symbol(type_: str, parameter: str) -> str:
    """Return the interned text of a search parameter of a type."""
    return f"{type_}?{parameter}"


class Rows:
    """Changes of rows of several resources, collected to be written table by table."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._inserts: dict[str, list[_Tuple]] = {table: [] for table in _KEYS}
        self._deletes: dict[str, list[_Tuple]] = {table: [] for table in _KEYS}

    def replace(
        self, key: int, indexed: int, type_: str, found: Sequence[Row], facets: Facets, patients: Sequence[str]
    ) -> int:
        """Collect what makes these the rows of a resource, whose tables are `indexed`; return the tables that it is
        in then.
        """
        now = 0
        wanted = self._wanted(key, type_, found, facets, patients)
        for place, (table, rows) in enumerate(wanted.items()):
            if indexed >> place & 1:
                # Most rows outlive an update: to find those that do is far cheaper than to write them again.
                before = set(self._pen.connection.execute(_SELECTS[table], (key,)))
                self._deletes[table] += before - rows.keys()
                self._inserts[table] += [row for row in rows if row not in before]
            else:
                self._inserts[table] += rows
            now |= bool(rows) << place
        return now

    def _wanted(
        self, key: int, type_: str, found: Sequence[Row], facets: Facets, patients: Sequence[str]
    ) -> dict[str, dict[_Tuple, None]]:
        """Return the rows of one resource by table, each once."""
        tables: dict[str, dict[_Tuple, None]] = {table: {} for table in _KEYS}
        symbol = self._pen.symbols.key
        for row in found:
            if row.parameter in COLUMNS:
                continue
            parameter = symbol(f"{type_}?{row.parameter}")
            match row:
                case TokenRow():
                    tables["token"][key, parameter, row.code, symbol(row.system)] = None
                case ReferenceRow():
                    value, target = (row.url, 0) if row.url else (row.id, symbol(row.type))
                    tables["reference"][key, parameter, value, target] = None
                case DateRow():
                    tables["date"][key, parameter, row.low, row.high] = None
                case StringRow():
                    strings = tables["string"]
                    strings[key, parameter, len(strings), row.normal, row.exact] = None
                case UriRow():
                    tables["uri"][key, parameter, row.uri] = None
                case QuantityRow():
                    sizes, value_ = tables["quantity"], sortable(row.value)
                    sizes[key, parameter, len(sizes), value_, row.system, row.code, row.unit] = None
                case NumberRow():
                    tables["number"][key, parameter, sortable(row.value)] = None
        for kind, values in facets.values.items():
            number = symbol(kind)
            tables["facet"].update(dict.fromkeys((key, number, value) for value in values))
        person = self._pen.people.key
        tables["about"].update(dict.fromkeys((key, person(patient)) for patient in patients))
        return tables

    def write(self) -> None:
        """Write everything that was collected."""
        for statements, collected in ((_DELETES, self._deletes), (_INSERTS, self._inserts)):
            for table, rows in collected.items():
                if rows:
                    self._pen.connection.executemany(statements[table], rows)
