"""Who a message is about: identities of patients and of what hangs on them, and merges."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Draft
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import PRIMITIVES, first
from hawsepipe_hl7v2.requirements import MERGES

_US_SSN = "http://hl7.org/fhir/sid/us-ssn"
_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
# Person-level events: their PV1 is there because the structure wants one, not because of a visit.
_PERSON_EVENTS = frozenset({"A18", "A24", "A28", "A29", "A30", "A31", "A34", "A37", "A39", "A40", "A43", "A46", "A47"})


def identifier_key(bench: Bench, raw: str) -> str | None:
    """Return system and value of a CX, None without a value."""
    parts = raw.split(bench.component)
    value = bench.text(parts[0])
    if not value:
        return None
    system = ""
    if len(parts) > 3 and parts[3]:
        hd = [parts[3], "", ""] if parts[3].isalnum() else [*bench.parts(bench.sub(parts[3])), "", ""]
        system = bench.naming.authority(hd[0], hd[1], hd[2])
    return f"{system or bench.facility}|{value}"


def _chosen(bench: Bench, segment: Segment, *fields: int) -> str | None:
    """Return the CX that makes a patient's identity: by the order of types in the settings, else the first one."""
    for number in fields:
        mark = segment.delimiters.component
        found = [raw for raw in segment.repetitions(number) if raw and bench.text(raw.split(mark, 1)[0])]
        if not found:
            continue
        types = [bench.text((raw.split(mark) + [""] * 5)[4]) for raw in found]
        for wanted in bench.site.patient_identity:
            if wanted in types:
                return found[types.index(wanted)]
        return found[0]
    return None


def patient(bench: Bench, segment: Segment) -> str | None:
    """PID-3 in the order of the `patient_identity` setting, else PID-2, else PID-4; without any the message itself.

    Who has no identifier is nobody else: the key is the message's, and the record refuses the message.
    """
    chosen = _chosen(bench, segment, 3, 2, 4)
    return (identifier_key(bench, chosen) if chosen is not None else None) or f"{bench.control}|{segment.label}"


def loser(bench: Bench, segment: Segment) -> str | None:
    """MRG-1 in the same order, else MRG-4: the patient that a merge retires."""
    chosen = _chosen(bench, segment, 1, 4)
    return identifier_key(bench, chosen) if chosen is not None else None


def identifiers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write PID-2, PID-3, PID-4 (MRG-1, MRG-2 and MRG-4 of a merge) into one identifier list, each once.

    An identifier without an authority gets the sending facility's system, so that a value alone is never an identity.
    """
    numbers = (3, 2, 4) if segment.name == "PID" else (1, 2, 4)
    for number in numbers:
        for index, raw in enumerate(segment.repetitions(number)):
            _identifier(bench, draft, raw, f"{segment.label}-{number}" + (f"[{index + 1}]" if index else ""))


def _identifier(bench: Bench, draft: Draft, raw: str, where: str, use: str = "") -> None:
    value: dict[str, Any] = {}
    leaves = bench.site.converts["CX"](bench, raw, where, value)
    if "value" not in value:
        return
    value.setdefault("system", bench.facility)
    if use:
        value["use"] = use
    items: list[dict[str, Any]] = draft.body.setdefault("identifier", [])
    if (value["system"], value["value"]) in _identified(bench, draft, items):
        return
    draft.trail.append((f"identifier[{len(items)}]", leaves))
    items.append(value)


def _identified(bench: Bench, draft: Draft, items: list[dict[str, Any]]) -> set[tuple[Any, Any]]:
    """Return system and value of the identifiers that a resource has now; others may have written since."""
    known, count = bench.cache.get(("identifiers", draft.url), (set(), 0))
    known.update((item.get("system"), item.get("value")) for item in items[count:])
    bench.cache["identifiers", draft.url] = known, len(items)
    return known  # type: ignore[no-any-return]  # the cache holds what each function puts there


def social_security(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PID-19 or NK1-37: a social security number; only one that looks American gets the American system."""
    number = 19 if segment.name == "PID" else 37
    text = segment.text(number)
    digits = text.replace("-", "")
    if not text:
        return
    american = len(digits) == 9 and digits.isdigit()
    value = {
        "type": {"coding": [{"system": _TYPES, "code": "SS"}]},
        "system": _US_SSN if american else bench.facility + ":ssn",
        "value": digits if american else text,
    }
    items = draft.body.setdefault("identifier", [])
    if (value["system"], value["value"]) in _identified(bench, draft, items):
        return
    draft.trail.append((f"identifier[{len(items)}]", [(".value", f"{segment.label}-{number}")]))
    items.append(value)


def deceased(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PID-29 is the time of death, PID-30 the indicator; the time wins."""
    if not segment.field(29) and not segment.field(30):
        return
    if segment.text(29):
        converted = PRIMITIVES["dateTime"](bench, segment.field(29), f"{segment.label}-29")
        if converted is not None and bench.moment(first(bench, segment.field(29))).value:
            draft.put_converted("deceasedDateTime", converted)
            return
    draft.put_converted("deceasedBoolean", PRIMITIVES["boolean"](bench, segment.field(30), f"{segment.label}-30"))
    if segment.field(30) == '""' and bench.event.snapshot:
        draft.cleared |= {"deceasedBoolean", "deceasedDateTime"}


def multiple_birth(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PID-25 is the order of birth, PID-24 the indicator; the order wins."""
    if not segment.field(24) and not segment.field(25):
        return
    order = PRIMITIVES["positiveInt"](bench, segment.field(25), f"{segment.label}-25")
    if order is not None:
        draft.put_converted("multipleBirthInteger", order)
    else:
        draft.put_converted(
            "multipleBirthBoolean", PRIMITIVES["boolean"](bench, segment.field(24), f"{segment.label}-24")
        )


def merge(bench: Bench, draft: Draft, segment: Segment) -> None:
    """A40 and its older forms: the patient of PID survives, that of MRG-1 is retired, and each links to the other.

    `draft` is the retired one. The survivor gets the retired identifiers, marked as old, so that they still find it.
    """
    survivor = bench.group.role("patient")
    if survivor is None or survivor is draft:
        bench.warn("mapping", segment.label, "the patient would be merged into itself; nothing is merged")
        return
    draft.union.add("link")
    survivor.union.add("link")
    draft.put("active", False, segment.label)
    draft.put("link[]", {"other": survivor.reference, "type": "replaced-by"}, f"{segment.label}-1")
    survivor.put("link[]", {"other": draft.reference, "type": "replaces"}, f"{segment.label}-1")
    for number in (1, 4):
        for index, raw in enumerate(segment.repetitions(number)):
            where = f"{segment.label}-{number}" + (f"[{index + 1}]" if index else "")
            _identifier(bench, survivor, raw, where, use="old")


def account(bench: Bench, segment: Segment) -> str | None:
    """PID-18."""
    return identifier_key(bench, segment.repetitions(18)[0]) if segment.text(18) else None


def relative(bench: Bench, segment: Segment) -> str | None:
    """NK1: by its own identifier (NK1-33, NK1-12), else by name and relationship with this patient."""
    for number in (33, 12):
        if segment.text(number):
            return f"{bench.subject()}|{identifier_key(bench, segment.repetitions(number)[0])}"
    name = "|".join(segment.text(2, part).casefold() for part in (1, 2))
    organization = segment.text(13).casefold()
    if name == "|" and not organization:
        return None
    return bench.distinct("RelatedPerson", f"{bench.subject()}|{name}|{organization}|{segment.text(3)}")


def allergy(bench: Bench, segment: Segment) -> str | None:
    """AL1: by what the patient is allergic to."""
    substance = segment.text(3) or segment.text(3, 2)
    return bench.distinct("AllergyIntolerance", f"{bench.subject()}|{substance.casefold()}") if substance else None


def none_known(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AL1-3 says that no allergy is known (NKA, NKDA or in words): add the SNOMED CT code, as a fact that was asked.

    FHIR asks for such a code instead of a coded absence; the sender's own code stays.
    """
    entry = bench.site.codes["NoKnownAllergy"]
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
    snomed = entry["system"]
    found = ""
    for part in (1, 2):
        text = " ".join(segment.text(3, part).upper().replace(".", "").split())
        found = found or entry["codes"].get(text, "")
    if not found:
        return
    code = draft.body.setdefault("code", {})
    codings = code.setdefault("coding", [])
    if not any(one.get("system") == snomed and one.get("code") == found for one in codings):
        draft.trail.append((f"code.coding[{len(codings)}].code", [("", f"{segment.label}-3")]))
        codings.append({"system": snomed, "code": found})
    verified = {"coding": [{"system": system, "code": "confirmed"}]}
    draft.put_converted("verificationStatus", (verified, [(".coding[0].code", f"{segment.label}-3")]))


def reactions(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AL1-5: the reactions as manifestations of one reaction, with AL1-4 as its severity (a reaction needs a
    manifestation)."""
    found = [(raw, index) for index, raw in enumerate(segment.repetitions(5)) if bench.text(raw)]
    if not found:
        return
    severity = bench.site.codes["AllergySeverity"]["codes"].get(segment.text(4))
    reaction: dict[str, Any] = {"manifestation": []}
    leaves = []
    for raw, index in found:
        text = " ".join(part for part in bench.parts(raw) if part)
        at = f".manifestation[{len(reaction['manifestation'])}].text"
        leaves.append((at, f"{segment.label}-5" + (f"[{index + 1}]" if index else "")))
        reaction["manifestation"].append({"text": text})
    if severity:
        reaction["severity"] = severity
        leaves.append((".severity", f"{segment.label}-4"))
    draft.put_converted("reaction[]", (reaction, leaves))


def coverage(bench: Bench, segment: Segment) -> str | None:
    """IN1: by company, plan and policy of this patient."""
    parts = [segment.text(number) for number in (3, 2, 36)]
    key = "|".join([*parts, segment.text(4).casefold()])
    return bench.distinct("Coverage", f"{bench.subject()}|{key}") if any(parts) or segment.text(4) else None


def coverage_payor(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1-4 with IN1-3, 5 and 7: the insurance company as an Organization."""
    name, number = segment.text(4), segment.text(3)
    if not name and not number:
        return
    key = identifier_key(bench, segment.repetitions(3)[0]) if number else None
    organization = bench.mention("Organization", key or f"{bench.facility}|name|{name.casefold()}")
    where = segment.label
    if number:
        _identifier(bench, organization, segment.repetitions(3)[0], f"{where}-3")
    if name:
        organization.put("name", name, f"{where}-4.1")
    for number_, path, via in ((5, "address[]", "XAD"),):
        for index, raw in enumerate(segment.repetitions(number_)):
            value: dict[str, Any] = {}
            leaves = bench.site.converts[via](
                bench, raw, f"{where}-{number_}" + (f"[{index + 1}]" if index else ""), value
            )
            if value:
                organization.put_converted(path, (value, leaves))
    draft.put("payor[]", organization.reference | ({"display": name} if name else {}), f"{where}-4")


def has_account(_bench: Bench, segment: Segment) -> bool:
    """PID-18 is valued."""
    return bool(segment.text(18))


def is_merge(bench: Bench, _segment: Segment) -> bool:
    """The event merges patients."""
    return bench.event.trigger in MERGES


def visit_told(bench: Bench, segment: Segment) -> bool:
    """PV1 tells of a visit: not the empty one of a person-level event, not class N without a number."""
    if bench.event.trigger in _PERSON_EVENTS or segment.text(2) == "N":
        return bool(segment.text(19))
    return any(raw for number, raw in enumerate(segment.fields) if number > 1)


IDENTITIES = {
    "patient": patient,
    "merged-patient": loser,
    "account": account,
    "relative": relative,
    "allergy": allergy,
    "coverage": coverage,
}
DECISIONS = {
    "identifiers": identifiers,
    "social-security": social_security,
    "deceased": deceased,
    "multiple-birth": multiple_birth,
    "merge": merge,
    "reactions": reactions,
    "no-known-allergy": none_known,
    "coverage-payor": coverage_payor,
}
PREDICATES = {"has-account": has_account, "is-merge": is_merge, "visit-told": visit_told}
