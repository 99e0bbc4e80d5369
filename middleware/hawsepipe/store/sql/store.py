"""The Protocol's methods as jobs for the writer and the readers, whichever database they work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from hawsepipe.clock import Clock
from hawsepipe.errors import HawsepipeError, StoreError
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.query import Page, Query
from hawsepipe.hooks import Acceptance, Refusal
from hawsepipe.model import Access, Anchor, Checkpoint, Receipt, Transaction, Version
from hawsepipe.store.answers import Aside, Delivery, Held, Lane, Messages, Pruned, Queue, Rehearsed
from hawsepipe.store.auditing import Logged, Raw
from hawsepipe.store.contract import (
    EVERY_LETTER,
    Application,
    Expectation,
    JournalEntry,
    JournalRecord,
    JournalState,
    LetterGroup,
    Letters,
    Replay,
    Waiting,
)
from hawsepipe.store.loads import Note, Outcome, Told
from hawsepipe.store.prepared import PreparedTransaction
from hawsepipe.store.sequencing import MapPage, Sequenced, StateLeaf
from hawsepipe.store.sql import accesses as access_record
from hawsepipe.store.sql import (
    auditing,
    changes,
    deliveries,
    journal,
    lanes,
    loading,
    log,
    pruning,
    search,
    statemap,
    versions,
)
from hawsepipe.store.sql.commits import Commits
from hawsepipe.store.sql.pen import Pen, State, counted
from hawsepipe.store.sql.readers import Readers
from hawsepipe.store.sql.writer import Writer
from hawsepipe.visibility import Visibility

T = TypeVar("T")


class SqlStore:
    """Implements `store.contract.Store`, which documents each method."""

    def __init__(
        self, writer: Writer, readers: Readers, commits: Commits, clock: Clock, base: str, *, shared: bool = False
    ) -> None:
        """`shared`: others may write as well."""
        self._shared = shared
        self._base = base
        self._write = writer.run
        self._writer = writer
        self._read = readers.run
        self._commits = commits
        self._clock = clock

    # journal

    async def append(self, entry: JournalEntry) -> Acceptance:
        return await self._write(partial(journal.append, entry=entry))

    async def received(self, after: int, limit: int) -> Sequence[JournalRecord]:
        return await self._read(partial(journal.records, state=JournalState.RECEIVED, after=after, limit=limit))

    async def backlog(self) -> int:
        return (await self._counted()).backlog

    async def waiting(self) -> Mapping[str, Waiting]:
        return await self._read(journal.waiting_by_feed)

    async def lanes(self) -> Sequence[Lane]:
        return await self._read(lanes.told)

    async def journal(self, sequence: int) -> JournalRecord | None:
        return await self._read(partial(journal.record, sequence=sequence))

    async def messages(self, asked: Messages) -> Sequence[JournalRecord]:
        return await self._read(partial(journal.messages, asked=asked))

    async def dead_letters(self, after: int, limit: int, letters: Letters = EVERY_LETTER) -> Sequence[JournalRecord]:
        return await self._read(partial(journal.letters, after=after, limit=limit, only=letters))

    async def letter_groups(self, letters: Letters = EVERY_LETTER) -> Sequence[LetterGroup]:
        return await self._read(partial(journal.letter_groups, only=letters))

    async def discard(self, sequence: int, instant: datetime) -> bool:
        return await self._write(partial(journal.discard, sequence=sequence, micros=microseconds(instant)))

    async def replays(self, sequences: Sequence[int]) -> Mapping[int, Replay]:
        return await self._read(partial(journal.replays, sequences=sequences))

    async def key_used(self, feed: str, key: str, digest: bytes) -> bool:
        return await self._read(partial(journal.key_used, feed=feed, key=key, digest=digest))

    async def retry(
        self,
        sequence: int,
        instant: datetime,
        body: bytes | None = None,
        *,
        forced: bool = False,
        key: str | None = None,
    ) -> JournalRecord | None:
        micros = microseconds(instant)
        return await self._write(
            partial(journal.retry, sequence=sequence, micros=micros, body=body, forced=forced, key=key)
        )

    async def prune(self, before: Mapping[JournalState, datetime], anchored: int, after: int, limit: int) -> Pruned:
        cutoffs = {state: microseconds(instant) for state, instant in before.items()}
        work = partial(pruning.prune, cutoffs=cutoffs, anchored=anchored, after=after, limit=limit)
        return await self._write(work, bulk=True)

    async def give_back(self, pages: int) -> int:
        return await self._write(partial(pruning.give_back, pages=pages), bulk=True)

    async def anchored(self, channel: str, backends: Sequence[str]) -> int:
        return await self._read(partial(log.anchored, channel=channel, backends=backends))

    # deliveries

    async def route(self, routes: Mapping[str, Sequence[str]]) -> None:
        await self._write(partial(deliveries.route, routes=routes))

    async def next_delivery(self, destination: str) -> Delivery | None:
        return await self._read(partial(deliveries.following, destination=destination))

    async def delivered(self, number: int) -> None:
        await self._write(partial(deliveries.delivered, number=number))

    async def set_aside(self, number: int, refusal: Refusal, instant: datetime) -> None:
        micros = microseconds(instant)
        await self._write(partial(deliveries.set_aside, number=number, refusal=refusal, micros=micros))

    async def deliver_again(self, destination: str) -> int:
        return await self._write(partial(deliveries.again, destination=destination))

    async def asides(self, destination: str | None, after: int, limit: int) -> Sequence[Aside]:
        return await self._read(partial(deliveries.asides, destination=destination, after=after, limit=limit))

    async def entry(self, number: int) -> Aside | None:
        return await self._read(partial(deliveries.entry, number=number))

    async def deliver_one_again(self, number: int) -> bool:
        return await self._write(partial(deliveries.one_again, number=number))

    async def queues(self) -> Mapping[str, Queue]:
        return await self._read(deliveries.queues)

    # resources

    async def apply(self, applications: Sequence[Application]) -> Sequence[tuple[Version, ...] | HawsepipeError | Held]:
        micros = microseconds(self._clock())
        return await self._write(partial(self._commits.apply, applications=applications, micros=micros), bulk=True)

    async def rehearse(self, transaction: Transaction | PreparedTransaction) -> Sequence[Rehearsed]:
        return await self._write(partial(self._commits.rehearse, transaction=transaction))

    async def commit(
        self, transaction: Transaction, *, expected: Sequence[Expectation] = (), beside: Sequence[Transaction] = ()
    ) -> tuple[Version, ...]:
        now = microseconds(self._clock())
        return await self._write(
            partial(self._commits.commit, transaction=transaction, expected=expected, beside=beside, now=now)
        )

    async def load(self, transactions: Sequence[Transaction | PreparedTransaction], told: Told) -> Sequence[Outcome]:
        work = partial(loading.load, commits=self._commits, transactions=transactions, told=told)
        return await self._write(work, bulk=True)

    async def keep(self, notes: Sequence[Note]) -> None:
        await self._write(partial(loading.keep, notes=notes))

    async def notes(self, load: str, after: str, limit: int) -> Sequence[Note]:
        return await self._read(partial(loading.notes, load=load, after=after, limit=limit))

    async def loads(self) -> Sequence[str]:
        return await self._read(loading.loads)

    async def read(self, type: str, id: str) -> Version | None:
        return await self._read(partial(versions.read, type_=type, id_=id))

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        return await self._read(partial(versions.vread, type_=type, id_=id, version=version))

    async def history(
        self,
        type: str,
        id: str,
        before: int | None,
        count: int,
    ) -> Sequence[Version]:
        return await self._read(partial(versions.history, type_=type, id_=id, before=before, count=count))

    async def changes(
        self,
        type: str | None,
        visibility: Visibility,
        before: tuple[int, int] | None,
        since: int | None,
        count: int,
        after: tuple[int, int] | None = None,
    ) -> Sequence[tuple[int, Version]]:
        work = partial(changes.changes, type_=type, visibility=visibility, before=before, since=since, after=after)
        return await self._read(partial(work, count=max(count, 0)))

    async def search(self, query: Query, visibility: Visibility) -> Page:
        now = microseconds(self._clock())
        work = partial(search.search, query=query, visibility=visibility, now=now, base=self._base)
        commits = self._commits
        return await self._read(partial(work, extractor=commits.extractor, labeller=commits.labeller))

    async def spoken_of(self, type: str, id: str) -> Sequence[Version]:
        return await self._read(partial(versions.spoken_of, type_=type, id_=id))

    async def consents(self) -> Sequence[Version]:
        return await self._read(partial(versions.present, type_="Consent"))

    async def consent_epoch(self) -> int:
        return (await self._counted()).epoch

    async def contents_named(self, sha256s: Sequence[str]) -> frozenset[str]:
        return await self._read(partial(versions.contents_named, sha256s=sha256s))

    # access record

    async def record(self, accesses: Sequence[Access]) -> None:
        await self._write(partial(access_record.record, accesses=accesses))

    async def accesses(self, after: int, limit: int) -> Sequence[tuple[int, Access]]:
        return await self._read(partial(access_record.accesses, after=after, limit=limit))

    # log

    async def outbox(self, limit: int) -> Sequence[Anchor]:
        return await self._read(partial(log.outbox, limit=limit))

    async def outbox_depth(self) -> int:
        state = await self._counted()
        return state.leaves - state.log_size

    async def sequence(self, batch: Sequenced) -> None:
        await self._write(partial(log.sequence, batch=batch), bulk=True)

    async def put_leaf(self, commitment: bytes) -> None:
        await self._write(partial(log.put_leaf, commitment=commitment))

    async def uncharted(self, limit: int) -> Sequence[Anchor]:
        return await self._read(partial(statemap.uncharted, limit=limit))

    async def chart(self, upto: int, pages: Sequence[MapPage]) -> None:
        await self._write(partial(statemap.chart, upto=upto, pages=pages), bulk=True)

    async def pages(self, places: Sequence[bytes], size: int | None) -> Mapping[str, bytes]:
        return await self._read(partial(statemap.pages, places=places, size=size))

    async def state_leaf(self, size: int) -> StateLeaf | None:
        return await self._read(partial(statemap.state_leaf, size=size))

    # what an auditor reads (`store.auditing.Audited`)

    async def logged(self, after: int, limit: int) -> Sequence[Logged]:
        return await self._read(partial(auditing.logged, after=after, limit=limit))

    async def state_leaves(self, after: int, limit: int) -> Sequence[tuple[int, int, StateLeaf]]:
        return await self._read(partial(auditing.state_leaves, after=after, limit=limit))

    async def checkpoints(self, channel: str, after: int, limit: int) -> Sequence[Checkpoint]:
        return await self._read(partial(auditing.checkpoints, channel=channel, after=after, limit=limit))

    async def leafless(self) -> int:
        return await self._read(auditing.leafless)

    async def journalled(self, after: int, limit: int) -> Sequence[Raw]:
        return await self._read(partial(auditing.journalled, after=after, limit=limit))

    # the log again

    async def checkpoint(self, channel: str, backend: str | None = None) -> Checkpoint | None:
        return await self._read(partial(log.checkpoint, channel=channel, backend=backend))

    async def checkpoint_covering(self, channel: str, index: int, backend: str | None) -> Checkpoint | None:
        return await self._read(partial(log.checkpoint_covering, channel=channel, index=index, backend=backend))

    async def nodes(self, coordinates: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        return await self._read(partial(log.nodes, coordinates=coordinates))

    async def leaf_index(self, commitment: bytes) -> int | None:
        return await self._read(partial(log.leaf_index, commitment=commitment))

    async def in_outbox(self, commitment: bytes) -> bool:
        return await self._read(partial(log.in_outbox, commitment=commitment))

    async def put_receipt(self, receipt: Receipt) -> None:
        await self._write(partial(log.put_receipt, receipt=receipt), bulk=True)

    async def receipts(self, channel: str, size: int) -> Sequence[Receipt]:
        return await self._read(partial(log.receipts, channel=channel, size=size))

    # the service

    async def check(self) -> None:
        await self._write(_tick)

    async def _counted(self) -> State:
        """Return the counters as of the newest commit, whoever made it."""
        return await self._read(counted) if self._shared else self._writer.state


class SqlReading(SqlStore):
    """A store that is only read, while somebody else may write: whatever writes raises StoreError."""

    def __init__(self, readers: Readers) -> None:
        self._read = readers.run

    async def _write(self, work: Callable[[Pen], T], *, bulk: bool = False) -> T:
        raise StoreError("the store is open for reading only")


def _tick(pen: Pen) -> None:
    pen.connection.execute("UPDATE state SET tick = tick + 1")
