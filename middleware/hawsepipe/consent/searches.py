"""Searches for one principal: of a type, and of several types one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hawsepipe.consent.admission import PERMIT, Admission, House
from hawsepipe.consent.naming import unnamed
from hawsepipe.consent.persons import patients_named, throughout
from hawsepipe.consent.redaction import Redaction, blind
from hawsepipe.consent.stored import opened
from hawsepipe.errors import StoreError
from hawsepipe.fhir.query import Cursor, Page, Query, Total, named
from hawsepipe.model import Version
from hawsepipe.visibility import Visibility, visible

_START = (0, 0)


class Searches:
    """Searches over what is visible, as if nothing else were there."""

    def __init__(self, house: House, admission: Admission, without: Redaction) -> None:
        self._house = house
        self._admission = admission
        self._without = without

    async def one(self, query: Query) -> Page:
        """Return one page of one type. Raises Forbidden."""
        asked = await self._admission.admitted("search-type", query.type, query.type)
        judge = self._house.judge
        visibility = await judge.visibility(self._admission.principal, asked.interaction, asked.now)
        persons = await judge.linked(visibility, patients_named(query))
        page = await self._found(self._meant(query, persons), visibility)
        await self._admission.record(asked, PERMIT, (*page.versions, *page.included), _told(query.type, query))
        return page

    async def across(self, queries: Sequence[Query], after: Cursor | None, count: int) -> Page:
        """Return one page of several searches, each of a type of its own, one after the other; none has an order.

        The cursor's value is the number of the search in which the next page begins. Raises Forbidden when the
        principal may not search at all.
        """
        asked = await self._admission.admitted("search-type", None, "*")
        judge = self._house.judge
        visibility = await judge.visibility(self._admission.principal, asked.interaction, asked.now)
        persons = await judge.linked(visibility, frozenset[str]().union(*map(patients_named, queries)))
        meant = [self._meant(query, persons) for query in queries]
        total = None
        if any(query.total is Total.ACCURATE for query in meant):
            counted = [await self._found(replace(query, count=0), visibility) for query in meant]
            total = sum(page.total or 0 for page in counted)
        place: tuple[int, int] | None = _START if after is None else (int(after.values[0] or 0), after.key)
        matches: list[Version] = []
        beside: dict[str, Version] = {}
        while place is not None and len(matches) < count:
            page, place = await self._next(meant, place, count - len(matches), visibility)
            matches += page.versions
            beside |= {version.reference: version for version in page.included}
        if place is not None and count and not (await self._next(meant, place, 1, visibility))[0].versions:
            place = None
        for version in matches:
            beside.pop(version.reference, None)
        shown = (*matches, *beside.values())
        await self._admission.record(asked, PERMIT, shown, _told("*", *queries[:1]))
        following = None if place is None or not count else Cursor((place[0],), place[1])
        return Page(tuple(matches), following, total, tuple(beside.values()))

    async def _next(
        self, queries: Sequence[Query], place: tuple[int, int], count: int, visibility: Visibility
    ) -> tuple[Page, tuple[int, int] | None]:
        """Return the next page of the first search from a place on that has one, and the place after it."""
        number, key = place
        while number < len(queries):
            cursor = Cursor((), key) if key else None
            query = replace(queries[number], count=count, cursor=cursor, total=Total.NONE)
            page = await self._found(query, visibility)
            following = (number, page.next.key) if page.next is not None else (number + 1, 0)
            if page.versions:
                return page, following if following[0] < len(queries) else None
            number, key = following
        return Page((), None, None), None

    def _meant(self, query: Query, persons: Mapping[str, frozenset[str]]) -> Query:
        """Return a search of persons, as if nobody had what the role does not get, and references said nothing of what
        is not seen.
        """
        return blind(unnamed(throughout(query, persons)), self._without)

    async def _found(self, query: Query, visibility: Visibility) -> Page:
        page = await self._house.store.search(query, visibility)
        if self._house.settings.recheck:
            for version in (*page.versions, *page.included):
                content = None if version.content is None else await opened(version.content)
                if content is None or not visible(visibility, await self._house.judge.subject(version, content)):
                    raise StoreError("the store answered a search with something that its visibility does not cover")
        return page


def _told(target: str, *queries: Query) -> str:
    """Return what was asked for, without a value."""
    names = "&".join(named(condition) for query in queries for condition in query.clauses)
    return f"{target}?{names}" if names else ""
