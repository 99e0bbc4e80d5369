"""Referrals (REF, RRI): RF1 as ServiceRequest and the Task that fulfils it, the providers of PRD and their contacts,
authorizations (AUT) as ClaimResponse, clinical trials (CTI)."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX, note
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.places import location
from hawsepipe_hl7v2.scheduling import entity_key
from hawsepipe_hl7v2.telecom import contact_point

STUDY = "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy"
_CONCEPT = concept()
_TELECOM = contact_point()
_STATUS = {"A": "active", "P": "active", "R": "revoked", "E": "revoked"}
"""Table 0283, of the request: one that was refused or has expired asks for nothing any more."""
_TASKS = {"A": "accepted", "P": "requested", "R": "rejected", "E": "cancelled"}
_OUTCOMES = {"AP": "complete", "DE": "complete", "PE": "queued", "": "complete"}
_SUPPORTING = frozenset({"AllergyIntolerance", "DiagnosticReport", "Procedure"})


def referral(bench: Bench, segment: Segment) -> str | None:
    """RF1-6 (the referring side's number), else RF1-11, else the message."""
    for field in (6, 11):
        for raw in segment.repetitions(field)[:1]:
            if (key := entity_key(bench, raw)) is not None:
                return f"referral|{key}"
    bench.warn("required", f"{segment.label}-6", "the referral has no number: later messages cannot be joined to it")
    return f"referral|{bench.control}|{segment.label}"


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """I14 revokes the referral; else RF1-1 (table 0283) speaks. Asking for its status (I15) changes nothing."""
    if bench.event.trigger == "I14" and bench.event.type == "REF":
        draft.put("status", "revoked", "MSH-9.2")
        return
    code = segment.text(1).upper()
    if bench.event.trigger == "I15" and bench.event.type == "REF":
        draft.keep.add("status")
    if (mapped := _STATUS.get(code)) is not None:
        draft.put("status", mapped, f"{segment.label}-1")
    elif code:
        bench.warn("code", f"{segment.label}-1", "no referral status of table 0283; it is kept with the task")


def task(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the Task: how far the one who is asked has taken up the referral, with RF1-1 as it was sent."""
    made = bench.draft("Task", f"{draft.id}|fulfil")
    event = bench.event
    cancelled = event.trigger == "I14" and event.type == "REF"
    known = _TASKS.get(segment.text(1).upper())
    made.put("status", "cancelled" if cancelled else known or "requested", "MSH-9.2" if cancelled else "")
    if event.trigger == "I15" and event.type == "REF":
        made.keep.add("status")
    made.put("intent", "order")
    system = "http://hl7.org/fhir/CodeSystem/task-code"
    made.put("code", {"coding": [{"system": system, "code": "fulfill"}]})
    made.put("focus", draft.reference, segment.label)
    if segment.field(1):
        made.put_converted("businessStatus", _CONCEPT(bench, segment.field(1), f"{segment.label}-1"))
    for name, target in (("subject", "for"), ("encounter", "encounter"), ("authoredOn", "authoredOn")):
        if name in draft.body:
            made.put(target, draft.body[name])
    bench.group.roles["referral-task"] = made


def evidence(bench: Bench, draft: Draft, segment: Segment) -> None:
    """What was sent along: diagnoses are reasons, allergies, reports and procedures support, coverages insure."""
    for (type_, _), one in list(bench.drafts.items()):
        if type_ == "Condition":
            draft.put("reasonReference[]", one.reference, segment.label)
        elif type_ in _SUPPORTING:
            draft.put("supportingInfo[]", one.reference, segment.label)
        elif type_ == "Coverage":
            draft.put("insurance[]", one.reference, segment.label)


def mentioned(_bench: Bench, draft: Draft, _segment: Segment) -> None:
    """The message only mentions the resource: what is stored of it stays."""
    draft.keep.add("*")


def person(bench: Bench, segment: Segment) -> str | None:
    """PRD-7 (the first number with its type), else the name among those who treat this patient."""
    for raw in segment.repetitions(7)[:1]:
        parts = [*bench.parts(raw), ""]
        if parts[0]:
            return f"{bench.facility}|{parts[1]}|{parts[0]}"
    name = "|".join(segment.text(2, part) for part in (1, 2, 3))
    return f"{bench.subject()}|{name}" if name.strip("|") else None


def provider(bench: Bench, segment: Segment) -> str | None:
    """PRD: somebody in a role (PRD-1), at an organization (PRD-10) and a place (PRD-4)."""
    who = bench.group.role("provider-person")
    if who is None and not segment.field(10):
        return None
    return "|".join((who.id if who else "", segment.field(10).casefold(), segment.text(1), segment.field(4)))


def provider_organization(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PRD-10 to PRD-14: the organization that the provider works for, with how and where it is reached."""
    home = bench.mentioned.get(draft.body.get("organization", {}).get("reference", ""))
    if home is None:
        return
    bench.group.roles["provider-organization"] = home
    for index, raw in enumerate(segment.repetitions(11)):
        value: dict[str, Any] = {}
        where = f"{segment.label}-11" + (f"[{index + 1}]" if index else "")
        leaves = bench.site.converts["XAD"](bench, raw, where, value)
        if value:
            home.put_converted("address[]", (value, leaves))
    for index, raw in enumerate(segment.repetitions(13)):
        where = f"{segment.label}-13" + (f"[{index + 1}]" if index else "")
        home.put_converted("telecom[]", _TELECOM(bench, raw, where))
    extras: list[tuple[int, str, str, Convert]] = [
        (12, "location", "Reference", location),
        (14, "preferred-contact-method", "CodeableConcept", _CONCEPT),
    ]
    for field, name, suffix, convert in extras:
        for raw in segment.repetitions(field):
            made = convert(bench, raw, f"{segment.label}-{field}")
            if made is not None:
                leaves = [(f".value{suffix}{below}", source) for below, source in made[1]]
                home.put_converted("extension[]", ({"url": PREFIX + name, f"value{suffix}": made[0]}, leaves))


def refers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PRD-1: RP asks, RT is asked; anybody else is of the care team that is told of."""
    request = bench.group.role("referral")
    if request is None:
        return
    work = bench.group.role("referral-task")
    roles = {bench.text(raw.split(bench.component)[0]).upper() for raw in segment.repetitions(1)}
    where = f"{segment.label}-1"
    if "RP" in roles:
        request.put("requester", draft.reference, where)
        if work is not None:
            work.put("requester", draft.reference, where)
    if "RT" in roles:
        request.put("performer[]", draft.reference, where)
        if work is not None:
            work.put("owner", draft.reference, where)
    if roles - {"RP", "RT"}:
        team = bench.draft("CareTeam", f"{request.id}|team")
        team.put("status", "active")
        if "subject" in request.body:
            team.put("subject", request.body["subject"])
        member: dict[str, Any] = {"member": draft.reference}
        leaves = [(".member.reference", where)]
        if "code" in draft.body:
            member["role"] = draft.body["code"]
            leaves.append((".role[0]", where))
        team.put_converted("participant[]", (member, leaves))
        request.put("supportingInfo[]", team.reference, where)


def provider_number(bench: Bench, raw: str, where: str) -> Converted | None:
    """PLN to Identifier; a number is unique among those of its type that the sender knows."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["PLN"](bench, raw, where, value)
    if "value" not in value:
        return None
    kind = bench.text([*raw.split(bench.component), ""][1].split(bench.subcomponent)[0])
    value.setdefault("system", f"{bench.facility}:{kind.lower()}" if kind.isalnum() else bench.facility)
    return value, leaves


def contact(bench: Bench, draft: Draft, segment: Segment) -> None:
    """CTD: whom to ask at the provider's organization; what Organization.contact has no element for as extensions."""
    label = segment.label
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []
    for field, key, type_ in ((2, "name", "XPN"), (3, "address", "XAD")):
        for raw in segment.repetitions(field)[:1]:
            made: dict[str, Any] = {}
            found = bench.site.converts[type_](bench, raw, f"{label}-{field}", made)
            if made:
                value[key] = made
                leaves += [(f".{key}{below}", source) for below, source in found]
    if segment.field(1):
        purpose = _CONCEPT(bench, segment.repetitions(1)[0], f"{label}-1")
        if purpose is not None:
            value["purpose"] = purpose[0]
            leaves += [(f".purpose{below}", source) for below, source in purpose[1]]
    for raw in segment.repetitions(5):
        phone = _TELECOM(bench, raw, f"{label}-5")
        if phone is not None:
            at = len(value.setdefault("telecom", []))
            value["telecom"].append(phone[0])
            leaves += [(f".telecom[{at}]{below}", source) for below, source in phone[1]]
    extras: list[tuple[int, str, str, Convert]] = [
        (4, "contact-location", "Reference", location),
        (6, "preferred-contact-method", "CodeableConcept", _CONCEPT),
        (7, "contact-identifier", "Identifier", provider_number),
    ]
    for field, name, suffix, convert in extras:
        for raw in segment.repetitions(field):
            converted = convert(bench, raw, f"{label}-{field}")
            if converted is not None:
                at = note(value, name, suffix, converted[0])
                leaves += [(f".extension[{at}].value{suffix}{below}", source) for below, source in converted[1]]
    if value:
        draft.put_converted("contact[]", (value, leaves))


def authorization(bench: Bench, segment: Segment) -> str | None:
    """AUT-6, the authorization's number; else plan, company and dates of this patient."""
    for raw in segment.repetitions(6)[:1]:
        if (key := entity_key(bench, raw)) is not None:
            return f"authorization|{key}"
    parts = [segment.text(number) for number in (1, 2, 3, 4, 5)]
    return bench.distinct("ClaimResponse", "|".join(["authorization", bench.subject(), *parts])) if any(parts) else None


def outcome(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AUT-14: whether the payer has decided; what it decided stays in an extension. AUT-10, else AUT-4, else MSH-7 is
    when."""
    mapped = _OUTCOMES.get(segment.text(14).upper())
    draft.put("outcome", mapped or "partial", f"{segment.label}-14" if segment.text(14) else "")
    head = bench.message.segments[0]
    for one, field in ((segment, 10), (segment, 4), (head, 7)):
        moment = bench.moment(one.text(field)).value if one.text(field) else None
        if moment:
            draft.put("created", moment, f"{one.label}-{field}")
            break


def insurer(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AUT-2 and AUT-3: the payer, by its code, else its name."""
    code, name = segment.text(2), segment.text(3) or segment.text(2, 2)
    if not code and not name:
        return
    system = bench.naming.coding_system(segment.text(2, 3)) or bench.owned("insurer")
    payer = bench.mention("Organization", f"{system}|{code}" if code else f"{bench.facility}|name|{name.casefold()}")
    if code:
        value = {"system": system, "value": code}
        payer.put_converted("identifier[]", (value, [(".value", f"{segment.label}-2.1")]))
    if name:
        payer.put("name", name, f"{segment.label}-3" if segment.text(3) else f"{segment.label}-2.2")
    bench.group.roles["provider-organization"] = payer
    draft.put("insurer", payer.reference | ({"display": name} if name else {}), f"{segment.label}-2")


def insures(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The authorization is what the referral is paid by."""
    request = bench.group.role("referral")
    if request is not None:
        request.put("insurance[]", draft.reference, segment.label)


def study(bench: Bench, segment: Segment) -> str | None:
    """CTI-1: the sponsor's number of the study."""
    for raw in segment.repetitions(1)[:1]:
        return entity_key(bench, raw)
    return None


def studied(bench: Bench, draft: Draft, segment: Segment) -> None:
    """What the segment stands behind is part of the study: the order, the referral or the charge."""
    for role in ("order", "charge", "referral"):
        one = bench.group.role(role)
        if one is not None:
            value = {"url": STUDY, "valueReference": draft.reference}
            one.put_converted("extension[]", (value, [(".valueReference.reference", f"{segment.label}-1")]))
            return


def words(bench: Bench, raw: str, where: str) -> Converted | None:
    """ST to a CodeableConcept of words alone."""
    text = bench.text(raw)
    return ({"text": text}, [(".text", where)]) if text else None


def remark(bench: Bench, raw: str, where: str) -> Converted | None:
    """ST to an Annotation of words alone."""
    return words(bench, raw, where)


def coded(_bench: Bench, segment: Segment) -> bool:
    """RF1-3 tells what is asked for: details may only stand beside that."""
    return bool(segment.field(3))


IDENTITIES = {
    "referral": referral,
    "provider-person": person,
    "provider": provider,
    "authorization": authorization,
    "study": study,
}
DECISIONS = {
    "referral-status": status,
    "referral-task": task,
    "referral-evidence": evidence,
    "referral-provider": refers,
    "provider-organization": provider_organization,
    "mentioned": mentioned,
    "provider-contact": contact,
    "authorization-outcome": outcome,
    "authorization-insurer": insurer,
    "authorization-insures": insures,
    "study-of": studied,
}
PREDICATES = {"referral-coded": coded}
CONVERTERS: dict[str, Convert] = {"ProviderNumber": provider_number, "Text": words, "Note": remark}
"""Converters by the name that `via` uses."""
