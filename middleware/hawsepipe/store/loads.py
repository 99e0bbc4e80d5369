"""What a store promises to loads of history, as part of `store.contract.Store`: effects and state in one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hawsepipe.errors import HawsepipeError
from hawsepipe.model import Transaction, Version
from hawsepipe.store.prepared import PreparedTransaction


@dataclass(frozen=True, slots=True)
class Note:
    """What a load of history keeps of itself: the load's name, which part of its state, and the state (JSON)."""

    load: str
    part: str
    value: bytes


Outcome = tuple[Version, ...] | HawsepipeError
"""What became of one transaction of a load."""

Told = Callable[[Sequence[Outcome]], Note]
"""Makes a note of what became of transactions; pure, and asked in the middle of a commit."""


class Loads(Protocol):
    """The part of a store that loads of history need. `Store` says what all of its methods promise."""

    async def load(self, transactions: Sequence[Transaction | PreparedTransaction], told: Told) -> Sequence[Outcome]:
        """Commit transactions, each on its own, and the note that `told` makes of what became of them, all in one
        fsync.

        One that fails is answered with its error, the others are committed. One whose Provenance is there already, and
        does not say that it was withdrawn (`fhir.provenance.withdrawn`), has had its effect: it is answered with an
        empty tuple and has none. Raises Conflict, and does nothing, when there is such a note already.
        """
        ...

    async def keep(self, notes: Sequence[Note]) -> None:
        """Write notes; each takes the place of one of the same part."""
        ...

    async def notes(self, load: str, after: str, limit: int) -> Sequence[Note]:
        """Return the notes of a load with a part above `after`, in order of their parts (by code point)."""
        ...

    async def loads(self) -> Sequence[str]:
        """Return the names of the loads that have notes, in order."""
        ...
