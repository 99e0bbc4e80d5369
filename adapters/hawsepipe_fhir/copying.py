"""Copies a remote server into files: everything once, then what has changed meanwhile, until nothing has.

Each entry is a line of NDJSON, a Bundle with this entry alone. A search whose pages shift while they are read (one was
changed, so what comes behind it moves up) may pass over what was not changed; so the server is asked how many there
are, and read again while fewer were seen. A file is whole or it is not there: a copy that was broken off goes on with
the next file.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from hawsepipe import Clock, ConfigError, Resource
from hawsepipe_fhir.pages import Item, items, next_link
from hawsepipe_fhir.remote import Remote, RemoteTrouble

WINDOW: Final = ".window.json"
"""The file beside the copied ones that says when they were copied; it begins with a dot, as no source does."""

_PASSES: Final = 20
_AGAIN: Final = 3
"""How often a type is read again when fewer were seen than there are."""

_FAILURES: Final = 6
_MOST_PAGES: Final = 1_000_000


class Copy:
    """One copy. `history`: every version and delete, else the newest versions of `types`."""

    def __init__(
        self, remote: Remote, folder: Path, clock: Clock, *, history: bool, types: Sequence[str], count: int,
        overlap: timedelta, pause: float,
    ) -> None:  # fmt: skip
        self._remote = remote
        self._folder = folder
        self._clock = clock
        self._history = history
        self._types = tuple(types)
        self._count = count
        self._overlap = overlap
        self._pause = pause
        self._seen: set[bytes] = set()
        self._places: dict[str, set[str]] = {}

    async def run(self, told: Callable[[int], None]) -> Mapping[str, Any]:
        """Copy; `told` hears how many entries there are so far. Returns the window. Raises ConfigError."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True, mode=0o700)
        window = await asyncio.to_thread(self._window)
        if window["complete"]:
            return window
        streams = self._types or ("",)
        since: datetime | None = None
        for number in range(_PASSES):
            begun = await asyncio.to_thread(self._begun, window, number)
            fresh = 0
            for name in streams:
                fresh += await self._stream(number, name, since, told)
                if number == 0 and not self._history:
                    fresh += await self._made_up(name, told)
            window["passes"].append(
                {"since": None if since is None else since.isoformat(), "begun": begun.isoformat(), "entries": fresh}
            )
            if number and not fresh:
                window |= {"complete": True, "ended": begun.isoformat(), "missing": await self._missing(streams)}
                await asyncio.to_thread(_written, self._folder / WINDOW, window)
                return window
            since = begun - self._overlap
        raise ConfigError("url", "the server changes faster than it is copied")

    def _begun(self, window: dict[str, Any], number: int) -> datetime:
        """Return when a pass began, in whichever run: what has changed since is for the next one."""
        starts: list[str] = window.setdefault("starts", [])
        if number == len(starts):
            starts.append(self._clock().isoformat())
            _written(self._folder / WINDOW, window)
        return datetime.fromisoformat(starts[number])

    def _window(self) -> dict[str, Any]:
        path = self._folder / WINDOW
        try:
            window: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            window = {"url": self._remote.url, "begun": self._clock().isoformat(), "passes": [], "complete": False}
            _written(path, window)
        except ValueError as error:
            raise ConfigError("url", f"{path} cannot be read; move the folder away to begin anew") from error
        if window.get("url") != self._remote.url:
            raise ConfigError("url", f"{self._folder} holds a copy of another server")
        return window

    async def _stream(
        self, number: int, name: str, since: datetime | None, told: Callable[[int], None], again: int = 0
    ) -> int:
        """Copy one stream into a file of its own, unless it is there; return how many entries were new."""
        part = f"{number:02d}-{name or 'all'}{f'-{again}' if again else ''}.ndjson"
        path = self._folder / part
        before = len(self._seen)
        if path.exists():
            await asyncio.to_thread(self._recall, path, name)
            return len(self._seen) - before
        draft = self._folder / f".{part}"
        with draft.open("wb") as file:
            async for page in self._pages(self._address(name, since)):
                lines = b"".join(item.body + b"\n" for item in items(page) if self._new(item, name))
                if lines:
                    await asyncio.to_thread(file.write, lines)
                    told(len(self._seen))
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        await asyncio.to_thread(os.replace, draft, path)
        return len(self._seen) - before

    async def _made_up(self, name: str, told: Callable[[int], None]) -> int:
        """Read a type again while fewer were seen than there are; return how many entries were new."""
        fresh = 0
        for again in range(1, _AGAIN + 1):
            if await self._lacking(name) <= 0:
                break
            fresh += await self._stream(0, name, None, told, again)
        return fresh

    async def _lacking(self, name: str) -> int:
        """Return how many more resources there are than were seen; 0 when the server does not say."""
        try:
            body = (await self._get(f"{self._remote.url}/{name}?_summary=count")).body
        except ConfigError:
            return 0
        total = body.get("total")
        return total - len(self._places.get(name, ())) if isinstance(total, int) else 0

    async def _missing(self, streams: Sequence[str]) -> dict[str, int]:
        if self._history:
            return {}
        found = {name: await self._lacking(name) for name in streams}
        return {name: count for name, count in found.items() if count > 0}

    def _new(self, item: Item, name: str) -> bool:
        self._places.setdefault(name, set()).add(item.key.partition("/_history/")[0])
        mark = bytes.fromhex(item.mark)[:16]
        if mark in self._seen:
            return False
        self._seen.add(mark)
        return True

    def _recall(self, path: Path, name: str) -> None:
        """Take note of what an earlier copy wrote."""
        with path.open("rb") as file:
            for line in file:
                for item in items(json.loads(line)):
                    self._new(Item(line.rstrip(b"\n"), item.key, item.instant), name)

    def _address(self, name: str, since: datetime | None) -> str:
        asked: dict[str, str] = {"_count": str(self._count)}
        if self._history:
            if since is not None:
                asked["_since"] = _told(since)
            place = f"{self._remote.url}/{name}/_history" if name else f"{self._remote.url}/_history"
            return f"{place}?{urlencode(asked)}"
        if since is not None:
            asked["_lastUpdated"] = f"ge{_told(since)}"
        return f"{self._remote.url}/{name}?{urlencode(asked | {'_sort': '_lastUpdated'})}"

    async def _pages(self, address: str) -> AsyncIterator[Resource]:
        asked: set[str] = set()
        while address not in asked and len(asked) < _MOST_PAGES:
            asked.add(address)
            body = (await self._get(address)).body
            if body.get("resourceType") != "Bundle":
                raise ConfigError("url", "the server answers with something else than pages")
            yield body
            link = next_link(body)
            if link is None:
                return
            try:
                address = self._remote.address(link)
            except RemoteTrouble as trouble:
                raise ConfigError("url", f"the server was not read ({trouble.event})") from trouble
        raise ConfigError("url", "the pages of the server have no end")

    async def _get(self, address: str) -> Any:
        for failure in range(_FAILURES):
            try:
                return await self._remote.get(address)
            except RemoteTrouble as trouble:
                if failure == _FAILURES - 1 or trouble.event.startswith("status_4"):
                    raise ConfigError("url", f"the server was not read ({trouble.event})") from trouble
                await asyncio.sleep(max(self._pause * 2**failure, trouble.wait))
        raise ConfigError("url", "the server was not read")


def _told(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(path: Path, value: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value, indent=1), encoding="utf-8")
    os.replace(draft, path)
