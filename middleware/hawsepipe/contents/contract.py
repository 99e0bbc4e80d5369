"""What keeps large content, whatever it is kept on.

Implementations MUST:
* know a content by its SHA-256 alone: the same bytes, whoever brings them, are one content;
* make it durable before `keep` returns, and give it whole or not at all: an abandoned sink leaves nothing that is seen;
* compare all of it with its SHA-256 before `read` gives the first byte, and raise Tampered when it is another;
* be used by several threads and processes at once.

Callers MUST put a content anew before they name it in a version, also when they know that it is there: that begins its
time of grace again, and nothing within its time of grace is swept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class Stored(NamedTuple):
    """A content that is kept: its digests in hex, and its bytes."""

    sha256: str
    sha1: str
    size: int


class Sink(Protocol):
    """Takes one content, part by part."""

    def write(self, part: bytes) -> None:
        """Take a part. Raises StoreError."""
        ...

    def keep(self) -> Stored:
        """Keep what was written, durably. Raises StoreError."""
        ...

    def drop(self) -> None:
        """Forget what was written; after `keep` it does nothing."""
        ...


class Contents(Protocol):
    """The contents of one installation. Every method may raise StoreError, and waits."""

    def sink(self) -> Sink:
        """Return what takes a new content."""
        ...

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield a content's bytes from `start` to before `end`. Raises Tampered when it is not what it was, or not
        there.
        """
        ...

    def stale(self, before: datetime) -> Iterator[Sequence[str]]:
        """Yield the contents that were last put before an instant, some at a time."""
        ...

    def remove(self, sha256: str, before: datetime) -> bool:
        """Take a content away unless it was put since; return whether it is gone."""
        ...
