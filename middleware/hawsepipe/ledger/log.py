"""What this room asks of a store: the outbox, the log and the receipts. `store.contract.Store` has all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hawsepipe.model import Anchor, Checkpoint, Receipt
from hawsepipe.store.sequencing import MapPage, Sequenced, StateLeaf


class Log(Protocol):
    """The part of `store.contract.Store` that the ledger room uses; each method promises what it promises there."""

    async def outbox(self, limit: int) -> Sequence[Anchor]:
        """Return commitments that are not in the log, in the order of their commits."""
        ...

    async def outbox_depth(self) -> int:
        """Return how many commitments are not in the log."""
        ...

    async def sequence(self, batch: Sequenced) -> None:
        """Write a batch to the log, or raise and write nothing."""
        ...

    async def uncharted(self, limit: int) -> Sequence[Anchor]:
        """Return the oldest commitments of the log that the current-state map does not hold."""
        ...

    async def chart(self, upto: int, pages: Sequence[MapPage]) -> None:
        """Write pages of the map, which then holds the outbox's places up to `upto`."""
        ...

    async def pages(self, places: Sequence[bytes], size: int | None) -> Mapping[str, bytes]:
        """Return the map's pages on the ways to these places, now or as the log of `size` leaves sealed them."""
        ...

    async def state_leaf(self, size: int) -> StateLeaf | None:
        """Return the state leaf that is the last leaf of the log of this size."""
        ...

    async def checkpoint(self, channel: str, backend: str | None = None) -> Checkpoint | None:
        """Return the newest checkpoint, of those that `backend` has receipted if it is given."""
        ...

    async def checkpoint_covering(self, channel: str, index: int, backend: str | None) -> Checkpoint | None:
        """Return the smallest checkpoint above leaf `index`, of those that `backend` has receipted if it is given."""
        ...

    async def nodes(self, coordinates: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        """Return hashes of complete subtrees by (level, index)."""
        ...

    async def leaf_index(self, commitment: bytes) -> int | None:
        """Return where a commitment is in the log."""
        ...

    async def in_outbox(self, commitment: bytes) -> bool:
        """Return whether a commitment waits for its place in the log."""
        ...

    async def put_receipt(self, receipt: Receipt) -> None:
        """Keep a backend's receipt."""
        ...

    async def receipts(self, channel: str, size: int) -> Sequence[Receipt]:
        """Return every backend's receipt for the checkpoint of this size."""
        ...
