"""Instants as the tables hold them: microseconds since 1970-01-01T00:00:00Z (see `fhir.dates.microseconds`)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(micros: int) -> datetime:
    """Return the aware datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def optional_instant(micros: int | None) -> datetime | None:
    """Return the aware datetime, None for None."""
    return None if micros is None else instant(micros)
