"""Blocked and opened times (SIU S23, S24): SCH as a Slot of a Schedule, whose resources are its actors."""

from __future__ import annotations

from hawsepipe_hl7v2.bench import Bench, Converted, Draft
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.participants import thing
from hawsepipe_hl7v2.people import practitioner
from hawsepipe_hl7v2.places import location
from hawsepipe_hl7v2.scheduling import times

_BLOCKING = {"S23": "busy-unavailable", "S24": "free"}


def blocks(bench: Bench, _segment: Segment) -> bool:
    """The event blocks or opens a time, so that there is no appointment in it."""
    return bench.event.type == "SIU" and bench.event.trigger in _BLOCKING


def books(bench: Bench, segment: Segment) -> bool:
    """The event is of an appointment."""
    return not blocks(bench, segment)


def slot(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the slot: blocked or free, from when to when, of the schedule in SCH-5 (else of what is blocked)."""
    draft.put("status", _BLOCKING[bench.event.trigger], "MSH-9.2")
    times(bench, draft, segment)
    # What was asked for beside the time that counts is no part of a slot.
    if draft.body.pop("requestedPeriod", None) is not None:
        draft.trail = [entry for entry in draft.trail if not entry[0].startswith("requestedPeriod")]
        bench.inform(f"{segment.label}-11", "TQ1 tells the time that is blocked; this one is left out")
    code = segment.text(5) or segment.text(5, 2)
    schedule = bench.mention("Schedule", f"{bench.facility}|{code.casefold() if code else draft.id}")
    if code:
        system = bench.naming.coding_system(segment.text(5, 3)) or bench.facility
        schedule.put("identifier[]", {"system": system, "value": code}, f"{segment.label}-5")
    if segment.text(5, 2):
        schedule.put("comment", segment.text(5, 2), f"{segment.label}-5.2")
    if segment.text(6) or segment.text(6, 2):
        draft.put("comment", segment.text(6, 2) or segment.text(6), f"{segment.label}-6")
    if segment.text(9):
        unit = segment.text(10, 2) or segment.text(10) or "min"
        draft.put(f"extension[{PREFIX}duration].valueString", f"{segment.text(9)} {unit}", f"{segment.label}-9")
    schedule.defaults.setdefault("actor[]", (_nobody, "no resource of the schedule is told; absent", segment.label))
    draft.put("schedule", schedule.reference, f"{segment.label}-5")
    bench.group.roles["schedule"] = schedule


def _nobody(_bench: Bench, _raw: str, where: str) -> Converted | None:
    absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    return {"extension": [absent]}, [(".extension[0].valueCode", where)]


def actor(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AIG-3, AIL-3 or AIP-3: whose time it is."""
    for index, raw in enumerate(segment.repetitions(3)):
        where = f"{segment.label}-3" + (f"[{index + 1}]" if index else "")
        if segment.name == "AIG":
            made = thing(bench, segment, raw, where)
        else:
            made = (location if segment.name == "AIL" else practitioner)(bench, raw, where)
        if made is not None:
            draft.put_converted("actor[]", made)


DECISIONS = {"slot": slot, "schedule-actor": actor}
PREDICATES = {"blocks": blocks, "books": books}
