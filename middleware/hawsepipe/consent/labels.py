"""Labels that the server computes: confidentiality, sensitivities, and the facets that decisions ask for.

`meta.security` holds v3-Confidentiality and v3-ActCode sensitivities (https://hl7.org/fhir/R4/security-labels.html).
Labels only grow: what a client or a feed sends is joined to what was there and to what the table of sensitive codes
says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import hawsepipe_schemas
from hawsepipe.consent.facets import ElementFacets, as_one, codings, element_facets, facets, renamed, together
from hawsepipe.consent.terms import ACT_CODE, CONFIDENTIALITY, NORMAL, RESTRICTED, terms
from hawsepipe.errors import ConfigError, InvalidResource
from hawsepipe.model import Issue, Resource, Severity
from hawsepipe.visibility import Facets

_RESTRICTING: Final = frozenset({"ETH", "GDIS", "HIV", "MST", "SDV", "SEX", "SICKLE", "SPI", "STD", "VIO"})
"""Sensitivities that, with everything below them, make a resource R."""


@dataclass(frozen=True, slots=True)
class Sensitive:
    """A row of the table: codes by system, prefixes of codes by system, and the v3-ActCode sensitivity that they
    mean.
    """

    label: str
    codes: Mapping[str, frozenset[str]]
    prefixes: Mapping[str, tuple[str, ...]]


def sensitive(rows: Sequence[Mapping[str, Any]]) -> tuple[Sensitive, ...]:
    """Read rows of the form of `consent/sensitivity.json`.

    Raises ConfigError for a label that is not a sensitivity of v3-ActCode.
    """
    for row in rows:
        if row["label"] not in terms().sensitivities:
            raise ConfigError("consent.sensitivity", "a label is not a sensitivity code of v3-ActCode")
    return tuple(
        Sensitive(
            label=row["label"],
            codes={system: frozenset(codes) for system, codes in row.get("codes", {}).items()},
            prefixes={system: tuple(prefixes) for system, prefixes in row.get("prefixes", {}).items()},
        )
        for row in rows
    )


@cache
def packaged() -> tuple[Sensitive, ...]:
    """Return the table that is packaged: a short start, for the house to extend."""
    return sensitive(hawsepipe_schemas.load("consent/sensitivity.json")["rules"])


class Traits(NamedTuple):
    """What one element of a resource gives to its labels and its facets."""

    labels: frozenset[str]
    facets: ElementFacets


class Labels:
    """Implements `store.contract.Labeller` and `store.elements.ElementLabeller`;

    pure. `base_url` is our own address, so that absolute references to us count as local.
    """

    def __init__(self, table: tuple[Sensitive, ...] | None = None, *, base_url: str = "") -> None:
        self._base_url = base_url
        self._exact: dict[tuple[str, str], set[str]] = {}
        self._prefixes: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for row in packaged() if table is None else table:
            for system, codes in row.codes.items():
                for code in codes:
                    self._exact.setdefault((system, code), set()).add(row.label)
            for system, prefixes in row.prefixes.items():
                self._prefixes.setdefault(system, []).append((prefixes, row.label))

    def label(self, resource: Resource, before: Resource | None) -> Resource:
        """Return the resource with its labels: those it had, those it brings, and those computed.

        There is one known confidentiality code, the highest of them and at least N. The order is stable, so that
        labelling twice changes nothing. Raises InvalidResource as `check_meta`.
        """
        check_meta(resource)
        return self._labelled(resource, before, self.sensitivities(resource))

    def _labelled(self, resource: Resource, before: Resource | None, sensitivities: Iterable[str]) -> Resource:
        meta = resource.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        kept: dict[tuple[str, str], dict[str, Any]] = {}
        for label in [*_labels(before), *_labels(resource)]:
            kept.setdefault((terms().system(str(label.get("system", ""))), str(label.get("code", ""))), label)
        for code in sorted(sensitivities):
            kept.setdefault((ACT_CODE, code), {"system": ACT_CODE, "code": code})
        rank = self._rank(kept)
        code = next(name for name, number in terms().ranks.items() if number == rank)
        confidentiality = kept.get((CONFIDENTIALITY, code), {"system": CONFIDENTIALITY, "code": code})
        others = [
            label for (system, name), label in kept.items() if system != CONFIDENTIALITY or name not in terms().ranks
        ]
        security = [confidentiality, *others]
        if meta.get("security") == security:
            return resource
        return {**resource, "meta": {**meta, "security": security}}

    def facets(self, resource: Resource) -> Facets:
        """Return what visibility formulas ask of it."""
        return facets(resource, self._base_url)

    def sensitivities(self, resource: Resource) -> frozenset[str]:
        """Return the sensitivities that the resource's codes mean, wherever they stand."""
        return self._meant(codings(resource))

    def element(self, kind: str, name: str, value: Any) -> Traits:
        """See `store.elements.ElementLabeller`."""
        found = element_facets(kind, name, value, self._base_url)
        return Traits(self._meant(found.codings), found)

    def label_elements(self, kind: str, meta: Resource | None, labels: Iterable[str]) -> Resource | None:
        """See `store.elements.ElementLabeller`."""
        resource: Resource = {"resourceType": kind} if meta is None else {"resourceType": kind, "meta": meta}
        check_meta(resource)
        return self._labelled(resource, None, labels).get("meta")

    def renamed(self, traits: Traits, ids: Mapping[str, str]) -> Traits:
        """See `store.elements.ElementLabeller`."""
        return traits._replace(facets=renamed(traits.facets, ids))

    def joined(self, traits: Iterable[Traits]) -> Traits:
        """See `store.elements.ElementLabeller`."""
        several = list(traits)
        return Traits(frozenset().union(*[it.labels for it in several]), as_one([it.facets for it in several]))

    def element_facets(self, kind: str, traits: Iterable[Traits], *, about: bool) -> Facets:
        """See `store.elements.ElementLabeller`."""
        return together(kind, [it.facets for it in traits], about=about)

    def _meant(self, found_codings: Iterable[tuple[str, str]]) -> frozenset[str]:
        found: set[str] = set()
        for system, code in found_codings:
            found |= self._exact.get((system, code), set())
            for prefixes, label in self._prefixes.get(system, ()):
                if code.startswith(prefixes):
                    found.add(label)
        return frozenset(found)

    def _rank(self, kept: Mapping[tuple[str, str], Any]) -> int:
        ranks = [terms().ranks[code] for system, code in kept if system == CONFIDENTIALITY and code in terms().ranks]
        restricting = any(
            system == ACT_CODE and terms().sensitivities.get(code, frozenset()) & _RESTRICTING for system, code in kept
        )
        return max([NORMAL, RESTRICTED if restricting else NORMAL, *ranks])


def check_meta(resource: Resource) -> None:
    """Raise InvalidResource for a `meta` that could only be labelled by putting another in its place."""
    kind = resource.get("resourceType")
    if "meta" not in resource:
        return
    meta = resource["meta"]
    if not isinstance(meta, dict):
        raise _unlabellable(f"{kind}.meta", "meta must be an object")
    security = meta.get("security", [])
    if not isinstance(security, list):
        raise _unlabellable(f"{kind}.meta.security", "security labels must be a list")
    for place, label in enumerate(security):
        if not isinstance(label, dict):
            raise _unlabellable(f"{kind}.meta.security[{place}]", "a security label must be an object")


def _unlabellable(place: str, text: str) -> InvalidResource:
    return InvalidResource((Issue(Severity.ERROR, "structure", place, text),))


def _labels(resource: Resource | None) -> Iterator[dict[str, Any]]:
    meta = resource.get("meta") if resource is not None else None
    labels = meta.get("security") if isinstance(meta, dict) else None
    yield from (label for label in labels if isinstance(label, dict)) if isinstance(labels, list) else ()
