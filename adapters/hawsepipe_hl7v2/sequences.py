"""The sequence number protocol (HL7 v2 chapter 2, "Sequence number protocol"): MSH-13 in, MSA-4 out.

The number of the last message that was taken is on the disk before that message is acknowledged. 0 starts the link and
asks where it stands, -1 makes it start anew with whatever comes next, the number that was taken last is a repeat, the
one after it is taken, and any other is rejected with the number that is waited for.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

_FILE = "sequences.json"
_MOST = 2_000_000_000


class Place(Enum):
    """How a number stands to those before it."""

    START = auto()
    ANEW = auto()
    NEXT = auto()
    REPEAT = auto()
    GAP = auto()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a link stands: the number that was taken last, and whether its message was accepted."""

    last: int
    good: bool


def place(number: int, standing: Standing | None) -> Place:
    """Say how a number stands to the link's. The repeat of a message that was refused is taken as the next one."""
    if number == 0:
        return Place.START
    if number == -1:
        return Place.ANEW
    if standing is None or number == standing.last + 1:
        return Place.NEXT
    if number == standing.last:
        return Place.REPEAT if standing.good else Place.NEXT
    return Place.GAP


def expected(standing: Standing | None) -> str:
    """Return MSA-4: the number that is waited for, -1 when any will do."""
    return "-1" if standing is None else str(standing.last + 1)


def read_number(text: str) -> int | None:
    """Return MSH-13 as a number, None when it is none of the protocol."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        return None
    number = int(text)
    return number if -1 <= number <= _MOST else None


class Sequences:
    """The links of one feed, in one file below `directory`."""

    def __init__(self, directory: Path) -> None:
        """Read the file. Raises ValueError when it is damaged."""
        self._path = directory / _FILE
        self._links: dict[str, Standing | None] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._writing = asyncio.Lock()
        if self._path.exists():
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            self._links = {
                link: None if entry is None else Standing(int(entry[0]), bool(entry[1]))
                for link, entry in stored.items()
            }

    def lock(self, link: str) -> asyncio.Lock:
        """Return what lets one message of a link be decided at a time, in the order of asking."""
        return self._locks.setdefault(link, asyncio.Lock())

    def known(self, link: str) -> bool:
        """Say whether the link was ever heard of."""
        return link in self._links

    def standing(self, link: str) -> Standing | None:
        """Return where a link stands, None when any number will do."""
        return self._links.get(link)

    async def store(self, link: str, standing: Standing | None) -> None:
        """Note durably where a link stands. Raises OSError, and then nothing has changed."""
        async with self._writing:
            links = self._links | {link: standing}
            rows = {name: None if entry is None else [entry.last, entry.good] for name, entry in links.items()}
            await asyncio.to_thread(_replace, self._path, json.dumps(rows))
            self._links = links


def _replace(path: Path, text: str) -> None:
    """Write a file so that after a power loss it is the old one or the new one."""
    other = path.with_suffix(".new")
    with other.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    other.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
