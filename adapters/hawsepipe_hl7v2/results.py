"""Observations and their reports: identities, statuses, what belongs to what, notes."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.notes import annotation
from hawsepipe_hl7v2.orders import place_of
from hawsepipe_hl7v2.primitives import date_time_value, first, mapped_code, string
from hawsepipe_hl7v2.specimens import is_specimen_observation

_CONCEPT = concept()
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
REPORT_NOTE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note"

_LABORATORY = frozenset(
    [
        "BG",
        "BLB",
        "CG",
        "CH",
        "CP",
        "CY",
        "GE",
        "HM",
        "HST",
        "IMM",
        "LAB",
        "MB",
        "MCB",
        "MYC",
        "OSL",
        "PAR",
        "SP",
        "SR",
        "TX",
        "URN",
        "VR",
    ]
)
"""Table 0074, the sections of a laboratory."""
_VALUES = ("value", "component", "_value")
_ASKED = frozenset({"QST", "SCI"})
"""Table 0936: answers to questions at order entry, and supporting clinical information; no results."""


def observation(bench: Bench, segment: Segment) -> str | None:
    """An Observation: its report or vaccination (else patient and visit), OBX-3, OBX-4 and the time in OBX-14.

    The value, OBX-1 and the status are no part of it, so a correction becomes a new version of the same Observation,
    also when it comes alone or in another order. A time that only repeats the report's (OBR-7) says nothing, so that
    a sender may leave it out. Only what nothing tells apart is told apart by its order, and reported.
    """
    code = segment.text(3) or segment.text(3, 2)
    if not code:
        bench.warn("required", f"{segment.label}-3", "the observation has no code")
    group = bench.group
    if is_specimen_observation(bench, segment):
        home = group.role("specimen")
    else:
        home = group.role("report") or group.role("immunization") or group.role("order")
    if home is not None:
        owner = home.id
    else:
        visit = group.role("encounter")
        owner = "|".join((bench.subject(), visit.id if visit else ""))
    key = f"{owner}|{code.casefold()}|{segment.text(3, 3)}|{segment.field(4)}"
    if when := segment.text(14):
        request = group.segment("OBR")
        of_report = request.text(7) if request is not None else ""
        if when != of_report:
            moment = bench.moment(when).value or when
            if moment != (bench.moment(of_report).value or of_report):
                key = f"{key}|{moment}"
    told_apart = bench.distinct("Observation", key)
    if told_apart != key:
        bench.warn(
            "structure",
            f"{segment.label}-4",
            "neither OBX-4 nor OBX-14 tells this result from an earlier one of the same code: only their order does",
        )
    return told_apart


def observation_status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-11 by table 0085; without it the report's status speaks."""
    entry = bench.site.codes["ObservationStatus"]
    text = segment.text(11)
    if text in entry["codes"]:
        draft.put("status", mapped_code(entry, text), f"{segment.label}-11")
        return
    if text:
        bench.warn("code", f"{segment.label}-11", "an unknown result status")
        draft.put("status", "unknown", f"{segment.label}-11")
        return
    request = bench.group.segment("OBR")
    mapped = {"F": "final", "C": "corrected", "P": "preliminary", "X": "cancelled"}.get(
        request.text(25) if request else ""
    )
    if mapped and request is not None:
        draft.put("status", mapped, f"{request.label}-25")


def effective(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-14, else the time of the specimen or service (OBR-7, OBR-8)."""
    if segment.text(14):
        draft.put_converted("effectiveDateTime", _moment(bench, segment, 14))
        return
    request = bench.group.segment("OBR")
    if request is not None:
        report_effective(bench, draft, request)


def report_effective(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-7, or the period from OBR-7 to OBR-8."""
    if segment.text(8):
        draft.put_converted("effectivePeriod.start", _moment(bench, segment, 7))
        draft.put_converted("effectivePeriod.end", _moment(bench, segment, 8))
    else:
        draft.put_converted("effectiveDateTime", _moment(bench, segment, 7))


def _moment(bench: Bench, segment: Segment, field: int) -> Any:
    return date_time_value(bench, segment.field(field), f"{segment.label}-{field}")


def reported(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Put the observation where it belongs: into the report's results, behind the order as supporting information
    (what comes with an order, or OBX-29 says so), or on the specimen."""
    group = bench.group
    if is_specimen_observation(bench, segment):
        specimen = group.role("specimen")
        if specimen is not None:
            draft.put("focus[]", specimen.reference)
        return
    request, home = group.role("order"), group.role("report")
    if request is not None and (home is None or segment.text(29) in _ASKED):
        request.put("supportingInfo[]", draft.reference)
        return
    if request is None and home is None:
        prescription = group.role("original-order") or group.role("prescription")
        if prescription is not None:
            prescription.put("supportingInformation[]", draft.reference)
    if home is not None:
        # A report may have thousands of results: they are told apart by a set, not by searching the list.
        known: dict[str, int] = bench.cache.setdefault(("results", home.id), {})
        if draft.url not in known:
            known[draft.url] = len(known)
            home.body.setdefault("result", []).append(draft.reference)
        home.trail.append((f"result[{known[draft.url]}]", [("", f"{segment.label}-3")]))
    if request is not None:
        draft.put("basedOn[]", request.reference)
    order = group.around("order")
    if order is None:
        return
    place = place_of(order)
    bench.cache.setdefault(("observations", place), []).append(draft)
    if not _has_parents(bench):
        return
    code, part = segment.text(3).casefold(), segment.text(4)
    for owner in (request.url if request is not None else "", ""):
        bench.cache.setdefault(("observation", f"{owner}|{code}|{part}"), draft)
    parent = bench.cache.get(("parent result", place))
    if parent is not None and parent is not draft:
        parent.put("hasMember[]", draft.reference)


def _has_parents(bench: Bench) -> bool:
    """Some report of the message names a parent result (OBR-26), so that results must be found by their codes."""
    told = bench.cache.get(("parents", ""))
    if told is None:
        told = any(one.name == "OBR" and one.field(26) for one in bench.message.segments)
        bench.cache["parents", ""] = told
    return bool(told)


def parent_result(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-26: the result that this report goes into more deeply (the organism of a susceptibility panel).

    A result of this message gets this report's results as members; the report names it in an extension.
    """
    for raw in segment.repetitions(26)[:1]:
        parts = [*raw.split(bench.component), "", "", ""]
        where = f"{segment.label}-26"
        code = [*bench.parts(bench.sub(parts[0])), ""][0].casefold()
        home = bench.cache.get(("parent", place_of(bench.group)))
        key = f"{home.url if home is not None else ''}|{code}|{first(bench, parts[1])}"
        parent = bench.cache.get(("observation", key)) if code else None
        if parent is not None:
            bench.cache["parent result", place_of(bench.group)] = parent
        path = f"extension[{PREFIX}parent-result].extension"
        draft.put_converted(f"{path}[code].valueCodeableConcept", _CONCEPT(bench, bench.sub(parts[0]), f"{where}.1"))
        for at, name in ((1, "sub-id"), (2, "value")):
            draft.put_converted(f"{path}[{name}].valueString", string(bench, parts[at], f"{where}.{at + 1}"))


def report_note(bench: Bench, draft: Draft, segment: Segment) -> None:
    """NTE as a note of a report, which has notes only from R5 on: as the extension that carries them in R4."""
    made = annotation(bench, segment)
    if made is not None:
        value = {"url": REPORT_NOTE, "valueAnnotation": made[0]}
        draft.put_converted("extension[]", (value, [(f".valueAnnotation{below}", source) for below, source in made[1]]))


def no_value(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """Say that the value is absent, and was not asked for (OBX-11 N), unless the status says that there is none."""
    body = draft.body
    if "derivedFrom" in body:
        return
    for key in body:
        if key.startswith(_VALUES):
            return
    asked = segment.text(11) != "N"
    if asked and body.get("status") in ("registered", "cancelled", "entered-in-error"):
        return
    reason = {"system": _ABSENT, "code": "unknown" if asked else "not-asked"}
    draft.put("dataAbsentReason", {"coding": [reason]}, f"{segment.label}-{5 if asked else 11}")


def is_result(bench: Bench, _segment: Segment) -> bool:
    """The observation is part of a laboratory report (OBR-24 says so, or an OBR with a specimen)."""
    request = bench.group.segment("OBR")
    return request is not None and request.text(24) in _LABORATORY


def note_of_observation(bench: Bench, _segment: Segment) -> bool:
    """The OBX before the note made an Observation."""
    return bench.group.role("observation") is not None


def note_of_vaccine(bench: Bench, _segment: Segment) -> bool:
    """The OBX before the note went into the Immunization."""
    return bench.group.role("observation") is None


IDENTITIES = {"observation": observation}
DECISIONS = {
    "parent-result": parent_result,
    "observation-status": observation_status,
    "observation-effective": effective,
    "observation-reported": reported,
    "report-effective": report_effective,
    "report-note": report_note,
    "value-absent": no_value,
}
PREDICATES = {
    "is-result": is_result,
    "note-of-observation": note_of_observation,
    "note-of-vaccine": note_of_vaccine,
}
