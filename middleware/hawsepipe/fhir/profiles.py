"""Profiles as trees: https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/structuredefinition.html

A profile's elements (its snapshot, or its differential where it has none) become nodes below each other, slices beside
the element that they are slices of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hawsepipe.model import Resource

_MOST: Final = 5_000
"""Elements of a profile that are read."""


@dataclass(slots=True)
class Node:
    """An element of a profile, or a slice of one. `name` is the last part of its path (`value[x]`), `definition` the
    ElementDefinition, empty for one that the profile does not state.
    """

    name: str
    slice: str | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    slices: list[Node] = field(default_factory=list)

    @property
    def minimum(self) -> int:
        """How often the element has to be there."""
        found = self.definition.get("min", 0)
        return found if isinstance(found, int) else 0

    @property
    def maximum(self) -> int | None:
        """How often it may be there; None without a bound."""
        text = str(self.definition.get("max", "*"))
        return int(text) if text.isdigit() else None

    @property
    def types(self) -> list[dict[str, Any]]:
        """The types that it may have; none: whatever the base says."""
        return objects(self.definition.get("type"))

    def stated(self, prefix: str) -> Any:
        """Return the value of `fixed[x]` or `pattern[x]`, None without one."""
        return next((value for key, value in self.definition.items() if _typed(key, prefix)), None)

    def at(self, path: str) -> Node | None:
        """Return the node at a simple path below (`code.coding.system`), None where the profile states none."""
        node: Node | None = self
        for part in path.split("."):
            if node is None or part in {"", "$this"}:
                continue
            node = node.children.get(part) or node.children.get(f"{part}[x]")
        return node


@dataclass(frozen=True, slots=True)
class Profile:
    """One StructureDefinition: its address, what it constrains, and the tree. `base` is what it was derived from where
    only the differential is stated, so that the base's own constraints hold too.
    """

    url: str
    type: str
    root: Node
    base: str | None


def profile(resource: Resource) -> Profile:
    """Read a StructureDefinition."""
    snapshot = objects(_objects_of(resource, "snapshot"))
    listed = snapshot or objects(_objects_of(resource, "differential"))
    kind = str(resource.get("type", ""))
    root = Node(kind)
    at: dict[str, Node] = {kind: root}
    for element in listed[:_MOST]:
        path = element.get("path")
        if isinstance(path, str):
            _place(at, path, element)
    base = None if snapshot else resource.get("baseDefinition")
    return Profile(str(resource.get("url", "")), kind, root, base if isinstance(base, str) else None)


def _place(at: dict[str, Node], path: str, element: Mapping[str, Any]) -> None:
    above, _, name = path.rpartition(".")
    if not above:
        at[path].definition = element
        return
    if above not in at:
        _place(at, above, {})
    parent = at[above]
    base = parent.children.setdefault(name, Node(name))
    slice_name = element.get("sliceName")
    if isinstance(slice_name, str):
        node = Node(name, slice_name, element)
        base.slices.append(node)
    else:
        node = base
        node.definition = element or node.definition
    for deeper in [it for it in at if it.startswith(f"{path}.")]:
        del at[deeper]
    at[path] = node


def nodes(root: Node) -> Iterator[Node]:
    """Yield a node with everything below it."""
    yield root
    for below in (*root.children.values(), *root.slices):
        yield from nodes(below)


def bindings(root: Node) -> set[str]:
    """Return the addresses of the value sets that a profile binds to as required."""
    found = (node.definition.get("binding") for node in nodes(root))
    return {
        it["valueSet"]
        for it in found
        if isinstance(it, dict) and it.get("strength") == "required" and isinstance(it.get("valueSet"), str)
    }


def profiles_named(root: Node) -> set[str]:
    """Return the addresses of the profiles that elements have to conform to."""
    return {url for node in nodes(root) for it in node.types for url in it.get("profile", ()) if isinstance(url, str)}


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []


def _objects_of(resource: Resource, name: str) -> Any:
    held = resource.get(name)
    return held.get("element") if isinstance(held, dict) else None


def _typed(key: str, prefix: str) -> bool:
    rest = key.removeprefix(prefix)
    return rest != key and rest[:1].isupper()
