"""Operators' decisions about who is who over HTTP, for `hawsepipe patients`."""

from __future__ import annotations

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import InvalidRequest
from hawsepipe.intake.merging import Merging
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded


def routes(merging: Merging, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/patients`. Answers and errors are JSON; ids alone, no patient data."""

    async def merged(request: web.Request, operator: Principal) -> object:
        winner = request.query.get("into", "")
        if not winner:
            raise InvalidRequest("`into` names the record that stays")
        return await merging.merge(request.match_info["id"], winner, operator)

    async def separated(request: web.Request, operator: Principal) -> object:
        return await merging.separate(request.match_info["id"], operator)

    return [
        web.post("/ops/patients/{id}/merge", guarded(verifier, merged)),
        web.post("/ops/patients/{id}/unmerge", guarded(verifier, separated)),
    ]
