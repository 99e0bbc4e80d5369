"""PRT and ROL: who takes part in what, in which role; and the devices that do.

Each becomes a PractitionerRole (or a Device), referred to from what it stands behind: the patient, the visit, the
procedure, the order or the observation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Convert, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.leftovers import EXTENSION
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.people import organization, practitioner
from hawsepipe_hl7v2.telecom import contact_point

_PARTICIPATION = concept("Participation")
_ROLE = concept("ProviderRole")
_UNIT = concept("OrganizationUnitType")
_CONCEPT = concept()
_TELECOM = contact_point()
_PRIMARY = frozenset({"PP", "FHCP"})
_DEVICE = (10, 16, 17, 18, 19, 20, 21, 22)
_BETWEEN = frozenset({"PRT", "ROL", "NTE"})


class _Fields(NamedTuple):
    code: int
    persons: int
    unit: int
    organizations: int
    begin: int
    end: int
    address: int
    telecom: int
    reason: int
    kind: Convert


_PRT = _Fields(4, 5, 7, 8, 11, 12, 14, 15, 0, _PARTICIPATION)
_ROL = _Fields(3, 4, 10, 14, 5, 6, 11, 12, 8, _ROLE)


def _fields(segment: Segment) -> _Fields:
    return _ROL if segment.name == "ROL" else _PRT


def participation(bench: Bench, segment: Segment) -> str | None:
    """A person, an organization, a kind of provider or a place in a role: by that and what it takes part in."""
    fields = _fields(segment)
    told = [segment.field(fields.persons), segment.field(fields.organizations)]
    told += [segment.field(6), segment.field(9)] if segment.name == "PRT" else [segment.field(9)]
    if not any(raw not in ("", DELETE) for raw in told):
        return None
    home = _home(bench, segment)
    who = segment.text(fields.persons) or segment.text(fields.persons, 2) or segment.text(fields.organizations)
    who = who or segment.text(fields.organizations, 10) or segment.text(6) or segment.text(9)
    key = "|".join((home.id if home is not None else bench.control, segment.text(fields.code), who.casefold()))
    return bench.distinct("PractitionerRole", key)


def device(bench: Bench, segment: Segment) -> str | None:
    """PRT-10 or the UDI of PRT-16: a device that takes part."""
    if not any(segment.field(number) not in ("", DELETE) for number in _DEVICE):
        return None
    number = segment.text(20) or segment.text(21)
    told = segment.text(16) or segment.text(10)
    if not told or not number:
        home = _home(bench, segment)
        return "|".join((home.id if home is not None else bench.control, told, number, segment.text(22)))
    return f"udi|{told}|{number}"


def _before(bench: Bench, segment: Segment) -> str:
    """Return the name of the segment that a PRT or ROL stands behind."""
    name = ""
    for one in bench.message.segments:
        if one is segment:
            break
        if one.name not in _BETWEEN:
            name = one.name
    return name


_HOMES = {
    "PV1": "encounter",
    "PV2": "encounter",
    "PR1": "procedure",
    "OBX": "observation",
    "OBR": "order",
    "ORC": "order",
    "TQ1": "order",
    "SPM": "specimen",
    "FT1": "charge",
    "RXA": "immunization",
    "IAM": "allergy",
    "DG1": "condition",
    "IN1": "coverage",
    "IN2": "coverage",
    "IN3": "coverage",
}


def _home(bench: Bench, segment: Segment) -> Draft | None:
    """Return what the segment is about: the resource of the segment before it, else the patient."""
    found = bench.group.role(_HOMES.get(_before(bench, segment), "patient"))
    return found if found is not None else bench.group.role("patient")


def details(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write code, people, organization, address and telecom of a participation, and refer to it from its home."""
    fields = _fields(segment)
    code = fields.kind(bench, segment.field(fields.code), f"{segment.label}-{fields.code}")
    draft.put_converted("code[]", code)
    _people(bench, draft, segment, fields)
    _organizations(bench, draft, segment, fields)
    for index, raw in enumerate(segment.repetitions(fields.telecom)):
        where = f"{segment.label}-{fields.telecom}" + (f"[{index + 1}]" if index else "")
        converted = _TELECOM(bench, raw, where)
        if converted is None:
            continue
        if segment.name == "PRT" and segment.text(23):
            extension = {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-preferred", "valueBoolean": True}
            converted[0].setdefault("extension", []).append(extension)
        draft.put_converted("telecom[]", converted)
    home = _home(bench, segment)
    removed = segment.text(2).upper() in ("D", "DE", "DELETE")
    if home is None or removed:
        draft.put("active", False, f"{segment.label}-2" if removed else "")
        return
    _refer(bench, home, draft, segment, fields, dict(code[0]) if code is not None else None)


def _people(bench: Bench, draft: Draft, segment: Segment, fields: _Fields) -> None:
    for index, raw in enumerate(segment.repetitions(fields.persons)):
        where = f"{segment.label}-{fields.persons}" + (f"[{index + 1}]" if index else "")
        made = practitioner(bench, raw, where)
        if made is None:
            continue
        if "practitioner" in draft.body:
            further = {"url": f"{EXTENSION}further-practitioner", "valueReference": made[0]}
            draft.put_converted("extension[]", (further, [(".valueReference.reference", where)]))
            continue
        draft.put_converted("practitioner", made)
        person = bench.mentioned[made[0]["reference"]]
        _address(bench, person, segment, fields.address)


def _organizations(bench: Bench, draft: Draft, segment: Segment, fields: _Fields) -> None:
    for index, raw in enumerate(segment.repetitions(fields.organizations)):
        where = f"{segment.label}-{fields.organizations}" + (f"[{index + 1}]" if index else "")
        made = organization(bench, raw, where)
        if made is None:
            continue
        owner = bench.mentioned[made[0]["reference"]]
        if segment.field(fields.unit):
            kind = _UNIT(bench, segment.field(fields.unit), f"{segment.label}-{fields.unit}")
            owner.put_converted("type[]", kind)
        if "organization" in draft.body:
            further = {"url": f"{EXTENSION}further-organization", "valueReference": made[0]}
            draft.put_converted("extension[]", (further, [(".valueReference.reference", where)]))
            continue
        draft.put_converted("organization", made)
        if not segment.field(fields.persons):
            _address(bench, owner, segment, fields.address)
    if segment.field(fields.unit) and not segment.field(fields.organizations):
        kind = _UNIT(bench, segment.field(fields.unit), f"{segment.label}-{fields.unit}")
        if kind is not None:
            name = kind[0].get("text") or segment.text(fields.unit, 2) or segment.text(fields.unit)
            owner = bench.mention("Organization", f"{bench.facility}|unit|{name.casefold()}")
            owner.put("name", name, f"{segment.label}-{fields.unit}")
            owner.put_converted("type[]", kind)
            draft.put("organization", owner.reference, f"{segment.label}-{fields.unit}")
    if segment.field(fields.address) and not draft.body.keys() & {"practitioner", "organization"}:
        value: dict[str, Any] = {}
        raw, where = segment.repetitions(fields.address)[0], f"{segment.label}-{fields.address}"
        leaves = bench.site.converts["XAD"](bench, raw, where, value)
        extension = {"url": f"{EXTENSION}participant-address", "valueAddress": value}
        draft.put_converted("extension[]", (extension, [(f".valueAddress{below}", source) for below, source in leaves]))


def _address(bench: Bench, draft: Draft, segment: Segment, number: int) -> None:
    for index, raw in enumerate(segment.repetitions(number)):
        value: dict[str, Any] = {}
        where = f"{segment.label}-{number}" + (f"[{index + 1}]" if index else "")
        leaves = bench.site.converts["XAD"](bench, raw, where, value)
        if value:
            draft.put_converted("address[]", (value, leaves))


def _refer(
    bench: Bench, home: Draft, draft: Draft, segment: Segment, fields: _Fields, role: dict[str, Any] | None
) -> None:
    """Refer from the home to a participation, where R4 has a place for it, else in an extension."""
    source = [(".reference", segment.label)]
    code = segment.text(fields.code)
    if home.type == "Patient":
        if code in _PRIMARY:
            home.put_converted("generalPractitioner[]", (draft.reference, source))
        else:
            _join_team(bench, home, draft, segment, fields, role)
    elif home.type == "Encounter":
        value: dict[str, Any] = {"individual": draft.reference}
        leaves: list[Leaf] = [(".individual.reference", segment.label)]
        if role is not None:
            value["type"] = [role]
            leaves.append((".type[0].coding[0].code", f"{segment.label}-{fields.code}"))
        if (period := draft.body.get("period")) is not None:
            value["period"] = dict(period)
        home.put_converted("participant[]", (value, leaves))
    elif home.type == "Procedure":
        value = {"actor": draft.reference} | ({"function": role} if role is not None else {})
        home.put_converted("performer[]", (value, [(".actor.reference", segment.label)]))
    else:
        extension = {"url": f"{EXTENSION}participant", "valueReference": draft.reference}
        home.put_converted("extension[]", (extension, [(".valueReference.reference", segment.label)]))


def _join_team(
    bench: Bench, patient: Draft, draft: Draft, segment: Segment, fields: _Fields, role: dict[str, Any] | None
) -> None:
    team = bench.draft("CareTeam", f"{patient.id}|care-team", union=("participant",))
    team.put("subject", patient.reference)
    team.put("status", "active")
    value: dict[str, Any] = {"member": draft.reference}
    leaves: list[Leaf] = [(".member.reference", segment.label)]
    if role is not None:
        value["role"] = [role]
        leaves.append((".role[0].coding[0].code", f"{segment.label}-{fields.code}"))
    if segment.name == "ROL" and (kind := _CONCEPT(bench, segment.field(9), f"{segment.label}-9")) is not None:
        value.setdefault("role", []).append(kind[0])
        leaves += [(f".role[{len(value['role']) - 1}]{below}", origin) for below, origin in kind[1]]
    if (period := draft.body.get("period")) is not None:
        value["period"] = dict(period)
    team.put_converted("participant[]", (value, leaves))
    if fields.reason and segment.field(fields.reason):
        reason = _CONCEPT(bench, segment.field(fields.reason), f"{segment.label}-{fields.reason}")
        team.put_converted("reasonCode[]", reason)


def device_details(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PRT-16: the device identifier of a UDI; PRT-10 as such when there is none. Refer to it from its home."""
    for number in (16, 10):
        for raw in segment.repetitions(number)[:1]:
            text = bench.text(raw.split(bench.component)[0])
            if text and (number == 16 or not segment.text(16)):
                where = f"{segment.label}-{number}.1"
                carrier: dict[str, Any] = {"deviceIdentifier": text}
                leaves: list[Leaf] = [(".deviceIdentifier", where)]
                hd = [*bench.parts(raw), "", "", ""][1:4]
                if issuer := bench.naming.authority(*hd):
                    # Who issues such identifiers, by the OID that it has for them.
                    carrier["issuer"] = issuer
                    leaves.append((".issuer", f"{segment.label}-{number}.{2 if hd[0] else 3}"))
                draft.put_converted("udiCarrier[]", (carrier, leaves))
    for raw in segment.repetitions(21)[:1]:
        if bench.component in raw:
            # Whose number it is.
            leftovers.repetition(bench, draft, "PRT-21", raw, f"{segment.label}-21")
    home = _home(bench, segment)
    if home is None:
        return
    if home.type == "Observation" and "device" not in home.body:
        home.put("device", draft.reference, segment.label)
        return
    extension = {"url": f"{EXTENSION}participant", "valueReference": draft.reference}
    home.put_converted("extension[]", (extension, [(".valueReference.reference", segment.label)]))


IDENTITIES = {"participation": participation, "participating-device": device}
DECISIONS = {"participation": details, "participating-device": device_details}
