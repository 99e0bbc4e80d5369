"""The configurations that a service has run with: what, since when, by whom. Files below the data directory.

A version is written before it counts and never changed; going back to one makes a new one.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hawsepipe import config as configuration
from hawsepipe.clock import Clock
from hawsepipe.config import Config
from hawsepipe.errors import NotFound
from hawsepipe.service import kinds
from hawsepipe.service.listeners import Listeners, changed

START = "start"
"""The author of a version that the service found when it started."""


@dataclass(frozen=True, slots=True)
class Edition:
    """A version: its number, the instant from which it was in force, and who applied it."""

    number: int
    since: str
    author: str


@dataclass(frozen=True, slots=True)
class History:
    """The versions in a directory. Their texts may hold secrets: the files are their owner's alone."""

    folder: Path

    def note(self, text: str, author: str, now: datetime) -> Edition:
        """Keep a text as the version that is in force, unless it is already; return that."""
        known = self.list()
        if known and self.text(known[-1].number) == text:
            return known[-1]
        edition = Edition(known[-1].number + 1 if known else 1, now.isoformat(), author)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The text first: a version that is listed can be read.
        write(self._path(edition.number), text)
        write(self._index, "".join(json.dumps(asdict(it)) + "\n" for it in (*known, edition)))
        return edition

    def list(self) -> list[Edition]:
        """Return the versions, oldest first."""
        if not self._index.exists():
            return []
        return [Edition(**json.loads(line)) for line in self._index.read_text(encoding="utf-8").splitlines()]

    def text(self, number: int) -> str:
        """Return a version's text. Raises NotFound."""
        try:
            return self._path(number).read_text(encoding="utf-8")
        except OSError as error:
            raise NotFound(f"there is no version {number} of the configuration") from error

    def difference(self, number: int, other: str, name: str) -> str:
        """Return how a text differs from a version, as lines with + and -. Raises NotFound."""
        before = self.text(number).splitlines(keepends=True)
        after = other.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, f"version {number}", name))

    @property
    def _index(self) -> Path:
        return self.folder / "versions.jsonl"

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.toml"


class Changes:
    """Applies an edited configuration to the running service, and takes it back."""

    def __init__(self, config: Config, history: History, listeners: Listeners, clock: Clock) -> None:
        """`config` is the one in force, which `history` has noted."""
        self._config = config
        self._history = history
        self._listeners = listeners
        self._clock = clock
        self._turn = asyncio.Lock()

    def versions(self) -> list[dict[str, Any]]:
        """Return number, since and author of each version, oldest first."""
        return [asdict(edition) for edition in self._history.list()]

    def difference(self, older: int, newer: int | None) -> str:
        """Return what differs between two versions, or between one and the file. Raises NotFound."""
        if newer is None:
            return self._history.difference(older, self._config.path.read_text(encoding="utf-8"), "the file")
        return self._history.difference(older, self._history.text(newer), f"version {newer}")

    async def apply(self, author: str) -> dict[str, Any]:
        """Let the file's configuration hold from now on; return its version and the feeds that were started anew.

        Raises ConfigError for what is wrong with it and for what takes a restart; then nothing has changed.
        """
        async with self._turn:
            return await self._apply(author)

    async def back(self, number: int, author: str) -> dict[str, Any]:
        """Write a version to the file and apply it. Raises NotFound, and as `apply`: then the file is as it was."""
        async with self._turn:
            path = self._config.path
            before = path.read_text(encoding="utf-8")
            await asyncio.to_thread(write, path, self._history.text(number))
            try:
                return await self._apply(author)
            except BaseException:
                await asyncio.to_thread(write, path, before)
                raise

    async def _apply(self, author: str) -> dict[str, Any]:
        path = self._config.path
        text = await asyncio.to_thread(path.read_text, "utf-8")
        after = configuration.read(path)
        edited = changed(self._config, after)
        for problem in await asyncio.to_thread(kinds.check, path):
            raise problem
        done: list[tuple[configuration.Instance, configuration.Instance]] = []
        before = {feed.name: feed for feed in self._config.feeds}
        try:
            for feed in edited:
                await self._listeners.change(before[feed.name], feed)
                done.append((before[feed.name], feed))
        except BaseException:
            for old, new in done:
                await self._listeners.change(new, old)
            raise
        self._config = after
        edition = await asyncio.to_thread(self._history.note, text, author, self._clock())
        return {"version": edition.number, "restarted": [feed.name for feed in edited]}


def write(path: Path, text: str) -> None:
    """Write a file so that it is the old one or the new one, whatever happens; its owner alone may read a new one."""
    other = path.with_name(f".{path.name}.new")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    descriptor = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    other.replace(path)
