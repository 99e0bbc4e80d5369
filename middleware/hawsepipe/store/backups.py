"""Backups of a store: a directory with what the database held at one moment, and a manifest to know it again by.

A backup holds no keys, no ledger and no configuration: keys belong elsewhere, or a backup could be read by who has it,
and a ledger that went back with the store could not tell that it did.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hawsepipe.errors import StoreError

MANIFEST: Final = "manifest.json"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of: the kind of the store, the version of its tables, when it was made (an R4 instant), how many
    commitments there were and were in the log, and by name the SHA-256 of each file (and PostgreSQL's columns).
    """

    kind: str
    version: int
    made: str
    commitments: int
    logged: int
    files: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]

    def write(self, folder: Path) -> None:
        """Write it, as the last file of a backup: one without it is not whole."""
        text = {name: getattr(self, name) for name in self.__slots__}
        _written(folder / MANIFEST, json.dumps(text, indent=2).encode())
        flushed(folder)


def begun(folder: Path) -> None:
    """Make the directory of a new backup. Raises StoreError when there is something in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError(f"{folder} is not empty; a backup goes into a directory of its own")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({os.strerror(error.errno or 0)})") from error


def read(folder: Path, kind: str, version: int) -> Manifest:
    """Read a backup's manifest and see that its files are what they were.

    Raises StoreError when it is not whole, of another kind of store, or of newer tables.
    """
    try:
        text: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        columns = {name: tuple(told) for name, told in text.pop("columns").items()}
        found = Manifest(**text, columns=columns)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{folder} holds no whole backup") from error
    if found.kind != kind:
        raise StoreError(f"the backup is of a store of kind {found.kind}, the configuration names {kind}")
    if found.version > version:
        raise StoreError(f"the backup has tables of version {found.version}; this program knows up to {version}")
    for name, digest in found.files.items():
        if Path(name).name != name or not (folder / name).is_file() or digest_of(folder / name) != digest:
            raise StoreError(f"{name} of the backup is not what it was when it was made")
    return found


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    told = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            told.update(block)
    return told.hexdigest()


def flushed(path: Path) -> None:
    """Return once a file or a directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
