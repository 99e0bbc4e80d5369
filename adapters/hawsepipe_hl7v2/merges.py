"""Merges, moves, links and deletions of patients, accounts and visits.

Ids are made from identifiers, so what is merged away or renumbered keeps its resource: it is retired and refers to
what took its place, and that gets the old identifiers, marked as old.
"""

from __future__ import annotations

from typing import Any

from hawsepipe import Severity
from hawsepipe_hl7v2.bench import Bench, Draft
from hawsepipe_hl7v2.encounters import UNION, encounter
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.patients import add_identifier, chosen, identifier_key, taken
from hawsepipe_hl7v2.primitives import PRIMITIVES
from hawsepipe_hl7v2.requirements import MERGES, personal

_ACCOUNTS = frozenset({"A06", "A07", "A35", "A36", "A41", "A44", "A49"})
"""Events after which the account of MRG-3 is another one, or belongs to another patient."""
_VISITS = frozenset({"A06", "A07", "A42", "A45", "A50"})
"""Events after which the visit of MRG-5 is that of PV1-19."""
_MOVES = frozenset({"A44", "A45"})
"""Events that give the account or the visit to another patient."""
_ALTERNATES = frozenset({"A42", "A50", "A51"})
"""Events that replace the alternate visit number."""


def loser(bench: Bench, segment: Segment) -> str | None:
    """MRG-1 in the same order, else MRG-4: the patient that a merge retires. It is none of the survivor's own numbers
    where there are others, and one whose authority is told where that of the survivor is."""
    own = taken(bench)
    survivor = bench.group.role("patient")
    found = (
        chosen(bench, segment, 1, 4, unlike=own)
        or chosen(bench, segment, 1, 4, unlike=(survivor.key,) if survivor is not None else ())
        or chosen(bench, segment, 1, 4)
    )
    if found is None:
        return None
    parts = [*found.split(bench.component), "", "", ""]
    if not personal(parts):
        return None  # `requirements` tells it
    if own and not parts[3] and not any(number.startswith(f"{bench.facility}|") for number in own):
        text = "the number has no authority, and those of the patient who stays have: who is merged is not clear"
        bench.issue(Severity.ERROR, "required", f"{segment.label}-1.4", text)
        return None
    return identifier_key(bench, found)


def merge(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The patient of PID survives, that of MRG-1 is retired, and each links to the other.

    So it is for merges (A40 and its older forms), for a change of identifier (A46 to A48: the person is one, but the
    old identifier's resource is not found by the new one) and for a move of identifiers (A43). `draft` is the retired
    one. The survivor gets the retired identifiers, marked as old, so that they still find it.
    """
    survivor = bench.group.role("patient")
    if survivor is None or survivor is draft:
        if bench.event.trigger in ("A18", "A34", "A39", "A40"):
            bench.warn("mapping", segment.label, "the patient would be merged into itself; nothing is merged")
        return
    if not _agrees(bench, survivor, draft, segment.label):
        return
    draft.union.add("link")
    survivor.union.add("link")
    draft.put("active", False, segment.label)
    draft.put("link[]", {"other": survivor.reference, "type": "replaced-by"}, f"{segment.label}-1")
    survivor.put("link[]", {"other": draft.reference, "type": "replaces"}, f"{segment.label}-1")
    for number in (1, 2, 4):
        for index, raw in enumerate(segment.repetitions(number)):
            where = f"{segment.label}-{number}" + (f"[{index + 1}]" if index else "")
            add_identifier(bench, survivor, raw, where, use="old")


def _agrees(bench: Bench, survivor: Draft, draft: Draft, label: str) -> bool:
    """Note who takes whose place, unless the message says the opposite, or another, before; that is an error."""
    heirs: dict[str, str] = bench.cache.setdefault(("heirs", ""), {})
    last = survivor.url
    while last in heirs:
        last = heirs[last]
    if last == draft.url or heirs.get(draft.url, survivor.url) != survivor.url:
        what = "the opposite" if last == draft.url else "another survivor"
        text = f"an earlier merge in this message says {what} ({survivor.url}, {draft.url})"
        bench.issue(Severity.ERROR, "identity", f"{label}-1", text)
        return False
    heirs[draft.url] = survivor.url
    return True


def prior_account(bench: Bench, segment: Segment) -> str | None:
    """MRG-3."""
    return identifier_key(bench, segment.repetitions(3)[0], "account") if segment.text(3) else None


def account(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MRG-3: an account that was merged, renumbered or moved is inactive and part of that of PID-18; when the number
    stays it only changes hands."""
    current = bench.group.role("account")
    if bench.event.trigger in _MOVES:
        draft.passes = True
    if current is None or current is draft or bench.event.trigger not in _ACCOUNTS:
        return
    draft.put("status", "inactive", f"{segment.label}-3")
    draft.put("partOf", current.reference, f"{segment.label}-3")
    _inherit(bench, current, segment, 3)


def visit(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MRG-5: a visit that was merged or renumbered is part of that of PV1, which gets its number, marked as old.

    Two numbers of one visit (A42, A45, A50) must not count as two: the old one is entered in error. An outpatient who
    is admitted (A06, and back A07) has had both: the former is finished.
    """
    former = bench.group.segment("MRG")
    if former is None:
        return
    if former.text(6) and bench.event.trigger in _ALTERNATES:
        _inherit(bench, draft, former, 6)
    if bench.event.trigger not in _VISITS or not former.text(5):
        return
    moved = bench.event.trigger in _MOVES
    draft.passes |= moved
    key = identifier_key(bench, former.repetitions(5)[0], "visit")
    if key is None or key == encounter(bench, segment):
        return
    old = bench.draft("Encounter", key, union=UNION)
    old.passes |= moved
    add_identifier(bench, old, former.repetitions(5)[0], f"{former.label}-5", kind="visit")
    where = f"{former.label}-5"
    ended = bench.event.trigger in ("A06", "A07")
    old.put("status", "finished" if ended else "entered-in-error", where)
    old.put("partOf", draft.reference, where)
    patient = bench.group.role("patient")
    if patient is not None:
        old.put("subject", patient.reference)
    old.defaults.setdefault("class", (PRIMITIVES["absent-object"], "the class of the former visit is not told", where))
    _inherit(bench, draft, former, 5)


def _inherit(bench: Bench, heir: Draft, former: Segment, number: int) -> None:
    for index, raw in enumerate(former.repetitions(number)):
        where = f"{former.label}-{number}" + (f"[{index + 1}]" if index else "")
        add_identifier(bench, heir, raw, where, use="old", kind="visit")


def link(bench: Bench, draft: Draft, segment: Segment) -> None:
    """A24 and A37: the patients of the two PIDs see each other (A24), or no longer do (A37)."""
    if bench.event.trigger not in ("A24", "A37"):
        return
    first = bench.cache.setdefault(("linked", ""), draft)
    if first is draft:
        return
    if bench.event.trigger == "A24":
        for one, other in ((first, draft), (draft, first)):
            one.union.add("link")
            one.put("link[]", {"other": other.reference, "type": "seealso"}, f"{segment.label}-3")
        return
    for one, other in ((first, draft), (draft, first)):
        one.cleared.add(f"link[{other.url}]")


def deletion(bench: Bench, draft: Draft, segment: Segment) -> None:
    """A29: the person's information is deleted: the patient is inactive."""
    if bench.event.trigger == "A29":
        draft.put("active", False, "MSH-9.2")


def is_merge(bench: Bench, _segment: Segment) -> bool:
    """The event retires the patient of MRG-1."""
    return bench.event.trigger in MERGES


def merges_visit(bench: Bench, _segment: Segment) -> bool:
    """The event is about the visit of MRG-5 or MRG-6, which `visit` reads with PV1."""
    return bench.event.trigger in _VISITS | _ALTERNATES


def told_with_visit(_bench: Bench, _draft: Draft, _segment: Segment) -> None:
    """MRG-5 and MRG-6 are read with PV1."""


def has_prior_account(_bench: Bench, segment: Segment) -> bool:
    """MRG-3 is valued."""
    return bool(segment.text(3))


IDENTITIES = {"merged-patient": loser, "prior-account": prior_account}
DECISIONS: dict[str, Any] = {
    "merge": merge,
    "merge-account": account,
    "merge-visit": visit,
    "told-with-visit": told_with_visit,
    "link": link,
    "deletion": deletion,
}
PREDICATES = {"is-merge": is_merge, "has-prior-account": has_prior_account, "merges-visit": merges_visit}
