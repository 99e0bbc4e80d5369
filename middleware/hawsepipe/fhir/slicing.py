"""Which slice of a profile an item belongs to: https://hl7.org/fhir/R4/profiling.html#discriminator"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hawsepipe.fhir.profiles import Node, objects

_SIMPLE: Final = re.compile(r"(\$this|[A-Za-z]+(\[x\])?)(\.(ofType\([A-Za-z]+\)|[A-Za-z]+))*")
_OF_TYPE: Final = re.compile(r"\.ofType\(([A-Za-z])([A-Za-z]*)\)")
_KINDS: Final = frozenset({"value", "pattern", "exists", "type", "profile"})

Conforms = Callable[[str, Any], bool | None]
"""Says whether an object conforms to a profile by its address; None when the profile is not known."""


@dataclass(frozen=True, slots=True)
class Discriminator:
    """How slices differ: by the value, pattern, existence, type or profile at a path. `known`: it can be followed."""

    kind: str
    path: str

    @property
    def known(self) -> bool:
        """Whether this discriminator is understood here."""
        return self.kind in _KINDS and _SIMPLE.fullmatch(self.path) is not None and "resolve" not in self.path


def discriminators(node: Node) -> list[Discriminator]:
    """Return what the slices of an element differ by: of a choice of types, the type, unless it says otherwise."""
    slicing = node.definition.get("slicing")
    listed = objects(slicing.get("discriminator")) if isinstance(slicing, dict) else []
    found = [Discriminator(str(it.get("type")), str(it.get("path", "$this"))) for it in listed]
    if found:
        return found
    if node.name.endswith("[x]"):
        return [Discriminator("type", "$this")]
    return [Discriminator("value", "url")] if node.name in {"extension", "modifierExtension"} else []


def matches(one: Node, by: Sequence[Discriminator], key: str, item: Any, conforms: Conforms) -> bool:
    """Say whether an item is in a slice: every discriminator says so. `key` is the item's in JSON."""
    return bool(by) and all(_matches(one, it, key, item, conforms) for it in by)


def _matches(one: Node, by: Discriminator, key: str, item: Any, conforms: Conforms) -> bool:
    path = _OF_TYPE.sub(lambda match: match[1].upper() + match[2], by.path)
    found = list(_at(item, path))
    node = one.at(path)
    match by.kind:
        case "exists":
            wanted = node is None or node.maximum != 0
            return bool(found) == wanted
        case "type":
            return _of_type(one if node is None else node, key, found)
        case "profile":
            wanted_here = [url for it in (node or one).types for url in it.get("profile", ())]
            return any(conforms(url, value) is True for url in wanted_here for value in found)
    urls = _extension_urls(one)
    if path == "url" and urls and (node is None or not _states(node)):
        return any(value in urls for value in found)
    if node is None or not _states(node):
        # The value may be stated above the place that the discriminator names (a pattern of the whole).
        return _states(one) and agrees(one, item)
    return any(agrees(node, value) for value in found)


def agrees(node: Node, value: Any) -> bool:
    """Say whether a value has what a node and those below it fix."""
    fixed, pattern = node.stated("fixed"), node.stated("pattern")
    if (fixed is not None and value != fixed) or (pattern is not None and not fits_pattern(value, pattern)):
        return False
    for child in node.children.values():
        if _states(child) and not (
            isinstance(value, Mapping) and any(agrees(child, it) for _, it, _ in items(value, child.name))
        ):
            return False
    return True


def items(parent: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any, int | None]]:
    """Yield (key, value, place in a list) of an element; of a primitive that has extensions alone its extensions."""
    prefix = name.removesuffix("[x]")
    keys = dict.fromkeys(key.removeprefix("_") for key in parent)
    for key in keys:
        if key != name and not (name.endswith("[x]") and key.startswith(prefix) and key[len(prefix) :][:1].isupper()):
            continue
        value = parent.get(key, parent.get(f"_{key}"))
        if isinstance(value, list):
            yield from ((key, item, number) for number, item in enumerate(value))
        else:
            yield key, value, None


def fits_pattern(value: Any, pattern: Any) -> bool:
    """Say whether a value has all that a pattern has (https://hl7.org/fhir/R4/elementdefinition.html)."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(fits_pattern(value.get(key), held) for key, held in pattern.items())
    if isinstance(pattern, list):
        listed = value if isinstance(value, list) else []
        return all(any(fits_pattern(item, one) for item in listed) for one in pattern)
    return bool(value == pattern)


def _states(node: Node) -> bool:
    own = node.stated("fixed") is not None or node.stated("pattern") is not None
    return own or any(_states(child) for child in node.children.values())


def _extension_urls(one: Node) -> set[str]:
    return {url.partition("|")[0] for it in one.types if it.get("code") == "Extension" for url in it.get("profile", ())}


def _of_type(node: Node, key: str, found: Sequence[Any]) -> bool:
    types = {str(it.get("code")) for it in node.types}
    if node.name.endswith("[x]"):
        return any(key == node.name[:-3] + it[:1].upper() + it[1:] for it in types)
    return any(isinstance(value, dict) and value.get("resourceType") in types for value in found)


def _at(value: Any, path: str) -> Iterator[Any]:
    if path == "$this":
        yield value
        return
    head, _, rest = path.partition(".")
    if not isinstance(value, dict):
        return
    for name, held in value.items():
        chosen = name == head or (name.startswith(head) and name[len(head) :][:1].isupper() and head not in value)
        for item in (held if isinstance(held, list) else [held]) if chosen else ():
            yield from _at(item, rest or "$this")
