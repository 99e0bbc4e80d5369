"""Who entered, verified, ordered and acted, with which device and where (ORC-9 to ORC-24): a Provenance of what the
order made, and the ordering facility."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.people import coded_organization, organization, practitioner
from hawsepipe_hl7v2.primitives import PRIMITIVES
from hawsepipe_hl7v2.telecom import contact_point

FACILITY = PREFIX + "ordering-facility"
_TELECOM = contact_point("work")
_CONCEPT = concept()
_BUSINESS_EVENT = "http://hl7.org/fhir/StructureDefinition/businessEvent"
_IDENTIFIERS = "http://terminology.hl7.org/CodeSystem/v2-0203"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_AGENTS = ((10, "enterer"), (11, "verifier"), (12, "author"), (19, "performer"))
_ACTIVITIES = {"NW": "CREATE", "SN": "CREATE", "SC": "UPDATE", "XO": "UPDATE", "XX": "UPDATE"}
_ACTIVITIES |= {"OC": "CANCEL", "CA": "CANCEL", "CR": "CANCEL", "DC": "CANCEL", "OD": "CANCEL", "DR": "CANCEL"}
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_ROLES = (
    "order",
    "immunization",
    "vaccination-order",
    "forecast",
    "original-order",
    "prescription",
    "dispense",
    "administration",
)
"""What an order makes, by its role."""


def attributed(bench: Bench, segment: Segment) -> bool:
    """The ORC tells when or by whom something was done, and the order makes something."""
    told = any(segment.fields[number] for number in (9, 10, 11, 12, 17, 18, 19) if number < len(segment.fields))
    return told and any(bench.group.role(role) is not None for role in _ROLES)


def order_event(bench: Bench, segment: Segment) -> str:
    """A Provenance: one for each ORC of each message."""
    return f"{bench.control}|{segment.label}"


def provenance(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write targets, times, activity and agents; an ORC without an agent has the sending system as the one."""
    label = segment.label
    for role in _ROLES:
        target = bench.group.role(role)
        if target is not None:
            draft.put("target[]", target.reference, label)
    if segment.text(9):
        draft.put_converted("occurredDateTime", PRIMITIVES["dateTime"](bench, segment.field(9), f"{label}-9"))
        draft.put_converted("recorded", PRIMITIVES["instant"](bench, segment.field(9), f"{label}-9"))
    if (activity := _ACTIVITIES.get(segment.text(1))) is not None:
        coding = {"system": _OPERATION, "code": activity}
        draft.put_converted("activity", ({"coding": [coding]}, [(".coding[0].code", f"{label}-1")]))
    for field, code in _AGENTS:
        for where, raw in _repetitions(segment, field):
            _agent(draft, code, practitioner(bench, raw, where))
    for where, raw in _repetitions(segment, 17):
        _on_behalf(draft, coded_organization(bench, raw, where))
    for where, raw in _repetitions(segment, 18):
        _agent(draft, "", device(bench, raw, where))
    if "agent" not in draft.body:
        draft.put("agent[]", {"who": {"display": bench.sender or "unknown"}}, "MSH-4" if bench.sender else "")
    for where, raw in _repetitions(segment, 21)[:1]:
        draft.put_converted("location", _place(bench, segment, raw, where))
    for where, raw in _repetitions(segment, 24):
        author = next(iter(_repetitions(segment, 12)), None)
        made = practitioner(bench, author[1], author[0]) if author is not None else None
        person = bench.mentioned.get(made[0]["reference"]) if made is not None else None
        _address(
            bench,
            person or draft,
            "address[]" if person else f"extension[{PREFIX}provider-address].valueAddress",
            raw,
            where,
        )


def _agent(draft: Draft, code: str, who: Converted | None) -> None:
    if who is None:
        return
    kind = {"type": {"coding": [{"system": _PARTICIPANT, "code": code}]}} if code else {}
    leaves = [(f".who{below}", source) for below, source in who[1]]
    draft.put_converted("agent[]", ({**kind, "who": who[0]}, leaves))


def _on_behalf(draft: Draft, home: Converted | None) -> None:
    """ORC-17: whom the enterer works for; without an enterer the organization is the agent."""
    if home is None:
        return
    enterer = next((agent for agent in draft.body.get("agent", ()) if _is_enterer(agent)), None)
    if enterer is None:
        _agent(draft, "enterer", home)
    elif "onBehalfOf" not in enterer:
        enterer["onBehalfOf"] = home[0]
        index = draft.body["agent"].index(enterer)
        draft.trail.append((f"agent[{index}].onBehalfOf", home[1]))


def _is_enterer(agent: dict[str, Any]) -> bool:
    return any(coding["code"] == "enterer" for coding in agent.get("type", {}).get("coding", ()))


def _repetitions(segment: Segment, field: int) -> list[tuple[str, str]]:
    """Return the valued repetitions of a field with their locations."""
    where = f"{segment.label}-{field}"
    return [
        (where if index == 0 else f"{where}[{index + 1}]", raw)
        for index, raw in enumerate(segment.repetitions(field))
        if raw and raw != '""'
    ]


def device(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE to a Device: codes as identifiers, texts as names."""
    parts = [*bench.parts(raw), *[""] * 12]
    codes = [(parts[at], parts[at + 1], parts[at + 2], at + 1) for at in (0, 3, 9) if parts[at] or parts[at + 1]]
    if not codes:
        return None
    code, name, system, _ = codes[0]
    home = bench.naming.coding_system(system) or bench.facility
    draft = bench.mention("Device", f"{home}|{code}" if code else f"{home}|name|{name.casefold()}")
    for code, name, system, at in codes:
        if code:
            identifier = {"system": bench.naming.coding_system(system) or bench.facility, "value": code}
            draft.put_converted("identifier[]", (identifier, [(".value", f"{where}.{at}")]))
        if name:
            told = {"name": name, "type": "user-friendly-name"}
            draft.put_converted("deviceName[]", (told, [(".name", f"{where}.{at + 1}")]))
    return dict(draft.reference), [(".reference", where)]


def _place(bench: Bench, segment: Segment, raw: str, where: str) -> Converted | None:
    """XON (with the address of ORC-22 and the number of ORC-23) to a Location of that organization."""
    home = organization(bench, raw, where)
    if home is None:
        return None
    name = home[0].get("display", "")
    place = bench.mention("Location", f"{home[0]['reference']}|place")
    place.put("name", name, f"{where}.1") if name else None
    place.put("managingOrganization", home[0], where)
    for at, text in _repetitions(segment, 22)[:1]:
        _address(bench, place, "address", text, at)
    for at, text in _repetitions(segment, 23):
        place.put_converted("telecom[]", _TELECOM(bench, text, at))
    return dict(place.reference), [(".reference", where)]


def facility(bench: Bench, draft: Draft, segment: Segment) -> None:
    """ORC-21 with ORC-22 and ORC-23: the ordering facility, as an extension, since R4 has one requester: the person."""
    for index, (where, raw) in enumerate(_repetitions(segment, 21)):
        made = organization(bench, raw, where)
        if made is None:
            continue
        leaves: list[Leaf] = [(f".valueReference{below}", source) for below, source in made[1]]
        draft.put_converted("extension[]", ({"url": FACILITY, "valueReference": made[0]}, leaves))
        home = bench.mentioned.get(made[0]["reference"])
        if home is None or index:
            continue
        for at, text in _repetitions(segment, 22):
            _address(bench, home, "address[]", text, at)
        for at, text in _repetitions(segment, 23):
            home.put_converted("telecom[]", _TELECOM(bench, text, at))
    if segment.text(21) or segment.text(21, 3) or segment.text(21, 10):
        return
    for at, text in _repetitions(segment, 22):
        _address(bench, draft, f"extension[{PREFIX}ordering-facility-address].valueAddress", text, at)
    for at, text in _repetitions(segment, 23):
        draft.put_converted(
            f"extension[{PREFIX}ordering-facility-telecom].valueContactPoint", _TELECOM(bench, text, at)
        )


def group_identifiers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """ORC-4 (EIP): the group's number of the placer (PGN) and of the filler (FGN)."""
    for where, raw in _repetitions(segment, 4):
        parts = raw.split(bench.component)
        if bench.subcomponent in raw:
            pieces = [(bench.sub(part), f"{where}.{at + 1}", at) for at, part in enumerate(parts[:2])]
        else:
            pieces = [(raw, where, 0)]  # an EI, as the field was before 2.5
        for text, at, index in pieces:
            value: dict[str, Any] = {}
            leaves = bench.site.converts["EI"](bench, text, at, value)
            if "value" in value:
                value["type"] = {"coding": [{"system": _IDENTIFIERS, "code": ("PGN", "FGN")[index]}]}
                draft.put_converted("identifier[]", (value, leaves))


def business_event(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """ORC-1 as sent, in the extension that says which event in an order's life a message tells."""
    if segment.text(1):
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0119", "code": segment.text(1)}
        # The guide nests it for a request only.
        nested = "" if draft.type == "MedicationAdministration" else ".extension[value]"
        path = f"extension[{_BUSINESS_EVENT}]{nested}.valueCodeableConcept"
        draft.put_converted(path, ({"coding": [coding]}, [(".coding[0].code", f"{segment.label}-1")]))


def security_labels(bench: Bench, draft: Draft, segment: Segment) -> None:
    """ORC-28 in meta.security: what FHIR calls it, and the sender's own code."""
    table = bench.site.codes["OrderConfidentiality"]
    for where, raw in _repetitions(segment, 28):
        converted = _CONCEPT(bench, raw, where)
        for coding in converted[0].get("coding", ()) if converted is not None else ():
            known = table["codes"].get(coding.get("code", ""))
            local = not coding.get("system") or coding["system"] == table["source"]
            if known and local:
                draft.put("meta.security[]", {"system": table["system"], "code": known}, f"{where}.1")
            draft.put("meta.security[]", {"system": table["source"]} | coding, f"{where}.1")


def _address(bench: Bench, draft: Draft, path: str, raw: str, where: str) -> None:
    value: dict[str, Any] = {}
    leaves = bench.site.converts["XAD"](bench, raw, where, value)
    if value:
        draft.put_converted(path, (value, leaves))


IDENTITIES = {"order-event": order_event}
DECISIONS = {
    "order-provenance": provenance,
    "ordering-facility": facility,
    "group-identifiers": group_identifiers,
    "business-event": business_event,
    "security-labels": security_labels,
}
PREDICATES = {"attributed": attributed}
