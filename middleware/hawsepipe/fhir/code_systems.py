"""Code systems as values: concepts, what is said of them, and which is a kind of which.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hawsepipe.fhir.definitions import Definitions
from hawsepipe.model import Resource

_UPWARD: Final = frozenset({"parent", "subsumedBy"})
_HIERARCHIES: Final = frozenset({"is-a", None})
"""Meanings of a hierarchy by which a concept is a kind of the one above; most code systems do not say."""

_INACTIVE: Final = frozenset({"retired", "inactive", "deprecated"})


@dataclass(frozen=True, slots=True)
class Concept:
    """One code. `parents` are the codes that it is directly a kind of; `properties` and `designations` are as they
    stand in the resource.
    """

    code: str
    display: str | None = None
    definition: str | None = None
    parents: tuple[str, ...] = ()
    properties: tuple[Mapping[str, Any], ...] = ()
    designations: tuple[Mapping[str, Any], ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of a property as texts, a Coding by its code."""
        return tuple(_text(it) for it in self.properties if it.get("code") == name)

    @property
    def abstract(self) -> bool:
        """Whether it is there to hold others and is not to be chosen."""
        return "true" in self.values("notSelectable")

    @property
    def inactive(self) -> bool:
        """Whether it is not to be used any more."""
        return "true" in self.values("inactive") or not _INACTIVE.isdisjoint(self.values("status"))


@dataclass(frozen=True)
class CodeSystem:
    """A code system. `complete`: it has no other codes than these. `concepts` are in the order of the resource."""

    url: str
    concepts: Mapping[str, Concept]
    version: str | None = None
    name: str | None = None
    complete: bool = True
    case_sensitive: bool = True
    _folded: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def find(self, code: str) -> Concept | None:
        """Return a concept, whatever its case where the system does not heed it."""
        found = self.concepts.get(code)
        if found is None and not self.case_sensitive:
            if not self._folded:
                self._folded.update((name.casefold(), name) for name in self.concepts)
            found = self.concepts.get(self._folded.get(code.casefold(), ""))
        return found

    @functools.cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """The codes directly below each code, in order."""
        found: dict[str, list[str]] = {}
        for concept in self.concepts.values():
            for parent in concept.parents:
                found.setdefault(parent, []).append(concept.code)
        return {code: tuple(below) for code, below in found.items()}

    def above(self, code: str) -> frozenset[str]:
        """Return every code that this one is a kind of, itself left out."""
        return frozenset(_walk(code, lambda it: self.concepts[it].parents if it in self.concepts else ()))

    def below(self, code: str) -> frozenset[str]:
        """Return every code that is a kind of this one, itself left out."""
        return frozenset(_walk(code, lambda it: self.children.get(it, ())))


def code_system(resource: Resource) -> CodeSystem:
    """Read a CodeSystem resource."""
    kind_of = resource.get("hierarchyMeaning") in _HIERARCHIES
    concepts: dict[str, Concept] = {}
    _read(resource.get("concept"), None, kind_of, concepts)
    if kind_of:
        _join(concepts)
    return CodeSystem(
        url=str(resource.get("url", "")),
        concepts=concepts,
        version=resource.get("version"),
        name=resource.get("title") or resource.get("name"),
        complete=resource.get("content") == "complete",
        case_sensitive=resource.get("caseSensitive") is not False,
    )


def of_r4(definitions: Definitions) -> dict[str, CodeSystem]:
    """Return the code systems whose codes are among R4's own tables: without displays, and complete for all we know
    only where there is a hierarchy.
    """
    found: dict[str, CodeSystem] = {}
    for url, parents in definitions.hierarchies.items():
        concepts = {code: Concept(code, parents=tuple(above)) for code, above in parents.items()}
        found[url] = CodeSystem(url, concepts)
    codes: dict[str, set[str]] = {}
    for systems in definitions.value_sets.values():
        for url, listed in systems.items():
            codes.setdefault(url, set()).update(listed)
    for url, known in codes.items():
        if url not in found:
            found[url] = CodeSystem(url, {code: Concept(code) for code in sorted(known)}, complete=False)
    return found


def _read(listed: Any, above: str | None, kind_of: bool, found: dict[str, Concept]) -> None:
    for item in listed if isinstance(listed, list) else ():
        if not isinstance(item, dict) or not isinstance(item.get("code"), str):
            continue
        properties = tuple(it for it in item.get("property", ()) if isinstance(it, dict))
        stated = [_text(it) for it in properties if it.get("code") in _UPWARD]
        parents = dict.fromkeys([*([above] if above is not None else []), *stated] if kind_of else [])
        found[item["code"]] = Concept(
            item["code"],
            item.get("display"),
            item.get("definition"),
            tuple(parents),
            properties,
            tuple(it for it in item.get("designation", ()) if isinstance(it, dict)),
        )
        _read(item.get("concept"), item["code"], kind_of, found)


def _join(concepts: dict[str, Concept]) -> None:
    """Add the parents that are told by `child` properties."""
    for concept in list(concepts.values()):
        for child in concept.values("child"):
            held = concepts.get(child)
            if held is not None and concept.code not in held.parents:
                concepts[child] = replace(held, parents=(*held.parents, concept.code))


def _walk(code: str, following: Callable[[str], Iterable[str]]) -> Iterator[str]:
    seen = {code}
    waiting = [code]
    while waiting:
        for other in following(waiting.pop()):
            if other not in seen:
                seen.add(other)
                waiting.append(other)
                yield other


def _text(item: Mapping[str, Any]) -> str:
    value = next((value for key, value in item.items() if key.startswith("value")), "")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code", "")) if isinstance(value, dict) else str(value)
