"""The dead letters over HTTP, for `hawsepipe dead-letters` and an operations page.

A content is patient data and goes to operators alone.
"""

from __future__ import annotations

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.intake.dead_letters import DeadLetters
from hawsepipe.ops.authorisation import guarded, number

_PAGE = 1000


def routes(letters: DeadLetters, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/dead-letters`. Answers and errors are JSON."""

    async def listed(request: web.Request) -> object:
        return await letters.list(number(request.query.get("after", "0")), _PAGE)

    async def shown(request: web.Request) -> object:
        return await letters.show(number(request.match_info["sequence"]))

    async def replayed(request: web.Request) -> object:
        return await letters.replay(number(request.match_info["sequence"]))

    async def discarded(request: web.Request) -> object:
        await letters.discard(number(request.match_info["sequence"]))
        return {}

    return [
        web.get("/ops/dead-letters", guarded(verifier, listed)),
        web.get("/ops/dead-letters/{sequence}", guarded(verifier, shown)),
        web.post("/ops/dead-letters/{sequence}/replay", guarded(verifier, replayed)),
        web.post("/ops/dead-letters/{sequence}/discard", guarded(verifier, discarded)),
    ]
