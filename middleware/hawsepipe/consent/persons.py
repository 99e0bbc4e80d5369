"""A search for what is about a patient as one for what is about the person, whose records may have been merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hawsepipe.fhir.query import Clause, Kind, Query, ReferenceValue, Value


def throughout(query: Query, persons: Mapping[str, frozenset[str]]) -> Query:
    """Return the query with each reference to a patient joined by those to the other records of the person.

    `persons` gives every id of a person by each of them; who is not in it has one record.
    """
    if not persons or query.type == "Patient":
        return query
    clauses = tuple(_clause(clause, persons) for clause in query.clauses)
    return query if clauses == query.clauses else replace(query, clauses=clauses)


def _clause(clause: Clause, persons: Mapping[str, frozenset[str]]) -> Clause:
    if clause.kind is not Kind.REFERENCE or clause.modifier is not None:
        return clause
    values: dict[Value, None] = {}
    for value in clause.values:
        values[value] = None
        if isinstance(value, ReferenceValue) and value.type in ("Patient", None) and value.id is not None:
            values |= dict.fromkeys(replace(value, id=other) for other in sorted(persons.get(value.id, ())))
    return replace(clause, values=tuple(values))
