"""Pharmacy messages: prescriptions (RXO as ordered, RXE as encoded by the pharmacy), what is to be given (RXG),
was dispensed (RXD) and was given (RXA): which they are, their status, what they hang on."""

from __future__ import annotations

from collections.abc import Callable

from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Draft, Group, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.dosages import dosage, quantity
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import PRIMITIVES, absent
from hawsepipe_hl7v2.products import PRODUCTS, keep, words

_SUBSTITUTION = concept("SubstitutionStatus")


def order_number(bench: Bench) -> str:
    """Return the order's number with its authority: the placer's, else the filler's."""
    control = bench.group.segment("ORC")
    for field in (2, 3):
        if control is not None and control.text(field):
            hd = [bench.text(control.component(field, part)) for part in (2, 3, 4)]
            return f"{bench.naming.authority(hd[0], hd[1], hd[2]) or bench.facility}|{control.text(field)}"
    return ""


def _inside(bench: Bench, group: str, name: str) -> Segment | None:
    """Return the segment of a name of this group, or of the order's first group of that kind."""
    here = bench.group.segment_here(name)
    if here is not None:
        return here
    order = bench.group.around("order")
    found = order.inside(group) if order is not None else []
    return found[0].segment_here(name) if found else None


def _owner(bench: Bench, group: str) -> Group:
    """Return the group of that kind that this segment is in, else the order's first one, else this group."""
    here = bench.group.around(group)
    order = bench.group.around("order")
    found = order.inside(group) if order is not None else []
    return here or (found[0] if found else bench.group)


def _prescribed(bench: Bench, group: str, name: str, kind: str) -> str | None:
    told = _inside(bench, group, name)
    if told is None:
        return None
    owner = _owner(bench, group)
    known = (kind, f"{owner.name}#{owner.number}")
    if known not in bench.cache:
        field = PRODUCTS[name].code
        code = (told.text(field) or told.text(field, 2)).casefold()
        control = bench.group.segment("ORC")
        when = control.text(9) if control is not None else ""
        number_ = order_number(bench) or f"{bench.subject()}|{code}|{when or bench.control}"
        bench.cache[known] = bench.distinct("MedicationRequest", f"{number_}|{kind}")
    return str(bench.cache[known])


def original(bench: Bench, _segment: Segment) -> str | None:
    """The prescription as ordered (RXO): the order's number; else patient, medicine and time."""
    return _prescribed(bench, "original", "RXO", "ordered")


def encoded(bench: Bench, _segment: Segment) -> str | None:
    """The prescription as the pharmacy encoded it (RXE): the order's number; else patient, medicine and time."""
    return _prescribed(bench, "encoded", "RXE", "encoded")


def instance(bench: Bench, segment: Segment) -> str | None:
    """What is to be given (RXG): the order's number with RXG-1 and RXG-2."""
    number_ = order_number(bench) or f"{bench.control}|{segment.label}"
    return bench.distinct("MedicationRequest", f"{number_}|give|{segment.text(1)}|{segment.text(2)}")


def dispense(bench: Bench, segment: Segment) -> str | None:
    """A MedicationDispense: the prescription's number (RXD-7, else the order's) with RXD-1 and RXD-3."""
    number_ = segment.text(7) or order_number(bench) or f"{bench.control}|{segment.label}"
    key = "|".join((bench.facility, number_, segment.text(1), segment.text(3)))
    return bench.distinct("MedicationDispense", key)


def administration(bench: Bench, segment: Segment) -> str | None:
    """A MedicationAdministration: the order's number with RXA-1, RXA-2, RXA-3 and the medicine."""
    told = segment if segment.name == "RXA" else _inside(bench, "administration", "RXA")
    if told is None:
        return None
    owner = _owner(bench, "administration")
    known = ("administration", f"{owner.name}#{owner.number}")
    if known not in bench.cache:
        number_ = order_number(bench) or f"{bench.subject()}|{bench.control}"
        key = "|".join((number_, told.text(1), told.text(2), told.text(3), told.text(5).casefold()))
        bench.cache[known] = bench.distinct("MedicationAdministration", key)
    return str(bench.cache[known])


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MedicationRequest.status by ORC-5, else ORC-1; what these do not say is unknown."""
    for field, table in ((5, "MedicationOrderStatus"), (1, "MedicationOrderControl")):
        mapped = bench.site.codes[table]["codes"].get(segment.text(field))
        if mapped:
            draft.put("status", mapped, f"{segment.label}-{field}")
            break
    if segment.text(5):
        content = {"url": PREFIX + "order-status", "valueCode": segment.text(5).replace(" ", "")}
        draft.put_converted("extension[]", (content, [(".valueCode", f"{segment.label}-5")]))


def intent(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The pharmacy's view of an order that is there too is a filler's; alone it is the order."""
    order = bench.group.role("original-order")
    draft.put("intent", "filler-order" if order is not None else "order", segment.label)
    if order is not None:
        draft.put("basedOn[]", order.reference, segment.label)


def substituted(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXD-11: whether another medicine was dispensed than was ordered, and of which kind.

    Words without a code do not say whether, which R4 wants to know: they stay in an extension.
    """
    code = segment.text(11)
    if not code:
        if segment.field(11):
            leftovers.field(bench, draft, segment, 11)
        return
    told = {"0": False, "1": False, "7": False, "N": False}.get(code, True)
    draft.put("substitution.wasSubstituted", told, f"{segment.label}-11")
    draft.put_converted("substitution.type", _SUBSTITUTION(bench, segment.repetitions(11)[0], f"{segment.label}-11"))


def dispensed(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Bind a dispense to its prescription: the pharmacy's, else the prescriber's."""
    for role in ("prescription", "original-order"):
        order = bench.group.role(role)
        if order is not None:
            draft.put("authorizingPrescription[]", order.reference, segment.label)
            return


def requested(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Bind an administration to what was ordered."""
    for role in ("give", "prescription", "original-order"):
        order = bench.group.role(role)
        if order is not None and order is not draft:
            draft.put("request", order.reference, segment.label)
            return


def given(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MedicationAdministration.status by RXA-21 and RXA-20; a refusal (RXA-18) is not done."""
    code = segment.text(20)
    told = {"CP": "completed", "PA": "completed", "RE": "not-done", "NA": "not-done"}.get(code, "")
    where = f"{segment.label}-20"
    if segment.text(21) == "D":
        told, where = "entered-in-error", f"{segment.label}-21"
    elif not code and (segment.text(18) or segment.text(18, 2)):
        told, where = "not-done", f"{segment.label}-18"
    elif code and not told:
        bench.warn("code", where, "an unknown completion status")
    if told:
        draft.put("status", told, where)
    if code:
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0322", "code": code.replace(" ", "")}
        content = {"url": PREFIX + "completion-status", "valueCoding": coding}
        draft.put_converted("extension[]", (content, [(".valueCoding.code", f"{segment.label}-20")]))


def effective(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-3, or the period from RXA-3 to RXA-4; without both the time is absent."""
    start, end = segment.text(3), segment.text(4)
    began = PRIMITIVES["dateTime"](bench, segment.field(3), f"{segment.label}-3")
    if end and end != start:
        ended = PRIMITIVES["dateTime"](bench, segment.field(4), f"{segment.label}-4")
        draft.put_converted("effectivePeriod.start", began)
        draft.put_converted("effectivePeriod.end", ended)
    elif began is not None:
        draft.put_converted("effectiveDateTime", began)
    if not any(key.lstrip("_").startswith("effective") for key in draft.body):
        draft.body["_effectiveDateTime"] = {"extension": [absent()]}
        bench.inform(segment.label, "MedicationAdministration.effective: RXA-3 is empty; the time is absent")


def given_dose(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RXA-6 with RXA-7 as the dose; 999 means that the amount is not known."""
    made = quantity(bench, segment, 6, 7) if segment.text(6) != "999" else None
    path, content = dosage(draft)
    if made is not None:
        content["dose"] = made[0]
        draft.trail.append((f"{path}.dose", made[1]))
    else:
        leaves: list[Leaf] = []
        keep(content, leaves, "administered-amount", words(bench, segment, 6), f"{segment.label}-6")
        keep(content, leaves, "administered-units", words(bench, segment, 7), f"{segment.label}-7")
        if leaves:
            draft.trail.append((path, leaves))
    if not content:
        draft.body.pop("dosage")


def has_original(bench: Bench, _segment: Segment) -> bool:
    """The order has an RXO."""
    return _inside(bench, "original", "RXO") is not None


def has_encoded(bench: Bench, _segment: Segment) -> bool:
    """The order has an RXE."""
    return _inside(bench, "encoded", "RXE") is not None


def for_original(bench: Bench, _segment: Segment) -> bool:
    """The segment belongs to the order as it was ordered: before or in RXO, or there is no RXE."""
    return bench.group.around("encoded") is None and has_original(bench, _segment) and not _behind(bench)


def for_encoded(bench: Bench, _segment: Segment) -> bool:
    """The segment belongs to the order as it was encoded: in RXE, or there is no RXO."""
    if bench.group.around("encoded") is not None:
        return True
    return not has_original(bench, _segment) and has_encoded(bench, _segment) and not _behind(bench)


def _behind(bench: Bench) -> bool:
    return any(bench.group.around(name) is not None for name in ("dispense", "give", "administration"))


def within(name: str) -> Callable[[Bench, Segment], bool]:
    """Return a predicate: the segment stands in a group of that name."""
    return lambda bench, _segment: bench.group.around(name) is not None


IDENTITIES = {
    "original-order": original,
    "prescription": encoded,
    "give": instance,
    "dispense": dispense,
    "administration": administration,
}
DECISIONS = {
    "medication-status": status,
    "prescription-intent": intent,
    "dispensed-by": dispensed,
    "substituted": substituted,
    "administered-for": requested,
    "administration-status": given,
    "administration-effective": effective,
    "administration-dose": given_dose,
}
PREDICATES = {
    "has-original": has_original,
    "has-encoded": has_encoded,
    "lacks-original": lambda bench, segment: not has_original(bench, segment),
    "for-original": for_original,
    "for-encoded": for_encoded,
    "for-dispense": within("dispense"),
    "for-give": within("give"),
    "for-administration": within("administration"),
}
