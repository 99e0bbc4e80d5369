"""What translates the records of a load: threads of this process, or processes beside it.

A process that ends takes nothing with it but its chunk, which is done again, each record alone: one that ends its
process twice is dead.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from hawsepipe.clock import system_clock
from hawsepipe.config import Config
from hawsepipe.errors import ConfigError
from hawsepipe.hooks import Reader, Translator
from hawsepipe.migrate.loader import Translate
from hawsepipe.migrate.loads import Request
from hawsepipe.migrate.records import FHIR, V2, Split
from hawsepipe.migrate.translation import Dead, Job, Result, Translating
from hawsepipe.model import Piece
from hawsepipe.service import preparing
from hawsepipe.service.kinds import translator

_MEDIA: Final = {FHIR: "application/fhir+json", V2: "application/hl7-v2"}
_IN_HAND: Final = 2
"""Chunks that a worker has at once: one that it works at and one that waits."""


@asynccontextmanager
async def engine(config: Config, request: Request) -> AsyncIterator[tuple[Translate, int]]:
    """Open what translates the chunks of a load; see `migrate.loads.Engine`. Raises ConfigError."""
    if request.workers:
        pool = _Pool(config, request)
        try:
            yield pool.results, request.workers * _IN_HAND
        finally:
            pool.close()
        return
    opened = _Opened(config, _settings(request))
    translating = Translating(opened.of, preparing.preparation(config), preparing.taking(config))
    turn = threading.Lock()
    try:

        def results(job: Job) -> list[Result]:
            with turn:
                return translating.results(job)

        async def translate(job: Job) -> list[Result]:
            return await asyncio.to_thread(results, job)

        yield translate, _IN_HAND
    finally:
        await opened.close()


@asynccontextmanager
async def splitter(config: Config) -> AsyncIterator[Split]:
    """Open what cuts files of HL7 v2 into messages, once there is one to be cut. Without a translator of HL7 v2 they
    hold none.
    """
    opened = _Opened(config, {})
    try:

        def split(chunks: Iterable[bytes]) -> Iterator[Piece]:
            try:
                found = opened.of("", V2)
            except ConfigError:
                return iter(())
            return found.split(chunks) if isinstance(found, Reader) else iter(())

        yield split
    finally:
        await opened.close()


class _Pool:
    """Processes that translate."""

    def __init__(self, config: Config, request: Request) -> None:
        self._setup = pickle.dumps((config, request))
        self._workers = request.workers
        self._pool = self._started(self._workers)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def results(self, job: Job) -> list[Result]:
        loop, pool = asyncio.get_running_loop(), self._pool
        try:
            return await loop.run_in_executor(pool, translated, self._setup, job)
        except BrokenProcessPool:
            if self._pool is pool:
                pool.shutdown(wait=False, cancel_futures=True)
                self._pool = self._started(self._workers)
        return [await self._alone(job._replace(tasks=[task])) for task in job.tasks]

    async def _alone(self, job: Job) -> Result:
        pool = self._started(1)
        try:
            return (await asyncio.get_running_loop().run_in_executor(pool, translated, self._setup, job))[0]
        except BrokenProcessPool:
            return Dead("mapping", "", "the record ends the process that translates it")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _started(count: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_begin)


def translated(setup: bytes, job: Job) -> list[Result]:
    """Translate a chunk in a worker; `setup` is the pickled configuration and request of whoever started it."""
    return _opened(setup).results(job)


@functools.cache
def _opened(setup: bytes) -> Translating:
    config, request = pickle.loads(setup)  # noqa: S301  between two halves of one program
    # Translators are pure, and live as long as the process.
    return Translating(_Opened(config, _settings(request)).of, preparing.preparation(config), preparing.taking(config))


def _begin() -> None:
    """Leave interrupts to whoever started this process, and end when that one does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _settings(request: Request) -> dict[str, str]:
    return {"identity": "source", **({"version": request.version} if request.version else {})}


class _Opened:
    """Translators by source and form, opened when somebody asks; in a thread without an event loop."""

    def __init__(self, config: Config, more: Mapping[str, str]) -> None:
        self._config = config
        self._more = more
        self._stack = AsyncExitStack()
        self._found: dict[tuple[str, str], Translator | ConfigError] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # theirs: to end it would end them

    def of(self, source: str, form: str) -> Translator:
        """Return the translator. Raises ConfigError."""
        place = (source if form == FHIR else "", form)
        if place not in self._found:
            try:
                self._loop = self._loop or asyncio.new_event_loop()
                self._found[place] = self._loop.run_until_complete(self._open(*place))
            except ConfigError as error:
                self._found[place] = error
        found = self._found[place]
        if isinstance(found, ConfigError):
            raise found
        return found

    async def close(self) -> None:
        """Close them."""
        loop, self._loop = self._loop, None
        if loop is not None:

            def close() -> None:
                try:
                    loop.run_until_complete(self._stack.aclose())
                finally:
                    loop.close()

            await asyncio.to_thread(close)

    async def _open(self, source: str, form: str) -> Translator:
        """Open the first translator of the configuration for a form, else the plugin's own."""
        more = {**self._more, "source": source} if form == FHIR else {}
        for instance in sorted(self._config.translators, key=lambda it: it.kind != form):
            known = more if instance.kind == form else {}
            async with AsyncExitStack() as trying:
                context = translator(instance.name, self._config, system_clock, known)
                found = await trying.enter_async_context(context)
                if _MEDIA[form] in found.media_types:
                    self._stack.push_async_exit(trying.pop_all())
                    return found
        return await self._stack.enter_async_context(translator(form, None, system_clock, more))
