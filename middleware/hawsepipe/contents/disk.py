"""Contents as files, each under its SHA-256, written beside and renamed into place.

A file begins with what it is sealed under. What is sealed is so in blocks, each bound to its file and its place in it,
so that a part can be read without the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from hawsepipe.contents.contract import Stored
from hawsepipe.errors import StoreError, StoreFull, Tampered
from hawsepipe.store.vault import Vault

BLOCK: Final = 1 << 18
"""Bytes that are read, written and sealed at once: what one content takes of memory, whatever its size."""

_MAGIC: Final = b"HWC1"
_ID: Final = 16
_SEALED: Final = 28
"""What sealing adds to a block."""

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_UNDER_WAY: Final = "new"
_BATCH: Final = 256
_NO_ROOM: Final = frozenset({28, 122})  # ENOSPC, EDQUOT


class DiskContents:
    """Implements `contract.Contents` in one folder; `vault` has the keys that content is under."""

    def __init__(self, folder: Path, vault: Vault | None = None) -> None:
        self._folder = folder
        self._vault = vault or Vault()

    def sink(self) -> DiskSink:
        """See `Contents.sink`."""
        with _faults():
            fresh = self._folder / _UNDER_WAY
            fresh.mkdir(parents=True, exist_ok=True, mode=0o700)
            return DiskSink(self, fresh / secrets.token_hex(16), self._vault)

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """See `Contents.read`."""
        try:
            opened = _File(self.place(sha256), self._vault)
        except FileNotFoundError as error:
            raise Tampered("CONTENT_MISSING", "a content that a resource names is not there") from error
        except OSError as error:
            raise StoreError("a content cannot be read") from error
        with opened as file:
            whole = hashlib.sha256()
            for number in range(file.blocks):
                whole.update(file.block(number))
            if not hmac.compare_digest(whole.hexdigest(), sha256):
                raise Tampered("CONTENT_MISMATCH", "a content is not what its resource says that it is")
            stop = file.size if end is None else min(end, file.size)
            for number in range(start // BLOCK, -(-stop // BLOCK)):
                first = number * BLOCK
                part = file.block(number)[max(0, start - first) : stop - first]
                if part:
                    yield part

    def stale(self, before: datetime) -> Iterator[Sequence[str]]:
        """See `Contents.stale`. What was never kept goes at once."""
        with _faults():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in sorted(self._folder.iterdir()):
                if folder.name == _UNDER_WAY:
                    self._settle(folder, before)
                    continue
                found = [path for path in folder.iterdir() if _older(path, before)]
                names = [path.name for path in found if _NAME.fullmatch(path.name)]
                for first in range(0, len(names), _BATCH):
                    yield names[first : first + _BATCH]

    def remove(self, sha256: str, before: datetime) -> bool:
        """See `Contents.remove`. It is taken aside before its age is looked at again: whoever put it meanwhile either
        finds it gone and brings it anew, or has made it young.
        """
        path, aside = self.place(sha256), self._folder / _UNDER_WAY / f"{sha256}.{secrets.token_hex(4)}"
        with _faults():
            aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                path.rename(aside)
            except FileNotFoundError:
                return True
            if _older(aside, before):
                aside.unlink()
                return True
            aside.rename(path)
            return False

    def _settle(self, folder: Path, before: datetime) -> None:
        """Put back what a crash left aside, and forget what was never kept."""
        for path in folder.iterdir():
            name, aside, _ = path.name.partition(".")
            if aside and _NAME.fullmatch(name) is not None and not self.place(name).exists():
                path.rename(self.place(name))
            elif aside or _older(path, before):
                path.unlink(missing_ok=True)

    def place(self, sha256: str) -> Path:
        """Return where a content lies."""
        return self._folder / sha256[:2] / sha256


class DiskSink:
    """Implements `contract.Sink`: a file beside those that are kept."""

    def __init__(self, contents: DiskContents, path: Path, vault: Vault) -> None:
        self._contents = contents
        self._path = path
        self._vault = vault
        self._id = secrets.token_bytes(_ID)
        self._sha256, self._sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        self._waiting = bytearray()
        self._size = self._blocks = 0
        name = (vault.current or "").encode("ascii")
        self._file: BinaryIO | None = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._file.write(_MAGIC + bytes([len(name)]) + name + self._id)

    def write(self, part: bytes) -> None:
        """See `Sink.write`."""
        self._sha256.update(part)
        self._sha1.update(part)
        self._size += len(part)
        self._waiting += part
        while len(self._waiting) >= BLOCK:
            block = bytes(self._waiting[:BLOCK])
            del self._waiting[:BLOCK]
            self._put(block)

    def keep(self) -> Stored:
        """See `Sink.keep`."""
        if self._waiting:
            self._put(bytes(self._waiting))
        stored = Stored(self._sha256.hexdigest(), self._sha1.hexdigest(), self._size)
        with _faults():
            assert self._file is not None, "kept once"
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            place = self._contents.place(stored.sha256)
            place.parent.mkdir(exist_ok=True, mode=0o700)
            # In the place of the one that may be there: the same content, young again, and whole if that one was not.
            self._path.rename(place)
            for folder in (place.parent, place.parent.parent):
                _sync(folder)
        return stored

    def drop(self) -> None:
        """See `Sink.drop`."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def _put(self, block: bytes) -> None:
        if self._vault.current is not None:
            block = self._vault.seal(block, _bound(self._id, self._blocks))
        self._blocks += 1
        with _faults():
            assert self._file is not None, "written to before it is kept"
            self._file.write(block)


class _File:
    """One file, open: its blocks."""

    def __init__(self, path: Path, vault: Vault) -> None:
        self._file = path.open("rb")
        self._vault = vault
        try:
            head = self._file.read(len(_MAGIC) + 1)
            if len(head) != len(_MAGIC) + 1 or not head.startswith(_MAGIC):
                raise Tampered("CONTENT_MISMATCH", "a content's file does not begin as ours do")
            self._key = self._file.read(head[-1]).decode("ascii", "replace")
            self._id = self._file.read(_ID)
            self._first = self._file.tell()
            self._step = BLOCK + (_SEALED if self._key else 0)
            length = os.fstat(self._file.fileno()).st_size - self._first
        except BaseException:
            self._file.close()
            raise
        self.blocks = -(-length // self._step)
        self.size = max(0, length - (self.blocks * _SEALED if self._key else 0))

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def block(self, number: int) -> bytes:
        try:
            self._file.seek(self._first + number * self._step)
            block = self._file.read(self._step)
        except OSError as error:
            raise StoreError("a content cannot be read") from error
        return self._vault.open(self._key, block, _bound(self._id, number)) if self._key else block


def _bound(identity: bytes, number: int) -> bytes:
    return b"content|%s|%d" % (identity, number)


def _older(path: Path, before: datetime) -> bool:
    try:
        return path.stat().st_mtime < before.timestamp()
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Tell the disk's errors as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull("there is no room on the disk") from error
        raise StoreError("a content cannot be written") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
