"""The code systems, value sets and concept maps that one requester sees, beside those of R4's own tables.

What a value set names is gathered before it is expanded, so that expansion itself is pure. A resource that is hidden
from the requester does not exist here either.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hawsepipe.api.call import Call
from hawsepipe.errors import Forbidden, InvalidRequest, TooLarge
from hawsepipe.fhir.code_systems import CodeSystem, of_r4
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.query import Query, Total
from hawsepipe.fhir.value_sets import Shelf, implied, names
from hawsepipe.model import Resource, Version

_MOST: Final = 200
"""Value sets and code systems that one value set may lead to."""

_NUMBER: Final = re.compile(r"(\d+)")

_RESOURCES: Final = 2_000
"""Resources that one address, or none, may mean."""


class Terminology:
    """Finds terminology resources for one request, each once."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._shelf = Shelf(dict(_systems()), dict(_value_sets()))
        self._asked: set[tuple[str, str]] = set()

    async def code_system(self, address: str) -> CodeSystem | None:
        """Return a code system by its address (`url`, `url|version`): one that is stored, else one of R4's tables."""
        if self._new("CodeSystem", address):
            found = await self.resource("CodeSystem", address)
            if found is not None:
                system = await self._call.services.shelved.code_system(found)
                self._shelf.systems[address] = self._supplemented(address, system)
        return self._shelf.systems.get(address)

    async def value_set(self, address: str) -> Resource | None:
        """Return a value set by its address: one that is stored, of R4's tables, or implied by the address."""
        if self._new("ValueSet", address):
            found = await self.resource("ValueSet", address)
            if found is None and address not in self._shelf.value_sets:
                found = implied(address)
            if found is not None:
                self._shelf.value_sets[address] = found
        return self._shelf.value_sets.get(address)

    async def shelf(self, value_set: Resource) -> Shelf:
        """Return a shelf with everything that a value set names, directly or not, as far as it is there."""
        waiting = [value_set]
        while waiting:
            systems, others = names(waiting.pop())
            for address in systems:
                await self.code_system(address)
            for address in others:
                if ("ValueSet", address) not in self._asked:
                    found = await self.value_set(address)
                    if found is not None:
                        waiting.append(found)
        return self._shelf

    async def resource(self, kind: str, address: str) -> Resource | None:
        """Return the resource with a canonical address that is meant: of several an active one, then the newest."""
        found = await self.resources(kind, address)
        return found[0] if found else None

    async def resources(self, kind: str, address: str | None, more: Sequence[tuple[str, str]] = ()) -> list[Resource]:
        """Return the resources with a canonical address, the one that is meant first."""
        criteria = list(more)
        if address is not None:
            url, _, version = address.partition("|")
            criteria += [("url", _escaped(url)), *([("version", _escaped(version))] if version else [])]
        try:
            query = self._call.services.parameters.parse(kind, criteria, strict=True).query
            versions = await self._all(replace(query, count=_MOST, total=Total.NONE))
        except (Forbidden, InvalidRequest):
            if kind == self._call.path.get("type"):
                raise
            return []
        decoded = [(await self._call.services.shelved.resource(it), it.last_updated) for it in versions]
        decoded.sort(
            key=lambda it: (it[0].get("status") == "active", _order(it[0].get("version")), it[1]), reverse=True
        )
        return [it for it, _ in decoded]

    async def _all(self, query: Query) -> list[Version]:
        page = await self._call.view.search(query)
        found = list(page.versions)
        while page.next is not None:
            if len(found) >= _RESOURCES:
                raise TooLarge(f"there are more than {_RESOURCES} to choose from: name one by its url")
            page = await self._call.view.search(replace(query, cursor=page.next))
            found += page.versions
        return found

    def _new(self, kind: str, address: str) -> bool:
        if (kind, address) in self._asked:
            return False
        if len(self._asked) >= _MOST:
            raise TooLarge(f"a value set may lead to {_MOST} others and code systems")
        self._asked.add((kind, address))
        return True

    def _supplemented(self, address: str, found: CodeSystem) -> CodeSystem:
        """Return a code system of which only a part is stored joined by what R4's tables know of it."""
        base = _systems().get(address.partition("|")[0])
        if found.complete or base is None:
            return found
        return replace(found, concepts={**base.concepts, **found.concepts}, complete=base.complete)


def _order(version: Any) -> tuple[Any, ...]:
    """Return what sorts versions as people number them: 1.10 after 1.9."""
    parts = _NUMBER.split(str(version or ""))
    return tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")


@functools.cache
def _systems() -> Mapping[str, CodeSystem]:
    return of_r4(load())


@functools.cache
def _value_sets() -> Mapping[str, Resource]:
    found: dict[str, Resource] = {}
    for url, systems in load().value_sets.items():
        include = [
            {"system": system, "concept": [{"code": code} for code in sorted(codes)]}
            for system, codes in sorted(systems.items())
        ]
        found[url] = {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": include}}
    return found
