"""Changes worked out before they meet the store: what does not depend on what is stored, as values.

A prepared change says the same as the change that it was made from. Beside it stands what it makes of a resource that
is not there yet: content, digests, search rows, facets, all checked; only the instant is missing. Stores MAY use it
instead of working it out, and MUST come to the same versions either way. The values are tuples of bytes, texts and
numbers, so that they cross from one process to another for little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from hawsepipe.fhir import codec
from hawsepipe.fhir.identity import Named
from hawsepipe.fhir.index import Grouped
from hawsepipe.fhir.provenance import Place, named_as_sources
from hawsepipe.model import Change, Method, Resource
from hawsepipe.store.commonness import common, own, together
from hawsepipe.visibility import Facets

Effect = tuple[Method, bytes, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""What a change does to whatever is there: method, content, and the sorted `remove`, `union` and `keep`."""


_encoded = msgspec.json.Encoder().encode


class Sight(NamedTuple):
    """What a version is found and seen by. `rows` leaves out `_id` and `_lastUpdated`; `common` and `own` are the
    values of its facets (`commonness`).
    """

    rows: Grouped
    rank: int | None
    clinical_start: int | None
    clinical_end: int | None
    common: bytes
    own: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, rows: Grouped, facets: Facets) -> Sight:
        """Return these together."""
        values = facets.values
        return cls(rows, facets.rank, facets.clinical_start, facets.clinical_end, common(values), own(values))

    @property
    def facets(self) -> Facets:
        """What visibility formulas ask of it."""
        return together(self.rank, self.clinical_start, self.clinical_end, self.common, self.own)


class First(NamedTuple):
    """The first version of a resource, labelled and valid, but for its instant.

    `content` is what stands before and after `meta.lastUpdated`; `instant` is the one that is expected, and `digests`
    is what `fhir.canonical.digests` gives of the content with it. `linked`: it has an element `link`.
    """

    content: tuple[bytes, bytes]
    instant: bytes
    digests: tuple[bytes, bytes]
    patients: tuple[str, ...]
    sight: Sight
    linked: bool

    def at(self, instant: bytes) -> bytes:
        """Return the content with an instant as R4 writes it (27 bytes)."""
        before, after = self.content
        return before + instant + after

    def digests_at(self, instant: bytes) -> tuple[bytes, bytes] | None:
        """Return what `fhir.canonical.digests` gives of the content with this instant, None where it has to be made."""
        return self.digests if instant == self.instant else None


class PreparedChange(NamedTuple):
    """A change by what it does; `first` is None where it has not been worked out, or makes nothing that is valid.
    `speaks` is that of `fhir.merge.speaks`, `passes` that of the change.
    """

    type: str
    id: str
    if_match: int | None
    effect: Effect
    first: First | None
    speaks: bool = True
    passes: bool = False

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
            self.passes,
        )


class Story(NamedTuple):
    """The first version of a transaction's Provenance, labelled and valid, but for its instant and its targets.

    `content` is what stands around `meta.lastUpdated`, the targets and `recorded`; `extensions` are the targets' by
    what they name (`Patient/1`), as JSON. `drafted` are the versions that the transaction is expected to make, all at
    `instant`, and `about` those of them that are targets. If it does, `digests` is what `fhir.canonical.digests` gives
    of the content, and `sight` is its sight, joined with that of its targets.
    """

    content: tuple[bytes, bytes, bytes, bytes]
    extensions: Mapping[str, bytes]
    drafted: tuple[Place, ...]
    about: tuple[Place, ...]
    instant: bytes
    digests: tuple[bytes, bytes]
    sight: Sight

    def at(self, instant: bytes, places: Sequence[Place]) -> bytes:
        """Return the content that names these versions, with an instant as R4 writes it."""
        before, middle, between, after = self.content
        return b"".join((before, instant, middle, self.targets(places), between, instant, after))

    def targets(self, places: Sequence[Place]) -> bytes:
        """Return the targets that name these versions as JSON, without the brackets around them."""
        return named(places, self.extensions)

    @property
    def lines(self) -> dict[str, str]:
        """The trail of each resource as the Provenance holds it."""
        return {name: msgspec.json.decode(text)[0]["valueString"] for name, text in self.extensions.items()}


def named(places: Sequence[Place], extensions: Mapping[str, bytes], *, sort: bool = False) -> bytes:
    """Return the targets of a Provenance as JSON, without the brackets around them; `sort` puts keys in order."""
    written: list[bytes] = []
    for place in places:
        reference = b'"reference":' + _encoded(place.versioned_reference)
        extension = extensions.get(place.reference)
        if extension is None:
            written.append(b"{" + reference + b"}")
        elif sort:
            written.append(b'{"extension":' + extension + b"," + reference + b"}")
        else:
            written.append(b"{" + reference + b',"extension":' + extension + b"}")
    return b",".join(written)


class Told(NamedTuple):
    """A resource that is seldom read: its id, what it is as JSON, and the `provenance.named_as_sources` of it."""

    id: str
    written: bytes
    sources: frozenset[str]

    @classmethod
    def of(cls, draft: Resource | None) -> Told | None:
        """Return the draft of a Provenance so. Raises InvalidRequest for content that JSON cannot hold."""
        if draft is None:
            return None
        return cls(str(draft["id"]), codec.encode(draft), frozenset(named_as_sources(draft)))


class PreparedTransaction(NamedTuple):
    """As `model.Transaction`; `story` is None where it has not been worked out, and holds the trail where it has.

    `draft` is the Provenance without target and recorded; `lines` is the trail of each resource as its Provenance holds
    it. `named` are those whom it names and who may be known under other ids: the store looks them up.
    """

    changes: tuple[PreparedChange, ...]
    draft: Told | None
    story: Story | None
    lines: Mapping[str, str]
    actor: str
    instant: datetime
    source: bytes | None
    rules: bytes | None
    event_time: datetime | None = None
    named: tuple[Named, ...] = ()

    @property
    def provenance(self) -> Resource | None:
        """The Provenance without target and recorded."""
        return None if self.draft is None else codec.decode(self.draft.written)
