"""The configuration over HTTP, for `hawsepipe config`: versions, what differs, apply and go back. Operators only."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import ConfigError, Conflict
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded, number

_log = structlog.get_logger("hawsepipe.ops")


class Editor(Protocol):
    """Who keeps and applies configurations (implemented by `service.history`)."""

    def versions(self) -> Sequence[Mapping[str, Any]]:
        """Return number, since and author of each version, oldest first."""
        ...

    def difference(self, older: int, newer: int | None) -> str:
        """Return what differs between two versions, or a version and the file. Raises NotFound."""
        ...

    def apply(self, author: str) -> Awaitable[Mapping[str, Any]]:
        """Apply the file; return the version and the feeds that were started anew. Raises ConfigError."""
        ...

    def back(self, number: int, author: str) -> Awaitable[Mapping[str, Any]]:
        """Go back to a version. Raises NotFound and ConfigError."""
        ...


def routes(editor: Editor, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/config`."""

    async def listed(_request: web.Request, _operator: Principal) -> object:
        return editor.versions()

    async def differing(request: web.Request, _operator: Principal) -> object:
        newer = request.query.get("with")
        older = number(request.match_info["number"])
        return {"difference": editor.difference(older, None if newer is None else number(newer))}

    async def applied(_request: web.Request, operator: Principal) -> object:
        return await _done(editor.apply(operator.subject), operator)

    async def back(request: web.Request, operator: Principal) -> object:
        return await _done(editor.back(number(request.match_info["number"]), operator.subject), operator)

    return [
        web.get("/ops/config", guarded(verifier, listed)),
        web.get("/ops/config/{number}/difference", guarded(verifier, differing)),
        web.post("/ops/config/apply", guarded(verifier, applied)),
        web.post("/ops/config/{number}/rollback", guarded(verifier, back)),
    ]


async def _done(work: Awaitable[Mapping[str, Any]], operator: Principal) -> Mapping[str, Any]:
    try:
        result = await work
    except ConfigError as error:
        raise Conflict(str(error)) from error
    _log.warning(
        "configuration", version=result["version"], author=operator.subject, feeds=", ".join(result["restarted"])
    )
    return result
