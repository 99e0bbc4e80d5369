"""Where resources stood in an order when the first page of a search was made, if they were changed since.

A page in key order needs none of this: keys never change. With other orders a resource that is changed while somebody
pages could come twice, or not at all; so it keeps the place that it had, and what was not there then has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from typing import Any

from hawsepipe.fhir import codec
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.index import DateRow, NumberRow, QuantityRow, ReferenceRow, Row, StringRow, TokenRow, UriRow
from hawsepipe.fhir.query import Cursor, Sort
from hawsepipe.model import Resource, Version
from hawsepipe.store.contract import Extractor
from hawsepipe.store.sql import versions
from hawsepipe.store.sql.binding import Bindings
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.decimals import sortable
from hawsepipe.store.sql.instants import instant

Placed = tuple[Any, ...]
"""A key, and the values that it is sorted by."""

Sees = Callable[[Version, Resource], bool]
"""Says whether the requester sees a version, of which this is the content."""


def newest(connection: Connection) -> int:
    """Return the instant of the newest commit; any that comes is later."""
    return int(connection.execute("SELECT instant FROM state WHERE one = 1").get)


def changed_since(
    connection: Connection,
    where: str,
    bindings: Bindings,
    sorts: Sequence[Sort],
    cursor: Cursor,
    extractor: Extractor,
    sees: Sees,
) -> list[Placed]:
    """Return what meets the conditions of a search, was there at the cursor's instant and was changed since: where it
    stood then, as far as that is beyond the cursor. A version that is not seen was not there: its place would tell what
    it said.
    """
    assert cursor.instant is not None
    since = bindings.bind(cursor.instant)
    rows = connection.execute(
        "SELECT r.key, r.id, r.version FROM resource r INDEXED BY resource_updated"  # noqa: S608  bound
        f" WHERE {where} AND r.last_updated > {since} AND r.first_recorded <= {since}",
        bindings.values,
    ).fetchall()
    here = (cursor.key, *cursor.values)
    ordered = _order(sorts)
    found: list[tuple[Any, ...]] = list(rows)
    stood = (_stood(connection, row[0], row[1], row[2], sorts, cursor.instant, extractor, sees) for row in found)
    return sorted((it for it in stood if it is not None and ordered(it) > ordered(here)), key=ordered)


def merged(first: Iterable[Placed], second: Iterable[Placed], sorts: Sequence[Sort], count: int) -> list[Placed]:
    """Return the first `count` of both in their order."""
    return sorted((*first, *second), key=_order(sorts))[:count]


def _stood(
    connection: Connection,
    key: int,
    id_: str,
    version: int,
    sorts: Sequence[Sort],
    micros: int,
    extractor: Extractor,
    sees: Sees,
) -> Placed | None:
    row = connection.execute(
        "SELECT recorded, opened(content, key), key FROM version WHERE key > ? AND key <= ? AND recorded <= ?"
        " ORDER BY key DESC LIMIT 1",
        (versions.row_key(key, 0), versions.row_key(key, version), micros),
    ).fetchone()
    if row is None or row[1] is None:  # erased, or deleted then
        return None
    resource = codec.decode(bytes(row[1]))
    then = versions.vread(connection, str(resource["resourceType"]), id_, int(row[2]) & versions.MASK)
    if then is None or not sees(then, resource):
        return None
    rows = extractor.rows(resource)
    values = [_value(sort, rows, id_, microseconds(instant(int(row[0])))) for sort in sorts]
    return (key, *values)


def _value(sort: Sort, rows: Sequence[Row], id_: str, recorded: int) -> str | int | None:
    """Return what `sorting` sorts a resource of these rows by."""
    if sort.parameter == "_id":
        return id_
    if sort.parameter == "_lastUpdated":
        return recorded
    found: list[Any] = []
    for row in rows:
        if row.parameter != sort.parameter:
            continue
        match row:
            case TokenRow():
                found.append(row.code)
            case ReferenceRow():
                found.append(row.url or row.id)
            case UriRow():
                found.append(row.uri)
            case StringRow():
                found.append(row.normal)
            case DateRow():
                found.append(row.high if sort.descending else row.low)
            case NumberRow() | QuantityRow():
                found.append(sortable(row.value).hex().upper())
    if not found:
        return None
    best: str | int = max(found) if sort.descending else min(found)
    return best


def _order(sorts: Sequence[Sort]) -> Any:
    """Return the key function of an order: missing values last, the key between equals."""

    def compare(one: Placed, other: Placed) -> int:
        for place, sort in enumerate(sorts, start=1):
            left, right = one[place], other[place]
            if left == right:
                continue
            if left is None or right is None:
                return 1 if left is None else -1
            return (1 if left > right else -1) * (-1 if sort.descending else 1)
        return int(one[0]) - int(other[0])

    return cmp_to_key(compare)
