"""Values of observations: OBX-5 by the type in OBX-2, units, reference ranges."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept, quantity_unit, structured_numeric
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.files import attached
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.paths import place
from hawsepipe_hl7v2.people import organization, practitioner
from hawsepipe_hl7v2.primitives import ORIGINAL_TEXT, PRIMITIVES, absent, number
from hawsepipe_hl7v2.telecom import contact_point
from hawsepipe_hl7v2.times import time_of_day

_CONCEPT = concept()
_TELECOM = contact_point()
_TEXTS = frozenset({"ST", "TX", "FT", "", "ID", "SI", "GTS", "STRING", "TXT"})
_CODES = frozenset({"CE", "CWE", "CNE", "CF", "IS"})
_RANGE = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*(?:-|to)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*")
_BOUND = re.compile(r"\s*([<>]=?|≤|≥)\s*(-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+))\s*", re.ASCII)
_AMOUNT_LIKE = re.compile(r"\s*[<>≤≥=~±+-]*\s*\.?[0-9]")
"""A text that begins as an amount does: a unit behind it belongs to it. Digits elsewhere are part of words."""
_COMPARATORS = {"≤": "<=", "≥": ">="}
_CURRENCIES = "urn:iso:std:iso:4217"
VALUE = PREFIX + "value"
UNIT = PREFIX + "unit"
"""OBX-6 where the value is none that can have a unit."""
VALUE_TYPE = PREFIX + "value-type"
_SEVERAL = frozenset(
    "CE CWE CNE CF IS TX FT ID DT TS DTM XAD AD XTN TN XPN PN XCN CN CX EI".split()  # noqa: SIM905  a list of codes
)
"""Types that the element of the value does not tell from others: they stay in an extension."""


class Found(NamedTuple):
    """A value: the suffix of its element, its content, its leaves; `beside`: an extension that says it more fully;
    `counted`: it has the unit of OBX-6, as a part of a Quantity."""

    suffix: str
    content: Any
    leaves: Sequence[Leaf]
    beside: dict[str, Any] | None = None
    counted: bool = False


def value(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write OBX-5 as OBX-2 says, and OBX-6 with it: in the value, or beside it where the value can have no unit.

    Repetitions of a text are its lines; of a file each is a document; of any other type each is a component, none of
    them the value: it would be taken for all.
    """
    type_ = segment.text(2).upper()
    raw = segment.field(5)
    valued = bool(raw) and raw != DELETE
    if type_ in _SEVERAL:
        draft.put("extension[]", {"url": VALUE_TYPE, "valueCode": type_}, f"{segment.label}-2")
    counted = valued and _written(bench, draft, segment, type_, raw)
    if not counted and segment.field(6) and (unit := _CONCEPT(bench, segment.repetitions(6)[0], f"{segment.label}-6")):
        made = {"url": UNIT, "valueCodeableConcept": unit[0]}
        leaves = [(f".valueCodeableConcept{below}", source) for below, source in unit[1]]
        draft.put_converted("extension[]", (made, leaves))


def _written(bench: Bench, draft: Draft, segment: Segment, type_: str, raw: str) -> bool:
    """Write the value; say whether what was written has the unit."""
    repetitions = segment.repetitions(5)
    base = f"{segment.label}-5"
    if type_ in _TEXTS:
        return _put(draft, "value", _words(bench, segment, type_, raw, base))
    if type_ in ("ED", "RP"):
        attached(bench, draft, segment)
        return False
    if type_ in ("NA", "MA"):
        return _put(draft, "value", _sampled(bench, segment, type_, repetitions, base))
    if len(repetitions) == 1:
        return _put(draft, "value", _value(bench, segment, type_, raw, base))
    counted = False
    for index, one in enumerate(repetitions):
        where = base if index == 0 else f"{base}[{index + 1}]"
        found = _value(bench, segment, type_, one, where) if one and one != DELETE else None
        if found is None:
            continue
        code = _CONCEPT(bench, segment.repetitions(3)[0], f"{segment.label}-3") if segment.text(3) else None
        component: dict[str, Any] = {"code": code[0]} if code else {"code": {"text": "repeated value"}}
        written = place(f"value{found.suffix}")(component, found.content)
        if found.beside is not None:
            component["extension"] = [found.beside]
        leaves = [(f".{written}{below}", source) for below, source in found.leaves]
        draft.put_converted("component[]", (component, leaves))
        counted = counted or found.counted
    return counted


def _put(draft: Draft, path: str, found: Found | None) -> bool:
    if found is None:
        return False
    draft.put_converted(path + found.suffix, (found.content, found.leaves))
    if found.beside is not None:
        draft.put("extension[]", found.beside)
    return found.counted


def _value(bench: Bench, segment: Segment, type_: str, raw: str, where: str) -> Found | None:
    if type_ == "NM":
        return _numeric(bench, segment, raw, where)
    if type_ in _CODES:
        converted = _CONCEPT(bench, raw, where)
        return Found("CodeableConcept", *converted) if converted else None
    if type_ == "SN":
        return _structured(bench, segment, raw, where)
    if type_ in ("DT", "DTM", "TS"):
        text = bench.text(raw.split(segment.delimiters.component)[0])
        if bench.moment(text).value is None:
            bench.warn("parse", where, "not a date; kept as text")
            return _text(bench, raw, where)
        converted = PRIMITIVES["dateTime"](bench, raw, where)
        return Found("DateTime", *converted) if converted else None
    if type_ == "TM":
        time = time_of_day(bench.text(raw))
        return Found("Time", time, [("", where)]) if time else _text(bench, raw, where)
    if type_ in ("DR", "NR"):
        return _span(bench, segment, type_, raw, where)
    if type_ == "VR":
        text = "-".join(part for part in bench.parts(raw) if part)
        return Found("String", text, [("", where)]) if text else None
    if type_ in ("MO", "CP"):
        return _money(bench, type_, raw, where)
    return _worded(bench, segment, type_, raw, where)


def _words(bench: Bench, segment: Segment, type_: str, raw: str, where: str) -> Found | None:
    """A text. A number with a unit is one, whatever its type says: many laboratories send all results as text."""
    repetitions = segment.repetitions(5)
    lines = "\n".join(map(bench.text, repetitions)) if len(repetitions) > 1 else bench.text(raw)
    text = lines.strip()
    if not text:
        return None
    unit = _unit_text(bench, segment)
    if unit and (figure := _figure(text)) is not None:
        return _quantity(bench, segment, figure, text, where)
    if not type_:
        bench.inform(f"{segment.label}-2", "the value has no type; taken as text")
    if unit and _AMOUNT_LIKE.match(text):
        bench.warn(
            "parse", where, f"a text with a unit that is no number; kept as text, with the unit of {segment.label}-6"
        )
        return _with_unit(bench, segment, lines, where)
    if unit:
        bench.inform(f"{segment.label}-6", "the unit of a text that is no amount; kept beside the value")
    return Found("String", lines, [("", where)])


def _unit_text(bench: Bench, segment: Segment) -> str:
    raw = segment.field(6)
    if not raw or raw == DELETE:
        return ""
    return bench.site.codings.unit(bench.parts(segment.repetitions(6)[0])).value.get("unit", "")


def _with_unit(bench: Bench, segment: Segment, text: str, where: str) -> Found:
    """A text that begins as an amount does: without its unit 5-10 would mean something else."""
    unit = _unit_text(bench, segment)
    if not unit or unit.casefold() in text.casefold().split():
        return Found("String", text, [("", where)])
    return Found("String", f"{text} {unit}", [("", where), ("", f"{segment.label}-6")])


def _text(bench: Bench, raw: str, where: str) -> Found | None:
    text = bench.text(raw)
    return Found("String", text, [("", where)]) if text else None


def _structured(bench: Bench, segment: Segment, raw: str, where: str) -> Found | None:
    unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
    found = structured_numeric(bench, raw, unit[0] if unit else {})
    if found is None:
        return None
    suffix, content = found
    told = unit[1] if unit else []
    places = {"Quantity": [("", f"{where}.2")], "Range": [(".low", f"{where}.2"), (".high", f"{where}.4")]}
    places["Ratio"] = [(".numerator", f"{where}.2"), (".denominator", f"{where}.4")]
    if suffix not in places:
        return Found(suffix, content, [("", where)] + ([("", f"{segment.label}-6")] if unit else []))
    leaves: list[Leaf] = []
    for path, source in places[suffix]:
        leaves.append((f"{path}.value", source))
        leaves += [(path + below, origin) for below, origin in told]
    return Found(suffix, content, leaves, counted=unit is not None)


def _worded(bench: Bench, segment: Segment, type_: str, raw: str, where: str) -> Found | None:
    """A type that an Observation has no value for: in words, and as what it is in an extension."""
    kind = _KINDS.get(type_)
    parts = bench.parts(bench.sub(raw))
    if kind is None:
        if type_ not in ("TQ", "CQ"):
            bench.warn("code", f"{segment.label}-2", "an unknown value type; the value is kept as text")
        text = " ".join(part for part in parts if part)
        return Found("String", text, [("", where)]) if text else None
    suffix, words, convert = kind
    text = words(parts)
    made = convert(bench, raw, where)
    beside = {"url": VALUE, f"value{suffix}": made[0]} if made is not None else None
    return Found("String", text, [("", where)], beside) if text else None


def _filled(type_: str) -> Callable[[Bench, str, str], Converted | None]:
    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        made: dict[str, Any] = {}
        leaves = bench.site.converts[type_](bench, raw, where, made)
        return (made, leaves) if made else None

    return convert


def _all(parts: list[str]) -> str:
    return " ".join(part for part in parts if part)


def _first(parts: list[str]) -> str:
    return parts[0]


def _person(parts: list[str]) -> str:
    """XCN or CN: the name, else the number."""
    return " ".join(part for part in (*parts[5:6], *parts[2:4], *parts[1:2], *parts[4:5]) if part) or parts[0]


_KINDS: dict[str, tuple[str, Callable[[list[str]], str], Callable[[Bench, str, str], Converted | None]]] = {
    "CX": ("Identifier", _first, _filled("CX")),
    "EI": ("Identifier", _first, _filled("EI")),
    "XON": ("Reference", _first, organization),
    "XCN": ("Reference", _person, practitioner),
    "CN": ("Reference", _person, practitioner),
    "XPN": ("HumanName", _all, _filled("XPN")),
    "PN": ("HumanName", _all, _filled("XPN")),
    "XAD": ("Address", _all, _filled("XAD")),
    "AD": ("Address", _all, _filled("XAD")),
    "XTN": ("ContactPoint", _all, _TELECOM),
    "TN": ("ContactPoint", _all, _TELECOM),
}
"""Types by how they are told in words and what they become in the extension."""


class _Figure(NamedTuple):
    value: Any
    comparator: str = ""


def _figure(text: str) -> _Figure | None:
    """Return a number, or a comparator and a number."""
    if (amount := number(text)) is not None:
        return _Figure(amount)
    bounded = _BOUND.fullmatch(text)
    amount = number(bounded[2]) if bounded else None
    if bounded is None or amount is None:
        return None
    return _Figure(amount, _COMPARATORS.get(bounded[1], bounded[1]))


def _numeric(bench: Bench, segment: Segment, raw: str, where: str) -> Found | None:
    text = bench.text(raw)
    if not text:
        return None
    if (figure := _figure(text)) is not None:
        return _quantity(bench, segment, figure, text, where)
    unit = _unit_text(bench, segment)
    if unit and _AMOUNT_LIKE.match(text):
        bench.warn("parse", where, f"not a number; kept as text, with the unit of {segment.label}-6")
        return _with_unit(bench, segment, text, where)
    bench.warn("parse", where, "not a number; kept as text")
    return Found("String", text, [("", where)])


def _quantity(bench: Bench, segment: Segment, figure: _Figure, text: str, where: str) -> Found:
    quantity: dict[str, Any] = {"value": figure.value}
    original: dict[str, Any] = {}
    if figure.comparator:
        quantity = {"comparator": figure.comparator, "value": figure.value}
        original = {"_value": {"extension": [{"url": ORIGINAL_TEXT, "valueString": text}]}}
    unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
    if unit is None:
        return Found("Quantity", quantity | original, [(".value", where)])
    return Found("Quantity", quantity | unit[0] | original, [(".value", where), *unit[1]], counted=True)


def _money(bench: Bench, type_: str, raw: str, where: str) -> Found | None:
    """MO or CP to a Quantity in a currency, since an Observation has no Money."""
    parts = [*bench.parts(bench.sub(raw)), "", ""]
    amount = number(parts[0])
    if amount is None:
        text = " ".join(part for part in parts if part)
        return Found("String", text, [("", where)]) if text else None
    quantity: dict[str, Any] = {"value": amount}
    if re.fullmatch(r"[A-Z]{3}", parts[1]):
        quantity |= {"unit": parts[1], "system": _CURRENCIES, "code": parts[1]}
    rest = " ".join(part for part in parts[2:] if part) if type_ == "CP" else ""
    beside = {"url": VALUE, "valueString": rest} if rest else None
    return Found("Quantity", quantity, [(".value", f"{where}.1")], beside)


def _sampled(bench: Bench, segment: Segment, type_: str, repetitions: list[str], where: str) -> Found | None:
    """NA (rows of numbers) or MA (samples of channels) to SampledData; v2 tells no period between samples."""
    rows = [bench.parts(raw) for raw in repetitions]
    if type_ == "MA":
        rows = [bench.parts(bench.sub(sample)) for raw in repetitions for sample in raw.split(bench.component)]
    figures = [[number(part) for part in row] for row in rows]
    if not rows or any(figure is None for row in figures for figure in row):
        text = "\n".join(" ".join(row) for row in rows).strip()
        bench.warn("parse", where, "not numbers alone; kept as text")
        return Found("String", text, [("", where)]) if text else None
    unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
    data = " ".join(part.lstrip("+") for row in rows for part in row)
    content = {
        "origin": {"value": 0} | (unit[0] if unit else {}),
        "_period": {"extension": [absent()]},
        "dimensions": len(rows[0]) if len(rows) > 1 else 1,
        "data": data,
    }
    leaves = [(".data", where), *((f".origin{below}", source) for below, source in (unit[1] if unit else ()))]
    return Found("SampledData", content, leaves, counted=unit is not None)


def _span(bench: Bench, segment: Segment, type_: str, raw: str, where: str) -> Found | None:
    parts = [*bench.parts(raw), ""][:2]
    if type_ == "NR":
        bounds = {name: number(part) for name, part in zip(("low", "high"), parts, strict=True) if part}
        if not bounds or None in bounds.values():
            bench.warn("parse", where, "not a range of numbers; kept as text")
            return _with_unit(bench, segment, " - ".join(parts), where) if any(parts) else None
        unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
        leaves: list[Leaf] = []
        for name in bounds:
            leaves.append((f".{name}.value", f"{where}.{1 if name == 'low' else 2}"))
            leaves += [(f".{name}{below}", source) for below, source in (unit[1] if unit else ())]
        limits = {name: {"value": bound} | (unit[0] if unit else {}) for name, bound in bounds.items()}
        return Found("Range", limits, leaves, counted=unit is not None)
    moments = {name: bench.moment(part).value for name, part in zip(("start", "end"), parts, strict=True)}
    period = {name: moment for name, moment in moments.items() if moment}
    leaves = [(f".{name}", f"{where}.{1 if name == 'start' else 2}") for name in period]
    return Found("Period", period, leaves) if period else None


def reference_range(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-7 as text, and as low and high when it is written `a-b`, `<b` or `>a` and the value is a number."""
    text = segment.text(7)
    if not text:
        return
    made: dict[str, Any] = {}
    if segment.text(2) in ("NM", "SN") or "valueQuantity" in draft.body:
        unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
        quantity = unit[0] if unit else {}
        match = _RANGE.fullmatch(text)
        if match and Decimal(match[1]) > Decimal(match[2]):
            bench.warn("parse", f"{segment.label}-7", "the lower bound is above the upper one; kept as text")
        elif match:
            made = {"low": {"value": number(match[1])} | quantity, "high": {"value": number(match[2])} | quantity}
        elif match := _BOUND.fullmatch(text):
            made = {"high" if match[1][0] == "<" else "low": {"value": number(match[2])} | quantity}
    draft.put_converted("referenceRange[]", (made | {"text": text}, [(".text", f"{segment.label}-7")]))


DECISIONS = {"observation-value": value, "reference-range": reference_range}
