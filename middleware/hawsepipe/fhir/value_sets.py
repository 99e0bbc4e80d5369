"""Value sets as what they contain: https://hl7.org/fhir/R4/valueset.html#compositions, #expansion

Pure: everything that a value set names is on the shelf before it is expanded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hawsepipe.errors import InvalidResource
from hawsepipe.fhir.code_systems import CodeSystem, Concept
from hawsepipe.model import Issue, Resource, Severity

_DEEPEST: Final = 32
_MOST_LOOKS: Final = 1_500_000
"""Value sets that may name each other in a row."""

_ANY: Final = "?fhir_vs"


@dataclass(frozen=True, slots=True)
class Member:
    """A concept in a value set, with what the value set itself says of its display and designations."""

    system: str
    concept: Concept
    version: str | None = None
    display: str | None = None
    designations: tuple[Mapping[str, Any], ...] = ()

    @property
    def shown(self) -> str | None:
        """The display."""
        return self.display or self.concept.display


@dataclass(slots=True)
class Shelf:
    """What is known: code systems and value sets by canonical address, with and without a version."""

    systems: dict[str, CodeSystem] = field(default_factory=dict)
    value_sets: dict[str, Resource] = field(default_factory=dict)


def names(value_set: Resource) -> tuple[list[str], list[str]]:
    """Return the addresses (`url`, `url|version`) of the code systems and value sets that a value set names."""
    systems: dict[str, None] = {}
    others: dict[str, None] = {}
    for part in (*_parts(value_set, "include"), *_parts(value_set, "exclude")):
        if isinstance(part.get("system"), str):
            systems[_address(part["system"], part.get("version"))] = None
        others.update((it, None) for it in part.get("valueSet", ()) if isinstance(it, str))
    return list(systems), list(others)


def implied(address: str) -> Resource | None:
    """Return a value set that is meant by an address alone: all of a code system, or what is a kind of a code.

    `[system]?fhir_vs` and `[system]?fhir_vs=isa/[code]`.
    """
    plain = address.partition("|")[0]
    system, mark, rest = plain.partition(_ANY)
    if not mark:
        return None
    part: dict[str, Any] = {"system": system}
    if mark and rest.startswith("=isa/"):
        part["filter"] = [{"property": "concept", "op": "is-a", "value": rest.removeprefix("=isa/")}]
    elif mark and rest:
        return None
    return {"resourceType": "ValueSet", "url": plain, "status": "active", "compose": {"include": [part]}}


def expand(value_set: Resource, shelf: Shelf, *, active: bool = False) -> list[Member]:
    """Return what a value set contains, in its order, each code once; `active` leaves out what is not to be used.

    Raises InvalidResource for what it names and is not there (not-found) or cannot be done here (not-supported).
    """
    found = _expanded(value_set, shelf, (), _Work())
    return [it for it in found.values() if not (active and it.concept.inactive)]


_Members = dict[tuple[str, str], Member]


class _Work:
    """What one expansion may cost in all, in looks at a code: a client writes the value set that it has expanded."""

    def __init__(self) -> None:
        self._left = _MOST_LOOKS

    def spend(self, looks: int) -> None:
        """Count looks. Raises InvalidResource when there have been too many."""
        self._left -= looks + 1
        if self._left < 0:
            raise refused("too-costly", "the value set takes too much work to expand")


def _expanded(value_set: Resource, shelf: Shelf, trail: tuple[str, ...], work: _Work) -> _Members:
    if "compose" not in value_set and isinstance(value_set.get("expansion"), dict):
        return dict(_contained(value_set["expansion"].get("contains")))
    compose = value_set.get("compose")
    inactive = not (isinstance(compose, dict) and compose.get("inactive") is False)
    found: _Members = {}
    for part in _parts(value_set, "include"):
        for key, member in _part(part, shelf, trail, work).items():
            if inactive or not member.concept.inactive:
                found.setdefault(key, member)
    for part in _parts(value_set, "exclude"):
        for key in _part(part, shelf, trail, work):
            found.pop(key, None)
    return found


def _part(part: Mapping[str, Any], shelf: Shelf, trail: tuple[str, ...], work: _Work) -> _Members:
    """Return what one include or exclude means: the codes of its system that are in all of its value sets."""
    found: _Members | None = None
    if isinstance(part.get("system"), str):
        found = _of_system(part, shelf, work)
    for address in part.get("valueSet", ()):
        other = _other(address, shelf, trail, work)
        found = other if found is None else {key: it for key, it in found.items() if key in other}
    if found is None:
        raise refused("invalid", "an include of the value set has neither a system nor a value set")
    return found


def _other(address: str, shelf: Shelf, trail: tuple[str, ...], work: _Work) -> _Members:
    if address in trail or len(trail) >= _DEEPEST:
        raise refused("processing", "value sets name each other in a circle")
    other = shelf.value_sets.get(address)
    if other is None:
        raise refused("not-found", "a value set that this one names is not known here")
    return _expanded(other, shelf, (*trail, address), work)


def _of_system(part: Mapping[str, Any], shelf: Shelf, work: _Work) -> _Members:
    url = part["system"]
    system = shelf.systems.get(_address(url, part.get("version")))
    listed = part.get("concept")
    if isinstance(listed, list):
        if part.get("filter"):
            raise refused("invalid", "an include has both concepts and filters")
        members = [_listed(url, it, system, part.get("version")) for it in listed if isinstance(it, dict)]
        return {(url, it.concept.code): it for it in members}
    if system is None:
        raise refused("not-found", "a code system that the value set names is not known here")
    if not system.complete:
        raise refused("too-costly", "not all codes of a code system that the value set names are known here")
    chosen: Sequence[Concept] = list(system.concepts.values())
    work.spend(len(chosen))
    for one in part.get("filter", ()):
        work.spend(len(system.concepts))
        allowed = _filtered(system, one)
        chosen = [concept for concept in chosen if concept.code in allowed]
    return {(url, concept.code): Member(url, concept, system.version) for concept in chosen}


def _listed(url: str, item: Mapping[str, Any], system: CodeSystem | None, version: str | None) -> Member:
    code = str(item.get("code", ""))
    concept = system.find(code) if system is not None else None
    if concept is None and system is not None and system.complete:
        concept = Concept(code, properties=({"code": "inactive", "valueBoolean": True},))
    held = tuple(it for it in item.get("designation", ()) if isinstance(it, dict))
    known = concept if concept is not None else Concept(code)
    return Member(url, known, system.version if system is not None else version, item.get("display"), held)


def _filtered(system: CodeSystem, one: Mapping[str, Any]) -> frozenset[str]:
    """Return the codes that a filter leaves (https://hl7.org/fhir/R4/valueset-filter-operator.html)."""
    name, operator, value = str(one.get("property")), one.get("op"), str(one.get("value", ""))
    everything = frozenset(system.concepts)
    listed = frozenset(part.strip() for part in value.split(","))
    match operator:
        case "is-a":
            return system.below(value) | ({value} & everything)
        case "descendent-of":
            return system.below(value)
        case "is-not-a":
            return everything - system.below(value) - {value}
        case "generalizes":
            return system.above(value) | ({value} & everything)
        case "in":
            return frozenset(code for code in everything if not listed.isdisjoint(_told(system, code, name)))
        case "not-in":
            return frozenset(code for code in everything if listed.isdisjoint(_told(system, code, name)))
        case "=":
            return frozenset(code for code in everything if value in _told(system, code, name))
        case "exists":
            return frozenset(code for code in everything if bool(_told(system, code, name)) == (value == "true"))
    raise refused("not-supported", "the value set has a filter that is not supported here")


def _told(system: CodeSystem, code: str, name: str) -> tuple[str, ...]:
    concept = system.concepts[code]
    match name:
        case "concept" | "code":
            return (code,)
        case "display":
            return () if concept.display is None else (concept.display,)
        case "parent":
            return concept.parents
        case "child":
            return system.children.get(code, ())
    return concept.values(name)


def _contained(listed: Any) -> Iterator[tuple[tuple[str, str], Member]]:
    """Yield what an expansion that came ready-made contains."""
    for item in listed if isinstance(listed, list) else ():
        if not isinstance(item, dict):
            continue
        system, code = item.get("system"), item.get("code")
        if isinstance(system, str) and isinstance(code, str) and item.get("abstract") is not True:
            inactive = ({"code": "inactive", "valueBoolean": True},) if item.get("inactive") is True else ()
            concept = Concept(code, item.get("display"), properties=inactive)
            yield (system, code), Member(system, concept, item.get("version"))
        yield from _contained(item.get("contains"))


def _parts(value_set: Resource, name: str) -> list[Mapping[str, Any]]:
    compose = value_set.get("compose")
    listed = compose.get(name) if isinstance(compose, dict) else None
    return [it for it in listed if isinstance(it, dict)] if isinstance(listed, list) else []


def _address(url: str, version: Any) -> str:
    return f"{url}|{version}" if isinstance(version, str) else url


def refused(cause: str, text: str) -> InvalidResource:
    """Return the error that says why something cannot be expanded."""
    return InvalidResource((Issue(Severity.ERROR, cause, "ValueSet.compose", text),))


def matching(members: Sequence[Member], text: str) -> list[Member]:
    """Return the members whose display, or code, has each word of a text as the beginning of one of its words."""
    wanted = text.casefold().split()

    def fits(member: Member) -> bool:
        words = f"{member.shown or ''} {member.concept.code}".casefold().replace("-", " ").split()
        return all(any(word.startswith(one) for word in words) for one in wanted)

    return [member for member in members if fits(member)]


def with_display(member: Member, language: str | None) -> Member:
    """Return a member with the display in a language, if there is one."""
    if language is None:
        return member
    for designation in (*member.designations, *member.concept.designations):
        if str(designation.get("language", "")).lower().startswith(language.lower()):
            return replace(member, display=str(designation.get("value", "")) or member.display)
    return member
