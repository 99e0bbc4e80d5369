"""Compares a record of a source with what is stored of it, leaf by leaf. Pure.

What a load changes on purpose is left out: the id, `meta` but for its profiles, and references, which are told apart so
that each can be followed. A Consent's scope is withheld until somebody takes it over.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple

from hawsepipe.fhir import contents
from hawsepipe.model import Resource

_WITHHELD: Final = "scope"
_BESIDE: Final = frozenset({"data", "_data", "url", "size", "hash"})
"""What is told of a content: with one that is kept apart the store fills in what the source leaves out."""


class Difference(NamedTuple):
    """A path at which the two do not agree. No values: they are patient data."""

    path: str
    how: str


class Reference(NamedTuple):
    """A reference of the source and what is stored in its place."""

    path: str
    source: str
    stored: str


def compared(source: Resource, stored: Resource) -> tuple[list[Difference], list[Reference]]:
    """Return where two resources differ, and the references of both where they are at the same place."""
    ours, theirs = dict(leaves(_told(source))), dict(leaves(_told(stored)))
    found: list[Difference] = []
    references: list[Reference] = []
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in theirs:
            found.append(Difference(path, "is not in the record"))
        elif path not in ours:
            found.append(Difference(path, "is not in the source"))
        elif path.endswith(".reference"):
            references.append(Reference(path, str(ours[path]), str(theirs[path])))
        elif repr(ours[path]) != repr(theirs[path]):
            found.append(Difference(path, "is another value"))
    return found, references


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with its path (`name[0].family`)."""
    if isinstance(value, dict):
        for key, held in value.items():
            yield from leaves(held, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, held in enumerate(value):
            yield from leaves(held, f"{path}[{index}]")
    else:
        yield path, value


def _told(resource: Resource) -> Resource:
    resource = _digested(resource)
    left = {key: value for key, value in resource.items() if key not in ("id", "meta")}
    if resource.get("resourceType") == "Consent":
        left = {key: value for key, value in left.items() if key != _WITHHELD}
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    return left | ({"meta": {"profile": profiles}} if profiles else {})


def _digested(node: Any) -> Any:
    """Return a resource with contents as their SHA-256, wherever they are kept, and without what is told beside them
    when they are kept apart.
    """
    if isinstance(node, list):
        return [_digested(child) for child in node]
    if not isinstance(node, dict):
        return node
    data, held = node.get("data"), contents.held_in(node)
    if held is not None:
        return {"data": held.sha256} | {key: _digested(it) for key, it in node.items() if key not in _BESIDE}
    if isinstance(data, str) and contents.holds_content(node):
        try:
            digest = sha256(b64decode("".join(data.split()), validate=True)).hexdigest()
        except ValueError:
            return node
        return {"data": digest} | {key: _digested(it) for key, it in node.items() if key not in _BESIDE}
    return {key: _digested(child) for key, child in node.items()}
