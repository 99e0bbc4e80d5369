"""What comes beside the matches of a page: `_include` and `_revinclude`, in the same snapshot and as visible."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.query import Include
from hawsepipe.model import Version
from hawsepipe.store.sql import versions
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.formulas import visibility_condition
from hawsepipe.store.sql.indexing import parameter_symbol
from hawsepipe.visibility import Visibility

MOST: Final = 20_000
"""Resources beside one page."""

_FORWARD: Final = """
SELECT DISTINCT r.key, t.text FROM (SELECT value FROM json_each(:keys)) k
  CROSS JOIN reference l ON l.resource = k.value
  CROSS JOIN resource r ON r.type = l.type AND r.id = l.value
  CROSS JOIN symbol t ON t.key = r.type
WHERE l.parameter IN (SELECT key FROM symbol WHERE text IN (SELECT value FROM json_each(:parameters)))
  AND r.deleted = 0 AND (CAST(:target AS TEXT) IS NULL OR t.text = :target)
"""
_BACKWARD: Final = """
SELECT DISTINCT r.key, t.text FROM (SELECT value FROM json_each(:keys)) k
  CROSS JOIN resource m ON m.key = k.value
  CROSS JOIN (SELECT key FROM symbol WHERE text IN (SELECT value FROM json_each(:parameters))) p ON TRUE
  CROSS JOIN reference l INDEXED BY reference_value ON l.parameter = p.key AND l.value = m.id AND l.type = m.type
  CROSS JOIN resource r ON r.key = l.resource
  CROSS JOIN symbol t ON t.key = r.type
WHERE r.deleted = 0
  AND (CAST(:target AS TEXT) IS NULL OR m.type = (SELECT key FROM symbol WHERE text = :target))
"""


def included(
    connection: Connection, includes: Sequence[Include], matches: Collection[int], visibility: Visibility
) -> tuple[Version, ...]:
    """Return what is included with matches by their keys, each once, in the order of types and keys.

    Raises InvalidRequest for more than a page may bring.
    """
    if not includes or not matches:
        return ()
    known: dict[int, str] = {}
    beside = set(matches)
    fresh: Collection[int] = matches
    asked = includes
    while fresh and asked:
        found: dict[int, str] = {}
        for include in asked:
            for key, type_ in _related(connection, include, fresh):
                if key not in beside:
                    found[key] = type_
        new = _visible(connection, found, visibility)
        known |= new
        beside |= set(new)
        if len(known) > MOST:
            raise InvalidRequest(f"more than {MOST} resources are included with one page", location="_include")
        fresh = new
        asked = [include for include in includes if include.iterate]
    by_type: dict[str, list[int]] = {}
    for key, type_ in sorted(known.items()):
        by_type.setdefault(type_, []).append(key)
    return tuple(
        version for type_ in sorted(by_type) for version in versions.current_by_keys(connection, type_, by_type[type_])
    )


def _related(connection: Connection, include: Include, keys: Collection[int]) -> Sequence[tuple[int, str]]:
    names = [parameter_symbol(type_, code) for type_, code in include.parameters]
    bound = {"keys": connection.array(keys), "parameters": connection.array(names), "target": include.target}
    rows = connection.execute(_BACKWARD if include.reverse else _FORWARD, bound)
    return [(int(key), str(type_)) for key, type_ in rows]


def _visible(connection: Connection, found: dict[int, str], visibility: Visibility) -> dict[int, str]:
    seen: dict[int, str] = {}
    for type_ in sorted(set(found.values())):
        bindings = connection.bindings()
        condition = visibility_condition(visibility, type_, bindings)
        if condition is False:
            continue
        keys = bindings.keys(key for key, held in found.items() if held == type_)
        where = f"WHERE {condition}" if isinstance(condition, str) else ""
        rows = connection.execute(
            f"SELECT r.key FROM {keys} CROSS JOIN resource r ON r.key = k.value {where}",  # noqa: S608  bound
            bindings.values,
        )
        seen |= {row[0]: type_ for row in rows}
    return seen
