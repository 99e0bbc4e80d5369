"""The HTTP server that the API runs in: aiohttp's, with refusals in our own words.

What aiohttp cannot take at all (an address that is too long, a header that is none) never reaches a handler, and its
own answer repeats what was sent, search values among it.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from hawsepipe.api.negotiation import Format
from hawsepipe.api.rendering import resource
from hawsepipe.fhir.outcome import outcome
from hawsepipe.model import Issue, Severity

LIMITS: Final[dict[str, Any]] = {
    "max_line_size": 32_768,
    "max_field_size": 24_576,
    "auto_decompress": False,
    "access_log": None,
}
"""A next link and a token of 16 kB fit, nothing longer; a small body cannot become a large one; we log ourselves."""

_log = structlog.get_logger("hawsepipe.api")
_OURS: Final = 500


class Runner(web.AppRunner):
    """Runs an application within the limits."""

    __slots__ = ()

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, **LIMITS)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server


class _Server(web.Server):
    __slots__ = ()

    def __call__(self) -> RequestHandler:
        handler = super().__call__()
        handler.__class__ = _Handler
        return handler


class _Handler(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = _OURS,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what cannot be taken, without a word of it."""
        _log.info("a request could not be taken", status=status, error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        ours = status >= _OURS
        text = "the request could not be completed" if ours else "the request is not HTTP, or a part of it is too long"
        issue = Issue(Severity.ERROR, "exception" if ours else "invalid", "", text)
        answer = resource(outcome([issue]), Format(), status)
        response = web.Response(status=status, headers={**answer.headers, "Server": "Hawsepipe"}, body=answer.body)
        response.force_close()
        return response
