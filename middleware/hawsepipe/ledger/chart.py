"""Keeps the current-state map in step with the log, and seals its root as the last leaf of each batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from hawsepipe.errors import VerificationError
from hawsepipe.ledger import statemap
from hawsepipe.ledger.commitment import SALT_BYTES, state_opening
from hawsepipe.ledger.commitment import commitment as committed
from hawsepipe.ledger.log import Log
from hawsepipe.model import Anchor
from hawsepipe.store.sequencing import MapPage, StateLeaf

_FEW = 32  # so many places are worked in without a thread
_PAST = 64  # ways are kept as of so many sealed states, whatever the ledgers have receipted


class Chart:
    """The map of one channel's log. `random(n)` gives n unpredictable bytes, for the salts of the state leaves."""

    def __init__(self, store: Log, channel: str, random: Callable[[int], bytes]) -> None:
        self._store = store
        self._channel = channel
        self._random = random
        self._sealed: deque[int] = deque(maxlen=_PAST)
        self._whole = False

    async def catch_up(self, batch: int) -> None:
        """Bring what an older program has logged into the map, before the first state leaf.

        It goes on where it was interrupted. Raises VerificationError (STATE_INVALID), StoreError.
        """
        while not self._whole:
            anchors = await self._store.uncharted(batch)
            if not anchors:
                self._whole = True
                return
            _, pages = await self._grown(anchors, None)
            await self._store.chart(anchors[-1].sequence, pages)

    async def sealed(self, start: int, anchors: Sequence[Anchor]) -> tuple[StateLeaf, tuple[MapPage, ...]]:
        """Return the leaf that seals the map once these anchors are in a log of size `start`, and the pages to write.

        Raises VerificationError (STATE_INVALID) when the map is not the one that was sealed last, StoreError.
        """
        root, pages = await self._grown(anchors, await self._store.state_leaf(start))
        salt = self._random(SALT_BYTES)
        size = start + len(anchors) + 1
        opening = state_opening(self._channel, size, root)
        return StateLeaf(committed(salt, opening), opening, salt, root), pages

    def since(self, size: int, receipted: int) -> int:
        """Return from which size on ways are kept once the log has this size: what every ledger has receipted, or the
        oldest of the last states.
        """
        self._sealed.append(size)
        return max(receipted, self._sealed[0] if len(self._sealed) == _PAST else 0)

    async def _grown(self, anchors: Sequence[Anchor], last: StateLeaf | None) -> tuple[bytes, tuple[MapPage, ...]]:
        changes = {anchor.place: anchor.digest for anchor in anchors if anchor.place}
        pages = await self._store.pages(tuple(changes), None)
        if not changes:
            pages = await self._store.pages((bytes(32),), None)
        if last is not None and statemap.root(pages) != last.root:
            raise VerificationError("STATE_INVALID", 11, "the current-state map is not the one that was sealed")
        # A thousand places take some 60 ms of CPU, for which the event loop should not stand still.
        work = asyncio.to_thread(statemap.grown, pages, changes) if len(changes) > _FEW else None
        root, changed = statemap.grown(pages, changes) if work is None else await work
        return root, tuple(changed.items())


def ways(pages: Mapping[str, bytes], place: bytes, root: bytes) -> statemap.Way:
    """Return the way to a place in the map with this sealed root. Raises VerificationError (STATE_INVALID)."""
    found = statemap.way(pages, place)
    if statemap.root_by(found, place) != root:
        raise VerificationError("STATE_INVALID", 11, "the current-state map is not the one that was sealed")
    return found
