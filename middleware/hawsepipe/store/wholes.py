"""First versions, and elements of resources, worked out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from hawsepipe.fhir import codec
from hawsepipe.fhir.merge import joins_to_itself
from hawsepipe.store.moulds import Mould
from hawsepipe.store.prepared import Sight
from hawsepipe.visibility import Facets


@dataclass(slots=True)
class Element:
    """One element of resources of one type, worked out: `"name":value` as it is written and in the canonical form, its
    rows by their class, and more.

    `plain`: joined to nothing it stays as it is, None where that is not known; `right`: it is right in any resource
    where it stands without a twin; `single`: so it is beside a twin that is single, too (a list and its twin depend on
    each other); `mould` is for those that differ from it in names alone, if there can be any; `seen` is what it gives
    alone to the facets of a resource, once that was asked.
    """

    written: bytes
    canonical: bytes
    rows: tuple[tuple[int, tuple[Any, ...]], ...]
    existing: frozenset[str]
    traits: Any
    patients: tuple[str, ...]
    plain: bool | None
    right: bool
    single: bool
    mould: Mould | None = None
    seen: Facets | None = None


class Meta(NamedTuple):
    """A labelled `meta`, and what stands before and after its instant in both forms."""

    element: Element
    content: tuple[bytes, bytes]
    canonical: tuple[bytes, bytes]


class Whole(NamedTuple):
    """A first version, labelled and right, but for its instant: what stands before and after it in the content and in
    the canonical form, the static form, and what it is found and seen by.
    """

    content: tuple[bytes, bytes]
    canonical: tuple[bytes, bytes]
    static: bytes
    patients: tuple[str, ...]
    sight: Sight
    linked: bool


def plain(element: Element) -> bool:
    """Say whether an element, joined to nothing, stays as it is."""
    if element.plain is None:
        ((name, value),) = codec.decode(b"{" + element.written + b"}").items()
        element.plain = joins_to_itself(name, value)
    return element.plain
