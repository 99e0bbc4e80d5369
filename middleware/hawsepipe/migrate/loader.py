"""Runs a load: chunk after chunk in the order of the plan, translated side by side, committed one after the other.

A chunk's effect and its note are one commit of the store. So whatever ends the process, a chunk is done or it is not,
and nothing else has to be remembered: whoever goes on reads which chunks are noted and does the others.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from hawsepipe.clock import Clock
from hawsepipe.errors import Conflict, HawsepipeError, StoreError
from hawsepipe.fhir.dates import instant_text
from hawsepipe.migrate.budget import Budget
from hawsepipe.migrate.plan import Held, Plan
from hawsepipe.migrate.progress import Progress
from hawsepipe.migrate.records import FHIR
from hawsepipe.migrate.state import Chunk, Failure, Tally, chunks, ranges
from hawsepipe.migrate.translation import Dead, Job, Result, Task, addresses, dead
from hawsepipe.model import Operation, Version
from hawsepipe.store.contract import Store
from hawsepipe.store.loads import Note, Outcome
from hawsepipe.store.prepared import PreparedTransaction

Translate = Callable[[Job], Awaitable[list[Result]]]
Root = Callable[[Iterable[bytes]], bytes]
"""The Merkle root (RFC 6962) over entries."""

_AGAIN: Final = 0.5
_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads what a plan names. `width` is how many chunks `translate` may have in hand at once; `committed` is called
    after each commit.
    """

    load: str
    store: Store
    plan: Plan
    translate: Translate
    width: int
    budget: Budget
    clock: Clock
    root: Root
    progress: Progress
    committed: Callable[[], None]
    dry: bool = False
    failures: list[Failure] = field(default_factory=list)
    """Of a dry run alone: a load has them in its notes."""

    async def run(self, total: int) -> None:
        """Do the chunks that are not done, of `total`. Raises StoreError, and Conflict when a record has changed."""
        done: set[int] = set()
        if not self.dry:
            async for chunk in chunks(self.store, self.load):
                done.add(chunk.number)
                self.progress.before(chunk)
        self.progress.start()
        waiting = iter([number for number in range(1, total + 1) if number not in done])
        ahead: deque[tuple[int, list[Held], asyncio.Task[list[Result]]]] = deque()
        files = Files()
        try:
            while True:
                while len(ahead) < self.width and (number := next(waiting, None)) is not None:
                    held = self.plan.chunk(number)
                    job = await asyncio.to_thread(self._job, held, files)
                    ahead.append((number, held, asyncio.ensure_future(self.translate(job))))
                if not ahead:
                    return
                number, held, working = ahead[0]
                results = await working
                ahead.popleft()
                await self.budget.take(len(held))
                await self._commit(number, held, results)
        finally:
            for *_, working in ahead:
                working.cancel()
            await asyncio.gather(*(working for *_, working in ahead), return_exceptions=True)
            files.close()

    def _job(self, held: Sequence[Held], files: Files) -> Job:
        return Job(self.load, self.clock(), [task(self.plan, it, files.read(it)) for it in held])

    async def _commit(self, number: int, held: Sequence[Held], results: Sequence[Result]) -> None:
        entries = self.root([it.digest for it in held])
        where = ranges((it.document, it.offset, it.length) for it in held)
        made: list[Chunk] = []
        instant = instant_text(self.clock())

        def told(outcomes: Sequence[Outcome]) -> Note:
            for outcome in outcomes:
                if isinstance(outcome, StoreError):
                    raise outcome
            tally, failures = _tally(held, results, outcomes)
            chunk = Chunk(number, tally, failures, entries.hex(), instant, where)
            made[:] = [chunk]
            return chunk.note(self.load)

        transactions = [result for result in results if isinstance(result, PreparedTransaction)]
        if self.dry:
            told(await rehearsed(self.store, transactions))
            self.failures.extend(made[0].failures)
        else:
            await self._stored(transactions, told)
            self.committed()
        self.progress.after(made[0])

    async def _stored(
        self, transactions: Sequence[PreparedTransaction], told: Callable[[Sequence[Outcome]], Note]
    ) -> None:
        """Commit a chunk; what the store cannot do now is tried again for a while."""
        for attempt in range(_TRIES):
            try:
                await self.store.load(transactions, told)
                return
            except StoreError:
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(_AGAIN)


async def rehearsed(store: Store, transactions: Sequence[PreparedTransaction]) -> list[Outcome]:
    """Return what would become of transactions, with empty versions, and write nothing. What an earlier chunk would
    have made is not there: a resource that comes twice counts as loaded twice.
    """

    async def one(transaction: PreparedTransaction) -> Outcome:
        try:
            if transaction.draft is not None and await store.read("Provenance", transaction.draft.id) is not None:
                return ()
            found = await store.rehearse(transaction)
        except HawsepipeError as error:
            return error
        return tuple(_would(it.type, it.id, transaction.instant) for it in found if it.before != it.after)

    return list(await asyncio.gather(*(one(it) for it in transactions)))


def _would(type_: str, id_: str, instant: datetime) -> Version:
    return Version(type_, id_, 1, instant, instant, Operation.UPDATE, None, (), b"", None, None)


def task(plan: Plan, held: Held, body: bytes) -> Task:
    """Return a record to be translated, with what the addresses in it stand for."""
    found: Mapping[str, str] = {}
    if held.form == FHIR:
        told = ((url, plan.place(held, url)) for url in addresses(body))
        found = {url: place for url, place in told if place is not None}
    bundled = held.form == FHIR and held.bundle > 0
    return Task(held.source, held.form, body, held.type, held.id, held.version, found, bundled)


class Files:
    """Documents that are read from, kept open: the few that were asked for last."""

    _MOST: Final = 32

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def read(self, held: Held) -> bytes:
        """Return the bytes of a record. Raises Conflict when they are others than those that were planned."""
        descriptor = self._open.pop(held.path, None)
        try:
            if descriptor is None:
                descriptor = os.open(Path(held.path), os.O_RDONLY | os.O_CLOEXEC)
            self._open[held.path] = descriptor
            body = os.pread(descriptor, held.length, held.offset)
        except OSError as error:
            raise Conflict("a document of the source cannot be read any more; see the plan") from error
        while len(self._open) > self._MOST:
            os.close(self._open.pop(next(iter(self._open))))
        if sha256(body).digest() != held.digest:
            raise Conflict(f"record {held.number} of source {held.source} is not what it was when it was planned")
        return body

    def close(self) -> None:
        """Close them all."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


def _tally(
    held: Sequence[Held], results: Sequence[Result], outcomes: Sequence[Outcome]
) -> tuple[Tally, tuple[Failure, ...]]:
    tally, failures = Tally(), []
    left = iter(outcomes)
    for it, result in zip(held, results, strict=True):
        outcome: Outcome | Dead = next(left) if isinstance(result, PreparedTransaction) else (result or ())
        if isinstance(outcome, HawsepipeError):
            outcome = dead(outcome)
        if isinstance(outcome, Dead):
            tally.add(it.source, it.type, 2)
            tally.causes[outcome.cause] += 1
            failures.append(Failure(it.source, it.type, it.label, it.line, it.digest.hex(), *outcome))
        else:
            fresh = sum(version.changed for version in outcome)
            tally.versions += fresh
            tally.add(it.source, it.type, 0 if any(_told(version) for version in outcome) else 1)
    return tally, tuple(failures)


def _told(version: Version) -> bool:
    """Whether a version is one that a record made, rather than the Provenance of a record that had nothing to tell."""
    return version.changed and version.type != "Provenance"
