"""The high-water mark: how far the log had come, in a file apart from the store, so that an older store is known."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from hawsepipe.errors import ConfigError

_KEY = "service.data"
_LARGEST = 1 << 12


class Mark(NamedTuple):
    """A size that the log had, and its root then."""

    size: int
    root: bytes


class HighWater:
    """The mark of one channel's log in a file, which is two lines: `size root` (hex), and the channel. It blocks."""

    def __init__(self, path: Path, channel: str) -> None:
        self._path = path
        self._channel = channel

    def read(self) -> Mark | None:
        """Return the mark, None when there is no file. Raises ConfigError, naming the file, when it says nothing."""
        try:
            with self._path.open("rb") as file:
                first, channel = file.read(_LARGEST).decode("ascii").splitlines()
            size, root = first.split(" ")
            mark = Mark(int(size), bytes.fromhex(root))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ConfigError(_KEY, f"{self._path} cannot be read; look at why before you move it away") from error
        if channel != self._channel or len(mark.root) != 32 or mark.size < 1:
            raise ConfigError(_KEY, f"{self._path} is the mark of another log; look at why before you move it away")
        return mark

    def note(self, size: int, root: bytes) -> None:
        """Write how far the log has come: the whole file or nothing of it.

        It need not be on the disk at once: a mark that is behind only sees less. Raises OSError.
        """
        descriptor, draft = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{size} {root.hex()}\n{self._channel}\n")
            os.replace(draft, self._path)
        except BaseException:
            os.unlink(draft)
            raise
