"""What visibility formulas ask of a resource version, computed from the resource alone.

Kinds of `Facets.values`: `label` (sensitivities and other labels, `system|code`), `purpose` (purpose labels), `code`
(the primary codes), `anycode` (every coding), `author`, `ref` (`Type/id` or a url), `profile`, and `elsewhere`:
`no-patient` when a resource that ought to name a patient does not, `code` when what it is about is coded in another
resource. Kinds without a value are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from hawsepipe.consent.clinical import DATED, clinical_time
from hawsepipe.consent.matching import CODED_ELSEWHERE
from hawsepipe.consent.terms import ACT_REASON, CONFIDENTIALITY, coded, terms
from hawsepipe.fhir import references
from hawsepipe.model import Resource
from hawsepipe.visibility import NO_PATIENT, Facets

_PRIMARY: Final = frozenset({"code", "medicationCodeableConcept", "vaccineCode", "productCodeableConcept"})
_TYPED: Final = frozenset({"Composition", "DocumentReference", "Encounter", "Specimen", "DocumentManifest", "Consent"})
"""Types whose primary code is `type`."""

_AUTHORS: Final = frozenset(
    {
        "asserter",
        "assessor",
        "author",
        "custodian",
        "informationSource",
        "managingOrganization",
        "performer",
        "provider",
        "recorder",
        "requester",
        "resultsInterpreter",
        "serviceProvider",
        "source",
    }
)
"""Elements that name who made or keeps the data."""


_KINDS: Final = ("label", "purpose", "profile", "anycode", "code", "ref", "author", "elsewhere")


_NOBODY: Final = frozenset({NO_PATIENT})


def facets(resource: Resource, base_url: str) -> Facets:
    """Return the facets. An unknown confidentiality code, or none, leaves the rank open: not labelled."""
    kind = str(resource.get("resourceType", ""))
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    ranks: list[int | None] = []
    values: dict[str, set[str]] = {"label": set(), "purpose": set(), "profile": set(_profiles(meta))}
    _label(meta, values, ranks)
    every: list[tuple[str, str]] = []
    literals: list[str] = []
    _walk(resource, every, literals, terms().systems)
    values["anycode"] = {coded(*coding) for coding in every}
    values["code"] = {
        coded(*coding)
        for name, element in resource.items()
        if name in _PRIMARY or (name == "type" and kind in _TYPED)
        for coding in codings(element)
    }
    values["ref"] = set(_targets(literals, base_url))
    values["author"] = set(_targets(_authors(resource), base_url))
    values["elsewhere"] = set(_elsewhere(resource, kind, base_url))
    start, end = clinical_time(resource)
    return Facets(
        rank=_rank(ranks),
        clinical_start=start,
        clinical_end=end,
        values={name: frozenset(found) for name, found in values.items() if found},
    )


class ElementFacets(NamedTuple):
    """What one element of a resource (`meta` included) gives to its facets: values, the ranks of its labels, itself if
    it is one of `clinical.DATED`; and the codings below it.
    """

    values: Mapping[str, frozenset[str]]
    ranks: tuple[int | None, ...]
    dated: Resource
    codings: Sequence[tuple[str, str]]


def element_facets(kind: str, name: str, value: Any, base_url: str) -> ElementFacets:
    """Return what an element gives. `together` makes the facets of a resource of what all its elements give."""
    values: dict[str, set[str]] = {}
    ranks: list[int | None] = []
    if name == "meta" and isinstance(value, dict):
        values["profile"] = set(_profiles(value))
        _label(value, values, ranks)
    every: list[tuple[str, str]] = []
    literals: list[str] = []
    element = {name: value}
    _walk(element, every, literals, terms().systems)
    values["anycode"] = {coded(*coding) for coding in every}
    if name in _PRIMARY or (name == "type" and kind in _TYPED):
        values["code"] = {coded(*coding) for coding in codings(value)}
    values["ref"] = set(_targets(literals, base_url))
    values["author"] = set(_targets(_authors(element), base_url))
    if name == "medicationReference":
        values["elsewhere"] = set(_coded_elsewhere(value))
    return ElementFacets(
        {key: frozenset(found) for key, found in values.items() if found},
        tuple(ranks),
        {name: value} if name in DATED else {},
        every,
    )


def renamed(element: ElementFacets, ids: Mapping[str, str]) -> ElementFacets:
    """Return what an element gives that names other resources here; `ids` gives the new ids of the old."""

    def other(reference: str) -> str:
        kind, slash, id_ = reference.partition("/")
        return kind + slash + ids[id_] if id_ in ids else reference

    values = {
        key: frozenset(map(other, held)) if key in ("ref", "author") else held for key, held in element.values.items()
    }
    return element._replace(values=values)


def as_one(elements: Sequence[ElementFacets]) -> ElementFacets:
    """Return what several elements of a resource give as if one gave it."""
    values: dict[str, frozenset[str]] = {}
    dated: Resource = {}
    for element in elements:
        for kind, held in element.values.items():
            values[kind] = values.get(kind, frozenset()) | held
        dated |= element.dated
    ranks = tuple(rank for element in elements for rank in element.ranks)
    return ElementFacets(values, ranks, dated, [coding for element in elements for coding in element.codings])


def together(kind: str, elements: Sequence[ElementFacets], *, about: bool) -> Facets:
    """Return the facets of a resource by those of its elements; `about` says whether it is about a patient."""
    found: dict[str, list[frozenset[str]]] = {}
    ranks: list[int | None] = []
    dated: Resource = {}
    for values, some, dates, _ in elements:
        if some:
            ranks += some
        if dates:
            dated |= dates
        for key, held in values.items():
            if key in found:
                found[key].append(held)
            else:
                found[key] = [held]
    if kind == "Provenance" or not (about or kind in terms().patientless):
        found.setdefault("elsewhere", []).append(_NOBODY)
    start, end = clinical_time(dated) if dated else (None, None)
    values = {}
    for key in _KINDS:
        if key in found:
            first, *more = found[key]
            values[key] = first.union(*more) if more else first
    return Facets(_rank(ranks), start, end, values)


def _label(meta: dict[str, Any], values: dict[str, set[str]], ranks: list[int | None]) -> None:
    for system, code in security(meta):
        if system == CONFIDENTIALITY:
            ranks.append(terms().ranks.get(code))
        elif system == ACT_REASON:
            values.setdefault("purpose", set()).add(coded(system, code))
        else:
            values.setdefault("label", set()).add(coded(system, code))


def _rank(ranks: Sequence[int | None]) -> int | None:
    known = [rank for rank in ranks if rank is not None]
    return max(known) if known and len(known) == len(ranks) else None


def security(meta: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (system, code) of each label, a system's aliases replaced by its name."""
    labels = meta.get("security")
    for label in labels if isinstance(labels, list) else ():
        if isinstance(label, dict):
            yield terms().system(str(label.get("system", ""))), str(label.get("code", ""))


def _profiles(meta: dict[str, Any]) -> Iterator[str]:
    profiles = meta.get("profile")
    for profile in profiles if isinstance(profiles, list) else ():
        if isinstance(profile, str):
            yield profile
            yield profile.partition("|")[0]


def codings(node: Any) -> list[tuple[str, str]]:
    """Return (system, code) of every coding below a node, security labels left out (they are `label`)."""
    found: list[tuple[str, str]] = []
    _walk(node, found, [], terms().systems)
    return found


def _walk(node: Any, found: list[tuple[str, str]], literals: list[str], systems: Mapping[str, str]) -> None:
    """Collect the codings below a node and, in document order, its references: one walk, since it is every resource."""
    if isinstance(node, list):
        for item in node:
            if type(item) is not str:
                _walk(item, found, literals, systems)
        return
    if not isinstance(node, dict):
        return
    code = node.get("code")
    if code is not None and isinstance(code, str) and "value" not in node:
        system = node.get("system")
        if isinstance(system, str):
            found.append((systems.get(system, system), code))
    for name, child in node.items():
        kind = type(child)
        if kind is str:
            if name == "reference":
                literals.append(child)
        elif kind is dict or kind is list or isinstance(child, (dict, list)):
            _walk(child, found if name != "security" else [], literals, systems)
        elif name == "reference" and isinstance(child, str):
            literals.append(child)


def _targets(literals: Iterable[str], base_url: str) -> Iterator[str]:
    for literal in literals:
        target = references.parse(literal, base_url)
        if target.type is not None:
            yield f"{target.type}/{target.id}"
        elif target.url and not target.url.startswith("#"):
            yield target.url


def _authors(resource: Resource) -> list[str]:
    literals: list[str] = []
    for name, element in resource.items():
        if name in _AUTHORS and isinstance(element, dict | list):
            _walk(element, [], literals, {})
    return literals


def _elsewhere(resource: Resource, kind: str, base_url: str) -> Iterator[str]:
    # A Provenance alone says nothing of its targets, so it is about nobody until it is joined with them.
    patientless = kind in terms().patientless
    if kind == "Provenance" or not (patientless or references.patients_of(resource, base_url)):
        yield NO_PATIENT
    yield from _coded_elsewhere(resource.get("medicationReference"))


def _coded_elsewhere(medication: Any) -> Iterator[str]:
    literal = medication.get("reference") if isinstance(medication, dict) else None
    if medication is not None and not (isinstance(literal, str) and literal.startswith("#")):
        yield CODED_ELSEWHERE
