"""The visibility of a requester as a value that stores compile into their own queries.

A resource is visible when `scope` holds for it and, for every patient that it is about, that patient's formula holds.
`holds` and `visible` are the reference evaluator; a store's compiled query MUST agree with them on every resource.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NO_PATIENT: Final = "no-patient"
"""The `elsewhere` facet of a resource that ought to name a patient and does not."""

NO_AUTHOR: Final = "no-author"
"""The `elsewhere` facet of a Provenance of something that names no author."""

NO_TARGET: Final = "?"
"""The `target` facet of a Provenance that names what cannot be found; no type is called so."""

SEALED: Final = ("urn:hawsepipe:codes:handling", "sealed")
"""System and code of the label of what only privacy officers see, whatever consents say: a message as received tells
everything at once, also what its reader may not have piece by piece."""


@dataclass(frozen=True, slots=True)
class Facets:
    """What formulas can ask of a resource version, computed by `consent` when the version is stored.

    `rank` is the confidentiality, 0 (U) to 5 (V), None when not labelled. `clinical_*` is the clinical time as
    [start, end) in microseconds UTC, None without one. `values` maps a facet kind (label, code, anycode, author, ref,
    profile, purpose, target) to strings (`system|code`, `Practitioner/1`, a canonical, a type).
    """

    rank: int | None = None
    clinical_start: int | None = None
    clinical_end: int | None = None
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Measure(StrEnum):
    """Numbers that a formula can compare. The two instants are microseconds UTC, kept by the store."""

    RANK = "rank"
    CLINICAL_START = "clinical_start"
    CLINICAL_END = "clinical_end"
    FIRST_RECORDED = "first_recorded"
    LAST_UPDATED = "last_updated"


@dataclass(frozen=True, slots=True)
class Constant:
    """True or false for every resource."""

    value: bool


@dataclass(frozen=True, slots=True)
class TypeIn:
    """The resource's type is one of these."""

    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class InstanceIn:
    """The resource is one of these (`Type/id`)."""

    references: frozenset[str]


@dataclass(frozen=True, slots=True)
class Has:
    """At least one facet of this kind is among the values."""

    kind: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Only:
    """Every facet of this kind is among the values (also when there is none)."""

    kind: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lacks:
    """There is no facet of this kind."""

    kind: str


@dataclass(frozen=True, slots=True)
class AtMost:
    """The measure is at most `bound`; a measure that is absent counts as `absent`."""

    measure: Measure
    bound: int
    absent: bool


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The measure is at least `bound`; a measure that is absent counts as `absent`."""

    measure: Measure
    bound: int
    absent: bool


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one part holds."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Formula


Formula = Constant | TypeIn | InstanceIn | Has | Only | Lacks | AtMost | AtLeast | All | Any | Not


@dataclass(frozen=True, slots=True)
class Visibility:
    """What one requester may see. `patients` gives the formula of groups of patients, `default` that of all others."""

    scope: Formula
    patients: tuple[tuple[frozenset[str], Formula], ...]
    default: Formula


@dataclass(frozen=True, slots=True)
class Subject:
    """A resource version as formulas see it. Instants in microseconds UTC."""

    type: str
    id: str
    patients: tuple[str, ...]
    first_recorded: int
    last_updated: int
    facets: Facets


def joined(own: Subject, targets: Sequence[Subject | None]) -> Facets:
    """Return the facets of a Provenance: its own with those of the versions that it is about, None for one not found.

    What denies fires if it does for one of them, and facets by which permits could fire for one of them only are left
    out or told apart by `target`, the types of the targets. Instants that a target does not share with the Provenance
    widen the clinical time. A Provenance without targets, with one that is not found or is a Provenance itself, or
    with one about a patient whom the Provenance is not kept for, is about nobody.
    """
    known = [target for target in targets if target is not None and target.type != own.type]
    whole = 0 < len(known) == len(targets) and all({*target.patients} <= {*own.patients} for target in known)
    values: dict[str, set[str]] = {}
    for facets in (own.facets, *(target.facets for target in known)):
        for kind, found in facets.values.items():
            if kind != "code" and not (kind == "elsewhere" and facets is own.facets):
                values.setdefault(kind, set()).update(found)
    elsewhere = values.setdefault("elsewhere", set())
    values["target"] = {target.type for target in known}
    if not whole:
        elsewhere.add(NO_PATIENT)
        values["target"].add(NO_TARGET)
    if any(not target.facets.values.get("author") for target in known):
        elsewhere.add(NO_AUTHOR)
    ranks = [own.facets.rank, *(target.facets.rank for target in known)]
    start, end = _hull(own, known) if whole else (None, None)
    return Facets(
        rank=None if None in ranks else max(rank for rank in ranks if rank is not None),
        clinical_start=start,
        clinical_end=end,
        values={kind: frozenset(found) for kind, found in values.items() if found},
    )


def _hull(own: Subject, targets: Sequence[Subject]) -> tuple[int | None, int | None]:
    starts: list[int] = []
    ends: list[int] = []
    for target in targets:
        if target.facets.clinical_start is None or target.facets.clinical_end is None:
            return None, None
        instants = {target.first_recorded, target.last_updated} - {own.first_recorded, own.last_updated}
        starts += [target.facets.clinical_start, *instants]
        ends += [target.facets.clinical_end, *(instant + 1 for instant in instants)]
    return min(starts), max(ends)


def holds(formula: Formula, subject: Subject) -> bool:
    """Evaluate a formula for one resource version."""
    match formula:
        case Constant(value):
            return value
        case TypeIn(types):
            return subject.type in types
        case InstanceIn(references):
            return f"{subject.type}/{subject.id}" in references
        case Has(kind, values):
            return not values.isdisjoint(subject.facets.values.get(kind, frozenset()))
        case Only(kind, values):
            return subject.facets.values.get(kind, frozenset()) <= values
        case Lacks(kind):
            return not subject.facets.values.get(kind)
        case AtMost(measure, bound, absent):
            number = _measure(subject, measure)
            return absent if number is None else number <= bound
        case AtLeast(measure, bound, absent):
            number = _measure(subject, measure)
            return absent if number is None else number >= bound
        case All(parts):
            return all(holds(part, subject) for part in parts)
        case Any(parts):
            return any(holds(part, subject) for part in parts)
        case Not(part):
            return not holds(part, subject)


def visible(visibility: Visibility, subject: Subject) -> bool:
    """Say whether a requester with this visibility sees the version."""
    if not holds(visibility.scope, subject):
        return False
    return all(holds(_formula_of(visibility, patient), subject) for patient in subject.patients)


def _formula_of(visibility: Visibility, patient: str) -> Formula:
    return next((formula for group, formula in visibility.patients if patient in group), visibility.default)


def _measure(subject: Subject, measure: Measure) -> int | None:
    match measure:
        case Measure.RANK:
            return subject.facets.rank
        case Measure.CLINICAL_START:
            return subject.facets.clinical_start
        case Measure.CLINICAL_END:
            return subject.facets.clinical_end
        case Measure.FIRST_RECORDED:
            return subject.first_recorded
        case Measure.LAST_UPDATED:
            return subject.last_updated
