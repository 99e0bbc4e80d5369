"""Forecasts: RXA-5 998 (no vaccine given) with OBX that say what is due when, as ImmunizationRecommendation."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import PRIMITIVES, absent
from hawsepipe_hl7v2.vaccinations import observations, vaccine_given

_CONCEPT = concept()
_LOINC = "http://loinc.org"
_DATES = {
    "30980-7": "Date vaccine due",
    "30981-5": "Earliest date to give",
    "59777-3": "Latest date to give immunization",
    "59778-1": "Date when overdue for immunization",
}
_VACCINE, _STATUS, _REASON = "30956-7", "59783-1", "30982-3"
_DOSE, _DOSES, _SERIES, _SCHEDULE = "30973-2", "59782-3", "59780-7", "59779-9"
_TOLD = frozenset({_VACCINE, _STATUS, _REASON, _DOSE, _DOSES, _SERIES, _SCHEDULE, *_DATES})
_FORECAST = frozenset({_STATUS, *_DATES})


def forecast(bench: Bench, segment: Segment) -> bool:
    """No vaccine was given, and an observation tells when one is due."""
    return (
        bench.group.segment("RXA") is not None
        and not vaccine_given(bench, segment)
        and any(one.text(3).strip() in _FORECAST for one in observations(bench.group))
    )


def recommendation(bench: Bench, _segment: Segment) -> str | None:
    """An ImmunizationRecommendation: one of each sender for each patient, so that a new forecast replaces the old."""
    return f"{bench.subject()}|{bench.facility}"


def about_forecast(bench: Bench, segment: Segment) -> bool:
    """The OBX tells something of a forecast that is made."""
    return segment.text(3).strip() in _TOLD and bench.group.role("forecast") is not None


def fact(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write an OBX into the recommendation of its OBX-4: vaccine, dates, status and number of the dose, series."""
    code, where = segment.text(3).strip(), f"{segment.label}-5"
    raw = next((one for one in segment.repetitions(5) if one), "")
    items: list[dict[str, Any]] = draft.body.setdefault("recommendation", [])
    known: dict[tuple[int, str], int] = bench.cache.setdefault(("recommendation", draft.id), {})
    order = bench.group.around("order")
    index = known.setdefault((order.number if order is not None else 0, segment.text(4)), len(items))
    if index == len(items):
        items.append({"forecastStatus": {"extension": [absent()]}} | _vaccine(bench, segment))
    item, at = items[index], f"recommendation[{index}]"
    if code in _DATES:
        made = PRIMITIVES["dateTime"](bench, raw, where)
        if made is None or not isinstance(made[0], str):
            return
        coding = {"system": _LOINC, "code": code, "display": _DATES[code]}
        dates = item.setdefault("dateCriterion", [])
        dates.append({"code": {"coding": [coding]}, "value": made[0]})
        draft.trail.append((f"{at}.dateCriterion[{len(dates) - 1}].value", [("", where)]))
        return
    parts = [*bench.parts(raw), "", ""]
    text = parts[1] or parts[0]
    if not text:
        return
    if code in (_VACCINE, _STATUS, _REASON):
        converted = _CONCEPT(bench, raw, where)
        if converted is None:
            return
        if code == _STATUS:
            item["forecastStatus"], at = converted[0], f"{at}.forecastStatus"
        else:
            name = "vaccineCode" if code == _VACCINE else "forecastReason"
            item.setdefault(name, []).append(converted[0])
            at = f"{at}.{name}[{len(item[name]) - 1}]"
        draft.trail.append((at, converted[1]))
    elif code in (_DOSE, _DOSES):
        name = "doseNumber" if code == _DOSE else "seriesDoses"
        positive = parts[0].isascii() and parts[0].isdigit() and int(parts[0][:6]) > 0
        key = f"{name}{'PositiveInt' if positive else 'String'}"
        if not any(one.startswith(name) for one in item):
            item[key] = int(parts[0][:6]) if positive else text
            draft.trail.append((f"{at}.{key}", [("", where)]))
    elif code == _SERIES:
        item.setdefault("series", text)
        draft.trail.append((f"{at}.series", [("", where)]))
    else:
        draft.put("authority", {"display": text}, where)


def _vaccine(bench: Bench, segment: Segment) -> dict[str, Any]:
    """Return a vaccine that is not known, where no observation of the same OBX-4 tells it: R4 wants one."""
    told = any(one.text(3).strip() == _VACCINE and one.text(4) == segment.text(4) for one in observations(bench.group))
    return {} if told else {"vaccineCode": [{"extension": [absent()]}]}


IDENTITIES = {"forecast": recommendation}
DECISIONS = {"forecast-fact": fact}
PREDICATES = {"forecast": forecast, "about-forecast": about_forecast}
