"""What a store promises. Two implementations keep it (SQLite now, PostgreSQL next), one suite holds both to it.

Implementations MUST:
* make every method that writes durable (fsync) before it returns, and atomic: after an error nothing of it happened;
* give versions of one resource the numbers 1, 2, 3 … without a gap, and instants that never go back: `last_updated`
  of a commit is at least one microsecond after that of the commit before;
* write, for each new version, in one transaction: content, search rows, facets, salt and opening, and one outbox row;
* give a Provenance the facets that `visibility.joined` makes of it and of what it names of its own transaction;
* let no transaction with an `event_time` change what a newer event told: for each resource the newest time is kept of
  the changes of which `fhir.merge.speaks`; an older one is applied as `fhir.merge.given_way` makes it (equal times: the
  later commit counts), and the Provenance names the resource as `fhir.provenance.superseded` does; so with a final
  result that a transaction with an `event_time` would make a preliminary one (`fhir.merge.falls_back`);
* meet whom a message's transaction names (`fhir.identity.named`): a patient by any of its identifiers (system and
  value) or its id, each followed to whoever took its place (`fhir.identity.successor`), visits and accounts likewise;
  apply the transaction to those whom it found (`store.redirection`); answer IdentityConflict when these are several;
* let a message that tells some of a resource (MERGE) take it from no patient: where what is under its id is about
  others than the change is, and neither they gave way to whom that is about nor the visit is theirs, nor the change
  `passes` it, the message tells of a resource of its own, the same one each time for the same patient;
* note a transaction with a `source` that changes nothing (but what its Provenance names as an entity) by a Provenance
  of the versions that were there (`fhir.provenance.unchanged`);
* serve content byte for byte as it was written;
* compile `Visibility` so that it agrees with `visibility.visible`, before order, count and limit.

Callers MUST NOT hand one store's file to two processes, and MUST NOT change a resource after handing it over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from hawsepipe.errors import HawsepipeError
from hawsepipe.fhir.identity import Named
from hawsepipe.fhir.index import Row
from hawsepipe.fhir.query import Page, Query
from hawsepipe.hooks import Acceptance, Refusal, Reuse
from hawsepipe.model import (
    Access,
    Anchor,
    Checkpoint,
    Draft,
    Issue,
    RawMessage,
    Receipt,
    Resource,
    Seal,
    Transaction,
    Version,
)
from hawsepipe.store.answers import Held, Lane, Messages, Pruned, Rehearsed
from hawsepipe.store.auditing import Audited
from hawsepipe.store.delivering import Deliveries
from hawsepipe.store.loads import Loads
from hawsepipe.store.prepared import PreparedTransaction
from hawsepipe.store.sequencing import Leaves, MapPage
from hawsepipe.store.sequencing import Sequenced as Sequenced
from hawsepipe.store.sequencing import StateLeaf as StateLeaf
from hawsepipe.visibility import Facets, Visibility

_PEOPLE = frozenset({"CareTeam", "Group", "Person", "Practitioner", "PractitionerRole", "RelatedPerson"})
_HOUSES = frozenset({"Device", "HealthcareService", "Organization", "OrganizationAffiliation"})
ACTORS = _PEOPLE | _HOUSES
"""The types of resource that say who an actor is and belongs to."""

# -- what a store is opened with ---------------------------------------------------------------------------------------


class Sealer(Protocol):
    """Makes commitments (implemented by `ledger.commitment`); called inside the writing transaction."""

    def seal(
        self, drafts: Sequence[Draft], provenance: Draft | None, source: bytes | None, rules: bytes | None
    ) -> tuple[tuple[Seal, ...], Seal | None]:
        """Seal the versions of one transaction and its Provenance; `source` and `rules` are 32-byte digests or None.

        A draft whose version before is an earlier draft of the same call has `previous` None: the sealer links it to
        the commitment that it makes for that one.
        """
        ...


class Labeller(Protocol):
    """Labels a resource and computes its facets (implemented by `consent.labels`); pure."""

    def label(self, resource: Resource, before: Resource | None) -> Resource:
        """Return the resource with server-computed `meta.security`; a label once given is never lowered.

        Those of a Provenance do not depend on its targets.

        To label what this labeller returned, over itself, changes nothing.
        """
        ...

    def facets(self, resource: Resource) -> Facets:
        """Return what visibility formulas ask of it, whenever `meta.lastUpdated` is."""
        ...


class Extractor(Protocol):
    """Says what a resource can be found by (implemented by `fhir.extraction`); pure."""

    def rows(self, resource: Resource) -> Sequence[Row]:
        """Return the search rows. A reference's identifier is a TokenRow of the parameter `<code>:identifier`.

        No row depends on `meta.lastUpdated` but that of the parameter `_lastUpdated`.
        """
        ...


class Validator(Protocol):
    """Says whether a resource is R4 (implemented by `fhir.validate`); pure."""

    def check(self, resource: Resource) -> Sequence[Issue]:
        """Return the findings; one of severity error or fatal keeps the resource out. No instant in `meta` is one."""
        ...


# -- writing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a search must give at the moment of a commit: the first `query.count` resources (`Type/id`), in order."""

    query: Query
    visibility: Visibility
    found: tuple[str, ...]


# -- the journal -------------------------------------------------------------------------------------------------------


class JournalState(StrEnum):
    """Where a message stands."""

    RECEIVED = "received"
    HELD = "held"  # waits behind a letter of somebody whom it is about
    APPLIED = "applied"
    DEAD = "dead"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A message for the journal; see `hooks.Intake.accept`. `replay_of` is the sequence of the original."""

    message: RawMessage
    key: str
    reply: bytes
    refusal: Refusal | None = None
    replay_of: int | None = None
    reuse: Reuse | None = None


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """A message as journalled. `refusal` says why a dead letter is one; `label` names it without patient data;
    `forced`: an operator wants it to be current whatever newer events have told.
    """

    sequence: int
    message: RawMessage
    key: str
    reply: bytes
    state: JournalState
    refusal: Refusal | None
    replay_of: int | None
    label: str
    settled_at: datetime | None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """By what a letter was retried: the number of the new entry, and whether that is a mended copy."""

    sequence: int
    mended: bool


@dataclass(frozen=True, slots=True)
class Letters:
    """Which dead letters are meant; what is None leaves them all. `location` is the beginning of a v2 location or
    path; `since` and `until` bound the instant of receipt (inclusive, exclusive).
    """

    feed: str | None = None
    cause: str | None = None
    location: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Dead letters of one feed that were refused for the same reason at the same place: how many, and the first and
    the last of them by number and instant of receipt.
    """

    feed: str
    refusal: Refusal
    count: int
    first: int
    last: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """The messages of one feed that are not applied yet: how many, when the oldest came, how many of them are held."""

    count: int
    oldest: datetime
    held: int = 0


@dataclass(frozen=True, slots=True)
class Application:
    """The effect of one journalled message: what to commit, and the journal entry that it settles.

    A prepared transaction has the effect of the one that it was made from. `transaction` None: the message has no
    effect and is settled all the same. `refusal` set: it becomes a dead letter instead. `named` are those whom a
    refused message names; with `hold` what comes later about a patient among them waits behind the letter.
    """

    sequence: int
    label: str
    transaction: Transaction | PreparedTransaction | None
    refusal: Refusal | None = None
    named: tuple[Named, ...] = ()
    hold: bool = False


EVERY_LETTER = Letters()


class Store(Deliveries, Loads, Audited, Leaves, Protocol):
    """The store. Every coroutine may raise StoreError; what else it raises is said with it."""

    # journal

    async def append(self, entry: JournalEntry) -> Acceptance:
        """Journal a message; concurrent calls share one fsync. A duplicate writes nothing."""
        ...

    async def received(self, after: int, limit: int) -> Sequence[JournalRecord]:
        """Return messages in state RECEIVED with a sequence above `after`, in order."""
        ...

    async def backlog(self) -> int:
        """Return how many messages are in state RECEIVED."""
        ...

    async def waiting(self) -> Mapping[str, Waiting]:
        """Return, by feed, how many messages are in state RECEIVED or HELD and when the oldest of them came."""
        ...

    async def lanes(self) -> Sequence[Lane]:
        """Return the lanes that are held, the longest held first."""
        ...

    async def journal(self, sequence: int) -> JournalRecord | None:
        """Return one entry."""
        ...

    async def messages(self, asked: Messages) -> Sequence[JournalRecord]:
        """Return journalled messages in whatever state, newest first."""
        ...

    async def dead_letters(self, after: int, limit: int, letters: Letters = EVERY_LETTER) -> Sequence[JournalRecord]:
        """Return messages in state DEAD with a sequence above `after`, in order."""
        ...

    async def letter_groups(self, letters: Letters = EVERY_LETTER) -> Sequence[LetterGroup]:
        """Return messages in state DEAD by feed, cause, location and text; the largest group first."""
        ...

    async def discard(self, sequence: int, instant: datetime) -> bool:
        """Mark a dead letter discarded (its bytes stay); False when it is not a dead letter."""
        ...

    async def replays(self, sequences: Sequence[int]) -> Mapping[int, Replay]:
        """Return by what letters were retried; those that were not are left out."""
        ...

    async def key_used(self, feed: str, key: str, digest: bytes) -> bool:
        """Return whether another message (one with another digest) was accepted under a key, and this one was not."""
        ...

    async def retry(
        self,
        sequence: int,
        instant: datetime,
        body: bytes | None = None,
        *,
        forced: bool = False,
        key: str | None = None,
    ) -> JournalRecord | None:
        """Journal a dead letter's bytes anew (or `body`, a mended copy), linked by `replay_of`, and settle the old one
        as discarded, in one commit. `forced`: it is to be current whatever newer events have told; `key`: the one
        that it has now.

        None when it is not a dead letter, so that two retries of one letter have one effect. When its sender has had
        the same message accepted anew in the meantime, that entry is returned and nothing is journalled.
        """
        ...

    async def prune(self, before: Mapping[JournalState, datetime], anchored: int, after: int, limit: int) -> Pruned:
        """Take out, of `limit` entries above `after`, those APPLIED or DISCARDED that were settled before their state's
        instant; none with a leaf not among the first `anchored` ones of the log, none with a delivery still kept.
        """
        ...

    async def give_back(self, pages: int) -> int:
        """Give so many unused pages back to the file system; return how many are left."""
        ...

    async def anchored(self, channel: str, backends: Sequence[str]) -> int:
        """Return up to which place of the outbox each backend has receipted; without backends, is in the log."""
        ...

    # resources

    async def apply(self, applications: Sequence[Application]) -> Sequence[tuple[Version, ...] | HawsepipeError | Held]:
        """Commit each message's effect, Provenance, outbox rows and journal state, each message on its own, all in
        one fsync.

        An entry whose transaction fails is answered with its error and stays RECEIVED; the others are committed. An
        entry that is not RECEIVED any more is answered with an empty tuple and has no effect. One about a patient whose
        lane a letter of an earlier message holds becomes HELD. Once that letter is discarded, or its retry applied,
        everything that waited is RECEIVED again, and applied in its old order whatever has come since.
        """
        ...

    async def rehearse(self, transaction: Transaction | PreparedTransaction) -> Sequence[Rehearsed]:
        """Return what `apply` would make of each resource that the transaction changes, in their order, and write
        nothing. Raises as `commit`, and IdentityConflict.
        """
        ...

    async def commit(
        self, transaction: Transaction, *, expected: Sequence[Expectation] = (), beside: Sequence[Transaction] = ()
    ) -> tuple[Version, ...]:
        """Commit a transaction: one version for each change, in order, then the Provenance's if anything changed or
        there is a `source`.

        Nothing is committed unless each of `expected` holds at that moment (else PreconditionFailed): no other commit
        comes between. `beside` are transactions that are committed with it, or not at all. An error about one change
        has its place as `part`.

        Raises InvalidRequest (a change that is none), InvalidResource, PreconditionFailed (if_match; a deleted
        resource is not there, so 0 holds for it), Conflict (CREATE of an id that is or was in use), NotFound (DELETE
        of an unknown one; to delete again changes nothing). Several changes of one resource make successive versions.
        """
        ...

    async def read(self, type: str, id: str) -> Version | None:
        """Return the current version, a delete's tombstone included; None when there never was one."""
        ...

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        """Return one version."""
        ...

    async def history(self, type: str, id: str, before: int | None, count: int) -> Sequence[Version]:
        """Return versions below `before` (None: from the newest), newest first."""
        ...

    async def changes(
        self,
        type: str | None,
        visibility: Visibility,
        before: tuple[int, int] | None,
        since: int | None,
        count: int,
        after: tuple[int, int] | None = None,
    ) -> Sequence[tuple[int, Version]]:
        """Return (key, version) of the versions of a type, or of all, newest first: those of deleted resources and of
        those that are visible now.

        `before` is the instant (microseconds) and key of the last one seen, or an instant and 0; `since` the earliest
        instant. With `after` (an instant and key likewise) they come oldest first.
        """
        ...

    async def search(self, query: Query, visibility: Visibility) -> Page:
        """Run a search over the current, not deleted, visible resources."""
        ...

    async def spoken_of(self, type: str, id: str) -> Sequence[Version]:
        """Return the Provenances that name a resource as one which their message spoke of and which is another one's by
        now (`fhir.identity.KNOWN_AS`), oldest first.
        """
        ...

    async def consents(self) -> Sequence[Version]:
        """Return the current version of every Consent that is not deleted, for the consent room."""
        ...

    async def consent_epoch(self) -> int:
        """Return a number that grows with every commit that touches a Consent or what actors are made of (`ACTORS`), or
        changes `link` of a Patient.
        """
        ...

    async def contents_named(self, sha256s: Sequence[str]) -> frozenset[str]:
        """Return which of these contents (`fhir.contents`) a version names, whether it is current or not."""
        ...

    # access record

    async def record(self, accesses: Sequence[Access]) -> None:
        """Append to the access record; concurrent calls share one fsync."""
        ...

    async def accesses(self, after: int, limit: int) -> Sequence[tuple[int, Access]]:
        """Return entries of the access record with a number above `after`, in order."""
        ...

    # log

    async def outbox(self, limit: int) -> Sequence[Anchor]:
        """Return commitments that are not in the log, in the order of their commits."""
        ...

    async def outbox_depth(self) -> int:
        """Return how many commitments are not in the log."""
        ...

    async def sequence(self, batch: Sequenced) -> None:
        """Write a batch to the log. Raises Conflict unless `batch.start` is the log's size, the anchors are the oldest
        ones, and the map, if the batch has a state leaf, holds all before them.
        """
        ...

    async def uncharted(self, limit: int) -> Sequence[Anchor]:
        """Return the oldest commitments of the log that the current-state map does not hold: an older store's."""
        ...

    async def chart(self, upto: int, pages: Sequence[MapPage]) -> None:
        """Write pages of the map, which then holds the outbox's places up to `upto`. Raises Conflict once the log has a
        state leaf.
        """
        ...

    async def pages(self, places: Sequence[bytes], size: int | None) -> Mapping[str, bytes]:
        """Return the map's pages on the ways to these places, now or as the log of `size` leaves sealed them."""
        ...

    async def state_leaf(self, size: int) -> StateLeaf | None:
        """Return the state leaf that is the last leaf of the log of this size, None when that is none."""
        ...

    async def checkpoint(self, channel: str, backend: str | None = None) -> Checkpoint | None:
        """Return the newest checkpoint (that `backend` has receipted, if given), None when there is none."""
        ...

    async def checkpoint_covering(self, channel: str, index: int, backend: str | None) -> Checkpoint | None:
        """Return the smallest checkpoint above leaf `index` (one that `backend` has receipted, if given), None when
        none is.
        """
        ...

    async def nodes(self, coordinates: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        """Return hashes of complete subtrees by (level, index); level 0 are the leaf hashes. Those not in the log are
        left out.
        """
        ...

    async def leaf_index(self, commitment: bytes) -> int | None:
        """Return where a commitment is in the log, None while it is not."""
        ...

    async def in_outbox(self, commitment: bytes) -> bool:
        """Return whether a commitment waits for its place in the log."""
        ...

    async def put_receipt(self, receipt: Receipt) -> None:
        """Keep a backend's receipt; the same one again changes nothing, another one for the same checkpoint takes its
        place.
        """
        ...

    async def receipts(self, channel: str, size: int) -> Sequence[Receipt]:
        """Return every backend's receipt for the checkpoint of this size."""
        ...

    # the service

    async def check(self) -> None:
        """Return if the store can write now, else raise StoreError."""
        ...
