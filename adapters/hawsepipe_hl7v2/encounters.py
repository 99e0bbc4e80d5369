"""Visits: identity, status, class, diagnoses."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from hawsepipe import Severity
from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft
from hawsepipe_hl7v2.datatypes import coding, concept
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.patients import identifier_key
from hawsepipe_hl7v2.places import place_of
from hawsepipe_hl7v2.primitives import PRIMITIVES, before, decimal, first, named
from hawsepipe_hl7v2.times import Moment, point

UNION = ("identifier", "period", "hospitalization", "diagnosis", "extension")
"""Elements of a visit that a message joins to what is stored."""
_CONCEPT = concept()
_DESCRIPTION = "urn:hawsepipe:extension:visit-description"
_CERTAINTY = {"F": (3, "confirmed"), "W": (2, "provisional")}
"""Table 0052: how sure a diagnosis is, and what that makes of the condition."""
_ROLE = concept("DiagnosisType")
_BED = coding("BedStatus")
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


def encounter(bench: Bench, segment: Segment) -> str | None:
    """PV1-19 (visit number), else PV1-50; else the patient with PID-18 or PV1-44; else this message alone."""
    for number in (19, 50):
        if segment.text(number):
            return identifier_key(bench, segment.repetitions(number)[0], "visit")
    person = bench.group.segment("PID")
    if person is not None and person.text(18):
        return f"{bench.subject()}|account|{identifier_key(bench, person.repetitions(18)[0], 'account')}"
    if segment.text(44):
        return f"{bench.subject()}|admitted|{segment.text(44)}"
    bench.issue(
        Severity.WARNING,
        "required",
        f"{segment.label}-19",
        "the visit has no number, account or time: later messages cannot be joined to it",
    )
    return f"{bench.subject()}|message|{bench.control}"


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide Encounter.status.

    1. an event that says it (A03 finished, A11 cancelled, A13 in progress …); 2. PV1-45: finished; 3. the class: P
    planned, U unknown, else in progress. A status by the third rule, or of an update event, never reopens what is
    stored.
    """
    event = bench.event
    if event.encounter is not None and event.settled:
        draft.put("status", event.encounter, "MSH-9.2")
        return
    if segment.text(45):
        draft.put("status", "finished", f"{segment.label}-45")
    elif event.encounter is not None:
        draft.put("status", event.encounter, "MSH-9.2")
    else:
        by_class = {"P": "planned", "U": "unknown"}.get(segment.text(2), "in-progress")
        draft.put("status", by_class, f"{segment.label}-2")
        draft.keep.add("status")


def period(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PV1-44 and PV1-45. A cancelled discharge has neither an end nor a disposition, even when the sender repeats
    them."""
    if bench.event.snapshot:
        times = ((44, "period.start"), (45, "period.end"))
        draft.cleared |= {part for number, part in times if segment.field(number) == DELETE}
    start = PRIMITIVES["dateTime"](bench, segment.field(44), f"{segment.label}-44")
    draft.put_converted("period.start", start)
    if bench.event.trigger == "A13":
        _reopen(bench, draft, segment)
        if segment.text(45):
            bench.inform(f"{segment.label}-45", "the discharge is cancelled; its time is only noted")
            leftovers.field(bench, draft, segment, 45)
        return
    end = PRIMITIVES["dateTime"](bench, segment.field(45), f"{segment.label}-45")
    if end is None and bench.event.trigger == "A03":
        trigger = bench.message.first("EVN")
        if trigger is not None and trigger.text(6):
            end = PRIMITIVES["dateTime"](bench, trigger.field(6), "EVN-6")
    draft.put_converted("period.end", end)
    moments = [bench.moment(first(bench, segment.field(number))) for number in (44, 45)]
    if end is not None and all(one.value for one in moments) and _ends_first(*moments):
        bench.warn("code", f"{segment.label}-45", "the discharge is before the admission; both are kept")


def _ends_first(start: Moment, end: Moment) -> bool:
    began, ended = point(start), point(end)
    if began is not None and ended is not None:
        return ended < began
    return before(end.value or "", start.value or "")


def _reopen(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Take back what a discharge wrote: what this message tells of the period and the stay replaces what is stored."""
    stay = draft.body.get("hospitalization", {})
    for element, field in (("dischargeDisposition", 36), ("destination", 37)):
        if stay.pop(element, None) is not None:
            bench.inform(f"{segment.label}-{field}", f"the discharge is cancelled; its {element} is only noted")
            leftovers.field(bench, draft, segment, field)
            gone = f"hospitalization.{element}"
            draft.trail = [entry for entry in draft.trail if not entry[0].startswith(gone)]
    if not stay:
        draft.body.pop("hospitalization", None)
    draft.union -= {"period", "hospitalization"}
    draft.cleared |= {"period", "hospitalization"}


def visit_number(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PV1-19 as a visit number (VN) and PV1-50 as it is."""
    for number in (19, 50):
        for index, raw in enumerate(segment.repetitions(number)):
            where = f"{segment.label}-{number}" + (f"[{index + 1}]" if index else "")
            value: dict[str, Any] = {}
            leaves = bench.site.converts["CX"](bench, raw, where, value)
            if "value" not in value:
                continue
            value.setdefault("system", bench.owned("visit"))
            if number == 19:
                system = "http://terminology.hl7.org/CodeSystem/v2-0203"
                value.setdefault("type", {"coding": [{"system": system, "code": "VN"}]})
            draft.put_converted("identifier[]", (value, leaves))


def length_of_stay(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PV2-11 in days."""
    converted = decimal(bench, segment.field(11), f"{segment.label}-11")
    if converted is not None:
        value = {"value": converted[0], "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"}
        draft.put_converted("length", (value, [(".value", converted[1][0][1])]))


def description(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PV2-12: what the visit is, in words: an extension, and the narrative."""
    text = segment.text(12)
    if not text:
        return
    where = f"{segment.label}-12"
    draft.put(f"extension[{_DESCRIPTION}].valueString", text, where)
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{escape(text)}</div>'
    draft.put_converted("text", ({"status": "additional", "div": div}, [(".div", where)]))


def protected(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PV2-22: a protected visit is labelled restricted. N, or what is neither, makes no label: it is kept as sent."""
    if segment.text(22).upper() in ("Y", "YES"):
        coding = {"system": _CONFIDENTIALITY, "code": "R"}
        draft.put_converted("meta.security[]", (coding, [(".code", f"{segment.label}-22")]))
    else:
        leftovers.field(bench, draft, segment, 22)


def bed_status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PV1-40 (NPU-2): the state of the room or bed of PV1-3 (NPU-1). It is true of now, so it replaces what is
    stored."""
    field, place = (40, 3) if segment.name == "PV1" else (2, 1)
    if not segment.text(field) or not segment.repetitions(place):
        return
    found = place_of(bench, segment.repetitions(place)[0], f"{segment.label}-{place}")
    if found is not None:
        found.firm.add("operationalStatus")
        found.put_converted("operationalStatus", _BED(bench, segment.field(field), f"{segment.label}-{field}"))


def bed(bench: Bench, segment: Segment) -> str | None:
    """NPU-1: the bed whose state is told."""
    found = place_of(bench, segment.repetitions(1)[0], f"{segment.label}-1") if segment.text(1) else None
    return found.key if found is not None else None


def episode(bench: Bench, segment: Segment) -> str | None:
    """PV1-54: an episode of care that the visit is part of."""
    return identifier_key(bench, segment.repetitions(54)[0]) if segment.text(54) else None


def of_episode(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Encounter.episodeOfCare."""
    visit = bench.group.role("encounter")
    if visit is not None:
        visit.put("episodeOfCare[]", draft.reference, f"{segment.label}-54")


def condition(bench: Bench, segment: Segment) -> str | None:
    """DG1-20 when it is valued, else patient, visit and diagnosis: an admission diagnosis (DG1-6) that becomes the
    final one is the same condition."""
    code = segment.text(3) or segment.text(3, 2) or segment.text(4)
    if segment.text(20):
        return numbered_condition(bench, segment.field(20))
    if not code:
        return None
    visit = bench.group.role("encounter")
    return "|".join((bench.subject(), visit.id if visit else "", code.casefold(), segment.text(3, 3)))


def numbered_condition(bench: Bench, raw: str) -> str:
    """Return the key of a condition by its number (EI)."""
    parts = [*bench.parts(raw), ""]
    return f"{bench.subject()}|{parts[0]}|{parts[1]}"


def cause(bench: Bench, raw: str, where: str) -> Converted | None:
    """DG1-22: the diagnosis that this one is due to, by its number, in this message or not."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["EI"](bench, raw, where, value)
    if not value:
        return None
    parent = bench.draft("Condition", numbered_condition(bench, raw))
    parent.put_converted("identifier[]", (value, leaves))
    patient = bench.group.role("patient")
    if patient is not None:
        parent.put("subject", patient.reference)
    return parent.reference, [(".reference", where)]


def described(bench: Bench, draft: Draft, segment: Segment) -> None:
    """DG1-4 as the text of the diagnosis; another text beside DG1-3's own stays in an extension."""
    text = segment.text(4)
    if not text:
        return
    where = f"{segment.label}-4"
    code = draft.body.setdefault("code", {})
    if "text" not in code:
        code["text"] = text
        draft.trail.append(("code.text", [("", where)]))
    elif code["text"] != text:
        draft.put("extension[urn:hawsepipe:extension:diagnosis-description].valueString", text, where)


def method(bench: Bench, draft: Draft, segment: Segment) -> None:
    """DG1-2, the coding method of before 2.3: the system of a code without one, where it is a known one; else kept."""
    name = segment.text(2)
    if not name:
        return
    where = f"{segment.label}-2"
    uri = bench.naming.coding_system(name) or ""
    codings = draft.body.get("code", {}).get("coding", [])
    known = not uri.startswith(("urn:hawsepipe:codes:", "http://terminology.hl7.org/CodeSystem/v2-"))
    if known and codings and "code" in codings[0] and "system" not in codings[0]:
        codings[0]["system"] = uri
        draft.trail.append(("code.coding[0].system", [("", where)]))
    if known and any(coding.get("system") == uri for coding in codings):
        named(bench, ((name, ""),), where)
    else:
        leftovers.field(bench, draft, segment, 2)


def diagnosis(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Put the condition into Encounter.diagnosis, with DG1-6 as use and DG1-15 as rank."""
    visit = bench.group.role("encounter")
    care = bench.group.role("episode")
    if care is not None:
        _of_episode(bench, care, draft, segment)
    if visit is None:
        return
    value: dict[str, Any] = {"condition": draft.reference}
    leaves = [(".condition.reference", f"{segment.label}-3")]
    role = segment.text(6)
    use = _ROLE(bench, segment.field(6), f"{segment.label}-6") if role else None
    if use is not None:
        value["use"] = use[0]
        leaves += [(f".use{below}", source) for below, source in use[1]]
    rank = segment.text(15)
    if rank.isascii() and rank.isdigit() and int(rank[:9]) > 0:
        value["rank"] = int(rank[:9])
        leaves.append((".rank", f"{segment.label}-15"))
    visit.put_converted("diagnosis[]", (value, leaves))


def _of_episode(bench: Bench, care: Draft, draft: Draft, segment: Segment) -> None:
    """Put the condition into EpisodeOfCare.diagnosis."""
    value: dict[str, Any] = {"condition": draft.reference}
    leaves = [(".condition.reference", f"{segment.label}-3")]
    role = _ROLE(bench, segment.field(6), f"{segment.label}-6") if segment.text(6) else None
    if role is not None:
        value["role"] = role[0]
        leaves += [(f".role{below}", source) for below, source in role[1]]
    rank = segment.text(15)
    if rank.isascii() and rank.isdigit() and int(rank[:9]) > 0:
        value["rank"] = int(rank[:9])
        leaves.append((".rank", f"{segment.label}-15"))
    care.put_converted("diagnosis[]", (value, leaves))


def certainty(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide Condition.verificationStatus: F confirmed, W provisional; DG1-21 D entered in error, A takes that back.

    A diagnosis that comes several times is as certain as its surest one, and removed when all of them are.
    """
    removed = segment.text(21) == "D"
    field = 21 if removed else 6
    rank, code = (0, "entered-in-error") if removed else _CERTAINTY.get(segment.text(6), (1, ""))
    known = ("certainty", draft.url)
    if rank <= bench.cache.get(known, -1):
        return
    bench.cache[known] = rank
    draft.body.pop("verificationStatus", None)
    draft.trail = [entry for entry in draft.trail if entry[0] != "verificationStatus"]
    if code:
        system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
        leaves = [(".coding[0].code", f"{segment.label}-{field}")]
        draft.put_converted("verificationStatus", ({"coding": [{"system": system, "code": code}]}, leaves))
    elif segment.text(21) == "A":
        draft.cleared.add("verificationStatus")


IDENTITIES = {"encounter": encounter, "condition": condition, "episode": episode, "bed": bed}
DECISIONS = {
    "encounter-status": status,
    "encounter-period": period,
    "visit-number": visit_number,
    "length-of-stay": length_of_stay,
    "visit-description": description,
    "visit-protected": protected,
    "bed-status": bed_status,
    "of-episode": of_episode,
    "diagnosis-method": method,
    "diagnosis-text": described,
    "encounter-diagnosis": diagnosis,
    "diagnosis-certainty": certainty,
}
PREDICATES: dict[str, Callable[[Bench, Segment], bool]] = {}
CONVERTERS: dict[str, Convert] = {"CauseCondition": cause}
