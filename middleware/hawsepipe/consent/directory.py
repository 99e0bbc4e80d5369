"""Who somebody is at an instant: the references that stand for a principal, and what groups and teams hold.

A `Directory` is a snapshot of the resources that consents and tokens mention; `circle` works on it without I/O.
`Registry` reads it through the store and keeps it until the consent epoch changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hawsepipe.consent.criteria import span
from hawsepipe.consent.stored import decoded
from hawsepipe.consent.truth import Truth, every, some, truth
from hawsepipe.fhir import references
from hawsepipe.model import Principal, Resource
from hawsepipe.store.contract import Store

_PLAIN: Final = frozenset({"Practitioner", "Patient", "RelatedPerson", "Device", "Organization"})
"""Types whose instances stand for themselves: outside a circle unless the circle is unsure of the type."""

_GATHERINGS: Final = frozenset({"CareTeam", "Group"})
_CLEAN: Final = re.compile(r"[A-Za-z]+/[A-Za-z0-9.\-]{1,64}")
_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class Directory:
    """Resources by reference (`CareTeam/1`); one that is not here cannot be resolved. `base_url` is our own address."""

    resources: Mapping[str, Resource] = field(default_factory=dict)
    base_url: str = ""

    def targets(self, reference: str) -> frozenset[str] | None:
        """Return what a resource refers to, None when it cannot be resolved."""
        resource = self.resources.get(reference)
        return None if resource is None else pointed(resource, self.base_url)

    def boundaries(self) -> Iterator[int]:
        """Yield the instants, in microseconds, at which some period of its resources begins or ends."""
        for resource in self.resources.values():
            for period in _periods(resource):
                found = span(period)
                if found.readable:
                    yield found.low
                    yield found.high

    def wanted(self) -> frozenset[str]:
        """Return the references that its actors lead to: partOf, the parts of a role, members that have members."""
        found: set[str] = set()
        for reference, resource in self.resources.items():
            kind = reference.partition("/")[0]
            if kind == "PractitionerRole":
                found |= set(_literal(resource.get("organization"), self.base_url))
            elif kind == "Organization":
                found |= set(_literal(resource.get("partOf"), self.base_url))
            elif kind in _GATHERINGS:
                members = (member for _, member in _members(resource, self.base_url) if member is not None)
                found |= {member for member in members if _kind(member) in _GATHERINGS}
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Circle:
    """The references that stand for a principal at an instant (microseconds).

    `sure` are those that do; `unsure` are types of which more could (a role that cannot be resolved hides its
    organization).
    """

    sure: frozenset[str]
    unsure: frozenset[str]
    directory: Directory
    instant: int

    def holds(self, reference: str) -> Truth:
        """Say whether the reference stands for the principal."""
        if reference not in self.sure and _CLEAN.fullmatch(reference) is None:
            return Truth.UNKNOWN  # `Practitioner/1/` may be meant for Practitioner/1
        return self._holds(reference, _DEPTH)

    def _holds(self, reference: str, depth: int) -> Truth:
        kind = _kind(reference)
        if kind in _GATHERINGS:
            return self._gathers(reference, kind, depth)
        if reference in self.sure:
            return Truth.TRUE
        if kind in self.unsure:
            return Truth.UNKNOWN
        if kind == "PractitionerRole":
            return truth(False) if reference in self.directory.resources else Truth.UNKNOWN
        return Truth.FALSE if kind in _PLAIN else Truth.UNKNOWN

    def _gathers(self, reference: str, kind: str, depth: int) -> Truth:
        resource = self.directory.resources.get(reference)
        if resource is None or depth == 0:
            return Truth.UNKNOWN
        if kind == "CareTeam" and resource.get("status") != "active":
            return Truth.FALSE
        if kind == "Group" and resource.get("active") is False:
            return Truth.FALSE
        if kind == "Group" and resource.get("actual") is not True:
            return Truth.UNKNOWN  # a definitional group has no list of members
        current = _now(resource.get("period") if kind == "CareTeam" else None, self.instant)
        return every(
            (current, some(self._belongs(*entry, depth) for entry in _members(resource, self.directory.base_url)))
        )

    def _belongs(self, entry: Mapping[str, Any], member: str | None, depth: int) -> Truth:
        person = Truth.UNKNOWN if member is None else self._holds(member, depth - 1)
        return every((person, _now(entry.get("period"), self.instant), truth(entry.get("inactive") is not True)))


def circle(principal: Principal, directory: Directory, instant: int) -> Circle:
    """Return who the principal is.

    The subject; the roles and organizations that the token asserts, each role only while it is active, in its period
    and the subject's own; the organizations above those. Not every role that the person holds somewhere.
    """
    sure = {principal.subject}
    unsure: set[str] = set()
    if _kind(principal.subject) == "Person":
        unsure |= {"Practitioner", "Patient", "RelatedPerson"}
    organizations = [actor for actor in principal.actors if _kind(actor) == "Organization"]
    for actor in sorted(principal.actors | {principal.subject}):
        if _kind(actor) == "PractitionerRole":
            organizations += _role(actor, principal, directory, instant, sure, unsure)
        elif _kind(actor) != "Organization":
            sure.add(actor)
    while organizations:
        organization = organizations.pop()
        if organization in sure:
            continue
        sure.add(organization)
        resource = directory.resources.get(organization)
        if resource is None:
            unsure.add("Organization")
        else:
            above = resource.get("partOf")
            known = list(_literal(above, directory.base_url))
            organizations += known
            if above is not None and not known:
                unsure.add("Organization")
    return Circle(frozenset(sure), frozenset(unsure), directory, instant)


def _role(
    reference: str, principal: Principal, directory: Directory, instant: int, sure: set[str], unsure: set[str]
) -> list[str]:
    """Add an asserted role to the circle and return its organizations."""
    resource = directory.resources.get(reference)
    if resource is None:
        sure.discard(reference)
        unsure |= {"PractitionerRole", "Organization"}
        if reference == principal.subject:
            unsure.add("Practitioner")
        return []
    person = list(_literal(resource.get("practitioner"), directory.base_url))
    own = reference == principal.subject or principal.subject in person
    if resource.get("active") is False or not own or _now(resource.get("period"), instant) is not Truth.TRUE:
        sure.discard(reference)
        if reference == principal.subject:
            sure.update(person)
        return []
    sure.add(reference)
    sure.update(person)
    return list(_literal(resource.get("organization"), directory.base_url))


def pointed(resource: Resource, base_url: str) -> frozenset[str]:
    """Return every local target (`Type/id`) and foreign url that a resource refers to."""
    found = set()
    for _, literal in references.walk(resource):
        target = references.parse(literal, base_url)
        if target.type is not None:
            found.add(f"{target.type}/{target.id}")
        elif target.url and not target.url.startswith("#"):
            found.add(target.url)
    return frozenset(found)


class Registry:
    """Reads directories through the store and keeps what it read for one consent epoch. One for each gate."""

    def __init__(self, store: Store, base_url: str) -> None:
        self._store = store
        self._base_url = base_url
        self._epoch = -1
        self._read: dict[str, Resource | None] = {}

    async def directory(self, epoch: int, actors: Iterable[str], fresh: Iterable[str]) -> Directory:
        """Return the resources behind `actors` and what they lead to, as of this epoch, and those behind `fresh` as
        of now.
        """
        if epoch != self._epoch:
            self._epoch = epoch
            self._read = {}
        read = self._read  # what is read below belongs to this epoch, whatever comes while it waits
        wanted = {actor for actor in actors if _kind(actor) in _GATHERINGS | {"PractitionerRole", "Organization"}}
        found: dict[str, Resource] = {}
        for _ in range(_DEPTH):
            for reference in sorted(wanted - found.keys()):
                if reference not in read:
                    read[reference] = await self._current(reference)
                resource = read[reference]
                if resource is not None:
                    found[reference] = resource
            more = Directory(found, self._base_url).wanted()
            if more <= wanted:
                break
            wanted |= more
        for reference in fresh:
            resource = await self._current(reference)
            if resource is not None:
                found[reference] = resource
        return Directory(found, self._base_url)

    async def _current(self, reference: str) -> Resource | None:
        kind, slash, identity = reference.partition("/")
        if not slash or not identity or "/" in identity:
            return None
        version = await self._store.read(kind, identity)
        return None if version is None or version.content is None else decoded(version.content)


def _members(resource: Resource, base_url: str) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield each entry with its member, None for one that cannot be resolved."""
    for name, element in (("participant", "member"), ("member", "entity")):
        for entry in _entries(resource, name):
            yield entry, next(_literal(entry.get(element), base_url), None)


def _now(period: Any, instant: int) -> Truth:
    if period is None:
        return Truth.TRUE
    found = span(period)
    return truth(found.low <= instant < found.high) if found.readable else Truth.UNKNOWN


def _literal(value: Any, base_url: str) -> Iterator[str]:
    literal = value.get("reference") if isinstance(value, dict) else None
    if isinstance(literal, str):
        target = references.parse(literal, base_url)
        if target.type is not None:
            yield f"{target.type}/{target.id}"


def _kind(reference: str) -> str:
    return reference.partition("/")[0]


def _periods(resource: Resource) -> Iterator[Any]:
    yield resource.get("period")
    for name in ("participant", "member"):
        for entry in _entries(resource, name):
            yield entry.get("period")


def _entries(resource: Resource, name: str) -> Iterator[dict[str, Any]]:
    entries = resource.get(name)
    yield from (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()
