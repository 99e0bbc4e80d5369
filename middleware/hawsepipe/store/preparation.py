"""Works out what a change makes of a resource that is not there yet; pure, so any thread or process may do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from hawsepipe.fhir import canonical, codec, identity
from hawsepipe.fhir.dates import instant_text, microseconds
from hawsepipe.fhir.index import grouped
from hawsepipe.fhir.merge import merged, speaks
from hawsepipe.fhir.provenance import TRAIL, Place, complete, lines, says_unchanged, subjects
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Change, Method, Resource, Transaction
from hawsepipe.store.elements import REFUSED, SOME_INSTANT, Elements
from hawsepipe.store.elementwise import ElementExtractor, ElementLabeller, ElementValidator
from hawsepipe.store.joining import Joining, Target
from hawsepipe.store.prepared import Effect, First, PreparedChange, PreparedTransaction, Sight, Story, Told, named
from hawsepipe.store.wholes import Whole

_KEPT: Final = 512
"""Changes that are remembered as worked out: no more than a store remembers current versions. What comes again later is
worked out once more, so that the store can tell by that whether there is anything new."""

LARGEST: Final = 16_384
"""Bytes of a change that is remembered."""

_TRAILS: Final = 1024
"""Trails of resources that are remembered."""

_SOME_PROVENANCE: Final[Resource] = {
    "resourceType": "Provenance",
    "recorded": SOME_INSTANT,
    "agent": [{"who": {"display": "-"}}],
}
"""A Provenance that is right but for its targets."""


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
        self._worked_out: dict[int, None] = {}
        self._extensions: dict[str, bytes] = {}
        self._elements = Elements(labeller, extractor, validator, self._base_url)
        self._joining = Joining()
        recorded = extractor.element("Provenance", "recorded", SOME_INSTANT)[0]
        self._recorded = [name for name, _, _ in grouped(recorded).dates]
        """The parameters that find the moment, to the microsecond, at which a Provenance was recorded."""

    def transaction(self, transaction: Transaction) -> PreparedTransaction:
        """Prepare each change. Raises InvalidRequest for content that JSON cannot hold."""
        trail = lines(transaction.trail)
        instant = instant_text(transaction.instant).encode()
        changes = tuple(self.change(change, instant) for change in transaction.changes)
        story = self._story(transaction, trail, changes)
        return PreparedTransaction(
            changes=changes,
            draft=Told.of(transaction.provenance),
            story=story,
            lines=trail if story is None else {},
            actor=transaction.actor,
            instant=transaction.instant,
            source=transaction.source,
            rules=transaction.rules,
            event_time=transaction.event_time,
            named=identity.named(transaction.changes),
        )

    def change(self, change: Change, instant: bytes) -> PreparedChange:
        """Prepare one change that is expected to be made at an instant as R4 writes it.

        Raises InvalidRequest for content that JSON cannot hold.
        """
        bare = _bare(change)
        # Two changes that are taken for one cost no more than that the store works the second one out.
        place = hash((change.type, change.id, change.if_match, bare.effect, bare.passes))
        if place in self._worked_out:
            return bare
        effect = bare.effect
        if change.resource is None or change.method is Method.DELETE:
            return bare
        if len(effect[1]) <= LARGEST:
            self._worked_out[place] = None
            if len(self._worked_out) > _KEPT:
                del self._worked_out[next(iter(self._worked_out))]
        lists = change.union if change.method is Method.MERGE else ()
        whole = self._elements.whole(change.type, change.id, lists, effect[1])
        if whole is None:
            try:
                # What is read back from the bytes is what the store would see: no type that only prints like JSON.
                whole = self._whole(bare.change)
            except Exception:
                return bare  # the store finds the same and answers for it
        return bare if whole is None else bare._replace(first=_first(whole, instant))

    def _story(
        self, transaction: Transaction, trail: Mapping[str, str], changes: Sequence[PreparedChange]
    ) -> Story | None:
        """Tell what the transaction is expected to do: make the first version of what is worked out, nothing else."""
        draft = transaction.provenance
        made = {Place(change.type, change.id, 1): change.first for change in changes if change.first is not None}
        if draft is None or not made:
            return None
        try:
            return self._told(draft, trail, made, [Place(it.type, it.id, 1) for it in changes], transaction.instant)
        except Exception:
            return None  # the store finds the same and answers for it

    def _told(
        self,
        draft: Resource,
        trail: Mapping[str, str],
        made: Mapping[Place, First],
        places: Sequence[Place],
        when: datetime,
    ) -> Story | None:
        instant = instant_text(when).encode()
        about = subjects(draft, list(made))
        bare = complete(draft, about, when, {}) | {"recorded": SOME_INSTANT}
        whole = self._elements.whole("Provenance", str(draft["id"]), (), codec.encode(bare))
        if whole is None:
            return None
        extensions: dict[str, bytes] = {}
        for reference in sorted({place.reference for place in places} & trail.keys()):
            extension = extensions[reference] = self._extension(trail[reference])
            if not extension:
                return None
        # The targets without their extensions are where those with them come, in each of the forms.
        plain = b'"target":[' + named(about, {}) + b"]"
        some, recorded = (b'"recorded":"' + it + b'"' for it in (SOME_INSTANT.encode(), instant))
        head, target, rest = whole.content[1].partition(plain)
        middle, record, tail = rest.partition(some)
        full = b'"target":[' + named(about, extensions, sort=True) + b"]"
        before, after = whole.canonical
        if not target or not record or after.count(plain) != 1 or after.count(some) != 1:
            return None
        patients = tuple(dict.fromkeys([patient for first in made.values() for patient in first.patients]))
        rows = whole.sight.rows
        low = microseconds(when)
        dates = [row for row in rows.dates if row[0] != "recorded"]
        dates += [(name, low, low + 1) for name in self._recorded]
        targets = [Target(it.type, made[it].patients, made[it].sight) for it in about]
        sight = self._joining.joined(
            rows._replace(dates=tuple(dates)), str(draft["id"]), patients, whole.sight, targets
        )
        return Story(
            content=(whole.content[0], head + b'"target":[', b"]" + middle + recorded[:-28], b'"' + tail),
            extensions=extensions,
            drafted=tuple(made),
            about=tuple(about),
            instant=instant,
            digests=(
                canonical.digest(before + instant + after.replace(plain, full).replace(some, recorded)),
                canonical.digest(whole.static.replace(plain, full).replace(some, recorded)),
            ),
            sight=sight,
        )

    def _extension(self, text: str) -> bytes:
        """Return the extension of a target with this trail as JSON, empty if it is not valid.

        Messages of one shape have the same trails, so most of them have been here before.
        """
        known = self._extensions.get(text)
        if known is None:
            extension = [{"url": TRAIL, "valueString": text}]
            valid = self._valid(_SOME_PROVENANCE | {"target": [{"reference": "Patient/1", "extension": extension}]})
            known = codec.encode({"": extension})[4:-1] if valid else b""
            if len(text) <= LARGEST:
                self._extensions[text] = known
            if len(self._extensions) > _TRAILS:
                del self._extensions[next(iter(self._extensions))]
        return known

    def _valid(self, content: Resource) -> bool:
        return not any(issue.severity in REFUSED for issue in self._validator.check(content))

    def _whole(self, change: Change) -> Whole | None:
        resource = change.resource
        if resource is None or resource.get("resourceType", change.type) != change.type or says_unchanged(resource):
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
        return Whole(
            content=(parts[0], parts[1]),
            canonical=(sorted_parts[0], sorted_parts[1]),
            static=unmoved,
            patients=patients_of(content, self._base_url),
            sight=Sight.of(grouped(self._extractor.rows(content)), self._labeller.facets(content)),
            linked="link" in content,
        )


def _first(whole: Whole, instant: bytes) -> First:
    before, after = whole.canonical
    return First(
        content=whole.content,
        instant=instant,
        digests=(canonical.digest(before + instant + after), canonical.digest(whole.static)),
        patients=whole.patients,
        sight=whole.sight,
        linked=whole.linked,
    )


def unprepared(transaction: Transaction) -> PreparedTransaction:
    """Return a transaction in the form of a prepared one, with nothing worked out. Raises as `Preparation.change`."""
    return PreparedTransaction(
        changes=tuple(_bare(change) for change in transaction.changes),
        draft=Told.of(transaction.provenance),
        story=None,
        lines=lines(transaction.trail),
        actor=transaction.actor,
        instant=transaction.instant,
        source=transaction.source,
        rules=transaction.rules,
        event_time=transaction.event_time,
        named=identity.named(transaction.changes),
    )


def _bare(change: Change) -> PreparedChange:
    effect: Effect = (
        change.method,
        b"" if change.resource is None else codec.encode(change.resource),
        tuple(sorted(change.remove)) if change.remove else (),
        tuple(sorted(change.union)) if change.union else (),
        tuple(sorted(change.keep)) if change.keep else (),
    )
    return PreparedChange(change.type, change.id, change.if_match, effect, None, speaks(change), change.passes)


def stamped(type: str, id: str, version: int, instant: str, content: Resource) -> Resource:
    """Return the content as a version: type, id and `meta` first, with the version's number and instant."""
    meta: dict[str, Any] = {**(content.get("meta") or {}), "versionId": str(version), "lastUpdated": instant}
    head: Resource = {"resourceType": type, "id": id, "meta": meta}
    return head | {key: value for key, value in content.items() if key not in head}
