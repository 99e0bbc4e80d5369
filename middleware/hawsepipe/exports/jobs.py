"""Exports under way and done: one after the other in the background, each step kept, so that a restart goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol
from uuid import uuid4

import structlog

from hawsepipe.clock import Clock
from hawsepipe.consent.exports import Batch, Place, Portion
from hawsepipe.errors import HawsepipeError, NotFound, StoreError, TooManyRequests
from hawsepipe.exports.files import Folder
from hawsepipe.exports.job import File, Job, Order, State
from hawsepipe.fhir.query import Query
from hawsepipe.model import Principal

_log = structlog.get_logger("hawsepipe.exports")

KEPT: Final = timedelta(hours=24)
"""How long files stay after a job has ended."""

_BATCH: Final = 500
_LINES: Final = 250_000
"""Resources in one file."""

_EACH: Final = 5
"""Jobs that one principal may have under way: of others nothing is told, not even that they are busy."""

_AGAIN: Final = 5.0
"""Seconds until a job that the store could not serve is tried again."""

_LOOK: Final = 60.0
"""Seconds until somebody looks what is over."""

_TRIES: Final = 20
"""Times that the store may fail a job, one after the other, before the job has failed."""


class Source(Protocol):
    """What one principal may have (implemented by `consent.view`)."""

    async def bulk(self, portion: Portion, place: Place, count: int) -> Batch:
        """Return what comes next of a portion. Raises Forbidden."""
        ...

    async def still_allowed(self, kind: str, named: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
        """Return which (id, version) may be given now. Raises Forbidden."""
        ...


class Sources(Protocol):
    """Gives each principal its view (implemented by `consent.view`)."""

    def view(self, principal: Principal) -> Source:
        """Return the view of a principal."""
        ...


class Filters(Protocol):
    """Reads the filters of an order (implemented by the API over the search parameters)."""

    def __call__(self, kind: str, text: str) -> Query:
        """Return the query. Raises InvalidRequest."""
        ...


class Exports:
    """The exports of one service. `run` must be running for them to go on."""

    def __init__(self, folder: Folder, sources: Sources, filters: Filters, clock: Clock) -> None:
        self._folder = folder
        self._sources = sources
        self._filters = filters
        self._clock = clock
        self._jobs: dict[str, Job] = {job.id: job for job in folder.all()}
        self._failures: dict[str, int] = {}
        self._work = asyncio.Event()
        self._work.set()

    async def start(self, principal: Principal, order: Order) -> Job:
        """Keep an order and begin with it. Raises TooManyRequests, StoreError."""
        mine = [it for it in self._jobs.values() if it.state is State.RUNNING and it.belongs_to(principal)]
        if len(mine) >= _EACH:
            raise TooManyRequests(f"{_EACH} of your exports are under way", 30.0)
        job = Job(str(uuid4()), principal, order, self._clock())
        await asyncio.to_thread(self._folder.keep, job)
        self._jobs[job.id] = job
        self._work.set()
        return job

    def find(self, id: str, principal: Principal) -> Job:
        """Return a job of this principal. Raises NotFound: also for somebody else's, and for one that is no more."""
        job = self._jobs.get(id)
        if job is None or not job.belongs_to(principal) or self._over(job):
            raise NotFound("there is no such export")
        return job

    async def cancel(self, id: str, principal: Principal) -> None:
        """Take a job of this principal and its files away. Raises NotFound."""
        job = self.find(id, principal)
        del self._jobs[job.id]
        await asyncio.to_thread(self._folder.remove, job.id)

    async def lines(self, job: Job, file: File, principal: Principal) -> AsyncGenerator[bytes, None]:
        """Yield a file's content as far as the principal may have it now. Raises Forbidden, StoreError."""
        source = self._sources.view(principal)
        batches = self._folder.lines(job, file, _BATCH)
        with closing(batches):
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                allowed = await source.still_allowed(file.type, [(it.id, it.version) for it in batch])
                yield b"".join(it.content for it in batch if (it.id, it.version) in allowed)

    async def run(self) -> None:
        """Work on what there is, oldest first, until cancelled; take away what is over."""
        while True:
            for job in [it for it in self._jobs.values() if self._over(it)]:
                del self._jobs[job.id]
                await asyncio.to_thread(self._folder.remove, job.id)
            waiting = [it for it in self._jobs.values() if it.state is State.RUNNING]
            if waiting:
                await self._step(min(waiting, key=lambda it: (it.started, it.id)))
                continue
            self._work.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._work.wait()

    async def _step(self, job: Job) -> None:
        """Write one batch of a job. What the store cannot do now is tried again; what else goes wrong ends the job."""
        try:
            done = await self._written(job)
        except StoreError as error:
            self._failures[job.id] = self._failures.get(job.id, 0) + 1
            _log.warning("an export waits for the store", job=job.id, error=type(error).__name__)
            if self._failures[job.id] < _TRIES:
                await asyncio.sleep(_AGAIN)
                return
            done = job.ending(State.FAILED, self._clock())
        except HawsepipeError as error:
            _log.error("an export failed", job=job.id, error=type(error).__name__)
            done = job.ending(State.FAILED, self._clock())
        if done.state is State.FAILED:
            await self._keep_if_possible(done)
        else:
            self._failures.pop(job.id, None)
        if job.id in self._jobs:  # not cancelled in the meantime
            self._jobs[job.id] = done
        else:
            await asyncio.to_thread(self._folder.remove, job.id)

    async def _keep_if_possible(self, job: Job) -> None:
        try:
            await asyncio.to_thread(self._folder.keep, job)
        except StoreError:  # after a restart it is tried again
            _log.error("the end of an export could not be kept", job=job.id)

    async def _written(self, job: Job) -> Job:
        if job.portion >= len(job.order.types):
            done = job.ending(State.COMPLETE, self._clock())
            await asyncio.to_thread(self._folder.keep, done)
            return done
        batch = await self._sources.view(job.principal).bulk(self._portion(job), job.place, _BATCH)
        files = job.files
        if batch.versions:
            file = _file(job)
            before = files[:-1] if files and files[-1].name == file.name else files
            files = (*before, await asyncio.to_thread(self._folder.append, job, file, batch.versions))
        if batch.next is None:
            done = replace(job, files=files, portion=job.portion + 1, place=Place())
        else:
            done = replace(job, files=files, place=batch.next)
        await asyncio.to_thread(self._folder.keep, done)
        return done

    def _portion(self, job: Job) -> Portion:
        order, kind = job.order, job.order.types[job.portion]
        queries = tuple(self._filters(kind, text) for of, text in order.filters if of == kind)
        return Portion(kind, order.level, queries, order.members, order.since, job.started)

    def _over(self, job: Job) -> bool:
        return job.ended is not None and self._clock() >= job.ended + KEPT


def _file(job: Job) -> File:
    """Return the file that the next batch goes to."""
    kind = job.order.types[job.portion]
    last = job.files[-1] if job.files else None
    if last is not None and last.type == kind and last.count < _LINES:
        return last
    number = sum(file.type == kind for file in job.files) + 1
    return File(f"{kind}-{number}.ndjson", kind)
