"""Writes what versions are found by: search rows, facets, patients."""

from __future__ import annotations

from collections.abc import Sequence
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
from hawsepipe.store.visibility import Facets

COLUMNS: Final = frozenset({"_id", "_lastUpdated"})
"""Parameters that are columns of the resource itself and need no rows."""

_TABLES: Final = ("token", "reference", "uri", "string", "date", "number", "quantity", "facet", "about")
_WIDTHS: Final = {
    "token": 4,
    "reference": 4,
    "uri": 3,
    "string": 5,
    "date": 4,
    "number": 3,
    "quantity": 7,
    "facet": 3,
    "about": 2,
}
_INSERTS: Final = {
    table: f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * width)})"  # noqa: S608  our own tables
    for table, width in _WIDTHS.items()
}
_DELETES: Final = tuple(f"DELETE FROM {table} WHERE resource = ?" for table in _TABLES)  # noqa: S608  our own tables


def parameter_symbol(type_: str, parameter: str) -> str:
    """Return the interned text of a search parameter of a type."""
    return f"{type_}?{parameter}"


def remove(connection: apsw.Connection, key: int) -> None:
    """Remove every row of a resource."""
    for sql in _DELETES:
        connection.execute(sql, (key,))


class Rows:
    """Rows of several resources, collected to be written table by table."""

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._tables: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _TABLES}

    def add(self, key: int, type_: str, rows: Sequence[Row], facets: Facets, patients: Sequence[str]) -> None:
        """Collect the rows of one resource."""
        tables, symbol = self._tables, self._pen.symbols.key
        for place, row in enumerate(rows):
            if row.parameter in COLUMNS:
                continue
            parameter = symbol(f"{type_}?{row.parameter}")
            match row:
                case TokenRow():
                    tables["token"].append((key, parameter, row.code, symbol(row.system)))
                case ReferenceRow():
                    if row.url:
                        tables["reference"].append((key, parameter, row.url, 0))
                    else:
                        tables["reference"].append((key, parameter, row.id, symbol(row.type)))
                case DateRow():
                    tables["date"].append((key, parameter, row.low, row.high))
                case StringRow():
                    tables["string"].append((key, parameter, place, row.normal, row.exact))
                case UriRow():
                    tables["uri"].append((key, parameter, row.uri))
                case QuantityRow():
                    value = sortable(row.value)
                    tables["quantity"].append((key, parameter, place, value, row.system, row.code, row.unit))
                case NumberRow():
                    tables["number"].append((key, parameter, sortable(row.value)))
        for kind, values in facets.values.items():
            number = symbol(kind)
            tables["facet"] += [(key, number, value) for value in values]
        person = self._pen.people.key
        tables["about"] += [(key, person(patient)) for patient in patients]

    def write(self) -> None:
        """Write everything that was collected."""
        for table, rows in self._tables.items():
            if rows:
                self._pen.connection.executemany(_INSERTS[table], rows)
