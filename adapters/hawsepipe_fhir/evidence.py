"""Which version of FHIR a body at a feed's door is in: by its media type, by the feed, by what it says, by its shape.

https://hl7.org/fhir/R4/versioning.html#mt-version. Nothing is guessed: where two readings of a body would give two
different R4 resources, its sender has to say which one is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import hawsepipe
from hawsepipe import MessageError, Resource
from hawsepipe_fhir import detection
from hawsepipe_fhir.conversion import convert

CONTRADICTION = "fhirVersion"
"""The location of a refusal for a version that contradicts another one."""


def version_of(body: Resource, told: str | None, fixed: str | None) -> str:
    """Return the version of a body. `told` is the media type's, `fixed` the feed's own; None when there is none.

    Raises MessageError when two of media type, feed and content name different versions, and when there is no telling.
    """
    stated = set(_stated(body))
    if told is not None and fixed is not None and told != fixed:
        raise MessageError("structure", CONTRADICTION, "the media type names another version of FHIR than this feed's")
    known = told or fixed
    if len(stated) > 1 or (known is not None and stated and known not in stated):
        raise MessageError("structure", CONTRADICTION, "the resources state another version of FHIR than was said")
    return known or (stated.pop() if stated else _shaped(body))


def _stated(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the versions that a resource, and those in its entries, state of themselves."""
    own = detection.stated(body)
    if own is not None:
        yield own
    entries = body.get("entry") if body.get("resourceType") == "Bundle" else None
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, Mapping) else None
        if isinstance(resource, Mapping):
            yield from _stated(resource)


def _shaped(body: Resource) -> str:
    """Return the version that knows all elements of a body; of several the first if all mean the same in R4.

    A body with elements that no version has is taken for the one that knows most of them, if it is one alone.
    """
    strange = detection.strangers(body)
    least = min(strange.values())
    candidates = [version for version, count in strange.items() if count == least]
    if len(candidates) == 1:
        return candidates[0]
    if least == 0:
        readings = {hawsepipe.encode(_canonical(convert(body, version).resource)) for version in candidates}
        if len(readings) == 1:
            return candidates[0]
    names = ", ".join(version.upper() for version in candidates)
    text = f"the version of FHIR cannot be told (it could be {names}); say it in the media type: fhirVersion=4.0"
    raise MessageError("structure", CONTRADICTION, text)


def _canonical(value: Any) -> Any:
    """Return a value with its keys in order and nothing empty in it."""
    if isinstance(value, dict):
        held = {key: _canonical(value[key]) for key in sorted(value)}
        return {key: part for key, part in held.items() if part not in ({}, [])}
    return [_canonical(item) for item in value] if isinstance(value, list) else value
