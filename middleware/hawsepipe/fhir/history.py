"""Which versions of a history are asked for: `_since` and `_at` (https://hl7.org/fhir/R4/http.html#history)."""

from __future__ import annotations

from dataclasses import dataclass

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.dates import interval


@dataclass(frozen=True, slots=True)
class Span:
    """Versions recorded at or after `since`, and current at some time of [`low`, `high`); microseconds, None: any."""

    since: int | None = None
    low: int | None = None
    high: int | None = None

    def holds(self, recorded: int, superseded: int | None) -> bool:
        """Say whether a version is of the span by when it was recorded and when another took its place, if one did."""
        if self.since is not None and recorded < self.since:
            return False
        if self.high is not None and recorded >= self.high:
            return False
        return self.low is None or superseded is None or superseded > self.low


EVER = Span()
"""Every version."""


def span(since: str | None, at: str | None) -> Span:
    """Return what the values of `_since` (an instant) and `_at` (a date at any precision) ask for.

    Raises InvalidRequest for what is no date.
    """
    try:
        start = None if since is None else interval(since)[0]
    except ValueError:
        raise InvalidRequest("_since is an instant", location="_since") from None
    try:
        low, high = (None, None) if at is None else interval(at)
    except ValueError:
        raise InvalidRequest("_at is a date, or a date and time", location="_at") from None
    return Span(start, low, high)
