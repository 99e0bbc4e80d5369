"""Decisions about what the store holds: the consents, directories and formulas of the present, kept as long as they
are true.

What is kept carries the consent epoch that it was made from, and formulas the instants between which they hold;
nothing relies on a time to live.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from hawsepipe.consent.consents import Consents, gathered, slot
from hawsepipe.consent.decide import decide
from hawsepipe.consent.directives import Directive, directive
from hawsepipe.consent.directory import Registry
from hawsepipe.consent.formula import visibility
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.request import Request, request
from hawsepipe.consent.stored import LARGE, decoded, opened
from hawsepipe.consent.targets import throughout
from hawsepipe.fhir import provenance, references
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.query import Clause, Kind, MissingValue, Modifier, Query, TokenValue
from hawsepipe.hooks import ConsentRule
from hawsepipe.model import Decision, Principal, Resource, Version
from hawsepipe.store.contract import Store
from hawsepipe.visibility import All, Constant, Formula, Subject, Visibility, holds, joined

ABSENT: Final = Decision(False, ("absent",))
"""The decision about what was never there."""

HOUSE: Final = Decision(False, ("house-rule",))
"""The decision about what a rule of the house hides."""

_log = structlog.get_logger("hawsepipe.consent")

EVERYTHING: Final = Visibility(Constant(True), (), Constant(True))
"""What hides nothing: for questions whose answer no requester gets."""

_LINKED: Final = Query(
    "Patient", (Clause("link", Kind.REFERENCE, Modifier.MISSING, (MissingValue(False),)),), count=1000
)
_KEPT_FORMULAS: Final = 1024


@dataclass(frozen=True, slots=True)
class _Folded:
    """A visibility and what it was made from: it holds for this epoch, within one slot of the boundaries."""

    epoch: int
    boundaries: tuple[int, ...]
    slot: int
    visibility: Visibility


class Judge:
    """Decides for one store. `labels` must be what the store labels with; `rules` narrow whatever it decides."""

    def __init__(
        self, store: Store, settings: PolicySettings, labels: Labels, rules: Sequence[ConsentRule] = ()
    ) -> None:
        self._rules = tuple(rules)
        self._store = store
        self._settings = settings
        self._labels = labels
        self._registry = Registry(store, settings.base_url)
        self._loading = asyncio.Lock()
        self._epoch = -1
        self._directives: tuple[Directive, ...] = ()
        self._read: dict[str, tuple[int, Directive | None]] = {}
        self._consents = Consents()
        self._contradictory: frozenset[frozenset[str]] = frozenset()
        self._folded: OrderedDict[tuple[Principal, str], _Folded] = OrderedDict()

    async def sit(self, principal: Principal, interaction: str, now: datetime) -> Sitting:
        """Return what decides about any number of versions for one request."""
        consents, _, _ = await self._present()
        return Sitting(self, principal, interaction, now, consents, self._narrowed(principal, now))

    async def persons(self) -> Mapping[str, frozenset[str]]:
        """Return, for each patient whose record was merged with others, every id of the person."""
        consents, _, _ = await self._present()
        return consents.linked

    async def linked(self, visibility: Visibility, ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """Return, for each of these patients that is visible and was merged, the visible ids of the person.

        A link between records that are not seen leads nobody anywhere.
        """
        persons = await self.persons()
        groups = {id_: persons[id_] for id_ in ids if id_ in persons}
        if not groups:
            return {}
        asked = sorted(frozenset().union(*groups.values(), groups))
        values = tuple(TokenValue(None, id_) for id_ in asked)
        query = Query("Patient", (Clause("_id", Kind.TOKEN, None, values),), count=len(asked))
        seen = {version.id for version in (await self._store.search(query, visibility)).versions}
        return {id_: frozenset(group & seen) for id_, group in groups.items() if id_ in seen}

    async def contradictions(self) -> int:
        """Return how many people have merged records whose consents differ; each is logged once."""
        consents, _, _ = await self._present()
        found = consents.contradictory()
        for group in found:
            if group not in self._contradictory:
                _log.warning("consents of merged records differ", patients=sorted(group))
        self._contradictory = frozenset(found)
        return len(found)

    async def visibility(self, principal: Principal, interaction: str, now: datetime) -> Visibility:
        """Return what a principal may see now, for a search."""
        found = await self._by_consents(principal, interaction, now)
        return replace(found, scope=All((found.scope, self._narrowed(principal, now)))) if self._rules else found

    def _narrowed(self, principal: Principal, now: datetime) -> Formula:
        """Return what the rules of the house leave, of a Provenance only if they leave all that it is about.

        A rule that fails, or answers with no formula, leaves nothing.
        """
        parts: list[Formula] = []
        for rule in self._rules:
            try:
                part: object = rule.narrow(principal, now)
            except Exception as error:
                _log.error("a consent rule failed", name=type(rule).__name__, error=type(error).__name__)
                return Constant(False)
            if not isinstance(part, Formula):
                _log.error("a consent rule gave no formula", name=type(rule).__name__)
                return Constant(False)
            parts.append(throughout(part))
        return All(tuple(parts))

    async def _by_consents(self, principal: Principal, interaction: str, now: datetime) -> Visibility:
        consents, directives, epoch = await self._present()
        key = (replace(principal, token_id=""), interaction)
        kept = self._folded.get(key)
        instant = microseconds(now)
        if kept is not None and kept.epoch == epoch and slot(kept.boundaries, instant) == kept.slot:
            self._folded.move_to_end(key)
            return kept.visibility
        asked = await self.request(principal, interaction, now, directives)
        found = visibility(asked, consents, self._settings)
        if not any(one.related() for one in directives):  # what those depend on has no epoch
            boundaries = set(asked.circle.directory.boundaries())
            for one in directives:
                boundaries |= set(one.boundaries())
            ordered = tuple(sorted(boundaries))
            self._folded[key] = _Folded(epoch, ordered, slot(ordered, instant), found)
            while len(self._folded) > _KEPT_FORMULAS:
                self._folded.popitem(last=False)
        return found

    async def subject(self, version: Version, resource: Resource) -> Subject:
        """Return a version as decisions see it; a Provenance with what its targets make of it, as the store keeps it.

        The store joins what was written together with the Provenance: nothing else counts as its target.
        """
        large = version.content is not None and len(version.content) > LARGE
        alone = await asyncio.to_thread(self._alone, version, resource) if large else self._alone(version, resource)
        if version.type != "Provenance":
            return alone
        earlier = provenance.says_unchanged(resource)
        targets = [await self._target(version, place, earlier) for place in provenance.targets(resource)]
        return replace(alone, facets=joined(alone, targets))

    async def _target(self, about: Version, place: provenance.Place | None, earlier: bool) -> Subject | None:
        """Return what a Provenance is about: what was written with it, or before it where the store says so."""
        version = None if place is None else await self._store.vread(*place)
        if version is None or (version.last_updated < about.last_updated) != earlier:
            return None
        resource = await self.content(version)
        return None if resource is None else self._alone(version, resource)

    def _alone(self, version: Version, resource: Resource) -> Subject:
        return Subject(
            type=version.type,
            id=version.id,
            patients=version.patients,
            first_recorded=microseconds(version.first_recorded),
            last_updated=microseconds(version.last_updated),
            facets=self._labels.facets(resource),
        )

    async def request(
        self, principal: Principal, interaction: str, now: datetime, directives: Iterable[Directive]
    ) -> Request:
        """Return the circumstances of an access, with everything resolved that the consents mention."""
        actors = {principal.subject, *principal.actors}
        related: set[str] = set()
        for one in directives:
            actors |= one.mentions()
            related |= one.related()
        return request(principal, interaction, now, await self._registry.directory(self._epoch, actors, related))

    async def _present(self) -> tuple[Consents, tuple[Directive, ...], int]:
        """Return everybody's consents, by person and as a whole, and their epoch; read anew if it has moved."""
        async with self._loading:
            # The epoch first: consents that come in between are read again the next time.
            epoch = await self._store.consent_epoch()
            if epoch != self._epoch:
                read: dict[str, tuple[int, Directive | None]] = {}
                for version in await self._store.consents():
                    kept = self._read.get(version.id)
                    if kept is None or kept[0] != version.version:
                        kept = (version.version, self._directive(version))
                    read[version.id] = kept
                directives = tuple(one for _, one in read.values() if one is not None)
                self._consents = gathered(directives, await self._links())
                self._read, self._directives, self._epoch = read, directives, epoch
            return self._consents, self._directives, self._epoch

    def _directive(self, version: Version) -> Directive | None:
        if version.content is None:
            return None
        consent = decoded(version.content)
        return directive(consent, reference=version.versioned_reference, base_url=self._settings.base_url)

    async def _links(self) -> dict[str, frozenset[str]]:
        """Return, for each patient that Patient.link says was merged, the others (replaces, replaced-by)."""
        found: dict[str, frozenset[str]] = {}
        query: Query | None = _LINKED
        while query is not None:
            page = await self._store.search(query, EVERYTHING)
            for version in page.versions:
                if version.content is not None:
                    others = _merged(decoded(version.content), self._settings.base_url)
                    if others:
                        found[version.id] = others
            query = None if page.next is None else replace(query, cursor=page.next)
        return found

    async def content(self, version: Version) -> Resource | None:
        """Return a version's content, for a tombstone the content that it ended."""
        content, number = version.content, version.version
        while content is None and number > 1:
            number -= 1
            before = await self._store.vread(version.type, version.id, number)
            content = None if before is None else before.content
        return None if content is None else await opened(content)

    @property
    def settings(self) -> PolicySettings:
        """The settings that it decides by."""
        return self._settings


@dataclass(frozen=True, slots=True)
class Sitting:
    """One request with the consents of its moment."""

    judge: Judge
    principal: Principal
    interaction: str
    now: datetime
    consents: Consents
    house: Formula

    async def decide(self, version: Version | None) -> Decision:
        """Decide about one version, a tombstone by the content that it ended. `None` is denied like anything hidden."""
        resource = None if version is None else await self.judge.content(version)
        if version is None or resource is None:
            return ABSENT
        about = [one for patient in version.patients for one in self.consents.of(patient)]
        asked = await self.judge.request(self.principal, self.interaction, self.now, about)
        subject = await self.judge.subject(version, resource)
        if not holds(self.house, subject):
            return HOUSE
        return decide(asked, subject, self.consents, self.judge.settings)


def _merged(patient: Resource, base_url: str) -> frozenset[str]:
    links = patient.get("link")
    found = set()
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("type") in {"replaces", "replaced-by"}:
            other = link.get("other")
            literal = other.get("reference") if isinstance(other, dict) else None
            target = references.parse(literal, base_url) if isinstance(literal, str) else None
            if target is not None and target.type == "Patient" and target.id is not None:
                found.add(target.id)
    return frozenset(found)
