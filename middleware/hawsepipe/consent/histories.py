"""Histories as one principal may see them: of a resource, of a type, of everything.

https://hl7.org/fhir/R4/http.html#history. A version is shown to those who may see it and the current one: what was
corrected is not to be had from the past.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from hawsepipe.consent.admission import PERMIT, Admission, House
from hawsepipe.consent.judge import Sitting
from hawsepipe.errors import NotFound
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.history import Span
from hawsepipe.fhir.query import Cursor, Page
from hawsepipe.model import Version

_BATCH: Final = 100


class Histories:
    """The histories of one store for one principal."""

    def __init__(self, house: House, admission: Admission) -> None:
        self._house = house
        self._admission = admission

    async def instance(self, type: str, id: str, before: int | None, count: int, span: Span) -> Page:
        """Return the visible versions of a resource below `before`, newest first, if the current one is visible.

        The next page's `before` is the key of the cursor. `total` is known when the first page is the only one.
        Raises NotFound (the current version is not visible) and Forbidden.
        """
        asked = await self._admission.admitted("history-instance", type, f"{type}/{id}")
        sitting = await self._house.judge.sit(self._admission.principal, asked.interaction, asked.now)
        decision = await sitting.decide(await self._house.store.read(type, id))
        found: list[Version] = []
        if decision.permit:
            async with aclosing(self._visible(sitting, type, id, span)) as versions:
                async for version in versions:
                    if before is None or version.version < before:
                        found.append(version)
                    if len(found) > count:
                        break
        shown, more = found[:count], len(found) > count
        await self._admission.record(asked, decision, shown)
        if not decision.permit:
            raise NotFound(f"there is no {asked.target}")
        following = Cursor((), shown[-1].version) if more and shown else None
        return Page(tuple(shown), following, len(shown) if before is None and not more else None)

    async def across(self, type: str | None, before: Cursor | None, count: int, span: Span) -> Page:
        """Return the visible versions of a type, or of every type, before a cursor, newest first. Raises Forbidden."""
        interaction = "history-system" if type is None else "history-type"
        asked = await self._admission.admitted(interaction, type, type or "*")
        judge, principal = self._house.judge, self._admission.principal
        sitting = await judge.sit(principal, interaction, asked.now)
        visibility = await judge.visibility(principal, interaction, asked.now)
        place = (span.high, 0) if span.high is not None else None
        if before is not None:
            place = (int(before.values[0] or 0), before.key)
        current: dict[str, bool] = {}
        found: list[tuple[int, Version]] = []
        while len(found) <= count:
            batch = await self._house.store.changes(type, visibility, place, span.since, _BATCH)
            for key, version in batch:
                name = version.reference
                if name not in current:
                    now = await self._house.store.read(version.type, version.id)
                    current[name] = (await sitting.decide(now)).permit
                if current[name] and (await sitting.decide(version)).permit and await self._at(sitting, version, span):
                    found.append((key, version))
            if len(batch) < _BATCH:
                break
            place = (microseconds(batch[-1][1].last_updated), batch[-1][0])
        shown, more = found[:count], len(found) > count
        versions = tuple(version for _, version in shown)
        await self._admission.record(asked, PERMIT, versions)
        following = None
        if more and shown:
            following = Cursor((microseconds(shown[-1][1].last_updated),), shown[-1][0])
        return Page(versions, following, len(shown) if before is None and not more else None)

    async def _visible(self, sitting: Sitting, type: str, id: str, span: Span) -> AsyncGenerator[Version, None]:
        """Yield the visible versions of a resource that are of the span, newest first."""
        before: int | None = None
        newer: int | None = None
        while True:
            batch = await self._house.store.history(type, id, before, _BATCH)
            for version in batch:
                if not (await sitting.decide(version)).permit:
                    continue
                recorded = microseconds(version.last_updated)
                if span.holds(recorded, newer):
                    yield version
                newer = recorded
            if len(batch) < _BATCH:
                return
            before = batch[-1].version

    async def _at(self, sitting: Sitting, version: Version, span: Span) -> bool:
        """Say whether a version was current in the span, as far as the principal sees what came after it."""
        recorded = microseconds(version.last_updated)
        if span.low is None or recorded >= span.low:
            return span.holds(recorded, None)
        number = version.version
        while True:
            number += 1
            later = await self._house.store.vread(version.type, version.id, number)
            if later is None:
                return span.holds(recorded, None)
            if (await sitting.decide(later)).permit:
                return span.holds(recorded, microseconds(later.last_updated))
