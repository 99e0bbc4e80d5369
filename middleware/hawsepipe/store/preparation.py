"""Works out what a change makes of a resource that is not there yet; pure, so any thread or process may do it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hawsepipe.fhir import canonical, codec
from hawsepipe.fhir.index import grouped
from hawsepipe.fhir.merge import merged, speaks
from hawsepipe.fhir.provenance import TRAIL, Place, complete, lines
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Change, Method, Resource, Transaction
from hawsepipe.store.elements import (
    REFUSED,
    SOME_INSTANT,
    ElementExtractor,
    ElementLabeller,
    Elements,
    ElementValidator,
)
from hawsepipe.store.prepared import Effect, First, PreparedChange, PreparedTransaction, Story

_KEPT: Final = 4096
"""Changes that are remembered as worked out."""

LARGEST: Final = 16_384
"""Bytes of a change that is remembered."""

_TRAILS: Final = 1024
"""Trails of resources that are remembered."""

_SOME_DATE: Final = datetime(1, 1, 1, tzinfo=UTC)
"""The same as a value."""

_TARGETS: Final = "urn:hawsepipe:targets"
"""Stands where the targets come."""

_MARKS: Final = {"i": SOME_INSTANT.encode(), "t": f'"{_TARGETS}"'.encode()}


class Preparation:
    """Prepares changes with what the store was opened with.

    What it has worked out a moment ago it does not work out again: the resource is there by then, in all likelihood
    (a ward, a physician), and if not, the store does it.
    """

    def __init__(
        self, labeller: ElementLabeller[Any], extractor: ElementExtractor, validator: ElementValidator, base_url: str
    ) -> None:
        self._labeller = labeller
        self._extractor = extractor
        self._validator = validator
        self._base_url = base_url.rstrip("/")
        self._worked_out: dict[tuple[str, str, Effect], None] = {}
        self._extensions: dict[str, bytes] = {}
        self._elements = Elements(labeller, extractor, validator, self._base_url)

    def transaction(self, transaction: Transaction) -> PreparedTransaction:
        """Prepare each change. Raises InvalidRequest for content that JSON cannot hold."""
        trail = lines(transaction.trail)
        story = self._story(transaction, trail)
        return PreparedTransaction(
            changes=tuple(self.change(change) for change in transaction.changes),
            provenance=transaction.provenance,
            story=story,
            lines=trail if story is None else {},
            actor=transaction.actor,
            instant=transaction.instant,
            source=transaction.source,
            rules=transaction.rules,
            event_time=transaction.event_time,
        )

    def change(self, change: Change) -> PreparedChange:
        """Prepare one change. Raises InvalidRequest for content that JSON cannot hold."""
        effect: Effect = (
            change.method,
            b"" if change.resource is None else codec.encode(change.resource),
            tuple(sorted(change.remove)),
            tuple(sorted(change.union)),
            tuple(sorted(change.keep)),
        )
        bare = PreparedChange(change.type, change.id, change.if_match, effect, None, speaks(change))
        known = (change.type, change.id, effect)
        if known in self._worked_out or change.resource is None or change.method is Method.DELETE:
            return bare
        if len(effect[1]) <= LARGEST:
            self._worked_out[known] = None
            if len(self._worked_out) > _KEPT:
                del self._worked_out[next(iter(self._worked_out))]
        joined = change.union if change.method is Method.MERGE else ()
        first = self._elements.first(change.type, change.id, joined, effect[1])
        if first is not None:
            return bare._replace(first=first)
        try:
            # What is read back from the bytes is what the store would see: no type that only prints like JSON.
            return bare._replace(first=self._first(bare.change))
        except Exception:
            return bare  # the store finds the same and answers for it

    def _story(self, transaction: Transaction, trail: Mapping[str, str]) -> Story | None:
        draft = transaction.provenance
        if draft is None:
            return None
        places = [Place(change.type, change.id, 1) for change in transaction.changes]
        try:
            # Its labels are the same whatever its targets are (`contract.Labeller`); these are added below.
            labelled = self._labeller.label(complete(draft, places, _SOME_DATE, {}), None)
            content = stamped("Provenance", str(draft["id"]), 1, SOME_INSTANT, labelled)
            if not self._valid(content):
                return None
            named = {place.reference for place in places} & trail.keys()
            extensions = {reference: self._extension(content, trail[reference]) for reference in sorted(named)}
            marked = content | {"target": [_TARGETS]}
            written = codec.encode(marked)
            sorted_, unmoved = canonical.written(marked)
        except Exception:
            return None  # the store finds the same and answers for it
        around = _pieces(written, "iti"), _pieces(sorted_, "iit"), _pieces(unmoved, "it")
        if None in around or b"" in extensions.values():
            return None
        body = {key: value for key, value in content.items() if key not in ("target", "recorded")}
        return Story(*around, extensions, body)  # type: ignore[arg-type]  # as many as the places between them

    def _extension(self, content: Resource, text: str) -> bytes:
        """Return the extension of a target with this trail as JSON, empty if it is not valid.

        Messages of one shape have the same trails, so most of them have been here before.
        """
        known = self._extensions.get(text)
        if known is None:
            extension = [{"url": TRAIL, "valueString": text}]
            target = content["target"][0] | {"extension": extension}
            valid = self._valid(content | {"target": [target]})
            known = codec.encode({"": extension})[4:-1] if valid else b""
            if len(text) <= LARGEST:
                self._extensions[text] = known
            if len(self._extensions) > _TRAILS:
                del self._extensions[next(iter(self._extensions))]
        return known

    def _valid(self, content: Resource) -> bool:
        return not any(issue.severity in REFUSED for issue in self._validator.check(content))

    def _first(self, change: Change) -> First | None:
        resource = change.resource
        if resource is None or resource.get("resourceType", change.type) != change.type:
            return None
        labelled = self._labeller.label(merged(None, change), None)
        content = stamped(change.type, change.id, 1, SOME_INSTANT, labelled)
        if not self._valid(content):
            return None
        written = codec.encode(content)
        whole, unmoved = canonical.written(content)
        parts, sorted_parts = (text.split(SOME_INSTANT.encode()) for text in (written, whole))
        if len(parts) != 2 or len(sorted_parts) != 2:
            return None
        facets = self._labeller.facets(content)
        return First(
            content=(parts[0], parts[1]),
            canonical=(sorted_parts[0], sorted_parts[1]),
            static=canonical.digest(unmoved),
            patients=patients_of(content, self._base_url),
            rows=grouped(self._extractor.rows(content)),
            rank=facets.rank,
            clinical_start=facets.clinical_start,
            clinical_end=facets.clinical_end,
            values=facets.values,
            linked="link" in content,
        )


def _pieces(written: bytes, places: str) -> tuple[bytes, ...] | None:
    """Return what stands around an instant (`i`) and the targets (`t`); None when something else looks like them."""
    pieces: list[bytes] = []
    rest = written
    for place in places:
        piece, found, rest = rest.partition(_MARKS[place])
        if not found:
            return None
        pieces.append(piece)
    if any(mark in piece for mark in _MARKS.values() for piece in (*pieces, rest)):
        return None
    return *pieces, rest


def stamped(type: str, id: str, version: int, instant: str, content: Resource) -> Resource:
    """Return the content as a version: type, id and `meta` first, with the version's number and instant."""
    meta: dict[str, Any] = {**(content.get("meta") or {}), "versionId": str(version), "lastUpdated": instant}
    head: Resource = {"resourceType": type, "id": id, "meta": meta}
    return head | {key: value for key, value in content.items() if key not in head}
