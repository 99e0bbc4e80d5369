"""Loads of history over HTTP, for `hawsepipe migrate` and an operations page: begin, look at, verify, withdraw; and who
is who between their sources.

A load reads what the service can read, so only below the folders that the configuration names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import Forbidden, InvalidRequest
from hawsepipe.fhir.codec import value_of
from hawsepipe.migrate.loads import Loads, Request
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded, number


def routes(loads: Loads, folders: Sequence[Path], verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/loads`. Answers and errors are JSON; sources lie below `folders`."""

    async def listed(_request: web.Request, _operator: Principal) -> object:
        return await loads.list()

    async def begun(request: web.Request, _operator: Principal) -> object:
        asked = Request.of(_object(await request.read()))
        for _, place in asked.sources:
            if not await asyncio.to_thread(_below, Path(place), folders):
                raise Forbidden("the service loads only from the folders that `migration.folders` names")
        return await loads.begin(asked)

    async def shown(request: web.Request, _operator: Principal) -> object:
        return await loads.status(request.match_info["load"])

    async def resumed(request: web.Request, _operator: Principal) -> object:
        return await loads.resume(request.match_info["load"])

    async def verified(request: web.Request, _operator: Principal) -> object:
        samples, seed = number(request.query.get("samples", "1000")), number(request.query.get("seed", "1"))
        return await loads.verify(request.match_info["load"], samples, seed)

    async def withdrawn(request: web.Request, operator: Principal) -> object:
        return await loads.withdraw(request.match_info["load"], operator)

    async def linked(_request: web.Request, operator: Principal) -> object:
        return await loads.linking.run(operator)

    async def reviewed(_request: web.Request, _operator: Principal) -> object:
        return await loads.linking.review()

    async def decided(request: web.Request, operator: Principal) -> object:
        told = _object(await request.read())
        one, other, same = told.get("one"), told.get("other"), told.get("same")
        if not (isinstance(one, str) and isinstance(other, str)) or same not in (True, False, None):
            raise InvalidRequest("a decision names `one` and `other`, and says `same`: true, false or null")
        return await loads.linking.decide(one, other, same, operator)

    return [
        web.post("/ops/linkage", guarded(verifier, linked)),
        web.get("/ops/linkage/review", guarded(verifier, reviewed)),
        web.post("/ops/linkage/decisions", guarded(verifier, decided)),
        web.get("/ops/loads", guarded(verifier, listed)),
        web.post("/ops/loads", guarded(verifier, begun)),
        web.get("/ops/loads/{load}", guarded(verifier, shown)),
        web.post("/ops/loads/{load}/resume", guarded(verifier, resumed)),
        web.post("/ops/loads/{load}/verify", guarded(verifier, verified)),
        web.post("/ops/loads/{load}/withdraw", guarded(verifier, withdrawn)),
    ]


def _below(path: Path, folders: Sequence[Path]) -> bool:
    found = path.resolve()
    return any(found.is_relative_to(folder) for folder in folders)


def _object(body: bytes) -> dict[str, Any]:
    value = value_of(body)
    if not isinstance(value, dict):
        raise InvalidRequest("the request of a load is a JSON object")
    return value
