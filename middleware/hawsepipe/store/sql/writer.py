"""The one thread that writes. All jobs that wait share a transaction and its fsync; each fails alone.

Somebody waits for a journal entry or an access record, nobody for the effect of a message: bulk jobs take turns with
groups of all others, one at a time, so that an acknowledgement waits for one bulk job at most.

What was answered with an error stays undone, whatever happens to the machine next (`Connection.undone`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from hawsepipe.errors import HawsepipeError, StoreError
from hawsepipe.meters import Meters
from hawsepipe.store.sql.pen import Pen, State

T = TypeVar("T")

GROUP: Final = 512
"""Jobs that share one commit at most."""


class _Job(NamedTuple):
    work: Callable[[Pen], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class _Outcome(NamedTuple):
    job: _Job
    result: Any
    error: Exception | None


class Writer:
    """Runs jobs in its thread over a pen; `state` is that of the newest commit."""

    def __init__(self, pen: Pen, meters: Meters) -> None:
        self._pen = pen
        self._meters = meters
        self._prompt: deque[_Job] = deque()
        self._bulk: deque[_Job] = deque()
        self._waiting = threading.Condition()
        self._closed = False
        self.state: State = pen.state
        self._thread = threading.Thread(target=self._run, name="hawsepipe-store-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Pen], T], *, bulk: bool = False) -> T:
        """Run a job; when this returns, what it wrote is on the disk. A cancelled call may or may not have taken
        effect. A bulk job has a commit of its own.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._waiting:
            if self._closed:
                raise StoreError("the store is closed")
            (self._bulk if bulk else self._prompt).append(_Job(work, future, loop))
            self._waiting.notify()
        return await future

    def close(self) -> None:
        """Finish what waits, stop the thread. Blocks."""
        with self._waiting:
            self._closed = True
            self._waiting.notify()
        self._thread.join()

    # in the thread

    def _run(self) -> None:
        while True:
            with self._waiting:
                while not (self._prompt or self._bulk or self._closed):
                    self._waiting.wait()
                prompt = [self._prompt.popleft() for _ in range(min(len(self._prompt), GROUP))]
                bulk = [self._bulk.popleft()] if self._bulk else []
            for group in (prompt, bulk):
                if group:
                    _wake(self._committed_or_refused(group))
                    self._pen.connection.committed()
            if not (prompt or bulk):
                return

    def _committed_or_refused(self, group: list[_Job]) -> list[_Outcome]:
        try:
            return self._commit(group)
        except Exception as error:
            # Nobody foresaw it, and nobody may wait for ever because of it: the thread goes on.
            self._pen.connection.undone()
            return [_Outcome(job, None, unexpected(error)) for job in group]

    def _commit(self, group: list[_Job]) -> list[_Outcome]:
        pen = self._pen
        before = pen.mark()
        outcomes: list[_Outcome] = []
        try:
            pen.begin()
            before = pen.mark()
            for job in group:
                if not job.future.cancelled():
                    outcomes.append(self._do(job))
            pen.save()
            pen.connection.finish()
        except pen.connection.errors as error:
            pen.connection.undone()
            pen.back(before)
            refused = {id(outcome.job): outcome for outcome in outcomes if outcome.error is not None}
            return [refused.get(id(job)) or _Outcome(job, None, self._caused(error)) for job in group]
        for type_, count in Counter(pen.settle()).items():
            self._meters.versions.labels(type_).inc(count)
        self.state = pen.state
        return outcomes

    def _do(self, job: _Job) -> _Outcome:
        try:
            with self._pen.savepoint():
                return _Outcome(job, job.work(self._pen), None)
        except HawsepipeError as error:
            return _Outcome(job, None, error)
        except self._pen.connection.fatal:
            raise
        except Exception as error:
            if not self._pen.connection.in_transaction:
                raise self._pen.connection.broken from error
            return _Outcome(job, None, unexpected(error))

    def _caused(self, error: Exception) -> StoreError:
        failure = self._pen.connection.translated(error)
        failure.__cause__ = error
        return failure


def unexpected(error: Exception) -> HawsepipeError:
    """Return our error for one that nobody foresaw: trying again will not help."""
    failure = HawsepipeError(f"the change cannot be stored ({type(error).__name__})")
    failure.__cause__ = error
    return failure


def _wake(outcomes: list[_Outcome]) -> None:
    """Hand the results over, one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome.job.loop, []).append(outcome)
    for loop, entries in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, entries)


def _resolve(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        future = outcome.job.future
        if future.done():
            continue
        if outcome.error is None:
            future.set_result(outcome.result)
        else:
            future.set_exception(outcome.error)
