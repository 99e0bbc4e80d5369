"""What a resource can be found by: rows that `fhir.extraction` makes and a store keeps in side tables.

`parameter` is a SearchParameter code. Dates are half-open intervals [low, high) in microseconds UTC; an open end is
`DATE_MIN` or `DATE_MAX`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

DATE_MIN = -(2**62)
DATE_MAX = 2**62


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A code with its system (empty: none given)."""

    parameter: str
    system: str
    code: str


@dataclass(frozen=True, slots=True)
class StringRow:
    """A text as stored and folded."""

    parameter: str
    exact: str
    normal: str


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """A local target by type and id (url empty), or a foreign one by url (type and id empty)."""

    parameter: str
    type: str
    id: str
    url: str


@dataclass(frozen=True, slots=True)
class DateRow:
    """The interval that an element covers."""

    parameter: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class NumberRow:
    """A number."""

    parameter: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class QuantityRow:
    """A number with its unit: system and code (empty: none), and the human unit."""

    parameter: str
    value: Decimal
    system: str
    code: str
    unit: str


@dataclass(frozen=True, slots=True)
class UriRow:
    """A URI."""

    parameter: str
    uri: str


Row = TokenRow | StringRow | ReferenceRow | DateRow | NumberRow | QuantityRow | UriRow
