"""The aiohttp shell: bytes off the wire into a Request, a Response back onto it. No decision is made here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

import structlog
from aiohttp import web

from hawsepipe.api.application import Application
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.forms import pairs
from hawsepipe.errors import HawsepipeError, InvalidRequest, TooLarge, UnsupportedMediaType

_log = structlog.get_logger("hawsepipe.api")
_BEAT: Final = 0.02
_EVENED: Final = frozenset({404, 405})
"""What is answered alike for hidden and for absent."""

_BODY_SECONDS: Final = 60.0
_CHUNK: Final = 65_536
_NAME: Final = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


def routes(application: Application, base_path: str) -> list[web.RouteDef]:
    """Return the routes that serve everything below `base_path` (`/fhir`, without a trailing slash)."""

    async def handle(request: web.Request) -> web.StreamResponse:
        started = asyncio.get_running_loop().time()
        name = request.headers.get("X-Request-Id", "")
        response = await _answered(application, request, base_path)
        if response.status in _EVENED:
            await _evened(started)
        headers = {**response.headers, "Server": "Hawsepipe"}
        # It goes back and nowhere else: whatever a client takes for a name, a patient's number even, is in no log.
        if _NAME.fullmatch(name):
            headers["X-Request-Id"] = name
        if response.stream is not None:
            async with aclosing(response.stream):
                if request.method != "HEAD":
                    return await _streamed(request, response, headers)
        return web.Response(status=response.status, headers=headers, body=response.body)

    return [web.route("*", base_path, handle), web.route("*", base_path + r"/{rest:[\s\S]*}", handle)]


async def _evened(started: float) -> None:
    """Wait for the next beat since a request came: how long it took to look at what is hidden is not to be told from
    how long it took to find nothing.
    """
    taken = asyncio.get_running_loop().time() - started
    await asyncio.sleep(_BEAT - taken % _BEAT)


async def _streamed(request: web.Request, response: Response, headers: dict[str, str]) -> web.StreamResponse:
    """Send an answer part by part. One that fails under way is cut, so that the client sees that it is not whole."""
    answer = web.StreamResponse(status=response.status, headers=headers)
    assert response.stream is not None, "the caller has looked"
    try:
        await answer.prepare(request)
        await answer.write(response.body)
        async for part in response.stream:
            await answer.write(part)
    except HawsepipeError as error:
        _log.error("an answer was cut", error=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
        return answer
    except ConnectionError:  # the client went away
        return answer
    await answer.write_eof()
    return answer


async def _answered(application: Application, request: web.Request, base_path: str) -> Response:
    headers = _headers(request)
    bare = Request(request.method, (), (), headers)
    try:
        bare = Request(request.method, _segments(request, base_path), (), headers)
        query = tuple(pairs(request.rel_url.raw_query_string.encode("utf-8")))
        bare = Request(request.method, bare.segments, query, headers)
        if application.streams(bare):
            return await application.handle(replace(bare, upload=_upload(request)))
        body = await _body(request, application.max_body) if request.method in _WITH_BODY else b""
    except HawsepipeError as error:
        return application.refuse(bare, error)
    return await application.handle(replace(bare, body=body))


async def _upload(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises InvalidRequest when it stops coming, UnsupportedMediaType as `_body`."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("a body must not be compressed", location="Content-Encoding")
    try:
        while True:
            async with asyncio.timeout(_BODY_SECONDS):
                part = await request.content.read(_CHUNK)
            if not part:
                return
            yield part
    except TimeoutError as error:
        raise InvalidRequest("the body did not come in time") from error
    except web.RequestPayloadError as error:
        raise InvalidRequest("the body did not come whole") from error


def _headers(request: web.Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    for key in dict.fromkeys(key.lower() for key in request.headers):
        values = request.headers.getall(key)
        # Two tokens are no token: which of them counts would be a guess. Other headers join, as RFC 9110 has it.
        headers[key] = "" if key == "authorization" and len(values) > 1 else ", ".join(values)
    return headers


def _segments(request: web.Request, base_path: str) -> tuple[str, ...]:
    raw = request.rel_url.raw_path.removeprefix(base_path).strip("/")
    try:
        return tuple(unquote(part, errors="strict") for part in raw.split("/")) if raw else ()
    except UnicodeDecodeError as error:
        raise InvalidRequest("the address is not UTF-8 in percent encoding") from error


async def _body(request: web.Request, limit: int) -> bytes:
    """Read the body. Raises TooLarge before reading more than `limit`, InvalidRequest when it does not come."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("a body must not be compressed", location="Content-Encoding")
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(f"a body may have {limit} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while part := await request.content.read(_CHUNK):
                size += len(part)
                if size > limit:
                    raise TooLarge(f"a body may have {limit} bytes")
                parts.append(part)
    except TimeoutError as error:
        raise InvalidRequest("the body did not come in time") from error
    except web.RequestPayloadError as error:
        raise InvalidRequest("the body did not come whole") from error
    return b"".join(parts)
