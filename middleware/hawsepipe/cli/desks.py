"""Where the commands about loads are carried out: in the running service, else here, with the store opened for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any, Protocol

from hawsepipe.cli.calling import call
from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.errors import StoreError
from hawsepipe.intake.dead_letters import SCOPE
from hawsepipe.migrate.loads import Loads, Request
from hawsepipe.model import Principal
from hawsepipe.service.loading import alone

_CLIENT = "hawsepipe-cli"


class Desk(Protocol):
    """Carries out commands about loads; each returns the state of a load as JSON values."""

    async def begin(self, request: Request) -> dict[str, Any]:
        """Begin a load, or go on with it."""
        ...

    async def resume(self, load: str) -> dict[str, Any]:
        """Go on with a load."""
        ...

    async def verify(self, load: str, samples: int, seed: int) -> dict[str, Any]:
        """Begin to verify a load."""
        ...

    async def withdraw(self, load: str) -> dict[str, Any]:
        """Begin to take a load back."""
        ...

    async def status(self, load: str) -> dict[str, Any]:
        """Return how a load stands."""
        ...

    async def list(self) -> list[str]:
        """Return the names of all loads."""
        ...

    async def link(self) -> dict[str, Any]:
        """Compare all patients and join what is certain."""
        ...

    async def review(self) -> Sequence[dict[str, Any]]:
        """Return the pairs that wait for a decision."""
        ...

    async def decide(self, one: str, other: str, same: bool | None) -> dict[str, Any]:
        """Decide about a pair, or take a decision back."""
        ...


@dataclass(frozen=True, slots=True)
class _Here:
    loads: Loads
    tenant: str

    async def begin(self, request: Request) -> dict[str, Any]:
        return await self.loads.begin(request)

    async def resume(self, load: str) -> dict[str, Any]:
        return await self.loads.resume(load)

    async def verify(self, load: str, samples: int, seed: int) -> dict[str, Any]:
        return await self.loads.verify(load, samples, seed)

    async def withdraw(self, load: str) -> dict[str, Any]:
        return await self.loads.withdraw(load, self._operator)

    async def status(self, load: str) -> dict[str, Any]:
        return await self.loads.status(load)

    async def list(self) -> list[str]:
        return await self.loads.list()

    async def link(self) -> dict[str, Any]:
        return await self.loads.linking.run(self._operator)

    async def review(self) -> Sequence[dict[str, Any]]:
        return await self.loads.linking.review()

    async def decide(self, one: str, other: str, same: bool | None) -> dict[str, Any]:
        return await self.loads.linking.decide(one, other, same, self._operator)

    @property
    def _operator(self) -> Principal:
        return Principal(f"Device/{_CLIENT}", _CLIENT, self.tenant, frozenset({SCOPE}))


@dataclass(frozen=True, slots=True)
class _There:
    config: Path

    async def begin(self, request: Request) -> dict[str, Any]:
        return await self._ask("POST", "loads", body=dumps(request.told()).encode())

    async def resume(self, load: str) -> dict[str, Any]:
        return await self._ask("POST", f"loads/{load}/resume")

    async def verify(self, load: str, samples: int, seed: int) -> dict[str, Any]:
        return await self._ask("POST", f"loads/{load}/verify", {"samples": str(samples), "seed": str(seed)})

    async def withdraw(self, load: str) -> dict[str, Any]:
        return await self._ask("POST", f"loads/{load}/withdraw")

    async def status(self, load: str) -> dict[str, Any]:
        return await self._ask("GET", f"loads/{load}")

    async def list(self) -> list[str]:
        found: list[str] = await asyncio.to_thread(call, self.config, "GET", "loads")
        return found

    async def link(self) -> dict[str, Any]:
        return await self._ask("POST", "linkage")

    async def review(self) -> Sequence[dict[str, Any]]:
        found: Sequence[dict[str, Any]] = await asyncio.to_thread(call, self.config, "GET", "linkage/review")
        return found

    async def decide(self, one: str, other: str, same: bool | None) -> dict[str, Any]:
        body = dumps({"one": one, "other": other, "same": same}).encode()
        return await self._ask("POST", "linkage/decisions", body=body)

    async def _ask(
        self, method: str, path: str, query: dict[str, str] | None = None, body: bytes | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = await asyncio.to_thread(call, self.config, method, path, query, body)
        return found


@asynccontextmanager
async def desk(config_path: Path) -> AsyncIterator[Desk]:
    """Open the store for loads alone; where a service has it, that service is asked. Raises ConfigError, StoreError."""
    config = read(config_path)
    async with AsyncExitStack() as stack:
        try:
            loads = await stack.enter_async_context(alone(config, system_clock))
        except StoreError as error:
            if "another process" not in str(error):
                raise
            yield _There(config_path)
            return
        yield _Here(loads, config.tenant)
