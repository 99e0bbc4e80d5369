"""Bulk data as one principal may have it: batch by batch while files are written, and once more when they are fetched.

https://hl7.org/fhir/uv/bulkdata/STU2/export.html. Each batch decides anew, under the interaction `export`, which for
consents is disclosure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from hawsepipe.consent.admission import PERMIT, Admission, House
from hawsepipe.consent.naming import unnamed
from hawsepipe.consent.persons import patients_named, throughout
from hawsepipe.consent.redaction import Redaction, blind, redaction
from hawsepipe.consent.stored import decoded
from hawsepipe.errors import Gone, InvalidRequest, NotFound, StoreError
from hawsepipe.fhir.compartment import refers, ways
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.query import Clause, Cursor, DateValue, Kind, Prefix, Query, ReferenceValue, TokenValue, Total
from hawsepipe.fhir.references import parse
from hawsepipe.model import Resource, Version
from hawsepipe.visibility import Visibility, visible

_MEMBERS: Final = 50
"""Members of a group that one search asks for."""


class Level(StrEnum):
    """Whose data: everything, what is about some patient, or what is about the members of a group."""

    SYSTEM = "system"
    PATIENT = "Patient"
    GROUP = "Group"


@dataclass(frozen=True, slots=True)
class Portion:
    """One type's part of an export. `queries` are filters of which one must hold; none: everything of the type.

    `members` are ids of patients, for a group. `since` and `until` (inclusive) are instants of the current version.
    """

    type: str
    level: Level
    queries: tuple[Query, ...] = ()
    members: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a portion: the search under way, and the key after which it goes on (0: from its start)."""

    search: int = 0
    key: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one search gave, maybe nothing; `next` is None when the portion is done."""

    versions: tuple[Version, ...]
    next: Place | None


class Exports:
    """Reads portions for one principal."""

    def __init__(self, house: House, admission: Admission, without: Redaction | None = None) -> None:
        self._house = house
        self._admission = admission
        self._without = without or redaction(frozenset())

    async def members(self, group: str) -> tuple[str, ...]:
        """Return the ids of a visible Group's patients, with the other records of the same persons, in order.

        Raises NotFound, Gone, Forbidden, and InvalidRequest for a group that is not of actual persons.
        """
        asked = await self._admission.admitted("read", "Group", f"Group/{group}")
        version = await self._house.store.read("Group", group)
        decision = await (await self._house.judge.sit(self._admission.principal, "read", asked.now)).decide(version)
        await self._admission.record(asked, decision, () if version is None else (version,))
        if version is None or not decision.permit:
            raise NotFound(f"there is no {asked.target}")
        if version.content is None:
            raise Gone(f"{asked.target} was deleted")
        content = decoded(version.content)
        if content.get("actual") is not True or content.get("type") != "person":
            raise InvalidRequest("the group is not one of actual persons", location="id")
        found = list(_patients(content, self._house.settings.base_url))
        visibility = await self._house.judge.visibility(self._admission.principal, "export", asked.now)
        persons = await self._house.judge.linked(visibility, found)
        return tuple(sorted({*found, *(other for it in found for other in persons.get(it, ()))}))

    async def batch(self, portion: Portion, place: Place, count: int) -> Batch:
        """Return what comes next of a portion, each resource once over all batches. Raises Forbidden."""
        asked = await self._admission.admitted("export", portion.type, portion.type)
        judge = self._house.judge
        visibility = await judge.visibility(self._admission.principal, "export", asked.now)
        searches = _searches(portion)
        if place.search >= len(searches):
            return Batch((), None)
        search = searches[place.search]
        query = replace(search.query, count=count, cursor=Cursor((), place.key) if place.key else None)
        persons = await judge.linked(visibility, patients_named(query))
        page = await self._house.store.search(blind(unnamed(throughout(query, persons)), self._without), visibility)
        versions = [version for version in page.versions if _in_time(version, portion)]
        if portion.level is Level.PATIENT:
            versions = [version for version in versions if version.patients]
        versions = [it for it in versions if not self._came(it, portion, search)]
        versions = await self._without_earlier(versions, searches[: place.search], search, visibility)
        if self._house.settings.recheck:
            for version in versions:
                await self._check(version, visibility)
        await self._admission.record(asked, PERMIT, versions, f"{portion.type}?$export")
        following = Place(place.search, page.next.key) if page.next is not None else Place(place.search + 1)
        return Batch(tuple(versions), following if following.search < len(searches) else None)

    async def allowed(self, kind: str, named: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
        """Return which (id, version) the principal may have now: those that are still there, the current version being
        visible, and the one that was exported too if it is another. Raises Forbidden.
        """
        asked = await self._admission.admitted("export", kind, kind)
        judge, principal = self._house.judge, self._admission.principal
        visibility = await judge.visibility(principal, "export", asked.now)
        query = Query(kind, (_ids([id_ for id_, _ in named]),), count=len(named))
        current = {it.id: it for it in (await self._house.store.search(query, visibility)).versions}
        sitting = await judge.sit(principal, "export", asked.now)
        found: list[Version] = []
        for id_, number in named:
            version: Version | None = current.get(id_)
            if version is not None and version.version != number:
                version = await self._house.store.vread(kind, id_, number)
                if not (await sitting.decide(version)).permit:
                    version = None
            if version is not None:
                found.append(version)
        await self._admission.record(asked, PERMIT, found, f"{kind}?$export")
        return frozenset((version.id, version.version) for version in found)

    def _came(self, version: Version, portion: Portion, search: _Search) -> bool:
        """Say whether another way into the compartments of the group brings the resource before this one."""
        if portion.level is not Level.GROUP or portion.type == "Patient":
            return False
        content = _content(version)
        base = self._house.settings.base_url
        earlier = portion.members[: search.first]
        here = portion.members[search.first : search.first + _MEMBERS]
        codes = [code for kind, code in ways("Patient") if kind == portion.type]
        before = codes[: codes.index(search.code)] if search.code in codes else []
        return any(refers(content, code, _targets(earlier), base) for code in codes) or any(
            refers(content, code, _targets(here), base) for code in before
        )

    async def _without_earlier(
        self, versions: list[Version], searches: Sequence[_Search], search: _Search, visibility: Visibility
    ) -> list[Version]:
        """Leave out what an earlier filter has brought."""
        filters = {it.filter: it.query for it in searches if it.filter < search.filter}
        if not filters or not versions:
            return versions
        known: set[str] = set()
        for query in filters.values():
            plain = query.clauses[: len(query.clauses) - search.narrowing]
            asked = replace(query, clauses=(*plain, _ids([it.id for it in versions])), count=len(versions))
            asked = blind(unnamed(asked), self._without)
            known.update(it.id for it in (await self._house.store.search(asked, visibility)).versions)
        return [version for version in versions if version.id not in known]

    async def _check(self, version: Version, visibility: Visibility) -> None:
        if not visible(visibility, await self._house.judge.subject(version, _content(version))):
            raise StoreError("the store answered a search with something that its visibility does not cover")


@dataclass(frozen=True, slots=True)
class _Search:
    """One search of a portion: for a group by `code` for the members from `first` on; `filter` is the number of the
    filter, `narrowing` how many clauses at the end are not the filter's own.
    """

    query: Query
    filter: int = 0
    first: int = 0
    code: str = ""
    narrowing: int = 0


def _searches(portion: Portion) -> list[_Search]:
    """Return the searches of a portion, in their order."""
    filters = portion.queries or (Query(portion.type),)
    found: list[_Search] = []
    for number, query in enumerate(filters):
        plain = replace(query, sort=(), total=Total.NONE)
        times = () if portion.since is None else (_since(portion.since),)
        if portion.level is not Level.GROUP:
            found.append(_Search(_with(plain, times), number, narrowing=len(times)))
            continue
        for first in range(0, len(portion.members), _MEMBERS):
            members = portion.members[first : first + _MEMBERS]
            for code, clause in _compartments(portion.type, members):
                narrowed = _with(plain, (*times, clause))
                found.append(_Search(narrowed, number, first, code, len(times) + 1))
    return found


def _compartments(kind: str, members: Sequence[str]) -> list[tuple[str, Clause]]:
    if kind == "Patient":
        return [("_id", _ids(members))]
    values = tuple(ReferenceValue("Patient", member, None) for member in members)
    codes = [code for way, code in ways("Patient") if way == kind]
    return [(code, Clause(code, Kind.REFERENCE, None, values)) for code in codes]


def _with(query: Query, clauses: Sequence[Clause]) -> Query:
    return replace(query, clauses=(*query.clauses, *clauses))


def _ids(ids: Sequence[str]) -> Clause:
    return Clause("_id", Kind.TOKEN, None, tuple(TokenValue(None, id_) for id_ in ids))


def _since(instant: datetime) -> Clause:
    low = microseconds(instant)
    return Clause("_lastUpdated", Kind.DATE, None, (DateValue(Prefix.GE, low, low + 1),))


def _in_time(version: Version, portion: Portion) -> bool:
    return portion.until is None or version.last_updated <= portion.until


def _patients(group: Resource, base: str) -> Iterator[str]:
    """Yield the ids of the patients who are in a group now."""
    members = group.get("member")
    for member in members if isinstance(members, list) else ():
        entity = member.get("entity") if isinstance(member, dict) and member.get("inactive") is not True else None
        literal = entity.get("reference") if isinstance(entity, dict) else None
        target = parse(literal, base) if isinstance(literal, str) else None
        if target is not None and target.type == "Patient" and target.id is not None:
            yield target.id


def _targets(members: Sequence[str]) -> frozenset[str]:
    return frozenset(f"Patient/{member}" for member in members)


def _content(version: Version) -> Resource:
    if version.content is None:
        raise StoreError("the store answered a search with something that is deleted")
    return decoded(version.content)
