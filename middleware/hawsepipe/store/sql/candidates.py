"""Where a search begins: the clause whose candidates are fewest, an index that has them in order, or the type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hawsepipe.fhir.query import Sort
from hawsepipe.store.sql.binding import Bindings
from hawsepipe.store.sql.clauses import Predicate
from hawsepipe.store.sql.connection import Connection

FEW: Final = 2000
"""Candidates that are cheaper to collect than to look for in order."""


@dataclass(frozen=True, slots=True)
class Source:
    """The FROM of a search, with `r` in it, the column whose order is that of the keys, and whether another table
    comes before `r`; `present`: the index of what is there is followed.
    """

    tables: str
    key: str
    driven: bool
    distinct: bool = False
    present: bool = False


def source_of(
    connection: Connection, predicates: Sequence[Predicate], bindings: Bindings, sort: Sequence[Sort] = ()
) -> Source:
    """Return where the candidates come from of what meets all predicates, in this order."""
    usable = [entry for entry in predicates if entry.drivers]
    ordered = [entry for entry in usable if entry.ordered]
    if len(usable) == 1 and ordered and not sort:
        return _streamed(ordered[0])
    counts = [(_count(connection, entry, bindings), place) for place, entry in enumerate(usable)]
    fewest = min(counts, default=(FEW, 0))
    if fewest[0] < FEW:
        # UNION makes each key come once.
        union = " UNION ".join(usable[fewest[1]].drivers)
        candidates = f"SELECT DISTINCT resource FROM ({union}) c"  # noqa: S608  bound values only
        return Source(f"({candidates}) d CROSS JOIN resource r ON r.key = d.resource", "r.key", True)
    if ordered:
        return _streamed(ordered[0])
    if sort and sort[0].parameter == "_lastUpdated":
        return Source("resource r INDEXED BY resource_updated", "r.key", False)
    return Source("resource r INDEXED BY resource_present", "r.key", False, present=True)


def _streamed(entry: Predicate) -> Source:
    return Source(f"({entry.drivers[0]}) d CROSS JOIN resource r ON r.key = d.resource", "d.resource", True, True)


def _count(connection: Connection, entry: Predicate, bindings: Bindings) -> int:
    union = " UNION ALL ".join(entry.drivers)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({union}) c LIMIT {FEW}) d"  # noqa: S608  bound values only
    return int(connection.execute(sql, bindings.values).get)
