"""Content that is kept beside its resource: what stands in the place of `data` of an Attachment or a Binary.

`data` is left without a value and has an extension instead (https://hl7.org/fhir/R4/json.html#primitive), which names
the content by its SHA-256. It is part of what is committed to, so the content is anchored by it. Attachment.hash is
SHA-1 by definition (https://hl7.org/fhir/R4/datatypes.html#Attachment) and stays beside it for those who check that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from hawsepipe.fhir import codec
from hawsepipe.model import Resource

EXTENSION: Final = "urn:hawsepipe:extension:content"
"""On `data`: its parts are `sha256` (hex), `size` (bytes) and `proof`."""

_WRITTEN: Final = EXTENSION.encode()
_ATTACHMENT: Final = frozenset(
    {"id", "extension", "contentType", "language", "data", "url", "size", "hash", "title", "creation"}
)
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Held(NamedTuple):
    """A content that is kept elsewhere: `sha256` in hex, `size` in bytes, and the installation's `proof` that it put
    the content there itself. Whoever could name a content by its digest alone could read another one's.
    """

    sha256: str
    size: int
    proof: str


def element_of(held: Held, before: Any = None) -> Resource:
    """Return what stands as `_data`; other extensions of `before` stay."""
    parts = [
        {"url": "sha256", "valueString": held.sha256},
        {"url": "size", "valueDecimal": held.size},
        {"url": "proof", "valueString": held.proof},
    ]
    rest = without_mark(before) or {}
    return {**rest, "extension": [*rest.get("extension", ()), {"url": EXTENSION, "extension": parts}]}


def without_mark(element: Any) -> Resource | None:
    """Return a `_data` without the mark, None when nothing is left of it."""
    if not isinstance(element, dict):
        return None
    listed = element.get("extension")
    if not isinstance(listed, list):
        return element or None
    kept = [one for one in listed if not (isinstance(one, dict) and one.get("url") == EXTENSION)]
    rest = {name: value for name, value in element.items() if name != "extension"}
    return ({**rest, "extension": kept} if kept else rest) or None


def marked(element: Resource) -> bool:
    """Say whether an Attachment or Binary has a mark, readable or not."""
    data = element.get("_data")
    listed = data.get("extension") if isinstance(data, dict) else None
    return isinstance(listed, list) and any(isinstance(one, dict) and one.get("url") == EXTENSION for one in listed)


def held_in(element: Resource) -> Held | None:
    """Return what an Attachment or Binary says of its content; None when it has it, or has none."""
    if "data" in element or not marked(element):
        return None
    found = [one for one in element["_data"]["extension"] if isinstance(one, dict) and one.get("url") == EXTENSION]
    listed = found[0].get("extension")
    parts = {one.get("url"): one for one in listed if isinstance(one, dict)} if isinstance(listed, list) else {}
    sha256 = parts.get("sha256", {}).get("valueString")
    size = parts.get("size", {}).get("valueDecimal")
    proof = parts.get("proof", {}).get("valueString")
    if len(found) != 1 or not isinstance(sha256, str) or type(size) is not int or not isinstance(proof, str):
        return None
    return Held(sha256, size, proof) if _HEX.fullmatch(sha256) is not None and size >= 0 else None


def holds_content(node: Resource) -> bool:
    """Say whether an object is a Binary or an Attachment by its elements: a Signature and a SampledData, which have
    `data` too, cannot be without others that an Attachment does not have.
    """
    if node.get("resourceType") == "Binary":
        return True
    return all(name.removeprefix("_") in _ATTACHMENT for name in node)


def every(node: Any) -> Iterator[tuple[Resource, Held]]:
    """Yield each Attachment and Binary whose content is kept elsewhere, at any depth."""
    if isinstance(node, dict):
        if "_data" in node and holds_content(node):
            held = held_in(node)
            if held is not None:
                yield node, held
        for child in node.values():
            if isinstance(child, dict | list):
                yield from every(child)
    elif isinstance(node, list):
        for child in node:
            if isinstance(child, dict | list):
                yield from every(child)


def named(content: bytes) -> frozenset[str]:
    """Return the SHA-256 of each content that a version's JSON names. Most name none, which takes one look."""
    if _WRITTEN not in content:
        return frozenset()
    return frozenset(held.sha256 for _, held in every(codec.decode(content)))
