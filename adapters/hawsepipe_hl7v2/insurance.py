"""IN1, IN2, IN3: who pays for whom; GT1: who stands surety."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.leftovers import repetition
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.patients import account, add_identifier, identifier_key, social_security_number
from hawsepipe_hl7v2.people import organization
from hawsepipe_hl7v2.primitives import PRIMITIVES, first
from hawsepipe_hl7v2.telecom import contact_point

_CLASSES = "http://terminology.hl7.org/CodeSystem/coverage-class"
_TELECOM = contact_point("work")
_FINANCIAL = concept("FinancialClass")
_SELF = frozenset({"SEL", "SELF", "ONESELF"})


def coverage(bench: Bench, segment: Segment) -> str | None:
    """IN1: by company, plan and policy of this patient."""
    parts = [segment.text(number) for number in (3, 2, 36)]
    key = "|".join([*parts, segment.text(4).casefold()])
    return bench.distinct("Coverage", f"{bench.subject()}|{key}") if any(parts) or segment.text(4) else None


def financial_class(bench: Bench, segment: Segment) -> str | None:
    """PV1-20: a class of payment that the patient has been put into, whoever pays; of this visit."""
    visit = bench.group.role("encounter")
    home = visit.id if visit is not None else bench.subject()
    return f"{home}|financial-class|{segment.text(20)}" if segment.text(20) else None


def financial(bench: Bench, raw: str, where: str) -> Converted | None:
    """FC.1 to a CodeableConcept."""
    return _FINANCIAL(bench, bench.sub(raw.split(bench.component)[0]), f"{where}.1")


def payors(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1-4 with IN1-3, 5, 6 and 7: the insurance companies; number, address and contact are those of the first."""
    names = segment.repetitions(4)
    numbers = [raw for raw in segment.repetitions(3) if bench.text(raw.split(bench.component)[0])]
    if not names and not numbers:
        return
    where = segment.label
    name = segment.text(4)
    key = identifier_key(bench, numbers[0], "insurer") if numbers else None
    if key is not None:
        made = bench.mention("Organization", key)
        for index, raw in enumerate(numbers):
            add_identifier(bench, made, raw, f"{where}-3" + (f"[{index + 1}]" if index else ""), kind="insurer")
        if names and names[0]:
            _named(bench, made, names[0], f"{where}-4")
        reference = made.reference | ({"display": name} if name else {})
    else:
        converted = organization(bench, names[0], f"{where}-4")
        if converted is None:
            return
        reference = converted[0]
        made = bench.mentioned[reference["reference"]]
    _reached(bench, made, segment)
    draft.put_converted("payor[]", (reference, [(".reference", f"{where}-{4 if name else 3}")]))
    for index, raw in enumerate(names[1:], 2):
        if raw:
            draft.put_converted("payor[]", organization(bench, raw, f"{where}-4[{index}]"))


def _named(bench: Bench, made: Draft, raw: str, where: str) -> None:
    """Write what an XON tells of a company that is known by another number."""
    told: dict[str, Any] = {}
    leaves = bench.site.converts["XON"](bench, raw, where, told)
    for name, value in told.items():
        for item in value if isinstance(value, list) else [value]:
            start = f".{name}[0]" if isinstance(value, list) else f".{name}"
            below = [(path[len(start) :], source) for path, source in leaves if path.startswith(start)]
            made.put_converted(f"{name}[]" if isinstance(value, list) else name, (item, below))


def _reached(bench: Bench, made: Draft, segment: Segment) -> None:
    where = segment.label
    for index, raw in enumerate(segment.repetitions(5)):
        value: dict[str, Any] = {}
        leaves = bench.site.converts["XAD"](bench, raw, f"{where}-5" + (f"[{index + 1}]" if index else ""), value)
        if value:
            made.put_converted("address[]", (value, leaves))
    for index, raw in enumerate(segment.repetitions(7)):
        made.put_converted("telecom[]", _TELECOM(bench, raw, f"{where}-7" + (f"[{index + 1}]" if index else "")))
    for index, raw in enumerate(segment.repetitions(6)):
        name: dict[str, Any] = {}
        leaves = bench.site.converts["XPN"](bench, raw, f"{where}-6" + (f"[{index + 1}]" if index else ""), name)
        if name:
            made.put_converted("contact[]", ({"name": name}, [(f".name{below}", source) for below, source in leaves]))


def plan(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1-2: the plan's code and its alternates as the class of the coverage with its name; the guide wants them as
    identifiers as well, which say that they are the plan's, since all its members share them."""
    parts = [*bench.parts(segment.field(2)), *[""] * 12]
    where = f"{segment.label}-2"
    for code, name, system in ((0, 1, 2), (3, 4, 5), (9, 10, 11)):
        if not parts[code] and not parts[name]:
            continue
        uri = bench.naming.coding_system(parts[system]) or bench.owned("plan")
        leaves = [(".value", f"{where}.{code + 1}")]
        if parts[code]:
            told = [(".system", f"{where}.{system + 1}")] if parts[system] else []
            kind = {"text": "plan"}
            draft.put_converted("identifier[]", ({"type": kind, "system": uri, "value": parts[code]}, leaves + told))
        _class(draft, "plan", parts[code], parts[name], f"{where}.{code + 1}", f"{where}.{name + 1}")


def groups(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1-8 and IN1-9 as the group of the coverage, IN1-35 as its plan by the company's own code."""
    names = [bench.parts(raw)[0] for raw in segment.repetitions(9)]
    if segment.text(8) or any(names):
        _class(draft, "group", segment.text(8), names[0] if names else "", f"{segment.label}-8", f"{segment.label}-9")
    for index, name in enumerate(names[1:], 2):
        if name:
            _class(draft, "group", "", name, "", f"{segment.label}-9[{index}]")
    if segment.text(35):
        _class(draft, "plan", segment.text(35), segment.text(35, 2), f"{segment.label}-35", f"{segment.label}-35.2")


def _class(draft: Draft, kind: str, value: str, name: str, where: str, named: str) -> None:
    """Write a class of the coverage; without a code its name is the value, which must be there."""
    told: dict[str, Any] = {"type": {"coding": [{"system": _CLASSES, "code": kind}]}, "value": value or name}
    leaves = [(".value", where if value else named)]
    if name:
        told["name"] = name
        leaves.append((".name", named))
    draft.put_converted("class[]", (told, leaves))


def policy(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1-49 (the insured's number), else IN1-36 (the policy's) as the subscriber's number; a policy number beside
    it is an identifier."""
    insured, number = segment.text(49), segment.text(36)
    if insured:
        draft.put("subscriberId", insured, f"{segment.label}-49.1")
    if number and (not insured or number == insured):
        draft.put("subscriberId", number, f"{segment.label}-36")
    elif number:
        kind = {"text": "policy number"}
        draft.put_converted("identifier[]", ({"type": kind, "value": number}, [(".value", f"{segment.label}-36")]))


def holder(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1-10 and IN1-11: the group or employer that holds the policy."""
    names = segment.repetitions(11)
    numbers = [raw for raw in segment.repetitions(10) if bench.text(raw.split(bench.component)[0])]
    if not names and not numbers:
        return
    where = segment.label
    if names and names[0] and (converted := organization(bench, names[0], f"{where}-11")) is not None:
        reference = converted[0]
        made = bench.mentioned[reference["reference"]]
    elif numbers:
        made = bench.mention("Organization", identifier_key(bench, numbers[0], "employer") or bench.control)
        reference = made.reference
    else:
        return
    for index, raw in enumerate(numbers):
        add_identifier(bench, made, raw, f"{where}-10" + (f"[{index + 1}]" if index else ""), kind="employer")
    draft.put_converted("policyHolder", (reference, [(".reference", f"{where}-{11 if names else 10}")]))


def subscriber_number(bench: Bench, raw: str, where: str) -> Converted | None:
    """CX to the extension for the subscriber's number as an Identifier."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["CX"](bench, raw, where, value)
    if not value:
        return None
    url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-subscriberId"
    return {"url": url, "valueIdentifier": value}, [(f".valueIdentifier{below}", source) for below, source in leaves]


def typed_number(bench: Bench, raw: str, where: str) -> Converted | None:
    """IN1-10 of type SN: the subscriber's number."""
    parts = raw.split(bench.component)
    return subscriber_number(bench, raw, where) if len(parts) > 4 and bench.text(parts[4]) == "SN" else None


def social_security(bench: Bench, raw: str, where: str) -> Converted | None:
    """An ST to an Identifier of type SS."""
    return social_security_number(bench, first(bench, raw), where)


def subscriber(bench: Bench, segment: Segment) -> str | None:
    """IN1-16 or IN1-49 of somebody else than the patient (IN1-17)."""
    if not segment.text(17) or _is_self(segment, 17):
        return None
    if segment.text(49):
        return f"{bench.subject()}|subscriber|{identifier_key(bench, segment.repetitions(49)[0])}"
    name = "|".join(segment.text(16, part).casefold() for part in (1, 2))
    return f"{bench.subject()}|subscriber|{name}|{segment.text(18)[:8]}" if name != "|" else None


def subscribed(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Coverage.subscriber: the patient (IN1-17 SEL) or the relative that IN1-16 names."""
    own = _is_self(segment, 17)
    person = bench.group.role("patient" if own else "subscriber")
    if person is not None and (own or segment.text(17)):
        draft.put("subscriber", person.reference, f"{segment.label}-{17 if own else 16}")


def _is_self(segment: Segment, field: int) -> bool:
    """The relationship (table 0063) is that to oneself, in code or in words."""
    return any(segment.text(field, part).upper() in _SELF for part in (1, 2))


def removed(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1-55: a coverage that is deleted was entered in error."""
    if segment.text(55) == "D":
        draft.body.pop("status", None)
        draft.put("status", "entered-in-error", f"{segment.label}-55")


def guarantor(bench: Bench, segment: Segment) -> str | None:
    """GT1: a person other than the patient, by GT1-2, GT1-12 or the name."""
    if _is_self(segment, 11) or not segment.text(3):
        return None
    for number in (2, 12):
        if segment.text(number):
            return f"{bench.subject()}|guarantor|{identifier_key(bench, segment.repetitions(number)[0])}"
    return f"{bench.subject()}|guarantor|{segment.text(3).casefold()}|{segment.text(3, 2).casefold()}"


def guaranteed(bench: Bench, segment: Segment) -> str | None:
    """The account that GT1 is about: that of PID-18, else that of the visit."""
    person = bench.group.segment("PID")
    if person is not None and (known := account(bench, person)):
        return known
    visit = bench.group.role("encounter")
    return f"{visit.id if visit is not None else bench.subject()}|account"


def guarantee(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Account.guarantor: the patient (GT1-11 SEL), the person of GT1-3, or the organization of GT1-21."""
    leaves: list[Leaf]
    if _is_self(segment, 11):
        person = bench.group.role("patient")
        leaves = [(".party.reference", f"{segment.label}-11")]
    else:
        person = bench.group.role("guarantor") if segment.text(3) else None
        leaves = [(".party.reference", f"{segment.label}-3")]
    party = person.reference if person is not None else None
    if segment.field(21) and segment.field(21) != DELETE:
        made = organization(bench, segment.repetitions(21)[0], f"{segment.label}-21")
        if made is not None and party is None:
            party, leaves = made[0], [(".party.reference", f"{segment.label}-21")]
        elif made is not None:
            draft.put_converted("guarantor[]", ({"party": made[0]}, [(".party.reference", f"{segment.label}-21")]))
    if _is_self(segment, 11):
        _other_name(bench, draft, segment)
    if party is None:
        return
    value: dict[str, Any] = {"party": party}
    for number, name in ((13, "start"), (14, "end")):
        if segment.field(number):
            moment = PRIMITIVES["date"](bench, segment.field(number), f"{segment.label}-{number}")
            if moment is not None and isinstance(moment[0], str):
                value.setdefault("period", {})[name] = moment[0]
                leaves.append((f".period.{name}", f"{segment.label}-{number}"))
    draft.put_converted("guarantor[]", (value, leaves))


def _other_name(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Keep a guarantor's name that is not the patient's, though the relationship is that to oneself."""
    person = bench.group.segment("PID")
    for index, raw in enumerate(segment.repetitions(3)):
        told = {
            bench.text(one.split(bench.component)[0]).casefold() for one in (person.repetitions(5) if person else ())
        }
        if raw != DELETE and bench.text(raw.split(bench.component)[0]).casefold() not in told:
            where = f"{segment.label}-3" + (f"[{index + 1}]" if index else "")
            repetition(bench, draft, "GT1-3", raw, where)


def case_manager(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN3-21: the case manager of the review, by name."""
    role = {"coding": [{"system": "http://snomed.info/sct", "code": "768832004"}], "text": "case manager"}
    member = {"display": segment.text(21)}
    where = f"{segment.label}-21"
    draft.put_converted("participant[]", ({"role": [role], "member": member}, [(".member.display", where)]))


def reviewed(bench: Bench, segment: Segment) -> str | None:
    """IN3: the team of a case review, of the coverage."""
    told = bench.group.role("coverage")
    return f"{told.id if told is not None else bench.subject()}|case-review" if segment.text(21) else None


IDENTITIES = {
    "coverage": coverage,
    "financial-class": financial_class,
    "subscriber": subscriber,
    "guarantor": guarantor,
    "guaranteed-account": guaranteed,
    "case-review": reviewed,
}
DECISIONS = {
    "payors": payors,
    "plan": plan,
    "coverage-groups": groups,
    "policy": policy,
    "policy-holder": holder,
    "subscribed": subscribed,
    "coverage-removed": removed,
    "guarantee": guarantee,
    "case-manager": case_manager,
}
CONVERTERS: dict[str, Convert] = {
    "SubscriberNumber": subscriber_number,
    "TypedSubscriberNumber": typed_number,
    "SocialSecurityNumber": social_security,
    "FinancialClass": financial,
}
