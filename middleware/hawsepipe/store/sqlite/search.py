"""Runs a search: one type, clauses joined by AND, visibility in the same WHERE, pages by key.

The plan is ours, not SQLite's: a clause that few resources meet gives the candidates (how many is counted, up to a
bound, when the search runs, so no statistics can be stale); otherwise an equality whose index is in key order is
followed, or the resources of the type are, both only as far as the page needs. All other clauses are checked on each
candidate through the tables' clustering by resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import apsw

from hawsepipe.fhir.query import Cursor, Page, Query, Total
from hawsepipe.store.contract import Extractor
from hawsepipe.store.sqlite import sorting, standing, versions
from hawsepipe.store.sqlite.binding import Bindings, joined
from hawsepipe.store.sqlite.clauses import Predicate
from hawsepipe.store.sqlite.conditions import Compiler
from hawsepipe.store.sqlite.inclusion import included
from hawsepipe.visibility import Visibility

FEW: Final = 2000
"""Candidates that are cheaper to collect than to look for in order."""

_EMPTY: Final = Page((), None, None)


@dataclass(frozen=True, slots=True)
class _Source:
    """The FROM of a search, with `r` in it, the column whose order is that of the keys, and whether another table
    comes before `r`.
    """

    tables: str
    key: str
    driven: bool
    distinct: bool = False


def search(
    connection: apsw.Connection,
    query: Query,
    visibility: Visibility,
    now: int,
    base: str = "",
    extractor: Extractor | None = None,
) -> Page:
    """Run a search inside a read transaction; `now` in microseconds, `base` our own address. With an extractor the
    pages of an order are those of the instant of the first one. Raises InvalidRequest for what cannot be searched by.
    """
    bindings = Bindings()
    compiler = Compiler(visibility, bindings, now, base)
    predicates = [compiler.compiled(condition, query.type) for condition in query.clauses]
    keys = sorting.keys(query.sort, query.type, bindings)
    seen = compiler.seen(query.type)
    counting = query.total is Total.ACCURATE
    if seen is False:
        return Page((), None, 0) if counting else _EMPTY
    source = _source(connection, query, predicates, bindings)
    conditions = [
        # Where another table drives, the plus keeps SQLite from starting at an index on type.
        f"{'+' if source.driven else ''}r.type = {bindings.symbol(query.type)}",
        "r.deleted = 0",
        *(f"({entry.condition})" for entry in predicates),
        *([seen] if isinstance(seen, str) else []),
    ]
    where = " AND ".join(conditions) if len(conditions) < 100 else joined("AND", conditions)
    total = _total(connection, source, where, bindings) if counting else None
    if query.count <= 0:
        return Page((), None, total)
    cursor, beyond = query.cursor, list[standing.Placed]()
    begun = cursor.instant if cursor is not None else standing.newest(connection) if query.sort else None
    if query.sort and extractor is not None and cursor is not None and cursor.instant is not None:
        plain = joined("AND", [conditions[0].removeprefix("+"), *conditions[1:]])
        beyond = standing.changed_since(connection, plain, bindings, query.sort, cursor, extractor)
        where += f" AND r.last_updated <= {bindings.bind(cursor.instant)}"
    rows = _page(connection, query, source, where, keys, bindings)
    if beyond:
        rows = standing.merged(rows, beyond, query.sort, query.count + 1)
    more = len(rows) > query.count
    del rows[query.count :]
    found = tuple(versions.current_by_key(connection, query.type, row[0]) for row in rows)
    beside = included(connection, query.includes, [row[0] for row in rows], visibility)
    return Page(found, Cursor(tuple(rows[-1][1:]), rows[-1][0], begun) if more else None, total, beside)


def _source(connection: apsw.Connection, query: Query, predicates: list[Predicate], bindings: Bindings) -> _Source:
    usable = [entry for entry in predicates if entry.drivers]
    ordered = [entry for entry in usable if entry.ordered]
    if len(usable) == 1 and ordered and not query.sort:
        return _streamed(ordered[0])
    counts = [(_count(connection, entry, bindings), place) for place, entry in enumerate(usable)]
    fewest = min(counts, default=(FEW, 0))
    if fewest[0] < FEW:
        # UNION makes each key come once.
        union = " UNION ".join(usable[fewest[1]].drivers)
        candidates = f"SELECT DISTINCT resource FROM ({union})"  # noqa: S608  bound values only
        return _Source(f"({candidates}) d CROSS JOIN resource r ON r.key = d.resource", "r.key", True)
    if ordered:
        return _streamed(ordered[0])
    if query.sort and query.sort[0].parameter == "_lastUpdated":
        return _Source("resource r INDEXED BY resource_updated", "r.key", False)
    return _Source("resource r INDEXED BY resource_present", "r.key", False)


def _streamed(entry: Predicate) -> _Source:
    return _Source(f"({entry.drivers[0]}) d CROSS JOIN resource r ON r.key = d.resource", "d.resource", True, True)


def _count(connection: apsw.Connection, entry: Predicate, bindings: Bindings) -> int:
    union = " UNION ALL ".join(entry.drivers)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({union}) LIMIT {FEW})"  # noqa: S608  bound values only
    return int(connection.execute(sql, bindings.values).get)


def _total(connection: apsw.Connection, source: _Source, where: str, bindings: Bindings) -> int:
    counted = "DISTINCT r.key" if source.distinct else "*"
    sql = f"SELECT count({counted}) FROM {source.tables} WHERE {where}"  # noqa: S608  bound values only
    return int(connection.execute(sql, bindings.values).get)


def _page(
    connection: apsw.Connection,
    query: Query,
    source: _Source,
    where: str,
    keys: tuple[sorting.Key, ...],
    bindings: Bindings,
) -> list[tuple[Any, ...]]:
    """Return one row more than a page: key, then the values of the sort keys."""
    limit = bindings.bind(query.count + 1)
    distinct = "DISTINCT " if source.distinct else ""
    if not keys:
        if query.cursor is not None:
            where += f" AND {source.key} > {bindings.bind(query.cursor.key)}"
        sql = f"SELECT {distinct}{source.key} FROM {source.tables} WHERE {where} ORDER BY {source.key} LIMIT {limit}"  # noqa: S608  bound values only
        return connection.execute(sql, bindings.values).fetchall()
    columns = ", ".join([f"{source.key} AS key", *(f"{key.expression} AS {key.name}" for key in keys)])
    sql = f"SELECT {distinct}{columns} FROM {source.tables} WHERE {where}"  # noqa: S608  bound values only
    names = ", ".join(["key", *(key.name for key in keys)])
    after = f" WHERE {sorting.beyond(keys, query.cursor, bindings)}" if query.cursor is not None else ""
    sql = f"SELECT {names} FROM ({sql}){after} ORDER BY {sorting.order(keys)} LIMIT {limit}"  # noqa: S608  bound values only
    return connection.execute(sql, bindings.values).fetchall()
