"""The FHIR API: a request in, a response out. Authentication, routing, and the one place that answers errors."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog

from hawsepipe.api.binary import read_raw, sent_raw
from hawsepipe.api.call import Call, Evidence, Gate, Prepared, Services, Verdict
from hawsepipe.api.capability import capability_statement, terminology_capabilities
from hawsepipe.api.cursors import Cursors
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.negotiation import JSON, Format, answer_format, preference
from hawsepipe.api.openapi import description
from hawsepipe.api.rendering import COMMON, content, resource
from hawsepipe.api.routes import Found, Interaction, Router
from hawsepipe.api.uploads import Uploads
from hawsepipe.api.writes import Write
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.clock import Clock
from hawsepipe.contents.taking import Taking
from hawsepipe.errors import (
    Gone,
    HawsepipeError,
    InvalidRequest,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    Pushback,
    RequestError,
    Tampered,
    TooLarge,
    TooManyRequests,
    Unauthorized,
)
from hawsepipe.exports.jobs import Exports
from hawsepipe.fhir import definitions
from hawsepipe.fhir.codec import encode
from hawsepipe.fhir.outcome import from_error
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.validate import Validator
from hawsepipe.meters import Meters
from hawsepipe.model import Principal
from hawsepipe.subscriptions.engine import Subscriptions

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes in a request body, at most, unless configured."""

_FAILED: Final = "the request could not be completed"
_OURS: Final = 500
"""The status of what is nobody's fault but ours."""

_ENTRY: Final = re.compile(r"Bundle\.entry\[[0-9]+\]")
_FRAMES: Final = 8
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_WRITES: Final = frozenset({"POST", "PUT", "PATCH"})

_UNSTORED: Final = frozenset({"Parameters"})
"""Resource types that R4 gives no endpoint."""


class Application:
    """Answers FHIR requests. It reaches resources only through the view that the gate gives for a verified token."""

    def __init__(
        self,
        *,
        gate: Gate,
        verifier: TokenVerifier,
        parameters: Parameters,
        evidence: Evidence,
        verdict: Verdict,
        base_url: str,
        clock: Clock,
        meters: Meters,
        cursor_key: bytes,
        exports: Exports,
        version: str,
        smart_configuration: Mapping[str, Any] | None = None,
        page_size: int = 50,
        max_body: int = MAX_BODY,
        taking: Taking | None = None,
        max_content: int = 0,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        """`base_url` has no trailing slash; `cursor_key` is 32 secret bytes that outlive a restart; `version` is the
        software's. `taking` keeps large contents, of `max_content` bytes at most. Without `subscriptions` there are
        none.
        """
        self.max_body = max_body
        self._uploads = None if taking is None else Uploads(taking, max_content)
        self._gate = gate
        self._verifier = verifier
        self._clock = clock
        self._meters = meters
        self._log = structlog.get_logger("hawsepipe.api")
        check = Validator(definitions.load()).check
        self._services = Services(
            base_url,
            parameters,
            Cursors(cursor_key),
            evidence,
            verdict,
            page_size,
            check,
            exports,
            clock,
            taking,
            subscriptions=subscriptions,
        )
        self._smart = smart_configuration
        types = definitions.load().resource_types - _UNSTORED
        self._router = Router(types)
        self._statement = encode(
            capability_statement(
                types=types,
                parameters=parameters,
                base_url=base_url,
                instant=clock(),
                version=version,
                smart=smart_configuration,
                topics=() if subscriptions is None else tuple(subscriptions.topics),
            )
        )

        self._terms = encode(terminology_capabilities(base_url=base_url, instant=clock(), version=version))
        self._description = msgspec.json.encode(description(types=types, base_url=base_url, version=version))

    async def handle(self, request: Request) -> Response:
        """Answer a request; never raises."""
        started = self._clock()
        found = self._router.find(request.method, request.segments)
        interaction = found.route.code if found.route is not None else "none"
        try:
            response = await self._answer(request, found)
        except Exception as error:
            response = self._failure(request, error, found)
        self._account(request, interaction, response.status, started)
        return response

    def refuse(self, request: Request, error: HawsepipeError) -> Response:
        """Answer a request that the server could not take as a whole."""
        response = self._refusal(request, error, ())
        self._account(request, "none", response.status, self._clock())
        return response

    async def _answer(self, request: Request, found: Found) -> Response:
        route = found.route
        if request.method == "OPTIONS" and found.allowed:
            return Response(204, {**COMMON, "Allow": ", ".join((*found.allowed, "OPTIONS"))})
        if route is not None and route.run is None:
            return self._document(request, route.code)
        principal = self._authenticated(request)
        if route is None or route.run is None:
            if found.allowed:
                raise MethodNotAllowed("this method does not exist at this address")
            raise NotFound("no such address")
        if len(request.body) > self.max_body:
            raise TooLarge(f"a body may have {self.max_body} bytes")
        if request.upload is not None:
            request = await self._received(request, principal)
        response = await route.run(self._call(request, found, principal))
        if self._services.subscriptions is not None and request.method in _WRITES:
            self._services.subscriptions.wake()
        return response

    def streams(self, request: Request) -> bool:
        """Say whether the body of a request may come as `upload`: the content of a Binary, of whatever size."""
        kind = request.segments[0] if request.segments else None
        return self._uploads is not None and len(request.segments) <= 2 and sent_raw(kind, request)

    async def _received(self, request: Request, principal: Principal) -> Request:
        """Return a request with its body read. Who may write no Binary at all has nothing read."""
        if self._uploads is None or not self._gate.view(principal).may_write("Binary"):
            return replace(request, upload=None)
        return await self._uploads.received(request)

    def _call(self, request: Request, found: Found, principal: Principal) -> Call:
        return Call(
            request=request,
            path=found.path,
            format=self._format(request, found),
            preference=preference(request),
            services=self._services,
            view=self._gate.view(principal),
            inside=_Inside(self, principal),
        )

    def _format(self, request: Request, found: Found) -> Format:
        raw = read_raw(found.path.get("type"), request)
        return Format() if raw or (found.route is not None and found.route.handed) else answer_format(request)

    async def answer_inside(self, request: Request, principal: Principal) -> Response:
        """Answer a request inside another; never raises."""
        found = self._router.find(request.method, request.segments)
        try:
            return await self._inner(found)(self._call(request, found, principal))
        except Exception as error:
            return self._failure(request, error, found)

    def prepare_inside(self, request: Request, principal: Principal, name: str | None) -> Prepared:
        """Return the write that a request inside a transaction asks for. Raises RequestError."""
        found = self._router.find(request.method, request.segments)
        run = self._inner(found)
        if not isinstance(run, Write):
            raise InvalidRequest("a transaction takes creates, updates, patches, deletes and reads")
        call = self._call(request, found, principal)
        order = replace(run.order(call), bundled=True, name=name)
        return Prepared(order, lambda written: run.answer(written, call))

    def _inner(self, found: Found) -> Interaction:
        route = found.route
        if route is None or route.run is None or not route.pattern or route.handed or route.code == "$export":
            if found.allowed:
                raise MethodNotAllowed("this method does not exist at this address in a Bundle")
            raise NotFound("no such address")
        return route.run

    def _authenticated(self, request: Request) -> Principal:
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if not token:
            raise Unauthorized("a bearer token is needed")
        if scheme.lower() != "bearer":
            raise Unauthorized("a bearer token is needed, no other scheme is known here")
        return self._verifier.verify(token.strip(" "))

    def _document(self, request: Request, code: str) -> Response:
        if code == "openapi":
            return content(self._description, Format(JSON))
        if code == "capabilities":
            terms = any(pair == ("mode", "terminology") for pair in request.query)
            return content(self._terms if terms else self._statement, answer_format(request))
        if self._smart is None:
            raise NotFound("no such address")
        return content(msgspec.json.encode(self._smart), Format(JSON))

    def _failure(self, request: Request, error: Exception, found: Found) -> Response:
        if not isinstance(error, HawsepipeError) or error.status == _OURS:
            interaction = found.route.code if found.route is not None else "none"
            self._log.error("the request failed", interaction=interaction, **_place(error))
            # An alarm keeps its finding, which names a check and no record; nothing else of ours is told.
            error = error if isinstance(error, Tampered) else HawsepipeError(_FAILED)
        return self._refusal(request, error, found.allowed)

    def _refusal(self, request: Request, error: HawsepipeError, allowed: tuple[str, ...]) -> Response:
        headers: dict[str, str] = {}
        match error:
            case NotFound():
                # Whatever a lower room says: the answer depends on the request alone, so hidden and absent are one.
                named = "/".join(request.segments)[:200] or "such resource"
                error = NotFound(f"there is no {named} here", expression=_entry(error))
            case Gone():
                error = Gone("the resource was deleted", expression=_entry(error))
            case Unauthorized():
                suffix = f', error="{error.challenge}"' if error.challenge else ""
                headers["WWW-Authenticate"] = f'Bearer realm="{self._services.base_url}"{suffix}'
            case MethodNotAllowed():
                # The method asked for is not among them even if the address has it (an update that would create).
                headers["Allow"] = ", ".join(it for it in allowed if it != request.method)
            case Pushback() | TooManyRequests():
                headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
            case _ if error.status == 503:
                headers["Retry-After"] = "1"
        try:
            form = answer_format(request)
        except HawsepipeError:
            form = Format()
        try:
            return resource(from_error(error), form, error.status, headers)
        except NotAcceptable:  # what was asked for is told, and XML cannot hold it
            return resource(from_error(error), Format(), error.status, headers)

    def _account(self, request: Request, interaction: str, status: int, started: datetime) -> None:
        seconds = max(0.0, (self._clock() - started).total_seconds())
        self._meters.requests.labels(interaction, str(status)).inc()
        self._meters.request_seconds.labels(interaction).observe(seconds)
        self._log.info(
            "request",
            interaction=interaction,
            method=request.method if request.method in _METHODS else "other",
            status=status,
            milliseconds=round(seconds * 1000, 2),
        )


class _Inside:
    """Processes requests inside a request of one principal."""

    def __init__(self, application: Application, principal: Principal) -> None:
        self._application = application
        self._principal = principal

    async def answer(self, request: Request) -> Response:
        return await self._application.answer_inside(request, self._principal)

    def prepare(self, request: Request, name: str | None) -> Prepared:
        return self._application.prepare_inside(request, self._principal, name)


def _entry(error: RequestError) -> str | None:
    """Return which entry of a Bundle an error is about: that much depends on the request alone."""
    match = _ENTRY.match(error.expression or "")
    return match[0] if match is not None else None


def _place(error: Exception) -> dict[str, Any]:
    # Class and lines only: a text or a frame's variables could hold what the request was about.
    frames = traceback.extract_tb(error.__traceback__)
    trace = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames]
    return {"error": type(error).__name__, "trace": trace[-_FRAMES:]}
