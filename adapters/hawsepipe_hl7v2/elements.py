"""Whether a path of a table names an element of R4 (`hawsepipe_schemas/r4/elements.json`)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from hawsepipe_schemas import load

_STEP = re.compile(r"(_?)([A-Za-z]\w*)(?:\[[^\]]*\])?(?:\.|$)")
_INLINE = frozenset({"BackboneElement", "Element"})


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = load("r4/elements.json")["facts"]
    return facts


def fault(resource: str, path: str) -> str | None:
    """Say what is wrong with a path in a resource type (`name[].family`, `extension[url].valueString`); None if
    nothing is."""
    if _facts().get(resource, {}).get("kind") != "resource":
        return f"R4 has no resource type {resource}"
    within, prefix, told = resource, "", resource
    for twin, name in _STEP.findall(path):
        found = _element(within, prefix + name)
        told = f"{told}.{name}"
        if found is None:
            return f"R4 has no element {told}"
        if twin:
            within, prefix = "Element", ""
        elif found in _INLINE:
            prefix += f"{name}."
        else:
            within, prefix = found, ""
    return None


def _element(type_: str, name: str) -> str | None:
    """Return the type of an element of a type or of what it is derived from; a choice by the name with its type."""
    current = type_
    while current and (entry := _facts().get(current)) is not None:
        elements = entry["elements"]
        if name in elements:
            # What repeats another element's content (`#contentReference`) is of its own type there.
            return str(elements[name][2][0])
        for choice in (key for key in elements if key.endswith("[x]")):
            stem = choice[:-3]
            for kind in elements[choice][2]:
                if name == f"{stem}{kind[0].upper()}{kind[1:]}":
                    return str(kind)
        current = entry["base"]
    return None
