"""What a resource can be found by: rows that `fhir.extraction` makes and a store keeps in side tables.

`parameter` is a SearchParameter code. Dates are half-open intervals [low, high) in microseconds UTC; an open end is
`DATE_MIN` or `DATE_MAX`. Rows are tuples, since a message makes a hundred of them: two of different classes are told
apart by their class, and a parameter has rows of one class only.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

DATE_MIN = -(2**62)
DATE_MAX = 2**62


class TokenRow(NamedTuple):
    """A code with its system (empty: none given)."""

    parameter: str
    system: str
    code: str


class StringRow(NamedTuple):
    """A text as stored and folded."""

    parameter: str
    exact: str
    normal: str


class ReferenceRow(NamedTuple):
    """A local target by type and id (url empty), or a foreign one by url (type and id empty)."""

    parameter: str
    type: str
    id: str
    url: str


class DateRow(NamedTuple):
    """The interval that an element covers."""

    parameter: str
    low: int
    high: int


class NumberRow(NamedTuple):
    """A number."""

    parameter: str
    value: Decimal


class QuantityRow(NamedTuple):
    """A number with its unit: system and code (empty: none), and the human unit."""

    parameter: str
    value: Decimal
    system: str
    code: str
    unit: str


class UriRow(NamedTuple):
    """A URI."""

    parameter: str
    uri: str


Row = TokenRow | StringRow | ReferenceRow | DateRow | NumberRow | QuantityRow | UriRow

COLUMNS = frozenset({"_id", "_lastUpdated"})
"""Parameters that are columns of the resource itself and need no rows."""


class Grouped(NamedTuple):
    """Rows as plain tuples by their class, each once, in order, without `COLUMNS`."""

    tokens: tuple[tuple[str, str, str], ...]
    strings: tuple[tuple[str, str, str], ...]
    references: tuple[tuple[str, str, str, str], ...]
    dates: tuple[tuple[str, int, int], ...]
    numbers: tuple[tuple[str, Decimal], ...]
    quantities: tuple[tuple[str, Decimal, str, str, str], ...]
    uris: tuple[tuple[str, str], ...]


def grouped(rows: Iterable[Row]) -> Grouped:
    """Return rows by their class."""
    found: dict[type[Row], dict[tuple[Any, ...], None]] = {kind: {} for kind in _KINDS}
    for row in rows:
        if row.parameter not in COLUMNS:
            found[type(row)][tuple(row)] = None
    return Grouped(*(tuple(found[kind]) for kind in _KINDS))


_KINDS: tuple[type[Row], ...] = (TokenRow, StringRow, ReferenceRow, DateRow, NumberRow, QuantityRow, UriRow)
