"""Vaccinations (VXU): identity, status, and observations about the vaccine by their LOINC code."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Converted, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.documents import is_content
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import PRIMITIVES

_CONCEPT = concept()
# 998: no vaccine was given; the message only carries observations. 999 as amount: not known.
_NO_VACCINE, _UNKNOWN_AMOUNT = "998", "999"
# 9999: the filler has no number for a vaccination that somebody else gave or that was refused.
_NO_NUMBER = "9999"
_SOURCE, _ELIGIBILITY = "30963-3", "64994-7"
_DOCUMENT = frozenset({"69764-9", "30956-7"})
_PUBLISHED, _PRESENTED = "29768-9", "29769-7"
_REACTION, _DOSE, _SERIES_DOSES = "31044-1", "30973-2", "59782-3"
_ON_IMMUNIZATION = frozenset({_SOURCE, _ELIGIBILITY, _PUBLISHED, _PRESENTED, _DOSE, _SERIES_DOSES}) | _DOCUMENT


def vaccine_given(bench: Bench, _segment: Segment) -> bool:
    """RXA-5 names a vaccine (not CVX 998)."""
    administered = bench.group.segment("RXA")
    return administered is not None and administered.text(5) != _NO_VACCINE


def immunization(bench: Bench, _segment: Segment) -> str | None:
    """An Immunization: the filler's number (else the placer's) with the vaccine; else patient, vaccine and time."""
    administered = bench.group.segment("RXA")
    if administered is None:
        return None
    cached = bench.cache.get(("immunization", f"{bench.group.name}#{bench.group.number}"))
    if cached is not None:
        return str(cached)
    vaccine = administered.text(5) or administered.text(5, 2)
    control = bench.group.segment("ORC")
    number = ""
    for field in (3, 2):
        if control is not None and not number and control.text(field) not in ("", _NO_NUMBER):
            hd = [bench.text(control.component(field, part)) for part in (2, 3, 4)]
            system = bench.naming.authority(hd[0], hd[1], hd[2]) or bench.facility
            number = f"{system}|{control.text(field)}"
    key = number or f"{bench.subject()}|{administered.text(3)}"
    made = bench.distinct("Immunization", f"{key}|{vaccine.casefold()}")
    bench.cache["immunization", f"{bench.group.name}#{bench.group.number}"] = made
    return made


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-21 D is entered-in-error; else RXA-20: CP and PA completed, RE and NA not-done."""
    if segment.text(21) == "D":
        draft.put("status", "entered-in-error", f"{segment.label}-21")
        return
    entry = bench.site.codes["CompletionStatus"]
    code = segment.text(20)
    if code in entry["codes"]:
        draft.put("status", entry["codes"][code], f"{segment.label}-20")
        if code == "PA":
            coding = {"system": entry["source"], "code": "PA"}
            draft.put("isSubpotent", True, f"{segment.label}-20")
            draft.put("subpotentReason[]", {"coding": [coding]}, f"{segment.label}-20")
    elif code:
        bench.warn("code", f"{segment.label}-20", "an unknown completion status")


def dose(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-6 and RXA-7; 999 means that the amount is not known."""
    if not segment.text(6) or segment.text(6) == _UNKNOWN_AMOUNT:
        return
    converted = PRIMITIVES["decimal"](bench, segment.field(6), f"{segment.label}-6")
    if converted is not None:
        draft.put_converted("doseQuantity.value", converted)


def amount_known(_bench: Bench, segment: Segment) -> bool:
    """RXA-6 is an amount, not 999."""
    return segment.text(6) not in ("", _UNKNOWN_AMOUNT)


def source(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-9 (NIP001): 00 is a new record by who gave it; any other code says whose record it is."""
    for index, raw in enumerate(segment.repetitions(9)):
        where = f"{segment.label}-9" + (f"[{index + 1}]" if index else "")
        converted = _CONCEPT(bench, raw, where)
        if converted is None:
            continue
        codes = {coding.get("code") for coding in converted[0].get("coding", ())}
        if "00" in codes:
            draft.put("primarySource", True, f"{where}.1")
        elif codes & {f"{number:02}" for number in range(1, 9)}:
            draft.put("primarySource", False, f"{where}.1")
            draft.put_converted("reportOrigin", converted)
        else:
            text = converted[0].get("text") or " ".join(code for code in codes if code)
            draft.put_converted("note[]", ({"text": text}, [(".text", where)]))


def about_vaccine(bench: Bench, segment: Segment) -> bool:
    """OBX-3 is one of the LOINC codes that have an element in Immunization."""
    return bench.group.role("immunization") is not None and segment.text(3) in _ON_IMMUNIZATION


def other_observation(bench: Bench, segment: Segment) -> bool:
    """The OBX is an Observation of its own: neither a fact about the vaccine nor the text of a document."""
    return not (bench.event.type == "VXU" and about_vaccine(bench, segment)) and not is_content(bench, segment)


def vaccine_fact(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write an OBX about the vaccine into Immunization: funding, eligibility, information statement, dose number.

    Information statements of one OBX-4 belong together.
    """
    code, where = segment.text(3), f"{segment.label}-5"
    raw = (segment.repetitions(5) or [""])[0]
    if code == _ELIGIBILITY:
        draft.put_converted("programEligibility[]", _CONCEPT(bench, raw, where))
    elif code == _SOURCE:
        draft.put_converted("fundingSource", _CONCEPT(bench, raw, where))
    elif code in (_DOSE, _SERIES_DOSES):
        name = "doseNumber" if code == _DOSE else "seriesDoses"
        _protocol(bench, draft, name, raw, where)
    else:
        _education(bench, draft, segment, code, raw, where)


def _protocol(bench: Bench, draft: Draft, name: str, raw: str, where: str) -> None:
    text = bench.text(raw.split(bench.message.delimiters.component)[0])
    if not text:
        return
    positive = text.isascii() and text.isdigit() and int(text[:6]) > 0
    applied = draft.body.setdefault("protocolApplied", [{}])[0]
    key = f"{name}{'PositiveInt' if positive else 'String'}"
    applied[key] = int(text[:6]) if positive else text
    draft.trail.append((f"protocolApplied[0].{key}", [("", where)]))
    if name == "seriesDoses" and not any(known.startswith("doseNumber") for known in applied):
        applied["doseNumberString"] = "unknown"
        bench.inform(where, "the number of this dose is not told; protocolApplied needs one")
    elif name == "doseNumber" and positive:
        applied.pop("doseNumberString", None)


def _education(bench: Bench, draft: Draft, segment: Segment, code: str, raw: str, where: str) -> None:
    items: list[dict[str, Any]] = draft.body.setdefault("education", [])
    known: dict[str, int] = bench.cache.setdefault(("education", draft.id), {})
    index = known.setdefault(segment.text(4), len(items))
    if index == len(items):
        items.append({})
    item = items[index]
    made: Converted | None
    if code in (_PUBLISHED, _PRESENTED):
        name = "publicationDate" if code == _PUBLISHED else "presentationDate"
        made = PRIMITIVES["dateTime"](bench, raw, where)
    else:
        name = "documentType"
        converted = _CONCEPT(bench, raw, where)
        coding = (converted[0].get("coding") or [{}])[0] if converted else {}
        text = coding.get("display") or (converted[0].get("text") if converted else "") or coding.get("code", "")
        made = (text, [("", where)]) if text else None
    if made is not None and isinstance(made[0], str) and name not in item:
        item[name] = made[0]
        draft.trail.append((f"education[{index}].{name}", [("", where)]))
    if not items[-1]:
        known.pop(segment.text(4))
        items.pop()
    if not items:
        draft.body.pop("education")


def part_of(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Bind an observation to its vaccination; a reaction (31044-1) is listed there too."""
    given = bench.group.role("immunization")
    if given is None:
        return
    draft.put("partOf[]", given.reference)
    if segment.text(3) == _REACTION:
        reaction: dict[str, Any] = {"detail": draft.reference}
        moment = PRIMITIVES["dateTime"](bench, segment.field(14), f"{segment.label}-14")
        if moment is not None and isinstance(moment[0], str):
            reaction = {"date": moment[0]} | reaction
        given.put("reaction[]", reaction, f"{segment.label}-5")


IDENTITIES = {"immunization": immunization}
DECISIONS = {
    "immunization-status": status,
    "immunization-dose": dose,
    "immunization-source": source,
    "vaccine-fact": vaccine_fact,
    "observation-part-of": part_of,
}
PREDICATES = {
    "amount-known": amount_known,
    "vaccine-given": vaccine_given,
    "about-vaccine": about_vaccine,
    "other-observation": other_observation,
}
