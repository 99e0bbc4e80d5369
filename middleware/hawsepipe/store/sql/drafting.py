"""From the changes of a transaction to the versions that it will make: merge, label, compare, stamp, validate.

Reads what is stored and writes nothing, so a refused transaction leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hawsepipe.errors import (
    Conflict,
    InvalidRequest,
    InvalidResource,
    NotFound,
    PreconditionFailed,
    RequestError,
)
from hawsepipe.fhir import codec, provenance
from hawsepipe.fhir.dates import instant_text
from hawsepipe.fhir.merge import falls_back, given_way, leaves, merged, preliminary, speaks
from hawsepipe.fhir.provenance import Place
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Change, Draft, Method, Operation, Resource, Seal, Version
from hawsepipe.store.contract import ACTORS, Labeller, Validator
from hawsepipe.store.elements import REFUSED
from hawsepipe.store.preparation import stamped
from hawsepipe.store.prepared import Effect, First, PreparedChange, Sight, Story
from hawsepipe.store.sameness import same_content
from hawsepipe.store.sql import versions
from hawsepipe.store.sql.connection import VERSION_BITS
from hawsepipe.store.sql.current import Current
from hawsepipe.store.sql.meeting import last
from hawsepipe.store.sql.pen import Pen

_DECISIVE = ACTORS | {"Consent"}
_REPEATABLE = frozenset({Method.MERGE, Method.PUT})
_FIRST = b'"versionId":"1","lastUpdated":"'
"""What stands before the instant of a first version."""

_NARRATIVE = b'"text":{'
"""How a narrative begins; the `text` of a code is no object."""


@dataclass(slots=True)
class Planned:
    """A version to be.

    `key` is the resource's, None for a new one; `indexed` says what it is found by so far (see `indexing`);
    `written` is the content, None for a tombstone or where it is still to be read from `draft`; `ended` is the content
    that a tombstone ends; `last`: no later version of it follows in the transaction; `decisive`: it changes what
    decides about other resources; `sight` is what was worked out beforehand; `event` is when the newest event
    happened that told what it shows; `effect` is what the prepared change does that it was made by.
    """

    draft: Draft
    written: Resource | None
    key: int | None
    indexed: int
    first_recorded: datetime
    decisive: bool
    last: bool = True
    sight: Sight | None = None
    ended: Resource | None = None
    event: int | None = None
    effect: Effect | None = None

    @property
    def present(self) -> bool:
        """Whether it is not a tombstone."""
        return self.draft.content is not None

    @property
    def resource(self) -> Resource | None:
        """The content, None for a tombstone."""
        if self.written is None and self.draft.content is not None:
            self.written = codec.decode(self.draft.content)
        return self.written

    @property
    def about(self) -> Resource:
        """The content, for a tombstone that which it ends."""
        about = self.resource or self.ended
        assert about is not None, "only what is present is deleted"
        return about

    def sealed(self, seal: Seal) -> Version:
        """Return the version with what opens it."""
        draft = self.draft
        return Version(
            draft.type,
            draft.id,
            draft.version,
            draft.recorded,
            self.first_recorded,
            draft.operation,
            draft.content,
            draft.patients,
            seal.commitment,
            seal.opening,
            seal.salt,
        )


@dataclass(slots=True)
class Standing:
    """What is current for one id while a transaction is drafted: a version that was there before or a planned one."""

    current: Current | None
    planned: Planned | None = None

    @property
    def version(self) -> int:
        """The current version number, 0 when there never was one."""
        if self.planned is not None:
            return self.planned.draft.version
        return self.current.version.version if self.current is not None else 0

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients of the current version."""
        if self.planned is not None:
            return self.planned.draft.patients
        return self.current.version.patients if self.current is not None else ()

    @property
    def resource(self) -> Resource | None:
        """The current content, None when there is none or it is deleted."""
        if self.planned is not None:
            return self.planned.resource
        return self.current.resource if self.current is not None else None

    @property
    def event(self) -> int | None:
        """When the newest event happened that told what is current."""
        if self.planned is not None:
            return self.planned.event
        return self.current.event if self.current is not None else None

    @property
    def present(self) -> bool:
        """Whether there is a version that is not a tombstone."""
        if self.planned is not None:
            return self.planned.present
        return self.current is not None and self.current.version.content is not None


class Drafting:
    """One transaction being drafted at one instant; `event` is when what it tells happened, in microseconds.

    `late` names the resources that show what a newer event told, or results that are final; `heard` those that had
    nothing to learn from this one.
    """

    def __init__(
        self,
        pen: Pen,
        instant: datetime,
        labeller: Labeller,
        validator: Validator,
        base_url: str,
        event: int | None = None,
    ) -> None:
        self._pen = pen
        self._instant = instant
        self._text = instant_text(instant)
        self._bytes = self._text.encode()
        self._labeller = labeller
        self._validator = validator
        self.base_url = base_url
        self._standings: dict[tuple[str, str], Standing] = {}
        self._event = event
        self.planned: list[Planned] = []
        self.late: list[str] = []
        self.heard: dict[tuple[str, str], tuple[Current, int]] = {}

    def stored(self, type_: str, id_: str) -> bytes | None:
        """Return the content of a resource as it was before this transaction, None when there is none."""
        current = self._standing(type_, id_).current
        return None if current is None else current.version.content

    def found(self, type_: str, id_: str) -> Version | None:
        """Return a resource as it was before this transaction, None when there is none or it is deleted."""
        current = self._standing(type_, id_).current
        return None if current is None or current.version.content is None else current.version

    def last(self, type_: str, id_: str) -> str:
        """Return the id of what took the place of a resource, its own if nothing did. Raises IdentityConflict."""
        return last(type_, id_, self.stored)

    def changes(self, changes: Sequence[Change | PreparedChange]) -> list[Planned | Version]:
        """Draft changes one after the other; an error tells its place as `part`."""
        steps: list[Planned | Version] = []
        for place, change in enumerate(changes):
            try:
                steps.append(self.change(change))
            except RequestError as error:
                error.part = place
                raise
        return steps

    def change(self, change: Change | PreparedChange) -> Planned | Version:
        """Draft one change; the version that is there when it has no effect. Raises as `Store.commit` says."""
        standing = self._standing(change.type, change.id)
        event = self._event
        if event is None or not (change.speaks if isinstance(change, PreparedChange) else speaks(change)):
            return self._told(change, standing)
        newest = standing.event
        if newest is not None and event < newest:
            self.late.append(f"{change.type}/{change.id}")
            left = given_way(change.change if isinstance(change, PreparedChange) else change)
            return self._unchanged(standing) if left is None else self._change(left, standing)
        if change.type == "Observation" and standing.present and self._steps_back(change, standing):
            self.late.append(f"{change.type}/{change.id}")
            return self._unchanged(standing)
        result = self._told(change, standing)
        if isinstance(result, Planned):
            result.event = event
        elif standing.current is not None and newest != event:
            self.heard[change.type, change.id] = (standing.current, event)
        return result

    @staticmethod
    def _steps_back(change: Change | PreparedChange, standing: Standing) -> bool:
        told = change.change if isinstance(change, PreparedChange) else change
        return preliminary(told) and (before := standing.resource) is not None and falls_back(before, told)

    def _told(self, change: Change | PreparedChange, standing: Standing) -> Planned | Version:
        if not isinstance(change, PreparedChange):
            return self._change(change, standing)
        known = standing.current if standing.planned is None and change.if_match is None else None
        if known is not None and change.effect in known.idle:
            return known.unchanged
        if change.first is not None and not standing.version and not change.if_match:
            return self._first(change, change.first, standing)
        if known is not None and change.first is not None and _shows(known.version, change, change.first):
            known.remember(change.effect)
            return known.unchanged
        result = self._change(change.change, standing)
        if isinstance(result, Planned):
            result.effect = change.effect
        elif known is not None:
            known.remember(change.effect)
        return result

    def _change(self, change: Change, standing: Standing) -> Planned | Version:
        _check(change, standing)
        if change.method is Method.DELETE:
            if not standing.present:
                return self._unchanged(standing)
            return self._plan(change.type, change.id, standing, None, Operation.DELETE, standing.patients)
        if change.type == "Provenance" and provenance.says_unchanged(change.resource or {}):
            raise InvalidRequest("only the store says what stayed as it was")
        if standing.version and leaves(change):
            return self._unchanged(standing)
        before, current = standing.resource, standing.current
        content = merged(before, change)
        settled = standing.planned is None and current is not None and current.labelled
        # To label again what the labeller has labelled changes nothing (`contract.Labeller`).
        if settled and before is not None and same_content(content, before):
            return self._unchanged(standing)
        content = self._labeller.label(content, before or self._ended(change.type, change.id, standing))
        if before is not None and same_content(content, before):
            if standing.planned is None and current is not None:
                current.labelled = True
            return self._unchanged(standing)
        operation = Operation.UPDATE if standing.version else Operation.CREATE
        return self._write(change.type, change.id, standing, content, operation)

    def _ended(self, type_: str, id_: str, standing: Standing) -> Resource | None:
        """Return the content that a tombstone ended: what comes back keeps its labels."""
        if standing.planned is not None:
            return standing.planned.ended
        if not standing.version:
            return None
        before = versions.vread(self._pen.connection, type_, id_, standing.version - 1)
        return None if before is None or before.content is None else codec.decode(before.content)

    def foretold(self, id_: str, story: Story) -> Planned | None:
        """Draft the Provenance of everything drafted so far if that is what was expected."""
        standing = self._standing("Provenance", id_)
        if standing.version or story.instant != self._bytes or story.drafted != _places(self._drafts()):
            return None
        patients = _patients(self._drafts())
        return self._story(standing, id_, story, story.about, patients, story.digests, story.sight)

    def provenance(
        self, draft: Resource, trail: Mapping[str, str], story: Story | None, there: Sequence[Version] = ()
    ) -> Planned:
        """Draft the Provenance of all that is drafted, or of what is `there`; `trail` is of `provenance.lines`."""
        targets: Sequence[Draft | Version] = there or self._drafts()
        places, patients = provenance.subjects(draft, _places(targets)), _patients(targets)
        id_ = str(draft["id"])
        standing = self._standing("Provenance", id_)
        if story is not None and not standing.version:
            return self._story(standing, id_, story, places, patients, None, None)
        complete = provenance.complete(draft, places, self._instant, trail if story is None else story.lines)
        content = self._labeller.label(complete, standing.resource)
        operation = Operation.UPDATE if standing.version else Operation.CREATE
        return self._write("Provenance", id_, standing, content, operation, patients)

    def _story(
        self,
        standing: Standing,
        id_: str,
        story: Story,
        places: Sequence[Place],
        patients: tuple[str, ...],
        digests: tuple[bytes, bytes] | None,
        sight: Sight | None,
    ) -> Planned:
        written = story.at(self._bytes, places)
        draft = Draft("Provenance", id_, 1, Operation.CREATE, self._instant, written, patients, None, digests)
        return self._planned(standing, Planned(draft, None, None, 0, self._instant, False, sight=sight))

    def _drafts(self) -> list[Draft]:
        return [planned.draft for planned in self.planned]

    def _standing(self, type_: str, id_: str) -> Standing:
        place = (type_, id_)
        standing = self._standings.get(place)
        if standing is None:
            standing = self._standings[place] = Standing(current_of(self._pen, type_, id_))
        return standing

    def _unchanged(self, standing: Standing) -> Planned | Version:
        if standing.planned is not None:
            return standing.planned
        assert standing.current is not None
        return standing.current.unchanged

    def _write(
        self,
        type_: str,
        id_: str,
        standing: Standing,
        content: Resource,
        operation: Operation,
        patients: tuple[str, ...] | None = None,
    ) -> Planned:
        resource = stamped(type_, id_, standing.version + 1, self._text, content)
        issues = tuple(issue for issue in self._validator.check(resource) if issue.severity in REFUSED)
        if issues:
            raise InvalidResource(issues)
        about = patients_of(resource, self.base_url) if patients is None else patients
        return self._plan(type_, id_, standing, resource, operation, about)

    def _first(self, change: PreparedChange, first: First, standing: Standing) -> Planned:
        """Plan what was worked out for a resource that was not there: nor is it."""
        draft = Draft(
            change.type,
            change.id,
            1,
            Operation.CREATE,
            self._instant,
            first.at(self._bytes),
            first.patients,
            None,
            first.digests_at(self._bytes),
        )
        decisive = change.type in _DECISIVE or (change.type == "Patient" and first.linked)
        planned = Planned(draft, None, None, 0, self._instant, decisive, sight=first.sight, effect=change.effect)
        return self._planned(standing, planned)

    def _plan(
        self,
        type_: str,
        id_: str,
        standing: Standing,
        resource: Resource | None,
        operation: Operation,
        patients: tuple[str, ...],
    ) -> Planned:
        version = standing.version + 1
        if version >> VERSION_BITS:
            raise Conflict("the resource has as many versions as the store can hold")
        # A version planned by this transaction has no commitment yet; the sealer links the two (`contract.Sealer`).
        current = standing.current
        draft = Draft(
            type=type_,
            id=id_,
            version=version,
            operation=operation,
            recorded=self._instant,
            content=None if resource is None else codec.encode(resource),
            patients=patients,
            previous=current.version.commitment if current is not None and standing.planned is None else None,
        )
        before = standing.resource
        decisive = type_ in _DECISIVE or (type_ == "Patient" and _links(before) != _links(resource))
        if current is None:
            planned = Planned(draft, resource, None, 0, self._instant, decisive, ended=before)
        else:
            recorded = current.version.first_recorded
            planned = Planned(draft, resource, current.key, current.indexed, recorded, decisive, ended=before)
        return self._planned(standing, planned)

    def _planned(self, standing: Standing, planned: Planned) -> Planned:
        planned.event = standing.event
        if standing.planned is not None:
            standing.planned.last = False
        standing.planned = planned
        self.planned.append(planned)
        return planned


def current_of(pen: Pen, type_: str, id_: str) -> Current | None:
    """Return what is current of a resource, what is planned in this commit included."""
    place = (type_, id_)
    current = pen.currents.get(place)
    if current is None and not pen.currents.absent(place):
        current = versions.current(pen.connection, pen.symbols.key(type_), type_, id_)
        if current is not None:
            pen.currents.put(place, current)
    return current


def _shows(version: Version, change: PreparedChange, first: First) -> bool:
    """Say whether a version is what a change makes of nothing: then the change has no effect on it, since to merge and
    to label the same again changes nothing. False where that is not seen from the bytes alone.

    The static hash is of everything but `meta` and `text`; `meta` is compared as it is written, a `text` is not.
    """
    if change.effect[0] not in _REPEATABLE or change.type == "Provenance":
        return False
    content, opening = version.content, version.opening
    if content is None or opening is None or b'"staticHash":"%s"' % first.digests[1].hex().encode() not in opening:
        return False
    head, tail = first.content
    if not head.endswith(_FIRST) or not tail.startswith(b'"}'):
        return False
    meta = b'%s"versionId":"%d","lastUpdated":"%s"}' % (
        head.removesuffix(_FIRST),
        version.version,
        instant_text(version.last_updated).encode(),
    )
    return content.startswith(meta) and _NARRATIVE not in content and _NARRATIVE not in tail


def _places(targets: Sequence[Draft | Version]) -> tuple[Place, ...]:
    return tuple(Place(target.type, target.id, target.version) for target in targets)


def _patients(targets: Sequence[Draft | Version]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(patient for target in targets for patient in target.patients))


def _links(resource: Resource | None) -> Any:
    return None if resource is None else resource.get("link")


def _check(change: Change, standing: Standing) -> None:
    if change.method is Method.CREATE and standing.version:
        raise Conflict("the id is in use")
    if change.if_match is not None and change.if_match != (standing.version if standing.present else 0):
        raise PreconditionFailed("the current version is not the one that the change was made for")
    if change.method is Method.DELETE:
        if not standing.version:
            raise NotFound("there is no such resource")
    elif change.resource is None:
        raise InvalidRequest("a change without a resource has no content")
    elif change.resource.get("resourceType", change.type) != change.type:
        raise InvalidRequest(f"the resource is not a {change.type}")
