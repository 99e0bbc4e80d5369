"""The part of the store's contract that is about what goes on to destinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hawsepipe.hooks import Refusal
from hawsepipe.store.answers import Aside, Delivery, Queue


class Deliveries(Protocol):
    """The queues of destinations. Every coroutine may raise StoreError."""

    async def route(self, routes: Mapping[str, Sequence[str]]) -> None:
        """Say which feeds' messages go to which destination from now on: destination to names of feeds. Each message
        enters the queues of its feed in the transaction that applies it. What waits goes on waiting.
        """
        ...

    async def next_delivery(self, destination: str) -> Delivery | None:
        """Return the oldest entry of a destination's queue that waits."""
        ...

    async def delivered(self, number: int) -> None:
        """Take an entry off its queue."""
        ...

    async def set_aside(self, number: int, refusal: Refusal, instant: datetime) -> None:
        """Note why an entry is not delivered; it waits no more."""
        ...

    async def deliver_again(self, destination: str) -> int:
        """Let what was set aside wait again, in its old place; return how many entries."""
        ...

    async def asides(self, destination: str | None, after: int, limit: int) -> Sequence[Aside]:
        """Return what was set aside for a destination (None: for any) with a number above `after`, in order."""
        ...

    async def entry(self, number: int) -> Aside | None:
        """Return one entry, whether it waits or was set aside."""
        ...

    async def deliver_one_again(self, number: int) -> bool:
        """Let one that was set aside wait again, in its old place; False when it is none."""
        ...

    async def queues(self) -> Mapping[str, Queue]:
        """Return how long the queues are; an empty one may be left out."""
        ...
