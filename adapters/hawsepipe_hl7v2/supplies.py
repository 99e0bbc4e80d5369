"""How much is dispensed, by which pharmacy, and where it goes; numbers of prescriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft
from hawsepipe_hl7v2.dosages import quantity
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.people import coded_organization, practitioner
from hawsepipe_hl7v2.places import location
from hawsepipe_hl7v2.primitives import decimal, first
from hawsepipe_hl7v2.products import words
from hawsepipe_hl7v2.telecom import contact_point

_TELECOM = contact_point("work")
_IDENTIFIERS = "http://terminology.hl7.org/CodeSystem/v2-0203"
Decision = Callable[[Bench, Draft, Segment], None]


def supply(amount: int, units: int, path: str) -> Decision:
    """Return a decision that writes an amount with its units: what is to be dispensed, or was."""

    def write(bench: Bench, draft: Draft, segment: Segment) -> None:
        made = quantity(bench, segment, amount, units)
        if made is not None:
            draft.put_converted(path, made)
            return
        for field, name in ((amount, "amount"), (units, "units")):
            text = words(bench, segment, field) if field else ""
            if text:
                content = {"url": f"{PREFIX}dispense-{name}", "valueString": text}
                draft.put_converted("extension[]", (content, [(".valueString", f"{segment.label}-{field}")]))

    return write


def pharmacy(code: int, address: int, telecom: int) -> Decision:
    """Return a decision that writes the dispensing pharmacy, with its address and numbers."""

    def write(bench: Bench, draft: Draft, segment: Segment) -> None:
        raw = next(iter(segment.repetitions(code)), "")
        made = coded_organization(bench, raw, f"{segment.label}-{code}") if raw else None
        if made is not None:
            path = "performer[]" if draft.type == "MedicationDispense" else "dispenseRequest.performer"
            value = {"actor": made[0]} if draft.type == "MedicationDispense" else made[0]
            draft.put_converted(path, (value, made[1] if path[-1] != "]" else [(".actor.reference", made[1][0][1])]))
        home = bench.mentioned.get(made[0]["reference"]) if made is not None else None
        for index, text in enumerate(segment.repetitions(address)):
            value = {}
            where = f"{segment.label}-{address}" + (f"[{index + 1}]" if index else "")
            leaves = bench.site.converts["XAD"](bench, text, where, value)
            if value and home is not None:
                home.put_converted("address[]", (value, leaves))
            elif value:
                draft.put_converted(f"extension[{PREFIX}pharmacy-address].valueAddress", (value, leaves))
        for index, text in enumerate(segment.repetitions(telecom)):
            where = f"{segment.label}-{telecom}" + (f"[{index + 1}]" if index else "")
            number_ = _TELECOM(bench, text, where)
            if home is not None:
                home.put_converted("telecom[]", number_)
            else:
                draft.put_converted(f"extension[{PREFIX}pharmacy-telecom].valueContactPoint", number_)

    return write


def deliver_to(place: int, address: int) -> Decision:
    """Return a decision that writes where the medicine is to be delivered, as a Location with an address."""

    def write(bench: Bench, draft: Draft, segment: Segment) -> None:
        raw = next(iter(segment.repetitions(place)), "")
        made = location(bench, raw, f"{segment.label}-{place}") if raw else None
        url = f"extension[{PREFIX}deliver-to]"
        if made is not None:
            draft.put_converted(f"{url}.valueReference", made)
        for text in segment.repetitions(address)[:1] if address else ():
            value: dict[str, Any] = {}
            leaves = bench.site.converts["XAD"](bench, text, f"{segment.label}-{address}", value)
            if value:
                draft.put_converted(f"extension[{PREFIX}deliver-to-address].valueAddress", (value, leaves))

    return write


def note(field: int) -> Decision:
    """Return a decision that writes a field as notes, in words, with a code beside them."""

    def write(bench: Bench, draft: Draft, segment: Segment) -> None:
        for index, raw in enumerate(segment.repetitions(field)):
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            text = " ".join(part for part in bench.parts(bench.sub(raw)) if part)
            if text:
                draft.put_converted("note[]", ({"text": text}, [(".text", where)]))

    return write


def unsigned(bench: Bench, raw: str, where: str) -> Converted | None:
    """A whole number from 0; anything else is left out and reported."""
    text = first(bench, raw).removesuffix(".0")
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text), [("", where)]
    if text:
        bench.warn("parse", where, "not a whole number; left out")
    return None


def days(bench: Bench, raw: str, where: str) -> Converted | None:
    """A number of days to Duration."""
    converted = decimal(bench, raw, where)
    if converted is None:
        return None
    return {"value": converted[0], "unit": "day", "system": "http://unitsofmeasure.org", "code": "d"}, [
        (".value", where)
    ]


def prescription_number(bench: Bench, raw: str, where: str) -> Converted | None:
    """RXE-15 or RXD-7: the pharmacy's number of the prescription."""
    text = first(bench, raw)
    if not text:
        return None
    kind = {"coding": [{"system": _IDENTIFIERS, "code": "RX"}], "text": "prescription number"}
    return {"type": kind, "system": f"{bench.facility}:prescription", "value": text}, [(".value", where)]


def dispenser(bench: Bench, raw: str, where: str) -> Converted | None:
    """XCN to MedicationDispense.performer."""
    made = practitioner(bench, raw, where)
    if made is None:
        return None
    return {"actor": made[0]}, [(f".actor{below}", source) for below, source in made[1]]


DECISIONS: dict[str, Decision] = {
    "supply-ordered": supply(11, 12, "dispenseRequest.quantity"),
    "supply-encoded": supply(10, 11, "dispenseRequest.quantity"),
    "supply-first": supply(39, 11, "dispenseRequest.initialFill.quantity"),
    "supply-dispensed": supply(4, 5, "quantity"),
    "pharmacy-ordered": pharmacy(32, 33, 36),
    "pharmacy-encoded": pharmacy(40, 41, 45),
    "pharmacy-dispensed": pharmacy(30, 31, 34),
    "deliver-ordered": deliver_to(34, 35),
    "deliver-encoded": deliver_to(42, 43),
    "note-six": note(6),
    "note-nine": note(9),
    "note-fifteen": note(15),
    "note-twenty-one": note(21),
}
CONVERTERS: dict[str, Convert] = {
    "unsignedInt": unsigned,
    "Days": days,
    "PrescriptionNumber": prescription_number,
    "DispensePerformer": dispenser,
}
"""Converters by the name that `via` uses."""
