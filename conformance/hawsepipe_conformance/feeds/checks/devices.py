"""Readings of devices over MQTT (IO), with a real broker."""

from __future__ import annotations

import json
from typing import Any

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.stage import Stage
from hawsepipe_conformance.feeds.ward import PATIENTS, ward

CHECKS = Checks()
_BEGIN = "2026-03-01T10:{minute:02}:{second:02}Z"
_SPO2 = {
    "name": "spo2",
    "topic": "ward/{device}/spo2",
    "code": "MDC_PULS_OXIM_SAT_O2",
    "value": "$.v",
    "time": "$.t",
    "sequence": "$.n",
    "range": [0, 100],
}


def _at(second: int) -> str:
    return _BEGIN.format(minute=second // 60, second=second % 60)


def _reading(second: int, value: Any, number: int | None = None, **more: Any) -> bytes:
    told = {"v": value, "t": _at(second), "n": second if number is None else number, **more}
    return json.dumps(told).encode()


def _worn(*ids: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": id_, "patient": {"system": PATIENTS, "value": f"P-{id_}"}, **more} for id_ in ids]


@CHECKS.case("IO-16", "MDC coding kept, LOINC added if mapped")
async def _codes(stage: Stage) -> None:
    pleth = {**_SPO2, "name": "pleth", "topic": "ward/{device}/pleth", "code": "MDC_PULS_OXIM_PLETH"}
    async with ward(stage, [_SPO2, pleth], _worn("d1")) as place:
        await place.publish(("ward/d1/spo2", _reading(0, 97)), ("ward/d1/pleth", _reading(1, 0.5, 1)))
        found = await place.observations("P-d1", 2)
        codings = [[(it["system"], it["code"]) for it in one["code"]["coding"]] for one in found]
        mdc, loinc = "urn:iso:std:iso:11073:10101", "http://loinc.org"
        own = place.stage
        own.claim("two Observations", len(codings) == 2)
        own.claim("MDC is kept", [(mdc, "150456") in it for it in codings] + [(mdc, "150452") in codings[-1]])
        own.claim("LOINC is there where it is mapped", (loinc, "59408-5") in codings[0])
        own.claim("and not where it is not", not [it for it in codings[1] if it[0] == loinc])
