"""Dates keep their precision, times need an offset."""

from __future__ import annotations

from typing import Any
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
    assert date_time(f"20260301083015{offset}", None) == Moment("2026-03-01", "offset")
    assert offset_zone(f"20260301083015{offset}") is None


def test_a_time_without_an_offset_takes_the_zone_or_is_cut_to_its_date() -> None:
    assert date_time("20260701083000", BERLIN) == Moment("2026-07-01T08:30:00+02:00")
    assert date_time("20260701083000", None) == Moment("2026-07-01", "zone")
    assert date_time("20260701", BERLIN) == Moment("2026-07-01")


def test_local_times_that_daylight_saving_skips_or_repeats_are_flagged() -> None:
    assert date_time("20260329023000", BERLIN).fault == "gap"
    assert date_time("20261025023000", BERLIN) == Moment("2026-10-25T02:30:00+02:00", "overlap")


@pytest.mark.parametrize(
    "text",
    [
        "19800230",
        "00000000",
        "99991231",
        "2026130",
        "yesterday",
        "20260301250000+0000",
        "2026030111.5+0000",
        "00010101000000+1400",
        "00010101",
    ],
)
def test_impossible_dates_give_nothing(text: str) -> None:
    assert date_time(text, None) == Moment(None, "impossible")


def test_an_instant_needs_a_time_and_an_offset() -> None:
    assert instant("20260301", BERLIN) is None
    assert instant("20260301083000", None) is None
    assert str(instant("20260301083000", BERLIN)) == "2026-03-01 07:30:00+00:00"


def test_a_time_of_day_needs_minutes() -> None:
    assert [time_of_day(text) for text in ("0830", "083015.5", "08", "2460")] == ["08:30:00", "08:30:15.5", None, None]


def appointment(header: str, *lines: str) -> tuple[str, ...]:
    return (f"MSH|^~\\&|SCHED|GOOD|HP|HUB|{header}||SIU^S12|M1|P|2.5.1", "SCH|A1^GOOD", *lines)


VISIT = ("PID|1||MRN1^^^GOOD^MR||DOE^JANE", "PV1|1|O" + "|" * 42 + "20260410143000")
ASKED = "SCH|A1^GOOD||||||||30|min|^^^20260410143000^20260410150000"


def test_a_time_of_another_season_than_the_message_is_reported(translate: Any) -> None:
    made = translate((appointment("20260303120000+0100")[0], ASKED, *VISIT))
    for place in ("SCH-11.4", "SCH-11.5", "PV1-44"):
        (text,) = made.texts(place)
        assert "an hour off" in text
        assert "timezone" in text
    assert made.texts("MSH-7") == []


@pytest.mark.parametrize("header", ["20260403120000+0200", "20260303120000+0530", "20260303120000+0900"])
def test_a_time_of_the_season_or_where_no_clock_changes_is_not(translate: Any, header: str) -> None:
    made = translate((appointment(header)[0], ASKED, *VISIT))
    assert [made.texts(place) for place in ("SCH-11.4", "PV1-44", "MSH-7")] == [[], [], []]


def test_a_configured_zone_or_an_offset_of_its_own_settles_it(translate: Any) -> None:
    made = translate((appointment("20260303120000+0100")[0], ASKED, *VISIT), timezone="Europe/Berlin")
    assert made.one("Appointment")["start"] == "2026-04-10T14:30:00+02:00"
    assert made.texts("SCH-11.4") == []
    own = ASKED.replace("20260410143000", "20260410143000+0200")
    assert translate((appointment("20260303120000+0100")[0], own, *VISIT)).texts("SCH-11.4") == []


def test_a_time_that_no_converter_reports_is_reported_with_the_message(translate: Any) -> None:
    lines = (
        "MSH|^~\\&|LAB|GOOD|HP|HUB|20260303120000+0100||ORU^R01|M1|P|2.5.1",
        "PID|1||MRN1^^^GOOD^MR||DOE^JANE",
        "OBR|1|P1|F1|1-1^A^LN",
        "OBX|1|DR|1-1^A^LN||20260410143000^20260410153000||||||F",
    )
    (text,) = translate(lines).texts("MSH-7")
    assert "an hour off" in text


def test_a_date_of_birth_padded_with_zeros_has_no_time(translate: Any) -> None:
    def born(text: str) -> Any:
        lines = (appointment("20260303120000+0100")[0].replace("SIU^S12", "ADT^A08"), f"PID|1||M1||DOE^JANE||{text}")
        return translate(lines).one("Patient")

    assert born("19521003000000")["birthDate"] == "1952-10-03"
    assert "_birthDate" not in born("19521003000000")
    assert "_birthDate" not in born("195210030000+0100")
    assert born("195210030815")["_birthDate"]["extension"][0]["valueDateTime"].startswith("1952-10-03T08:15:00")


ARABIC = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
SUPERSCRIPT = str.maketrans("0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


@pytest.mark.parametrize("digits", [ARABIC, SUPERSCRIPT])
@pytest.mark.parametrize("text", ["1980", "19800101", "20260301083000+0000", "202603010830-0500"])
def test_digits_that_are_not_ascii_are_no_date(text: str, digits: dict[int, str]) -> None:
    assert date_time(text.translate(digits), BERLIN) == Moment(None, "impossible")
    assert offset_zone(text.translate(digits)) is None
    assert time_of_day("0830".translate(digits)) is None


@pytest.mark.parametrize("field", ["MSH-7", "PID-7", "PV1-44"])
@pytest.mark.parametrize(
    "text", ["00010101000000+1400", "99991231235959-1400", "20260301083000+0000".translate(ARABIC)]
)
def test_a_date_that_is_none_costs_nothing_but_itself(translate: Any, field: str, text: str) -> None:
    parts = {"MSH-7": "20260301083000+0000", "PID-7": "19800101", "PV1-44": "20260301083000+0000"} | {field: text}
    made = translate(
        (
            f"MSH|^~\\&|ADT1|GOOD|HP|HUB|{parts['MSH-7']}||ADT^A08^ADT_A01|M1|P|2.5.1||||||UNICODE UTF-8",
            f"PID|1||MRN1^^^GOOD^MR||DOE^JANE||{parts['PID-7']}|F",
            f"PV1|1|I|W1{'|' * 16}V1^^^GOOD^VN{'|' * 25}{parts['PV1-44']}",
        )
    )
    translation = made.translation
    assert {"Patient", "Encounter"} <= {change.type for change in translation.changes}
    assert {issue.location for issue in translation.issues if "not a possible date" in issue.text} == {field}
    assert not any("failed" in issue.text for issue in translation.issues)


def test_a_procedure_without_a_possible_end_has_its_start(translate: Any) -> None:
    made = translate(
        (
            "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A08^ADT_A01|M1|P|2.5.1",
            "PID|1||MRN1^^^GOOD^MR||DOE^JANE||19800101|F",
            "PR1|1||A^B^L||99981231083000+0000||999999",
        )
    )
    translation = made.translation
    (found,) = [change.resource for change in translation.changes if change.type == "Procedure"]
    assert found is not None
    assert found["performedDateTime"] == "9998-12-31T08:30:00+00:00"
