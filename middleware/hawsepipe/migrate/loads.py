"""The loads of one store: begin one, go on with it, look at it, verify it, take it back. One works at a time.

Everything that a load needs to know later is in its notes (`state`); the plan and what was unpacked are in a folder of
its own and can be made anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import Conflict, HawsepipeError, InvalidRequest, NotFound
from hawsepipe.fhir.dates import instant_text
from hawsepipe.migrate import report, sealing
from hawsepipe.migrate.budget import Backlog, Budget
from hawsepipe.migrate.linkage.linking import Linking
from hawsepipe.migrate.loader import Loader, Root, Translate
from hawsepipe.migrate.plan import Plan
from hawsepipe.migrate.planning import CHUNK, Maker
from hawsepipe.migrate.progress import Progress
from hawsepipe.migrate.records import Split
from hawsepipe.migrate.sources import NAME, Source
from hawsepipe.migrate.state import END, PLAN, REQUEST, WITHDRAWAL, Failure, chunks, encoded, noted
from hawsepipe.migrate.verification import Verification
from hawsepipe.migrate.withdrawal import Withdrawal, Withdrawn
from hawsepipe.model import Principal
from hawsepipe.store.contract import Store
from hawsepipe.store.loads import Note

_log = structlog.get_logger("hawsepipe.migrate")
WINDOW: Final = ".window.json"
"""What says in a copied source when it was copied; see `hooks.Copying`."""

VERSIONS: Final = ("R4", "STU3", "DSTU2", "R5", "guess")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a load. `version` is that of FHIR records which do not tell theirs, empty for the setting of the
    translator; `workers` are processes beside this one, `rate` records a second.
    """

    load: str
    sources: tuple[tuple[str, str], ...]
    version: str = ""
    workers: int = 0
    rate: float | None = None
    chunk: int = CHUNK
    dry: bool = False

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Request:
        """Return the request that JSON values make. Raises InvalidRequest."""
        try:
            request = cls(
                str(value["load"]),
                tuple((str(name), str(path)) for name, path in value["sources"]),
                str(value.get("version") or ""),
                int(value.get("workers") or 0),
                float(value["rate"]) if value.get("rate") is not None else None,
                int(value.get("chunk") or CHUNK),
                value.get("dry") is True,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequest("the request of a load has another shape") from error
        names = [request.load, *(name for name, _ in request.sources)]
        if not request.sources or any(NAME.fullmatch(name) is None for name in names):
            raise InvalidRequest("loads and sources have names of letters, digits, dots, hyphens and underscores")
        if len({name for name, _ in request.sources}) < len(request.sources):
            raise InvalidRequest("two sources have the same name; write NAME=PATH")
        if request.version and request.version not in VERSIONS:
            raise InvalidRequest(f"there is no version {request.version} of FHIR here")
        if not (0 <= request.workers <= 64 and 1 <= request.chunk <= 10_000):
            raise InvalidRequest("a load has 0 to 64 workers and chunks of 1 to 10000 records")
        if request.rate is not None and not 0 < request.rate <= 1e9:
            raise InvalidRequest("a rate is more than 0 records a second")
        return request

    def told(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "sources": [list(one) for one in self.sources]}

    @property
    def meaning(self) -> tuple[object, ...]:
        """What must be the same for the same load."""
        return self.load, self.sources, self.version, self.chunk


def name_of(sources: Sequence[Source]) -> str:
    """Return the name of a load that was given none: the same sources have the same."""
    told = "\n".join(f"{source.name}={source.path}" for source in sources)
    first = re.sub(r"[^A-Za-z0-9-]", "-", sources[0].name)[:32]
    return f"{first}-{sha256(told.encode()).hexdigest()[:8]}"


Engine = Callable[[Request], AbstractAsyncContextManager[tuple[Translate, int]]]
"""Opens what translates chunks, and says how many it can have in hand."""


@dataclass(frozen=True, slots=True)
class Means:
    """What loads are made with: the root over entries, an engine, what splits files of HL7 v2, the live backlog, what
    is called after each commit, seconds that only grow, and the folder for plans.
    """

    store: Store
    folder: Path
    clock: Clock
    engine: Engine
    split: Callable[[], AbstractAsyncContextManager[Split]]
    root: Root
    backlog: Backlog
    committed: Callable[[], None]
    now: Callable[[], float]


class Loads:
    """See the module."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._progress: dict[str, Progress] = {}
        self._task: asyncio.Task[None] | None = None
        self._budget: Budget | None = None

    @property
    def linking(self) -> Linking:
        """Who is who between the sources."""
        return Linking(self._means.store, self._means.clock, self._means.committed)

    def live(self) -> None:
        """Take note that a live message came."""
        if self._budget is not None:
            self._budget.live()

    async def begin(self, request: Request) -> dict[str, Any]:
        """Begin a load, or go on with it; return its state. Raises Conflict when another one works, when the name is
        that of other sources, and when the load was withdrawn.
        """
        self._free()
        store, load = self._means.store, request.load
        if not request.dry:
            before = await noted(store, load, REQUEST)
            if before is not None and Request.of(before).meaning != request.meaning:
                raise Conflict(f"the load {load} is of other sources or settings; give this one another name")
            if await noted(store, load, WITHDRAWAL) is not None:
                raise Conflict(f"the load {load} was withdrawn; give this one another name")
            if before is None:
                told = {**request.told(), "at": instant_text(self._means.clock())}
                await store.keep([Note(load, REQUEST, encoded(told))])
        return self._start(load, lambda progress: self._load(request, progress))

    async def resume(self, load: str) -> dict[str, Any]:
        """Go on with a load. Raises as `begin`, and NotFound."""
        return await self.begin(await self._request(load))

    async def verify(self, load: str, samples: int, seed: int) -> dict[str, Any]:
        """Begin to compare a load with its sources, read anew; the result is part of the state."""
        self._free()
        request = await self._request(load)
        return self._start(load, lambda progress: self._verify(request, progress, samples, seed))

    async def withdraw(self, load: str, operator: Principal) -> dict[str, Any]:
        """Begin to take a load back. Raises NotFound, and Conflict while another one works."""
        self._free()
        await self._request(load)
        return self._start(load, lambda progress: self._withdraw(load, progress, operator))

    async def status(self, load: str) -> dict[str, Any]:
        """Return the state of a load. Raises NotFound."""
        if load in self._progress:
            return self._progress[load].told()
        progress = Progress(load, self._means.now)
        await self._request(load)
        plan = await noted(self._means.store, load, PLAN)
        if plan is not None:
            progress.plan(plan["records"], plan["counts"])
        async for chunk in chunks(self._means.store, load):
            progress.before(chunk)
        end = await noted(self._means.store, load, END)
        withdrawn = await noted(self._means.store, load, WITHDRAWAL)
        progress.phase = "withdrawn" if withdrawn else "done" if end else "stopped"
        progress.result = withdrawn or end
        return progress.told()

    async def list(self) -> list[str]:
        """Return the names of all loads."""
        return [name for name in await self._means.store.loads() if NAME.fullmatch(name)]

    async def finished(self, load: str) -> dict[str, Any]:
        """Return the state of a load once nothing works at it."""
        if self._task is not None:
            await asyncio.wait([self._task])
        return await self.status(load)

    async def close(self) -> None:
        """Break off what works; it goes on where it was."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # work

    def _free(self) -> None:
        if self._task is not None and not self._task.done():
            raise Conflict("another load is at work; one works at a time")

    def _start(self, load: str, work: Callable[[Progress], Awaitable[None]]) -> dict[str, Any]:
        progress = self._progress[load] = Progress(load, self._means.now)

        async def run() -> None:
            try:
                await work(progress)
            except asyncio.CancelledError:
                progress.phase = "stopped"
                raise
            except (HawsepipeError, OSError) as error:
                progress.phase, progress.error = "failed", str(error) or type(error).__name__
                _log.error("a load has stopped", load=load, error=type(error).__name__)
            except Exception as error:
                progress.phase, progress.error = "failed", type(error).__name__
                _log.exception("a load has failed", load=load)

        self._task = asyncio.create_task(run(), name=f"load {load}")
        return progress.told()

    async def _request(self, load: str) -> Request:
        told = await noted(self._means.store, load, REQUEST)
        if told is None:
            raise NotFound(f"there is no load {load}")
        return Request.of(told)

    async def _plan(self, request: Request, progress: Progress, name: str = "plan") -> tuple[Plan, Mapping[str, Any]]:
        """Return the plan of a load, made anew unless it is there."""
        folder = self._means.folder / (f"{request.load}.dry" if request.dry else request.load)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{name}.db"
        if path.exists() and name == "plan" and not request.dry:
            plan = Plan(path)
            if (found := plan.finished) is not None:
                return plan, found
            plan.close()
        async with self._means.split() as split:
            sources = [Source(source, Path(place)) for source, place in request.sources]
            for source in sources:
                if not source.path.exists():
                    raise Conflict(f"the source {source.name} is not where it was")
            maker = Maker(sources, folder / name, split, request.chunk)

            def make() -> None:
                for count in maker.make(path):
                    progress.records = count

            await asyncio.to_thread(make)
        plan = Plan(path)
        found = plan.finished
        if found is None:
            plan.close()
            raise Conflict("the plan of the load was not made")
        return plan, found

    async def _load(self, request: Request, progress: Progress) -> None:
        means, load = self._means, request.load
        plan, found = await self._plan(request, progress)
        with contextlib.closing(plan):
            if not request.dry:
                before = await noted(means.store, load, PLAN)
                if before is not None and before["digest"] != found["digest"]:
                    raise Conflict("the sources are not what they were when the load began; load them under a new name")
                if before is None:
                    await means.store.keep([Note(load, PLAN, encoded({**found, "unread": plan.unread()}))])
            progress.plan(found["records"], found["counts"])
            self._budget = Budget(request.rate, means.backlog, means.now)
            async with means.engine(request) as (translate, width):
                loader = Loader(
                    load, means.store, plan, translate, width, self._budget, means.clock, means.root, progress,
                    means.committed, request.dry,
                )  # fmt: skip
                await loader.run(found["chunks"])
            self._budget = None
            roots = {name: means.root(plan.digests(name)).hex() for name, _ in request.sources}
            told = await report.made(means.store, plan, request.told(), found, progress.tally, roots)
            told |= {"begun": await self._begun(load), "errors": str(await self._errors(request, loader.failures))}
            told |= {"windows": await asyncio.to_thread(_windows, request)}
            if not request.dry and await noted(means.store, load, END) is None:
                sealed = sealing.task(load, report.by_source(progress.tally), roots)
                await means.store.commit(sealing.transaction(sealed, f"feed:{load}", means.clock()))
                means.committed()
                end = {**told, "at": instant_text(means.clock()), "task": f"Task/{sealed['id']}"}
                await means.store.keep([Note(load, END, encoded(end))])
                told = end
        progress.result, progress.phase = told, "done"

    async def _begun(self, load: str) -> str:
        return str((await noted(self._means.store, load, REQUEST) or {}).get("at", ""))

    async def _errors(self, request: Request, failures: Sequence[Failure]) -> Path:
        """Write the error file, a line for each record that was not loaded; return its path."""
        path = self._means.folder / (f"{request.load}.dry" if request.dry else request.load) / "errors.txt"

        def write(file: TextIO, found: Sequence[Failure]) -> None:
            for failure in found:
                file.write(f"{failure.place}\t{failure.cause}\t{failure.location or '-'}\t{failure.text}\n")

        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if request.dry:
                write(file, failures)
            else:
                async for chunk in chunks(self._means.store, request.load):
                    write(file, chunk.failures)
        return path

    async def _verify(self, request: Request, progress: Progress, samples: int, seed: int) -> None:
        means = self._means
        progress.phase = "reading the sources"
        async for chunk in chunks(means.store, request.load):
            progress.before(chunk)
        plan, found = await self._plan(request, progress, "verify")
        with contextlib.closing(plan):
            progress.plan(found["records"], found["counts"])
            progress.phase = "comparing"
            verification = Verification(means.store, means.root, request.load, plan, found, samples, seed)
            progress.result = await verification.run()
        progress.phase = "verified"

    async def _withdraw(self, load: str, progress: Progress, operator: Principal) -> None:
        means = self._means
        progress.phase = "withdrawing"
        withdrawal = Withdrawal(means.store, load, operator.subject, operator.client, means.clock)
        await means.store.record([withdrawal.access(operator)])
        found = Withdrawn.none()
        await withdrawal.run(found, means.committed)
        end = await noted(means.store, load, END) or {}
        counts, roots = end.get("sources", {}), end.get("roots", {})
        sealed = sealing.task(load, counts, roots, withdrawn=operator.subject)
        task = sealing.transaction(sealed, operator.subject, means.clock(), client=operator.client)
        await means.store.commit(task)
        means.committed()
        told = {**found.told(), "by": operator.subject, "at": instant_text(means.clock())}
        await means.store.keep([Note(load, WITHDRAWAL, encoded(told))])
        progress.result, progress.phase = told, "withdrawn"


def _windows(request: Request) -> dict[str, Any]:
    """Return when the sources that are copies of servers were copied."""
    found: dict[str, Any] = {}
    for name, place in request.sources:
        path = Path(place) / WINDOW
        if path.is_file():
            found[name] = json.loads(path.read_bytes())
    return found
