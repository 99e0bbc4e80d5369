"""Charges and accounts (DFT, BAR): FT1 as ChargeItem, with the procedure it charges for; what an event does to an
account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawsepipe import Method
from hawsepipe_hl7v2.amounts import span
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.patients import identifier_key
from hawsepipe_hl7v2.people import practitioner

_CONCEPT = concept()
_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0017"
_ACCOUNTS = {"P01": "active", "P02": "entered-in-error", "P06": "inactive"}
"""What a BAR event makes of the account."""
_NO_CHARGES = frozenset({"CD", "PY", "AJ", "CO"})
"""Table 0017: credit, payment, adjustment, co-payment: nothing that is to be billed."""


def charge(bench: Bench, segment: Segment) -> str | None:
    """FT1-2 (the transaction's number); else account or patient, date, type and code, told apart by their order."""
    account = bench.group.role("account")
    owner = account.id if account is not None else bench.subject()
    for raw in segment.repetitions(2)[:1]:
        if (key := identifier_key(bench, raw)) is not None:
            return f"{key}|{segment.text(6)}" if segment.text(6) in _NO_CHARGES else key
    code = segment.text(7) or segment.text(7, 2) or segment.text(25)
    parts = (owner, segment.text(4), segment.text(6), code.casefold(), segment.text(3))
    return bench.distinct("ChargeItem", "|".join(parts))


def status(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """FT1-6: a charge is billable; a credit, payment, adjustment or co-payment is no charge to bill.

    What it is stays in an extension, so that nobody adds a credit to the charges.
    """
    text = segment.text(6).upper()
    draft.put("status", "not-billable" if text in _NO_CHARGES else "billable", f"{segment.label}-6" if text else "")


def kind(bench: Bench, draft: Draft, segment: Segment) -> None:
    """FT1-6 as it is, in an extension."""
    for raw in segment.repetitions(6)[:1]:
        made = _CONCEPT(bench, raw, f"{segment.label}-6")
        if made is not None:
            for coding in made[0].get("coding", ()):
                coding.setdefault("system", _TYPES)
            value = {"url": PREFIX + "transaction-type", "valueCodeableConcept": made[0]}
            leaves = [(f".valueCodeableConcept{below}", source) for below, source in made[1]]
            draft.put_converted("extension[]", (value, leaves))


def occurred(bench: Bench, draft: Draft, segment: Segment) -> None:
    """FT1-4: when the service was given, a moment or a span."""
    made = span(bench, segment.repetitions(4)[0], f"{segment.label}-4") if segment.field(4) else None
    if made is None:
        return
    value, leaves = made
    if "end" in value or "_end" in value:
        draft.put_converted("occurrencePeriod", made)
    elif "start" in value:
        draft.put_converted("occurrenceDateTime", (value["start"], [("", leaves[0][1])]))
        if "_start" in value:
            draft.body["_occurrenceDateTime"] = value["_start"]


def described(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """FT1-8 and FT1-9: words for the code when it has none, else notes."""
    for field in (8, 9):
        text = segment.text(field)
        if not text:
            continue
        code = draft.body.get("code")
        if code is not None and "text" not in code:
            code["text"] = text
            draft.trail.append(("code.text", [("", f"{segment.label}-{field}")]))
        elif code is None or code["text"] != text:
            draft.put_converted("note[]", ({"text": text}, [(".text", f"{segment.label}-{field}")]))


def procedure(bench: Bench, draft: Draft, segment: Segment) -> None:
    """FT1-25 (FT1-26 its modifiers): what was done, as a Procedure of the charge; a PR1 of this charge with that code
    tells more, and is it then."""
    code = segment.text(25) or segment.text(25, 2)
    if not code or _told_by_pr1(bench, segment, code):
        return
    made = bench.draft("Procedure", f"{draft.id}|{code.casefold()}", Method.MERGE)
    made.put_converted("code", _CONCEPT(bench, segment.repetitions(25)[0], f"{segment.label}-25"))
    made.put("status", "completed")
    for name in ("subject", "encounter"):
        reference = draft.body.get({"encounter": "context"}.get(name, name))
        if reference is not None:
            made.put(name, reference)
    for name in ("DateTime", "Period"):
        if f"occurrence{name}" in draft.body:
            made.put(f"performed{name}", draft.body[f"occurrence{name}"], f"{segment.label}-4")
    for index, raw in enumerate(segment.repetitions(20)):
        performer = practitioner(bench, raw, f"{segment.label}-20" + (f"[{index + 1}]" if index else ""))
        if performer is not None:
            leaves = [(f".actor{below}", source) for below, source in performer[1]]
            made.put_converted("performer[]", ({"actor": performer[0]}, leaves))
    for index, raw in enumerate(segment.repetitions(26)):
        modifier = _CONCEPT(bench, raw, f"{segment.label}-26" + (f"[{index + 1}]" if index else ""))
        if modifier is not None:
            value = {"url": PREFIX + "procedure-modifier", "valueCodeableConcept": modifier[0]}
            leaves = [(f".valueCodeableConcept{below}", source) for below, source in modifier[1]]
            made.put_converted("extension[]", (value, leaves))
    draft.put("service[]", made.reference, f"{segment.label}-25")


def _told_by_pr1(bench: Bench, segment: Segment, code: str) -> bool:
    at = 0
    for one in bench.message.segments:
        at = one.number if one.name == "FT1" else at
        if one.name == "PR1" and at == segment.number and code in (one.text(3), one.text(3, 2)):
            return True
    return False


def order_numbers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """FT1-23: the order that is charged, known by its filler's number."""
    for raw in segment.repetitions(23):
        value: dict[str, Any] = {}
        leaves = bench.site.converts["EI"](bench, raw, f"{segment.label}-23", value)
        if "value" in value:
            logical = {"type": "ServiceRequest", "identifier": value}
            below = [(f".identifier{path}", source) for path, source in leaves]
            draft.put_converted("supportingInformation[]", (logical, below))


def charged(role: str, path: str) -> Callable[[Bench, Draft, Segment], None]:
    """Return a decision that puts the resource in a role behind the charge of its group."""

    def link(bench: Bench, draft: Draft, segment: Segment) -> None:
        other = bench.group.role(role)
        if other is not None:
            draft.put(path, other.reference, segment.label)

    return link


def account_status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """A BAR event opens (P01), purges (P02: it was a mistake) or ends (P06) the account; others leave its status."""
    told = _ACCOUNTS.get(bench.event.trigger) if bench.event.type == "BAR" else None
    if told is not None:
        draft.put("status", told, "MSH-9.2")


def account_period(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PV1-44 and PV1-45: the span of services that the account is for."""
    for field, name in ((44, "start"), (45, "end")):
        moment = bench.moment(segment.text(field)).value if segment.text(field) else None
        if moment:
            draft.put(f"servicePeriod.{name}", moment, f"{segment.label}-{field}")


def account_coverage(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IN1: the coverage pays for the account, in the order of IN1-22, else of IN1-1."""
    coverage = bench.group.role("coverage")
    if coverage is None:
        return
    value: dict[str, Any] = {"coverage": coverage.reference}
    leaves = [(".coverage.reference", segment.label)]
    for field in (22, 1):
        text = segment.text(field)
        if text.isascii() and text.isdigit() and int(text[:9]) > 0 and "priority" not in value:
            value["priority"] = int(text[:9])
            leaves.append((".priority", f"{segment.label}-{field}"))
    draft.put_converted("coverage[]", (value, leaves))


def performer(bench: Bench, raw: str, where: str) -> Converted | None:
    """XCN to ChargeItem.performer."""
    made = practitioner(bench, raw, where)
    return ({"actor": made[0]}, [(f".actor{below}", source) for below, source in made[1]]) if made else None


IDENTITIES = {"charge": charge}
DECISIONS = {
    "charge-status": status,
    "charge-kind": kind,
    "charge-occurred": occurred,
    "charge-described": described,
    "charge-procedure": procedure,
    "charge-orders": order_numbers,
    "charge-of-procedure": charged("procedure", "service[]"),
    "charge-of-condition": charged("condition", "supportingInformation[]"),
    "charge-of-order": charged("order", "supportingInformation[]"),
    "account-status": account_status,
    "account-period": account_period,
    "account-coverage": account_coverage,
}
CONVERTERS: dict[str, Convert] = {"ChargePerformer": performer}
"""Converters by the name that `via` uses."""
