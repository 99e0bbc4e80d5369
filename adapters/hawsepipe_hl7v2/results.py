"""Orders, reports and observations: identities, statuses, values by OBX-2, notes."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Converted, Draft
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import date_time_value
from hawsepipe_hl7v2.values import ATTACHMENT

REPORT_NOTE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note"

# Table 0074, the sections of a laboratory.
_LABORATORY = frozenset(
    [
        "BG",
        "BLB",
        "CH",
        "CP",
        "HM",
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
        "VR",
        "GE",
        "CG",
        "CY",
        "HST",
        "URN",
    ]
)


def _number(bench: Bench, name: str, at: int, code_at: int) -> str:
    """Return an order number (EI) with its authority, of ORC or OBR in this group."""
    for segment_name, field in (("OBR", at), (name, code_at)):
        segment = bench.group.segment(segment_name)
        if segment is not None and segment.text(field):
            parts = segment.component(field, 2), segment.component(field, 3), segment.component(field, 4)
            hd = [bench.text(part) for part in parts]
            system = bench.naming.authority(hd[0], hd[1], hd[2]) or bench.facility
            return f"{system}|{segment.text(field)}"
    return ""


def _service(bench: Bench) -> str:
    request = bench.group.segment("OBR")
    return (request.text(4) or request.text(4, 2)).casefold() if request is not None else ""


def _once(bench: Bench, type_: str, make: str) -> str:
    """Make a key distinct once for each group: ORC and OBR of one group share it, the next group does not."""
    cached = bench.cache.get((type_, f"{bench.group.name}#{bench.group.number}"))
    if cached is None:
        cached = bench.cache[type_, f"{bench.group.name}#{bench.group.number}"] = bench.distinct(type_, make)
    return str(cached)


def order(bench: Bench, _segment: Segment) -> str | None:
    """A ServiceRequest: the placer's number, else the filler's, with what is ordered; else patient, service
    and time."""
    placer, filler = _number(bench, "ORC", 2, 2), _number(bench, "ORC", 3, 3)
    return _once(bench, "ServiceRequest", _order_key(bench, placer or filler))


def report(bench: Bench, _segment: Segment) -> str | None:
    """A DiagnosticReport: the filler's number, else the placer's, with what is reported; else patient, service
    and time."""
    placer, filler = _number(bench, "ORC", 2, 2), _number(bench, "ORC", 3, 3)
    return _once(bench, "DiagnosticReport", _order_key(bench, filler or placer))


def _order_key(bench: Bench, numbered: str) -> str:
    if numbered:
        return f"{numbered}|{_service(bench)}"
    request = bench.group.segment("OBR")
    when = request.text(7) if request is not None else ""
    return f"{bench.subject()}|{_service(bench)}|{when or bench.control}"


def observation(bench: Bench, segment: Segment) -> str | None:
    """An Observation: its report or vaccination (else patient and visit), OBX-3, OBX-4 and the time in OBX-14.

    The value, OBX-1 and the status are no part of it, so a correction becomes a new version of the same Observation,
    also when it comes alone or in another order. A time that only repeats the report's (OBR-7) says nothing, so that
    a sender may leave it out. Only what nothing tells apart is told apart by its order, and reported.
    """
    code = segment.text(3) or segment.text(3, 2)
    if not code:
        bench.warn("required", f"{segment.label}-3", "the observation has no code")
    home = bench.group.role("report") or bench.group.role("immunization")
    if home is not None:
        owner = home.id
    else:
        visit = bench.group.role("encounter")
        owner = "|".join((bench.subject(), visit.id if visit else ""))
    key = f"{owner}|{code.casefold()}|{segment.text(3, 3)}|{segment.field(4)}"
    if when := segment.text(14):
        request = bench.group.segment("OBR")
        moment, of_report = (bench.moment(text).value or text for text in (when, request.text(7) if request else ""))
        if moment != of_report:
            key = f"{key}|{moment}"
    told_apart = bench.distinct("Observation", key)
    if told_apart != key:
        bench.warn(
            "structure",
            f"{segment.label}-4",
            "neither OBX-4 nor OBX-14 tells this result from an earlier one of the same code: only their order does",
        )
    return told_apart


def specimen(bench: Bench, segment: Segment) -> str | None:
    """A Specimen: SPM-2 (the filler's part, else the placer's), else the report and SPM-1."""
    for part in (2, 1):
        if segment.text(2, part):
            return f"{bench.facility}|{segment.text(2, part)}"
    home = bench.group.role("report")
    return bench.distinct("Specimen", f"{home.id if home else bench.subject()}|{segment.text(1)}")


def order_identifiers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the order numbers of ORC or OBR once each: placer (PLAC), filler (FILL), in ServiceRequest, report
    or Immunization."""
    for field, code in ((2, "PLAC"), (3, "FILL")):
        raw = segment.field(field)
        if not segment.text(field):
            continue
        where = f"{segment.label}-{field}"
        value: dict[str, Any] = {}
        leaves = bench.site.converts["EI"](bench, segment.repetitions(field)[0], where, value)
        if raw and "value" in value:
            system = "http://terminology.hl7.org/CodeSystem/v2-0203"
            value["type"] = {"coding": [{"system": system, "code": code}]}
            draft.put_converted("identifier[]", (value, leaves))


def order_status(bench: Bench, draft: Draft, _segment: Segment) -> None:
    """Decide ServiceRequest.status: ORC-5, else ORC-1, else from the results (OBR-25)."""
    codes = bench.site.codes
    control, request = bench.group.segment("ORC"), bench.group.segment("OBR")
    if control is not None:
        for field, table in ((5, "OrderStatus"), (1, "OrderControl")):
            mapped = codes[table]["codes"].get(control.text(field))
            if mapped:
                draft.put("status", mapped, f"{control.label}-{field}")
                return
    if request is not None and request.text(25) in codes["ResultToOrderStatus"]["codes"]:
        draft.put("status", codes["ResultToOrderStatus"]["codes"][request.text(25)], f"{request.label}-25")


def observation_status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-11 by table 0085; without it the report's status speaks."""
    entry = bench.site.codes["ObservationStatus"]
    text = segment.text(11)
    if text in entry["codes"]:
        draft.put("status", entry["codes"][text], f"{segment.label}-11")
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
    """Put the observation into the report's results, and the report's order behind the observation."""
    home = bench.group.role("report")
    if home is not None:
        # A report may have thousands of results: they are told apart by a set, not by searching the list.
        known: dict[str, int] = bench.cache.setdefault(("results", home.id), {})
        if draft.url not in known:
            known[draft.url] = len(known)
            home.body.setdefault("result", []).append(draft.reference)
        home.trail.append((f"result[{known[draft.url]}]", [("", f"{segment.label}-3")]))
    request = bench.group.role("order")
    if request is not None:
        draft.put("basedOn[]", request.reference)


def reported_specimen(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Put the specimen into the report."""
    home = bench.group.role("report")
    if home is not None:
        home.put("specimen[]", draft.reference, f"{segment.label}-2")


def note(bench: Bench, draft: Draft, segment: Segment) -> None:
    """NTE-3 as one note, its repetitions as lines; NTE-5 is its author, NTE-6 its time."""
    draft.put_converted("note[]", _annotation(bench, segment))


def report_note(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The same for a report, which has notes only from R5 on: as the extension that carries them in R4."""
    made = _annotation(bench, segment)
    if made is not None:
        value = {"url": REPORT_NOTE, "valueAnnotation": made[0]}
        draft.put_converted("extension[]", (value, [(f".valueAnnotation{below}", source) for below, source in made[1]]))


def _annotation(bench: Bench, segment: Segment) -> Converted | None:
    text = "\n".join(bench.text(raw) for raw in segment.repetitions(3))
    if not text.strip():
        return None
    content: dict[str, Any] = {}
    moment = _moment(bench, segment, 6)
    if moment is not None and isinstance(moment[0], str):
        content["time"] = moment[0]
    author = " ".join(part for part in (segment.text(5, 3), segment.text(5, 2)) if part)
    if author:
        content["authorString"] = author
    content["text"] = text
    return content, [(".text", f"{segment.label}-3")]


def performer_address(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-24 to the address of the performing organization of OBX-23."""
    if not segment.text(24, 1) and not segment.text(24, 3):
        return
    reference = next(
        (one["reference"] for one in draft.body.get("performer", ()) if one["reference"].startswith("Organization/")),
        "",
    )
    home = bench.organizations.get(reference)
    if home is None:
        bench.inform(f"{segment.label}-24", "an address without an organization; left out")
        return
    content: dict[str, Any] = {}
    leaves = bench.site.converts["XAD"](bench, segment.repetitions(24)[0], f"{segment.label}-24", content)
    home.put_converted("address[]", (content, leaves))


def collected(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SPM-17: a moment, or a period when it has an end."""
    mark = segment.delimiters.component
    start, end = [*(segment.repetitions(17) or [""])[0].split(mark), ""][:2]
    where = f"{segment.label}-17"
    if end:
        draft.put_converted("collection.collectedPeriod.start", date_time_value(bench, start, f"{where}.1"))
        draft.put_converted("collection.collectedPeriod.end", date_time_value(bench, end, f"{where}.2"))
    else:
        draft.put_converted("collection.collectedDateTime", date_time_value(bench, start, f"{where}.1"))


def no_value(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """Say that the value is absent, unless the status already says that there is none."""
    if draft.body.get("status") in ("registered", "cancelled", "entered-in-error"):
        return
    told = any(key.lstrip("_").startswith(("value", "component")) for key in draft.body)
    if not told and not any(one.get("url") == ATTACHMENT for one in draft.body.get("extension", ())):
        system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
        draft.put("dataAbsentReason", {"coding": [{"system": system, "code": "unknown"}]}, f"{segment.label}-5")


def is_result(bench: Bench, _segment: Segment) -> bool:
    """The observation is part of a laboratory report (OBR-24 says so, or an OBR with a specimen)."""
    request = bench.group.segment("OBR")
    return request is not None and request.text(24) in _LABORATORY


def new_order(bench: Bench, segment: Segment) -> bool:
    """ORC-1 says that this is the order being made."""
    return segment.text(1) in ("NW", "SN", "RE", "")


def note_of_observation(bench: Bench, _segment: Segment) -> bool:
    """The OBX before the note made an Observation."""
    return bench.group.role("observation") is not None


def note_of_vaccine(bench: Bench, _segment: Segment) -> bool:
    """The OBX before the note went into the Immunization."""
    return bench.group.role("observation") is None


def has_request(bench: Bench, _segment: Segment) -> bool:
    """There is an OBR in this order."""
    return bench.group.segment("OBR") is not None


IDENTITIES = {"order": order, "report": report, "observation": observation, "specimen": specimen}
DECISIONS = {
    "order-identifiers": order_identifiers,
    "order-status": order_status,
    "observation-status": observation_status,
    "observation-effective": effective,
    "observation-reported": reported,
    "report-effective": report_effective,
    "report-specimen": reported_specimen,
    "note": note,
    "report-note": report_note,
    "performer-address": performer_address,
    "specimen-collected": collected,
    "value-absent": no_value,
}
PREDICATES = {
    "has-request": has_request,
    "is-result": is_result,
    "new-order": new_order,
    "note-of-observation": note_of_observation,
    "note-of-vaccine": note_of_vaccine,
}
