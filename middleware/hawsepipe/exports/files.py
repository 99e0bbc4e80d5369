"""The files of exports on disk: appended to, cut back after a crash, read line by line.

A job has a folder of its own, readable by nobody else, with `job.json`, the files of resources (NDJSON), and beside
each an index: of every line the resource's id, its version and the line's length. What `job.json` does not count is
not there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from hawsepipe.errors import StoreError
from hawsepipe.exports import job as jobs
from hawsepipe.exports.job import File, Job
from hawsepipe.model import Version

_INDEX: Final = ".index"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: the resource version that it has, and its bytes with the line end."""

    id: str
    version: int
    content: bytes


class Folder:
    """The folder of all exports."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> list[Job]:
        """Return every job that can be read; what a crash left half made is taken away."""
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = []
        for folder in sorted(self._path.iterdir()):
            try:
                found.append(jobs.read(folder))
            except StoreError:
                shutil.rmtree(folder, ignore_errors=True)
        return found

    def keep(self, job: Job) -> None:
        """Keep a job's record, durably, in the place of the one before. Raises StoreError."""
        folder = self._path / job.id
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = folder / f"{jobs.NAME}.new"
            with _opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as sink:
                sink.write(msgspec.json.encode(job))
                sink.flush()
                os.fsync(sink.fileno())
            fresh.replace(folder / jobs.NAME)
            _sync(folder)
        except OSError as error:
            raise StoreError("an export's record cannot be written") from error

    def append(self, job: Job, file: File, versions: Sequence[Version]) -> File:
        """Write versions at the end of a file, durably, and return what it has then. Raises StoreError."""
        lines = [_line(version) for version in versions]
        entries = [f"{it.id} {it.version} {len(line)}\n" for it, line in zip(versions, lines, strict=True)]
        content, index = b"".join(lines), "".join(entries).encode("ascii")
        try:
            self._put(job, file.name, file.size, content)
            self._put(job, file.name + _INDEX, file.index, index)
        except OSError as error:
            raise StoreError("an export's file cannot be written") from error
        return File(file.name, file.type, file.count + len(lines), file.size + len(content), file.index + len(index))

    def _put(self, job: Job, name: str, at: int, content: bytes) -> None:
        with _opened(self._path / job.id / name, os.O_RDWR | os.O_CREAT) as sink:
            sink.truncate(at)
            sink.seek(at)
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())

    def lines(self, job: Job, file: File, count: int) -> Generator[list[Line], None, None]:
        """Yield a file's lines, `count` at a time. Raises StoreError."""
        path = self._path / job.id / file.name
        try:
            with path.open("rb") as content, Path(f"{path}{_INDEX}").open("rb") as index:
                batch: list[Line] = []
                for _ in range(file.count):
                    id_, version, length = index.readline().split()
                    batch.append(Line(id_.decode("ascii"), int(version), content.read(int(length))))
                    if len(batch) == count:
                        yield batch
                        batch = []
                if batch:
                    yield batch
        except (OSError, ValueError) as error:
            raise StoreError("an export's file cannot be read") from error

    def remove(self, id: str) -> None:
        """Take a job and its files away; its record first, so that a half removed one is none."""
        (self._path / id / jobs.NAME).unlink(missing_ok=True)
        shutil.rmtree(self._path / id, ignore_errors=True)


def _line(version: Version) -> bytes:
    content = version.content or b""
    # One resource, one line: white space between its tokens may hold line ends, its texts cannot.
    return (msgspec.json.format(content, indent=-1) if b"\n" in content or b"\r" in content else content) + b"\n"


def _opened(path: Path, flags: int) -> BinaryIO:
    if flags & os.O_RDWR:
        return os.fdopen(os.open(path, flags, 0o600), "r+b")
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
