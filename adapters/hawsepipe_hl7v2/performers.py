"""Who carried out, interpreted and answers for a result: NDL of OBR, OBX-16 and OBX-23 to 25."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawsepipe_hl7v2.amounts import put_moment
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.orders import role_of
from hawsepipe_hl7v2.people import organization, practitioner
from hawsepipe_hl7v2.places import location
from hawsepipe_hl7v2.primitives import date_time_value

FUNCTION = "http://hl7.org/fhir/StructureDefinition/event-performerFunction"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ROLES = "http://terminology.hl7.org/CodeSystem/v2-0912"


def named(bench: Bench, raw: str, where: str) -> Converted | None:
    """NDL to a Practitioner (NDL.1 is a CNN, which begins like an XCN), or, when NDL tells when and where, to a
    PractitionerRole for that period and place."""
    parts = raw.split(bench.component)
    person = practitioner(bench, bench.sub(parts[0]), f"{where}.1") if parts[0] else None
    period: dict[str, Any] = {}
    leaves: list[Leaf] = []
    for name, at in (("start", 2), ("end", 3)):
        if at <= len(parts) and parts[at - 1]:
            put_moment(period, name, date_time_value(bench, parts[at - 1], f"{where}.{at}"), leaves, ".period")
    # From the fourth component on an NDL is a PL.
    place = location(bench, bench.component.join(parts[3:]), where) if any(parts[3:]) else None
    if person is None or (not period and place is None):
        return person
    home = bench.group.role("report") or bench.group.role("order")
    owner = home.id if home is not None else bench.subject()
    draft = bench.mention("PractitionerRole", f"{owner}|{raw}")
    draft.put_converted("practitioner", person)
    if period:
        draft.put_converted("period", (period, [(below.removeprefix(".period"), source) for below, source in leaves]))
    draft.put_converted("location[]", place)
    shown = {"display": person[0]["display"]} if "display" in person[0] else {}
    return draft.reference | shown, person[1]


def performer(function: str) -> Convert:
    """Return a converter of NDL to a performer in a function of v3-ParticipationType."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        made = named(bench, raw, where)
        if made is None:
            return None
        code = {"coding": [{"system": _PARTICIPATION, "code": function}]}
        return {"extension": [{"url": FUNCTION, "valueCodeableConcept": code}]} | made[0], made[1]

    return convert


def responsible(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-23 with the address of OBX-24, and OBX-25: the organization that made the result and its medical director.

    The director is a PractitionerRole with that function: a mere Practitioner would have made the result.
    """
    label = segment.label
    place: Converted | None = None
    for index, raw in enumerate(segment.repetitions(23)):
        made = organization(bench, raw, f"{label}-23" + (f"[{index + 1}]" if index else ""))
        if made is not None:
            draft.put_converted("performer[]", made)
            place = place or made
    if segment.text(24) or segment.text(24, 3):
        home = bench.mentioned.get(place[0]["reference"]) if place is not None else None
        if home is None:
            home = bench.mention("Organization", f"{bench.facility}|performer|{segment.field(24)}")
            draft.put_converted("performer[]", (home.reference, [(".reference", f"{label}-24")]))
        for index, raw in enumerate(segment.repetitions(24)):
            content: dict[str, Any] = {}
            where = f"{label}-24" + (f"[{index + 1}]" if index else "")
            leaves = bench.site.converts["XAD"](bench, raw, where, content)
            home.put_converted("address[]", (content, leaves) if content else None)
    for index, raw in enumerate(segment.repetitions(25)):
        person = practitioner(bench, raw, f"{label}-25" + (f"[{index + 1}]" if index else ""))
        if person is None:
            continue
        director = {"coding": [{"system": _ROLES, "code": "MDIR"}]}
        draft.put_converted("performer[]", role_of(bench, person, place, director))


CONVERTERS: dict[str, Convert] = {"Interpreter": named}
"""Converters by the name that `via` uses."""
PARAMETERS: dict[str, Callable[[str], Convert]] = {"ResultsPerformer": performer}
"""Converters that take a parameter: `ResultsPerformer:SPRF`."""
DECISIONS = {"responsible": responsible}
"""Functions that write by themselves: (bench, draft, segment)."""
