"""dates: partial dates as intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.fhir.dates import instant_text, interval, microseconds


def at(*parts: int) -> int:
    return microseconds(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type, misc]  # the parts of a datetime, not its tzinfo


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2026-03-01T08:00", at(2026, 3, 1, 8), at(2026, 3, 1, 8, 1)),
        ("2026-03-01T08:00:01", at(2026, 3, 1, 8, 0, 1), at(2026, 3, 1, 8, 0, 2)),
        ("2026-03-01T08:00:01Z", at(2026, 3, 1, 8, 0, 1), at(2026, 3, 1, 8, 0, 2)),
        ("2026-03-01T00:30:00+02:00", at(2026, 2, 28, 22, 30), at(2026, 2, 28, 22, 30, 1)),
        ("2026-03-01T08:00:01.5-05:30", at(2026, 3, 1, 13, 30, 1, 500_000), at(2026, 3, 1, 13, 30, 1, 600_000)),
        ("2026-03-01T08:00:01.1234567Z", at(2026, 3, 1, 8, 0, 1, 123_456), at(2026, 3, 1, 8, 0, 1, 123_457)),
        ("2016-12-31T23:59:60Z", at(2016, 12, 31, 23, 59, 59), at(2017, 1, 1)),
        ("0001-01-01", at(1, 1, 1), at(1, 1, 2)),
        ("9999-12-31", at(9999, 12, 31), at(9999, 12, 31) + 86_400_000_000),
        ("9999", at(9999, 1, 1), at(9999, 12, 31) + 86_400_000_000),
    ],
)
def test_a_date_covers_its_precision(text: str, low: int, high: int) -> None:
    assert interval(text) == (low, high)


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-13", "2026-00", "2026-02-30", "2026-2-3", "2026-03-01T", "2026-03-01T24:00:00Z",
     "2026-03-01T08:60:00Z",
     "2026-03-01T08:00:61Z", "2026-03-01T08:00:00+15:00", "2026-03-01Z", "0000", "٢٠٢٦", "2026-03-01T08"],
)  # fmt: skip
def test_a_date_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|must be|out of range"):
        interval(text)


@given(st.datetimes(timezones=st.just(UTC)) | st.datetimes(timezones=st.just(timezone(timedelta(hours=-2)))))
def test_an_instants_text_is_its_interval(instant: datetime) -> None:
    assert interval(instant_text(instant)) == (microseconds(instant), microseconds(instant) + 1)
