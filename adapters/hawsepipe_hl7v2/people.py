"""Converters that make further resources: practitioners, organizations, devices; each gives a Reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawsepipe_hl7v2.authorities import facility
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf

_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_NINE = ("",) * 9


def practitioner(bench: Bench, raw: str, where: str) -> Converted | None:
    """XCN (or CNN) to a Practitioner.

    Its identity is XCN.1 with its authority. Without a number two people of one name must not become one, so
    the identity then holds only for the resources of one patient.
    """
    parts = [*bench.parts(raw), *_NINE]
    if not any(parts[:4]):
        return None
    cached = bench.cache.get(("practitioner", raw))
    if cached is None:
        if parts[0]:
            hd = [*bench.parts(bench.sub(raw.split(bench.component)[8])), "", "", ""] if parts[8] else []
            type_ = (*parts, *_NINE)[12]
            system = (bench.naming.numbers(hd[0], hd[1], hd[2], type_) if hd else "") or bench.owned("practitioner")
            key = f"{system}|{parts[0]}"
        else:
            key = f"{bench.subject()}|{'|'.join(parts[1:4])}"
        draft = bench.mention("Practitioner", key)
        _fill(bench, "XCN", raw, where, draft, bench.owned("practitioner"))
        for identifier in draft.body.get("identifier", ()):
            identifier.setdefault("system", bench.owned("practitioner"))
        name = " ".join(part for part in (parts[5], parts[2], parts[3], parts[1].split("&")[0], parts[4]) if part)
        cached = bench.cache["practitioner", raw] = draft.reference | ({"display": name} if name else {})
    return dict(cached), [(".reference", where)]


def organization(bench: Bench, raw: str, where: str) -> Converted | None:
    """XON to an Organization. Its identity is XON.10 or XON.3 with the authority, else its name with that sender."""
    parts = [*bench.parts(raw), *([""] * 10)]
    name, number = parts[0], parts[9] or parts[2]
    if not name and not number:
        return None
    if number:
        hd = [*bench.parts(bench.sub(raw.split(bench.component)[5])), "", "", ""] if parts[5] else []
        system = (bench.naming.numbers(hd[0], hd[1], hd[2], parts[6]) if hd else "") or bench.owned("organization")
        key = f"{system}|{number}"
    else:
        key = f"{bench.facility}|name|{name.casefold()}"
    draft = bench.mention("Organization", key)
    _fill(bench, "XON", raw, where, draft, bench.owned("organization"))
    if parts[9] and parts[2] and parts[2] != parts[9]:
        # XON.3 in the number's old place, beside its successor.
        draft.put("identifier[]", {"value": parts[2]}, f"{where}.3")
    for identifier in draft.body.get("identifier", ()):
        identifier.setdefault("system", bench.owned("organization"))
    return draft.reference | ({"display": name} if name else {}), [(".reference", where)]


def coded_organization(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE to an Organization (manufacturers, producers): code and system as identifier, text as name."""
    parts = [*bench.parts(raw), "", "", "", "", ""]
    code, name = parts[0], parts[1] or parts[0]
    if not name:
        return None
    system = bench.naming.coding_system(parts[2]) or bench.owned("organization-code")
    draft = bench.mention("Organization", f"{system}|{code}" if code else f"{system}|name|{name.casefold()}")
    if code:
        draft.put("identifier[]", {"system": system, "value": code}, f"{where}.1")
    draft.put("name", name, f"{where}.{2 if parts[1] else 1}")
    if parts[3]:
        other = {"system": bench.naming.coding_system(parts[5]) or bench.owned("organization-code"), "value": parts[3]}
        draft.put("identifier[]", other, f"{where}.4")
    if parts[4] and parts[4] != name:
        draft.put("alias[]", parts[4], f"{where}.5")
    return draft.reference | {"display": name}, [(".reference", where)]


def participant(code: str) -> Convert:
    """XCN to Encounter.participant in a role of v3-ParticipationType."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        made = practitioner(bench, raw, where)
        if made is None:
            return None
        value: dict[str, Any] = {
            "type": [{"coding": [{"system": _PARTICIPATION, "code": code}]}],
            "individual": made[0],
        }
        return value, [(".individual" + below, source) for below, source in made[1]]

    return convert


def performer(code: str) -> Convert:
    """XCN to Immunization.performer in a function of table 0443."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        made = practitioner(bench, raw, where)
        if made is None:
            return None
        system = "http://terminology.hl7.org/CodeSystem/v2-0443"
        value: dict[str, Any] = {"function": {"coding": [{"system": system, "code": code}]}, "actor": made[0]}
        return value, [(".actor" + below, source) for below, source in made[1]]

    return convert


def device(bench: Bench, raw: str, where: str) -> Converted | None:
    """EI to a Device known by its identifier."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["EI"](bench, raw, where, value)
    if not value:
        return None
    draft = bench.mention("Device", f"{value['system']}|{value['value']}")
    draft.put_converted("identifier[]", (value, leaves))
    return draft.reference, [(".reference", where)]


def _fill(bench: Bench, type_: str, raw: str, where: str, draft: Draft, system: str) -> None:
    """Fill a resource; what another mention has written already stays, and other names and numbers join it. `system`
    is that of a number without an authority."""
    if len(draft.body) == 2:
        leaves: list[Leaf] = bench.site.converts[type_](bench, raw, where, draft.body)
        draft.trail.append(("", [(path[1:] if path.startswith(".") else path, source) for path, source in leaves]))
        return
    again: dict[str, Any] = {}
    leaves = bench.site.converts[type_](bench, raw, where, again)
    for name, value in again.items():
        for index, item in enumerate(value if isinstance(value, list) else ()):
            start = f".{name}[{index}]"
            below = [(path[len(start) :], source) for path, source in leaves if path.startswith(start)]
            if name == "identifier":
                item.setdefault("system", system)
            if not any(_says(known, item) for known in draft.body.get(name, ())):
                draft.put_converted(f"{name}[]", (item, below))
        if not isinstance(value, list):
            below = [(path[len(name) + 1 :], source) for path, source in leaves if path.startswith(f".{name}")]
            draft.put_converted(name, (value, below))


def _says(known: dict[str, Any], item: dict[str, Any]) -> bool:
    """Whether an item says nothing that the known one does not say."""
    return all(known.get(key) == value for key, value in item.items())


PEOPLE: dict[str, Convert] = {
    "Practitioner": practitioner,
    "Organization": organization,
    "CodedOrganization": coded_organization,
    "Facility": facility,
    "Device": device,
}
"""Converters by the name that `via` uses."""
PARAMETERS: dict[str, Callable[[str], Convert]] = {"participant": participant, "performer": performer}
"""Converters that take a parameter: `participant:ATND`."""
