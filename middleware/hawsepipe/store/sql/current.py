"""The current versions that the writer has met lately: a resource that many messages name is read and decoded once.

Between `mark` and `forget` it also stands for what is planned and not written yet: nothing leaves it before `settle`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from hawsepipe.fhir import codec
from hawsepipe.model import Resource, Version
from hawsepipe.store.prepared import Effect

_KEPT: Final = 1024
"""Versions that are remembered between transactions."""

_LARGEST: Final = 16_384
"""Bytes of content of a version that is remembered between transactions."""

_IDLE: Final = 8
"""Changes without effect that are remembered of a version."""

Place = tuple[str, str]
"""A resource's type and id."""


@dataclass(slots=True)
class Current:
    """A resource's key, what it is found by (see `indexing`), its current version, and when the newest event happened
    that told what it shows (microseconds), if one did.

    `labelled`: the labeller that writes now has seen this content and has nothing to add. `idle` are prepared changes
    that were found to have no effect on this version: what they do depends on nothing else.
    """

    key: int
    indexed: int
    version: Version
    event: int | None = None
    labelled: bool = False
    idle: set[Effect] = field(default_factory=set)
    _decoded: Resource | None = None
    _unchanged: Version | None = None

    @property
    def resource(self) -> Resource | None:
        """The content as it is read back, None for a tombstone."""
        if self._decoded is None and self.version.content is not None:
            self._decoded = codec.decode(self.version.content)
        return self._decoded

    def remember(self, effect: Effect) -> None:
        """Take note that this has no effect here, unless it is large; the notes are few."""
        if len(effect[1]) <= _LARGEST:
            if len(self.idle) == _IDLE:
                self.idle.clear()
            self.idle.add(effect)

    @property
    def unchanged(self) -> Version:
        """The version as the answer to a change that had no effect."""
        if self._unchanged is None:
            self._unchanged = replace(self.version, changed=False)
        return self._unchanged


class Currents:
    """Current versions by type and id; those met or put since `mark` can be forgotten after a rollback."""

    def __init__(self) -> None:
        self._entries: dict[Place, Current] = {}
        self._met: list[Place] = []
        self._absent: set[Place] = set()

    def get(self, place: Place) -> Current | None:
        """Return what is known of a resource."""
        entry = self._entries.pop(place, None)
        if entry is not None:
            self._entries[place] = entry  # the last one to be dropped
        return entry

    def put(self, place: Place, entry: Current) -> None:
        """Remember what is current now."""
        self._entries[place] = entry
        self._met.append(place)
        self._absent.discard(place)

    def unknown(self, places: Iterable[Place]) -> list[Place]:
        """Return those of which nothing is known, each once."""
        return [place for place in dict.fromkeys(places) if place not in self._entries and place not in self._absent]

    def absent(self, place: Place) -> bool:
        """Say whether it is known that there never was such a resource."""
        return place in self._absent

    def miss(self, place: Place) -> None:
        """Remember until the end of the transaction that there never was such a resource."""
        self._absent.add(place)

    def mark(self) -> int:
        """Return a point to forget back to."""
        return len(self._met)

    def forget(self, mark: int) -> None:
        """Forget what was met since the mark: it may be of what was rolled back."""
        for place in self._met[mark:]:
            self._entries.pop(place, None)
        del self._met[mark:]
        self._absent.clear()

    def settle(self) -> None:
        """Take note that everything is committed; drop what is large, and what has not been asked for longest."""
        for place in self._met:
            entry = self._entries.get(place)
            if entry is not None and len(entry.version.content or b"") > _LARGEST:
                del self._entries[place]
        self._met.clear()
        self._absent.clear()
        for place in list(islice(self._entries, max(len(self._entries) - _KEPT, 0))):
            del self._entries[place]
