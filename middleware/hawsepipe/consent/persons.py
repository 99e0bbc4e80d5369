"""A search for what is about a patient as one for what is about the person, whose records may have been merged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hawsepipe.fhir.query import Chain, Clause, Condition, Either, Kind, Query, ReferenceValue, Reverse, Value


def throughout(query: Query, persons: Mapping[str, frozenset[str]]) -> Query:
    """Return the query with each reference to a patient joined by those to the other records of the person.

    `persons` gives every id of a person by each of them; who is not in it has one record.
    """
    if not persons:
        return query
    clauses = tuple(_condition(query.type, clause, persons) for clause in query.clauses)
    return query if clauses == query.clauses else replace(query, clauses=clauses)


def patients_named(query: Query) -> frozenset[str]:
    """Return the ids of the patients that the conditions of a query refer to."""
    return frozenset(id_ for condition in query.clauses for id_ in _named(condition))


def _named(condition: Condition) -> Iterator[str]:
    match condition:
        case Clause():
            for value in condition.values if condition.kind is Kind.REFERENCE else ():
                if isinstance(value, ReferenceValue) and value.type in ("Patient", None) and value.id is not None:
                    yield value.id
        case Chain():
            for _, inner in condition.targets:
                yield from _named(inner)
        case Reverse():
            yield from _named(condition.condition)
        case Either():
            for part in condition.parts:
                yield from _named(part)


def _condition(kind: str, condition: Condition, persons: Mapping[str, frozenset[str]]) -> Condition:
    match condition:
        case Clause():
            return condition if kind == "Patient" else _clause(condition, persons)
        case Chain():
            targets = tuple((target, _condition(target, inner, persons)) for target, inner in condition.targets)
            return replace(condition, targets=targets)
        case Reverse():
            return replace(condition, condition=_condition(condition.type, condition.condition, persons))
        case Either():
            return Either(tuple(_condition(kind, part, persons) for part in condition.parts))


def _clause(clause: Clause, persons: Mapping[str, frozenset[str]]) -> Clause:
    if clause.kind is not Kind.REFERENCE or clause.modifier is not None:
        return clause
    values: dict[Value, None] = {}
    for value in clause.values:
        values[value] = None
        if isinstance(value, ReferenceValue) and value.type in ("Patient", None) and value.id is not None:
            values |= dict.fromkeys(replace(value, id=other) for other in sorted(persons.get(value.id, ())))
    return replace(clause, values=tuple(values))
