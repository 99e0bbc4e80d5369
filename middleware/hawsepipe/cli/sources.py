"""What `translate` reads: files, directories and standard input, in pieces, with a progress bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from hawsepipe.model import Issue, Severity

NO_FILE = Issue(Severity.ERROR, "structure", "", "there is no file in this directory")
"""What is to be said of a source that is empty."""

_CHUNK = 1 << 18
_SHOWN = 1 << 22
"""Bytes from which on a progress bar is worth its lines."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or standard input when `path` is None; `empty` stands for a directory without files."""

    name: str
    path: Path | None
    size: int
    empty: bool = False


def sources(paths: Iterable[Path]) -> list[Source]:
    """Return the files that paths mean: a directory all files below it, sorted, hidden ones left out."""
    found: list[Source] = []
    for path in paths:
        if str(path) == "-":
            found.append(Source("-", None, 0))
        elif path.is_dir():
            below = (file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
            files = [Source(str(file), file, _size(file)) for file in sorted(below)]
            found += files or [Source(str(path), path, 0, empty=True)]
        else:
            found.append(Source(str(path), path, _size(path)))
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # what cannot be read is told when it is opened


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


class Bar:
    """A progress bar by bytes; shows nothing unless standard error is a terminal and standard output is none."""

    def __init__(self, progress: Progress | None, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("translate", total=total) if progress is not None else None

    def chunks(self, source: Source) -> Iterator[bytes]:
        """Yield the bytes of a source as they are read, and move on."""
        with _opened(source) as stream:
            while chunk := _read(source, stream):
                yield chunk
                if self._progress is not None and self._task is not None:
                    self._progress.advance(self._task, len(chunk))


class UnreadableError(Exception):
    """A file cannot be read; the text says why. The others can. `begun`: part of it was read."""

    def __init__(self, reason: str, *, begun: bool = False) -> None:
        super().__init__(reason)
        self.begun = begun


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    if source.path is None:
        if sys.stdin is None:
            raise UnreadableError("standard input is closed")
        yield sys.stdin.buffer
        return
    try:
        stream = source.path.open("rb")
    except OSError as error:
        raise UnreadableError(_why(error)) from error
    with stream:
        yield stream


def _read(source: Source, stream: BinaryIO) -> bytes:
    try:
        return stream.read(_CHUNK)
    except OSError as error:
        raise UnreadableError(_why(error), begun=stream.tell() > 0 if stream.seekable() else True) from error


def _why(error: OSError) -> str:
    return f"the file cannot be read ({error.strerror or type(error).__name__})"


@contextmanager
def progress(found: Iterable[Source]) -> Iterator[Bar]:
    """Show a bar while the sources are read, if there is somebody to see it."""
    files = list(found)
    total = None if any(source.path is None for source in files) else sum(source.size for source in files)
    seen = (
        sys.stderr is not None
        and sys.stderr.isatty()
        and not sys.stdout.isatty()
        and (total is None or total >= _SHOWN)
    )
    if not seen:
        yield Bar(None, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar, total)
