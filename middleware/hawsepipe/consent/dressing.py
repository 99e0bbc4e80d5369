"""Versions as one principal gets them: without what her role does not get, and with bare ids of what she does not see.

A reference keeps its `display` and `identifier` only if its target is visible, so that a target that is hidden and one
that is not there look alike. Of what the scopes or the role leave out altogether, texts about nobody's data (a
practitioner's name) stay and those about patients go: that depends on the token alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from hawsepipe.consent.admission import Admission, House
from hawsepipe.consent.redaction import Redaction
from hawsepipe.consent.stored import opened
from hawsepipe.consent.terms import terms
from hawsepipe.fhir import codec, mentions
from hawsepipe.fhir.query import Clause, Kind, Page, Query, TokenValue
from hawsepipe.model import Resource, Version

_AT_ONCE = 500


class Dressing:
    """Dresses versions for one principal."""

    def __init__(self, house: House, admission: Admission) -> None:
        self._house = house
        self._admission = admission
        self.redaction: Redaction = house.settings.redaction(admission.principal.roles)

    async def one(self, version: Version, interaction: str, now: datetime) -> Version:
        """Return a version as it leaves."""
        return (await self.several((version,), interaction, now))[0]

    async def page(self, page: Page, interaction: str, now: datetime) -> Page:
        """Return a page as it leaves."""
        dressed = await self.several((*page.versions, *page.included), interaction, now)
        count = len(page.versions)
        return replace(page, versions=tuple(dressed[:count]), included=tuple(dressed[count:]))

    async def several(self, versions: Sequence[Version], interaction: str, now: datetime) -> Sequence[Version]:
        """Return versions as they leave. One that is not as it is stored has no opening: a receipt would tell."""
        base = self._house.settings.base_url
        read: dict[int, Resource] = {}
        named: set[str] = set()
        for place, version in enumerate(versions):
            if version.content is not None and (self.redaction or mentions.likely(version.content)):
                read[place] = await opened(version.content)
                named |= mentions.mentioned(read[place], base)
        hidden = await self.hidden(named, interaction, now)
        found = list(versions)
        for place, resource in read.items():
            shown = self.dressed(resource, hidden)
            if shown is not resource:
                found[place] = replace(versions[place], content=codec.encode(shown), opening=None, salt=None)
        return found

    def dressed(self, resource: Resource, hidden: Collection[str]) -> Resource:
        """Return a resource as it leaves, where these are hidden."""
        return self.redaction.of(mentions.stripped(resource, hidden, self._house.settings.base_url))

    async def hidden(self, named: Collection[str], interaction: str, now: datetime) -> frozenset[str]:
        """Return which of these (`Type/id`) references may not say anything of."""
        if not named:
            return frozenset()
        kinds: dict[str, list[str]] = {}
        for name in sorted(named):
            kind, _, identity = name.partition("/")
            kinds.setdefault(kind, []).append(identity)
        seen: set[str] = set()
        for kind, ids in kinds.items():
            if self.redaction.concerns(kind):
                continue
            if self._admission.covers("read", kind):
                seen |= await self._seen(kind, ids, interaction, now)
            elif kind in terms().patientless:
                seen.update(f"{kind}/{identity}" for identity in ids)
        return frozenset(named) - seen

    async def _seen(self, kind: str, ids: Sequence[str], interaction: str, now: datetime) -> set[str]:
        # By the scope of reading, whatever brought the resource here: what is asked is whether she sees the target.
        house = self._house
        asked = "export" if interaction == "export" else "read"
        visibility = await house.judge.visibility(self._admission.principal, asked, now)
        found: set[str] = set()
        for first in range(0, len(ids), _AT_ONCE):
            some = ids[first : first + _AT_ONCE]
            clause = Clause("_id", Kind.TOKEN, None, tuple(TokenValue(None, identity) for identity in some))
            page = await house.store.search(Query(kind, (clause,), count=len(some)), visibility)
            found |= {version.reference for version in page.versions}
        return found
