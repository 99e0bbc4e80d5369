"""JSON Merge Patch (RFC 7396) on resources: not among R4's patches, and what several clients send for one."""

from __future__ import annotations

from typing import Any

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import value_of
from hawsepipe.model import Resource


def parse(data: bytes) -> dict[str, Any]:
    """Return a patch document. Raises InvalidRequest for what is no object."""
    value = value_of(data)
    if type(value) is not dict:
        raise InvalidRequest("a JSON Merge Patch is an object")
    return value


def patched(resource: Resource, patch: dict[str, Any]) -> Resource:
    """Return the resource after the patch; it is not altered itself. A null takes away, a list replaces a list."""
    merged = dict(resource)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif type(value) is dict:
            held = merged.get(key)
            merged[key] = patched(held if type(held) is dict else {}, value)
        else:
            merged[key] = value
    return merged
