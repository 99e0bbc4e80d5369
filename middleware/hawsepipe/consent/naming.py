"""Searches by what a reference says of its target: they count only where the reference is shown with it.

A target that is hidden, or is not there, is shown as a bare id (`consent.dressing`), so `:identifier` meets a reference
only if its target is visible or if it has no literal target at all.
"""

from __future__ import annotations

from dataclasses import replace

from hawsepipe.consent.redaction import ALWAYS, NEVER
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.provenance import MESSAGE
from hawsepipe.fhir.query import (
    Chain,
    Clause,
    Condition,
    Either,
    Kind,
    MissingValue,
    Modifier,
    Query,
    Reverse,
    TokenValue,
)


def unnamed(query: Query) -> Query:
    """Return a search in which `:identifier` meets what is shown alone; itself if there is none."""
    clauses: list[Condition] = []
    for condition in query.clauses:
        if isinstance(condition, Clause) and _of_message(query.type, condition):
            clauses.append(condition)
        elif isinstance(condition, Clause) and _named(condition):
            clauses += [condition, _shown(query.type, condition.parameter)]
        else:
            clauses.append(_within(condition))
    return query if tuple(clauses) == query.clauses else replace(query, clauses=tuple(clauses))


def _named(clause: Clause) -> bool:
    return clause.kind is Kind.REFERENCE and clause.modifier in {Modifier.IDENTIFIER, Modifier.TEXT}


def _of_message(kind: str, clause: Clause) -> bool:
    """Say whether a Provenance is asked for by its message's digest: that stands by itself, and no target has it."""
    if (kind, clause.parameter, clause.modifier) != ("Provenance", "entity", Modifier.IDENTIFIER):
        return False
    return all(isinstance(value, TokenValue) and value.system == MESSAGE for value in clause.values)


def _shown(kind: str, code: str) -> Condition:
    parameter = load().search_parameters(kind).get(code)
    targets = parameter.targets if parameter is not None else ()
    bare = Clause(code, Kind.REFERENCE, Modifier.MISSING, (MissingValue(True),))
    return Either((Chain(code, tuple((target, ALWAYS) for target in targets)), bare))


def _within(condition: Condition) -> Condition:
    """Return a condition without `:identifier` in it, where it cannot be joined by another: it is met by nothing."""
    match condition:
        case Clause():
            return NEVER if _named(condition) else condition
        case Chain():
            return replace(condition, targets=tuple((target, _within(inner)) for target, inner in condition.targets))
        case Reverse():
            return replace(condition, condition=_within(condition.condition))
        case Either():
            return Either(tuple(_within(part) for part in condition.parts))
