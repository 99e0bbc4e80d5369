"""Places (PL, DLD) as chains of Locations, and the stays of a visit at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawsepipe_hl7v2.authorities import assigner, authority, identifiers
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.primitives import PRIMITIVES

_PHYSICAL = "http://terminology.hl7.org/CodeSystem/location-physical-type"
# PL, from the widest to the narrowest: component, kind of place.
_PLACES = ((4, "si"), (7, "bu"), (8, "lvl"), (1, ""), (2, "ro"), (3, "bd"))
_AROUND = {4: (), 7: (), 8: (7,), 1: (), 2: (1,), 3: (1, 2)}
"""The components whose names stand before that of a place."""
_KIND = concept("PersonLocationType")
_STATUS = concept("LocationStatus")
_DISCHARGED = concept("DischargedToLocation")
_CLASSIFIED = "http://hl7.org/fhir/StructureDefinition/subject-locationClassification"
_CLASSES = "http://hl7.org/fhir/ValueSet/subject-location"


def location(bench: Bench, raw: str, where: str) -> Converted | None:
    """PL to a chain of Locations, each part of the wider one; the Reference is to the narrowest.

    A room or bed is called by what is around it as well (`W1 101 A`), since its own part says little; the Reference
    shows that name. The authority of PL.11 (without it that of nobody) is the system of the identifiers; PL.5, 6, 9 and
    10 describe the narrowest.
    """
    cached = bench.cache.get(("location", raw))
    if cached is not None:
        return dict(cached), [(".reference", where)]
    raws = [*raw.split(bench.component), *([""] * 11)]
    chain: list[str] = []
    called: dict[int, str] = {}
    inner: Draft | None = None
    for at, kind in _PLACES:
        sent = raws[at - 1]
        if not sent or not (parts := bench.parts(bench.sub(sent))) or not (name := next(filter(None, parts), "")):
            continue
        chain.append(f"{at}={name}")
        draft = bench.mention("Location", "|".join((bench.facility, *chain)))
        body, source = draft.body, f"{where}.{at}"
        called[at] = name
        if "mode" not in body:
            around = [outer for outer in _AROUND[at] if outer in called]
            body["name"] = " ".join([called[outer] for outer in (*around, at)]) if around else name
            draft.trail.append(("name", [("", source), *[("", f"{where}.{outer}") for outer in around]]))
            body["mode"] = "instance"
            if kind:
                body["physicalType"] = {"coding": [{"system": _PHYSICAL, "code": kind}]}
            if inner is not None:
                body["partOf"] = inner.reference
        _identify(bench, draft, parts, raws[10], source, f"{where}.11")
        inner = draft
    inner = _described(bench, inner, raws, where)
    if inner is None:
        return None
    reference = inner.reference
    if (shown := inner.body.get("name")) is not None:
        reference["display"] = shown
    bench.cache["location", raw] = reference
    return dict(reference), [(".reference", where)]


def place_of(bench: Bench, raw: str, where: str) -> Draft | None:
    """Return the narrowest place of a PL."""
    made = location(bench, raw, where)
    return bench.mentioned[made[0]["reference"]] if made is not None else None


def _identify(bench: Bench, draft: Draft, parts: list[str], owner: str, source: str, owned: str) -> None:
    """Write the parts of an HD as identifiers, of the authority that PL.11 tells."""
    if len(parts) == 1 and not owner:
        # The usual case.
        value = {"value": parts[0]}
        if value not in draft.body.setdefault("identifier", []):
            draft.body["identifier"].append(value)
        draft.trail.append(("identifier[0].value", [("", source)]))
        return
    namespace, universal, kind = [*parts, "", "", ""][:3]
    authorized = authority(bench, bench.sub(owner), owned) if owner else None
    named = assigner(bench, bench.sub(owner), owned) if owner else None
    for identifier, leaves in identifiers(namespace, universal, kind, source):
        if authorized is not None and "system" not in identifier:
            identifier["system"] = authorized[0]
            leaves.append((".system", owned))
        if named is not None:
            identifier["assigner"] = dict(named[0])
            leaves += [(f".assigner{below}", origin) for below, origin in named[1]]
        draft.put_converted("identifier[]", (identifier, leaves))


def _described(bench: Bench, inner: Draft | None, raws: list[str], where: str) -> Draft | None:
    """Write what PL tells of the narrowest place: status, kind, description, its comprehensive identifier."""
    description = bench.text(raws[8])
    if inner is None:
        key = description or bench.text(raws[9].split(bench.subcomponent)[0]) if raws[9] else description
        if not key:
            return None
        inner = bench.mention("Location", f"{bench.facility}|9={key.casefold()}")
        if description:
            inner.put("name", description, f"{where}.9")
    elif description:
        inner.put("description", description, f"{where}.9")
    if raws[4]:
        url = "extension[urn:hawsepipe:extension:location-status].valueCodeableConcept"
        inner.put_converted(url, _STATUS(bench, bench.sub(raws[4]), f"{where}.5"))
    if raws[5]:
        inner.put_converted("type[]", _KIND(bench, bench.sub(raws[5]), f"{where}.6"))
    if raws[9]:
        value: dict[str, Any] = {}
        leaves = bench.site.converts["EI"](bench, bench.sub(raws[9]), f"{where}.10", value)
        if value and "assigner" not in value and raws[10]:
            named = assigner(bench, bench.sub(raws[10]), f"{where}.11")
            if named is not None:
                value["assigner"] = dict(named[0])
        if value:
            inner.put_converted("identifier[]", (value, leaves))
    return inner


def discharge(bench: Bench, raw: str, where: str) -> Converted | None:
    """DLD to a Location of a type (table 0113); the time in DLD.2 stays beside the reference."""
    parts = [*raw.split(bench.component), "", ""]
    kind = _DISCHARGED(bench, bench.sub(parts[0]), f"{where}.1") if parts[0] else None
    if kind is None:
        return None
    text = bench.text(parts[0].split(bench.subcomponent)[0]) or bench.text(parts[0])
    draft = bench.mention("Location", f"{bench.facility}|discharged-to|{text.casefold()}")
    draft.put_converted("type[]", kind)
    coding: dict[str, Any] = next(iter(kind[0].get("coding", ())), {})
    display = kind[0].get("text") or coding.get("display") or text
    draft.put("name", display, f"{where}.1")
    value: dict[str, Any] = draft.reference | {"display": display}
    leaves = [(".reference", where)]
    if parts[1] and (moment := PRIMITIVES["dateTime"](bench, parts[1], f"{where}.2")) and isinstance(moment[0], str):
        value["extension"] = [{"url": "urn:hawsepipe:extension:effective-time", "valueDateTime": moment[0]}]
        leaves.append((".extension[0].valueDateTime", f"{where}.2"))
    return value, leaves


def stay(status: str) -> Convert:
    """PL to Encounter.location with a status; `auto` is completed when the visit is over, planned for a
    pre-admission, else active. `temporary` is that of now,
    `left` is completed, both marked as temporary places."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        made = location(bench, raw, where)
        if made is None:
            return None
        told = status
        if status in ("auto", "active", "temporary"):
            told = _current(bench, planned=status == "auto")
        elif status == "left":
            told = "completed"
        value: dict[str, Any] = {"location": made[0], "status": told}
        if status in ("temporary", "left"):
            coding = {"system": _CLASSES, "code": "temporary"}
            value["extension"] = [{"url": _CLASSIFIED, "valueCodeableConcept": {"coding": [coding]}}]
        return value, [(".location" + below, source) for below, source in made[1]]

    return convert


def _current(bench: Bench, *, planned: bool) -> str:
    """Return the status of a place where the patient is now, by what the message says of the visit."""
    visit = bench.group.segment("PV1")
    ended = visit is not None and bool(visit.text(45)) and bench.event.trigger != "A13"
    if ended or bench.event.encounter in ("finished", "cancelled"):
        return "completed"
    waiting = bench.event.encounter == "planned" or (visit is not None and visit.text(2) == "P")
    return "planned" if planned and waiting else "active"


PLACES: dict[str, Convert] = {"Location": location, "DischargeLocation": discharge}
"""Converters by the name that `via` uses."""
PARAMETERS: dict[str, Callable[[str], Convert]] = {"stay": stay}
"""Converters that take a parameter: `stay:completed`."""
