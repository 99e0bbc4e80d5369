"""The medicine that an order, a dispense or an administration is about: code, form, strength, lot, and RXC as its
ingredients."""

from __future__ import annotations

from typing import Any, NamedTuple

from hawsepipe import Method
from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.dosages import quantity, unit
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.people import coded_organization
from hawsepipe_hl7v2.primitives import PRIMITIVES

_CONCEPT = concept()


class Product(NamedTuple):
    """Where a segment tells the medicine; 0 where it does not."""

    code: int
    form: int
    strength: int
    strength_units: int
    volume: int
    volume_units: int
    lot: int
    expiration: int
    maker: int


PRODUCTS = {
    "RXO": Product(1, 5, 18, 19, 25, 26, 0, 0, 0),
    "RXE": Product(2, 6, 25, 26, 33, 34, 0, 0, 0),
    "RXG": Product(4, 8, 17, 18, 23, 24, 19, 20, 21),
    "RXD": Product(2, 6, 16, 17, 28, 29, 18, 19, 20),
    "RXA": Product(5, 8, 13, 14, 23, 24, 15, 16, 17),
}


def medicine(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The Medication of this order: code, form, strength of the one ingredient, lot and maker."""
    at = PRODUCTS[segment.name]
    label = segment.label
    made = _product(bench, draft)
    for index, raw in enumerate(segment.repetitions(at.code)):
        where = f"{label}-{at.code}" + (f"[{index + 1}]" if index else "")
        if "code" in made.body:
            leftovers.repetition(bench, made, f"{segment.name}-{at.code}", raw, where)
        else:
            made.put_converted("code", _CONCEPT(bench, raw, where))
    raw = next(iter(segment.repetitions(at.form)), "") if at.form else ""
    if raw:
        made.put_converted("form", _CONCEPT(bench, raw, f"{label}-{at.form}"))
    strength = quantity(bench, segment, at.strength, at.strength_units)
    if strength is not None:
        _strength(bench, made, segment, strength)
    elif segment.text(at.strength_units) or segment.text(at.strength_units, 2):
        told, leaves = unit(bench, segment.repetitions(at.strength_units)[0], f"{label}-{at.strength_units}")
        _strength(bench, made, segment, (told, leaves))
    if at.lot and segment.text(at.lot):
        made.put("batch.lotNumber", segment.text(at.lot), f"{label}-{at.lot}")
    if at.expiration and segment.text(at.expiration):
        expires = PRIMITIVES["dateTime"](bench, segment.repetitions(at.expiration)[0], f"{label}-{at.expiration}")
        made.put_converted("batch.expirationDate", expires)
    if at.maker and segment.field(at.maker):
        maker = coded_organization(bench, segment.repetitions(at.maker)[0], f"{label}-{at.maker}")
        made.put_converted("manufacturer", maker)
    code = made.body.get("code", {})
    text = code.get("text") or next((one["display"] for one in code.get("coding", ()) if "display" in one), "")
    reference = made.reference | ({"display": text} if text else {})
    draft.put_converted("medicationReference", (reference, [(".reference", f"{label}-{at.code}")]))


def _product(bench: Bench, draft: Draft) -> Draft:
    return bench.draft("Medication", f"{draft.id}|medicine", Method.MERGE)


def _strength(bench: Bench, made: Draft, segment: Segment, strength: Converted) -> None:
    """The strength in one unit of what is given, or in the volume that is told beside it."""
    at = PRODUCTS[segment.name]
    volume = quantity(bench, segment, at.volume, at.volume_units)
    ratio: dict[str, Any] = {"numerator": strength[0]}
    leaves: list[Leaf] = [(f".strength.numerator{below}", source) for below, source in strength[1]]
    if volume is not None:
        ratio["denominator"] = volume[0]
        leaves += [(f".strength.denominator{below}", source) for below, source in volume[1]]
    else:
        told, more = (
            unit(bench, segment.repetitions(at.volume_units)[0], f"{segment.label}-{at.volume_units}")
            if segment.field(at.volume_units)
            else ({}, [])
        )
        ratio["denominator"] = {"value": 1} | told
        leaves += [(f".strength.denominator{below}", source) for below, source in more]
    code = made.body.get("code") or {"text": "not told"}
    made.put_converted("ingredient[]", ({"itemCodeableConcept": dict(code), "strength": ratio}, leaves))


def component(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXC: one ingredient of the order's medicine, a base or an additive, with its amount and own strength."""
    made = _product(bench, draft)
    label = segment.label
    item: dict[str, Any] = {}
    leaves: list[Leaf] = []
    code = _CONCEPT(bench, segment.field(2), f"{label}-2")
    item["itemCodeableConcept"] = code[0] if code is not None else {"text": "not told"}
    if code is not None:
        leaves += [(f".itemCodeableConcept{below}", source) for below, source in code[1]]
    amount = quantity(bench, segment, 3, 4)
    if amount is not None:
        item["strength"] = {"numerator": amount[0], "denominator": {"value": 1}}
        leaves += [(f".strength.numerator{below}", source) for below, source in amount[1]]
    item["isActive"] = segment.text(1).upper() != "B"
    kind = {"B": "base", "A": "additive"}.get(segment.text(1).upper(), segment.text(1))
    keep(item, leaves, "component-type", kind, f"{label}-1")
    own = quantity(bench, segment, 5, 6)
    if own is not None:
        _quantity(item, leaves, "component-strength", own)
    else:
        for field, name in ((5, "component-strength-text"), (6, "component-strength-units")):
            keep(item, leaves, name, words(bench, segment, field), f"{label}-{field}")
    if amount is None:
        for field, name in ((3, "component-amount-text"), (4, "component-units")):
            keep(item, leaves, name, words(bench, segment, field), f"{label}-{field}")
    keep(item, leaves, "supplementary-code", words(bench, segment, 7), f"{label}-7")
    volume = quantity(bench, segment, 8, 9)
    if volume is not None:
        _quantity(item, leaves, "component-strength-volume", volume)
    else:
        keep(item, leaves, "component-volume-units", words(bench, segment, 9), f"{label}-9")
    keep(item, leaves, "dispense-amount", words(bench, segment, 10), f"{label}-10")
    keep(item, leaves, "dispense-units", words(bench, segment, 11), f"{label}-11")
    made.put_converted("ingredient[]", (item, leaves))
    draft.put("medicationReference", made.reference, label)


def words(bench: Bench, segment: Segment, field: int) -> str:
    """Return a field as words: components with spaces between, repetitions with semicolons."""
    return "; ".join(
        " ".join(part for part in bench.parts(bench.sub(raw)) if part) for raw in segment.repetitions(field) if raw
    )


def keep(item: dict[str, Any], leaves: list[Leaf], name: str, text: str, where: str) -> None:
    """Keep a text in an extension of an element, with its leaf."""
    if text and text != '""':
        items = item.setdefault("extension", [])
        leaves.append((f".extension[{len(items)}].valueString", where))
        items.append({"url": PREFIX + name, "valueString": text})


def _quantity(item: dict[str, Any], leaves: list[Leaf], name: str, made: Converted) -> None:
    items = item.setdefault("extension", [])
    leaves += [(f".extension[{len(items)}].valueQuantity{below}", source) for below, source in made[1]]
    items.append({"url": PREFIX + name, "valueQuantity": made[0]})


DECISIONS = {"medicine": medicine, "medicine-component": component}
