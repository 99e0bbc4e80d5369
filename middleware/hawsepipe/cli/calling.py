"""Calls to the running service that a configuration describes, as an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.errors import ConfigError, Conflict, InvalidRequest, NotFound, StoreError
from hawsepipe.service.credentials import operator_token


def call(
    config_path: Path,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    author: str | None = None,
) -> Any:
    """Return the JSON that a route under `/ops` answers; `author` is who asks (`Practitioner/7`).

    Raises ConfigError (no service, or none that takes us), NotFound for 404, Conflict for 409, InvalidRequest for what
    else it does not do, and StoreError for what it cannot.
    """
    config = read(config_path)
    token = operator_token(config, system_clock(), *([] if author is None else [author]))
    origin = f"http://{config.host}:{config.port}"

    async def ask() -> Any:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.request(method, f"{origin}/ops/{path}", params=query, data=body) as response,
        ):
            answer = await response.json()
            if response.status == 404:
                raise NotFound(answer["error"])
            if response.status in (401, 403):
                raise ConfigError("auth", f"the service answers {response.status}: {answer.get('error', '')}")
            if response.status == 409:
                raise Conflict(answer.get("error", ""))
            if response.status >= 500:
                raise StoreError(f"the service answers {response.status}: {answer.get('error', '')}")
            if response.status != 200:
                raise InvalidRequest(answer.get("error", ""))
            return answer

    try:
        return asyncio.run(ask())
    except (aiohttp.ClientConnectionError, aiohttp.ContentTypeError) as error:
        raise ConfigError("api", f"no service answers at {origin}; start it with `hawsepipe serve`") from error


def pages(config_path: Path, path: str, key: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield every entry of a route that gives them in pages by `?after=`; `key` names the number of an entry."""
    after = 0
    while page := call(config_path, "GET", path, {**(query or {}), "after": str(after)}):
        yield from page
        after = page[-1][key]
