"""Dates, dateTimes and instants of R4 as intervals of microseconds since 1970-01-01T00:00:00Z.

https://hl7.org/fhir/R4/datatypes.html#dateTime. A value covers the whole of its precision: `2026-03` is the month.
Without a zone it is read as UTC.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta

_FORM = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_DAY = 86_400_000_000
_MINUTE = 60_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """Return an aware datetime as microseconds since 1970-01-01T00:00:00Z."""
    return (instant - _EPOCH) // _MICROSECOND


def instant_text(instant: datetime) -> str:
    """Return an aware datetime as an R4 instant in UTC with six decimals (`2026-03-01T08:00:00.000000Z`)."""
    # `strftime` takes eight times as long, and every version has an instant.
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


@functools.lru_cache(maxsize=1024)
def interval(text: str) -> tuple[int, int]:
    """Return [low, high) of a date, dateTime or instant, minutes being the finest that may be left out.

    Second 60 is the last one of its minute; decimals beyond the sixth only widen nothing. Raises ValueError for a form
    or a calendar date that does not exist.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if month is None:
        return _days(int(year), 1, 1), _days_after_month(int(year), 12)
    if day is None:
        return _days(int(year), int(month), 1), _days_after_month(int(year), int(month))
    low = _days(int(year), int(month), int(day))
    if hour is None:
        return low, low + _DAY
    if int(hour) > 23 or int(minute) > 59:
        raise ValueError("not a time")
    low += (int(hour) * 60 + int(minute)) * _MINUTE - _offset(zone)
    if second is None:
        return low, low + _MINUTE
    if int(second) > 60:
        raise ValueError("not a time")
    low += min(int(second), 59) * 1_000_000
    if fraction is None:
        return low, low + 1_000_000
    return low + int(fraction[:6].ljust(6, "0")), low + int(fraction[:6].ljust(6, "0")) + 10 ** (
        6 - min(len(fraction), 6)
    )


def _days(year: int, month: int, day: int) -> int:
    return (datetime(year, month, day, tzinfo=UTC) - _EPOCH).days * _DAY


def _days_after_month(year: int, month: int) -> int:
    if year == 9999 and month == 12:
        return _days(9999, 12, 31) + _DAY
    return _days(year + month // 12, month % 12 + 1, 1)


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError("not a zone")
    return (hours * 60 + minutes) * _MINUTE * (-1 if zone[0] == "-" else 1)
