"""How far a polling feed has come: a small file that is written whole or not at all, after what it speaks of is stored.

What was handed over and is not noted here yet is fetched again and recognised; what is noted here was stored before.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from hawsepipe import ConfigError

_FORMAT = 1


@dataclass(slots=True)
class Stream:
    """One line of changes of a server (its whole history, or one type): everything up to `since` is stored.

    `seen` are the digests (hex) of what was stored of the last while, with the instant of each.
    """

    since: datetime | None = None
    seen: dict[str, datetime] = field(default_factory=dict)

    def advance(self, instant: datetime, overlap: timedelta) -> None:
        """Note that everything up to `instant` is stored; forget what no request will bring again."""
        if self.since is None or instant > self.since:
            self.since = instant
        self.seen = {digest: at for digest, at in self.seen.items() if at >= self.since - overlap}


class Progress:
    """The streams of one server, in a file."""

    def __init__(self, path: Path, url: str, overlap: timedelta) -> None:
        """Read the file. Raises ConfigError when it is damaged, or speaks of another server than `url`."""
        self._path = path
        self._url = url
        self._overlap = overlap
        self._streams = _read(path, url)

    def stream(self, name: str) -> Stream:
        """Return a stream; a new one has no `since`."""
        return self._streams.setdefault(name, Stream())

    def advance(self, name: str, instant: datetime | None) -> None:
        """Note durably that everything of a stream up to `instant` is stored. Raises OSError; then the old stands."""
        if instant is not None:
            self.stream(name).advance(instant, self._overlap)
        document = {
            "format": _FORMAT,
            "url": self._url,
            "streams": {
                name: {
                    "since": None if stream.since is None else stream.since.isoformat(),
                    "seen": {digest: at.isoformat() for digest, at in stream.seen.items()},
                }
                for name, stream in self._streams.items()
            },
        }
        _write(self._path, json.dumps(document).encode("utf-8"))


def _read(path: Path, url: str) -> dict[str, Stream]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError("url", f"{path} cannot be read; move it away to begin anew") from error
    try:
        if document["format"] == _FORMAT and document["url"] == url:
            return {
                name: Stream(
                    None if held["since"] is None else datetime.fromisoformat(held["since"]),
                    {digest: datetime.fromisoformat(at) for digest, at in held["seen"].items()},
                )
                for name, held in document["streams"].items()
            }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError("url", f"{path} cannot be read; move it away to begin anew") from error
    raise ConfigError("url", f"{path} is about another server; give the feed another name, or move the file away")


def _write(path: Path, data: bytes) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
