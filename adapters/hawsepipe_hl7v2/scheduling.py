"""Appointments: identity, status by event and filler's word, times, orders, requests for them (SCH, TQ1, ARQ)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Any

from hawsepipe_hl7v2.amounts import duration, quantity_of_time, shifted, unit_of_time, written_duration
from hawsepipe_hl7v2.bench import Bench, Converted, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.notes import annotation
from hawsepipe_hl7v2.paths import Twinned
from hawsepipe_hl7v2.primitives import ABSENT, ALTERNATE_CODES, absent, instant

APPOINTMENT_NOTE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.note"
DURATION = PREFIX + "duration"
_STATUSES = "http://terminology.hl7.org/CodeSystem/v2-0278"
_IDENTIFIERS = "http://terminology.hl7.org/CodeSystem/v2-0203"
_CONCEPT = concept()
_REASON = concept("AppointmentReason")
_TYPE = concept("AppointmentType")
_SETTLED = {"S15": "cancelled", "S16": "cancelled", "S17": "entered-in-error", "S26": "noshow"}
"""SIU events that decide the status, whatever SCH-25 repeats from before."""
_ANSWERED = {"S01": "booked", "S02": "booked", "S04": "cancelled", "S05": "cancelled", "S06": "entered-in-error"}
"""What an accepted request (SRR) has made of the appointment."""
_PARTIAL = frozenset({"S18", "S19", "S20", "S21", "S22"})
"""SIU events that tell of single services and resources; the others stay as they are stored."""
_CANCELLING = frozenset({"S15", "S16", "S17", "S26"})
_REQUESTS = {
    "S01": "new appointment",
    "S02": "reschedule appointment",
    "S03": "modify appointment",
    "S04": "cancel appointment",
    "S05": "discontinue appointment",
    "S06": "delete appointment",
    "S07": "add service or resource to appointment",
    "S08": "modify service or resource of appointment",
    "S09": "cancel service or resource of appointment",
    "S10": "discontinue service or resource of appointment",
    "S11": "delete service or resource of appointment",
}
_TIMES = {"AIS": 4, "AIG": 8, "AIL": 6, "AIP": 6}
"""Where the segments of resources have their start; the duration and its unit are three and four fields on."""


def entity_key(bench: Bench, raw: str) -> str | None:
    """Return system and value of an EI, None without a value."""
    parts = [*bench.parts(raw), "", "", ""]
    if not parts[0]:
        return None
    return f"{bench.naming.authority(parts[1], parts[2], parts[3]) or bench.facility}|{parts[0]}"


def appointment(bench: Bench, segment: Segment) -> str | None:
    """SCH-2 or ARQ-2 (the schedule's number), else SCH-1 or ARQ-1, with the occurrence in field 3; else the message."""
    for field in (2, 1):
        for raw in segment.repetitions(field)[:1]:
            key = entity_key(bench, raw)
            if key is not None:
                return f"{key}|{segment.text(3)}" if segment.text(3) else key
    bench.warn("required", f"{segment.label}-2", "the appointment has no number: later messages cannot be joined to it")
    return f"{bench.control}|{segment.label}"


def identifiers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the placer's and the filler's number (SCH-1, SCH-2; ARQ-1, ARQ-2) with their types."""
    for field, code in ((1, "PLAC"), (2, "FILL")):
        for index, raw in enumerate(segment.repetitions(field)):
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            value: dict[str, Any] = {}
            leaves = bench.site.converts["EI"](bench, raw, where, value)
            if "value" in value:
                value.setdefault("type", {"coding": [{"system": _IDENTIFIERS, "code": code}]})
                draft.put_converted("identifier[]", (value, leaves))


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide Appointment.status.

    1. an event that ends the appointment (S15, S16 cancelled; S17 entered in error; S26 no show); 2. the filler's
    status (SCH-25, else the one AIS-10 of a single service); 3. what an accepted request made of it (SRR); 4. booked,
    which for an event that only changes something never replaces what is stored. A code of the sender that is
    another word or means something else stays beside it.
    """
    field, source = segment.field(25), f"{segment.label}-25"
    services = [one for one in bench.message.segments if one.name == "AIS"]
    if not segment.text(25) and not segment.text(25, 2) and len(services) == 1 and services[0].text(10):
        field, source = services[0].field(10), f"{services[0].label}-10"
    told = _CONCEPT(bench, field, source) if field else None
    codes = bench.site.codes["AppointmentStatus"]["codes"]
    mapped = ""
    for coding in told[0].get("coding", ()) if told else ():
        mapped = mapped or codes.get(coding.get("code", "").upper(), "")
    if told and not mapped:
        mapped = codes.get(told[0].get("text", "").upper(), "")
    event = bench.event
    accepted = (answer := bench.message.first("MSA")) is None or answer.text(1) in ("AA", "CA")
    settled = _SETTLED.get(event.trigger, "") if event.type == "SIU" else ""
    answered = _ANSWERED.get(event.trigger, "") if event.type == "SRR" and accepted else ""
    decided, origin = (settled, "MSH-9.2") if settled else (mapped, source) if mapped else (answered, "MSH-9.2")
    if not decided:
        changes = event.trigger not in ("S12", "S13")
        decided = "booked" if event.type == "SIU" else "proposed"
        if changes:
            draft.keep.add("status")
    if event.trigger in _PARTIAL:
        draft.union |= {"participant", "serviceType"}
    if told and (mapped != decided or _said(told[0]) != decided):
        for coding in told[0].get("coding", ()):
            coding.setdefault("system", _STATUSES)
        if not mapped:
            bench.warn("code", source, "a status that the table of appointment statuses does not map; kept beside it")
        extension = {"url": ALTERNATE_CODES, "valueCodeableConcept": told[0]}
        draft.put_converted("status", (Twinned(decided, extension), [("", source)]))
    else:
        draft.put("status", decided, origin)


def _said(value: dict[str, Any]) -> str:
    return str(next((one.get("code", "") for one in value.get("coding", ())), value.get("text", ""))).casefold()


def reason(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SCH-7 as the reason, and as the type when it is coded as one (table 0277) and SCH-8 tells none; SCH-8 as the
    type."""
    where = f"{segment.label}-7"
    for index, raw in enumerate(segment.repetitions(7)):
        draft.put_converted("reasonCode[]", _REASON(bench, raw, where + (f"[{index + 1}]" if index else "")))
    if segment.field(8):
        draft.put_converted("appointmentType", _TYPE(bench, segment.repetitions(8)[0], f"{segment.label}-8"))
    elif segment.text(7, 3) == "HL70277":
        draft.put_converted("appointmentType", _TYPE(bench, segment.repetitions(7)[0], where))


def event_reason(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SCH-6 (ARQ-6): why the appointment was cancelled when the event says that; else why the message was sent."""
    converted = _CONCEPT(bench, segment.field(6), f"{segment.label}-6") if segment.field(6) else None
    if converted is None:
        return
    if bench.event.type == "SIU" and bench.event.trigger in _CANCELLING:
        draft.put_converted("cancelationReason", converted)
        return
    value = {"url": PREFIX + "event-reason", "valueCodeableConcept": converted[0]}
    leaves = [(f".valueCodeableConcept{below}", source) for below, source in converted[1]]
    draft.put_converted("extension[]", (value, leaves))


def length(bench: Bench, segment: Segment) -> timedelta | None:
    """Return SCH-9 in the units of SCH-10 (minutes when it tells none)."""
    unit = unit_of_time(segment.text(10) or segment.text(10, 2))
    return duration(segment.text(9), unit) if unit and segment.text(9) else None


def minutes(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SCH-9 in minutes, rounded up; what was sent in another unit stays beside it."""
    amount, told = segment.text(9), segment.text(10) or segment.text(10, 2)
    if not amount:
        return
    unit, lasting = unit_of_time(told), length(bench, segment)
    value = max(ceil(lasting.total_seconds() / 60), 0) if lasting is not None else 0
    leaves = [("", f"{segment.label}-9")]
    if unit == "min" and value and str(value) == amount:
        draft.put_converted("minutesDuration", (value, leaves))
        return
    sent = quantity_of_time(amount, unit or "", segment.text(10, 2) or told)
    if sent is None or unit is None:
        bench.warn("parse", f"{segment.label}-9", "not a duration in units of time; kept beside the element")
    extension = {"url": DURATION, "valueQuantity": sent} if sent else {"url": DURATION, "valueString": amount}
    draft.put_converted("minutesDuration", (Twinned(value or None, extension), leaves))


def times(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide start and end.

    1. TQ1-7 and TQ1-8 (TQ1-6 as duration); 2. SCH-11.4 and SCH-11.5 (SCH-11.3), which TQ1 replaced: beside TQ1 it is
    only the time that was asked for; 3. the first start of a service or resource. Without an end it is the start with
    SCH-9, else with the longest duration of a service or resource. R4 wants both or neither, so what is not told is
    said to be absent.
    """
    timing = bench.group.segment("TQ1")
    asked = f"{segment.label}-11"
    inner = [bench.sub(part) for part in (segment.repetitions(11) or [""])[0].split(bench.component)]
    inner += [""] * 6
    found: list[tuple[str, str, str, str, timedelta | None]] = []
    if timing is not None and (timing.text(7) or timing.text(8)):
        unit = unit_of_time(timing.component(6, 2).split(bench.subcomponent)[0])
        lasting = duration(timing.text(6), unit) if unit and timing.text(6) else None
        label = timing.label
        found.append((timing.field(7), f"{label}-7", timing.field(8), f"{label}-8", lasting))
    if inner[3] or inner[4]:
        found.append((inner[3], f"{asked}.4", inner[4], f"{asked}.5", written_duration(bench.text(inner[2]))))
    if not found:
        found += _of_resources(bench)
    if not found:
        _absent(draft, ("start", "end"))
        return
    begins, begins_at, ends, ends_at, lasting = found[0]
    draft.put_converted("start", instant(bench, begins, begins_at))
    draft.put_converted("end", instant(bench, ends, ends_at))
    start = draft.body.get("start")
    if start and "end" not in draft.body and (lasting := length(bench, segment) or lasting) is not None:
        source = f"{segment.label}-9" if segment.text(9) else begins_at
        if (ended := shifted(start, lasting)) is not None:
            draft.put("end", ended, source)
    _absent(draft, ("start", "end"))
    for begins, begins_at, ends, ends_at, _ in found[1:2]:
        for name, raw, where in (("start", begins, begins_at), ("end", ends, ends_at)):
            converted = bench.moment(bench.text(raw)).value if raw else None
            if converted:
                draft.put(f"requestedPeriod[0].{name}", converted, where)


def _of_resources(bench: Bench) -> list[tuple[str, str, str, str, timedelta | None]]:
    """The first start of a service or resource, and the longest duration among those that start with it."""
    starts: list[tuple[str, str, timedelta | None]] = []
    for one in bench.message.segments:
        at = _TIMES.get(one.name)
        if at is None or not one.text(at):
            continue
        unit = unit_of_time(one.text(at + 4) or one.text(at + 4, 2))
        lasting = duration(one.text(at + 3), unit) if unit and one.text(at + 3) else None
        starts.append((one.field(at), f"{one.label}-{at}", lasting))
    if not starts:
        return []
    first, where, _ = min(starts, key=lambda entry: entry[0])
    known = [lasting for begins, _, lasting in starts if begins == first and lasting is not None]
    return [(first, where, "", "", max(known, default=None))]


def _absent(draft: Draft, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in draft.body and f"_{name}" not in draft.body:
            draft.put(name, Twinned(None, {"url": ABSENT, "valueCode": "unknown"}))


def parents(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SCH-23 and SCH-24 (ARQ-22, ARQ-23): the appointment that this one hangs on, known by its number."""
    for field in (23, 24) if segment.name == "SCH" else (22, 23):
        for raw in segment.repetitions(field):
            value: dict[str, Any] = {}
            leaves = bench.site.converts["EI"](bench, raw, f"{segment.label}-{field}", value)
            if "value" in value:
                logical = {"type": "Appointment", "identifier": value, "display": "parent appointment"}
                below = [(f".identifier{path}", source) for path, source in leaves]
                draft.put_converted("supportingInformation[]", (logical, below))


def orders(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SCH-26 and SCH-27 (ARQ-24, ARQ-25): the orders that the appointment fulfils, as ServiceRequests.

    The n-th number belongs to the n-th service when there are as many; else the first service is what is ordered. The
    appointment knows orders by the way: what an order message wrote stays.
    """
    placer_field, filler_field = (26, 27) if segment.name == "SCH" else (24, 25)
    placers, fillers = segment.repetitions(placer_field), segment.repetitions(filler_field)
    services = [one for one in bench.message.segments if one.name == "AIS"]
    count = max(len(placers), len(fillers))
    made: list[Draft] = []
    for index in range(count):
        service = services[index] if len(services) == count else services[0] if services else None
        named = (service.text(3) or service.text(3, 2)).casefold() if service is not None else ""
        numbers = [(found[index] if index < len(found) else "") for found in (placers, fillers)]
        key = next((key for raw in numbers if raw and (key := entity_key(bench, raw))), None)
        if key is None:
            continue
        order = bench.mention("ServiceRequest", f"{key}|{named}")
        for raw, code, field in ((numbers[0], "PLAC", placer_field), (numbers[1], "FILL", filler_field)):
            value: dict[str, Any] = {}
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            leaves = bench.site.converts["EI"](bench, raw, where, value) if raw else []
            if "value" in value:
                value["type"] = {"coding": [{"system": _IDENTIFIERS, "code": code}]}
                order.put_converted("identifier[]", (value, leaves))
        order.put("status", "active")
        order.put("intent", "order")
        made.append(order)
        draft.put("basedOn[]", order.reference, f"{segment.label}-{placer_field if numbers[0] else filler_field}")
    bench.cache.setdefault(("appointment", "orders"), []).extend(made)
    patient = bench.group.role("patient")
    for order in made:
        if patient is not None:
            order.put("subject", patient.reference)
        order.defaults.setdefault("subject", (_nobody, "nobody is named whom the order is for; absent", segment.label))


def _nobody(_bench: Bench, _raw: str, where: str) -> Converted | None:
    return {"extension": [absent()]}, [(".extension[0].valueCode", where)]


def requested(bench: Bench, draft: Draft, segment: Segment) -> None:
    """A request (SRM) asks: a Task says what for, and about which appointment.

    Only a new appointment is proposed by it; until the schedule answers, what is stored of another one stays.
    """
    asked = _REQUESTS.get(bench.event.trigger, "change appointment")
    if bench.event.trigger != "S01":
        draft.keep.add("*")
    task = bench.draft("Task", f"{draft.id}|{bench.control}")
    task.put("status", "requested")
    task.put("intent", "order")
    task.put("code", {"text": asked}, "MSH-9.2")
    task.put("focus", draft.reference, f"{segment.label}-1")
    if segment.field(6):
        task.put_converted("reasonCode", _CONCEPT(bench, segment.field(6), f"{segment.label}-6"))
    moment = bench.moment(bench.message.segments[0].text(7)).value
    if moment:
        task.put("authoredOn", moment, "MSH-7")
    bench.group.roles["request"] = task


def ranges(bench: Bench, draft: Draft, segment: Segment) -> None:
    """ARQ-11: the spans of time that were asked for; start and end are known when the schedule answers."""
    for index, raw in enumerate(segment.repetitions(11)):
        where = f"{segment.label}-11" + (f"[{index + 1}]" if index else "")
        value: dict[str, Any] = {}
        leaves = []
        for at, name in ((0, "start"), (1, "end")):
            part = bench.text([*raw.split(bench.component), ""][at])
            moment = bench.moment(part).value if part else None
            if moment:
                value[name] = moment
                leaves.append((f".{name}", f"{where}.{at + 1}"))
        if value:
            draft.put_converted("requestedPeriod[]", (value, leaves))


def note(bench: Bench, draft: Draft, segment: Segment) -> None:
    """NTE as the extension that carries R5's note; all texts together are the comment, which R4's readers see."""
    made = annotation(bench, segment)
    if made is None:
        return
    value = {"url": APPOINTMENT_NOTE, "valueAnnotation": made[0]}
    draft.put_converted("extension[]", (value, [(f".valueAnnotation{below}", source) for below, source in made[1]]))
    before = draft.body.get("comment")
    draft.body["comment"] = f"{before}\n{made[0]['text']}" if before else made[0]["text"]
    draft.trail.append(("comment", [("", made[1][-1][1])]))


IDENTITIES = {"appointment": appointment}
DECISIONS = {
    "appointment-identifiers": identifiers,
    "appointment-status": status,
    "appointment-reason": reason,
    "appointment-event-reason": event_reason,
    "appointment-minutes": minutes,
    "appointment-times": times,
    "appointment-parents": parents,
    "appointment-orders": orders,
    "appointment-requested": requested,
    "appointment-ranges": ranges,
    "appointment-note": note,
}
PREDICATES: dict[str, Callable[[Bench, Segment], bool]] = {}
