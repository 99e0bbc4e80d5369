"""v2 dates and times (DT, DTM, TS, TM) to FHIR, with exactly the precision that was sent.

A FHIR time needs an offset. The order is: the value's own, the configured zone of the sender (which knows of daylight
saving), that of MSH-7 (the standard's default for the whole message, but right only for times of the same season: one
of another season is reported). Without any of them the time is cut to its date.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_STAMP = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(\.[0-9]{1,9})?)?)?)?)?)?(?P<offset>[+-][0-9]{4})?"
)
_TIME = re.compile(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(\.[0-9]{1,9})?)?)?")
_BOUNDS = ("0001", "9999")
"""Years that mean "not told" and "no end": nothing happens then, and in another zone they may be no years at all."""


class Moment(NamedTuple):
    """A FHIR date or dateTime, or None; `fault` says in a word what was lost: impossible, zone, offset,
    precision, gap, overlap, season."""

    value: str | None
    fault: str = ""


def offset_zone(text: str) -> timezone | None:
    """Return the offset at the end of a v2 time as a time zone."""
    match = _STAMP.fullmatch(text)
    return _zone(match["offset"]) if match and match["offset"] else None


def seasons(header: str) -> tuple[tzinfo, ...]:
    """Return zones with daylight saving that the sender of a message may be in, by the offset of its MSH-7."""
    match = _STAMP.fullmatch(header)
    if match is None or not match["offset"]:
        return ()
    zone = _zone(match["offset"])
    at = date_time(header, zone).value
    if zone is None or at is None or "T" not in at:
        return ()
    return _seasons(at[:13], zone.utcoffset(None))


@lru_cache(maxsize=1024)
def _seasons(hour: str, offset: timedelta) -> tuple[tzinfo, ...]:
    moment = datetime.fromisoformat(hour)
    return tuple(zone for zone in _with_seasons() if zone.utcoffset(moment) == offset)


@cache
def _with_seasons() -> tuple[tzinfo, ...]:
    """Return a zone for each way in which places change their offset."""
    found = []
    for name in _PLACES:
        try:
            found.append(ZoneInfo(name))
        except ZoneInfoNotFoundError:
            continue  # not known on this machine
    return tuple(found)


_PLACES = (
    *("Atlantic/Azores", "Europe/London", "Europe/Berlin", "Europe/Athens", "Asia/Jerusalem", "Africa/Cairo"),
    *("America/St_Johns", "America/Halifax", "America/New_York", "America/Chicago", "America/Denver"),
    *("America/Los_Angeles", "America/Anchorage", "America/Adak", "America/Havana", "America/Santiago"),
    *("Australia/Adelaide", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Chatham"),
)


def date_time(text: str, zone: tzinfo | None, near: Sequence[tzinfo] = ()) -> Moment:
    """Convert a TS or DTM. `zone` counts when the value has no offset. Impossible values give None.

    `near` are zones that have the offset of `zone` when the message was sent: where one of them has another at the
    time told, the fault is `season`.
    """
    return _usual(text) or _any(text, zone, near)


def _usual(text: str) -> Moment | None:
    """Convert a date, or a time to the second with its offset, as nearly all are written; None for anything else."""
    size = len(text)
    if size not in (8, 19) or not text.isascii() or not text[:14].isdigit() or text[:4] in _BOUNDS:
        return None
    date = f"{text[:4]}-{text[4:6]}-{text[6:8]}"
    try:
        if size == 8:
            datetime.fromisoformat(date)
            return Moment(date)
        offset = text[14:]
        if offset[0] not in "+-" or not offset[1:].isdigit() or not _possible(offset):
            return None
        value = f"{date}T{text[8:10]}:{text[10:12]}:{text[12:14]}"
        datetime.fromisoformat(value)
    except ValueError:
        return None
    return Moment(f"{value}{offset[:3]}:{offset[3:]}")


def _any(text: str, zone: tzinfo | None, near: Sequence[tzinfo] = ()) -> Moment:
    match = _STAMP.fullmatch(text)
    if match is None:
        return Moment(None, "impossible")
    year, month, day, hour, minute, second, fraction = match.groups()[:7]
    try:
        moment = datetime(  # noqa: DTZ001  the zone is decided below
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return Moment(None, "impossible")
    if year in _BOUNDS:
        return Moment(None, "impossible")
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None:
        return Moment(date)
    if minute is None:
        return Moment(date, "precision")
    offset = match["offset"]
    fault = ""
    if offset and not _possible(offset):
        return Moment(date, "offset")
    if offset:
        suffix = f"{offset[:3]}:{offset[3:]}"
    elif zone is None:
        return Moment(date, "zone")
    else:
        local = moment.replace(tzinfo=zone)
        shift = local.utcoffset() or timedelta(0)
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
            fault = "gap"
        elif local.replace(fold=1).utcoffset() != shift:
            fault = "overlap"
        elif any(other.utcoffset(moment) != shift for other in near):
            fault = "season"
        minutes = int(shift.total_seconds() // 60)
        suffix = f"{'+' if minutes >= 0 else '-'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    return Moment(f"{date}T{hour}:{minute}:{second or '00'}{fraction or ''}{suffix}", fault)


def instant(text: str, zone: tzinfo | None) -> datetime | None:
    """Return a v2 time as an aware instant in UTC; None when it is no point in time (a mere date, no offset known)."""
    return point(date_time(text, zone))


def point(moment: Moment) -> datetime | None:
    """Return the instant in UTC that a converted time is; None when it is no point in time."""
    if moment.value is None or "T" not in moment.value:
        return None
    return datetime.fromisoformat(moment.value).astimezone(UTC)


def time_of_day(text: str) -> str | None:
    """Convert a TM without offset to a FHIR time."""
    match = _TIME.fullmatch(text)
    if match is None or int(match[1]) > 23 or int(match[2] or 0) > 59 or int(match[3] or 0) > 59 or not match[2]:
        return None
    return f"{match[1]}:{match[2]}:{match[3] or '00'}{match[4] or ''}"


def _possible(offset: str) -> bool:
    """No place is further from UTC than 14 hours, and no hour has more than 60 minutes; FHIR takes no other offset."""
    return int(offset[3:5]) < 60 and int(offset[1:5]) <= 1400


def _zone(offset: str) -> timezone | None:
    if not _possible(offset):
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
