"""PR1: procedures that a patient had or is to have."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hawsepipe_hl7v2.amounts import shifted
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.patients import identifier_key
from hawsepipe_hl7v2.people import practitioner
from hawsepipe_hl7v2.primitives import PRIMITIVES, constant

_CONCEPT = concept()
_UNKNOWN = constant("unknown")
_SNOMED = "http://snomed.info/sct"
_PERFORMERS = ((8, "88189002", "Anesthesiologist"), (11, "304292004", "Surgeon"), (12, "", ""))


def procedure(bench: Bench, segment: Segment) -> str | None:
    """PR1-19; else what was done, when, at this visit."""
    if segment.text(19):
        parts = [*segment.field(19).split(bench.component), "", "", ""]
        raw = bench.component.join((parts[0], "", "", bench.subcomponent.join(parts[1:4])))
        return f"{bench.subject()}|{identifier_key(bench, raw)}"
    told = segment.text(3) or segment.text(3, 2) or segment.text(4)
    visit = bench.group.role("encounter")
    home = visit.id if visit is not None else bench.subject()
    return bench.distinct("Procedure", f"{home}|{told.casefold()}|{segment.text(5)}") if told else None


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide Procedure.status: deleted (PR1-20 D) is entered in error; of a visit to come, in preparation; with a time
    it is completed; else unknown."""
    if segment.text(20) == "D":
        draft.put("status", "entered-in-error", f"{segment.label}-20")
    elif bench.event.encounter == "planned":
        draft.put("status", "preparation", "MSH-9.2")
    elif segment.text(5):
        draft.put("status", "completed", f"{segment.label}-5")
    else:
        draft.put("status", "unknown")


def performed(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PR1-5, with PR1-7 minutes as a period when both are exact enough."""
    start = PRIMITIVES["dateTime"](bench, segment.field(5), f"{segment.label}-5") if segment.field(5) else None
    if start is None:
        return
    if any(key.lstrip("_").startswith("performed") for key in draft.body):
        bench.inform(f"{segment.label}-5", "the message tells this procedure twice; the first time counts")
        return
    minutes = segment.text(7)
    if minutes.isascii() and minutes.isdigit() and len(minutes) < 7 and isinstance(start[0], str) and "T" in start[0]:
        end = shifted(start[0], timedelta(minutes=int(minutes)))
        if end is not None:
            leaves = [(".start", f"{segment.label}-5"), (".end", f"{segment.label}-7")]
            draft.put_converted("performedPeriod", ({"start": start[0], "end": end}, leaves))
            return
    draft.put_converted("performedDateTime", start)


def performers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PR1-8 anaesthetist, PR1-11 surgeon, PR1-12 any other."""
    for number, code, display in _PERFORMERS:
        for index, raw in enumerate(segment.repetitions(number)):
            made = practitioner(bench, raw, f"{segment.label}-{number}" + (f"[{index + 1}]" if index else ""))
            if made is None:
                continue
            value: dict[str, Any] = {"actor": made[0]}
            if code:
                value["function"] = {"coding": [{"system": _SNOMED, "code": code, "display": display}]}
            draft.put_converted("performer[]", (value, [(f".actor{below}", source) for below, source in made[1]]))


def name(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PR1-4 as the text of the code; a second text beside PR1-3.9 stays in an extension."""
    text = segment.text(4)
    if not text:
        return
    where = f"{segment.label}-4"
    code = draft.body.setdefault("code", {})
    if "text" not in code:
        code["text"] = text
        draft.trail.append(("code.text", [("", where)]))
    elif code["text"] != text:
        draft.put("extension[urn:hawsepipe:extension:procedure-description].valueString", text, where)


def modified(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PR1-16: modifiers of the procedure code, each as the code with its modifier, and by itself."""
    code = segment.text(3)
    for index, raw in enumerate(segment.repetitions(16)):
        where = f"{segment.label}-16" + (f"[{index + 1}]" if index else "")
        converted = _CONCEPT(bench, raw, where)
        if converted is None:
            continue
        modifier = next((coding.get("code", "") for coding in converted[0].get("coding", ())), "")
        value: dict[str, Any] = {"url": "urn:hawsepipe:extension:procedure-modifier"}
        leaves = [(f".valueCodeableConcept{below}", source) for below, source in converted[1]]
        draft.put_converted("extension[]", (value | {"valueCodeableConcept": converted[0]}, leaves))
        if code and modifier:
            codings = draft.body.setdefault("code", {}).setdefault("coding", [])
            system = codings[0].get("system") if codings else None
            joined = ({"system": system} if system else {}) | {"code": f"{code}:{modifier}"}
            draft.trail.append((f"code.coding[{len(codings)}].code", [("", where)]))
            codings.append(joined)


def whole(bench: Bench, raw: str, where: str) -> Converted | None:
    """EI of the procedure that this one is part of (PR1-25) to a Reference to it."""
    parts = [*raw.split(bench.component), "", "", ""]
    if not bench.text(parts[0]):
        return None
    owned = bench.component.join((parts[0], "", "", bench.subcomponent.join(parts[1:4])))
    patient = bench.group.role("patient")
    draft = bench.mention("Procedure", f"{bench.subject()}|{identifier_key(bench, owned)}")
    value: dict[str, Any] = {}
    leaves = bench.site.converts["EI"](bench, raw, where, value)
    draft.put_converted("identifier[]", (value, leaves))
    if patient is not None:
        draft.put("subject", patient.reference)
    draft.defaults.setdefault("status", (_UNKNOWN, "nothing tells its status; unknown", where))
    return draft.reference, [(".reference", where)]


IDENTITIES = {"procedure": procedure}
DECISIONS = {
    "procedure-status": status,
    "procedure-performed": performed,
    "procedure-performers": performers,
    "procedure-name": name,
    "procedure-modifiers": modified,
}
CONVERTERS: dict[str, Convert] = {"WholeProcedure": whole}
