"""What templates read, what they refuse, and what becomes of amounts: without a broker."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import pytest

from hawsepipe import ConfigError, MessageError, RawMessage, Translation
from hawsepipe_iomt import devices, table, units
from hawsepipe_iomt.messages import WINDOW, Gathered, Sample, reading_type, window_body
from hawsepipe_iomt.payloads import microseconds
from hawsepipe_iomt.translator import DeviceTranslator

RECEIVED = datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)
DEVICES = """
[[devices]]
id = "d1"
patient = { system = "urn:example:patients", value = "P1" }
[[devices]]
id = "d2"
assignments = [
  { system = "urn:example:patients", value = "P1", until = 2026-03-01T10:00:30Z },
  { system = "urn:example:patients", value = "P2", from = 2026-03-01T10:00:30Z },
]
"""
PRESSURE = """
[[templates]]
name = "pressure"
topic = "home/{device}/pressure"
format = "cbor"
code = "MDC_PRESS_BLD_NONINV"
time = "$.at"
time_format = "unix-ms"
components = [
  { code = "MDC_PRESS_BLD_NONINV_SYS", value = "$.sys", unit = "kPa" },
  { code = "MDC_PRESS_BLD_NONINV_DIA", value = "$.dia", unit = "kPa" },
]
"""


def template(**more: str) -> str:
    rows = {"name": '"t"', "topic": '"w/{device}"', "code": '"MDC_TEMP_BODY"', "value": '"$.v"'} | more
    return "[[templates]]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())


@pytest.fixture(name="make")
def _make(tmp_path: Path) -> Any:
    def make(text: str) -> DeviceTranslator:
        (tmp_path / "templates.toml").write_text(text, encoding="utf-8")
        (tmp_path / "devices.toml").write_text(DEVICES, encoding="utf-8")
        book = table.read(tmp_path / "templates.toml", "templates")
        return DeviceTranslator(book, devices.read(tmp_path / "devices.toml", "devices"))

    return make


def told(translator: DeviceTranslator, topic: str, payload: bytes) -> Translation:
    return translator.translate(RawMessage("ward", RECEIVED, reading_type(topic), payload))


def observed(translation: Translation) -> list[dict[str, Any]]:
    return [it.resource for it in translation.changes if it.type == "Observation" and it.resource is not None]


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "made"),
    [
        ("98.6", "degF", "Cel", "37.00"),
        ("100", "[degF]", "Cel", "37.78"),
        ("37.0", "Cel", "[degF]", "98.60"),
        ("0", "Cel", "K", "273"),
        ("16.0", "kPa", "mm[Hg]", "120.0"),
        ("150", "lb", "kg", "68.04"),
        ("72", "bpm", "/min", "72"),
        ("1.2", "/s", "/min", "72.0"),
        ("0.97", "1", "%", "97.0"),
    ],
)
def test_amounts_are_converted_exactly_and_rounded_once(value: str, unit: str, wanted: str, made: str) -> None:
    found = units.converted(Decimal(value), unit, wanted, None, "unit")
    assert str(found) == made


def test_mass_and_substance_meet_by_the_molar_mass_alone() -> None:
    glucose = Decimal("180.156")
    assert units.converted(Decimal("5.4"), "mmol/L", "mg/dL", glucose, "unit") == Decimal("97.3")
    assert units.converted(Decimal("97"), "mg/dL", "mmol/L", glucose, "unit") == Decimal("5.38")
    with pytest.raises(MessageError, match="substance"):
        units.converted(Decimal("5.4"), "mmol/L", "mg/dL", None, "unit")


def test_the_amount_as_it_was_sent_stays_beside_the_converted_one(make: Any) -> None:
    translator = make(template(unit='"$.u"'))
    (one,) = observed(told(translator, "w/d1", b'{"v": 98.6, "u": "degF"}'))
    quantity = one["valueQuantity"]
    assert (quantity["value"], quantity["code"]) == (Decimal("37.00"), "Cel")
    original = quantity["extension"][0]["valueQuantity"]
    assert (original["value"], original["code"]) == (Decimal("98.6"), "[degF]")
    with pytest.raises(MessageError) as caught:
        told(translator, "w/d1", b'{"v": 98.6, "u": "mmHg"}')
    assert (caught.value.cause, caught.value.location) == ("code", "unit")


def test_several_values_of_one_payload_are_components(make: Any) -> None:
    payload = cbor2.dumps({"sys": 16.0, "dia": 10.7, "at": 1772359200000})
    translation = told(make(PRESSURE), "home/d1/pressure", payload)
    (one,) = observed(translation)
    assert [part["valueQuantity"]["value"] for part in one["component"]] == [Decimal("120.0"), Decimal("80.26")]
    assert one["code"]["coding"][0]["code"] == "85354-9"
    assert one["effectiveDateTime"] == "2026-03-01T10:00:00Z"
    assert translation.event_time == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (b'{"v": NaN}', "structure"),
        (b'{"v": Infinity}', "structure"),
        (b'{"v": null}', "structure"),
        (b'{"v": "37"}', "structure"),
        (b'{"v": true}', "structure"),
        (b'{"v": [37]}', "structure"),
        (b'{"v": 370}', "structure"),
        (b'{"v": 1e999999}', "structure"),
        (b'{"v": 37, "v": 38}', "parse"),
        (b'{"v": 37', "parse"),
        (b"[" * 100_000, "parse"),
        (b"\xff\xfe", "parse"),
        (b'{"w": 37}', "required"),
        (b"", "parse"),
    ],
)
def test_what_is_no_amount_refuses_the_reading(payload: bytes, cause: str, make: Any) -> None:
    with pytest.raises(MessageError) as caught:
        told(make(template(range="[25, 45]")), "w/d1", payload)
    assert caught.value.cause == cause


def test_numbers_in_strings_are_taken_where_the_template_says_so(make: Any) -> None:
    (one,) = observed(told(make(template(text_numbers="true")), "w/d1", b'{"v": "37.20"}'))
    assert str(one["valueQuantity"]["value"]) == "37.20"


def test_each_template_that_fits_makes_its_own_and_none_is_an_error(make: Any) -> None:
    both = template() + template(name='"u"', topic='"+/{device}"', code='"MDC_RESP_RATE"', match='{ "$.k" = "r" }')
    translator = make(both)
    assert len(observed(told(translator, "w/d1", b'{"v": 20, "k": "r"}'))) == 2
    assert len(observed(told(translator, "w/d1", b'{"v": 20, "k": "s"}'))) == 1
    for topic in ("w/d1/more", "x/d1", "$SYS/d1"):
        with pytest.raises(MessageError, match="no template"):
            told(translator, topic, b'{"v": 20}')


def test_a_reading_is_about_who_wore_the_device_then(make: Any) -> None:
    translator = make(template(time='"$.t"'))

    def whom(time: str) -> str:
        body = b'{"v": 37, "t": "%s"}' % time.encode()
        subject: str = observed(told(translator, "w/d2", body))[0]["subject"]["reference"]
        return subject

    assert whom("2026-03-01T10:00:29.999Z") != whom("2026-03-01T10:00:30Z")
    with pytest.raises(MessageError) as caught:
        told(translator, "w/d9", b'{"v": 37, "t": "2026-03-01T10:00:00Z"}')
    assert caught.value.cause == "identity"


SAMPLED = template(
    time='"$.t"',
    time_format='"unix"',
    range="[25, 45]",
    unit='"$.u"',
    window="{ seconds = 10, period_ms = 1000 }",
)
START = microseconds(datetime(2026, 3, 1, 10, tzinfo=UTC))


def windowed(translator: DeviceTranslator, *samples: tuple[float, str], device: str = "d1") -> Translation:
    gathered = Gathered(
        "t",
        device,
        START,
        [
            Sample(
                START + int(at * 1_000_000),
                f"w/{device}",
                f'{{"v": {value}, "t": {START // 1_000_000 + at}, "u": "Cel"}}'.encode(),
            )
            for at, value in samples
        ],
    )
    return translator.translate(RawMessage("ward", RECEIVED, WINDOW, window_body(gathered)))


def test_a_window_says_what_is_missing_and_what_no_body_can_have(make: Any) -> None:
    translator = make(SAMPLED)
    samples = [(0, "36.5"), (1, "NaN"), (2, "null"), (4, "Infinity"), (5, "-Infinity"), (6, "99"), (7, "3"), (8, "37")]
    (one,) = observed(windowed(translator, *samples))
    data = one["valueSampledData"]
    assert data["data"] == "36.5 E E E U L U L 37 E"
    assert (data["period"], data["origin"]["value"], data["dimensions"]) == (1000, 0, 1)
    assert (data["lowerLimit"], data["upperLimit"]) == (25, 45)
    assert one["effectivePeriod"] == {"start": "2026-03-01T10:00:00Z", "end": "2026-03-01T10:00:10Z"}


def test_a_sample_is_at_the_nearest_position_and_its_window_is_that_of_the_position(make: Any) -> None:
    translation = windowed(make(SAMPLED), (0.4, "36"), (1.6, "37"), (8.5, "38"), (9.4, "39"), (9.5, "40"))
    (one,) = observed(translation)
    assert one["valueSampledData"]["data"] == "36 E 37 E E E E E E 39"
    assert [issue.severity.value for issue in translation.issues] == ["warning"]  # two at position 9


def test_a_window_is_the_same_whatever_order_its_readings_came_in(make: Any) -> None:
    translator = make(SAMPLED)
    samples = [(float(number), str(36 + number / 10)) for number in range(10)]
    assert windowed(translator, *samples) == windowed(translator, *reversed(samples))


def test_a_window_with_a_change_of_wearer_is_two_observations(make: Any) -> None:
    text = SAMPLED.replace("seconds = 10", "seconds = 60").replace("[25, 45]", "[0, 100]")
    found = observed(windowed(make(text), (29, "29"), (30, "30"), device="d2"))
    assert len({one["subject"]["reference"] for one in found}) == 2
    datas = [one["valueSampledData"]["data"].split(" ") for one in found]
    assert [(data[29], data[30]) for data in datas] == [("29", "E"), ("E", "30")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (template(topic='"w/#/x/{device}"'), "topic"),
        (template(topic='"w/x"'), "device"),
        (template(code='"MDC_NO_SUCH_THING"'), "code"),
        (template(unit='"mmHg"'), "unit"),
        (template(window="{ seconds = 10, period_ms = 1000 }"), "time"),
        (template(time='"$.t"', window="{ seconds = 10, period_ms = 3000 }"), "period_ms"),
        (template() + template(), "name"),
        (template(colour='"red"'), "templates.0"),
        ("templates = 1", "templates"),
        ("[[templates", "templates"),
    ],
)
def test_a_template_that_cannot_work_is_told_before_anything_runs(text: str, key: str, make: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make(text)
    assert key in caught.value.key


def test_nothing_that_devices_send_becomes_a_number_that_json_does_not_have(make: Any) -> None:
    translator = make(template(format='"cbor"'))
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(MessageError):
            told(translator, "w/d1", cbor2.dumps({"v": value}))
