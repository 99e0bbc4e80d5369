"""Does a rule fit a resource version? The reference evaluator of criteria; `formula` compiles the same rules.

What a criterion means can depend on the polarity of its rule (rulings b, d; semantics, table): each function gets the
rule's effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from hawsepipe.consent.criteria import Criteria, Datum
from hawsepipe.consent.directives import Directive, Effect, Rule
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.request import Request
from hawsepipe.consent.terms import ACT_CODE, coded, terms
from hawsepipe.consent.truth import Truth, every, some, truth
from hawsepipe.visibility import NO_AUTHOR, Subject

CODED_ELSEWHERE: Final = "code"
"""The `elsewhere` facet of a resource that is about something coded in another resource."""


@dataclass(frozen=True, slots=True)
class Matching:
    """One request and one resource version."""

    request: Request
    subject: Subject
    settings: PolicySettings

    def opinion(self, directive: Directive) -> Effect | None:
        """Return what a consent says, None when it says nothing (semantics 3)."""
        if directive.blocked:
            return Effect.DENY
        said = self._opinion(directive.root, directive)
        if said is not None:
            return said
        if directive.fallback is Effect.PERMIT and not self._under_ceiling():
            return None
        return directive.fallback

    def refuses_emergency(self, directive: Directive) -> bool:
        """Say whether a deny that names BTG fires (ruling f)."""
        return directive.blocked or any(
            "BTG" in rule.criteria.purposes.known and self._fires(rule, directive)
            for rule in directive.every()
            if rule.effect is Effect.DENY and rule.criteria.purposes is not None
        )

    def _opinion(self, rule: Rule, directive: Directive) -> Effect | None:
        exceptions = {self._opinion(child, directive) for child in rule.rules} - {None}
        if exceptions:
            return Effect.DENY if Effect.DENY in exceptions else Effect.PERMIT
        return rule.effect if rule.effect is not None and self._fires(rule, directive) else None

    def _fires(self, rule: Rule, directive: Directive) -> bool:
        """The polarity rule: a permit fires on TRUE alone, a deny on anything but FALSE."""
        match = every(self._criteria(rule.criteria, rule.effect is Effect.PERMIT, directive.pcf))
        return match is Truth.TRUE if rule.effect is Effect.PERMIT else match is not Truth.FALSE

    def _criteria(self, criteria: Criteria, permit: bool, pcf: bool) -> Iterator[Truth]:
        yield self.request.asked(criteria)
        yield self._source(criteria, permit)
        yield self._label(criteria, permit)
        yield self._class(criteria, permit)
        yield self._code(criteria, permit)
        yield self._data_period(criteria, permit)
        yield self._data(criteria, permit, pcf)

    @property
    def _joint(self) -> bool:
        """Whether the subject is a Provenance: its facets are those of all its targets (`visibility.joined`).

        What holds for one of them need not hold for all, so that no permit may rest on it.
        """
        return bool(self._facet("target"))

    def _source(self, criteria: Criteria, permit: bool) -> Truth:
        sources = [actor.reference for actor in criteria.actors or () if actor.source]
        if not sources or criteria.odd_actor:  # an odd actor makes the whole element unknown, see Request.asked
            return Truth.TRUE
        return some(self._authored(reference, permit) for reference in sources)

    def _authored(self, reference: str | None, permit: bool) -> Truth:
        authors = self._facet("author")
        if reference is None or not authors or (permit and self._joint):
            return Truth.UNKNOWN
        if reference not in authors and NO_AUTHOR in self._facet("elsewhere"):
            return Truth.UNKNOWN
        return truth(reference in authors)

    def _label(self, criteria: Criteria, permit: bool) -> Truth:
        rank, named = self.subject.facets.rank, criteria.labels
        if named is None:
            if not permit:
                return Truth.TRUE
            return Truth.UNKNOWN if rank is None else truth(self._under_ceiling())
        if rank is None or (permit and (named.duty or named.unknown)):
            # Not labelled yet; or allowed under a duty that nobody would keep here, which an unknown label may be.
            return Truth.UNKNOWN
        if permit:
            return truth(self._covered(rank, named.ranks, named.sensitivities))
        labels = self._facet("label")
        if any(rank >= bound for bound in named.ranks) or labels & below(named.sensitivities):
            return Truth.TRUE
        unclear = named.sensitivities and not labels <= readable()
        return Truth.UNKNOWN if named.unknown or named.duty or unclear else Truth.FALSE

    def _covered(self, rank: int, ranks: frozenset[int], sensitivities: frozenset[str]) -> bool:
        highest = max(ranks, default=-1)
        if rank <= highest:
            return True
        labels, allowed = self._facet("label"), below(sensitivities)
        ceiling = max(highest, terms().ranks[self.settings.permit_ceiling])
        covered = bool(labels & allowed) and labels <= allowed | neutral() and rank <= ceiling
        return covered and not self._joint

    def _class(self, criteria: Criteria, permit: bool) -> Truth:
        named = criteria.classes
        if named is None:
            return Truth.TRUE
        targets = self._facet("target")
        if permit and targets:
            return truth(targets <= named.types)
        if ({self.subject.type} | targets) & named.types or self._facet("profile") & named.profiles:
            return Truth.TRUE
        return Truth.UNKNOWN if named.unknown else Truth.FALSE

    def _code(self, criteria: Criteria, permit: bool) -> Truth:
        named = criteria.codes
        if named is None:
            return Truth.TRUE
        found = self._facet("code") if permit else self._facet("anycode") | self._facet("label")
        if found & named.known:
            return Truth.TRUE
        hidden = not permit and CODED_ELSEWHERE in self._facet("elsewhere")
        return Truth.UNKNOWN if named.unknown or hidden else Truth.FALSE

    def _data_period(self, criteria: Criteria, permit: bool) -> Truth:
        span, facets = criteria.data_period, self.subject.facets
        if span is None:
            return Truth.TRUE
        start, end = facets.clinical_start, facets.clinical_end
        if not span.readable:
            return Truth.UNKNOWN
        recorded = (self.subject.first_recorded, self.subject.last_updated)
        if not permit and any(span.low <= instant < span.high for instant in recorded):
            return Truth.TRUE
        if start is None or end is None:
            return Truth.UNKNOWN
        if not permit:
            return truth(start < span.high and end > span.low)
        inside = span.low <= start and end <= span.high
        return truth(inside and all(instant < span.high for instant in recorded))

    def _data(self, criteria: Criteria, permit: bool, pcf: bool) -> Truth:
        if criteria.data is None:
            return Truth.TRUE
        return some(self._datum(datum, permit, pcf) for datum in criteria.data)

    def _datum(self, datum: Datum, permit: bool, pcf: bool) -> Truth:
        if datum.meaning is None or datum.reference is None or (permit and self._joint):
            return Truth.UNKNOWN
        instance = f"{self.subject.type}/{self.subject.id}" == datum.reference
        depends = datum.reference in self._facet("ref")
        if datum.meaning == "authoredby":
            return self._authored(datum.reference, permit)
        if datum.meaning == "instance":
            return truth(instance or (depends and self._joint))
        if datum.meaning == "dependents" or (permit and pcf):
            return truth(instance or depends)
        return self._related(datum.reference, instance, depends and not permit)

    def _related(self, reference: str, instance: bool, depends: bool) -> Truth:
        """Ruling d: a permit follows R4 (the instance and what it refers to), a deny goes in both directions."""
        if instance or depends:
            return Truth.TRUE
        targets = self.request.circle.directory.targets(reference)
        if targets is None:
            return Truth.UNKNOWN
        return truth(f"{self.subject.type}/{self.subject.id}" in targets or self._targets(targets))

    def _targets(self, references: frozenset[str]) -> bool:
        """Say whether a Provenance's target may be one of these; its references include its targets."""
        return self._joint and not references.isdisjoint(self._facet("ref"))

    def _under_ceiling(self) -> bool:
        rank = self.subject.facets.rank
        return rank is not None and rank <= terms().ranks[self.settings.permit_ceiling]

    def _facet(self, kind: str) -> frozenset[str]:
        return self.subject.facets.values.get(kind, frozenset())


@cache
def below(sensitivities: frozenset[str]) -> frozenset[str]:
    """Return sensitivities and all below them, as facets spell them."""
    return frozenset(coded(ACT_CODE, low) for code in sensitivities for low in terms().below[code])


@cache
def neutral() -> frozenset[str]:
    """Labels that are not sensitivities: duties and policies."""
    return frozenset(coded(ACT_CODE, code) for code in terms().duties | terms().policies)


@cache
def readable() -> frozenset[str]:
    """Labels whose meaning is known."""
    return neutral() | frozenset(coded(ACT_CODE, code) for code in terms().sensitivities)
