"""The dead letters over HTTP, for `hawsepipe dead-letters` and an operations page.

Every call needs a token of the embedded issuer with the scope `hawsepipe/operate`; a content is patient data and goes
to nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import Forbidden, HawsepipeError, InvalidRequest, Unauthorized
from hawsepipe.intake.dead_letters import SCOPE, DeadLetters

_PAGE = 1000
_log = structlog.get_logger("hawsepipe.ops")


def routes(letters: DeadLetters, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/dead-letters`. Answers and errors are JSON."""

    def guarded(
        work: Callable[[web.Request], Awaitable[object]],
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                _authorise(request, verifier)
                return web.json_response(await work(request), headers={"Cache-Control": "no-store"})
            except HawsepipeError as error:
                _log.info("refused", interaction="dead-letters", error=type(error).__name__)
                return web.json_response({"error": str(error)}, status=error.status)

        return handler

    async def listed(request: web.Request) -> object:
        return await letters.list(_number(request.query.get("after", "0")), _PAGE)

    async def shown(request: web.Request) -> object:
        return await letters.show(_number(request.match_info["sequence"]))

    async def replayed(request: web.Request) -> object:
        return await letters.replay(_number(request.match_info["sequence"]))

    async def discarded(request: web.Request) -> object:
        await letters.discard(_number(request.match_info["sequence"]))
        return {}

    return [
        web.get("/ops/dead-letters", guarded(listed)),
        web.get("/ops/dead-letters/{sequence}", guarded(shown)),
        web.post("/ops/dead-letters/{sequence}/replay", guarded(replayed)),
        web.post("/ops/dead-letters/{sequence}/discard", guarded(discarded)),
    ]


def _authorise(request: web.Request, verifier: TokenVerifier) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("a bearer token is needed")
    if SCOPE not in verifier.verify(token.strip()).scopes:
        raise Forbidden(f"the token lacks the scope {SCOPE}")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest("a dead letter is named by its number")
    return int(text)
