"""Values of observations: OBX-5 by the type in OBX-2, units, reference ranges."""

from __future__ import annotations

import re
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Draft, Leaf
from hawsepipe_hl7v2.datatypes import attachment, concept, pointer, quantity_unit, structured_numeric
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.primitives import PRIMITIVES, number
from hawsepipe_hl7v2.times import time_of_day

ATTACHMENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.value"
_CONCEPT = concept()
_TEXTS = frozenset({"ST", "TX", "FT", "", "VR", "ID", "SI", "GTS"})
_CODES = frozenset({"CE", "CWE", "CNE", "CF", "IS"})
_STRINGS = frozenset({"CX", "EI", "XON"})
_RANGE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*-\s*(-?\d+(?:\.\d+)?)\s*")
_BOUND = re.compile(r"\s*([<>]=?)\s*(-?(?:\d+(?:\.\d+)?|\.\d+))\s*", re.ASCII)


def value(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write OBX-5 as OBX-2 says. Text repetitions become lines; further repetitions of other types become
    components."""
    repetitions = [raw for raw in segment.repetitions(5) if raw and raw != DELETE]
    if not repetitions:
        return
    type_ = segment.text(2).upper()
    base = f"{segment.label}-5"
    if type_ in _TEXTS:
        if not type_:
            bench.inform(f"{segment.label}-2", "the value has no type; taken as text")
        lines = "\n".join(bench.text(raw) for raw in segment.repetitions(5))
        if lines.strip():
            draft.put("valueString", lines, base)
        return
    for index, raw in enumerate(repetitions):
        where = base if index == 0 else f"{base}[{index + 1}]"
        found = _value(bench, segment, type_, raw, where)
        if found is None:
            continue
        name, content, leaves = found
        if index == 0 or not any(key.startswith("value") for key in draft.body):
            if name == "attachment":
                draft.put_converted(f"extension[{ATTACHMENT}].valueAttachment", (content, leaves))
            else:
                draft.put_converted(f"value{name}", (content, leaves))
        elif name == "attachment":
            bench.inform(where, "the target takes one attachment; this one is left out")
        else:
            code = _CONCEPT(bench, segment.repetitions(3)[0], f"{segment.label}-3")
            component: dict[str, Any] = {"code": code[0]} if code else {"code": {"text": "repeated value"}}
            leaf = [(f".value{name}{below}", source) for below, source in leaves]
            draft.put_converted("component[]", (component | {f"value{name}": content}, leaf))


def _value(bench: Bench, segment: Segment, type_: str, raw: str, where: str) -> tuple[str, Any, list[Leaf]] | None:
    if type_ == "NM":
        return _numeric(bench, segment, raw, where)
    if type_ == "SN":
        unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
        found = structured_numeric(bench, raw, unit[0] if unit else {})
        if found is None:
            return None
        leaves = [(below, source) for below, source in (unit[1] if unit else [])] if found[0] == "Quantity" else []
        return found[0], found[1], [(".value" if found[0] == "Quantity" else "", where), *leaves]
    if type_ in _CODES:
        converted = _CONCEPT(bench, raw, where)
        return ("CodeableConcept", *converted) if converted else None
    if type_ in ("DT", "DTM", "TS"):
        text = bench.text(raw.split(segment.delimiters.component)[0])
        if bench.moment(text).value is None:
            bench.warn("parse", where, "not a date; kept as text")
            return "String", bench.text(raw), [("", where)]
        converted = PRIMITIVES["dateTime"](bench, raw, where)
        return ("DateTime", *converted) if converted else None
    if type_ == "TM":
        time = time_of_day(bench.text(raw))
        return ("Time", time, [("", where)]) if time else ("String", bench.text(raw), [("", where)])
    if type_ in ("DR", "NR"):
        return _span(bench, type_, raw, where)
    if type_ in ("ED", "RP"):
        converted = (attachment if type_ == "ED" else pointer)(bench, raw, where)
        return ("attachment", *converted) if converted else None
    if type_ in _STRINGS:
        return "String", bench.text(raw.split(segment.delimiters.component)[0]), [("", where)]
    if type_ not in ("XPN", "XCN", "XAD", "XTN", "CP", "MO", "TQ", "PN", "CN", "AD", "TN", "CQ", "MA", "NA"):
        bench.warn("code", f"{segment.label}-2", "an unknown value type; the value is kept as text")
    text = " ".join(part for part in bench.parts(bench.sub(raw)) if part)
    return ("String", text, [("", where)]) if text else None


def _numeric(bench: Bench, segment: Segment, raw: str, where: str) -> tuple[str, Any, list[Leaf]] | None:
    text = bench.text(raw)
    if not text:
        return None
    bounded = _BOUND.fullmatch(text)
    comparator, digits = (bounded[1], bounded[2]) if bounded else ("", text)
    amount = number(digits)
    if amount is None:
        # Without its unit a text such as 5-10 would mean something else.
        unit_text = segment.text(6, 2) or segment.text(6)
        unit_at = f"{segment.label}-6"
        told = f"not a number; kept as text, with the unit of {unit_at}" if unit_text else "not a number; kept as text"
        bench.warn("parse", where, told)
        if not unit_text:
            return "String", text, [("", where)]
        return "String", f"{text} {unit_text}", [("", where), ("", unit_at)]
    unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
    leaves: list[Leaf] = [(".value", where)]
    compared = {"comparator": comparator} if comparator else {}
    return "Quantity", compared | {"value": amount} | (unit[0] if unit else {}), leaves + (unit[1] if unit else [])


def _span(bench: Bench, type_: str, raw: str, where: str) -> tuple[str, Any, list[Leaf]] | None:
    parts = [*bench.parts(raw), ""][:2]
    if type_ == "NR":
        bounds = {name: number(part) for name, part in zip(("low", "high"), parts, strict=True) if part}
        if not bounds or None in bounds.values():
            bench.warn("parse", where, "not a range of numbers; kept as text")
            return ("String", " - ".join(parts), [("", where)]) if any(parts) else None
        return "Range", {name: {"value": bound} for name, bound in bounds.items()}, [("", where)]
    moments = {name: bench.moment(part).value for name, part in zip(("start", "end"), parts, strict=True)}
    period = {name: moment for name, moment in moments.items() if moment}
    return ("Period", period, [("", where)]) if period else None


def reference_range(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-7 as text, and as low and high when it is written `a-b`, `<b` or `>a` and the value is a number."""
    text = segment.text(7)
    if not text:
        return
    made: dict[str, Any] = {}
    if segment.text(2) in ("NM", "SN"):
        unit = quantity_unit(bench, segment.field(6), f"{segment.label}-6")
        quantity = unit[0] if unit else {}
        if match := _RANGE.fullmatch(text):
            made = {"low": {"value": number(match[1])} | quantity, "high": {"value": number(match[2])} | quantity}
        elif match := _BOUND.fullmatch(text):
            made = {"high" if match[1][0] == "<" else "low": {"value": number(match[2])} | quantity}
    draft.put_converted("referenceRange[]", (made | {"text": text}, [(".text", f"{segment.label}-7")]))


DECISIONS = {"observation-value": value, "reference-range": reference_range}
