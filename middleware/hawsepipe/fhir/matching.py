"""Whether what a resource has meets what is asked for: values against rows (https://hl7.org/fhir/R4/search.html).

Stores compile the same to their own queries; this is for what only a look at the content can tell.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final, assert_never

from hawsepipe.fhir.index import DateRow, NumberRow, QuantityRow, ReferenceRow, Row, StringRow, TokenRow, UriRow
from hawsepipe.fhir.query import (
    DateValue,
    NumberValue,
    PlaceValue,
    Prefix,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)

_TENTH: Final = 10
_EARTH: Final = 6_371_008.8
"""Its mean radius in metres."""


def meets(value: Value, row: Row, now: int) -> bool:
    """Say whether a row meets a value of a clause without a modifier; `now` in microseconds, for `ap`."""
    match value, row:
        case TokenValue(), TokenRow():
            return value.system in (None, row.system) and value.code in (None, row.code)
        case StringValue(), StringRow():
            return row.normal.startswith(value.normal)
        case ReferenceValue(), ReferenceRow():
            if value.url is not None:
                return value.url == row.url
            return not row.url and value.id == row.id and value.type in (None, row.type)
        case DateValue(), DateRow():
            return date_meets(value, row.low, row.high, now)
        case NumberValue(), NumberRow():
            return number_meets(value, row.value)
        case QuantityValue(), QuantityRow():
            if not number_meets(value.number, row.value):
                return False
            if value.system is None:
                return value.code in (None, row.code, row.unit)
            return value.system == row.system and value.code in (None, row.code)
        case UriValue(), UriRow():
            return value.uri == row.uri
        case _:
            return False


def date_meets(value: DateValue, low: int, high: int, now: int) -> bool:
    """Compare [low, high) with the interval asked for (https://hl7.org/fhir/R4/search.html#prefix)."""
    within = value.low <= low and high <= value.high
    match value.prefix:
        case Prefix.EQ:
            return within
        case Prefix.NE:
            return not within
        case Prefix.GT:
            return high > value.high
        case Prefix.LT:
            return low < value.low
        case Prefix.GE:
            return within or high > value.high
        case Prefix.LE:
            return within or low < value.low
        case Prefix.SA:
            return low >= value.high
        case Prefix.EB:
            return high <= value.low
        case Prefix.AP:
            reach = abs(now - value.low) // _TENTH
            return low < value.high + reach and high > value.low - reach
        case _:
            assert_never(value.prefix)


def number_meets(value: NumberValue, found: Decimal) -> bool:
    """Compare a number with the one asked for: its implicit precision counts for eq and ne alone."""
    match value.prefix:
        case Prefix.EQ:
            return value.low <= found < value.high
        case Prefix.NE:
            return not value.low <= found < value.high
        case Prefix.GT | Prefix.SA:
            return found > value.value
        case Prefix.LT | Prefix.EB:
            return found < value.value
        case Prefix.GE:
            return found >= value.value
        case Prefix.LE:
            return found <= value.value
        case Prefix.AP:
            return abs(found - value.value) * _TENTH <= abs(value.value)
        case _:
            assert_never(value.prefix)


def is_near(value: PlaceValue, position: Any) -> bool:
    """Say whether a Location's position is within the circle, along the surface of the Earth."""
    try:
        latitude, longitude = float(position["latitude"]), float(position["longitude"])
    except (KeyError, TypeError, ValueError):
        return False
    here, there = math.radians(value.latitude), math.radians(latitude)
    east = math.radians(longitude - value.longitude)
    half = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(east / 2) ** 2
    return 2 * _EARTH * math.asin(min(1.0, math.sqrt(half))) <= value.radius
