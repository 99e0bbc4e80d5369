"""Starts the product in a world that misbehaves: `python -m hawsepipe_conformance.feeds.launcher OPTIONS serve …`.

`--faults FILE`: when the file says n, the n-th write to a database from then on fails, as on a disk that breaks.
`--clock FILE`: the clock is off by the seconds in the file. `--disk FILE`: every write and sync of a database is noted
in the file, so that a loss of power can be played: what was not synced may be gone.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import apsw

from hawsepipe import clock

Note = tuple[str, str, int, bytes]
"""What happened to a file: write (at, data), truncate (to) or sync."""


_USUAL = apsw.vfs_names()[0]
"""The file system that SQLite uses here."""


class _File(apsw.VFSFile):
    """A file whose writes and syncs are noted before they happen."""

    def __init__(self, disk: _Disk, name: Any, flags: list[int]) -> None:
        super().__init__(_USUAL, name, flags)
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  SQLite's name
        """Note a write and do it."""
        self._disk.note("write", self._name, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  SQLite's name
        """Note that a file is cut off and do it."""
        self._disk.note("truncate", self._name, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802  SQLite's name
        """Sync and note it."""
        super().xSync(flags)
        self._disk.note("sync", self._name)


class _Disk(apsw.VFS):
    """The default file system of SQLite, which keeps a diary and fails when it is told to."""

    def __init__(self, diary: Path, faults: Path | None) -> None:
        super().__init__("noted", _USUAL, True)
        self._diary = os.open(diary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o600)
        self._faults = faults
        self._told = 0
        self._left = 0

    def _fail(self) -> None:
        """Raise when this write is the one that is to fail."""
        assert self._faults is not None
        changed = self._faults.stat().st_mtime_ns
        if changed != self._told:
            self._told, self._left = changed, int(self._faults.read_text(encoding="ascii") or 0)
        self._left -= 1
        if self._left == 0:
            raise apsw.IOError("the disk breaks")

    def note(self, kind: str, name: str, at: int = 0, data: bytes = b"") -> None:
        """Append to the diary. Raises apsw.IOError for a write that is to fail."""
        if kind == "write" and self._faults is not None:
            self._fail()
        record: Note = (kind, name, at, data)
        written = pickle.dumps(record)
        os.write(self._diary, len(written).to_bytes(4, "big") + written)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  SQLite's name
        """Open a file that is watched."""
        return _File(self, name, flags)


def notes(diary: Path) -> Iterator[Note]:
    """Yield what a diary tells; a note that the end of its writer cut off is none."""
    data, at = diary.read_bytes(), 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 4 + length > len(data):
            return
        note: Note = pickle.loads(data[at + 4 : at + 4 + length])
        yield note
        at += 4 + length


def lose_power(diary: Path, before: dict[str, bytes], chance: Random) -> None:
    """Write the files as a loss of power may leave them. `before` is what they held when the diary began.

    What was synced is there; of what came after the last sync of a file each write may have reached the disk or not.
    """
    told = list(notes(diary))
    last = {name: place for place, (kind, name, _, _) in enumerate(told) if kind == "sync"}
    files = {name: bytearray(before.get(name, b"")) for _, name, _, _ in told}
    for place, (kind, name, at, data) in enumerate(told):
        if kind == "sync" or (place > last.get(name, -1) and chance.random() < 0.5):
            continue
        file = files[name]
        if kind == "truncate":
            del file[at:]
        else:
            file += bytes(max(at + len(data) - len(file), 0))
            file[at : at + len(data)] = data
    for name, content in files.items():
        Path(name).write_bytes(content)
        Path(f"{name}-shm").unlink(missing_ok=True)


def main() -> None:
    """Prepare the world and hand over to the product's command line."""
    parser = argparse.ArgumentParser(prog="launcher", add_help=False)
    parser.add_argument("--clock", type=Path)
    parser.add_argument("--disk", type=Path)
    parser.add_argument("--faults", type=Path)
    world, rest = parser.parse_known_args()
    if world.clock is not None:
        file: Path = world.clock

        right = clock.system_clock

        def wrong() -> datetime:
            return right() + timedelta(seconds=float(file.read_text(encoding="ascii")))

        clock.system_clock = wrong
    if world.disk is not None or world.faults is not None:
        disk = _Disk(world.disk or Path(os.devnull), world.faults)
        assert disk is not None
    sys.argv = ["hawsepipe", *rest]
    from hawsepipe.cli import main as product

    product()


if __name__ == "__main__":
    main()
