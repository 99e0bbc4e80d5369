"""All of a compartment that one principal may see, page by page (the operation $everything)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from hawsepipe.consent.admission import Admission, House
from hawsepipe.consent.stored import decoded
from hawsepipe.errors import Gone, NotFound, StoreError
from hawsepipe.fhir.compartment import refers, ways
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.query import Clause, Cursor, DateValue, Kind, Page, Prefix, Query, ReferenceValue
from hawsepipe.fhir.references import parse
from hawsepipe.model import Resource, Version
from hawsepipe.visibility import Subject, Visibility, visible

_LARGE: Final = 500
"""Resources to a search that looks for what a compartment refers to."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a compartment: the number of the way, and the key after which its search goes on (0: from its start).

    Behind the last way come the resources that the compartment refers to; `name` is the last one of them (`Type/id`).
    """

    way: int = 0
    key: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a compartment is asked for: the resource it is of, types (None: all), the earliest instant recorded.

    `start` and `end` bound the time of care, [start, end); what has no such time (an allergy, an organization) is
    meant whatever they are.
    """

    kind: str
    id: str
    types: frozenset[str] | None = None
    since: int | None = None
    start: int | None = None
    end: int | None = None


class Everything:
    """Reads compartments for one principal."""

    def __init__(self, house: House, admission: Admission) -> None:
        self._house = house
        self._admission = admission

    async def page(self, wanted: Wanted, after: Cursor | None, count: int) -> Page:
        """Return the resource, what is in its compartment and what that refers to, each once.

        A page is empty only if it is the only one. A patient whose record was merged has the compartments of all
        records of the person; what is about somebody else is left out, though it be referred to. Raises NotFound, Gone,
        Forbidden.
        """
        kind, id_ = wanted.kind, wanted.id
        asked = await self._admission.admitted("read", kind, f"{kind}/{id_}")
        judge, principal = self._house.judge, self._admission.principal
        focal = await self._house.store.read(kind, id_)
        decision = await (await judge.sit(principal, asked.interaction, asked.now)).decide(focal)
        if focal is None or not decision.permit or focal.content is None:
            await self._admission.record(asked, decision, () if focal is None else (focal,))
            if focal is not None and decision.permit:
                raise Gone(f"{asked.target} was deleted")
            raise NotFound(f"there is no {asked.target}")
        visibility = await judge.visibility(principal, "search-type", asked.now)
        linked = await judge.linked(visibility, [id_]) if kind == "Patient" else {}
        others = linked.get(id_, frozenset())
        walk = _Walk(self._house, visibility, wanted, focal, frozenset({id_}) | others)
        found: list[Version] = []
        place: Place | None = Place() if after is None else _place(after)
        if after is None and walk.begins():
            found.append(focal)
        if place is not None and len(found) < count:
            taken, place = await walk.taken(place, count - len(found))
            found += taken
        if place is not None and not (await walk.taken(place, 1))[0]:
            place = None
        await self._admission.record(asked, decision, found, f"{kind}?$everything")
        following = None if place is None else Cursor((place.way, place.name), place.key)
        return Page(tuple(found), following, len(found) if after is None and place is None else None)


class _Walk:
    """The way through a compartment: the resource itself, each type by each of its parameters, then what they name."""

    def __init__(
        self, house: House, visibility: Visibility, wanted: Wanted, focal: Version, ids: frozenset[str]
    ) -> None:
        self._house = house
        self._visibility = visibility
        self._wanted = wanted
        self._focal = focal
        self._persons = ids if wanted.kind == "Patient" else frozenset(focal.patients)
        self._targets = frozenset(f"{wanted.kind}/{id_}" for id_ in ids)
        values = tuple(ReferenceValue(wanted.kind, id_, None) for id_ in sorted(ids))
        self._values = values
        self._every = ways(wanted.kind)
        self._outside: list[str] | None = None
        self._ways = [way for way in self._every if wanted.types is None or way[0] in wanted.types]

    def begins(self) -> bool:
        """Say whether the resource itself is asked for."""
        wanted, focal = self._wanted, self._focal
        fits = wanted.since is None or microseconds(focal.last_updated) >= wanted.since
        return fits and (wanted.types is None or wanted.kind in wanted.types)

    async def taken(self, place: Place, most: int) -> tuple[list[Version], Place | None]:
        """Return up to `most` versions from a place on, and the place after them, None at the end."""
        found: list[Version] = []
        while len(found) < most and place.way < len(self._ways):
            versions, place = await self._along(self._ways, place, most - len(found))
            found += [version for version in versions if self._timely(await self._seen(version))]
        if place.way < len(self._ways) or len(found) >= most:
            return found, place
        named, last = await self._named(place.name, most - len(found))
        return [*found, *named], None if last is None else replace(place, name=last)

    async def _along(
        self, ways: list[tuple[str, str]], place: Place, most: int, *, whole: bool = False
    ) -> tuple[list[Version], Place]:
        """Return what comes next on the ways for the first time, and the place after it."""
        query = self._query(ways[place.way], place.key, most, whole=whole)
        page = await self._house.store.search(query, self._visibility)
        new = [version for version in page.versions if self._new(await self._content(version), ways[: place.way])]
        return new, Place(place.way, page.next.key) if page.next is not None else Place(place.way + 1)

    def _query(self, way: tuple[str, str], key: int, count: int, *, whole: bool) -> Query:
        kind, code = way
        clauses = [Clause(code, Kind.REFERENCE, None, self._values)]
        since = self._wanted.since
        if since is not None and not whole:
            clauses.append(Clause("_lastUpdated", Kind.DATE, None, (DateValue(Prefix.GE, since, since + 1),)))
        return Query(kind, tuple(clauses), count=count, cursor=Cursor((), key) if key else None)

    async def _content(self, version: Version) -> Resource:
        """Return the content of what a search gave; one that must not be seen stops everything."""
        content = None if version.content is None else decoded(version.content)
        subject = None if content is None else await self._house.judge.subject(version, content)
        if content is None or subject is None or not visible(self._visibility, subject):
            raise StoreError("the store answered a search with something that its visibility does not cover")
        return content

    async def _seen(self, version: Version) -> Subject:
        return await self._house.judge.subject(version, await self._content(version))

    def _new(self, content: Resource, earlier: list[tuple[str, str]]) -> bool:
        """Say whether a resource comes here for the first time."""
        kind = str(content.get("resourceType"))
        if f"{kind}/{content.get('id')}" == f"{self._wanted.kind}/{self._wanted.id}":
            return False
        base = self._house.settings.base_url
        return not any(refers(content, code, self._targets, base) for way, code in earlier if way == kind)

    def _timely(self, subject: Subject) -> bool:
        """Say whether the time of care is of the span; what has none is."""
        low, high = subject.facets.clinical_start, subject.facets.clinical_end
        if low is None or high is None:
            return True
        start, end = self._wanted.start, self._wanted.end
        return (start is None or high > start) and (end is None or low < end)

    # what the compartment refers to

    async def _named(self, after: str, most: int) -> tuple[list[Version], str | None]:
        """Return up to `most` resources outside that are referred to, in the order of their names, and the last name;
        None when there are no more.
        """
        if self._outside is None:
            self._outside = sorted(await self._names())
        names = [name for name in self._outside if name > after]
        found: list[Version] = []
        for name in names:
            kind, _, identity = name.partition("/")
            version = await self._house.store.read(kind, identity)
            if version is not None and version.content is not None and await self._belongs(version):
                found.append(version)
            if len(found) >= most:
                return found, name
        return found, None

    async def _names(self) -> set[str]:
        """Return what the compartment names (`Type/id`), itself left out. It is walked anew: no page keeps it."""
        types, base = self._wanted.types, self._house.settings.base_url
        found = set(_local(decoded(self._focal.content or b"{}"), base))
        place, ways = Place(), list(self._every)
        while place.way < len(ways):
            versions, place = await self._along(ways, place, _LARGE, whole=True)
            for version in versions:
                if self._timely(await self._seen(version)):
                    found.update(_local(await self._content(version), base))
        return {name for name in found if types is None or name.partition("/")[0] in types} - self._targets

    async def _belongs(self, version: Version) -> bool:
        """Say whether what is referred to is visible, outside of the compartment and about nobody else."""
        content = decoded(version.content or b"{}")
        subject = await self._house.judge.subject(version, content)
        recorded = self._wanted.since is None or microseconds(version.last_updated) >= self._wanted.since
        return (
            recorded
            and self._timely(subject)
            and visible(self._visibility, subject)
            and self._persons.issuperset(version.patients)
            and self._new(content, list(self._every))
        )


def _place(cursor: Cursor) -> Place:
    way, name = cursor.values
    return Place(int(way or 0), cursor.key, str(name))


def _local(node: Any, base: str) -> Iterator[str]:
    """Yield what a resource names here (`Type/id`), by references and by the addresses of attachments."""
    if isinstance(node, dict):
        for key, child in node.items():
            if isinstance(child, str) and key in {"reference", "url"}:
                target = parse(child, base)
                if target.id is not None and (key == "reference" or target.type == "Binary"):
                    yield f"{target.type}/{target.id}"
            else:
                yield from _local(child, base)
    elif isinstance(node, list):
        for child in node:
            yield from _local(child, base)
