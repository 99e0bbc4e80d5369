"""What all connections of one feed hold together, and who reads on when that is too much.

Beyond the limit a connection that holds no more than its share is still read, so that senders of ordinary messages
notice nothing of one that sends huge ones. Of the others one may go on, so that a frame at least gets done; the rest
wait, in the order in which they were stopped.
"""

from __future__ import annotations

from typing import Protocol


class Holder(Protocol):
    """A connection."""

    def wake(self) -> None:
        """It may be able to read on: ask `may_read` again."""
        ...


class Memory:
    """The bytes of unfinished frames and of messages on their way, over all connections of a feed."""

    def __init__(self, limit: int, share: int) -> None:
        self._limit = limit
        self._share = share
        self.total = 0
        self._held: dict[Holder, int] = {}
        self._waiting: dict[Holder, None] = {}
        self._chosen: Holder | None = None

    def hold(self, holder: Holder, amount: int) -> None:
        """Note what a connection holds now; 0 forgets it."""
        self.total += amount - self._held.get(holder, 0)
        if amount:
            self._held[holder] = amount
        else:
            self._held.pop(holder, None)
            self._waiting.pop(holder, None)
        if holder is self._chosen and amount <= self._share:
            self._chosen = None
        if not self._waiting:
            return
        if self.total <= self._limit:
            ready = list(self._waiting)
            self._waiting.clear()
        elif self._chosen is None:
            ready = [next(iter(self._waiting))]
            self._chosen = ready[0]
            del self._waiting[ready[0]]
        else:
            return
        for one in ready:
            one.wake()

    def may_read(self, holder: Holder) -> bool:
        """Say whether a connection may read on; when not, it is woken in its turn."""
        if self.total <= self._limit or self._held.get(holder, 0) <= self._share or holder is self._chosen:
            return True
        if self._chosen is None:
            self._chosen = holder
            return True
        self._waiting[holder] = None
        return False
