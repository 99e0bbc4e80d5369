"""Vaccinations (VXU, and histories in RSP and VXR): identity, status, and observations about the vaccine by their
LOINC code. Each such observation is an Observation as well, since only there its method, status and time have a place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawsepipe import Severity
from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Group
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.documents import is_content
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.places import location
from hawsepipe_hl7v2.primitives import ABSENT, PRIMITIVES, decimal

_CONCEPT = concept()
# 998: no vaccine was given; the message only carries observations. 999 as amount: not known.
_NO_VACCINE, _UNKNOWN_AMOUNT = "998", "999"
# 9999: the filler has no number for a vaccination that somebody else gave or that was refused.
_NO_NUMBER = "9999"
_BASED_ON = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Immunization.basedOn"
_COMPLETION = "http://terminology.hl7.org/CodeSystem/v2-0322"
_HISTORICAL = frozenset(f"{number:02}" for number in range(1, 9))
_SOURCE, _ELIGIBILITY, _ANNOTATION = "30963-3", "64994-7", "48767-8"
_DOCUMENT, _VACCINE_TYPE = "69764-9", "30956-7"
# 59785-6 is an older code of the day on which the statement was presented.
_PUBLISHED, _PRESENTED = "29768-9", frozenset({"29769-7", "59785-6"})
_REACTION, _DOSE, _SERIES_DOSES = "31044-1", "30973-2", "59782-3"
_SCHEDULE, _SERIES = "59779-9", "59780-7"
_STATEMENT = _PRESENTED | {_PUBLISHED, _DOCUMENT}
_PROTOCOL = frozenset({_DOSE, _SERIES_DOSES, _SCHEDULE, _SERIES})
_ON_IMMUNIZATION = _STATEMENT | _PROTOCOL | {_SOURCE, _ELIGIBILITY, _ANNOTATION, _VACCINE_TYPE}
_UNTOLD = "unknown"
"""The number of a dose that nothing tells."""
_VACCINATIONS = frozenset({"VXU", "VXR", "RSP"})


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
    key = _number(bench) or f"{bench.subject()}|{administered.text(3)}"
    made = bench.distinct("Immunization", f"{key}|{vaccine.casefold()}")
    bench.cache["immunization", f"{bench.group.name}#{bench.group.number}"] = made
    return made


def _number(bench: Bench) -> str:
    """Return the order's number with its authority: the filler's, else the placer's."""
    control = bench.group.segment("ORC")
    for field in (3, 2):
        if control is not None and control.text(field) not in ("", _NO_NUMBER):
            hd = [bench.text(control.component(field, part)) for part in (2, 3, 4)]
            system = bench.naming.authority(hd[0], hd[1], hd[2]) or bench.facility
            return f"{system}|{control.text(field)}"
    return ""


def vaccination_order(bench: Bench, segment: Segment) -> str | None:
    """The ServiceRequest behind a vaccination: its number with the vaccine, else the vaccination itself.

    An order without any RXA stands alone. What says that no vaccine was given was not ordered.
    """
    administered = bench.group.segment("RXA")
    number = _number(bench)
    if administered is None:
        return bench.distinct("ServiceRequest", number or f"{bench.control}|{segment.label}")
    if (given := bench.group.role("immunization")) is None:
        return None
    vaccine = (administered.text(5) or administered.text(5, 2)).casefold()
    return bench.distinct("ServiceRequest", f"{number}|{vaccine}" if number else f"{given.id}|order")


def ordered(_bench: Bench, segment: Segment) -> bool:
    """The ORC tells of an order: the placer's number, who ordered it, or where.

    A mere record of a vaccination (a filler's number for what a registry was told) is none.
    """
    return segment.text(2) not in ("", _NO_NUMBER) or any(
        segment.text(field, part) for field in (12, 21) for part in (1, 2)
    )


def order_outcome(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The status of the order: ORC-5, else as the vaccination went, since ORC-1 of a result says nothing but that
    there is one."""
    mapped = bench.site.codes["OrderStatus"]["codes"].get(segment.text(5))
    if mapped:
        draft.put("status", mapped, f"{segment.label}-5")
        return
    if segment.text(5):
        leftovers.field(bench, draft, segment, 5)
    administered = bench.group.segment("RXA")
    if administered is None:
        return
    status_, source_ = _status(administered)
    outcome = {"not-done": "revoked", "": "completed"}.get(status_, status_)
    draft.put("status", outcome, source_ or administered.label)


def based_on(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Tell what was ordered, and put the order behind the vaccination (an element from R5 on)."""
    given, administered = bench.group.role("immunization"), bench.group.segment("RXA")
    if given is None or administered is None:
        return
    given.put(f"extension[{_BASED_ON}].valueReference", draft.reference, segment.label)
    draft.put_converted("code", _CONCEPT(bench, administered.field(5), f"{administered.label}-5"))


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-21 D is entered-in-error; else RXA-20: CP and PA completed, RE and NA not-done.

    A refusal (RXA-18) without RXA-20 is not done either.
    """
    told, where = _status(segment)
    code = segment.text(20)
    if told:
        draft.put("status", told, where)
    elif code:
        # Neither given nor not given may be guessed.
        text = "an unknown completion status: whether the vaccine was given is not clear"
        bench.issue(Severity.ERROR, "code", f"{segment.label}-20", text)
        draft.put(f"_status.extension[{ABSENT}].valueCode", "unknown")
    if told == "completed" and segment.text(18):
        bench.warn("structure", f"{segment.label}-18", "a reason for refusal, and yet it was given (RXA-20)")
    if code == "PA" and told == "completed":
        coding = {"system": _COMPLETION, "code": "PA"}
        draft.put("isSubpotent", True, f"{segment.label}-20")
        draft.put("subpotentReason[]", {"coding": [coding]}, f"{segment.label}-20")
    if code in ("RE", "NA") and not segment.text(18) and not segment.text(18, 2):
        draft.put("statusReason", {"coding": [{"system": _COMPLETION, "code": code}]}, f"{segment.label}-20")


def _status(segment: Segment) -> tuple[str, str]:
    if segment.text(21) == "D":
        return "entered-in-error", f"{segment.label}-21"
    code = segment.text(20)
    known = {"CP": "completed", "PA": "completed", "RE": "not-done", "NA": "not-done"}.get(code, "")
    if not code and (segment.text(18) or segment.text(18, 2)):
        return "not-done", f"{segment.label}-18"
    return known, f"{segment.label}-20" if known else ""


def dose(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-6 and RXA-7; 999 means that the amount is not known, and is kept for the record alone."""
    if not segment.text(6):
        return
    if segment.text(6) == _UNKNOWN_AMOUNT:
        text = "^".join(part for part in bench.parts(segment.field(7)))
        for field, value in ((6, _UNKNOWN_AMOUNT), (7, text)):
            if value:
                content = {"url": f"urn:hawsepipe:extension:RXA-{field}", "valueString": value}
                draft.put_converted("extension[]", (content, [(".valueString", f"{segment.label}-{field}")]))
        return
    converted = decimal(bench, segment.field(6), f"{segment.label}-6")
    if converted is not None:
        draft.put_converted("doseQuantity.value", converted)


def amount_known(_bench: Bench, segment: Segment) -> bool:
    """RXA-6 is not 999; without any amount the unit alone is told."""
    return segment.text(6) != _UNKNOWN_AMOUNT


def source(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-9 (NIP001): 00 is a new record by who gave it; 01 to 08 say whose record it is; anything else is a note."""
    for index, raw in enumerate(segment.repetitions(9)):
        where = f"{segment.label}-9" + (f"[{index + 1}]" if index else "")
        converted = _CONCEPT(bench, raw, where)
        if converted is None:
            continue
        codes = {coding.get("code") for coding in converted[0].get("coding", ())}
        if "00" in codes:
            draft.put("primarySource", True, f"{where}.1")
            _kept(draft, "administration-notes", converted)
        elif codes & _HISTORICAL:
            draft.put("primarySource", False, f"{where}.1")
            draft.put_converted("reportOrigin", converted)
        else:
            text = converted[0].get("text") or " ".join(
                part
                for coding in converted[0].get("coding", ())
                for part in (coding.get("code"), coding.get("display"))
                if part
            )
            draft.put_converted("note[]", ({"text": text}, [(".text", where)]))
            _kept(draft, "administration-notes", converted)


def _kept(draft: Draft, name: str, converted: Converted) -> None:
    content = {"url": f"urn:hawsepipe:extension:{name}", "valueCodeableConcept": converted[0]}
    draft.put_converted(
        "extension[]", (content, [(f".valueCodeableConcept{below}", where) for below, where in converted[1]])
    )


def place(bench: Bench, raw: str, where: str) -> Converted | None:
    """LA2 to Location: its first eight components are those of a PL, then comes an address."""
    parts = raw.split(bench.component)
    made = location(bench, bench.component.join(parts[:8]), where)
    told = [*parts[8:], *[""] * 8][:8]
    if not any(told):
        return made
    value: dict[str, Any] = {}
    # LA2.9 to 14 are an address in the order of XAD.1 to 6, LA2.15 is its kind.
    leaves = bench.site.converts["XAD"](bench, bench.component.join(told[:7]), where, value)
    if not value:
        return made
    if made is None:
        draft = bench.mention("Location", f"{bench.facility}|{bench.component.join(told[:7]).casefold()}")
        made = dict(draft.reference), [(".reference", where)]
    home = _location(bench, made[0]["reference"])
    if home is not None:
        home.put_converted("address", (value, [(below, where) for below, _ in leaves]))
    return made


def _location(bench: Bench, reference: str) -> Draft | None:
    """Return the place that a reference of this message names."""
    return next((one for one in bench.drafts.values() if one.url == reference), None)


def address(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-28: the address of the place in RXA-27 or RXA-11."""
    for raw in segment.repetitions(28)[:1]:
        value: dict[str, Any] = {}
        leaves = bench.site.converts["XAD"](bench, raw, f"{segment.label}-28", value)
        if not value:
            continue
        reference = draft.body.get("location", {}).get("reference", "")
        home = _location(bench, reference) if reference else None
        if home is None:
            home = bench.mention("Location", f"{bench.facility}|{raw.casefold()}")
            draft.put("location", home.reference, f"{segment.label}-28")
        home.put_converted("address", (value, leaves))


def about_vaccine(bench: Bench, segment: Segment) -> bool:
    """OBX-3 is one of the LOINC codes that have an element in Immunization."""
    return (
        bench.event.type in _VACCINATIONS
        and bench.group.role("immunization") is not None
        and segment.text(3).strip() in _ON_IMMUNIZATION
    )


def other_observation(bench: Bench, segment: Segment) -> bool:
    """The OBX is an Observation: not the text of a document."""
    return not is_content(bench, segment)


def vaccine_fact(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write an OBX about the vaccine into Immunization: funding, eligibility, information statement, schedule and dose
    number, remark.

    Those of one OBX-4 belong together. A vaccine type (30956-7) names the statement where one is told of, else what a
    schedule was applied to.
    """
    code, where = segment.text(3).strip(), f"{segment.label}-5"
    for index, raw in enumerate(segment.repetitions(5)):
        at = where if index == 0 else f"{where}[{index + 1}]"
        if not raw:
            continue
        if code == _ELIGIBILITY:
            draft.put_converted("programEligibility[]", _CONCEPT(bench, raw, at))
        elif code == _SOURCE and "fundingSource" not in draft.body:
            draft.put_converted("fundingSource", _CONCEPT(bench, raw, at))
        elif code == _ANNOTATION:
            text = " ".join(part for part in bench.parts(bench.sub(raw)) if part)
            draft.put_converted("note[]", ({"text": text}, [(".text", at)]) if text else None)
        elif code == _SOURCE:
            bench.inform(at, "a vaccination has one funding source; this one is in its observation alone")
        elif code in _PROTOCOL or (code == _VACCINE_TYPE and not _told(bench, segment, _STATEMENT)):
            _protocol(bench, draft, segment, code, raw, at)
        else:
            _education(bench, draft, segment, code, raw, at)


def _told(bench: Bench, segment: Segment, codes: frozenset[str]) -> bool:
    """Whether an OBX of these codes stands in the same vaccination with the same OBX-4."""
    return any(one.text(3).strip() in codes and one.text(4) == segment.text(4) for one in observations(bench.group))


def observations(group: Group) -> list[Segment]:
    """Return the observations of the vaccination that a group belongs to."""
    order = group.around("order")
    found = (one.segment_here("OBX") for one in order.inside("observation")) if order is not None else ()
    return [one for one in found if one is not None]


def _item(bench: Bench, draft: Draft, name: str, sub: str, make: Callable[[], dict[str, Any]]) -> tuple[int, Any]:
    """Return the item of a list that an OBX-4 has, made on the first call."""
    items: list[dict[str, Any]] = draft.body.setdefault(name, [])
    known: dict[str, int] = bench.cache.setdefault((name, draft.id), {})
    index = known.setdefault(sub, len(items))
    if index == len(items):
        items.append(make())
    return index, items[index]


def _protocol(bench: Bench, draft: Draft, segment: Segment, code: str, raw: str, where: str) -> None:
    parts = [*bench.parts(raw), "", ""]
    text = parts[1] or parts[0] if code in (_SCHEDULE, _SERIES, _VACCINE_TYPE) else parts[0]
    if not text or (code == _VACCINE_TYPE and not _told(bench, segment, _PROTOCOL)):
        return
    index, applied = _item(bench, draft, "protocolApplied", segment.text(4), dict)
    at = f"protocolApplied[{index}]"
    if "doseNumberString" not in applied and "doseNumberPositiveInt" not in applied:
        applied["doseNumberString"] = _UNTOLD
        if not _told(bench, segment, frozenset({_DOSE})):
            bench.inform(where, "the number of this dose is not told; protocolApplied needs one")
    if code in (_DOSE, _SERIES_DOSES):
        name = "doseNumber" if code == _DOSE else "seriesDoses"
        positive = text.isascii() and text.isdigit() and int(text[:6]) > 0
        key = f"{name}{'PositiveInt' if positive else 'String'}"
        if code == _DOSE and applied.get("doseNumberString") == _UNTOLD:
            applied.pop("doseNumberString")
        if f"{name}PositiveInt" in applied or f"{name}String" in applied:
            return
        applied[key] = int(text[:6]) if positive else text
        draft.trail.append((f"{at}.{key}", [("", where)]))
    elif code == _SCHEDULE:
        applied["authority"] = {"display": text}
        draft.trail.append((f"{at}.authority.display", [("", where)]))
    elif "series" not in applied or code == _SERIES:
        applied["series"] = text
        draft.trail.append((f"{at}.series", [("", where)]))


def _education(bench: Bench, draft: Draft, segment: Segment, code: str, raw: str, where: str) -> None:
    made: Converted | None
    if code == _PUBLISHED or code in _PRESENTED:
        name = "publicationDate" if code == _PUBLISHED else "presentationDate"
        made = PRIMITIVES["dateTime"](bench, raw, where)
    else:
        name = "documentType"
        converted = _CONCEPT(bench, raw, where)
        coding = (converted[0].get("coding") or [{}])[0] if converted else {}
        text = coding.get("display") or (converted[0].get("text") if converted else "") or coding.get("code", "")
        made = (text, [("", where)]) if text else None
    if made is None or not isinstance(made[0], str):
        return
    index, item = _item(bench, draft, "education", segment.text(4), dict)
    if name not in item:
        item[name] = made[0]
        draft.trail.append((f"education[{index}].{name}", [("", where)]))


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


CONVERTERS: dict[str, Convert] = {"AdministrationPlace": place}
"""Converters by the name that `via` uses."""
IDENTITIES = {"immunization": immunization, "vaccination-order": vaccination_order}
DECISIONS = {
    "immunization-status": status,
    "immunization-dose": dose,
    "immunization-source": source,
    "vaccination-order-status": order_outcome,
    "vaccination-based-on": based_on,
    "administration-address": address,
    "vaccine-fact": vaccine_fact,
    "observation-part-of": part_of,
}
PREDICATES = {
    "amount-known": amount_known,
    "vaccine-given": vaccine_given,
    "vaccination-ordered": ordered,
    "about-vaccine": about_vaccine,
    "other-observation": other_observation,
}
