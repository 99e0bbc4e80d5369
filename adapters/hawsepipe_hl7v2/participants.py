"""Who and what takes part in an appointment: PID, the contacts of SCH and ARQ, the services and resources of each RGS
group (AIS, AIG, AIL, AIP) with their times."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from hawsepipe_hl7v2.amounts import duration, put_moment, quantity_of_time, shifted, unit_of_time
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX, note
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.people import practitioner
from hawsepipe_hl7v2.places import location
from hawsepipe_hl7v2.primitives import ALTERNATE_CODES, absent, date_time_value, first, number
from hawsepipe_hl7v2.scheduling import DURATION
from hawsepipe_hl7v2.telecom import contact_point

SUBJECT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.subject"
_CONCEPT = concept()
_TELECOM = contact_point()
_STATUSES = "http://terminology.hl7.org/CodeSystem/v2-0278"
_REMOVING = frozenset({"S20", "S21", "S22"})
"""Events that take the listed services and resources off the appointment."""
_PLACES = ("ROOM", "LOCATION", "CLINIC", "WARD", "BED", "SUITE", "THEATRE", "THEATER")
_WAITING = frozenset({"proposed", "pending", "waitlist"})


class _Fields(NamedTuple):
    """Where a segment of a resource has what; the unit of an offset or duration follows it."""

    kind: int
    group: int
    start: int
    substitution: int
    status: int


_AIG = _Fields(kind=4, group=5, start=8, substitution=13, status=14)
_AIL = _Fields(kind=4, group=5, start=6, substitution=11, status=12)
_AIP = _Fields(kind=4, group=5, start=6, substitution=11, status=12)
_AIS = _Fields(kind=0, group=0, start=4, substitution=9, status=10)


def patients(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The patient takes part; the first one is whom the appointment is about. So are the orders and the request."""
    patient = bench.group.role("patient")
    if patient is None:
        return
    where = f"{segment.label}-3" if segment.name == "PID" else segment.label
    draft.put(f"extension[{SUBJECT}].valueReference", patient.reference, where)
    if not any(one.get("actor") == patient.reference for one in draft.body.get("participant", ())):
        status = "needs-action" if draft.body.get("status") in _WAITING else "accepted"
        value = {"actor": patient.reference, "status": status}
        draft.put_converted("participant[]", (value, [(".actor.reference", where)]))
    for order in bench.cache.get(("appointment", "orders"), ()):
        order.put("subject", patient.reference)
    if (request := bench.group.role("request")) is not None:
        request.put("for", patient.reference)


def contacts(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The placer's contact (SCH-12 to 15), the filler's (SCH-16 to 19) and who entered it (SCH-20 to 22) as
    participants of those kinds; ARQ has the placer's in 15 to 18 and who entered it in 19 to 21."""
    enterer = {"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "enterer"}
    roles: list[tuple[dict[str, Any], int, int, int, int]] = [
        ({"text": "placer contact"}, 12, 13, 14, 15),
        ({"text": "filler contact"}, 16, 17, 18, 19),
        ({"coding": [enterer]}, 20, 21, 0, 22),
    ]
    if segment.name == "ARQ":
        roles = [({"text": "placer contact"}, 15, 16, 17, 18), ({"coding": [enterer]}, 19, 20, 0, 21)]
    for kind, person, phone, address, place in roles:
        _contact(bench, draft, segment, kind, (person, phone, address, place))


def _contact(
    bench: Bench, draft: Draft, segment: Segment, kind: dict[str, Any], fields: tuple[int, int, int, int]
) -> None:
    person, phone, address, place = fields
    extra: dict[str, Any] = {}
    found: list[Leaf] = []
    for field, name, suffix in (
        (phone, "contact-telecom", "ContactPoint"),
        (address, "contact-address", "Address"),
        (place, "contact-location", "Reference"),
    ):
        for index, raw in enumerate(segment.repetitions(field) if field else ()):
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            converted = _detail(bench, suffix, raw, where)
            if converted is not None:
                at = note(extra, name, suffix, converted[0])
                found += [(f".extension[{at}].value{suffix}{below}", source) for below, source in converted[1]]
    people = [
        made
        for index, raw in enumerate(segment.repetitions(person))
        if (made := practitioner(bench, raw, f"{segment.label}-{person}" + (f"[{index + 1}]" if index else "")))
    ]
    status = "needs-action" if draft.body.get("status") in _WAITING else "accepted"
    for index, (actor, leaves) in enumerate(people):
        value = {**(extra if index == 0 else {}), "type": [kind], "actor": actor, "status": status}
        below = [(f".actor{path}", source) for path, source in leaves]
        draft.put_converted("participant[]", (value, below + (found if index == 0 else [])))
    if extra and not people:
        draft.put_converted("participant[]", ({**extra, "type": [kind], "status": status}, found))


def _detail(bench: Bench, suffix: str, raw: str, where: str) -> Converted | None:
    if suffix == "ContactPoint":
        return _TELECOM(bench, raw, where)
    if suffix == "Reference":
        return location(bench, raw, where)
    value: dict[str, Any] = {}
    leaves = bench.site.converts["XAD"](bench, raw, where, value)
    return (value, leaves) if value else None


def general(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AIG: a thing that is booked, as a Device; as a Location when AIG-4 calls it a room or a place."""
    for index, raw in enumerate(segment.repetitions(3) or [""]):
        where = f"{segment.label}-3" + (f"[{index + 1}]" if index else "")
        actor = thing(bench, segment, raw, where)
        _participant(bench, draft, segment, _AIG, actor)


def places(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AIL: a place that is booked."""
    for index, raw in enumerate(segment.repetitions(3) or [""]):
        where = f"{segment.label}-3" + (f"[{index + 1}]" if index else "")
        _participant(bench, draft, segment, _AIL, location(bench, raw, where) if raw else None)


def personnel(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AIP: a person who is booked."""
    for index, raw in enumerate(segment.repetitions(3) or [""]):
        where = f"{segment.label}-3" + (f"[{index + 1}]" if index else "")
        _participant(bench, draft, segment, _AIP, practitioner(bench, raw, where) if raw else None)


def thing(bench: Bench, segment: Segment, raw: str, where: str) -> Converted | None:
    """AIG-3 to a Device, to a Location by AIG-4, known by its code; the further codes are further identifiers."""
    kind = " ".join((segment.text(4), segment.text(4, 2), segment.text(4, 9))).upper()
    type_ = "Location" if any(word in kind for word in _PLACES) else "Device"
    parts = [*bench.parts(raw), *[""] * 6]
    if not parts[0] and not parts[1]:
        return None
    system = bench.naming.coding_system(parts[2]) or bench.facility
    draft = bench.mention(type_, f"{system}|{parts[0] or parts[1].casefold()}")
    for code, name in ((0, 2), (3, 5)):
        if parts[code]:
            value = {"system": bench.naming.coding_system(parts[name]) or bench.facility, "value": parts[code]}
            leaves = [(".value", f"{where}.{code + 1}")]
            if parts[name]:
                leaves.append((".system", f"{where}.{name + 1}"))
            draft.put_converted("identifier[]", (value, leaves))
    for at in (1, 4):
        if not parts[at]:
            continue
        if type_ == "Device":
            draft.put_converted(
                "deviceName[]", ({"name": parts[at], "type": "user-friendly-name"}, [(".name", f"{where}.{at + 1}")])
            )
        else:
            draft.put("name" if at == 1 else "alias[]", parts[at], f"{where}.{at + 1}")
    if type_ == "Location":
        draft.put("mode", "instance")
    display = parts[1] or parts[0]
    return draft.reference | {"display": display}, [(".reference", where)]


def _participant(bench: Bench, draft: Draft, segment: Segment, at: _Fields, actor: Converted | None) -> None:
    """Write one participant: kind, actor, status, times; what R4 has no element for as extensions."""
    label = segment.label
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []
    for index, raw in enumerate(segment.repetitions(at.kind)):
        converted = _CONCEPT(bench, raw, f"{label}-{at.kind}" + (f"[{index + 1}]" if index else ""))
        if converted is not None:
            number_ = len(value.setdefault("type", []))
            value["type"].append(converted[0])
            leaves += [(f".type[{number_}]{below}", source) for below, source in converted[1]]
    if actor is not None:
        value["actor"] = actor[0]
        leaves += [(f".actor{below}", source) for below, source in actor[1]]
    if not value:
        bench.inform(label, "neither who nor what kind of resource; left out")
        return
    for field, name in ((at.group, "resource-group"), (at.substitution, "substitution")):
        _concepts(bench, value, segment, field, name, leaves)
    if at is _AIG and (amount := number(segment.text(6))) is not None:
        unit = segment.text(7, 2) or segment.text(7)
        quantity = {"value": amount} | ({"unit": unit} if unit else {})
        where = note(value, "resource-quantity", "Quantity", quantity)
        leaves.append((f".extension[{where}].valueQuantity.value", f"{label}-6"))
        if unit:
            leaves.append((f".extension[{where}].valueQuantity.unit", f"{label}-7"))
    _group(bench, value, leaves)
    _filler_status(bench, draft, value, segment, at.status, leaves)
    period(bench, draft, value, segment, at.start, leaves)
    draft.put_converted("participant[]", (value, leaves))


def _group(bench: Bench, value: dict[str, Any], leaves: list[Leaf]) -> None:
    """Say which RGS group a participant or service is of: the group's name, or its number when there are several."""
    head = bench.group.segment("RGS")
    if head is None:
        return
    several = sum(one.name == "RGS" for one in bench.message.segments) > 1
    field, text = (3, head.text(3, 2) or head.text(3)) if head.field(3) else (1, head.text(1) if several else "")
    if text:
        leaves.append(
            (f".extension[{note(value, 'group', 'String', text)}].valueString", f"{head.label}-{field}"),
        )


def _concepts(bench: Bench, value: dict[str, Any], segment: Segment, field: int, name: str, leaves: list[Leaf]) -> None:
    for index, raw in enumerate(segment.repetitions(field) if field else ()):
        converted = _CONCEPT(bench, raw, f"{segment.label}-{field}" + (f"[{index + 1}]" if index else ""))
        if converted is not None:
            at = note(value, name, "CodeableConcept", converted[0])
            leaves += [(f".extension[{at}].valueCodeableConcept{below}", source) for below, source in converted[1]]


def _removed(bench: Bench, segment: Segment) -> bool:
    """The segment takes its service or resource off the appointment (its action, its group's, or the event)."""
    head = bench.group.segment("RGS")
    actions = (segment.text(2), head.text(2) if head is not None else "")
    return bench.event.trigger in _REMOVING or "D" in actions


def _filler_status(
    bench: Bench, draft: Draft, value: dict[str, Any], segment: Segment, field: int, leaves: list[Leaf]
) -> None:
    """Participant.status: declined when the resource is taken off or refused, accepted when it is booked, else open.

    The code of the sender stays beside it.
    """
    text = segment.text(field) or segment.text(field, 2)
    mapped = bench.site.codes["ParticipantStatus"]["codes"].get(text.upper()) if text else None
    waiting = draft.body.get("status") in _WAITING
    value["status"] = "declined" if _removed(bench, segment) else mapped or ("needs-action" if waiting else "accepted")
    if not text:
        return
    converted = _CONCEPT(bench, segment.repetitions(field)[0], f"{segment.label}-{field}")
    if converted is not None:
        for coding in converted[0].get("coding", ()):
            coding.setdefault("system", _STATUSES)
        value["_status"] = {"extension": [{"url": ALTERNATE_CODES, "valueCodeableConcept": converted[0]}]}
        leaves += [(f"._status.extension[0].valueCodeableConcept{below}", source) for below, source in converted[1]]


def period(
    bench: Bench,
    draft: Draft,
    value: dict[str, Any],
    segment: Segment,
    at: int,
    leaves: list[Leaf],
    name: str = "period",
) -> None:
    """Write the time of a service or resource: its start, else the appointment's start and the offset; its end is the
    start and the duration. An offset or duration that gave no time stays beside, as it was sent."""
    label = segment.label
    span: dict[str, Any] = {}
    found: list[Leaf] = []
    put_moment(span, "start", date_time_value(bench, segment.field(at), f"{label}-{at}"), found, f".{name}")
    base = draft.body.get("start")
    for field, element, origin in ((at + 1, "start", base), (at + 3, "end", span.get("start"))):
        amount = segment.text(field)
        told = segment.text(field + 1) or segment.text(field + 1, 2)
        if not amount:
            continue
        unit = unit_of_time(told)
        quantity = quantity_of_time(amount, unit or "", segment.text(field + 1, 2) or told)
        if quantity is None or unit is None:
            bench.warn("parse", f"{label}-{field}", "not a duration in units of time; kept beside the element")
        if element == "end":
            origin = span.get("start")
        by = duration(amount, unit) if unit else None
        moved = shifted(origin, by) if by is not None and isinstance(origin, str) else None
        if moved is not None and element not in span:
            span[element] = moved
            found.append((f".{name}.{element}", f"{label}-{field}"))
            continue
        url = DURATION if element == "end" else PREFIX + "offset"
        sent = {"url": url, "valueQuantity": quantity} if quantity else {"url": url, "valueString": amount}
        twin = span.setdefault(f"_{element}", {}).setdefault("extension", [])
        kept = "valueQuantity.value" if quantity else "valueString"
        found.append((f".{name}._{element}.extension[{len(twin)}].{kept}", f"{label}-{field}"))
        twin.append(sent)
    if span:
        value[name] = span
        leaves += found


def services(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AIS: a service of the appointment, with its time, status, substitution and supplements beside its code.

    The patient takes part from the first service's start to the last one's end. A service that is taken off goes into
    an extension, so that nobody takes it for one that is given.
    """
    label = segment.label
    converted = _CONCEPT(bench, segment.field(3), f"{label}-3") if segment.field(3) else None
    value, leaves = converted if converted is not None else ({}, [])
    leaves = list(leaves)
    for field, name in (
        (9, "substitution"),
        (10, "service-status"),
        (11, "placer-supplement"),
        (12, "filler-supplement"),
    ):
        _concepts(bench, value, segment, field, name, leaves)
    _group(bench, value, leaves)
    held: dict[str, Any] = {}
    span: list[Leaf] = []
    period(bench, draft, held, segment, _AIS.start, span)
    if held:
        at = note(value, "service-period", "Period", held["period"])
        leaves += [(f".extension[{at}].valuePeriod{path.removeprefix('.period')}", source) for path, source in span]
    if not value:
        return
    if _removed(bench, segment):
        made = {"url": PREFIX + "service-removed", "valueCodeableConcept": value}
        draft.put_converted(
            "extension[]", (made, [(f".valueCodeableConcept{path}", source) for path, source in leaves])
        )
        return
    draft.put_converted("serviceType[]", (value, leaves))
    if held:
        _attend(bench, draft, held["period"], span)
    _ordered(bench, segment, held.get("period"), span)


def _attend(bench: Bench, draft: Draft, span: dict[str, Any], leaves: list[Leaf]) -> None:
    """Give the patient the time of the service; of several, the time from the first start to the last end."""
    patient = bench.group.role("patient")
    alone = sum(one.name == "AIS" for one in bench.message.segments) == 1
    for index, one in enumerate(draft.body.get("participant", ())):
        if patient is None or one.get("actor") != patient.reference:
            continue
        if alone:
            one.setdefault("period", span)
            draft.trail.append((f"participant[{index}]", leaves))
            return
        known = one.setdefault("period", {})
        for name, earlier in (("start", True), ("end", False)):
            if name in span and (name not in known or _before(span[name], known[name]) is earlier):
                known[name] = span[name]
                found = [leaf for leaf in leaves if leaf[0] == f".period.{name}"]
                draft.trail.append((f"participant[{index}]", found))
        if not known:
            del one["period"]


def _before(left: str, right: str) -> bool | None:
    try:
        one, other = datetime.fromisoformat(left), datetime.fromisoformat(right)
        return None if one == other else one < other
    except (ValueError, TypeError):
        return None if left == right else left < right


def _ordered(bench: Bench, segment: Segment, span: dict[str, Any] | None, leaves: list[Leaf]) -> None:
    """Tell the order that the appointment fulfils what is done, and when."""
    made: list[Draft] = bench.cache.get(("appointment", "orders"), [])
    count = sum(one.name == "AIS" for one in bench.message.segments)
    chosen = made[segment.number - 1 : segment.number] if len(made) == count else made if segment.number == 1 else []
    for order in chosen:
        order.put_converted("code", _CONCEPT(bench, segment.field(3), f"{segment.label}-3"))
        for field in (11, 12):
            for raw in segment.repetitions(field):
                if "code" in order.body:
                    order.put_converted("orderDetail[]", _CONCEPT(bench, raw, f"{segment.label}-{field}"))
        if span:
            below = [(path.removeprefix(".period"), source) for path, source in leaves]
            order.put_converted("occurrencePeriod", (span, below))


def preferences(bench: Bench, draft: Draft, segment: Segment) -> None:
    """APR: what the placer prefers (times, resources, locations, slots): codes with their values."""
    for field, name in (
        (1, "time-selection"),
        (2, "resource-selection"),
        (3, "location-selection"),
        (5, "slot-selection"),
    ):
        for index, raw in enumerate(segment.repetitions(field)):
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            parts = [*raw.split(bench.component), ""]
            code = first(bench, parts[0])
            text = bench.text(bench.sub(parts[1]).replace(bench.component, " "))
            told = " ".join(part for part in (code, text) if part)
            if told:
                made = {"url": PREFIX + name, "valueString": told}
                draft.put_converted("extension[]", (made, [(".valueString", where)]))


def absent_participant(_bench: Bench, _raw: str, where: str) -> Converted | None:
    """A participant of whom nothing is known, for an appointment that names nobody: R4 wants one."""
    return {"actor": {"extension": [absent()]}, "status": "needs-action"}, [(".actor.extension[0].valueCode", where)]


CONVERTERS: dict[str, Convert] = {"absent-participant": absent_participant}
"""Converters by the name that `via` uses."""
DECISIONS = {
    "appointment-patients": patients,
    "appointment-contacts": contacts,
    "appointment-general": general,
    "appointment-places": places,
    "appointment-personnel": personnel,
    "appointment-services": services,
    "appointment-preferences": preferences,
}
