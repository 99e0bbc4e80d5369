"""Where codes stand: which locations may be named with what stands there in a list of codes that nothing maps.

A list of work is read by more people than a message is. What a result says (OBX-5), dates, numbers, names and free text
are no codes, whatever a sender writes there; and what MSH says is the standard's own, not a site's to map.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hawsepipe_hl7v2 import reference

_PLACE = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})(?:\[[0-9]+\])?-(?P<field>[0-9]+)(?:\[[0-9]+\])?(?:\.(?P<part>[0-9]+))?(?:\.[0-9]+)?",
    re.ASCII,
)
_CONCEPTS = frozenset({"CE", "CF", "CNE", "CWE"})
_CODE_PARTS = frozenset({0, 1, 3, 4, 6, 10, 12})
"""Of a concept: codes and their systems (CWE.2, CWE.5 and CWE.9 are free text)."""

_CODES = _CONCEPTS | {"HD", "ID", "IS"}
"""Data types whose content is a code of a table, or the name of an authority."""

_FORMS = ("2.5.1", "2.8.2")
"""Versions that are asked, in this order, so that fields withdrawn and fields added are both known."""

_NEVER = frozenset({"MSH", "FHS", "BHS", "NTE"})


@lru_cache(maxsize=4096)
def coded(location: str) -> bool:
    """Whether a code stands at a v2 location (`PID-16.1`, `OBR[2]-4`); fields of a site's own segments count."""
    place = _PLACE.fullmatch(location)
    if place is None or place["segment"] in _NEVER:
        return False
    if place["segment"].startswith("Z"):
        return True
    for version in _FORMS:
        segment = reference.segment(version, place["segment"])
        number = int(place["field"]) - 1
        if segment is not None and 0 <= number < len(segment.children):
            type_ = segment.children[number].type
            part = int(place["part"] or 0)
            if type_ in _CONCEPTS:
                return part in _CODE_PARTS
            return type_ in _CODES or _part(version, type_, part or 1)
    return False


def _part(version: str, type_: str, number: int) -> bool:
    """Whether a component of a composite is a code."""
    composite = reference.datatype(version, type_) if type_ else None
    parts = composite.children if composite is not None else ()
    return 0 < number <= len(parts) and parts[number - 1].type in _CODES
