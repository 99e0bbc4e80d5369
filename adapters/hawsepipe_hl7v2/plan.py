"""Compiled mapping tables: what happens to a segment, and running it.

The tables are compiled by `compiler`; a message runs through the plans of its segments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from hawsepipe import Method
from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Convert, Draft
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.paths import Place
from hawsepipe_hl7v2.structure import Placed

Run = Callable[[Bench, Draft, Segment], None]
When = Callable[[Bench, Segment], bool]


class Selected(NamedTuple):
    """What is to be done with the segments of which the same fields are valued.

    `rows` has those of each target that have something to do; `left`, by which targets applied (a bit each), the valued
    fields that none of them reads, worked out when asked for.
    """

    rows: tuple[tuple[Run, ...], ...]
    left: dict[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """One resource that a segment makes or adds to. `late`: after all segments, so that it fills in what they left."""

    type: str
    role: str
    identity: Callable[[Bench, Segment], str | None] | None
    joins: str
    method: Method
    union: tuple[str, ...]
    after: frozenset[str]
    messages: frozenset[str]
    when: When | None
    links: tuple[tuple[Place, str, bool], ...]
    defaults: tuple[tuple[str, Convert, str], ...]
    late: bool
    always: bool
    """Nothing but its identity says whether it applies."""


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What happens to a segment. `select` takes which fields before `width` are valued; no row reads one from there.
    `remainder` takes that and the targets that applied, by bit, and gives the valued fields that none of them reads."""

    targets: tuple[Target, ...]
    width: int
    select: Callable[[tuple[bool, ...]], Selected]
    remainder: Callable[[tuple[bool, ...], int], tuple[int, ...]]


def run(plan: SegmentPlan | None, placed: Placed, bench: Bench) -> None:
    """Run one segment through its plan; keep what nothing took as it is, and report it."""
    segment = placed.segment
    bench.group = placed.group
    if plan is None:
        bench.inform(segment.label, "this segment has no map; kept as it is in a Basic")
        leftovers.segment(bench, segment)
        return
    taken: Draft | None = None
    applied, later = 0, False
    fields = segment.fields
    valued = tuple(map(bool, fields[: plan.width]))
    busy, remainders = plan.select(valued)
    for index, target in enumerate(plan.targets):
        if not target.always:
            if target.messages and bench.event.type not in target.messages:
                continue
            if target.after and placed.after not in target.after:
                continue
            if target.late:
                later = True
                applied |= 1 << index
                bench.later.append(partial(_late, target, busy[index], placed, bench))
                continue
            if target.when is not None and not target.when(bench, segment):
                continue
        draft = _draft(target, bench, segment)
        if draft is None:
            continue
        taken = taken or draft
        applied |= 1 << index
        for row in busy[index]:
            row(bench, draft, segment)
    if taken is None:
        if plan.targets and not later:
            bench.warn("mapping", segment.label, "nothing in this message takes this segment; kept as it is in a Basic")
            leftovers.segment(bench, segment)
        return
    left = remainders.get(applied)
    if left is None:
        left = remainders[applied] = plan.remainder(valued, applied)
    if not left and len(fields) <= plan.width:
        return
    for number in (*left, *range(plan.width, len(fields))):
        if fields[number] and fields[number] != DELETE:
            bench.inform(f"{segment.label}-{number}", "this field has no map; kept as it is in an extension")
            leftovers.field(bench, taken, segment, number)


def _late(target: Target, rows: tuple[Run, ...], placed: Placed, bench: Bench) -> None:
    segment = placed.segment
    bench.group = placed.group
    if target.when is not None and not target.when(bench, segment):
        return
    draft = _draft(target, bench, segment)
    if draft is not None:
        for row in rows:
            row(bench, draft, segment)


def _draft(target: Target, bench: Bench, segment: Segment) -> Draft | None:
    """Return the resource that a target writes to, linked to the others; None when it cannot exist here."""
    group = bench.group
    if target.joins:
        return group.role(target.joins)
    links: list[tuple[Place, Draft]] = []
    for put, role, required in target.links:
        other = group.role(role)
        if other is not None:
            links.append((put, other))
        elif required and role == "patient":
            links.append((put, bench.nobody()))
        elif required:
            bench.warn("structure", segment.label, "the resource that this one must refer to is not in the message")
            return None
    key = target.identity(bench, segment) if target.identity is not None else None
    if key is None:
        return None
    draft = bench.draft(target.type, key, target.method, target.union)
    if target.role:
        group.roles[target.role] = draft
    if not bench.event.snapshot and target.method is Method.MERGE and target.role in ("patient", "encounter"):
        # A result or a vaccination knows a patient by the way: it may add, but what an ADT wrote stays.
        draft.keep.add("*")
    for put, other in links:
        if other is not draft:
            put(draft.body, other.reference)
    if target.defaults:
        for path, convert, why in target.defaults:
            draft.defaults.setdefault(path, (convert, why, segment.label))
    return draft


def complete(bench: Bench) -> None:
    """Run what waited for all segments; give required elements that got no value their default, and report each."""
    for run_late in bench.later:
        run_late()
    # They hold the bench that holds them, and groups hold each other.
    bench.later.clear()
    bench.root.dissolve()
    for draft in bench.drafts.values():
        for path, (convert, why, label) in draft.defaults.items():
            name = path.partition("[")[0]
            if name in draft.body or f"_{name}" in draft.body:
                continue
            converted = convert(bench, "", label)
            if converted is not None:
                draft.put(path, converted[0])
                draft.keep.add(name)
                bench.inform(label, f"{draft.type}.{name}: {why}")
