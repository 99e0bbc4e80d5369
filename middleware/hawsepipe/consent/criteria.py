"""The criteria of one rule of a Consent, read from its provision; what cannot be read is kept as unknown.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from hawsepipe.consent.terms import (
    ACT_CODE,
    ACT_REASON,
    CONFIDENTIALITY,
    CONSENT_ACTION,
    PARTICIPATION,
    RESOURCE_TYPES,
    URI,
    coded,
    terms,
)
from hawsepipe.fhir import dates, references
from hawsepipe.fhir.index import DATE_MAX, DATE_MIN

_MEANINGS: Final = frozenset({"instance", "related", "dependents", "authoredby"})


@dataclass(frozen=True, slots=True)
class Span:
    """A period as [low, high) in microseconds, its partial dates widened and its end inclusive.

    Not readable: unknown.
    """

    low: int
    high: int
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """Codes joined by OR. `unknown`: there is at least one that cannot be read."""

    known: frozenset[str]
    unknown: bool


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor: a recipient or (`source`) where the data come from; `reference` None when it cannot be resolved."""

    source: bool
    reference: str | None


@dataclass(frozen=True, slots=True)
class Labels:
    """Security labels: ranks of confidentiality, sensitivities, whether one is unknown, whether one is a duty that is
    not kept here.
    """

    ranks: frozenset[int]
    sensitivities: frozenset[str]
    unknown: bool
    duty: bool


@dataclass(frozen=True, slots=True)
class Classes:
    """Kinds of content: resource types, profile canonicals, whether one is unknown."""

    types: frozenset[str]
    profiles: frozenset[str]
    unknown: bool


@dataclass(frozen=True, slots=True)
class Datum:
    """Particular data: `meaning` is a consent-data-meaning or None, `reference` the target or None, when they cannot
    be read.
    """

    meaning: str | None
    reference: str | None


@dataclass(frozen=True, slots=True)
class Criteria:
    """The elements of a rule;

    None is one that is not stated and so holds for everything. `odd_actor`: one has a role that is not known.
    """

    period: Span | None = None
    actors: tuple[Actor, ...] | None = None
    odd_actor: bool = False
    actions: Listed | None = None
    labels: Labels | None = None
    purposes: Listed | None = None
    classes: Classes | None = None
    codes: Listed | None = None
    data_period: Span | None = None
    data: tuple[Datum, ...] | None = None


UNSTATED: Final = Criteria()


def read(provision: Mapping[str, Any], parent: Criteria, base_url: str) -> Criteria:
    """Return the parent's criteria overlaid with those that the provision states."""
    stated: dict[str, Any] = {}
    if "period" in provision:
        stated["period"] = span(provision["period"])
    if "actor" in provision:
        stated["actors"], stated["odd_actor"] = _actors(provision["actor"], base_url)
    if "action" in provision:
        stated["actions"] = _actions(provision["action"])
    if "securityLabel" in provision:
        stated["labels"] = _labels(provision["securityLabel"])
    if "purpose" in provision:
        stated["purposes"] = _listed(provision["purpose"], ACT_REASON, frozenset(terms().purposes))
    if "class" in provision:
        stated["classes"] = _classes(provision["class"])
    if "code" in provision:
        stated["codes"] = _codes(provision["code"])
    if "dataPeriod" in provision:
        stated["data_period"] = span(provision["dataPeriod"])
    if "data" in provision:
        stated["data"] = _data(provision["data"], base_url)
    return replace(parent, **stated) if stated else parent


def span(period: Any) -> Span:
    """Read a Period; one that is empty of dates, backwards or unparsable is not readable."""
    try:
        low = dates.interval(period["start"])[0] if "start" in period else DATE_MIN
        high = dates.interval(period["end"])[1] if "end" in period else DATE_MAX
    except (KeyError, TypeError, ValueError):
        return Span(DATE_MIN, DATE_MAX, readable=False)
    bounded = "start" in period or "end" in period
    return Span(low, high, readable=bounded and low < high)


def codings(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (system, code) of a list of Codings; what is not a coding is ("", "")."""
    for coding in _items(value):
        if not isinstance(coding, dict):
            yield "", ""
            continue
        system, code = coding.get("system"), coding.get("code")
        yield terms().system(system) if isinstance(system, str) else "", code if isinstance(code, str) else ""


def _actors(value: Any, base_url: str) -> tuple[tuple[Actor, ...], bool]:
    actors = []
    odd = False
    for entry in _items(value):
        source = _is_source(entry.get("role")) if isinstance(entry, dict) else None
        if source is None:
            odd = True
        else:
            actors.append(Actor(source, _target(entry.get("reference"), base_url)))
    return tuple(actors), odd or not actors


def _is_source(role: Any) -> bool | None:
    """Say whether a role is of those who made the data (True) or of those who get them (False);

    None when it is neither or both. Ruling i.
    """
    found = set()
    for system, code in codings(role.get("coding") if isinstance(role, dict) else None):
        if system == PARTICIPATION and code in terms().sources:
            found.add(True)
        elif system == PARTICIPATION and code in terms().recipients:
            found.add(False)
    return found.pop() if len(found) == 1 else None


def _actions(value: Any) -> Listed:
    known = set()
    unknown = False
    for concept in _items(value):
        codes = {
            code
            for system, code in codings(concept.get("coding") if isinstance(concept, dict) else None)
            if system == CONSENT_ACTION and code in {"collect", "access", "use", "disclose", "correct"}
        }
        known |= codes | ({"access"} if "use" in codes else set())
        unknown = unknown or not codes
    return Listed(frozenset(known), unknown or not known)


def _labels(value: Any) -> Labels:
    ranks, sensitivities = set(), set()
    unknown = duty = False
    for system, code in codings(value):
        if system == CONFIDENTIALITY and code in terms().ranks:
            ranks.add(terms().ranks[code])
        elif system == ACT_CODE and code in terms().sensitivities:
            sensitivities.add(code)
        elif system == ACT_CODE and code in terms().duties:
            duty = True
        else:
            unknown = True
    nothing = not ranks and not sensitivities
    return Labels(frozenset(ranks), frozenset(sensitivities), unknown or nothing, duty)


def _classes(value: Any) -> Classes:
    types, profiles = set(), set()
    unknown = False
    for system, code in codings(value):
        if system == RESOURCE_TYPES and code in terms().types:
            types.add(code)
        elif system == URI and "://" in code:
            profiles.add(code)
        else:
            unknown = True
    return Classes(frozenset(types), frozenset(profiles), unknown or not (types or profiles))


def _codes(value: Any) -> Listed:
    known = set()
    unknown = False
    for concept in _items(value):
        found = list(codings(concept.get("coding") if isinstance(concept, dict) else None))
        readable = {coded(system, code) for system, code in found if system and code}
        known |= readable
        unknown = unknown or len(readable) < len(found) or not found
    return Listed(frozenset(known), unknown or not known)


def _data(value: Any, base_url: str) -> tuple[Datum, ...]:
    found = []
    for entry in _items(value):
        meaning = entry.get("meaning") if isinstance(entry, dict) else None
        reference = _target(entry.get("reference"), base_url) if isinstance(entry, dict) else None
        found.append(Datum(meaning if meaning in _MEANINGS else None, reference))
    return tuple(found) or (Datum(None, None),)


def _target(value: Any, base_url: str) -> str | None:
    """Return `Type/id` or another server's url.

    None for what is neither: `Practitioner/1/` may be meant for Practitioner/1.
    """
    literal = value.get("reference") if isinstance(value, dict) else None
    if not isinstance(literal, str):
        return None
    target = references.parse(literal, base_url)
    if target.type is not None:
        return f"{target.type}/{target.id}" if target.type in terms().types and "#" not in literal else None
    ours = base_url != "" and literal.startswith(base_url)
    return target.url if ("://" in literal or literal.startswith("urn:")) and not ours else None


def _listed(value: Any, system: str, codes: frozenset[str]) -> Listed:
    found = list(codings(value))
    known = frozenset(code for own, code in found if own == system and code in codes)
    return Listed(known, len(known) < len(set(found)) or not known)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
