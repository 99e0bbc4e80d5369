"""Changes worked out before they meet the store: what does not depend on what is stored, as values.

A prepared change says the same as the change that it was made from. Beside it stands what it makes of a resource that
is not there yet: content, digests, search rows, facets, all checked; only the instant is missing. Stores MAY use it
instead of working it out, and MUST come to the same versions either way. The values are tuples of bytes, texts and
numbers, so that they cross from one process to another for little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import chain, zip_longest
from typing import NamedTuple

import msgspec

from hawsepipe.fhir import codec
from hawsepipe.fhir.index import Grouped
from hawsepipe.fhir.provenance import Place
from hawsepipe.model import Change, Method, Resource
from hawsepipe.visibility import Facets

Effect = tuple[Method, bytes, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""What a change does to whatever is there: method, content, and the sorted `remove`, `union` and `keep`."""


_encoded = msgspec.json.Encoder().encode


class First(NamedTuple):
    """The first version of a resource, labelled and valid, but for its instant.

    `content` and the canonical form are what stands before and after `meta.lastUpdated`; `static` is the SHA-256 of
    `fhir.canonical.static`. `rows` leaves out `_id` and `_lastUpdated`. `linked`: it has an element `link`.
    """

    content: tuple[bytes, bytes]
    canonical: tuple[bytes, bytes]
    static: bytes
    patients: tuple[str, ...]
    rows: Grouped
    rank: int | None
    clinical_start: int | None
    clinical_end: int | None
    values: Mapping[str, frozenset[str]]
    linked: bool

    @property
    def facets(self) -> Facets:
        """What visibility formulas ask of it."""
        return Facets(self.rank, self.clinical_start, self.clinical_end, self.values)

    def at(self, instant: bytes) -> bytes:
        """Return the content with an instant as R4 writes it (27 bytes)."""
        before, after = self.content
        return before + instant + after

    def digests(self, instant: bytes) -> tuple[bytes, bytes]:
        """Return what `fhir.canonical.digests` gives of the content with this instant."""
        before, after = self.canonical
        return sha256(before + instant + after).digest(), self.static


class PreparedChange(NamedTuple):
    """A change by what it does; `first` is None where it has not been worked out, or makes nothing that is valid.
    `speaks` is that of `fhir.merge.speaks`.
    """

    type: str
    id: str
    if_match: int | None
    effect: Effect
    first: First | None
    speaks: bool = True

    @property
    def change(self) -> Change:
        """The change that this was made from."""
        method, content, remove, union, keep = self.effect
        resource = codec.decode(content) if content else None
        return Change(
            method,
            self.type,
            self.id,
            resource,
            self.if_match,
            frozenset(remove),
            frozenset(union),
            frozenset(keep),
        )


class Story(NamedTuple):
    """The first version of a transaction's Provenance, labelled and valid, but for its instant and its targets.

    `content` is what stands around `meta.lastUpdated`, the targets and `recorded`, `canonical` around the same in the
    order of the canonical form (instant, instant, targets), `static` around `recorded` and the targets. `extensions`
    are the targets' by what they name (`Patient/1`), as JSON. `body` is the content without `target` and `recorded`.
    """

    content: tuple[bytes, bytes, bytes, bytes]
    canonical: tuple[bytes, bytes, bytes, bytes]
    static: tuple[bytes, bytes, bytes]
    extensions: Mapping[str, bytes]
    body: Resource

    def at(self, instant: bytes, places: Sequence[Place]) -> bytes:
        """Return the content that names these versions, with an instant as R4 writes it."""
        extensions = self.extensions
        targets = b",".join(
            b'{"reference":'
            + _encoded(place.versioned_reference)
            + b',"extension":'
            + extensions[place.reference]
            + b"}"
            if place.reference in extensions
            else b'{"reference":' + _encoded(place.versioned_reference) + b"}"
            for place in places
        )
        return b"".join(chain.from_iterable(zip_longest(self.content, (instant, targets, instant), fillvalue=b"")))

    def digests(self, instant: bytes, places: Sequence[Place]) -> tuple[bytes, bytes]:
        """Return what `fhir.canonical.digests` gives of that content."""
        extensions = self.extensions
        targets = b",".join(
            b'{"extension":'
            + extensions[place.reference]
            + b',"reference":'
            + _encoded(place.versioned_reference)
            + b"}"
            if place.reference in extensions
            else b'{"reference":' + _encoded(place.versioned_reference) + b"}"
            for place in places
        )
        whole = chain.from_iterable(zip_longest(self.canonical, (instant, instant, targets), fillvalue=b""))
        unmoved = chain.from_iterable(zip_longest(self.static, (instant, targets), fillvalue=b""))
        return sha256(b"".join(whole)).digest(), sha256(b"".join(unmoved)).digest()

    @property
    def lines(self) -> dict[str, str]:
        """The trail of each resource as the Provenance holds it."""
        return {name: msgspec.json.decode(text)[0]["valueString"] for name, text in self.extensions.items()}

    def told(self, instant: str, places: Sequence[Place]) -> Resource:
        """Return what it can be found and seen by: that content without what its targets tell of fields."""
        named = [{"reference": place.versioned_reference} for place in places]
        return self.body | {"target": named, "recorded": instant}


class PreparedTransaction(NamedTuple):
    """As `model.Transaction`; `story` is None where it has not been worked out, and holds the trail where it has.

    `lines` is the trail of each resource as its Provenance holds it.
    """

    changes: tuple[PreparedChange, ...]
    provenance: Resource | None
    story: Story | None
    lines: Mapping[str, str]
    actor: str
    instant: datetime
    source: bytes | None
    rules: bytes | None
    event_time: datetime | None = None
