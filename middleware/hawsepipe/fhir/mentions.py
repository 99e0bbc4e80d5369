"""What a reference says of its target besides the id: `display` and `identifier`, taken off and put back.

Only references to resources here count: relative ones and those below `base`. Contained resources and extensions are
gone through as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from hawsepipe.fhir.references import parse
from hawsepipe.model import Resource

SAYING: Final = ("display", "_display", "identifier")
"""The elements of a Reference that say something of its target."""

# A Reference has "reference" and one of the others, and between them what is in no deeper object, or the end of one.
_PLAIN: Final = rb'(?:"(?:[^"\\]|\\.)*"|[^{}"])*'
_LIKELY: Final = re.compile(
    rb'"reference"\s*:' + _PLAIN + rb'"_?(?:display|identifier)"\s*:'
    rb'|"_?display"\s*:' + _PLAIN + rb'"reference"\s*:'
    rb"|\}" + _PLAIN + rb'"reference"\s*:'
)
_SAID: Final = re.compile(rb'"_?(?:display|identifier)"\s*:')


def likely(content: bytes) -> bool:
    """Say whether a resource's JSON may hold a reference that says something; False is certain."""
    if b'"reference"' not in content or _SAID.search(content) is None:
        return False
    return _LIKELY.search(content) is not None


def mentioned(resource: Resource, base: str) -> frozenset[str]:
    """Return the resources here (`Type/id`) that references say something of."""
    return frozenset(target for target, _ in _saying(resource, base))


def stripped(resource: Resource, hidden: Collection[str], base: str) -> Resource:
    """Return the resource with nothing but the bare reference to each of `hidden`; itself if there is none."""
    changed: Resource = _stripped(resource, hidden, base)
    return changed


def restored(resource: Resource, before: Resource, hidden: Collection[str], base: str) -> Resource:
    """Return the resource with what references of `before` said of `hidden`, where it refers to them by bare id.

    Whoever was shown bare ids and sends them back means no change.
    """
    said: dict[str, dict[str, Any]] = {}
    for target, node in _saying(before, base):
        if target in hidden:
            said.setdefault(target, {key: node[key] for key in SAYING if key in node})
    if not said:
        return resource
    changed: Resource = _restored(resource, said, base)
    return changed


def _target(node: dict[str, Any], base: str) -> str | None:
    literal = node.get("reference")
    if not isinstance(literal, str):
        return None
    found = parse(literal, base)
    return None if found.id is None else f"{found.type}/{found.id}"


def _saying(node: Any, base: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "reference" in node and any(key in node for key in SAYING):
            target = _target(node, base)
            if target is not None:
                yield target, node
        for child in node.values():
            if isinstance(child, dict | list):
                yield from _saying(child, base)
    else:
        for child in node:
            if isinstance(child, dict | list):
                yield from _saying(child, base)


def _stripped(node: Any, hidden: Collection[str], base: str) -> Any:
    if isinstance(node, list):
        items = [_stripped(child, hidden, base) if isinstance(child, dict | list) else child for child in node]
        return items if any(new is not old for new, old in zip(items, node, strict=True)) else node
    dropped: Collection[str] = ()
    if "reference" in node and _target(node, base) in hidden:
        dropped = SAYING
    found = {
        key: _stripped(child, hidden, base) if isinstance(child, dict | list) else child
        for key, child in node.items()
        if key not in dropped
    }
    same = len(found) == len(node) and all(found[key] is node[key] for key in found)
    return node if same else found


def _restored(node: Any, said: Mapping[str, Mapping[str, Any]], base: str) -> Any:
    if isinstance(node, list):
        return [_restored(child, said, base) if isinstance(child, dict | list) else child for child in node]
    found = {
        key: _restored(child, said, base) if isinstance(child, dict | list) else child for key, child in node.items()
    }
    if "reference" in node and not any(key in node for key in SAYING):
        found |= said.get(_target(node, base) or "", {})
    return found
