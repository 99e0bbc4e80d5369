"""Who labels, indexes and checks resources, as far as they can tell their elements apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from hawsepipe.fhir.index import Row
from hawsepipe.model import Resource
from hawsepipe.store.contract import Extractor, Labeller, Validator
from hawsepipe.visibility import Facets


class ElementTraits(Protocol):
    """What one element gives to labels and facets; only the labeller that made it knows more."""

    @property
    def labels(self) -> frozenset[str]:
        """The labels that it calls for."""
        ...


TraitsT = TypeVar("TraitsT", bound=ElementTraits)


class ElementLabeller(Labeller, Protocol[TraitsT]):
    """A labeller that can tell the elements apart. Each method agrees with `label(resource, None)` and `facets`."""

    def element(self, kind: str, name: str, value: Any) -> TraitsT:
        """Return what an element of a resource of this type gives; `meta` counts as one, once it is labelled."""
        ...

    def label_elements(self, kind: str, meta: Resource | None, labels: Iterable[str]) -> Resource | None:
        """Return the labelled `meta` of a resource whose elements call for these labels."""
        ...

    def renamed(self, traits: TraitsT, ids: Mapping[str, str]) -> TraitsT:
        """Return the traits of an element that refers to resources by other ids; `ids` gives the new of the old."""
        ...

    def joined(self, traits: Iterable[TraitsT]) -> TraitsT:
        """Return the traits of several elements of a resource as those of one."""
        ...

    def element_facets(self, kind: str, traits: Iterable[TraitsT], *, about: bool) -> Facets:
        """Return the facets of a resource by the traits of its elements, `about` a patient or not."""
        ...


class ElementExtractor(Extractor, Protocol):
    """An extractor that can tell the elements apart, which agrees with `rows`."""

    def element(self, kind: str, key: str, value: Any) -> tuple[Sequence[Row], frozenset[str]]:
        """Return the rows of one element, and the parameters that ask whether there is something and find it here."""
        ...

    def presence(self, kind: str, existing: Collection[str]) -> Sequence[Row]:
        """Return the rows of the parameters that ask whether there is something."""
        ...


class ElementValidator(Validator, Protocol):
    """A validator that can tell the elements apart, which never accepts what `check` refuses."""

    def accepts_elements(self, kind: str, elements: dict[str, Any]) -> bool:
        """Say whether an element, with its twin (`_name`) if it has one, is surely right whatever else there is."""
        ...
