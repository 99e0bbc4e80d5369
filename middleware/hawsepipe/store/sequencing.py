"""What enters the log in one commit."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from hawsepipe.model import Anchor, Checkpoint

MapPage = tuple[str, bytes]
"""A page of the current-state map: the hex digits of the places below it, and its bytes."""


@dataclass(frozen=True, slots=True)
class StateLeaf:
    """The last leaf of a batch: it seals the root of the current-state map as of the batch."""

    commitment: bytes
    opening: bytes
    salt: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class Sequenced:
    """A batch that enters the log in one commit.

    `anchors` get the indices `start`, `start + 1` …, and `state`, if there is one, the index after them. `nodes` are
    the inner nodes that became complete as ((level, index), hash) with level 1 above the leaves; `checkpoint` signs
    the new head. `pages` are those of the current-state map that changed; ways through it are no longer asked for as of
    sizes below `since`.
    """

    start: int
    anchors: tuple[Anchor, ...]
    nodes: tuple[tuple[tuple[int, int], bytes], ...]
    checkpoint: Checkpoint
    state: StateLeaf | None = None
    pages: tuple[MapPage, ...] = ()
    since: int = 0


class Leaves(Protocol):
    """What a store takes for the log beside versions."""

    async def put_leaf(self, commitment: bytes) -> None:
        """Put a commitment into the outbox that is of no version."""
        ...


def place_of(type: str, id: str) -> bytes:
    """Return where the current-state map has a resource: SHA-256 of `Type/id`."""
    return sha256(f"{type}/{id}".encode()).digest()
