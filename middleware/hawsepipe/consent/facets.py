"""What visibility formulas ask of a resource version, computed from the resource alone.

Kinds of `Facets.values`: `label` (sensitivities and other labels, `system|code`), `purpose` (purpose labels), `code`
(the primary codes), `anycode` (every coding), `author`, `ref` (`Type/id` or a url), `profile`, and `elsewhere`:
`no-patient` when a resource that ought to name a patient does not, `code` when what it is about is coded in another
resource. Kinds without a value are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hawsepipe.consent.clinical import clinical_time
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


def facets(resource: Resource, base_url: str) -> Facets:
    """Return the facets. An unknown confidentiality code, or none, leaves the rank open: not labelled."""
    kind = str(resource.get("resourceType", ""))
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    ranks: list[int | None] = []
    values: dict[str, set[str]] = {"label": set(), "purpose": set(), "profile": set(_profiles(meta))}
    for system, code in security(meta):
        if system == CONFIDENTIALITY:
            ranks.append(terms().ranks.get(code))
        elif system == ACT_REASON:
            values["purpose"].add(coded(system, code))
        else:
            values["label"].add(coded(system, code))
    known = [rank for rank in ranks if rank is not None]
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
        rank=max(known) if known and len(known) == len(ranks) else None,
        clinical_start=start,
        clinical_end=end,
        values={name: frozenset(found) for name, found in values.items() if found},
    )


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
    medication = resource.get("medicationReference")
    literal = medication.get("reference") if isinstance(medication, dict) else None
    if medication is not None and not (isinstance(literal, str) and literal.startswith("#")):
        yield CODED_ELSEWHERE
