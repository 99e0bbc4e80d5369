"""Runs a search: one type, clauses joined by AND, visibility in the same WHERE, pages by key.

The plan is ours, not SQLite's: a clause that few resources meet gives the candidates (how many is counted, up to a
bound, when the search runs, so no statistics can be stale); otherwise an equality whose index is in key order is
followed, or the resources of the type are, both only as far as the page needs. All other clauses are checked on each
candidate through the tables' clustering by resource.
"""

from __future__ import annotations

from typing import Any, Final

from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.query import Cursor, Page, Query, Total
from hawsepipe.model import Resource, Version
from hawsepipe.store.contract import Extractor, Labeller
from hawsepipe.store.sql import sorting, standing, versions
from hawsepipe.store.sql.binding import Bindings, joined
from hawsepipe.store.sql.candidates import Source, source_of
from hawsepipe.store.sql.conditions import Compiler
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.inclusion import included
from hawsepipe.visibility import Subject, Visibility, visible

_EMPTY: Final = Page((), None, None)


def search(
    connection: Connection,
    query: Query,
    visibility: Visibility,
    now: int,
    base: str = "",
    extractor: Extractor | None = None,
    labeller: Labeller | None = None,
) -> Page:
    """Run a search inside a read transaction; `now` in microseconds, `base` our own address. With an extractor and a
    labeller the pages of an order are those of the instant of the first one. Raises InvalidRequest for what cannot be
    searched by.
    """
    bindings = connection.bindings()
    compiler = Compiler(connection, visibility, bindings, now, base)
    predicates = compiler.all(query.clauses, query.type)
    keys = sorting.keys(query.sort, query.type, bindings)
    seen = compiler.seen(query.type)
    counting = query.total is Total.ACCURATE
    if seen is False:
        return Page((), None, 0) if counting else _EMPTY
    source = source_of(connection, predicates, bindings, query.sort)
    conditions = [
        f"{bindings.probed('r.type') if source.driven else 'r.type'} = {bindings.symbol(query.type)}",
        f"{'r.deleted' if source.present else bindings.probed('r.deleted')} = 0",
        *(f"({entry.condition})" for entry in predicates),
        *([seen] if isinstance(seen, str) else []),
    ]
    where = " AND ".join(conditions) if len(conditions) < 100 else joined("AND", conditions)
    total = _total(connection, source, where, bindings) if counting else None
    if query.count <= 0:
        return Page((), None, total)
    cursor, beyond = query.cursor, list[standing.Placed]()
    begun = cursor.instant if cursor is not None else standing.newest(connection) if query.sort else None
    steady = query.sort and cursor is not None and cursor.instant is not None
    if steady and extractor is not None and labeller is not None and cursor is not None:
        plain = joined("AND", [f"r.type = {bindings.symbol(query.type)}", *conditions[1:]])
        sees = _sight(visibility, labeller)
        beyond = standing.changed_since(connection, plain, bindings, query.sort, cursor, extractor, sees)
        where += f" AND r.last_updated <= {bindings.bind(cursor.instant)}"
    rows = _page(connection, query, source, where, keys, bindings)
    if beyond:
        rows = standing.merged(rows, beyond, query.sort, query.count + 1)
    more = len(rows) > query.count
    del rows[query.count :]
    found = versions.current_by_keys(connection, query.type, [row[0] for row in rows])
    beside = included(connection, query.includes, [row[0] for row in rows], visibility)
    return Page(found, Cursor(tuple(rows[-1][1:]), rows[-1][0], begun) if more else None, total, beside)


def _sight(visibility: Visibility, labeller: Labeller) -> standing.Sees:
    """Return what says whether an earlier version is visible. A Provenance has none: it is never changed."""

    def sees(version: Version, resource: Resource) -> bool:
        about = Subject(
            type=version.type,
            id=version.id,
            patients=version.patients,
            first_recorded=microseconds(version.first_recorded),
            last_updated=microseconds(version.last_updated),
            facets=labeller.facets(resource),
        )
        return visible(visibility, about)

    return sees


def _total(connection: Connection, source: Source, where: str, bindings: Bindings) -> int:
    counted = "DISTINCT r.key" if source.distinct else "*"
    sql = f"SELECT count({counted}) FROM {source.tables} WHERE {where}"  # noqa: S608  bound values only
    return int(connection.execute(sql, bindings.values).get)


def _page(
    connection: Connection,
    query: Query,
    source: Source,
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
    sql = f"SELECT {names} FROM ({sql}) c{after} ORDER BY {sorting.order(keys)} LIMIT {limit}"  # noqa: S608  bound values only
    return connection.execute(sql, bindings.values).fetchall()
