"""Prefixes of ordered parameters as SQL (https://hl7.org/fhir/R4/search.html#prefix).

Dates compare intervals: [low, high) of the search value with that of the row. Numbers compare a point; their implicit
precision counts for eq and ne alone.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Final, assert_never

from hawsepipe.fhir.query import DateValue, NumberValue, Prefix
from hawsepipe.store.sql.binding import Bindings, joined
from hawsepipe.store.sql.decimals import sortable

_TENTH: Final = 10
"""`ap` reaches a tenth of the value, for a date a tenth of its distance from now, to both sides."""


def dates(value: DateValue, low: str, high: str, bindings: Bindings, now: int) -> list[str]:
    """Return conditions on two columns or expressions, any of which is enough."""
    match value.prefix:
        case Prefix.EQ:
            return [_within(value, low, high, bindings)]
        case Prefix.NE:
            return [f"NOT {_within(value, low, high, bindings)}"]
        case Prefix.GT:
            return [f"{high} > {bindings.bind(value.high)}"]
        case Prefix.LT:
            return [f"{low} < {bindings.bind(value.low)}"]
        case Prefix.GE:
            return [f"{high} > {bindings.bind(value.high)}", _within(value, low, high, bindings)]
        case Prefix.LE:
            return [f"{low} < {bindings.bind(value.low)}", _within(value, low, high, bindings)]
        case Prefix.SA:
            return [f"{low} >= {bindings.bind(value.high)}"]
        case Prefix.EB:
            return [f"{high} <= {bindings.bind(value.low)}"]
        case Prefix.AP:
            first, last = approximate(value, now)
            return [f"({low} < {bindings.bind(last)} AND {high} > {bindings.bind(first)})"]
        case _:
            assert_never(value.prefix)


def instants(value: DateValue, column: str, bindings: Bindings, now: int) -> str:
    """Return the same for a column that is an instant, as bounds of one index."""
    first, last = value.low, value.high
    if value.prefix is Prefix.AP:
        first, last = approximate(value, now)

    def bound(operator: str, micros: int) -> str:
        return f"{column} {operator} {bindings.bind(micros)}"

    match value.prefix:
        case Prefix.EQ | Prefix.AP:
            return f"({bound('>=', first)} AND {bound('<', last)})"
        case Prefix.NE:
            return f"({bound('<', first)} OR {bound('>=', last)})"
        case Prefix.GT | Prefix.SA:
            return bound(">=", last)
        case Prefix.LT | Prefix.EB:
            return bound("<", first)
        case Prefix.GE:
            return bound(">=", first)
        case Prefix.LE:
            return bound("<", last)
        case _:
            assert_never(value.prefix)


def approximate(value: DateValue, now: int) -> tuple[int, int]:
    """Return the interval that `ap` looks for an overlap with."""
    reach = abs(now - value.low) // _TENTH
    return value.low - reach, value.high + reach


def approximate_number(value: NumberValue) -> tuple[Decimal, Decimal]:
    """Return the least and the greatest number that `ap` meets."""
    with localcontext() as context:
        context.prec = max(len(value.value.as_tuple().digits) + 4, 28)
        reach = abs(value.value) / _TENTH
        return value.value - reach, value.value + reach


def numbers(value: NumberValue, column: str, bindings: Bindings) -> str:
    """Return a condition on a column of sortable bytes."""

    def compared(operator: str, bound: Decimal) -> str:
        return f"{column} {operator} {bindings.bind(sortable(bound))}"

    match value.prefix:
        case Prefix.EQ:
            return joined("AND", [compared(">=", value.low), compared("<", value.high)])
        case Prefix.NE:
            return joined("OR", [compared("<", value.low), compared(">=", value.high)])
        case Prefix.GT | Prefix.SA:
            return compared(">", value.value)
        case Prefix.LT | Prefix.EB:
            return compared("<", value.value)
        case Prefix.GE:
            return compared(">=", value.value)
        case Prefix.LE:
            return compared("<=", value.value)
        case Prefix.AP:
            least, greatest = approximate_number(value)
            return joined("AND", [compared(">=", least), compared("<=", greatest)])
        case _:
            assert_never(value.prefix)


def _within(value: DateValue, low: str, high: str, bindings: Bindings) -> str:
    first, last = bindings.bind(value.low), bindings.bind(value.high)
    # A row's low is below its high, so the second condition follows from the third; it bounds the range of the index.
    return f"({low} >= {first} AND {low} < {last} AND {high} <= {last})"
