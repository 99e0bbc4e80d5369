"""What happened since, as one principal may see it: the versions that were made, oldest first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hawsepipe.consent.admission import PERMIT, Admission, House
from hawsepipe.consent.judge import EVERYTHING
from hawsepipe.fhir.dates import microseconds
from hawsepipe.model import Version
from hawsepipe.store.contract import Store


@dataclass(frozen=True, slots=True)
class News:
    """Visible versions, oldest first, and the place up to which all was looked at; `more`: there is more already."""

    versions: tuple[Version, ...]
    place: tuple[int, int]
    more: bool


async def newest(store: Store) -> tuple[int, int]:
    """Return the place after everything that there is."""
    last = await store.changes(None, EVERYTHING, None, None, 1)
    return (microseconds(last[0][1].last_updated), last[0][0]) if last else (0, 0)


class Newsreel:
    """Reads news for one principal."""

    def __init__(self, house: House, admission: Admission) -> None:
        self._house = house
        self._admission = admission

    async def since(self, kinds: Collection[str], after: tuple[int, int], count: int) -> News:
        """Return the versions of these types that were made after a place, where they and the current one are visible.

        What was not visible then is not told when it becomes so; deletions are not told. Raises Forbidden.
        """
        kind = next(iter(kinds)) if len(kinds) == 1 else None
        asked = await self._admission.admitted("history-type", kind, kind or "*")
        judge, principal = self._house.judge, self._admission.principal
        end = await newest(self._house.store)
        visibility = await judge.visibility(principal, asked.interaction, asked.now)
        batch = await self._house.store.changes(kind, visibility, None, None, count, after)
        sitting = await judge.sit(principal, asked.interaction, asked.now)
        found: list[Version] = []
        for _, version in batch:
            if version.type not in kinds or version.content is None or not (await sitting.decide(version)).permit:
                continue
            current = await self._house.store.read(version.type, version.id)
            if (await sitting.decide(current)).permit:
                found.append(version)
        if found:
            await self._admission.record(asked, PERMIT, found)
        last = (microseconds(batch[-1][1].last_updated), batch[-1][0]) if batch else after
        more = len(batch) == count
        return News(tuple(found), last if more else max(last, end, after), more)
