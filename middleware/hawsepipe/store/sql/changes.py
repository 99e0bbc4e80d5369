"""Reading what changed: the versions of many resources, newest first, of those that a requester sees now."""

from __future__ import annotations

from typing import Any, Final

from hawsepipe.model import Version
from hawsepipe.store.sql.binding import joined
from hawsepipe.store.sql.connection import VERSION_BITS, Connection
from hawsepipe.store.sql.formulas import visibility_condition
from hawsepipe.store.sql.versions import version_of
from hawsepipe.visibility import Visibility

_COLUMNS: Final = (
    "v.key, v.recorded, r.first_recorded, v.operation, opened(v.content, v.key), v.patients, v.commitment,"
    " v.opening, v.salt, r.id, r.type"
)
_TYPES: Final = """
WITH RECURSIVE kind (number) AS (
  SELECT min(type) FROM resource
  UNION ALL SELECT (SELECT min(r.type) FROM resource r WHERE r.type > kind.number) FROM kind WHERE number IS NOT NULL
) SELECT s.key, s.text FROM kind CROSS JOIN symbol s ON s.key = kind.number
"""


def changes(
    connection: Connection,
    type_: str | None,
    visibility: Visibility,
    before: tuple[int, int] | None,
    since: int | None,
    count: int,
    after: tuple[int, int] | None = None,
) -> list[tuple[int, Version]]:
    """Return (row key, version); see `Store.changes`."""
    bindings = connection.bindings()
    kinds: dict[int, str] = {key: text for key, text in connection.execute(_TYPES) if type_ is None or text == type_}
    seen: list[str] = []
    for key, text in kinds.items():
        condition = visibility_condition(visibility, text, bindings)
        of_kind = f"r.type = {bindings.bind(key)}"
        if condition is True:
            seen.append(f"({of_kind})")
        elif condition is False:
            # A deletion has nothing left to ask by; who saw what it ended is decided version by version.
            seen.append(f"({of_kind} AND r.deleted = 1)")
        else:
            seen.append(f"({of_kind} AND (r.deleted = 1 OR ({condition})))")
    if not seen:
        return []
    where = [joined("OR", seen)]
    if before is not None:
        where.append(f"(v.recorded, v.key) < ({bindings.bind(before[0])}, {bindings.bind(before[1])})")
    if after is not None:
        where.append(f"(v.recorded, v.key) > ({bindings.bind(after[0])}, {bindings.bind(after[1])})")
    if since is not None:
        where.append(f"v.recorded >= {bindings.bind(since)}")
    way = "DESC" if after is None else "ASC"
    sql = (
        f"SELECT {_COLUMNS} FROM version v INDEXED BY version_recorded"  # noqa: S608  bound values only
        f" CROSS JOIN resource r ON r.key = (v.key >> {VERSION_BITS}) WHERE {' AND '.join(where)}"
        f" ORDER BY v.recorded {way}, v.key {way} LIMIT {bindings.bind(count)}"
    )
    rows: list[Any] = connection.execute(sql, bindings.values).fetchall()
    return [(row[0], version_of(kinds[row[10]], row[9], row)) for row in rows]
