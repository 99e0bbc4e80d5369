"""When a medicine is due: TQ1, the older TQ (ORC-7, RXE-1, RXG-3), repeat patterns of table 0335, to Dosage.timing.

What R4's Timing cannot hold (a relative time without an event, an explicit time beside one, a condition on the next
order) stays in extensions of the dosage.
"""

from __future__ import annotations

import re
from typing import Any

from hawsepipe_hl7v2.amounts import duration, put_moment, shifted
from hawsepipe_hl7v2.bench import Bench, Converted, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.primitives import ORIGINAL_TEXT, PRIMITIVES, number
from hawsepipe_hl7v2.times import time_of_day
from hawsepipe_hl7v2.units import UCUM

Found = tuple[dict[str, Any], list[Leaf]]
"""A part of a resource in the making, with the leaves written so far."""
_PATTERN = concept("RepeatPattern")
_UNITS = {
    "s": ("S", "SEC", "SECS", "SECOND", "SECONDS"),
    "min": ("M", "MIN", "MINS", "MINUTE", "MINUTES"),
    "h": ("H", "HR", "HRS", "HOUR", "HOURS"),
    "d": ("D", "DAY", "DAYS"),
    "wk": ("W", "WK", "WEEK", "WEEKS"),
    "mo": ("MO", "L", "MON", "MONTH", "MONTHS"),
    "a": ("A", "ANN", "Y", "YR", "YEAR", "YEARS"),
}
_UNIT = {text: unit for unit, texts in _UNITS.items() for text in texts}
_MINUTES = {"s": 0, "min": 1, "h": 60, "d": 1440, "wk": 10080}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY = re.compile(r"Q([0-9]{1,4})([SMHDWL])")
_WEEKDAY = re.compile(r"Q([0-9]{1,3})J([1-7])")
_TIMES_A_DAY = re.compile(r"([0-9]{1,2})ID")
_EXTENSION = re.compile(r"\.extension\[([0-9]+)\]")
_AMOUNT = re.compile(r"([SMHDWL])([0-9]+)|([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")
_NAMED: dict[str, dict[str, Any]] = {
    "QD": {"frequency": 1, "period": 1, "periodUnit": "d"},
    "DAILY": {"frequency": 1, "period": 1, "periodUnit": "d"},
    "BID": {"frequency": 2, "period": 1, "periodUnit": "d"},
    "TID": {"frequency": 3, "period": 1, "periodUnit": "d"},
    "QID": {"frequency": 4, "period": 1, "periodUnit": "d"},
    "QOD": {"frequency": 1, "period": 2, "periodUnit": "d"},
    "QSHIFT": {"frequency": 1, "period": 8, "periodUnit": "h"},
    "QAM": {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["MORN"]},
    "QPM": {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["EVE"]},
    "QHS": {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["HS"]},
    "ONCE": {"count": 1},
}
_EVENTS = frozenset(["HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV"])
"""Codes of R4's EventTiming in table 0528; the meals themselves (C, CM, CD, CV) take no offset."""
_NO_OFFSET = frozenset({"C", "CM", "CD", "CV"})


def unit(text: str) -> str | None:
    """Return the UCUM unit of a unit of time as senders write it."""
    return _UNIT.get(text.strip().rstrip(".").upper())


def pattern(text: str) -> dict[str, Any]:
    """Return what a repeat pattern of table 0335 says in Timing.repeat; empty for one that is only a code."""
    code = text.strip().upper().replace(" ", "")
    if code.startswith("PRN"):
        code = code[3:]
    if code in _NAMED:
        return {key: list(value) if isinstance(value, list) else value for key, value in _NAMED[code].items()}
    if match := _EVERY.fullmatch(code):
        return {"frequency": 1, "period": int(match[1]), "periodUnit": unit(match[2])} if int(match[1]) else {}
    if match := _TIMES_A_DAY.fullmatch(code):
        return {"frequency": int(match[1]), "period": 1, "periodUnit": "d"} if int(match[1]) else {}
    if match := _WEEKDAY.fullmatch(code):
        return {
            "frequency": 1,
            "period": int(match[1]) or 1,
            "periodUnit": "wk",
            "dayOfWeek": [_DAYS[int(match[2]) - 1]],
        }
    # C alone is continuous; as an event it would be the meal.
    return {"when": [code]} if code in _EVENTS and code != "C" else {}


def _known(text: str) -> bool:
    code = text.strip().upper()
    return bool(pattern(code)) or code.startswith("PRN") or code in ("C", "A", "P", "I", "M", "D", "V")


def as_needed(text: str) -> bool:
    """The pattern says that it is given as needed."""
    return text.strip().upper().startswith("PRN")


def put(target: dict[str, Any], name: str, value: Any, leaves: list[Leaf], path: str, source: str) -> None:
    """Write a value where none is, with its leaf."""
    if name not in target:
        target[name] = value
        leaves.append((f"{path}.{name}", source))


def extend(target: dict[str, Any], name: str, text: str, leaves: list[Leaf], path: str, source: str) -> None:
    """Keep a text in an extension of an element."""
    items = target.setdefault("extension", [])
    leaves.append((f"{path}.extension[{len(items)}].valueString", source))
    items.append({"url": PREFIX + name, "valueString": text})


def repeated(
    bench: Bench, dosage: dict[str, Any], raw: str, where: str, leaves: list[Leaf], *, elsewhere: bool = False
) -> None:
    """Write one RPT (TQ1-3) into a dosage: its code, and what the code or its own period, phase and event say.

    What another field told before (`elsewhere`) stays: the same again is nothing new, anything else is a Timing beside.
    """
    if elsewhere:
        _again(bench, dosage, raw, where, leaves)
        return
    parts = raw.split(bench.component)
    told = [bench.text(part.split(bench.subcomponent)[0]) if part else "" for part in parts] + [""] * 12
    timing = dosage.setdefault("timing", {})
    repeat: dict[str, Any] = {}
    at = ".timing.repeat"
    _coded(bench, dosage, bench.sub(parts[0]), f"{where}.1", leaves)
    if told[4] and not _period(repeat, told[4], told[5], (f"{where}.5", f"{where}.6"), leaves):
        extend(dosage, "repeat-period", f"{told[4]} {told[5]}".strip(), leaves, "", f"{where}.5")
    elif told[5] and not told[4]:
        extend(dosage, "repeat-period", told[5], leaves, "", f"{where}.6")
    own = "period" in repeat
    for key, value in pattern(told[0]).items():
        # An own period says more than the code's.
        if (own and key in ("frequency", "period", "periodUnit")) or (key == "when" and told[7].upper() in _EVENTS):
            continue
        put(repeat, key, value, leaves, at, f"{where}.1")
    if told[1].upper() == "DW":
        days = [_DAYS[int(day) - 1] for day in (told[2], told[3]) if day in tuple("1234567")]
        if len(days) == 2:
            first, last = (int(told[index]) for index in (2, 3))
            span = range(first, last + 1) if first <= last else (*range(first, 8), *range(1, last + 1))
            days = [_DAYS[day - 1] for day in span]
        if days:
            put(repeat, "dayOfWeek", days, leaves, at, f"{where}.3")
    if "dayOfWeek" not in repeat or told[1].upper() != "DW":
        for index, name in ((1, "calendar-alignment"), (2, "phase-begin"), (3, "phase-end")):
            if told[index]:
                extend(dosage, name, told[index], leaves, "", f"{where}.{index + 1}")
    if told[7].upper() in _EVENTS:
        put(repeat, "when", [told[7].upper()], leaves, at, f"{where}.8")
    elif told[7]:
        extend(dosage, "event-related-period", told[7], leaves, "", f"{where}.8")
    if told[8]:
        offset(dosage, repeat, told[8], told[9], f"{where}.9", leaves)
    if told[6]:
        extend(dosage, "institution-specified-time", told[6], leaves, "", f"{where}.7")
    if told[10]:
        extend(dosage, "general-timing-specification", bench.text(parts[10]), leaves, "", f"{where}.11")
    _join(timing, repeat)


def _again(bench: Bench, dosage: dict[str, Any], raw: str, where: str, leaves: list[Leaf]) -> None:
    """Compare a pattern with the timing that is there."""
    own: dict[str, Any] = {}
    found: list[Leaf] = []
    repeated(bench, own, raw, where, found)
    timing, known = own.get("timing", {}), dosage["timing"]
    code, repeat = timing.get("code", {}), timing.get("repeat", {})
    told = known.get("code", {})
    agreed = all(known.get("repeat", {}).get(name, value) == value for name, value in repeat.items()) and (
        not code
        or not told
        or code == told
        or (bool(code.get("coding")) and all(one in told.get("coding", ()) for one in code["coding"]))
    )
    items = dosage.setdefault("extension", [])
    at = len(items)
    items += own.get("extension", [])
    if agreed:
        if code:
            known.setdefault("code", code)
        _join(known, repeat)
        if own.get("asNeededBoolean"):
            dosage["asNeededBoolean"] = True
        leaves += [(_moved(path, at), source) for path, source in found]
    else:
        timing = {key: value for key, value in timing.items() if value}
        leaves += [(_moved(path, at), source) for path, source in found if path.startswith(".extension[")]
        below = [(path, source) for path, source in found if path.startswith(".timing.")]
        home = f".extension[{len(items)}].valueTiming"
        leaves += [(home + path.removeprefix(".timing"), source) for path, source in below]
        items.append({"url": PREFIX + "further-timing", "valueTiming": timing})
        bench.warn("mapping", where, "another repeat pattern than the one told before; kept beside it")
    if not items:
        del dosage["extension"]


def _moved(path: str, by: int) -> str:
    """Return a path with the number of an extension counted from another start."""
    match = _EXTENSION.match(path)
    return f".extension[{int(match[1]) + by}]{path[match.end() :]}" if match else path


def _coded(bench: Bench, dosage: dict[str, Any], raw: str, where: str, leaves: list[Leaf]) -> None:
    if not raw:
        return
    text = bench.text(raw)
    if bench.component not in raw and not _known(text):
        # Words, not a code of table 0335, which a code without a system would be taken for.
        converted: Converted | None = ({"text": text}, [(".text", where)]) if text else None
    else:
        converted = _PATTERN(bench, raw, where)
    if converted is None:
        return
    code = dosage.setdefault("timing", {}).get("code")
    if code is None:
        dosage["timing"]["code"] = converted[0]
        leaves += [(f".timing.code{below}", source) for below, source in converted[1]]
    else:
        for coding in converted[0].get("coding", ()):
            items = code.setdefault("coding", [])
            if coding not in items:
                items.append(coding)
            leaves.append((f".timing.code.coding[{items.index(coding)}]", where))
        text = converted[0].get("text")
        if text and code.setdefault("text", text) != text:
            extend(dosage, "repeat-pattern", text, leaves, "", where)
        elif text:
            leaves.append((".timing.code.text", where))
    if as_needed(bench.text(raw.split(bench.component)[0])):
        put(dosage, "asNeededBoolean", True, leaves, "", where)


def _period(repeat: dict[str, Any], amount: str, told: str, where: tuple[str, str], leaves: list[Leaf]) -> bool:
    figure, ucum = number(amount), unit(told)
    if figure is None or ucum is None:
        return False
    repeat["period"] = figure
    leaves.append((".timing.repeat.period", where[0]))
    _unit(repeat, "periodUnit", ucum, told, where[1], leaves)
    return True


def _unit(repeat: dict[str, Any], name: str, ucum: str, told: str, where: str, leaves: list[Leaf]) -> None:
    """Write a unit of time, with the sender's own word beside it when it is another."""
    repeat[name] = ucum
    leaves.append((f".timing.repeat.{name}", where))
    if told != ucum:
        repeat[f"_{name}"] = {"extension": [{"url": ORIGINAL_TEXT, "valueString": told}]}


def offset(
    dosage: dict[str, Any], repeat: dict[str, Any], amount: str, told: str, where: str, leaves: list[Leaf]
) -> None:
    """Write the minutes before or after an event; without an event they are kept beside."""
    scale = _MINUTES.get(unit(told or "M") or "")
    whole = amount.isascii() and amount.isdigit()
    when = repeat.get("when", [])
    if scale is not None and whole and when and not set(when) & _NO_OFFSET:
        minutes = int(amount[:6]) * scale if scale else -(-int(amount[:6]) // 60)
        put(repeat, "offset", minutes, leaves, ".timing.repeat", where)
        if scale == 1:
            return
    extend(dosage, "event-offset", f"{amount} {told}".strip(), leaves, "", where)


def _join(timing: dict[str, Any], repeat: dict[str, Any]) -> None:
    """Join what another pattern says: events and days add up, the first period stays."""
    known = timing.setdefault("repeat", {})
    for name, value in repeat.items():
        if isinstance(value, list) and name in known:
            known[name] += [one for one in value if one not in known[name]]
        else:
            known.setdefault(name, value)


def tidy(dosage: dict[str, Any]) -> None:
    """Take out what stayed empty."""
    timing = dosage.get("timing", {})
    if not timing.get("repeat", True):
        timing.pop("repeat")
    if "timing" in dosage and not timing:
        dosage.pop("timing")


def explicit(bench: Bench, dosage: dict[str, Any], text: str, where: str, leaves: list[Leaf]) -> None:
    """Write an explicit time as timeOfDay, which R4 forbids beside an event."""
    time = time_of_day(text) or (text if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]", text) else None)
    repeat = dosage.setdefault("timing", {}).setdefault("repeat", {})
    if time is None or "when" in repeat:
        extend(dosage, "explicit-time", text, leaves, "", where)
    elif time not in repeat.setdefault("timeOfDay", []):
        leaves.append((f".timing.repeat.timeOfDay[{len(repeat['timeOfDay'])}]", where))
        repeat["timeOfDay"].append(time)


def bounds(
    bench: Bench,
    dosage: dict[str, Any],
    start: tuple[str, str],
    end: tuple[str, str],
    lasts: tuple[str, str, str],
    leaves: list[Leaf],
) -> None:
    """Write from when to when: `start`, `end` and how long it `lasts` (amount, unit, all with their locations).

    A start with a duration makes an end when the unit is of fixed length; a duration alone is one.
    """
    amount, told, where = lasts
    ucum = unit(told)
    repeat = dosage.setdefault("timing", {}).setdefault("repeat", {})
    period: dict[str, Any] = {}
    for name, (raw, source) in (("start", start), ("end", end)):
        if raw:
            made = PRIMITIVES["dateTime"](bench, raw, source)
            put_moment(period, name, made, leaves, ".timing.repeat.boundsPeriod")
    if period:
        span = duration(amount, ucum) if amount and ucum else None
        if span is not None and "end" not in period and isinstance(period.get("start"), str):
            computed = shifted(period["start"], span)
            if computed is not None:
                period["end"] = computed
                leaves.append((".timing.repeat.boundsPeriod.end", where))
        known = repeat.setdefault("boundsPeriod", period)
        if known is not period:
            repeat["boundsPeriod"] = period | known
            for name, (raw, source) in (("start", start), ("end", end)):
                if raw and name in period and known.get(name, period[name]) != period[name]:
                    bench.warn("mapping", source, "another time than the one told before; kept beside it")
                    extend(dosage, f"further-{name}", bench.text(raw), leaves, "", source)
        # R4 has one of both: a duration that another field told gives way.
        shorter = repeat.pop("boundsDuration", None)
        if shorter is not None:
            extend(dosage, "service-duration", f"{shorter['value']} {shorter['unit']}", leaves, "", where)
    figure = number(amount) if amount else None
    if amount and "boundsPeriod" not in repeat and figure is not None and ucum is not None:
        value = {"value": figure, "unit": told, "system": UCUM, "code": ucum}
        put(repeat, "boundsDuration", value, [], "", "")
        leaves.append((".timing.repeat.boundsDuration.value", where))
    elif amount:
        extend(dosage, "service-duration", f"{amount} {told}".strip(), leaves, "", where)


def occurrence(bench: Bench, dosage: dict[str, Any], amount: str, told: str, where: str, leaves: list[Leaf]) -> None:
    """Write how long one administration lasts."""
    figure, ucum = number(amount) if amount else None, unit(told)
    repeat = dosage.setdefault("timing", {}).setdefault("repeat", {})
    if figure is not None and ucum is not None and "duration" not in repeat:
        repeat["duration"] = figure
        leaves.append((".timing.repeat.duration", f"{where}.1"))
        _unit(repeat, "durationUnit", ucum, told, f"{where}.2", leaves)
    elif amount:
        extend(dosage, "occurrence-duration", f"{amount} {told}".strip(), leaves, "", where)


def total(bench: Bench, dosage: dict[str, Any], text: str, where: str, leaves: list[Leaf]) -> None:
    """Write how often in all, as exactly that number: R4 wants a count where there is a greatest one."""
    repeat = dosage.setdefault("timing", {}).setdefault("repeat", {})
    if text.isascii() and text.isdigit() and 0 < int(text[:9]) == repeat.get("count", int(text[:9])):
        put(repeat, "count", int(text[:9]), leaves, ".timing.repeat", where)
        put(repeat, "countMax", int(text[:9]), leaves, ".timing.repeat", where)
    else:
        extend(dosage, "total-occurrences", text, leaves, "", where)


def written(text: str) -> tuple[str, str] | None:
    """Return amount and unit of a duration as TQ.3, RXE-22 and the like write it (`H1`, `D10`, `2 hours`)."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        return None
    return (match[2], match[1]) if match[1] else (match[3], match[4])
