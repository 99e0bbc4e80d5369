"""When something happened to the patient, by the clinical elements of a resource.

The first group that has a date counts; of several dates the earliest beginning and the latest end, so that a permit
needs all of it inside and a deny meets any of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from hawsepipe.consent.criteria import span
from hawsepipe.fhir import dates
from hawsepipe.model import Resource

_GROUPS: Final = (
    (
        "effectiveDateTime",
        "effectiveInstant",
        "effectivePeriod",
        "effectiveTiming",
        "performedDateTime",
        "performedPeriod",
        "occurrenceDateTime",
        "occurrencePeriod",
        "occurrenceTiming",
        "occurredDateTime",
        "occurredPeriod",
        "onsetDateTime",
        "onsetPeriod",
        "abatementDateTime",
        "abatementPeriod",
        "period",
        "started",
        "start",
        "end",
        "whenHandedOver",
        "whenPrepared",
        "collectedDateTime",
        "collectedPeriod",
        "billablePeriod",
        "servicedDate",
        "servicedPeriod",
        "executionPeriod",
        "startDate",
        "lastOccurrence",
    ),
    ("authoredOn", "recordedDate", "assertedDate", "dateAsserted", "dateTime", "date", "recorded", "created", "sent"),
    ("issued",),
)

DATED: Final = frozenset(name for group in _GROUPS for name in group)
"""The elements that `clinical_time` looks at."""


def clinical_time(resource: Resource) -> tuple[int | None, int | None]:
    """Return [start, end) in microseconds UTC; (None, None) without a date, or with one that cannot be read."""
    for group in _GROUPS:
        found = [interval for name in group if name in resource for interval in _intervals(resource[name])]
        if None in found:
            return None, None
        readable = [interval for interval in found if interval is not None]
        if readable:
            start = min(low for low, _ in readable)
            end = max(high for _, high in readable)
            return start, end
    return None, None


def _intervals(value: Any) -> Iterator[tuple[int, int] | None]:
    if isinstance(value, str):
        yield _date(value)
    elif isinstance(value, dict) and ("start" in value or "end" in value):
        found = span(value)
        yield (found.low, found.high) if found.readable else None
    elif isinstance(value, dict) and "event" in value:
        for event in value["event"] if isinstance(value["event"], list) else ():
            yield _date(event)
    elif isinstance(value, dict) and isinstance(value.get("repeat"), dict):
        yield from _intervals(value["repeat"].get("boundsPeriod"))


def _date(value: Any) -> tuple[int, int] | None:
    try:
        return dates.interval(value) if isinstance(value, str) else None
    except ValueError:
        return None
