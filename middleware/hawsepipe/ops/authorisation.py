"""The doors of the operations routes: a token of ours with the scope `hawsepipe/operate`, or to be on this machine.

What is counted tells of those whose data are counted: numbers are not for FHIR clients either.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final

import structlog
from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import Forbidden, HawsepipeError, InvalidRequest, Unauthorized
from hawsepipe.intake.dead_letters import SCOPE
from hawsepipe.model import Principal

_log = structlog.get_logger("hawsepipe.ops")

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""What proxies add: the one who asks is somewhere else then."""

Plain = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[web.Request, Principal], Awaitable[object]]


def guarded(verifier: TokenVerifier, work: Work) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler that answers operators with what `work` gives, as JSON unless it is a response, and everybody
    else with an error.
    """

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            operator = _authorise(request, verifier)
            told = await work(request, operator)
            if isinstance(told, web.StreamResponse):
                return told
            return web.json_response(told, headers={"Cache-Control": "no-store"})
        except HawsepipeError as error:
            _log.info("refused", interaction="operate", error=type(error).__name__)
            return web.json_response({"error": str(error)}, status=error.status)

    return handler


def near(verifier: TokenVerifier, handler: Plain) -> Plain:
    """Return a handler for who asks from this machine itself, not through a proxy, and for operators."""

    async def guarding(request: web.Request) -> web.StreamResponse:
        if not _is_near(request):
            try:
                _authorise(request, verifier)
            except HawsepipeError as error:
                _log.info("refused", interaction="operate", error=type(error).__name__)
                return web.json_response({"error": str(error)}, status=error.status)
        return await handler(request)

    return guarding


def _is_near(request: web.Request) -> bool:
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def number(text: str) -> int:
    """Return a number from a path or query. Raises InvalidRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest("an entry is named by its number")
    return int(text)


def _authorise(request: web.Request, verifier: TokenVerifier) -> Principal:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("a bearer token is needed")
    operator = verifier.verify(token.strip())
    if SCOPE not in operator.scopes:
        raise Forbidden(f"the token lacks the scope {SCOPE}")
    return operator
