"""Reading versions. The ids of a version's patients are kept as text, separated by spaces, which ids cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from hawsepipe.model import Operation, Version
from hawsepipe.store.sql.connection import NAMED_AS, VERSION_BITS, Connection
from hawsepipe.store.sql.current import Current
from hawsepipe.store.sql.instants import instant

MASK: Final = (1 << VERSION_BITS) - 1
_COLUMNS = (
    "v.key, v.recorded, r.first_recorded, v.operation, opened(v.content, v.key), v.patients, v.commitment, v.opening,"
    " v.salt"
)
_CURRENT = f"SELECT {_COLUMNS} FROM resource r JOIN version v ON v.key = ((r.key << {VERSION_BITS}) | r.version)"  # noqa: S608  constants
_ANY = f"SELECT {_COLUMNS} FROM resource r JOIN version v ON v.key > (r.key << {VERSION_BITS})"  # noqa: S608  constants
_OF = " WHERE r.type = (SELECT key FROM symbol WHERE text = ?1) AND r.id = ?2"


def row_key(resource: int, version: int) -> int:
    """Return the row key of a version."""
    return (resource << VERSION_BITS) | version


def read(connection: Connection, type_: str, id_: str) -> Version | None:
    """Return the current version, a tombstone included."""
    row = connection.execute(_CURRENT + _OF, (type_, id_)).fetchone()
    return None if row is None else version_of(type_, id_, row)


def contents_named(connection: Connection, sha256s: Sequence[str]) -> frozenset[str]:
    """Return which of these contents a version names."""
    rows = connection.execute(
        "SELECT DISTINCT sha256 FROM content WHERE sha256 IN (SELECT value FROM json_each(?))",
        (connection.array(sha256s),),
    )
    return frozenset(sha256 for (sha256,) in rows)


def current(connection: Connection, type_key: int, type_: str, id_: str) -> Current | None:
    """Return the current version for the writer, by the interned number of its type."""
    row = connection.execute(
        "SELECT key, version, first_recorded, indexed, event FROM resource WHERE type = ? AND id = ?", (type_key, id_)
    ).get
    return None if row is None else _current(connection, type_, id_, *row)


def currents(connection: Connection, names: Sequence[tuple[int, str, str]]) -> Iterator[Current | None]:
    """Yield what `current` gives of each (number of the type, type, id): which are there takes one statement."""
    rows = connection.execute(
        "SELECT named.key, r.key, r.version, r.first_recorded, r.indexed, r.event FROM json_each(?) AS named"
        " CROSS JOIN resource AS r ON r.type = CAST(named.value ->> 0 AS BIGINT) AND r.id = named.value ->> 1",
        (json.dumps([(type_key, id_) for type_key, _, id_ in names]),),
    )
    found = {place: row for place, *row in rows}
    for place, (_, type_, id_) in enumerate(names):
        yield _current(connection, type_, id_, *found[place]) if place in found else None


def _current(
    connection: Connection,
    type_: str,
    id_: str,
    key: int,
    version: int,
    first: int,
    indexed: int,
    event: int | None,
) -> Current:
    found = connection.execute(
        "SELECT recorded, operation, opened(content, key), patients, commitment, opening, salt FROM version"
        " WHERE key = ?",
        (row_key(key, version),),
    ).get
    recorded, *rest = found
    return Current(key, indexed, version_of(type_, id_, (row_key(key, version), recorded, first, *rest)), event)


def vread(connection: Connection, type_: str, id_: str, version: int) -> Version | None:
    """Return one version."""
    if not 0 < version <= MASK:
        return None
    sql = f"SELECT {_COLUMNS} FROM resource r JOIN version v ON v.key = ((r.key << {VERSION_BITS}) | ?3)"  # noqa: S608  constants
    row = connection.execute(sql + _OF, (type_, id_, version)).fetchone()
    return None if row is None else version_of(type_, id_, row)


def history(connection: Connection, type_: str, id_: str, before: int | None, count: int) -> tuple[Version, ...]:
    """Return versions below `before`, newest first."""
    limit = MASK + 1 if before is None else max(min(before, MASK + 1), 0)
    rows = connection.execute(
        f"{_ANY} AND v.key < (r.key << {VERSION_BITS}) + ?3 {_OF} ORDER BY v.key DESC LIMIT ?4",
        (type_, id_, limit, max(count, 0)),
    )
    return tuple(version_of(type_, id_, row) for row in rows)


def current_by_key(connection: Connection, type_: str, key: int) -> Version:
    """Return the current version of a resource that is known to exist, by its key."""
    row = connection.execute(
        f"SELECT {_COLUMNS}, r.id FROM resource r JOIN version v ON v.key = ((r.key << {VERSION_BITS}) | r.version)"  # noqa: S608  constants
        " WHERE r.key = ?",
        (key,),
    ).fetchone()
    assert row is not None
    return version_of(type_, row[9], row)


def current_by_keys(connection: Connection, type_: str, keys: Sequence[int]) -> tuple[Version, ...]:
    """Return the current versions of resources that are known to exist, in the order of their keys as given."""
    if not keys:
        return ()
    rows = connection.execute(
        f"SELECT {_COLUMNS}, r.id FROM resource r JOIN version v ON v.key = ((r.key << {VERSION_BITS}) | r.version)"  # noqa: S608  constants
        " WHERE r.key IN (SELECT value FROM json_each(?))",
        (connection.array(keys),),
    )
    found = {row[0] >> VERSION_BITS: version_of(type_, row[9], row) for row in rows}
    return tuple(found[key] for key in keys)


def spoken_of(connection: Connection, type_: str, id_: str) -> tuple[Version, ...]:
    """Return the Provenances of messages that spoke of a resource which is another one's by now, oldest first."""
    keys: list[tuple[Any, ...]] = connection.execute(
        "SELECT f.resource FROM reference AS f CROSS JOIN resource AS r ON r.key = f.resource AND r.deleted = 0"
        " WHERE f.parameter = (SELECT key FROM symbol WHERE text = ?) AND f.value = ?"
        " AND f.type = (SELECT key FROM symbol WHERE text = ?) ORDER BY f.resource",
        (NAMED_AS, id_, type_),
    ).fetchall()
    return current_by_keys(connection, "Provenance", [row[0] for row in keys])


def present(connection: Connection, type_: str) -> tuple[Version, ...]:
    """Return the current version of every resource of a type that is not deleted."""
    keys: list[tuple[Any, ...]] = connection.execute(
        "SELECT key FROM resource WHERE type = (SELECT key FROM symbol WHERE text = ?) AND deleted = 0 ORDER BY key",
        (type_,),
    ).fetchall()
    return current_by_keys(connection, type_, [row[0] for row in keys])


def version_of(type_: str, id_: str, row: Any) -> Version:
    """Return a row of this module's columns as a value."""
    key, recorded, first, operation, content, patients, commitment, opening, salt = row[:9]
    return Version(
        type=type_,
        id=id_,
        version=key & MASK,
        last_updated=instant(recorded),
        first_recorded=instant(first),
        operation=Operation(operation),
        content=content,
        patients=tuple(patients.split()),
        commitment=commitment,
        opening=opening,
        salt=salt,
    )
