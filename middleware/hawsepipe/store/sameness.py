"""Whether two contents say the same: then a change makes no new version."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from hawsepipe.model import Resource

_SERVER_MADE = frozenset({"versionId", "lastUpdated"})


def same_content(one: Resource, other: Resource) -> bool:
    """Say whether two resources are equal but for `meta.versionId` and `meta.lastUpdated`.

    The order of keys does not count, that of lists does; numbers are equal when they are spelt alike (1.0 is not 1.00).
    """
    if one.keys() - {"meta"} != other.keys() - {"meta"}:
        return False
    if not _same(_meta(one), _meta(other)):
        return False
    return all(_same(value, other[key]) for key, value in one.items() if key != "meta")


def _meta(resource: Resource) -> dict[str, Any]:
    meta = resource.get("meta") or {}
    return {key: value for key, value in meta.items() if key not in _SERVER_MADE}


def _same(one: Any, other: Any) -> bool:
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is str:
        return bool(one == other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Decimal):
        return str(one) == str(other)
    if isinstance(one, msgspec.Raw):
        return bytes(one) == bytes(other)
    return bool(one == other)
