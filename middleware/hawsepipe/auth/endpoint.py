"""The authorization server's HTTP door: the token endpoint and the public keys."""

from __future__ import annotations

from urllib.parse import parse_qs

from aiohttp import web

from hawsepipe.auth.authorization import Answer, AuthorizationServer
from hawsepipe.errors import StoreError

_MAX_FORM = 65_536
_UNCACHED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def routes(server: AuthorizationServer) -> list[web.RouteDef]:
    """Return `POST /auth/token` and `GET /auth/jwks`."""

    async def token(request: web.Request) -> web.Response:
        answer = await _token(server, request)
        headers = dict(_UNCACHED)
        if answer.status == 503:
            headers["Retry-After"] = "1"
        return web.json_response(dict(answer.body), status=answer.status, headers=headers)

    async def jwks(_request: web.Request) -> web.Response:
        return web.json_response(
            server.issuer.jwks(),
            headers={"Cache-Control": "public, max-age=300"},
            content_type="application/jwk-set+json",
        )

    return [web.post("/auth/token", token), web.get("/auth/jwks", jwks, allow_head=True)]


async def _token(server: AuthorizationServer, request: web.Request) -> Answer:
    if request.content_type != "application/x-www-form-urlencoded" or "Content-Encoding" in request.headers:
        return Answer(400, {"error": "invalid_request", "error_description": "the body must be a plain form"})
    body = await request.content.read(_MAX_FORM + 1)
    while len(body) <= _MAX_FORM and not request.content.at_eof():
        body += await request.content.read(_MAX_FORM + 1 - len(body))
    try:
        if len(body) > _MAX_FORM:
            raise ValueError
        form = parse_qs(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=20
        )
    except ValueError:
        return Answer(400, {"error": "invalid_request", "error_description": "the form is too long or not well-formed"})
    try:
        return await server.token(form)
    except StoreError:
        return Answer(503, {"error": "temporarily_unavailable", "error_description": "try again in a moment"})
