"""All of a compartment that one principal may see, page by page (the operation $everything)."""

from __future__ import annotations

from dataclasses import dataclass

from hawsepipe.consent.admission import Admission, House
from hawsepipe.consent.stored import decoded
from hawsepipe.errors import Gone, NotFound, StoreError
from hawsepipe.fhir.compartment import refers, ways
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.query import Clause, Cursor, DateValue, Kind, Page, Prefix, Query, ReferenceValue
from hawsepipe.model import Version
from hawsepipe.visibility import Visibility, visible

Place = tuple[int, int]
"""Where in a compartment: the number of the way, and the key after which its search goes on (0: from its start)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a compartment is asked for: the resource it is of, types (None: all), the earliest instant."""

    kind: str
    id: str
    types: frozenset[str] | None = None
    since: int | None = None


class Everything:
    """Reads compartments for one principal."""

    def __init__(self, house: House, admission: Admission) -> None:
        self._house = house
        self._admission = admission

    async def page(self, wanted: Wanted, after: Cursor | None, count: int) -> Page:
        """Return the resource and what is in its compartment, each once; a page is empty only if it is the only one.

        A patient whose record was merged has the compartments of all records of the person. Raises NotFound, Gone,
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
        others = (await judge.persons()).get(id_, frozenset()) if kind == "Patient" else frozenset()
        walk = _Walk(self._house, visibility, wanted, frozenset({id_}) | others)
        found: list[Version] = []
        place: Place | None = (0, 0) if after is None else (int(after.values[0] or 0), after.key)
        if after is None and walk.begins_with(focal):
            found.append(focal)
        if place is not None and len(found) < count:
            taken, place = await walk.taken(place, count - len(found))
            found += taken
        if place is not None and not (await walk.taken(place, 1))[0]:
            place = None
        await self._admission.record(asked, decision, found, f"{kind}?$everything")
        following = None if place is None else Cursor((place[0],), place[1])
        return Page(tuple(found), following, len(found) if after is None and place is None else None)


class _Walk:
    """The way through a compartment: the resource itself, then each type by each of its parameters."""

    def __init__(self, house: House, visibility: Visibility, wanted: Wanted, ids: frozenset[str]) -> None:
        self._house = house
        self._visibility = visibility
        self._wanted = wanted
        self._targets = frozenset(f"{wanted.kind}/{id_}" for id_ in ids)
        values = tuple(ReferenceValue(wanted.kind, id_, None) for id_ in sorted(ids))
        self._values = values
        self._ways = [way for way in ways(wanted.kind) if wanted.types is None or way[0] in wanted.types]

    def begins_with(self, focal: Version) -> bool:
        """Say whether the resource itself is asked for."""
        wanted = self._wanted
        fits = wanted.since is None or microseconds(focal.last_updated) >= wanted.since
        return fits and (wanted.types is None or wanted.kind in wanted.types)

    async def taken(self, place: Place, most: int) -> tuple[list[Version], Place | None]:
        """Return up to `most` versions from a place on, and the place after them, None at the end."""
        number, key = place
        found: list[Version] = []
        while len(found) < most and number < len(self._ways):
            page = await self._house.store.search(self._query(number, key, most - len(found)), self._visibility)
            found += [version for version in page.versions if await self._new(version, number)]
            number, key = (number, page.next.key) if page.next is not None else (number + 1, 0)
        return found, (number, key) if number < len(self._ways) else None

    def _query(self, number: int, key: int, count: int) -> Query:
        kind, code = self._ways[number]
        clauses = [Clause(code, Kind.REFERENCE, None, self._values)]
        since = self._wanted.since
        if since is not None:
            clauses.append(Clause("_lastUpdated", Kind.DATE, None, (DateValue(Prefix.GE, since, since + 1),)))
        return Query(kind, tuple(clauses), count=count, cursor=Cursor((), key) if key else None)

    async def _new(self, version: Version, number: int) -> bool:
        """Say whether a version comes here for the first time; one that must not be seen stops everything."""
        content = None if version.content is None else decoded(version.content)
        subject = None if content is None else await self._house.judge.subject(version, content)
        if content is None or subject is None or not visible(self._visibility, subject):
            raise StoreError("the store answered a search with something that its visibility does not cover")
        if version.reference == f"{self._wanted.kind}/{self._wanted.id}":
            return False
        base = self._house.settings.base_url
        earlier = [code for kind, code in self._ways[:number] if kind == version.type]
        return not any(refers(content, code, self._targets, base) for code in earlier)
