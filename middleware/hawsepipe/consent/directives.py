"""A Consent resource as a frozen tree of rules.

R4 Consent: https://hl7.org/fhir/R4/consent.html. Reading never fails: what cannot be read is marked as unknown in the
place where it stands, and what cannot be understood at all blocks. The rulings that the comments name are in
DESIGN.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from hawsepipe.consent.criteria import UNSTATED, Criteria, read
from hawsepipe.consent.terms import ACT_CODE, CONSENT_POLICY, CONSENT_SCOPE, terms
from hawsepipe.fhir import dates, references
from hawsepipe.model import Resource

_SILENT: Final = frozenset({"draft", "proposed", "rejected", "inactive", "entered-in-error"})
_BASES: Final[Mapping[str, str]] = {"OPTIN": "permit", "OPTINR": "permit", "OPTOUT": "deny", "OPTOUTE": "deny"}
_PCF: Final = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/"


class Effect(StrEnum):
    """What a rule does when it fires."""

    PERMIT = "permit"
    DENY = "deny"


class Standing(StrEnum):
    """How far a consent speaks.

    NARROWING: its denies count and its permits do not, because something decisive cannot be read.
    """

    FULL = "full"
    RESEARCH = "research"
    NARROWING = "narrowing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its effect, its criteria with those of its parents that it does not replace, and its exceptions.

    An effect of None: it only holds others. Not `readable`: its type is missing or unknown, so that it denies.
    """

    effect: Effect | None
    criteria: Criteria
    rules: tuple[Rule, ...] = ()
    readable: bool = True

    @property
    def perhaps_permits(self) -> bool:
        """Whether it is a permit or could have been meant as one."""
        return self.effect is Effect.PERMIT or not self.readable


@dataclass(frozen=True, slots=True)
class Directive:
    """What a Consent says.

    `reference` names the version, `patient` is an id. `fallback` is the base effect that holds where the tree says
    nothing. `blocked`: it carries a modifier that is not understood, so it permits nothing and denies everything.
    `dated` is `dateTime` as [low, high) in microseconds, None without one. `identifiers` are business identifiers.
    `pcf`: it claims an IHE PCF profile.
    """

    id: str
    reference: str
    patient: str
    standing: Standing
    blocked: bool
    verified: bool
    pcf: bool
    identifiers: frozenset[str]
    dated: tuple[int, int] | None
    root: Rule
    fallback: Effect | None
    shape: bytes = b""

    def every(self) -> Iterator[Rule]:
        """Yield each rule of the tree."""
        stack = [self.root]
        while stack:
            rule = stack.pop()
            yield rule
            stack += rule.rules

    def governs(self, purpose: str | None) -> bool:
        """Say whether it speaks a permit about this purpose: then what it does not permit is not left to the default.

        A purpose that cannot be read, on either side, is governed (else garbling a grant would reopen a permissive
        default).
        """
        if self.fallback is Effect.PERMIT:
            return True
        return any(_concerns(rule.criteria, purpose) for rule in self.every() if rule.perhaps_permits)

    def boundaries(self) -> Iterator[int]:
        """Yield the instants, in microseconds, at which the answer of some rule's period changes."""
        for rule in self.every():
            if rule.criteria.period is not None and rule.criteria.period.readable:
                yield rule.criteria.period.low
                yield rule.criteria.period.high

    def mentions(self) -> frozenset[str]:
        """Return the recipients, as references, whose membership decides."""
        return frozenset(
            actor.reference
            for rule in self.every()
            for actor in rule.criteria.actors or ()
            if actor.reference is not None and not actor.source
        )

    def related(self) -> frozenset[str]:
        """Return the references whose own references decide (`data.meaning = related`)."""
        return frozenset(
            datum.reference
            for rule in self.every()
            for datum in rule.criteria.data or ()
            if datum.meaning == "related" and datum.reference is not None
        )


def directive(consent: Resource, *, reference: str = "", base_url: str = "") -> Directive | None:
    """Read a Consent; None when it names no patient that could be one of ours.

    `reference` names its version (default: `Consent/id`).
    """
    patient = _patient(consent, base_url)
    if patient is None:
        return None
    identity = _text(consent.get("id"))
    base, readable = _base(consent)
    provision = consent.get("provision")
    root, fallback = _root(provision if isinstance(provision, dict) else {}, base, base_url, readable=readable)
    found = Directive(
        id=identity,
        reference=reference or f"Consent/{identity}",
        patient=patient,
        standing=_standing(consent),
        blocked=_blocked(consent),
        verified=any(entry.get("verified") is True for entry in _dicts(consent.get("verification"))),
        pcf=any(profile.startswith(_PCF) for profile in _profiles(consent)),
        identifiers=frozenset(
            f"{_text(entry.get('system'))}|{entry['value']}"
            for entry in _dicts(consent.get("identifier"))
            if _text(entry.get("value"))
        ),
        dated=_dated(consent.get("dateTime")),
        root=root,
        fallback=fallback,
    )
    # What is nobody else's does not count; dateTime does only beside a business identifier.
    plain = replace(found, id="", reference="", patient="", dated=found.dated if found.identifiers else None)
    return replace(found, shape=sha256(repr(plain).encode("utf-8", "surrogatepass")).digest())


def in_force(
    candidates: tuple[Directive, ...], purpose: str | None, *, require_verification: bool
) -> tuple[Directive, ...]:
    """Return those of one patient's consents that speak about a purpose, with their standing for it (FULL or
    NARROWING).
    """
    standing = []
    for candidate in candidates:
        settled = _settled(candidate.standing, purpose)
        if settled is not Standing.NONE and (candidate.verified or not require_verification):
            standing.append(replace(candidate, standing=settled))
    # Several consents with one business identifier are one agreement: the newest dateTime speaks (semantics 2.4).
    kept = []
    for candidate in standing:
        rivals = [other for other in standing if other is not candidate and other.identifiers & candidate.identifiers]
        if any(other.standing is Standing.FULL and _surely_after(other, candidate) for other in rivals):
            continue
        if any(_maybe_after(other, candidate) for other in rivals):
            candidate = replace(candidate, standing=Standing.NARROWING)
        kept.append(candidate)
    return tuple(kept)


def _settled(standing: Standing, purpose: str | None) -> Standing:
    if standing is not Standing.RESEARCH:
        return standing
    if purpose is None or purpose not in terms().purposes:
        return Standing.NARROWING
    return Standing.FULL if terms().covered(purpose, "HRESCH") else Standing.NONE


def _surely_after(one: Directive, other: Directive) -> bool:
    return one.dated is not None and other.dated is not None and one.dated[0] >= other.dated[1]


def _maybe_after(one: Directive, other: Directive) -> bool:
    """Say whether one could be the newer; two with the very same dateTime are both the newest."""
    if one.dated == other.dated:
        return one.standing is not other.standing and one.standing is Standing.NARROWING
    return one.dated is None or other.dated is None or one.dated[1] > other.dated[0]


def _concerns(criteria: Criteria, purpose: str | None) -> bool:
    listed = criteria.purposes
    if listed is None or listed.unknown or purpose is None or purpose not in terms().purposes:
        return True
    return any(terms().covered(purpose, code) for code in listed.known)


def _root(
    provision: Mapping[str, Any], base: Effect | None, base_url: str, *, readable: bool
) -> tuple[Rule, Effect | None]:
    """Read the root rule and the fallback.

    Rulings a and j: a type on the root is accepted; equal to the base it narrows, else it is an exception.
    """
    criteria = read(provision, UNSTATED, base_url)
    rules = _rules(provision, criteria, base_url)
    if "type" not in provision:
        return Rule(base, criteria, rules, readable), None
    effect = _effect(provision)
    if _readable(provision):
        return Rule(effect, criteria, rules), base if base is not effect else None
    # A type that cannot be read could have been the base, which it then would narrow: only a base of deny stays.
    return Rule(effect, criteria, rules, readable=False), base if base is Effect.DENY else None


def _rules(provision: Mapping[str, Any], criteria: Criteria, base_url: str) -> tuple[Rule, ...]:
    rules = []
    for child in _dicts(provision.get("provision")):
        # Ruling c: a nested rule inherits the elements that it does not state and overrides those that it states.
        own = read(child, criteria, base_url)
        rules.append(Rule(_effect(child), own, _rules(child, own, base_url), _readable(child)))
    return tuple(rules)


def _effect(provision: Mapping[str, Any]) -> Effect:
    """Return the effect of a rule; R4 requires a type on nested rules, so that none, or an unknown one, denies."""
    return Effect.PERMIT if provision.get("type") == "permit" else Effect.DENY


def _readable(provision: Mapping[str, Any]) -> bool:
    return provision.get("type") in {"permit", "deny"}


def _base(consent: Resource) -> tuple[Effect | None, bool]:
    """Return the base effect of policyRule and whether all of it could be read.

    An unknown code of a rule could have been an opt-out, so that it denies.
    """
    effects = set()
    readable = True
    for system, code in _codings(consent.get("policyRule")):
        if system == ACT_CODE and code in terms().policies:
            effects.add(_BASES.get(code))
        elif system == CONSENT_POLICY and code in terms().consent_policies:
            effects.add(None)
        else:
            effects.add("deny")
            readable = False
    stated = effects - {None}
    return (Effect.DENY if "deny" in stated else Effect.PERMIT) if stated else None, readable


def _standing(consent: Resource) -> Standing:
    status = consent.get("status")
    if status in _SILENT:
        return Standing.NONE
    codes = list(_codings(consent.get("scope")))
    known = {code for system, code in codes if system == CONSENT_SCOPE}
    if status != "active":
        return Standing.NARROWING
    if "patient-privacy" in known:
        return Standing.FULL
    if not codes or any(system != CONSENT_SCOPE for system, _ in codes) or known - {"research", "treatment", "adr"}:
        return Standing.NARROWING
    return Standing.RESEARCH if "research" in known else Standing.NONE


def _blocked(consent: Resource) -> bool:
    """Say whether it holds a modifier: none is understood here (semantics 2.6). implicitRules is one by R4."""
    return "implicitRules" in consent or any(_modifiers(consent))


def _modifiers(node: Any) -> Iterator[bool]:
    if isinstance(node, dict):
        if "modifierExtension" in node:
            yield True
        for child in node.values():
            yield from _modifiers(child)
    elif isinstance(node, list):
        for child in node:
            yield from _modifiers(child)


def _patient(consent: Resource, base_url: str) -> str | None:
    patient = consent.get("patient")
    literal = patient.get("reference") if isinstance(patient, dict) else None
    if not isinstance(literal, str):
        return None
    target = references.parse(literal, base_url)
    return target.id if target.type == "Patient" else None


def _dated(value: Any) -> tuple[int, int] | None:
    try:
        return dates.interval(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _profiles(consent: Resource) -> Iterator[str]:
    meta = consent.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    yield from (profile for profile in profiles or () if isinstance(profile, str))


def _codings(concept: Any) -> Iterator[tuple[str, str]]:
    if isinstance(concept, dict):
        for coding in _dicts(concept.get("coding")):
            yield terms().system(_text(coding.get("system"))), _text(coding.get("code"))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
