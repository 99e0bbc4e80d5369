"""Samples on a grid: what R4's SampledData says of a window. Pure.

The grid is absolute: each position is a whole multiple of the period since 1970, and a sample belongs to the nearest
one. So which window a sample is in depends on its time alone. What is missing, or no number, is `E`; what lies below or
above what a body can have is `L` or `U` (https://hl7.org/fhir/R4/datatypes.html#SampledData).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from hawsepipe import MessageError
from hawsepipe_iomt import units
from hawsepipe_iomt.payloads import number
from hawsepipe_iomt.resources import quantity
from hawsepipe_iomt.templates import Measure, Window, amount, within

ERROR, BELOW, ABOVE = "E", "L", "U"


class Point(NamedTuple):
    """A sample: when (microseconds since 1970), what SampledData writes for it, and the unit that it came in."""

    at: int
    text: str
    unit: str


def position(at: int, window: Window) -> int:
    """Return the place of an instant on the grid: the nearest, of two as near the later."""
    return (2 * at + window.period) // (2 * window.period)


def start_of(at: int, window: Window) -> int:
    """Return when the window begins that an instant belongs to."""
    return position(at, window) // window.count * window.length


def points(measure: Measure, document: Any, at: int, period: int) -> list[Point]:
    """Return the samples of a payload that was made at an instant: one, or a list of them one period apart.

    Raises MessageError for what is no sample, and for a unit that cannot be converted.
    """
    value, unit, several = amount(measure, document)
    if several is None:
        return [Point(at, _written(measure, value, unit), unit)]
    if not several:
        raise MessageError("required", measure.place, "there are no samples")
    values = [number(one, measure.place, texts=measure.text_numbers) for one in several]
    return [Point(at + index * period, _written(measure, one, unit), unit) for index, one in enumerate(values)]


def _written(measure: Measure, value: Decimal | None, unit: str) -> str:
    if value is None or value.is_nan():
        # The unit must fit even so: it is the device that is asked about, not this sample.
        units.converted(Decimal(1), unit, measure.result_unit, measure.molar_mass, "unit")
        return ERROR
    if value.is_infinite():
        return ABOVE if value > 0 else BELOW
    amount_ = units.converted(value, unit, measure.result_unit, measure.molar_mass, "unit")
    return within(measure, amount_) or _plain(amount_)


def _plain(value: Decimal) -> str:
    return format(value, "f")


def sampled(measure: Measure, window: Window, start: int, samples: Iterable[Point]) -> tuple[dict[str, Any], int]:
    """Return the SampledData of a window, and how many samples had no place of their own.

    Of several at one position the last by time counts.
    """
    first = start // window.period
    held: dict[int, str] = {}
    crowded = 0
    for point in sorted(samples):
        place = position(point.at, window) - first
        if not 0 <= place < window.count:
            continue
        crowded += place in held
        held[place] = point.text
    period = Decimal(window.period) / 1000
    result: dict[str, Any] = {
        "origin": quantity(Decimal(0), measure.result_unit),
        "period": int(period) if period == int(period) else period,
    }
    if measure.low is not None and measure.high is not None:
        result["lowerLimit"], result["upperLimit"] = measure.low, measure.high
    result["dimensions"] = 1
    result["data"] = " ".join(held.get(place, ERROR) for place in range(window.count))
    return result, crowded


def told_units(samples: Iterable[Point]) -> Mapping[str, int]:
    """Return in which units samples came, and how many in each."""
    counts: dict[str, int] = {}
    for point in samples:
        counts[point.unit] = counts.get(point.unit, 0) + 1
    return counts
