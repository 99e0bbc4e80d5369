"""Master files of locations (MFN M05): LOC, LCH, LRL, LDP and LCC as Location and HealthcareService."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.people import organization
from hawsepipe_hl7v2.places import location
from hawsepipe_hl7v2.times import time_of_day

_CONCEPT = concept()
_IN_USE = {"MAD": "active", "MAC": "active", "MDC": "inactive", "MDL": "inactive"}
_DAYS = {"MON": "mon", "TUE": "tue", "WED": "wed", "THU": "thu", "FRI": "fri", "SAT": "sat", "SUN": "sun"}
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PARENT, _ALIAS = "PAR", "ALI"


def place(bench: Bench, segment: Segment) -> str | None:
    """LOC-1: the place as everywhere else, so that a visit finds it."""
    made = location(bench, segment.repetitions(1)[0], f"{segment.label}-1") if segment.field(1) else None
    if made is None:
        return None
    return next(
        (key for (type_, key), one in bench.drafts.items() if type_ == "Location" and one.url == made[0]["reference"]),
        None,
    )


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MFE-1: whether the place is in use. One that is deleted stays as inactive, since others refer to it."""
    record = bench.group.segment("MFE")
    told = _IN_USE.get(record.text(1).upper()) if record is not None else None
    if told and record is not None:
        draft.put("status", told, f"{record.label}-1")


def characteristic(bench: Bench, draft: Draft, segment: Segment) -> None:
    """LCH-4 and LCH-5: a characteristic and its value, in an extension of two parts; LCH-2 D takes it off."""
    if segment.text(2).upper() == "D":
        bench.inform(segment.label, "a characteristic that no longer holds; left out")
        return
    inner: list[dict[str, Any]] = []
    leaves: list[Leaf] = []
    for field, name in ((4, "code"), (5, "value")):
        made = _CONCEPT(bench, segment.field(field), f"{segment.label}-{field}") if segment.field(field) else None
        if made is not None:
            at = len(inner)
            inner.append({"url": name, "valueCodeableConcept": made[0]})
            leaves += [(f".extension[{at}].valueCodeableConcept{below}", source) for below, source in made[1]]
    if inner:
        draft.put_converted("extension[]", ({"url": PREFIX + "characteristic", "extension": inner}, leaves))


def relation(bench: Bench, draft: Draft, segment: Segment) -> None:
    """LRL-4: the parent (PAR) is what the place is part of, an alias (ALI) another name; other relations (nearest
    laboratory, pharmacy) are extensions with the organization of LRL-5 or the place of LRL-6."""
    kind = segment.text(4).upper()
    found: list[Converted] = []
    for field, convert in ((5, organization), (6, location)):
        for index, raw in enumerate(segment.repetitions(field)):
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            if kind == _ALIAS:
                text = " ".join(part for part in bench.parts(raw) if part)
                if text:
                    draft.put("alias[]", text, where)
                continue
            made = convert(bench, raw, where)
            if made is not None:
                found.append(made)
    for made in found:
        own = made[0]["reference"] == draft.url
        if kind == _PARENT and made[0]["reference"].startswith("Location/") and not own:
            draft.body.pop("partOf", None)
            draft.put_converted("partOf", made)
            continue
        code = _CONCEPT(bench, segment.field(4), f"{segment.label}-4") if segment.field(4) else None
        inner: list[dict[str, Any]] = [{"url": "place", "valueReference": made[0]}]
        leaves: list[Leaf] = [(f".extension[0].valueReference{below}", source) for below, source in made[1]]
        if code is not None:
            inner.append({"url": "code", "valueCodeableConcept": code[0]})
            leaves += [(f".extension[1].valueCodeableConcept{below}", source) for below, source in code[1]]
        draft.put_converted("extension[]", ({"url": PREFIX + "location-relationship", "extension": inner}, leaves))


def department(bench: Bench, segment: Segment) -> str | None:
    """LDP-2: a department at its place."""
    home = bench.group.role("place")
    code = segment.text(2) or segment.text(2, 2)
    return f"{home.id}|{code.casefold()}" if home is not None and code else None


def hours(bench: Bench, draft: Draft, segment: Segment) -> None:
    """LDP-10 (VH): visiting hours, from one day to another, from one hour to another."""
    for index, raw in enumerate(segment.repetitions(10)):
        where = f"{segment.label}-10" + (f"[{index + 1}]" if index else "")
        parts = [*bench.parts(raw), "", "", "", ""]
        first, last = (_DAYS.get(part.upper()[:3]) for part in parts[:2])
        value: dict[str, Any] = {}
        leaves: list[Leaf] = []
        if first:
            value["daysOfWeek"] = _between(first, last or first)
            leaves.append((".daysOfWeek[0]", f"{where}.1"))
        for at, name in ((2, "availableStartTime"), (3, "availableEndTime")):
            time = time_of_day(parts[at]) if parts[at] else None
            if time:
                value[name] = time
                leaves.append((f".{name}", f"{where}.{at + 1}"))
        if value:
            draft.put_converted("availableTime[]", (value, leaves))


def _between(first: str, last: str) -> list[str]:
    start, end = _WEEK.index(first), _WEEK.index(last)
    return [_WEEK[(start + step) % 7] for step in range((end - start) % 7 + 1)]


def of_department(bench: Bench, _segment: Segment) -> bool:
    """The segment stands behind a department, not behind the place alone."""
    return bench.group.role("department") is not None


def of_place(bench: Bench, segment: Segment) -> bool:
    """The segment stands behind the place alone."""
    return not of_department(bench, segment)


IDENTITIES = {"place": place, "department": department}
DECISIONS = {
    "place-status": status,
    "place-characteristic": characteristic,
    "place-relation": relation,
    "department-hours": hours,
}
PREDICATES = {"of-department": of_department, "of-place": of_place}
