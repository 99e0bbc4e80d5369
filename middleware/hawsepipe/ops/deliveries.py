"""What destinations would not have, over HTTP, for `hawsepipe deliveries`. A content goes to operators alone."""

from __future__ import annotations

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.intake.refused import Refused
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded, number

_PAGE = 1000


def routes(refused: Refused, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/deliveries`. Answers and errors are JSON."""

    async def listed(request: web.Request, _operator: Principal) -> object:
        query = request.query
        return await refused.list(query.get("destination"), number(query.get("after", "0")), _PAGE)

    async def shown(request: web.Request, operator: Principal) -> object:
        return await refused.show(number(request.match_info["number"]), operator)

    async def again(request: web.Request, operator: Principal) -> object:
        await refused.again(number(request.match_info["number"]), operator)
        return {}

    async def discarded(request: web.Request, operator: Principal) -> object:
        await refused.discard(number(request.match_info["number"]), operator, request.query.get("reason", ""))
        return {}

    return [
        web.get("/ops/deliveries", guarded(verifier, listed)),
        web.get("/ops/deliveries/{number}", guarded(verifier, shown)),
        web.post("/ops/deliveries/{number}/again", guarded(verifier, again)),
        web.post("/ops/deliveries/{number}/discard", guarded(verifier, discarded)),
    ]
