"""Processes that work out effects, so that it costs the event loop and the store's writer nothing.

A worker does parts in the order in which it gets them. One that ends, or does not answer, is started anew, and what it
had in hand is done again, each message alone in a process of its own: a message that ends that one too becomes a dead
letter. While there is no worker (at the start, or when none can be started) the own desk does the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from hawsepipe.hooks import Refusal
from hawsepipe.intake.effects import Desk, Effect, Task
from hawsepipe.intake.frames import LENGTH, effects, framed, pieces, value

_log = structlog.get_logger("hawsepipe.intake")

START_SECONDS: Final = 60.0
"""Time for a worker to start."""

PATIENCE_SECONDS: Final = 60.0
"""Time for a part, and for a message that is done alone. A part that waits behind another has the time of both."""

STOP_SECONDS: Final = 5.0
"""Time for a worker to end once it is told to."""

PAUSE_SECONDS: Final = 5.0
"""Pause before a worker is started in the place of one that did not start or live long."""

_IN_HAND: Final = 2
"""Parts that a worker has at once: one that it works at and one that waits, so that it never does."""

_BUFFER: Final = 1 << 20
_PIECE: Final = 1 << 18


class WorkerLost(Exception):
    """The process ended, or did not answer in time; what it had in hand is not done."""


class WorkerRefused(Exception):
    """The process says why it cannot work. Never leaves the room."""


class Worker:
    """One process and the parts that it has in hand."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        patience: float,
    ) -> None:
        self._patience = patience
        self._process = process
        self._reader = reader
        self._writer = writer
        self._in_hand: deque[asyncio.Future[list[Effect]]] = deque()
        self._listening: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self.ended = asyncio.Event()

    @property
    def load(self) -> int:
        """How many parts it has in hand."""
        return len(self._in_hand)

    async def ready(self, setup: Any) -> Any:
        """Tell it what it is for; return what it answers. Raises WorkerLost."""
        try:
            async with asyncio.timeout(START_SECONDS):
                self._writer.write(framed(setup))
                answer = value(await self._frame())
        except (OSError, EOFError, TimeoutError) as error:
            raise WorkerLost from error
        self._listening = asyncio.create_task(self._listen())
        return answer

    async def effects(self, tasks: Sequence[Task]) -> list[Effect]:
        """Have a part done. Raises WorkerLost."""
        if self.ended.is_set():
            raise WorkerLost
        future: asyncio.Future[list[Effect]] = asyncio.get_running_loop().create_future()
        self._in_hand.append(future)
        try:
            # In the order of the futures; large ones piece by piece, so that they are not there several times.
            async with asyncio.timeout(self._patience * len(self._in_hand)), self._sending:
                if not self.ended.is_set():
                    await self._send(list(tasks))
        except (OSError, TimeoutError) as error:
            self._lose()
            raise WorkerLost from error
        try:
            async with asyncio.timeout(self._patience * len(self._in_hand)):
                return await future
        except TimeoutError as error:
            self._lose()
            raise WorkerLost from error

    async def _send(self, tasks: list[Task]) -> None:
        for piece in pieces(tasks):
            for first in range(0, len(piece), _PIECE):
                self._writer.write(memoryview(piece)[first : first + _PIECE] if len(piece) > _PIECE else piece)
                if len(piece) > _PIECE:
                    await self._writer.drain()

    async def close(self) -> int | None:
        """End the process, kindly at first; return its exit status."""
        self._lose()
        if self._listening is not None:
            self._listening.cancel()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        return self._process.returncode

    async def _listen(self) -> None:
        try:
            while True:
                done = effects(await self._frame())
                future = self._in_hand.popleft()
                if not future.done():
                    future.set_result(done)
        except (OSError, EOFError, ValueError):
            self._lose()

    async def _frame(self) -> bytes:
        length = int.from_bytes(await self._reader.readexactly(LENGTH), "big")
        return await self._reader.readexactly(length)

    def _lose(self) -> None:
        self._writer.close()
        self.ended.set()
        for future in self._in_hand:
            if not future.done():
                future.set_exception(WorkerLost())
        self._in_hand.clear()


class Workers:
    """A desk with `count` workers. See `open_workers`."""

    def __init__(
        self, count: int, module: str, setup: Any, rules: Mapping[str, bytes], own: Desk, patience: float
    ) -> None:
        self._module = module
        self._setup = setup
        self._rules = dict(rules)
        self._own = own
        self._patience = patience
        self._workers: list[Worker] = []
        self.width = count * _IN_HAND

    async def effects(self, tasks: Sequence[Task]) -> list[Effect]:
        """See `Desk.effects`."""
        if not self._workers:
            return await self._own.effects(tasks)
        worker = min(self._workers, key=lambda it: it.load)
        try:
            return await worker.effects(tasks)
        except WorkerLost:
            return [await self._alone(task) for task in tasks]

    @property
    def alive(self) -> int:
        """How many workers there are now."""
        return len(self._workers)

    async def keep(self) -> None:
        """Keep one worker until cancelled, or until it says that it cannot work."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                worker = await self._start()
            except WorkerRefused as error:
                _log.warning("translation goes on without a worker", reason=str(error))
                return
            except (WorkerLost, OSError) as error:
                _log.error("a worker did not start", error=type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._workers.append(worker)
            try:
                await worker.ended.wait()
            finally:
                self._workers.remove(worker)
                status = await worker.close()
            _log.error("a worker ended", status=status)
            if loop.time() - begun < PAUSE_SECONDS:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _alone(self, task: Task) -> Effect:
        """Do one message in a process of its own: if that ends as well, it is because of the message."""
        try:
            worker = await self._start()
        except (WorkerLost, WorkerRefused, OSError):
            return (await self._own.effects([task]))[0]
        try:
            return (await worker.effects([task]))[0]
        except WorkerLost:
            return Effect("", None, Refusal("mapping", "", "the translator ended its process, or took too long"))
        finally:
            await worker.close()

    async def _start(self) -> Worker:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # A session of its own: the terminal's signals are for the service, which ends its workers itself.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                self._module,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
            reader, writer = await asyncio.open_unix_connection(sock=ours.dup(), limit=_BUFFER)
        worker = Worker(process, reader, writer, self._patience)
        try:
            answer = await worker.ready(self._setup)
            if isinstance(answer, str):
                raise WorkerRefused(answer)
            if answer != self._rules:
                raise WorkerRefused("its mapping rules are not those of the service")
        except BaseException:
            await worker.close()
            raise
        return worker


@asynccontextmanager
async def open_workers(
    count: int,
    module: str,
    setup: Any,
    rules: Mapping[str, bytes],
    own: Desk,
    *,
    patience: float = PATIENCE_SECONDS,
) -> AsyncIterator[Workers]:
    """Start `count` workers, which the caller need not wait for; leaving ends them.

    A worker is `python -m module`. It is sent `setup` and answers with the digest of each feed's mapping rules, which
    must be `rules`, or with a text that says why it cannot work.
    """
    workers = Workers(count, module, setup, rules, own, patience)
    keepers = [asyncio.create_task(workers.keep(), name=f"worker {number}") for number in range(count)]
    try:
        yield workers
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
