"""What the criteria of conditional interactions match, for one attempt to write.

https://hl7.org/fhir/R4/http.html#ccreate, #cond-update, https://hl7.org/fhir/R4/http.html#trules (conditional
references). Everything is asked of the state before the attempt, and expected to be so still when it is committed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from hawsepipe.consent.admission import PERMIT, Admission, Asked, House
from hawsepipe.consent.judge import EVERYTHING
from hawsepipe.consent.naming import unnamed
from hawsepipe.consent.orders import Criteria, Order, Pair
from hawsepipe.consent.redaction import Redaction, blind
from hawsepipe.consent.stored import decoded
from hawsepipe.errors import InvalidRequest, PreconditionFailed, StoreError, TooLarge
from hawsepipe.fhir import links
from hawsepipe.fhir.query import Query, Total, named
from hawsepipe.fhir.references import walk
from hawsepipe.model import Resource, Version
from hawsepipe.store.contract import Expectation
from hawsepipe.visibility import visible

MOST: Final = 5_000
"""Criteria of one transaction: the one thread that writes asks them all again."""

_NAME: Final = re.compile(r"(?:urn:|https?://)[^\s,|&]+")
_HIDDEN: Final = 20
"""Hidden matches that the officer is told of, at most."""


class Matches:
    """Matches criteria over what one principal sees.

    `names` are what orders are called and the resources that they are about; `expected` is what was found, for the
    commit.
    """

    def __init__(self, house: House, admission: Admission, criteria: Criteria | None, without: Redaction) -> None:
        self._house = house
        self._admission = admission
        self._criteria = criteria
        self._without = without
        self._found: dict[tuple[str, tuple[Pair, ...]], Version | None] = {}
        self.names: dict[str, str] = {}
        self.expected: list[Expectation] = []

    def mentions(self, criteria: Sequence[Pair], names: Collection[str]) -> bool:
        """Say whether criteria refer to something by one of these names."""
        return any(name in names for _, value in criteria for name in _NAME.findall(value))

    def resolved(self, criteria: Sequence[Pair]) -> tuple[Pair, ...]:
        """Return criteria with the names in them replaced by what they stand for."""
        return tuple((key, _NAME.sub(lambda it: self.names.get(it[0], it[0]), value)) for key, value in criteria)

    async def one(self, kind: str, criteria: Sequence[Pair]) -> Version | None:
        """Return the one visible match, None when there is none.

        Raises PreconditionFailed for several, Forbidden without the scope to search the type.
        """
        pairs = self.resolved(criteria)
        if (kind, pairs) in self._found:
            return self._found[kind, pairs]
        if len(self._found) >= MOST:
            raise TooLarge(f"a transaction may have {MOST} criteria")
        query = blind(unnamed(self._query(kind, pairs, 2)), self._without)
        asked = await self._admission.admitted("search-type", kind, kind)
        judge = self._house.judge
        visibility = await judge.visibility(self._admission.principal, asked.interaction, asked.now)
        page = await self._house.store.search(query, visibility)
        for version in page.versions:
            content = None if version.content is None else decoded(version.content)
            if content is None or not visible(visibility, await judge.subject(version, content)):
                raise StoreError("the store answered a search with something that its visibility does not cover")
        self._note(asked, query, page.versions)
        self.expected.append(Expectation(query, visibility, _references(page.versions)))
        if len(page.versions) > 1:
            raise PreconditionFailed("the criteria match several resources")
        found = self._found[kind, pairs] = page.versions[0] if page.versions else None
        return found

    async def hidden(self, kind: str, criteria: Sequence[Pair]) -> tuple[str, ...]:
        """Return what the criteria match for nobody in particular: hidden, where nothing visible matches."""
        query = self._query(kind, self.resolved(criteria), _HIDDEN)
        page = await self._house.store.search(query, EVERYTHING)
        found = _references(page.versions)
        self.expected.append(Expectation(query, EVERYTHING, found))
        return found

    async def linked(self, order: Order) -> Resource:
        """Return an order's resource with the names of other orders and conditional references resolved."""
        resource = order.resource
        if resource is None:
            raise InvalidRequest("there is no resource", expression=order.type)
        if not order.bundled:
            return resource
        targets = dict(self.names)
        for path, literal in walk(resource):
            if literal in targets:
                continue
            if links.conditional(literal):
                kind, _, text = literal.partition("?")
                found = await self.one(kind, links.pairs(text))
                if found is None:
                    raise PreconditionFailed("a conditional reference matches nothing", expression=path)
                targets[literal] = found.reference
            elif literal.startswith(("urn:uuid:", "urn:oid:")) and literal.partition("#")[0] not in targets:
                raise InvalidRequest("the reference names no entry of this transaction", expression=path)
        return links.relinked(resource, targets, order.name)

    def _query(self, kind: str, pairs: tuple[Pair, ...], count: int) -> Query:
        if self._criteria is None:
            raise InvalidRequest("conditions are not supported here")
        # As they stand, without the other records of the persons they name: who cannot see that two records are one
        # person's must not have a write led by it.
        query = self._criteria(kind, pairs)
        return replace(query, count=count, sort=(), total=Total.NONE, cursor=None)

    def _note(self, asked: Asked, query: Query, versions: Sequence[Version]) -> None:
        names = "&".join(named(clause) for clause in query.clauses)
        self._admission.note(asked, PERMIT, versions, f"{query.type}?{names}")


def _references(versions: Sequence[Version]) -> tuple[str, ...]:
    return tuple(version.reference for version in versions)
