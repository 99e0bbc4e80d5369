"""What a load reads: directories, files, and archives, which are unpacked within bounds. I/O, no parsing.

A record is known by its document, offset and length. So what is packed is unpacked once into a folder of the load and
read there; plain files are read where they lie.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zipfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from hawsepipe.errors import ConfigError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of loads and sources: they become part of URIs, ids and file names."""

_BLOCK: Final = 1 << 20
_SUFFIXES: Final = re.compile(r"(\.(json|ndjson|jsonl|hl7|er7|txt|tar|tgz|zip|gz|xz|bz2))+$", re.IGNORECASE)
_TAR: Final = re.compile(r"\.(tar(\.(gz|xz|bz2))?|tgz|txz|tbz2)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What unpacking may make: bytes in all, bytes for one packed byte, members in all."""

    size: int = 1 << 38
    ratio: int = 400
    members: int = 5_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A source of a load. `name` is part of each id that is made of it, so another name makes other resources."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Document:
    """A file that holds records: where it lies now, and what people know it by. `refused` says why it is not read."""

    source: str
    label: str
    path: Path
    refused: str = ""


class Unpacking(Exception):
    """An archive is damaged or breaks the bounds; the text says how. Never leaves the room."""


def source(text: str) -> Source:
    """Return the source that `NAME=PATH` or `PATH` names; by default it has the name of the file or directory.

    Raises ConfigError.
    """
    name, told, rest = text.partition("=")
    path = Path(rest if told and NAME.fullmatch(name) else text)
    if not (told and NAME.fullmatch(name)):
        name = re.sub(r"[^A-Za-z0-9._-]", "-", _SUFFIXES.sub("", path.resolve().name)).lstrip("._-")[:64] or "source"
    if not path.exists():
        raise ConfigError("source", f"{path} does not exist")
    return Source(name, path.resolve())


def documents(found: Source, spool: Path, bounds: Bounds) -> Iterator[Document]:
    """Yield the documents of a source in the order of their labels; members of archives are put into `spool`."""
    for path in _files(found.path):
        label = str(path.relative_to(found.path)) if path != found.path else path.name
        if _packed(path):
            yield from _unpacked(found.name, path, label, spool, bounds)
        else:
            yield Document(found.name, label, path)


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        found = (it for it in path.rglob("*") if it.is_file() and not it.name.startswith("."))
        # A link that leads out of the directory is no part of it: who names a folder has not named what is elsewhere.
        return sorted(it for it in found if not it.is_symlink() or it.resolve().is_relative_to(path))
    return [path]


def _packed(path: Path) -> bool:
    return path.suffix.lower() in (".gz", ".zip") or _TAR.search(path.name) is not None


def _unpacked(name: str, path: Path, label: str, spool: Path, bounds: Bounds) -> Iterator[Document]:
    budget = _Budget(bounds, path.stat().st_size)
    try:
        with closing(_members(path)) as members:
            for member, stream in members:
                full = f"{label}!{member}" if member else label.removesuffix(".gz")
                target = spool / f"{len(os.listdir(spool)):09d}"
                try:
                    budget.copy(stream, target)
                except BaseException:
                    target.unlink(missing_ok=True)
                    raise
                yield Document(name, full, target)
    except Unpacking as error:
        yield Document(name, label, path, str(error))
    # Zip files tell a method that nobody here knows by NotImplementedError, and a password by RuntimeError.
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        yield Document(name, label, path, f"the archive cannot be read further ({type(error).__name__})")


def _members(path: Path) -> Generator[tuple[str, IO[bytes]], None, None]:
    if _TAR.search(path.name):
        with tarfile.open(path, "r|*") as archive:
            for entry in archive:
                stream = archive.extractfile(entry) if entry.isreg() else None
                if stream is not None:
                    yield entry.name, stream
    elif path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as zipped:
            for info in sorted(zipped.infolist(), key=lambda it: it.filename):
                if not info.is_dir():
                    with zipped.open(info) as stream:
                        yield info.filename, stream
    else:
        with gzip.open(path, "rb") as plain:
            yield "", cast("IO[bytes]", plain)


class _Budget:
    """What is left of the bounds of one archive."""

    def __init__(self, bounds: Bounds, packed: int) -> None:
        self._bytes = bounds.size
        self._most = max(packed, 4096) * bounds.ratio
        self._members = bounds.members

    def copy(self, stream: IO[bytes], target: Path) -> None:
        self._members -= 1
        if self._members < 0:
            raise Unpacking("the archive has too many members")
        with target.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            while block := stream.read(_BLOCK):
                self._bytes -= len(block)
                self._most -= len(block)
                if self._bytes < 0:
                    raise Unpacking("the archive unpacks to more than is allowed")
                if self._most < 0:
                    raise Unpacking("the archive unpacks to far more than it is: not a record of anything")
                file.write(block)
