"""Dates keep their precision, times need an offset."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from hawsepipe_hl7v2.times import Moment, date_time, instant, offset_zone, time_of_day

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1980", "1980"),
        ("198002", "1980-02"),
        ("19800229", "1980-02-29"),
        ("202603010830+0100", "2026-03-01T08:30:00+01:00"),
        ("20260301083015.1234-0500", "2026-03-01T08:30:15.1234-05:00"),
    ],
)
def test_the_precision_sent_is_the_precision_kept(text: str, expected: str) -> None:
    assert date_time(text, None) == Moment(expected)


@pytest.mark.parametrize("offset", ["+0265", "-0570", "+1430", "-2500"])
def test_a_time_whose_offset_no_place_has_is_cut_to_its_date(offset: str) -> None:
    assert date_time(f"20260301083015{offset}", None) == Moment("2026-03-01", "zone")
    assert offset_zone(f"20260301083015{offset}") is None


def test_a_time_without_an_offset_takes_the_zone_or_is_cut_to_its_date() -> None:
    assert date_time("20260701083000", BERLIN) == Moment("2026-07-01T08:30:00+02:00")
    assert date_time("20260701083000", None) == Moment("2026-07-01", "zone")
    assert date_time("20260701", BERLIN) == Moment("2026-07-01")


def test_local_times_that_daylight_saving_skips_or_repeats_are_flagged() -> None:
    assert date_time("20260329023000", BERLIN).fault == "gap"
    assert date_time("20261025023000", BERLIN) == Moment("2026-10-25T02:30:00+02:00", "overlap")


@pytest.mark.parametrize(
    "text", ["19800230", "00000000", "99991231", "2026130", "yesterday", "20260301250000+0000", "2026030111.5+0000"]
)
def test_impossible_dates_give_nothing(text: str) -> None:
    assert date_time(text, None) == Moment(None, "impossible")


def test_an_instant_needs_a_time_and_an_offset() -> None:
    assert instant("20260301", BERLIN) is None
    assert instant("20260301083000", None) is None
    assert str(instant("20260301083000", BERLIN)) == "2026-03-01 07:30:00+00:00"


def test_a_time_of_day_needs_minutes() -> None:
    assert [time_of_day(text) for text in ("0830", "083015.5", "08", "2460")] == ["08:30:00", "08:30:15.5", None, None]
