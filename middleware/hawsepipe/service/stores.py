"""Opens the store that the configuration names, and says who does what only one process may do."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hawsepipe.clock import Clock
from hawsepipe.config import Config
from hawsepipe.errors import ConfigError
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.service import preparing
from hawsepipe.store import sqlite
from hawsepipe.store.contract import Store
from hawsepipe.store.sql.store import SqlReading

if TYPE_CHECKING:
    from hawsepipe.store.postgres import Database

Chore = Callable[[], Coroutine[Any, Any, None]]


class Lease(Protocol):
    """Who leads of several processes (`store.postgres.lease`)."""

    async def lead(self, before: Callable[[], Awaitable[None]], chores: list[Chore], group: str = "work") -> None: ...

    async def listen(self, stirred: Callable[[], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Keeping:
    """The store, and the lease where other processes may have it open as well."""

    store: Store
    lease: Lease | None = None

    def work(
        self, before: Callable[[], Awaitable[None]], chores: Mapping[str, Chore], stirred: Callable[[], None]
    ) -> Mapping[str, Chore]:
        """Return what this process is to run for the chores, of which each is done by one process at a time.

        `before` is done when this process becomes the one; `stirred` is called when another may have committed.
        """
        lease = self.lease
        if lease is None:
            return chores
        works = list(chores.values())
        return {"lead": lambda: lease.lead(before, works), "listener": lambda: lease.listen(stirred)}

    def sole(self, name: str, chore: Chore) -> Chore:
        """Return a chore such that one process at a time does it, whichever does the others."""
        lease = self.lease
        return chore if lease is None else lambda: lease.lead(_nothing, [chore], name)


async def _nothing() -> None:
    """Nothing is to be done before."""


@asynccontextmanager
async def opened_store(config: Config, clock: Clock, meters: Meters) -> AsyncIterator[Store]:
    """Open the store; entering raises ConfigError, StoreError, also when another process has one of SQLite."""
    async with opened(config, clock, meters) as keeping:
        yield keeping.store


@asynccontextmanager
async def opened(config: Config, clock: Clock, meters: Meters) -> AsyncIterator[Keeping]:
    """Open the store as one of several processes may. Raises as `opened_store`."""
    more: dict[str, Any] = {
        "sealer": Commitments(config.channel, secrets.token_bytes),
        "labeller": preparing.labeller(config),
        "extractor": preparing.extractor(config),
        "validator": preparing.validator(),
        "clock": clock,
        "meters": meters,
        "base_url": config.base_url,
        "vault": preparing.vault(config),
    }
    if config.store.kind == "sqlite":
        async with sqlite.open_store(config.data / "store", **more) as store:
            yield Keeping(store)
        return
    database = await asyncio.to_thread(database_of, config)
    # Known only to who has the extra.
    from hawsepipe.store import postgres
    from hawsepipe.store.postgres.lease import Lease as Session

    async with postgres.open_store(database, readers=config.store.connections, **more) as store:
        yield Keeping(store, Session(postgres.way_to(database)))


@asynccontextmanager
async def read_store(config: Config) -> AsyncIterator[SqlReading]:
    """Open the store for reading only, whoever else has it open. Raises ConfigError, StoreError."""
    vault = preparing.vault(config)
    if config.store.kind == "sqlite":
        async with sqlite.read_store(config.data / "store", vault) as store:
            yield store
        return
    database = await asyncio.to_thread(database_of, config)
    from hawsepipe.store import postgres

    async with postgres.read_store(database, vault) as store:
        yield store


def database_of(config: Config) -> Database:
    """Return where a store in PostgreSQL is. Raises ConfigError."""
    problem = unready(config)
    if problem is not None:
        raise problem
    from hawsepipe.store import postgres

    settings = config.store
    return postgres.Database(settings.url, settings.password_file, settings.schema, settings.timeout_seconds)


def unready(config: Config) -> ConfigError | None:
    """Return what keeps the store from being opened, as far as can be seen without a database."""
    settings = config.store
    if settings.kind == "sqlite":
        return None
    try:
        import asyncpg  # noqa: F401  whether it is there
    except ImportError:
        return ConfigError("store.kind", "PostgreSQL takes the extra: pip install 'hawsepipe[postgres]'")
    if settings.password_file is not None and not settings.password_file.is_file():
        return ConfigError("store.password_file", "there is no such file")
    return None
