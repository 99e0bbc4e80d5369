"""Orders: what ORC and OBR say together of a ServiceRequest and its report, parents, and who changed the order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Group
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.people import organization, practitioner
from hawsepipe_hl7v2.primitives import date_time_value, mapped_code, number
from hawsepipe_hl7v2.telecom import contact_point

NUMBER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
EVENT = "http://hl7.org/fhir/StructureDefinition/businessEvent"
_CONTROLS = "http://terminology.hl7.org/CodeSystem/v2-0119"
_REPORTING = frozenset({"ORU", "OUL", "DFT", "REF", "RRI"})
_MAYBE = frozenset({"MDM", "PPR", "PGL", "PPP", "PPG"})
"""Messages of documents, problems and goals, whose orders are reports when they have a result status."""
_MEDICINES = ("RXO", "RXE", "RXD", "RXG", "RXA")
_DRUGS = ("original", "encoded", "dispense", "give", "administration")
_TELECOM = contact_point()


def _number(bench: Bench, field: int) -> str:
    """Return an order number (EI) with its authority, of OBR or ORC in this group."""
    for name in ("OBR", "ORC"):
        segment = bench.group.segment(name)
        if segment is not None and segment.text(field):
            return _system(bench, segment.repetitions(field)[0]) + "|" + segment.text(field)
    return ""


def _system(bench: Bench, raw: str) -> str:
    """Return the naming system of an EI as sent: of its authority, else of the sending facility."""
    hd = [*bench.parts(raw), "", "", "", ""][1:4]
    return bench.naming.authority(hd[0], hd[1], hd[2]) or bench.facility


def _service(bench: Bench) -> str:
    request = bench.group.segment("OBR")
    return (request.text(4) or request.text(4, 2)).casefold() if request is not None else ""


def _once(bench: Bench, type_: str, make: str) -> str:
    """Make a key distinct once for each group: ORC and OBR of one group share it, the next group does not."""
    cached = bench.cache.get((type_, place_of(bench.group)))
    if cached is None:
        cached = bench.cache[type_, place_of(bench.group)] = bench.distinct(type_, make)
    return str(cached)


def place_of(group: Group) -> str:
    """Return what tells a group from the others of its message."""
    return f"{group.name}#{group.number}"


def order(bench: Bench, _segment: Segment) -> str | None:
    """A ServiceRequest: the placer's number, else the filler's, with what is ordered; else patient, service
    and time."""
    return _once(bench, "ServiceRequest", _order_key(bench, _number(bench, 2) or _number(bench, 3)))


def report(bench: Bench, _segment: Segment) -> str | None:
    """A DiagnosticReport: the filler's number, else the placer's, with what is reported; else patient, service
    and time."""
    return _once(bench, "DiagnosticReport", _order_key(bench, _number(bench, 3) or _number(bench, 2)))


def _order_key(bench: Bench, numbered: str) -> str:
    if numbered:
        return f"{numbered}|{_service(bench)}"
    request = bench.group.segment("OBR")
    when = request.text(7) if request is not None else ""
    return f"{bench.subject()}|{_service(bench)}|{when or bench.control}"


def identifiers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the order numbers of ORC or OBR once each: placer (PLAC), filler (FILL), the group's (PGN, ORC-4), in
    ServiceRequest, report or Immunization."""
    for field, code in ((2, "PLAC"), (3, "FILL")):
        if not segment.text(field):
            if segment.field(field) and draft.type == "ServiceRequest":
                # An authority without a number of its own.
                leftovers.field(bench, draft, segment, field)
            continue
        for raw, where in _repeated(segment, field):
            value: dict[str, Any] = {}
            leaves = bench.site.converts["EI"](bench, raw, where, value)
            if "value" in value:
                value["type"] = {"coding": [{"system": NUMBER_TYPES, "code": code}]}
                draft.put_converted("identifier[]", (value, leaves))
                if draft.type == "ServiceRequest":
                    bench.cache.setdefault(("numbers", f"{value['system']}|{value['value']}"), draft)


def group_number(bench: Bench, raw: str, where: str) -> Converted | None:
    """EI (or the placer's part of an EIP) to the Identifier of the group of orders that were placed together."""
    value: dict[str, Any] = {}
    if bench.subcomponent in raw:
        raw, where = bench.sub(raw.split(bench.component)[0]), f"{where}.1"
    leaves = bench.site.converts["EI"](bench, raw, where, value)
    return (value | {"type": _type("PGN")}, leaves) if value else None


def alternate_number(bench: Bench, raw: str, where: str) -> Converted | None:
    """CX to the Identifier of an order at another placer."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["CX"](bench, raw, where, value)
    return ({"type": _type("PLAC")} | value, leaves) if value else None


def _type(code: str) -> dict[str, Any]:
    return {"coding": [{"system": NUMBER_TYPES, "code": code}]}


def status(bench: Bench, draft: Draft, _segment: Segment) -> None:
    """Decide ServiceRequest.status: ORC-5, else ORC-1, else from the results (OBR-25)."""
    codes = bench.site.codes
    control, request = bench.group.segment("ORC"), bench.group.segment("OBR")
    if control is not None:
        for field, table in ((5, "OrderStatus"), (1, "OrderControl")):
            text = control.text(field)
            if text in codes[table]["codes"]:
                draft.put("status", mapped_code(codes[table], text), f"{control.label}-{field}")
                return
            if text and field == 5:
                bench.warn("code", f"{control.label}-5", "an unknown order status; kept beside the element")
                leftovers.field(bench, draft, control, 5)
    if request is not None and request.text(25) in codes["ResultToOrderStatus"]["codes"]:
        draft.put("status", codes["ResultToOrderStatus"]["codes"][request.text(25)], f"{request.label}-25")


def event(bench: Bench, draft: Draft, segment: Segment) -> None:
    """ORC-1 and ORC-9: what happened to the order and when; of a new order that is when it was written."""
    control, path = segment.text(1), f"extension[{EVENT}].extension"
    if control:
        value = {"coding": [{"system": _CONTROLS, "code": control}]}
        leaves = [(".coding[0].code", f"{segment.label}-1")]
        draft.put_converted(f"{path}[value].valueCodeableConcept", (value, leaves))
    if segment.text(9):
        where = f"{segment.label}-9"
        draft.put_converted(f"{path}[date].valueDateTime", date_time_value(bench, segment.repetitions(9)[0], where))
        if control in ("NW", "SN", ""):
            draft.put_converted("authoredOn", date_time_value(bench, segment.repetitions(9)[0], where))


def _repeated(segment: Segment | None, field: int) -> Iterator[tuple[str, str]]:
    """Yield the repetitions of a field with their locations."""
    for index, raw in enumerate(segment.repetitions(field) if segment is not None else ()):
        if raw and segment is not None:
            yield raw, f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")


def requester(bench: Bench, draft: Draft, segment: Segment) -> None:
    """ORC-12, else OBR-16, with the facility of ORC-21: who ordered. Further ones stay beside, R4 has one.

    ORC-22 and ORC-23 are the facility's address and telephone, ORC-24 the person's address.
    """
    control = segment if segment.name == "ORC" else bench.group.segment_here("ORC")
    request = segment if segment.name == "OBR" else bench.group.segment_here("OBR")
    if segment.name == "OBR" and control is not None and "requester" in draft.body:
        return
    people: dict[str, Converted] = {}
    for one, field in ((control, 12), (request, 16)):
        for raw, where in _repeated(one, field):
            made = practitioner(bench, raw, where)
            if made is not None:
                people.setdefault(made[0]["reference"], made)
    facilities: list[Converted] = []
    for raw, where in _repeated(control, 21):
        made = organization(bench, raw, where)
        if made is not None:
            facilities.append(made)
    chosen = next(iter(people.values()), None)
    if control is not None:
        if facilities:
            _details(bench, control, facilities[0][0], ((22, "address[]", "XAD"), (23, "telecom[]", "")))
        if chosen is not None:
            _details(bench, control, chosen[0], ((24, "address[]", "XAD"),))
        _nobodys(bench, draft, control, () if facilities else (22, 23), () if chosen is not None else (24,))
    if chosen is not None and facilities:
        draft.put_converted("requester", role_of(bench, chosen, facilities[0]))
    elif chosen is not None or facilities:
        draft.put_converted("requester", chosen or facilities[0])
    for made in [*list(people.values())[1:], *facilities[1:]]:
        value = {"url": f"{PREFIX}further-requester", "valueReference": made[0]}
        draft.put_converted("extension[]", (value, [(f".valueReference{path}", source) for path, source in made[1]]))


def _nobodys(bench: Bench, draft: Draft, control: Segment, *fields: tuple[int, ...]) -> None:
    """Keep the address and number of a facility or person whom the order does not name."""
    for field in (field for some in fields for field in some):
        for raw, where in _repeated(control, field):
            name = _UNNAMED[field]
            if field == 23:
                made = _TELECOM(bench, raw, where)
            else:
                value: dict[str, Any] = {}
                leaves = bench.site.converts["XAD"](bench, raw, where, value)
                made = (value, leaves) if value else None
            suffix = "ContactPoint" if field == 23 else "Address"
            draft.put_converted(f"extension[{PREFIX}{name}].value{suffix}", made)


_UNNAMED = {22: "ordering-facility-address", 23: "ordering-facility-telecom", 24: "ordering-provider-address"}


def role_of(bench: Bench, person: Converted, place: Converted | None, code: dict[str, Any] | None = None) -> Converted:
    """Return a Reference to the PractitionerRole of a person, in an organization and perhaps in a function."""
    key = "|".join(
        (
            person[0]["reference"],
            place[0]["reference"] if place is not None else "",
            code["coding"][0]["code"] if code else "",
        )
    )
    draft = bench.mention("PractitionerRole", key)
    draft.put_converted("practitioner", person)
    draft.put_converted("organization", place)
    if code:
        draft.put("code[]", code)
    shown = {"display": person[0]["display"]} if "display" in person[0] else {}
    return draft.reference | shown, [(".reference", source) for _, source in person[1]]


def _details(
    bench: Bench, segment: Segment, reference: dict[str, Any], fields: tuple[tuple[int, str, str], ...]
) -> None:
    """Write addresses and telephones into a person or organization that the message mentions."""
    home = bench.mentioned.get(reference["reference"])
    if home is None:
        return
    for field, path, type_ in fields:
        for raw, where in _repeated(segment, field):
            if type_:
                value: dict[str, Any] = {}
                leaves = bench.site.converts[type_](bench, raw, where, value)
                home.put_converted(path, (value, leaves) if value else None)
            else:
                home.put_converted(path, _TELECOM(bench, raw, where))


def parents(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-29 (else OBR-54), or ORC-8: the orders that this one comes of, by their numbers; and a reference when the
    message has the order."""
    fields = (29, 54) if segment.name == "OBR" else (8,)
    for field in fields:
        for raw, where in _repeated(segment, field):
            parts = [*raw.split(bench.component), ""]
            for at, code in ((0, "PLAC"), (1, "FILL")):
                value: dict[str, Any] = {}
                source = f"{where}.{at + 1}"
                bench.site.converts["EI"](bench, bench.sub(parts[at]), source, value)
                if "value" not in value:
                    continue
                known = bench.cache.get(("numbers", f"{value['system']}|{value['value']}"))
                value["type"] = _type(code)
                reference = known.reference if known is not None and known is not draft else {}
                if reference:
                    bench.cache.setdefault(("parent", place_of(bench.group)), known)
                entry = reference | {"type": "ServiceRequest", "identifier": value}
                draft.put_converted("basedOn[]", (entry, [(".identifier.value", source)]))


def reason(bench: Bench, draft: Draft, segment: Segment) -> None:
    """DG1 in an order's group: the diagnosis is the reason for the order."""
    condition = bench.group.roles.get("condition")
    if condition is not None and bench.group.around("order") is not None:
        draft.put("reasonReference[]", condition.reference, f"{segment.label}-3")


def requisition_quantity(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RQD-5 and RQD-6: how much of it is wanted."""
    figure = number(segment.text(5)) if segment.text(5) else None
    if figure is None:
        return
    unit = bench.site.codings.unit(bench.parts((segment.repetitions(6) or [""])[0]))
    if unit.fault:
        bench.warn("parse", f"{segment.label}-6", unit.fault)
    leaves = [(".value", f"{segment.label}-5"), *((below, f"{segment.label}-6{at}") for below, at in unit[1])]
    draft.put_converted("quantityQuantity", ({"value": figure} | unit[0], leaves))


def reported_prior(bench: Bench, draft: Draft, _segment: Segment) -> None:
    """Put a report of prior results, and not those results, behind the order that carries them."""
    group: Group | None = bench.group
    while group is not None and group.prior:
        group = group.parent
    if bench.group.prior and group is not None and (home := group.role("order")) is not None:
        home.put("supportingInfo[]", draft.reference)


def is_service(bench: Bench, _segment: Segment) -> bool:
    """The order is one for a service or a thing: nothing in its group orders a drug."""
    group = bench.group
    if group.segment_here("OBR") is not None:
        return True
    return not any(group.inside(name) for name in _DRUGS) and not any(group.segment_here(name) for name in _MEDICINES)


def reports(bench: Bench, _segment: Segment) -> bool:
    """The order is one that is reported on: in a message of results, among prior results, or in a message of a
    document or problem, where OBR-25 says that there are results."""
    group = bench.group
    request = group.segment("OBR")
    told = bench.event.type in _REPORTING or group.prior
    return request is not None and (told or (bench.event.type in _MAYBE and bool(request.text(25))))


def orders_only(bench: Bench, segment: Segment) -> bool:
    """There is no report that would take what the order segment says of one."""
    return not reports(bench, segment)


def new_order(_bench: Bench, segment: Segment) -> bool:
    """ORC-1 says that this is the order being made."""
    return segment.text(1) in ("NW", "SN", "RE", "")


def entered(_bench: Bench, segment: Segment) -> bool:
    """ORC tells who handled the order, besides who ordered it."""
    return any(segment.field(number) for number in (10, 11, 17, 18, 19))


IDENTITIES = {"order": order, "report": report}
DECISIONS = {
    "order-identifiers": identifiers,
    "order-status": status,
    "order-event": event,
    "order-parents": parents,
    "order-reason": reason,
    "prior-report": reported_prior,
    "requester": requester,
    "requisition-quantity": requisition_quantity,
}
PREDICATES = {
    "entered": entered,
    "is-service": is_service,
    "new-order": new_order,
    "orders-only": orders_only,
    "reports": reports,
}
CONVERTERS = {"AlternateNumber": alternate_number, "GroupNumber": group_number}
"""Converters by the name that `via` uses."""
