"""A formula about resources, told of a Provenance: it is to hold for every version that the Provenance is about.

The formulas of consents are folded with that in mind; those of house rules are anybody's. What can be said by the
facets of a Provenance (`visibility.joined`) is said; the rest is taken not to hold.
"""

from __future__ import annotations

from typing import Final, assert_never

from hawsepipe.visibility import (
    All,
    Any,
    AtLeast,
    AtMost,
    Constant,
    Formula,
    Has,
    InstanceIn,
    Lacks,
    Measure,
    Not,
    Only,
    TypeIn,
)

_NEVER: Final = Constant(False)
_ALWAYS: Final = Constant(True)
_UNJOINED: Final = frozenset({"code", "target"})
"""Facets that a Provenance does not have from its targets."""

_BOUNDED_ABOVE: Final = {
    Measure.RANK: Measure.RANK,
    Measure.CLINICAL_END: Measure.CLINICAL_END,
    # No version is first recorded later than it is written, and targets are written with their Provenance.
    Measure.FIRST_RECORDED: Measure.LAST_UPDATED,
    Measure.LAST_UPDATED: Measure.LAST_UPDATED,
}


def throughout(formula: Formula) -> Formula:
    """Return the formula, which for a Provenance holds only if it holds for each of its targets too."""
    return All((formula, Any((Lacks("target"), _every(formula)))))


def _every(formula: Formula) -> Formula:
    """Return what, true of a Provenance, makes the formula true of each target."""
    match formula:
        case Constant():
            return formula
        case TypeIn(types):
            return All((Has("target", types), Only("target", types)))
        case InstanceIn() | Has():
            return _NEVER
        case Only(kind, _) | Lacks(kind):
            return _NEVER if kind in _UNJOINED else formula
        case AtMost(measure, bound, _):
            above = _BOUNDED_ABOVE.get(measure)
            return _NEVER if above is None else AtMost(above, bound, absent=False)
        case AtLeast(measure, bound, _):
            known = measure in {Measure.CLINICAL_START, Measure.LAST_UPDATED}
            return AtLeast(measure, bound, absent=False) if known else _NEVER
        case All(parts):
            return All(tuple(map(_every, parts)))
        case Any(parts):
            return Any(tuple(map(_every, parts)))
        case Not(part):
            return Not(_some(part))
        case _:
            assert_never(formula)


def _some(formula: Formula) -> Formula:
    """Return what is true of a Provenance if the formula is true of one target."""
    match formula:
        case Constant():
            return formula
        case TypeIn(types):
            return Has("target", types)
        case InstanceIn(references):
            return Has("ref", references)
        case Has("code", values):
            return Has("anycode", values)
        case Has(kind, _):
            return _ALWAYS if kind in _UNJOINED else formula
        case AtLeast(Measure.RANK, bound, _):
            return AtLeast(Measure.RANK, bound, absent=True)
        case AtMost(Measure.LAST_UPDATED) | AtLeast(Measure.LAST_UPDATED):
            return formula
        case Only() | Lacks() | AtMost() | AtLeast():
            return _ALWAYS
        case All(parts):
            return All(tuple(map(_some, parts)))
        case Any(parts):
            return Any(tuple(map(_some, parts)))
        case Not(part):
            return Not(_every(part))
        case _:
            assert_never(formula)
