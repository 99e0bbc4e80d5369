"""Containers of specimens (SAC) and what else is in them (INV); numbers of lots, shipments, accessions and studies."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept, quantity_unit, structured_numeric
from hawsepipe_hl7v2.extensions import note
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.orders import NUMBER_TYPES
from hawsepipe_hl7v2.primitives import date_time_value, number
from hawsepipe_hl7v2.specimens import extend

_CONCEPT = concept()
_ADDITIVE = concept("Additive")
_CODED: tuple[tuple[int, str], ...] = (
    (8, "container-status"),
    (9, "carrier-type"),
    (12, "tray-type"),
    (25, "separator-type"),
    (26, "cap-type"),
)
_CODED += ((43, "special-handling"), (44, "other-environmental-factor"))
_NUMBERED = ((4, "primary-container"), (5, "equipment-container"), (10, "carrier"), (13, "tray"))
_SIZES: tuple[tuple[int, str, int], ...] = (
    (16, "container-height", 20),
    (17, "container-diameter", 20),
    (18, "barrier-delta", 20),
)
_SIZES += ((19, "bottom-delta", 20), (23, "initial-volume", 24))
_INDICES = ((32, "hemolysis-index", 33), (34, "lipemia-index", 35), (36, "icterus-index", 37))


def contained(bench: Bench, segment: Segment) -> str | None:
    """The Specimen of a container without SPM: SAC-2, SAC-1 or SAC-3."""
    for field in (2, 1, 3):
        if segment.text(field):
            return f"{bench.facility}|{segment.text(field)}"
    return None


def container(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SAC to Specimen.container: the first one is the one that SPM tells of, each further one another."""
    kept = bench.cache.setdefault(("containers", draft.url), [])
    items: list[dict[str, Any]] = draft.body.setdefault("container", [])
    at = len(kept)
    kept.append(segment.label)
    while len(items) <= at:
        items.append({})
    target, leaves, label = items[at], list[Leaf](), segment.label
    for field, code in ((3, ""), (1, "external"), (2, "accession")):
        value: dict[str, Any] = {}
        for raw in segment.repetitions(field)[:1]:
            found = bench.site.converts["EI"](bench, raw, f"{label}-{field}", value)
            if value:
                value |= {"type": {"text": f"{code} accession" if code == "external" else code}} if code else {}
                index = len(target.setdefault("identifier", []))
                target["identifier"].append(value)
                leaves += [(f".identifier[{index}]{below}", source) for below, source in found]
    for field, name, suffix in ((21, "capacity", 24), (22, "specimenQuantity", 24)):
        _amount(bench, segment, field, suffix, target, name, leaves)
    for raw in segment.repetitions(27)[:1]:
        made = _ADDITIVE(bench, raw, f"{label}-27")
        if made is not None and "additiveCodeableConcept" not in target:
            target["additiveCodeableConcept"] = made[0]
            leaves += [(f".additiveCodeableConcept{below}", source) for below, source in made[1]]
    _container_extensions(bench, segment, target, leaves)
    if not target:
        del items[at:]
        kept.pop()
        if not items:
            del draft.body["container"]
        return
    draft.trail.append((f"container[{at}]", leaves))


def _container_extensions(bench: Bench, segment: Segment, target: dict[str, Any], leaves: list[Leaf]) -> None:
    label = segment.label

    def add(name: str, suffix: str, made: Converted | None) -> None:
        if made is not None:
            at = note(target, name, suffix, made[0])
            leaves.extend((f".extension[{at}].value{suffix}{below}", source) for below, source in made[1])

    for field, name in _CODED:
        for raw in segment.repetitions(field):
            add(name, "CodeableConcept", _CONCEPT(bench, raw, f"{label}-{field}"))
    for field, name in _NUMBERED:
        value: dict[str, Any] = {}
        for raw in segment.repetitions(field)[:1]:
            found = bench.site.converts["EI"](bench, raw, f"{label}-{field}", value)
            add(f"{name}-identifier", "Identifier", (value, found) if value else None)
    for field, name, unit in (*_SIZES, *_INDICES):
        held: dict[str, Any] = {}
        found = []
        _amount(bench, segment, field, unit, held, name, found)
        if held:
            add(name, "Quantity", (held[name], [(below.removeprefix(f".{name}"), source) for below, source in found]))
    if segment.text(7):
        add("registered", "DateTime", date_time_value(bench, segment.field(7), f"{label}-7"))
    for field, name in ((29, "dilution-factor"), (31, "temperature")):
        for raw in segment.repetitions(field)[:1]:
            made = structured_numeric(bench, raw, {})
            if made is not None:
                add(name, made[0], (made[1], [("", f"{label}-{field}")]))


def _amount(
    bench: Bench, segment: Segment, field: int, unit: int, target: dict[str, Any], name: str, leaves: list[Leaf]
) -> None:
    figure = number(segment.text(field)) if segment.text(field) else None
    if figure is None:
        return
    quantity: dict[str, Any] = {"value": figure}
    leaves.append((f".{name}.value", f"{segment.label}-{field}"))
    told = quantity_unit(bench, (segment.repetitions(unit) or [""])[0], f"{segment.label}-{unit}")
    target[name] = quantity | (told[0] if told else {})
    leaves += [(f".{name}{below}", source) for below, source in (told[1] if told else [])]


def inventory(bench: Bench, segment: Segment) -> str | None:
    """A Substance: what it is, with its container and lot."""
    told = [segment.text(1) or segment.text(1, 2), segment.text(4), segment.text(16)]
    return "|".join((bench.facility, *told)) if any(told) else None


def inventory_quantity(bench: Bench, draft: Draft, segment: Segment) -> None:
    """INV-9 (available), else INV-8 (current), else INV-7 (initial), in the units of INV-11; the others stay beside."""
    for field, name in ((9, "available"), (8, "current"), (7, "initial")):
        held: dict[str, Any] = {}
        leaves: list[Leaf] = []
        _amount(bench, segment, field, 11, held, "quantity", leaves)
        if not held:
            continue
        below = [(path.removeprefix(".quantity"), source) for path, source in leaves]
        if "quantity" not in next(iter(draft.body.get("instance", [{}]))):
            draft.put_converted("instance[0].quantity", (held["quantity"], below))
        else:
            extend(draft, f"{name}-quantity", "Quantity", (held["quantity"], below))


def inventory_link(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Name the substance in the specimen whose container it is in."""
    home = bench.group.role("specimen")
    if home is not None:
        extend(home, "substance", "Reference", (draft.reference, [(".reference", f"{segment.label}-1")]))


def lot(bench: Bench, raw: str, where: str) -> Converted | None:
    """A manufacturer's lot number to Identifier."""
    text = bench.text(raw)
    kind = {"coding": [{"system": NUMBER_TYPES, "code": "LOT"}]} if text else {}
    return ({"type": kind, "value": text}, [(".value", where)]) if text else None


def accession(bench: Bench, raw: str, where: str) -> Converted | None:
    """EI to the Identifier of an accession."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["EI"](bench, raw, where, value)
    return (value | {"type": {"coding": [{"system": NUMBER_TYPES, "code": "ACSN"}]}}, leaves) if value else None


def study_instance(bench: Bench, raw: str, where: str) -> Converted | None:
    """EI with a DICOM study instance UID to Identifier."""
    text = bench.text(raw.split(bench.component)[0])
    return ({"system": "urn:dicom:uid", "value": f"urn:oid:{text}"}, [(".value", f"{where}.1")]) if text else None


def shipment(bench: Bench, raw: str, where: str) -> Converted | None:
    """EI to the Identifier of the shipment that the specimen came with."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["EI"](bench, raw, where, value)
    return (value | {"type": {"coding": [{"system": NUMBER_TYPES, "code": "SHIP"}]}}, leaves) if value else None


def with_specimen(bench: Bench, _segment: Segment) -> bool:
    """The container is a specimen's."""
    return bench.group.role("specimen") is not None


def without_specimen(bench: Bench, _segment: Segment) -> bool:
    """The container comes without a specimen."""
    return bench.group.role("specimen") is None


IDENTITIES = {"container-specimen": contained, "inventory": inventory}
DECISIONS = {"container": container, "inventory-link": inventory_link, "inventory-quantity": inventory_quantity}
PREDICATES = {"with-specimen": with_specimen, "without-specimen": without_specimen}
CONVERTERS = {
    "AccessionNumber": accession,
    "LotNumber": lot,
    "ShipmentNumber": shipment,
    "StudyInstance": study_instance,
}
"""Converters by the name that `via` uses."""
