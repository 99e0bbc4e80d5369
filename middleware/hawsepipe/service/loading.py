"""Loads of history in a running service, and without one: then the store belongs to whoever loads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from hawsepipe import plugins as loader
from hawsepipe.clock import Clock
from hawsepipe.config import Config
from hawsepipe.errors import HawsepipeError
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.highwater import HighWater
from hawsepipe.ledger.keys import existing_key
from hawsepipe.ledger.merkle import Frontier, leaf_hash
from hawsepipe.ledger.note import Signer
from hawsepipe.meters import Meters
from hawsepipe.migrate.loads import Loads, Means
from hawsepipe.service import credentials, stores
from hawsepipe.service.engines import engine, splitter
from hawsepipe.service.kinds import Opener
from hawsepipe.store.contract import Store

_LOOK: Final = 0.05
_LAST: Final = 60.0
"""Seconds that the log may take at the end to hold what was loaded; the service goes on with the rest."""


def root(entries: Iterable[bytes]) -> bytes:
    """Return the Merkle root (RFC 6962) over entries; one at a time is held."""
    frontier = Frontier()
    for entry in entries:
        frontier.append(leaf_hash(entry))
    return frontier.root()


def loads(config: Config, store: Store, clock: Clock, committed: Callable[[], None]) -> Loads:
    """Return the loads of a store; `committed` is called after each commit."""
    return Loads(
        Means(
            store=store,
            folder=config.data / "loads",
            clock=clock,
            engine=partial(engine, config),
            split=partial(splitter, config),
            root=root,
            backlog=store.backlog,
            committed=committed,
            now=time.monotonic,
        )
    )


@asynccontextmanager
async def alone(config: Config, clock: Clock) -> AsyncIterator[Loads]:
    """Open the store and its log for loads alone: no feed listens, nobody is answered.

    Raises StoreError when a service has the store open. Leaving waits a while for the log.
    """
    loaded = loader.load(config.plugins)
    meters = Meters()
    keys = credentials.require_keys(config)
    signer = Signer(config.channel, existing_key(keys / "log.key"))
    async with AsyncExitStack() as stack:
        keeping = await stack.enter_async_context(stores.opened(config, clock, meters))
        store = keeping.store
        ledgers = await Opener(stack, config, clock, meters).all(loaded.ledgers, config.ledgers, "ledgers")
        mark = HighWater(keys / "log.mark", config.channel)
        anchorer = Anchorer(store, ledgers, signer, config.channel, clock, meters, mark=mark)
        await anchorer.resume()
        # Of a store that several processes have open, one keeps the log: this one, or a service.
        chores = keeping.work(anchorer.resume, {"anchorer": anchorer.run}, anchorer.notify)
        running = [asyncio.create_task(chore(), name=name) for name, chore in chores.items()]
        found = loads(config, store, clock, anchorer.notify)
        try:
            yield found
            await _logged(store, running)
        finally:
            await found.close()
            for task in running:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, HawsepipeError):
                    await task


async def _logged(store: Store, running: Sequence[asyncio.Task[None]]) -> None:
    """Return when everything is in the log, or after a while: the next service goes on with the rest."""
    for _ in range(int(_LAST / _LOOK)):
        if any(task.done() for task in running) or not await store.outbox_depth():
            return
        await asyncio.sleep(_LOOK)
