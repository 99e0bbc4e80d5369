"""When an order is to be carried out: TQ1, and TQ (ORC-7, OBR-27) as before 2.5, to Timing."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.amounts import duration, put_moment, shifted, unit_of_time, written_duration
from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import note
from hawsepipe_hl7v2.leftovers import as_sent
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import date_time_value, number
from hawsepipe_hl7v2.times import time_of_day

_CONCEPT = concept("RepeatPattern")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MANY = 100_000
"""More units of time than that are no offset that R4's integers hold."""
_MINUTES = {"min": 1, "h": 60, "d": 1440, "wk": 10080}
_EVENTS = frozenset(["HS", "AC", "PC", "ACM", "ACD", "ACV", "PCM", "PCD", "PCV"])
"""Table 0528 as far as FHIR has it; of meals only."""


class _Timing:
    """A Timing in the making, with its leaves; `path` is where it goes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.body: dict[str, Any] = {}
        self.leaves: list[Leaf] = []

    def repeat(self, name: str, value: Any, source: str) -> None:
        home = self.body.setdefault("repeat", {})
        if name not in home:
            home[name] = value
            self.leaves.append((f".repeat.{name}", source))

    def extend(self, name: str, suffix: str, value: Any, source: str) -> None:
        if value == "":
            return
        at = note(self.body, name, suffix, value)
        self.leaves.append((f".extension[{at}].value{suffix}", source))


def pattern(bench: Bench, raw: str, where: str, timing: _Timing) -> None:
    """RPT: the pattern's code, days, period, event of the day and offset into a Timing."""
    parts = raw.split(bench.component)

    def part(at: int) -> str:
        return bench.text(parts[at - 1].split(bench.subcomponent)[0]) if at <= len(parts) and parts[at - 1] else ""

    code = _CONCEPT(bench, bench.sub(parts[0]), f"{where}.1") if parts[0] else None
    if code is not None:
        timing.body["code"] = code[0]
        timing.leaves += [(f".code{below}", source) for below, source in code[1]]
    if part(2) == "DW":
        days = [part(3), part(4) or part(3)]
        if all(day.isascii() and day.isdigit() and 1 <= int(day) <= 7 for day in days):
            timing.repeat("dayOfWeek", list(_DAYS[int(days[0]) - 1 : int(days[1])]), f"{where}.3")
    figure, unit = number(part(5)) if part(5) else None, unit_of_time(part(6)) if part(6) else None
    if figure is not None and unit:
        timing.repeat("period", figure, f"{where}.5")
        timing.repeat("periodUnit", unit, f"{where}.6")
    elif part(5):
        timing.extend("period", "String", f"{part(5)} {part(6)}".strip(), f"{where}.5")
    if part(8):
        if part(8) in _EVENTS:
            timing.repeat("when", [part(8)], f"{where}.8")
        else:
            timing.extend("event", "Code", part(8), f"{where}.8")
    if part(9):
        minutes = _minutes(part(9), part(10))
        if minutes is not None and "when" in timing.body.get("repeat", {}):
            timing.repeat("offset", minutes, f"{where}.9")
        if timing.body.get("repeat", {}).get("offset") is None or unit_of_time(part(10)) != "min":
            # What was converted, or cannot be, stays as it was sent.
            timing.extend("offset", "String", as_sent(bench, bench.component.join(parts[8:10])), f"{where}.9")
    for at, name in ((7, "institution-specified"), (11, "general-timing")):
        if part(at):
            timing.extend(name, "String", part(at), f"{where}.{at}")


def _minutes(amount: str, unit: str) -> int | None:
    figure, told = number(amount), unit_of_time(unit)
    if type(figure) is not int or not 0 <= figure < _MANY:
        return None
    if told == "s":
        return None if figure % 60 else figure // 60
    return figure * _MINUTES[told] if told in _MINUTES else None


def timed(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TQ1 to ServiceRequest: quantity, occurrence, priority, condition and text of one timing.

    R4 has one occurrence. A further TQ1, and a pattern beside another one, stay in extensions.
    """
    label, timing = segment.label, _Timing("occurrenceTiming")
    repetitions = segment.repetitions(3)
    for raw in repetitions[:1]:
        pattern(bench, raw, f"{label}-3", timing)
    for index, raw in enumerate(repetitions[1:], 2):
        timing.extend("repeat-pattern", "String", bench.text(raw), f"{label}-3[{index}]")
    times = [time_of_day(bench.text(raw).replace(":", "")) for raw in segment.repetitions(4)]
    if times and all(times) and "when" not in timing.body.get("repeat", {}):
        timing.repeat("timeOfDay", times, f"{label}-4")
    else:
        # R4 has no time of day beside an event.
        for index, raw in enumerate(segment.repetitions(4)):
            where = f"{label}-4" + (f"[{index + 1}]" if index else "")
            timing.extend("explicit-time", "String", as_sent(bench, raw), where)
    for raw in segment.repetitions(5):
        parts = [*bench.parts(bench.sub(raw)), ""]
        minutes = _minutes(parts[0], parts[1])
        if minutes is not None and "when" in timing.body.get("repeat", {}):
            timing.repeat("offset", minutes, f"{label}-5")
        else:
            timing.extend("relative-time", "String", " ".join(parts[:2]).strip(), f"{label}-5")
    _bounds(bench, segment, timing)
    if segment.text(13):
        parts = [*bench.parts(bench.sub(segment.repetitions(13)[0])), ""]
        figure, unit = number(parts[0]), unit_of_time(parts[1])
        if figure is not None and unit:
            timing.repeat("duration", figure, f"{label}-13.1")
            timing.repeat("durationUnit", unit, f"{label}-13.2")
        if figure is None or not unit or bench.subcomponent in segment.field(13):
            timing.extend("duration", "String", as_sent(bench, segment.repetitions(13)[0]), f"{label}-13")
    count = number(segment.text(14)) if segment.text(14) else None
    if type(count) is int and 0 < count < 2**31:
        # R4 wants a count beside countMax.
        timing.repeat("count", count, f"{label}-14")
        timing.repeat("countMax", count, f"{label}-14")
    if segment.text(12):
        timing.extend("conjunction", "Code", segment.text(12), f"{label}-12")
    _write(draft, timing, label)


def _bounds(bench: Bench, segment: Segment, timing: _Timing) -> None:
    """TQ1-6 to TQ1-8: the period, worked out from one end and the duration where the other end is not told."""
    label = segment.label
    parts = [*bench.parts(bench.sub((segment.repetitions(6) or [""])[0])), ""]
    start, end = segment.text(7), segment.text(8)
    unit = unit_of_time(parts[1]) if parts[0] else None
    long = duration(parts[0], unit) if unit else None
    bounds: dict[str, Any] = {}
    leaves: list[Leaf] = []
    for name, field in (("start", 7), ("end", 8)):
        if segment.text(field):
            put_moment(bounds, name, date_time_value(bench, segment.field(field), f"{label}-{field}"), leaves)
    if parts[0] and not start and not end:
        figure = number(parts[0])
        if figure is not None and unit:
            timing.repeat("boundsDuration", _quantity(figure, unit), f"{label}-6")
            if bench.subcomponent in segment.field(6):
                timing.extend("service-duration", "String", as_sent(bench, segment.repetitions(6)[0]), f"{label}-6")
            return
    if parts[0]:
        known, other, sign = ("start", "end", 1) if start else ("end", "start", -1)
        moment = shifted(bounds[known], long * sign) if long is not None and bounds.get(known) else None
        if moment is not None and other not in bounds:
            bounds[other] = moment
            leaves.append((f".{other}", f"{label}-6"))
        timing.extend("service-duration", "String", " ".join(parts[:2]).strip(), f"{label}-6")
    if bounds:
        timing.body.setdefault("repeat", {})["boundsPeriod"] = bounds
        timing.leaves += [(f".repeat.boundsPeriod{below}", source) for below, source in leaves]


def _quantity(figure: Any, unit: str) -> dict[str, Any]:
    return {"value": figure, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def quantity_timing(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TQ (ORC-7, OBR-27; OBR-27 only without ORC-7): quantity, interval, duration, period, priority, text and count."""
    control = bench.group.segment_here("ORC")
    field = 7 if segment.name == "ORC" else 27
    if segment.name == "OBR" and control is not None and control.field(7) and control is not segment:
        return
    for index, raw in enumerate(segment.repetitions(field)):
        where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
        _one(bench, draft, raw, where)


def _one(bench: Bench, draft: Draft, raw: str, where: str) -> None:
    parts = raw.split(bench.component)

    def part(at: int, sub: int = 1) -> str:
        subs = parts[at - 1].split(bench.subcomponent) if at <= len(parts) else []
        return bench.text(subs[sub - 1]) if sub <= len(subs) and subs[sub - 1] else ""

    timing = _Timing("occurrenceTiming")
    figure = number(part(1)) if part(1) else None
    if figure is not None:
        unit = part(1, 2)
        draft.put_converted(
            "quantityQuantity",
            ({"value": figure} | ({"unit": unit} if unit else {}), [(".value", f"{where}.1")]),
        )
    if part(2):
        code = _CONCEPT(bench, part(2), f"{where}.2.1")
        if code is not None:
            timing.body["code"] = code[0]
            timing.leaves += [(f".code{below}", f"{where}.2.1") for below, _ in code[1]]
    times = [time_of_day(text) for text in part(2, 2).split(",")] if part(2, 2) else []
    if times and all(times):
        timing.repeat("timeOfDay", times, f"{where}.2.2")
    bounds: dict[str, Any] = {}
    leaves: list[Leaf] = []
    for name, at in (("start", 4), ("end", 5)):
        if part(at):
            put_moment(bounds, name, date_time_value(bench, part(at), f"{where}.{at}"), leaves)
    if bounds:
        timing.body.setdefault("repeat", {})["boundsPeriod"] = bounds
        timing.leaves += [(f".repeat.boundsPeriod{below}", source) for below, source in leaves]
    if part(3):
        long = written_duration(part(3))
        if long is not None and not bounds:
            timing.repeat("boundsDuration", _quantity(int(long.total_seconds() // 60), "min"), f"{where}.3")
        timing.extend("duration", "String", part(3), f"{where}.3")
    count = number(part(12)) if part(12) else None
    if type(count) is int and 0 < count < 2**31:
        timing.repeat("count", count, f"{where}.12")
    for at, name in ((9, "conjunction"), (10, "order-sequencing"), (11, "occurrence-duration"), (13, "total")):
        if part(at):
            timing.extend(name, "String", part(at), f"{where}.{at}")
    if part(6):
        put_priority(bench, draft, part(6), f"{where}.6")
    if part(7):
        draft.put_converted("asNeededCodeableConcept", ({"text": part(7)}, [(".text", f"{where}.7")]))
    if part(8):
        draft.put_converted("note[]", ({"text": part(8)}, [(".text", f"{where}.8")]))
    _write(draft, timing, where)


def put_priority(bench: Bench, draft: Draft, code: str, where: str) -> None:
    """Write a priority of table 0485; one that R4 has no code for stays beside."""
    entry = bench.site.codes["Priority"]
    mapped = entry["codes"].get(code.upper())
    if mapped:
        draft.put("priority", mapped, where)
    else:
        value = {"coding": [{"system": entry["source"], "code": " ".join(code.split())}]}
        extension = {"url": "urn:hawsepipe:extension:priority", "valueCodeableConcept": value}
        draft.put_converted("extension[]", (extension, [(".valueCodeableConcept.coding[0].code", where)]))


def _write(draft: Draft, timing: _Timing, where: str) -> None:
    if not timing.body:
        return
    if any(key.lstrip("_").startswith("occurrence") for key in draft.body):
        extension = {"url": "urn:hawsepipe:extension:further-timing", "valueTiming": timing.body}
        draft.put_converted(
            "extension[]", (extension, [(f".valueTiming{below}", source) for below, source in timing.leaves])
        )
    else:
        draft.put_converted(timing.path, (timing.body, timing.leaves))


def requested(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-6 (else OBR-36): the moment when it is wanted; an event of the timing where TQ1 or TQ tells more."""
    for field in (6, 36):
        if not segment.text(field):
            continue
        where = f"{segment.label}-{field}"
        made: Converted | None = date_time_value(bench, segment.field(field), where)
        if "occurrenceTiming" not in draft.body:
            draft.put_converted("occurrenceDateTime", made)
        elif made is not None and isinstance(made[0], str):
            draft.body["occurrenceTiming"].setdefault("event", []).append(made[0])
            draft.trail.append((f"occurrenceTiming.event[{len(draft.body['occurrenceTiming']['event']) - 1}]", made[1]))
        return


def priority(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-5 or TQ1-9: how urgent it is."""
    field = 9 if segment.name == "TQ1" else 5
    if segment.text(field):
        put_priority(bench, draft, segment.text(field), f"{segment.label}-{field}")


DECISIONS = {
    "order-priority": priority,
    "quantity-timing": quantity_timing,
    "requested": requested,
    "timing": timed,
}
"""Functions that write by themselves: (bench, draft, segment)."""
