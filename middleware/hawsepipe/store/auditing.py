"""What an auditor reads of a store: everything, in the order of the log, as it is written, whatever was made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hawsepipe.model import Checkpoint
from hawsepipe.store.sequencing import StateLeaf


@dataclass(frozen=True, slots=True)
class Logged:
    """A place of the outbox with the version that its leaf commits to, as the rows have it: somebody may have written
    anything into them, so that a value need not have its type. What is None is not there. `current` says whether it is
    what a read gives; `leaves` how many leaves commit to this version.
    """

    sequence: int
    leaf: Any
    type: Any = None
    id: Any = None
    version: Any = None
    operation: Any = None
    patients: Any = None
    commitment: Any = None
    opening: Any = None
    salt: Any = None
    content: Any = None
    current: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """A journalled message: its number, the digest that was noted when it came, and its bytes."""

    sequence: int
    digest: Any
    body: Any


class Audited(Protocol):
    """The part of a store that an auditor reads. Every coroutine may raise StoreError."""

    async def logged(self, after: int, limit: int) -> Sequence[Logged]:
        """Return places of the outbox above `after`, in order."""
        ...

    async def state_leaves(self, after: int, limit: int) -> Sequence[tuple[int, int, StateLeaf]]:
        """Return state leaves after sizes above `after`, in order: the size, the outbox's place before it, the leaf."""
        ...

    async def checkpoints(self, channel: str, after: int, limit: int) -> Sequence[Checkpoint]:
        """Return checkpoints of sizes above `after`, in order."""
        ...

    async def leafless(self) -> int:
        """Return how many versions have no leaf that commits to them."""
        ...

    async def journalled(self, after: int, limit: int) -> Sequence[Raw]:
        """Return messages of the journal with a number above `after`, in order."""
        ...
