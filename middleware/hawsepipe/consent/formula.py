"""The consents folded into formulas that a store compiles: what `decide` says, for every resource at once.

For one request (who, for what, when) all that concerns the request alone is decided here; what remains speaks of the
resource. A formula says whether the rule *fires*, with the polarity already in it, so that three values need only one
formula. An emergency claim is for one patient and never folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from hawsepipe.consent.consents import Consents
from hawsepipe.consent.criteria import Criteria, Datum, Labels, Span
from hawsepipe.consent.decide import (
    GUARDED,
    NOT_FOR_PATIENT,
    SEALED_LABEL,
    TRANSFORMING,
    default_opens,
    kept_for,
)
from hawsepipe.consent.directives import Directive, Effect, Rule, Standing
from hawsepipe.consent.matching import CODED_ELSEWHERE, below, neutral, readable
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.request import Request
from hawsepipe.consent.terms import NORMAL, VERY_RESTRICTED, terms
from hawsepipe.consent.truth import Truth
from hawsepipe.visibility import (
    NO_AUTHOR,
    NO_PATIENT,
    All,
    Any,
    AtLeast,
    AtMost,
    Constant,
    Formula,
    Has,
    InstanceIn,
    Lacks,
    Measure,
    Not,
    Only,
    TypeIn,
    Visibility,
)

_TRUE: Final = Constant(True)
_FALSE: Final = Constant(False)
_ALONE: Final = Lacks("target")
"""It is no Provenance: what holds for one of the targets of one need not hold for all (`visibility.joined`)."""

_JOINT: Final = Not(_ALONE)
_ANY_GUARDED: Final = Any((TypeIn(GUARDED), Has("target", GUARDED)))
_ALL_GUARDED: Final = Any((TypeIn(GUARDED), All((Has("target", GUARDED), Only("target", GUARDED)))))
_ANY_SEALED: Final = Has("label", frozenset({SEALED_LABEL}))
_ONE_SEALED: Final = All((_ANY_SEALED, _ALONE))
_UNLABELLED: Final = AtLeast(Measure.RANK, 1 << 30, absent=True)


def visibility(
    request: Request, consents: Consents, settings: PolicySettings, *, tenant: str | None = None
) -> Visibility:
    """Return what the request may see. It agrees with `decide` on every resource, without an emergency claim."""
    if request.principal.tenant != (settings.tenant if tenant is None else tenant):
        return Visibility(_FALSE, (), _FALSE)
    officer = settings.officer(request.principal.roles)
    default = _default(request, settings)
    anybody = _person(request, None, _within(request, frozenset()), default, officer)
    groups: dict[Formula, set[str]] = {}
    # Those about whom something more is to be known are asked about one by one; all others by their kind.
    singular = set(consents.linked) | {one for one in (request.principal.patient, request.oneself) if one is not None}
    kinds = [patients if patients.isdisjoint(singular) else patients - singular for patients in consents.alike]
    for patients in [*filter(None, kinds), *(frozenset({patient}) for patient in sorted(singular))]:
        one = next(iter(patients))
        oneself = request.oneself if request.oneself in consents.persons(one) else None
        layer = _layer(request, one, consents, settings, default)
        formula = _person(request, oneself, _within(request, consents.persons(one)), layer, officer)
        if formula != anybody:
            groups.setdefault(formula, set()).update(patients)
    return Visibility(
        scope=_scope(request, settings, officer),
        patients=tuple((frozenset(patients), formula) for formula, patients in groups.items()),
        default=anybody,
    )


def _scope(request: Request, settings: PolicySettings, officer: bool) -> Formula:
    """Steps 1 to 3 of `decide`."""
    reach, role = request.reach, settings.types(request.principal.roles)
    parts: list[Formula] = []
    if reach.wide is not None and reach.narrow is not None:
        parts += [TypeIn(reach.wide | reach.narrow), Only("target", reach.wide | reach.narrow)]
    if role is not None:
        parts += [TypeIn(role), Only("target", role)]
    parts += [Only("purpose", kept_for(request.purpose)), Not(Has("label", TRANSFORMING))]
    named = Not(Has("elsewhere", frozenset({NO_PATIENT})))
    if not officer:
        return conjunction([*parts, Not(_ANY_SEALED), named, Not(_withheld())])
    return conjunction(
        [*parts, disjunction([Not(_ANY_SEALED), _ALONE]), disjunction([named, _ALL_GUARDED, _ONE_SEALED])]
    )


def _withheld() -> Formula:
    """Step 3: data that nobody's consent speaks of, labelled V or not labelled."""
    patientless = terms().patientless
    about = disjunction([TypeIn(patientless), Has("target", patientless)])
    # The rank first: it is at hand, and almost never so high.
    return conjunction([AtLeast(Measure.RANK, VERY_RESTRICTED, absent=True), about])


def _within(request: Request, persons: frozenset[str]) -> Formula:
    """Step 4.1. A type that only a scope of level patient covers is within reach of the launch patient alone."""
    if request.reach.wide is None or request.principal.patient in persons:
        return _TRUE
    return conjunction([TypeIn(request.reach.wide), Only("target", request.reach.wide)])


def _person(request: Request, oneself: str | None, within: Formula, layer: Formula, officer: bool) -> Formula:
    """Steps 3 (the officer), 4.1 to 4.3."""
    if oneself is not None:
        seen = conjunction([within, Not(Has("label", frozenset({NOT_FOR_PATIENT})))])
    else:
        seen = conjunction([within, Not(_ANY_GUARDED), layer])
    return disjunction([_ALL_GUARDED, _ONE_SEALED, seen]) if officer else seen


def _layer(request: Request, patient: str, consents: Consents, settings: PolicySettings, default: Formula) -> Formula:
    """Step 4.4."""
    directives = consents.in_force(patient, request.purpose, settings)
    folded = [(directive, _Folding(request, settings, directive).opinion()) for directive in directives]
    denies = disjunction(deny for _, (_, deny) in folded)
    permits = [permit for directive, (permit, _) in folded if directive.standing is Standing.FULL]
    if not any(directive.governs(request.purpose) for directive in directives):
        permits.append(default)
    return conjunction([negation(denies), disjunction(permits)])


def _default(request: Request, settings: PolicySettings) -> Formula:
    if default_opens(request, settings) is None:
        return _FALSE
    return AtMost(Measure.RANK, NORMAL, absent=False)


class _Folding:
    """One consent folded for one request: `opinion` gives when it permits and when it denies."""

    def __init__(self, request: Request, settings: PolicySettings, directive: Directive) -> None:
        self._request = request
        self._ceiling = terms().ranks[settings.permit_ceiling]
        self._directive = directive

    def opinion(self) -> tuple[Formula, Formula]:
        """Return the formulas under which the consent permits and under which it denies; never both."""
        if self._directive.blocked:
            return _FALSE, _TRUE
        permit, deny = self._rule(self._directive.root)
        silent = negation(disjunction([permit, deny]))
        if self._directive.fallback is Effect.DENY:
            return permit, disjunction([deny, silent])
        if self._directive.fallback is Effect.PERMIT:
            return disjunction([permit, conjunction([silent, self._under_ceiling()])]), deny
        return permit, deny

    def _rule(self, rule: Rule) -> tuple[Formula, Formula]:
        exceptions = [self._rule(child) for child in rule.rules]
        deny = disjunction(denying for _, denying in exceptions)
        permit = conjunction([disjunction(permitting for permitting, _ in exceptions), negation(deny)])
        if rule.effect is None:
            return permit, deny
        fires = conjunction([negation(disjunction([permit, deny])), self._fires(rule)])
        if rule.effect is Effect.PERMIT:
            return disjunction([permit, fires]), deny
        return permit, disjunction([deny, fires])

    def _fires(self, rule: Rule) -> Formula:
        permit = rule.effect is Effect.PERMIT
        asked = self._request.asked(rule.criteria)
        if asked is Truth.FALSE or (permit and asked is Truth.UNKNOWN):
            return _FALSE
        return conjunction(self._criteria(rule.criteria, permit))

    def _criteria(self, criteria: Criteria, permit: bool) -> Iterator[Formula]:
        yield self._source(criteria, permit)
        yield self._label(criteria.labels, permit)
        yield self._class(criteria, permit)
        yield self._code(criteria, permit)
        yield self._data_period(criteria.data_period, permit)
        if criteria.data is not None:
            yield disjunction(self._datum(datum, permit) for datum in criteria.data)

    def _source(self, criteria: Criteria, permit: bool) -> Formula:
        sources = [actor.reference for actor in criteria.actors or () if actor.source]
        if not sources or criteria.odd_actor:
            return _TRUE
        return disjunction(self._authored(reference, permit) for reference in sources)

    def _authored(self, reference: str | None, permit: bool) -> Formula:
        if reference is None:
            return Constant(not permit)
        named = Has("author", frozenset({reference}))
        if permit:
            return conjunction([named, _ALONE])
        return disjunction([named, Lacks("author"), Has("elsewhere", frozenset({NO_AUTHOR}))])

    def _label(self, named: Labels | None, permit: bool) -> Formula:
        if named is None:
            return self._under_ceiling() if permit else _TRUE
        sensitive = below(named.sensitivities)
        if permit:
            if named.duty or named.unknown:
                return _FALSE
            highest = max(named.ranks, default=-1)
            allowed = AtMost(Measure.RANK, max(highest, self._ceiling), absent=False)
            covered: list[Formula] = [Has("label", sensitive), Only("label", sensitive | neutral()), allowed, _ALONE]
            return disjunction([AtMost(Measure.RANK, highest, absent=False), conjunction(covered)])
        if named.unknown or named.duty:
            return _TRUE
        parts: list[Formula] = [_UNLABELLED]
        if named.ranks:
            parts.append(AtLeast(Measure.RANK, min(named.ranks), absent=True))
        if named.sensitivities:
            parts += [Has("label", sensitive), negation(Only("label", readable()))]
        return disjunction(parts)

    def _class(self, criteria: Criteria, permit: bool) -> Formula:
        named = criteria.classes
        if named is None:
            return _TRUE
        parts: list[Formula] = []
        if named.types and permit:
            parts.append(conjunction([TypeIn(named.types), _ALONE]))
            parts.append(conjunction([Has("target", named.types), Only("target", named.types)]))
        elif named.types:
            parts += [TypeIn(named.types), Has("target", named.types)]
        if named.profiles:
            profiled = Has("profile", named.profiles)
            parts.append(conjunction([profiled, _ALONE]) if permit else profiled)
        return disjunction([*parts, Constant(named.unknown and not permit)])

    def _code(self, criteria: Criteria, permit: bool) -> Formula:
        named = criteria.codes
        if named is None:
            return _TRUE
        if permit:
            return Has("code", named.known) if named.known else _FALSE
        if named.unknown:
            return _TRUE
        return disjunction(
            [Has("anycode", named.known), Has("label", named.known), Has("elsewhere", frozenset({CODED_ELSEWHERE}))]
        )

    def _data_period(self, span: Span | None, permit: bool) -> Formula:
        if span is None:
            return _TRUE
        if not span.readable:
            return Constant(not permit)
        recorded = (Measure.FIRST_RECORDED, Measure.LAST_UPDATED)
        if permit:
            inside: list[Formula] = [
                AtLeast(Measure.CLINICAL_START, span.low, absent=False),
                AtMost(Measure.CLINICAL_END, span.high, absent=False),
            ]
            return conjunction([*inside, *(AtMost(measure, span.high - 1, absent=False) for measure in recorded)])
        overlaps = conjunction(
            [
                AtMost(Measure.CLINICAL_START, span.high - 1, absent=True),
                AtLeast(Measure.CLINICAL_END, span.low + 1, absent=True),
            ]
        )
        within = (
            conjunction([AtLeast(measure, span.low, absent=True), AtMost(measure, span.high - 1, absent=True)])
            for measure in recorded
        )
        return disjunction([overlaps, *within])

    def _datum(self, datum: Datum, permit: bool) -> Formula:
        if datum.meaning is None or datum.reference is None:
            return Constant(not permit)
        if datum.meaning == "authoredby":
            return self._authored(datum.reference, permit)
        meant = self._meant(datum.meaning, frozenset({datum.reference}), permit)
        return conjunction([meant, _ALONE]) if permit else meant

    def _meant(self, meaning: str, reference: frozenset[str], permit: bool) -> Formula:
        if meaning == "instance":
            return self._one_of(reference, permit)
        if meaning == "dependents" or (permit and self._directive.pcf):
            return disjunction([InstanceIn(reference), Has("ref", reference)])
        targets = self._request.circle.directory.targets(next(iter(reference)))
        parts: list[Formula] = [self._one_of(reference | (targets or frozenset()), permit)]
        if not permit:
            parts.append(Has("ref", reference) if targets is not None else _TRUE)
        return disjunction(parts)

    def _one_of(self, references: frozenset[str], permit: bool) -> Formula:
        named = InstanceIn(references)
        return named if permit else disjunction([named, conjunction([_JOINT, Has("ref", references)])])

    def _under_ceiling(self) -> Formula:
        return AtMost(Measure.RANK, self._ceiling, absent=False)


def conjunction(parts: Iterable[Formula]) -> Formula:
    """AND, with constants folded and doubles dropped."""
    kept: dict[Formula, None] = {}
    for part in parts:
        if part == _FALSE:
            return _FALSE
        if part != _TRUE:
            kept |= dict.fromkeys(part.parts if isinstance(part, All) else (part,))
    return _only(tuple(kept), _TRUE, All)


def disjunction(parts: Iterable[Formula]) -> Formula:
    """OR, with constants folded and doubles dropped."""
    kept: dict[Formula, None] = {}
    for part in parts:
        if part == _TRUE:
            return _TRUE
        if part != _FALSE:
            kept |= dict.fromkeys(part.parts if isinstance(part, Any) else (part,))
    return _only(tuple(kept), _FALSE, Any)


def negation(part: Formula) -> Formula:
    """NOT, with constants folded."""
    match part:
        case Constant(value):
            return Constant(not value)
        case Not(inner):
            return inner
        case _:
            return Not(part)


def _only(parts: tuple[Formula, ...], empty: Constant, join: type[All] | type[Any]) -> Formula:
    return empty if not parts else parts[0] if len(parts) == 1 else join(parts)
