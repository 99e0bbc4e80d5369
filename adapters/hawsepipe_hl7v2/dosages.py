"""How much of a medicine, how and when: the Dosage of a prescription, dispense or administration.

RXO, RXE, RXG and RXD tell the same things at other fields; `FIELDS` says where. A dosage is told by several segments
(RXO, TQ1, RXR), so it grows in the resource; a second TQ1 is a second dosage.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hawsepipe_hl7v2 import doses as amounts
from hawsepipe_hl7v2 import regimens
from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.primitives import named, number
from hawsepipe_hl7v2.units import UCUM, ucum

_CONCEPT = concept()
_ROUTE, _SITE, _METHOD = concept("Route"), concept("BodyPart"), concept("AdministrationMethod")
_DOSE_TYPES = "http://terminology.hl7.org/CodeSystem/dose-rate-type"


class Fields(NamedTuple):
    """Where a segment tells the dose; 0 where it does not."""

    least: int
    most: int
    units: int
    per: int
    rate: int
    rate_units: int
    daily: int
    instructions: tuple[int, ...]
    timing: int


FIELDS = {
    "RXO": Fields(2, 3, 4, 17, 21, 22, 23, (7,), 0),
    "RXE": Fields(3, 4, 5, 22, 23, 24, 19, (7,), 1),
    "RXG": Fields(5, 6, 7, 14, 15, 16, 0, (9, 13), 3),
    "RXD": Fields(0, 0, 0, 0, 0, 0, 12, (), 0),
}


def dosage(draft: Draft, index: int = 0) -> tuple[str, dict[str, Any]]:
    """Return the path and content of a dosage, made where it is not yet."""
    if draft.type == "MedicationAdministration":
        return "dosage", draft.body.setdefault("dosage", {})
    items = draft.body.setdefault("dosageInstruction", [])
    while len(items) <= index:
        items.append({})
    return f"dosageInstruction[{index}]", items[index]


def tidy(draft: Draft) -> None:
    """Take out what stayed empty of the dosages."""
    for one in draft.body.get("dosageInstruction", []):
        regimens.tidy(one)
    _forget(draft)
    items = draft.body.get("dosageInstruction", [])
    while items and not items[-1]:
        items.pop()
    for index, one in enumerate(items):
        if not one:
            # Its place is taken: the dosages behind it are known by theirs.
            one["sequence"] = index + 1
    if not items:
        draft.body.pop("dosageInstruction", None)
    if draft.body.get("dosage") == {}:
        draft.body.pop("dosage")


def _forget(draft: Draft) -> None:
    """Drop the trail of a duration that gave way to a period."""
    for index, one in enumerate(draft.body.get("dosageInstruction", [])):
        if "boundsPeriod" in one.get("timing", {}).get("repeat", {}):
            gone, home = ".timing.repeat.boundsDuration.value", f"dosageInstruction[{index}]"
            draft.trail = [
                (path, [leaf for leaf in leaves if leaf[0] != gone]) if path == home else (path, leaves)
                for path, leaves in draft.trail
            ]


def unit(bench: Bench, raw: str, where: str) -> tuple[dict[str, Any], list[Leaf]]:
    """CWE to the unit parts of a Quantity: the text, and a code with its system.

    Without a system the code is UCUM's when it is known there (see `units`), else the sender's own: R4 wants a system
    beside a code.
    """
    parts = [*bench.parts(raw), *[""] * 9]
    code, text, system = (parts[0], parts[8] or parts[1], parts[2]) if parts[0] else (parts[3], parts[4], parts[5])
    text = text or parts[1] or parts[8]
    at = 1 if parts[0] else 4
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []
    if text or code:
        value["unit"] = text or code
        leaves.append((".unit", f"{where}.{2 if text else at}"))
    if code:
        uri = bench.naming.coding_system(system)
        known = "" if uri else ucum(code)
        value["system"] = uri or (UCUM if known else f"{bench.facility}:units")
        value["code"] = known or " ".join(code.split())
        leaves.append((".code", f"{where}.{at}"))
    if at == 1 and (other := " ".join(part for part in parts[3:5] if part)):
        value["extension"] = [{"url": PREFIX + "alternate-units", "valueString": other}]
        leaves.append((".extension[0].valueString", f"{where}.{5 if parts[4] else 4}"))
    return value, leaves


def quantity(bench: Bench, segment: Segment, amount: int, units: int) -> Converted | None:
    """Return a Quantity of two fields; what is no number is reported and left to the unread fields' extension."""
    text = segment.text(amount)
    figure = number(text) if text else None
    if text and figure is None:
        bench.warn("parse", f"{segment.label}-{amount}", "not a number; kept as text")
    value, leaves = unit(bench, _first(segment, units), f"{segment.label}-{units}") if units else ({}, [])
    if figure is None:
        return None
    return {"value": figure} | value, [(".value", f"{segment.label}-{amount}"), *leaves]


def _first(segment: Segment, field: int) -> str:
    return next((raw for raw in segment.repetitions(field) if raw and raw != DELETE), "") if field else ""


def dose(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the ordered amount as a dose range, whose bounds are equal where there is but one amount.

    v2 calls the first field the least amount, and the exact one where no greatest is told: a range without an upper
    bound would say "or more". The rate, the amount for a time and the total for a day go beside it.
    """
    fields = FIELDS[segment.name]
    path, content = dosage(draft)
    least = quantity(bench, segment, fields.least, fields.units) if fields.least else None
    most = quantity(bench, segment, fields.most, fields.units) if fields.most else None
    low, high = least or most, most or least
    if low is not None and high is not None:
        coding = {"system": _DOSE_TYPES, "code": "ordered"}
        told: dict[str, Any] = {"type": {"coding": [coding]}}
        leaves: list[Leaf] = []
        if draft.type == "MedicationRequest" and segment.name != "RXO" and most is None:
            told["doseQuantity"] = low[0]
            leaves += [(f".doseQuantity{below}", source) for below, source in low[1]]
        else:
            told["doseRange"] = {"low": low[0], "high": dict(high[0])}
            leaves += [(f".doseRange.low{below}", source) for below, source in low[1]]
            leaves += [(f".doseRange.high{below}", source) for below, source in high[1]]
        _rate(bench, segment, fields, told, leaves)
        amounts.put(bench, draft, (path, content), told, leaves)
    else:
        only: dict[str, Any] = {}
        leaves = []
        _rate(bench, segment, fields, only, leaves)
        if only:
            amounts.put(bench, draft, (path, content), only, leaves)
        if fields.units and segment.text(fields.units):
            _keep(bench, draft, segment, fields.units, "give-units")
    for field in (fields.least, fields.most):
        if field and segment.text(field) and number(segment.text(field)) is None:
            _keep(bench, draft, segment, field, "give-amount")
    tidy(draft)


def _rate(bench: Bench, segment: Segment, fields: Fields, told: dict[str, Any], leaves: list[Leaf]) -> None:
    """RXE-23 and RXE-24 with RXE-22: so much in a time; the unit often names the time already (mL/h)."""
    made = quantity(bench, segment, fields.rate, fields.rate_units) if fields.rate else None
    if made is None:
        return
    span = regimens.written(segment.text(fields.per)) if segment.text(fields.per) else None
    if span is not None and "/" not in str(made[0].get("unit", "")) and (time := regimens.unit(span[1])) is not None:
        per = {"value": number(span[0]), "unit": time, "system": UCUM, "code": time}
        told["rateRatio"] = {"numerator": made[0], "denominator": per}
        leaves += [(f".rateRatio.numerator{below}", source) for below, source in made[1]]
        leaves.append((".rateRatio.denominator.value", f"{segment.label}-{fields.per}"))
    else:
        told["rateQuantity"] = made[0]
        leaves += [(f".rateQuantity{below}", source) for below, source in made[1]]


def rate_kept(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Keep the time that an amount is for, and a rate that is no number, as they were sent."""
    fields = FIELDS[segment.name]
    if segment.text(fields.per):
        _keep(bench, draft, segment, fields.per, "give-per")
    if segment.text(fields.rate) and number(segment.text(fields.rate)) is None:
        _keep(bench, draft, segment, fields.rate, "give-rate")
        if segment.text(fields.rate_units):
            _keep(bench, draft, segment, fields.rate_units, "give-rate-units")


def _keep(bench: Bench, draft: Draft, segment: Segment, field: int, name: str) -> None:
    path, content = dosage(draft)
    for index, raw in enumerate(segment.repetitions(field)):
        text = " ".join(part for part in bench.parts(bench.sub(raw)) if part)
        if text:
            leaves: list[Leaf] = []
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            regimens.extend(content, name, text, leaves, "", where)
            draft.trail.append((path, leaves))


def daily(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The total daily dose (CQ) as the greatest dose in a day."""
    field = FIELDS[segment.name].daily
    raw = _first(segment, field)
    if not raw:
        return
    parts = [*raw.split(bench.component), ""]
    figure = number(bench.text(parts[0])) if parts[0] else None
    path, content = dosage(draft)
    if figure is None:
        _keep(bench, draft, segment, field, "total-daily-dose")
        return
    units, leaves = unit(bench, bench.sub(parts[1]), f"{segment.label}-{field}.2")
    day = {"value": 1, "unit": "day", "system": UCUM, "code": "d"}
    content["maxDosePerPeriod"] = {"numerator": {"value": figure} | units, "denominator": day}
    at = f"{path}.maxDosePerPeriod.numerator"
    draft.trail.append((at, [(".value", f"{segment.label}-{field}.1"), *leaves]))


def _say(content: dict[str, Any], text: str) -> None:
    """Add a line to the words of a dosage, unless they have it."""
    lines = content["text"].split("\n") if "text" in content else []
    if text not in lines:
        content["text"] = "\n".join((*lines, text))


def instructions(bench: Bench, draft: Draft, segment: Segment) -> None:
    """What the prescriber wants to be told: the words as text (a line for each repetition), codes beside it."""
    for field in FIELDS[segment.name].instructions:
        for index, raw in enumerate(segment.repetitions(field)):
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            converted = _CONCEPT(bench, raw, where)
            if converted is None:
                continue
            concept_, leaves = converted
            coding: dict[str, Any] = next(iter(concept_.get("coding", ())), {})
            parts = [*bench.parts(raw), *[""] * 9]
            text = parts[8] or parts[1] or parts[4] or coding.get("code", "")
            path, content = dosage(draft)
            if text:
                _say(content, text)
                draft.trail.append((f"{path}.text", [("", where)]))
            if any("code" in one for one in concept_.get("coding", ())) and text != coding.get("code", ""):
                items = content.setdefault("additionalInstruction", [])
                items.append(concept_)
                draft.trail.append((f"{path}.additionalInstruction[{len(items) - 1}]", leaves))


def route(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXR: route, site, method, routing instruction; a second RXR is another way to give the same."""
    found: list[tuple[str, Converted | None]] = [
        ("route", _ROUTE(bench, _first(segment, 1), f"{segment.label}-1") if segment.field(1) else None),
        ("site", _SITE(bench, _first(segment, 2), f"{segment.label}-2") if segment.field(2) else None),
        ("method", _METHOD(bench, _first(segment, 4), f"{segment.label}-4") if segment.field(4) else None),
    ]
    count = max(len(draft.body.get("dosageInstruction", ())), 1) if draft.type != "MedicationAdministration" else 1
    for index in range(count):
        path, content = dosage(draft, index)
        for name, converted in found:
            if converted is None:
                continue
            if name not in content:
                content[name] = converted[0]
                draft.trail.append((f"{path}.{name}", converted[1]))
            elif content[name] != converted[0] and index == 0:
                _another(draft, path, content, name, converted)
    path, content = dosage(draft)
    for field, name in ((3, "administration-device"), (6, "site-modifier")):
        if (raw := _first(segment, field)) and (made := _CONCEPT(bench, raw, f"{segment.label}-{field}")) is not None:
            _another(draft, path, content, name, made)
    if (raw := _first(segment, 5)) and (made := _CONCEPT(bench, raw, f"{segment.label}-5")) is not None:
        if draft.type == "MedicationAdministration":
            _another(draft, path, content, "routing-instruction", made)
        else:
            items = content.setdefault("additionalInstruction", [])
            items.append(made[0])
            draft.trail.append((f"{path}.additionalInstruction[{len(items) - 1}]", made[1]))
    tidy(draft)


def _another(draft: Draft, path: str, content: dict[str, Any], name: str, made: Converted) -> None:
    items = content.setdefault("extension", [])
    items.append({"url": PREFIX + name, "valueCodeableConcept": made[0]})
    at = f"{path}.extension[{len(items) - 1}].valueCodeableConcept"
    draft.trail.append((at, made[1]))


def timed(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TQ1: one dosage for each; the first one joins the dose that RXO or RXE tells."""
    known: dict[str, int] = bench.cache.setdefault(("timed", draft.url), {})
    index = known.setdefault(segment.label, len(known))
    path, content = dosage(draft, index)
    if index:
        first = dosage(draft)[1]
        first.setdefault("sequence", 1)
        content["sequence"] = index + 1
        for name in ("route", "site", "method"):
            if name in first:
                content.setdefault(name, dict(first[name]))
    leaves: list[Leaf] = []
    label = segment.label
    if (raw := _first(segment, 2)) and (made := _cq(bench, raw, f"{label}-2")) is not None:
        amounts.timed(bench, draft, (path, content), made)
    elif raw:
        regimens.extend(
            content, "service-quantity", " ".join(bench.parts(bench.sub(raw))).strip(), leaves, "", f"{label}-2"
        )
    elsewhere = "code" in content.get("timing", {}) or "repeat" in content.get("timing", {})
    for at, raw in enumerate(segment.repetitions(3)):
        if raw and raw != DELETE:
            source = f"{label}-3" + (f"[{at + 1}]" if at else "")
            regimens.repeated(bench, content, raw, source, leaves, elsewhere=elsewhere)
    for at, raw in enumerate(segment.repetitions(4)):
        if bench.text(raw):
            regimens.explicit(bench, content, bench.text(raw), f"{label}-4" + (f"[{at + 1}]" if at else ""), leaves)
    for raw in segment.repetitions(5)[:1]:
        if raw and raw != DELETE:
            amount, told = _amount(bench, raw, f"{label}-5")
            repeat = content.get("timing", {}).get("repeat", {})
            if "when" in repeat and "offset" not in repeat:
                regimens.offset(content, repeat, amount, told, f"{label}-5", leaves)
            else:
                regimens.extend(content, "relative-time", f"{amount} {told}".strip(), leaves, "", f"{label}-5")
    amount, told = _amount(bench, _first(segment, 6), f"{label}-6")
    starts, ends = (segment.field(7), f"{label}-7"), (segment.field(8), f"{label}-8")
    regimens.bounds(bench, content, starts, ends, (amount, told, f"{label}-6"), leaves)
    if text := segment.text(10):
        items = content.setdefault("additionalInstruction", [])
        if {"text": text} not in items:
            items.append({"text": text})
        leaves.append((f".additionalInstruction[{items.index({'text': text})}].text", f"{label}-10"))
    if text := segment.text(11):
        _say(content, text)
        leaves.append((".text", f"{label}-11"))
    if text := segment.text(12):
        regimens.extend(content, "conjunction", text, leaves, "", f"{label}-12")
    amount, told = _amount(bench, _first(segment, 13), f"{label}-13")
    regimens.occurrence(bench, content, amount, told, f"{label}-13", leaves)
    if text := segment.text(14):
        regimens.total(bench, content, text, f"{label}-14", leaves)
    tidy(draft)
    draft.trail.append((path, leaves))


def _amount(bench: Bench, raw: str, where: str) -> tuple[str, str]:
    """Return amount and unit of a CQ."""
    parts = [*raw.split(bench.component), ""]
    units = [*bench.parts(bench.sub(parts[1])), "", "", ""]
    if units[2]:
        named(bench, ((units[2], ".2.3"),), where)
    return bench.text(parts[0]) if parts[0] else "", units[0] or units[1]


def _cq(bench: Bench, raw: str, where: str) -> Converted | None:
    parts = [*raw.split(bench.component), ""]
    figure = number(bench.text(parts[0])) if parts[0] else None
    if figure is None:
        return None
    units, leaves = unit(bench, bench.sub(parts[1]), f"{where}.2")
    return {"value": figure} | units, [(".value", f"{where}.1"), *leaves]


def scheduled(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TQ of ORC-7, RXE-1 or RXG-3: quantity, interval, duration, start, end, priority, texts, occurrences."""
    field = 7 if segment.name == "ORC" else FIELDS[segment.name].timing
    for index, raw in enumerate(segment.repetitions(field)):
        where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
        parts = [*raw.split(bench.component), *[""] * 12]
        if not any(part not in ("", DELETE) for part in parts):
            continue
        path, content = dosage(draft, index)
        leaves: list[Leaf] = []
        told = [bench.text(part) if part else "" for part in parts]
        if told[0] and (made := _cq(bench, bench.sub(parts[0]), f"{where}.1")) is not None:
            amounts.timed(bench, draft, (path, content), made)
        elif told[0]:
            regimens.extend(content, "service-quantity", told[0], leaves, "", f"{where}.1")
        interval = parts[1].split(bench.subcomponent)
        if interval[0] not in ("", DELETE):
            elsewhere = "code" in content.get("timing", {}) or "repeat" in content.get("timing", {})
            regimens.repeated(bench, content, interval[0], f"{where}.2", leaves, elsewhere=elsewhere)
        for part in interval[1:]:
            for time in bench.text(part).split(","):
                if time.strip():
                    regimens.explicit(bench, content, time.strip(), f"{where}.2", leaves)
        lasts = regimens.written(told[2]) if told[2] else None
        amount, unit_ = lasts if lasts is not None else (told[2], "")
        starts, ends = (parts[3], f"{where}.4"), (parts[4], f"{where}.5")
        regimens.bounds(bench, content, starts, ends, (amount, unit_, f"{where}.3"), leaves)
        if lasts is not None and len(told[2]) > 2:
            regimens.extend(content, "duration", told[2], leaves, "", f"{where}.3")
        _priority(bench, draft, told[5], f"{where}.6")
        for at, name in ((6, "condition"), (8, "conjunction"), (9, "order-sequencing"), (10, "occurrence-duration")):
            if told[at]:
                regimens.extend(content, name, told[at], leaves, "", f"{where}.{at + 1}")
        if told[7]:
            _say(content, told[7])
            leaves.append((".text", f"{where}.8"))
        if told[11]:
            regimens.total(bench, content, told[11], f"{where}.12", leaves)
        draft.trail.append((path, leaves))
    tidy(draft)


def _priority(bench: Bench, draft: Draft, text: str, where: str) -> None:
    """TQ.6: the priority by its first letter or word; another word stays in an extension."""
    if not text or draft.type != "MedicationRequest":
        return
    known = bench.site.codes["Priority"]["codes"]
    mapped = known.get(text.upper()) or _WORDS.get(text.upper())
    if mapped:
        draft.put("priority", mapped, where)
    if not mapped or len(text) > 1:
        content = {"url": PREFIX + "priority", "valueString": text}
        draft.put_converted("extension[]", (content, [(".valueString", where)]))


_WORDS = {"ROUTINE": "routine", "NORMAL": "routine", "ROU": "routine", "RTN": "routine", "URGENT": "urgent"}
DECISIONS = {
    "dose": dose,
    "dose-rate-kept": rate_kept,
    "daily-dose": daily,
    "dosage-instructions": instructions,
    "dosage-route": route,
    "dosage-timing": timed,
    "dosage-schedule": scheduled,
}
