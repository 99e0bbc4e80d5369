"""Concept maps: https://hl7.org/fhir/R4/conceptmap.html, https://hl7.org/fhir/R4/conceptmap-operation-translate.html"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hawsepipe.model import Resource

_NONE: Final = frozenset({"unmatched", "disjoint"})
_TURNED: Final = {"wider": "narrower", "subsumes": "specializes", "narrower": "wider", "specializes": "subsumes"}


@dataclass(frozen=True, slots=True)
class Match:
    """What a code is in another system: how near it is (R4 concept-map-equivalence), and which map says so."""

    equivalence: str
    system: str | None
    code: str | None
    display: str | None
    source: str
    products: tuple[Mapping[str, Any], ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it says that there is a counterpart rather than that there is none."""
        return self.equivalence not in _NONE and self.code is not None


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be translated: `target` limits the systems; `reverse` asks which codes lead to this one."""

    codes: Sequence[tuple[str | None, str]]
    target: str | None = None
    reverse: bool = False


def translate(concept_map: Resource, question: Question) -> list[Match]:
    """Return what a map says of a code, in its order."""
    found: list[Match] = []
    url = str(concept_map.get("url") or f"ConceptMap/{concept_map.get('id', '')}")
    for group in _objects(concept_map.get("group")):
        source, target = group.get("source"), group.get("target")
        if question.reverse:
            source, target = target, source
        if question.target is not None and target != question.target:
            continue
        codes = [code for system, code in question.codes if system is None or system == source]
        for code in dict.fromkeys(codes):
            matches = _backward(group, code) if question.reverse else _forward(group, code)
            found += [Match(it[0], target, it[1], it[2], url, it[3]) for it in matches]
    return list(dict.fromkeys(found)) if all(not it.products for it in found) else found


_Found = tuple[str, str | None, str | None, tuple[Mapping[str, Any], ...]]


def _forward(group: Mapping[str, Any], code: str) -> list[_Found]:
    elements = [it for it in _objects(group.get("element")) if it.get("code") == code]
    if not elements:
        return list(_unmapped(group, code))
    return [
        (str(it.get("equivalence")), it.get("code"), it.get("display"), tuple(_objects(it.get("product"))))
        for element in elements
        for it in _objects(element.get("target"))
    ]


def _backward(group: Mapping[str, Any], code: str) -> list[_Found]:
    found: list[_Found] = []
    for element in _objects(group.get("element")):
        for target in _objects(element.get("target")):
            if target.get("code") == code:
                equivalence = str(target.get("equivalence"))
                found.append((_TURNED.get(equivalence, equivalence), element.get("code"), element.get("display"), ()))
    return found


def _unmapped(group: Mapping[str, Any], code: str) -> Iterator[_Found]:
    """Yield what holds for codes that a group does not name. A further map is not followed."""
    unmapped = group.get("unmapped")
    mode = unmapped.get("mode") if isinstance(unmapped, dict) else None
    if isinstance(unmapped, dict) and mode == "provided":
        yield "equal", code, None, ()
    elif isinstance(unmapped, dict) and mode == "fixed":
        yield "inexact", unmapped.get("code"), unmapped.get("display"), ()


def _objects(value: Any) -> list[dict[str, Any]]:
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []
