"""The feed kind `hl7v2-files`: a watched directory of HL7 v2 files (one message, several, or a batch each).

A file is claimed by renaming it into `working/<feed>/`, so that of two feeds on one directory each file goes to one of
them. It streams into the journal message by message and goes to `done/`, or to `error/` when it holds no message.
Beside it lies `<name>.report.json` when something is to be told: what was set aside, with offset, place and reason. A
file that a crash left in `working/` is read again from its beginning: messages that are in the journal already are
duplicates. A file is taken once its size has not changed for `settle_seconds`; hidden files (a leading dot) never are.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import stat
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import structlog

from hawsepipe import Asked, ConfigError, Feed, HawsepipeError, Intake, Kind, Opening, RawMessage, Refusal, SetAside
from hawsepipe_hl7v2.asking import ask
from hawsepipe_hl7v2.batches import Part, Splitter, Trouble
from hawsepipe_hl7v2.connection import MEDIA_TYPE
from hawsepipe_hl7v2.door import arrive, door_of
from hawsepipe_hl7v2.faults import TOO_LONG
from hawsepipe_hl7v2.settings import FILES_SCHEMA, filled

_log = structlog.get_logger("hawsepipe.feed")
_CHUNK: Final = 1 << 20
_PLACES = ("done", "error")
_LINK = "it is a link, which this feed does not follow"
_STRANGE = "the name of the file is not one that this feed takes"
_NUMBER = re.compile(r"\.[0-9]+\Z")


@dataclass(slots=True)
class _Report:
    """What is told of one file: counts, and what somebody should look at (the first thousand)."""

    messages: int = 0
    duplicates: int = 0
    refused: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)
    untold: int = 0

    def tell(self, offset: int, location: str, text: str, sequence: int | None = None) -> None:
        if len(self.findings) >= 1000:
            self.untold += 1
            return
        found: dict[str, Any] = {"offset": offset, "location": location, "text": text}
        self.findings.append(found if sequence is None else found | {"dead_letter": sequence})

    def text(self) -> str:
        counts = {"messages": self.messages, "duplicates": self.duplicates, "refused": self.refused}
        return json.dumps(counts | {"findings": self.findings, "further_findings": self.untold}, indent=1) + "\n"


class FilesFeed:
    """A watched directory. It is read from `start` on until its context is left."""

    def __init__(self, opening: Opening) -> None:
        settings = filled(FILES_SCHEMA, opening.settings)
        self._opening = opening
        self._directory: Path = opening.base / settings["directory"]
        self._pattern: str = settings["pattern"]
        self._interval: float = settings["interval_seconds"]
        self._settle: float = settings["settle_seconds"]
        self._window: int = settings["window"]
        self._limit: int = settings["message_bytes"]
        self._door = door_of(settings)
        self._strangers: bool = settings["others"] == "error"
        self._seen: dict[str, tuple[int, float]] = {}
        self._troubled: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`file:///var/spool/hl7`."""
        return self._directory.resolve().as_uri()

    async def start(self, intake: Intake) -> None:
        """Make the places beside the files and begin to watch. Raises ConfigError when the directory cannot be used."""
        try:
            for place in _PLACES:
                (self._directory / place).mkdir(exist_ok=True)
            (self._directory / "working").mkdir(exist_ok=True)
            self._place("working").mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError("directory", "it is not there, or its places cannot be made in it") from error
        self._task = asyncio.create_task(self._watch(intake))

    def ask(self, message: RawMessage, letter: SetAside) -> Asked:
        """See `hawsepipe.Asking`."""
        return ask(message, letter, self._door)

    async def stop(self) -> None:
        """Stop after the messages that are on their way; the file goes on at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self, intake: Intake) -> None:
        left = await asyncio.to_thread(lambda: sorted(path.name for path in self._place("working").iterdir()))
        for name in left:
            await self._take(name, intake)
        while True:
            for name in await asyncio.to_thread(self._ready):
                claimed = await asyncio.to_thread(self._claim, name)
                if claimed is not None:
                    await self._take(claimed, intake)
            await asyncio.sleep(self._interval)

    def _place(self, name: str) -> Path:
        return self._directory / name / self._opening.name if name == "working" else self._directory / name

    def _ready(self) -> list[str]:
        """Return the files that have not changed since the last look, the oldest first."""
        now = self._opening.clock().timestamp()
        seen: dict[str, tuple[int, float]] = {}
        ready: list[tuple[float, str]] = []
        try:
            entries = [entry for entry in os.scandir(self._directory) if entry.is_file(follow_symlinks=False)]
        except OSError as error:
            self._trouble(".", error)
            return []
        for entry in entries:
            if entry.name.startswith(".") or not (self._strangers or Path(entry.name).match(self._pattern)):
                continue
            try:
                status = entry.stat()
            except OSError:
                continue  # gone since it was listed
            size, since = self._seen.get(entry.name, (-1, now))
            seen[entry.name] = (status.st_size, since if size == status.st_size else now)
            if size == status.st_size and now - since >= self._settle:
                ready.append((status.st_mtime, entry.name))
        self._seen = seen
        return [name for _, name in sorted(ready)]

    def _claim(self, name: str) -> str | None:
        """Take a file for ourselves and return its name there; None when somebody else was faster, or when it cannot
        be read.
        """
        source = self._directory / name
        try:
            opened(source).close()
            target = self._free("working", name)
            source.rename(target)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._trouble(name, error)
            return None
        self._troubled.discard(name)
        return target.name

    def _free(self, place: str, name: str) -> Path:
        """Return where a file goes in a place; one of the same name there is never written over."""
        target, number = self._place(place) / name, 1
        while target.exists():
            number += 1
            target = self._place(place) / f"{name}.{number}"
        return target

    def _trouble(self, name: str, error: OSError) -> None:
        """Say once that a file cannot be handled; it stays where it is and is tried again."""
        self._opening.meters.framing.labels(self._opening.name, "file_trouble").inc()
        if name not in self._troubled:
            self._troubled.add(name)
            _log.error("a file cannot be taken", feed=self._opening.name, error=type(error).__name__)

    async def _take(self, name: str, intake: Intake) -> None:
        """Bring one claimed file into the journal and put it where it belongs; try again while that is not possible."""
        report = _Report()
        while True:
            try:
                path = self._place("working") / name
                if not path.is_symlink() and self._taken(name):
                    await self._read(path, intake, report)
                await asyncio.to_thread(self._put_away, name, report)
            except (OSError, HawsepipeError) as error:
                # The store or the disk: nothing is lost, what is journalled already is a duplicate the next time.
                _log.error("a file waits", feed=self._opening.name, error=type(error).__name__)
                self._opening.meters.framing.labels(self._opening.name, "file_waits").inc()
                report = _Report()
                await asyncio.sleep(self._interval)
                continue
            return

    def _taken(self, name: str) -> bool:
        """Say whether a claimed file is one to be read; what a crash left behind may have another name by now, and one
        of two that have the same name has a number behind it.
        """
        names = (name, _NUMBER.sub("", name))
        return not self._strangers or any(Path(it).match(self._pattern) for it in names)

    def _put_away(self, name: str, report: _Report) -> None:
        place = "done" if report.messages else "error"
        if not report.messages:
            reason = "there is no HL7 v2 message in the file" if self._taken(name) else _STRANGE
            report.tell(0, "", _LINK if (self._place("working") / name).is_symlink() else reason)
            self._opening.meters.framing.labels(self._opening.name, "file_without_message").inc()
        target = self._free(place, name)
        if report.findings:
            target.with_name(f"{target.name}.report.json").write_text(report.text(), encoding="utf-8")
        (self._place("working") / name).rename(target)

    async def _read(self, path: Path, intake: Intake, report: _Report) -> None:
        waiting: deque[asyncio.Task[None]] = deque()
        splitter = Splitter(self._limit)
        try:
            with opened(path) as file:
                more = True
                while more:
                    chunk = await asyncio.to_thread(file.read, _CHUNK)
                    more = bool(chunk)
                    found: Iterator[Part | Trouble] = splitter.feed(chunk) if chunk else splitter.finish()
                    for part in found:
                        if isinstance(part, Trouble):
                            report.tell(part.offset, part.location, part.text)
                            continue
                        # Tasks start in the order of their making, so the journal has the order of the file.
                        waiting.append(asyncio.create_task(self._hand_over(part, intake, report)))
                        if len(waiting) >= self._window:
                            await waiting.popleft()
            while waiting:
                await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _hand_over(self, part: Part, intake: Intake, report: _Report) -> None:
        opening = self._opening
        opening.meters.received.labels(opening.name).inc()
        raw = RawMessage(opening.name, opening.clock(), MEDIA_TYPE, part.body)
        arrival = arrive(raw, self._door, TOO_LONG if part.truncated else None)
        refusal: Refusal | None = arrival.refusal
        accepted = await intake.accept(raw, key=arrival.key, reply=b"", refusal=refusal)
        report.messages += 1
        if accepted.duplicate:
            report.duplicates += 1
            opening.meters.duplicates.labels(opening.name).inc()
        elif refusal is not None:
            report.refused += 1
            report.tell(part.offset, refusal.location, refusal.text, accepted.sequence)


def opened(path: Path) -> BinaryIO:
    """Open a file to read it: neither a link, should one have taken its place, nor anything that one would wait for.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(descriptor, "rb")


@asynccontextmanager
async def open_files(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it."""
    feed = FilesFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


KIND: Kind[Feed] = Kind("hl7v2-files", FILES_SCHEMA, open_files)
