"""The feed kind `fhir-http`: FHIR resources and Bundles by POST (or PUT), each answered with an OperationOutcome.

200: the message has had its effect. 202: it is stored and will have it (`Prefer: respond-async`, or the effect took
longer than an answer waits). 422: it was set aside, do not send it again as it is; 400 when it is no FHIR resource, 415
when its version is not the one that this feed takes. 503 with Retry-After when it is not stored. Nothing is answered
with 2xx before the message is on the disk; a request that ends early stores nothing. The outcome lists what the
conversion to R4 lost and added, and is kept with the message in the journal.

An `Idempotency-Key` identifies the message: the same key with the same body has one effect; with another body it is
422. Without one a Bundle's `identifier` does, or a resource's `id` and `meta.versionId`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

from aiohttp import web

from hawsepipe import (
    Feed,
    Intake,
    Issue,
    Kind,
    Opening,
    RawMessage,
    Refusal,
    Reuse,
    Senders,
    Severity,
    StoreError,
    encode,
    outcome,
)
from hawsepipe_fhir import detection
from hawsepipe_fhir.arrival import Arrival, arrive
from hawsepipe_fhir.evidence import CONTRADICTION
from hawsepipe_fhir.settings import HTTP_SCHEMA, filled
from hawsepipe_fhir.translator import MEDIA_TYPES

_MEDIA_TYPE: Final = "application/fhir+json; charset=utf-8"
_RETRY_SECONDS: Final = "5"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_REUSED: Final = Refusal("structure", "Idempotency-Key", "the idempotency key belongs to another message")
_CODES: Final = {"mapping": "processing", "delivery": "processing"}
"""IssueType codes of causes that are none."""

_TOLD: Final = Issue(Severity.INFORMATION, "informational", "", "stored, and in effect")
_STORED: Final = Issue(Severity.INFORMATION, "informational", "", "stored; its effect is to come")


class FhirHttpFeed:
    """An HTTP listener. It listens from `start` on until its context is left."""

    def __init__(self, opening: Opening) -> None:
        settings = filled(HTTP_SCHEMA, opening.settings)
        limits = settings["limits"]
        self._opening = opening
        self._host: str = settings["host"]
        self._port: int = settings["port"]
        self._version = detection.named(settings["version"]) if "version" in settings else None
        self._senders = Senders.of(settings, opening.base)
        self._limit = asyncio.Semaphore(limits["waiting"])
        self._patience: float = limits["outcome_seconds"]
        self._stop_seconds: float = limits["stop_seconds"]
        self._app = web.Application(client_max_size=limits["body_bytes"])
        self._app.router.add_post("/{path:.*}", self._take)
        self._app.router.add_put("/{path:.*}", self._take)
        self._runner: web.AppRunner | None = None
        self._intake: Intake | None = None

    @property
    def address(self) -> str:
        """`http://127.0.0.1:2581`; the port is the real one once the feed has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self, intake: Intake) -> None:
        """Bind and listen."""
        self._intake = intake
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=self._stop_seconds)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and answer what is on its way."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        begun = perf_counter()
        if not self._senders.allow(request.headers.get("Authorization", "")):
            return _problem(401, "login", "a bearer token of this feed is needed", {"WWW-Authenticate": "Bearer"})
        if request.content_type not in MEDIA_TYPES or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
            return _problem(415, "not-supported", "send one FHIR resource or Bundle as application/fhir+json in UTF-8")
        key = request.headers.get("Idempotency-Key")
        if key is not None and _KEY.fullmatch(key) is None:
            return _problem(400, "invalid", "an Idempotency-Key has 1 to 200 visible ASCII characters")
        if self._limit.locked():
            return _problem(503, "throttled", "too many messages wait", {"Retry-After": _RETRY_SECONDS})
        async with self._limit:
            try:
                # A client that goes away half-way ends the handler here.
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return _problem(413, "too-long", "the body is larger than this feed takes")
            patience = 0.0 if "respond-async" in request.headers.get("Prefer", "") else self._patience
            response = await self._answer(body, request.headers.get("Content-Type", ""), key, patience)
        self._opening.meters.acknowledged.labels(self._opening.name, str(response.status)).inc()
        self._opening.meters.acknowledge_seconds.labels(self._opening.name).observe(perf_counter() - begun)
        return response

    async def _answer(self, body: bytes, media_type: str, key: str | None, patience: float) -> web.StreamResponse:
        opening, intake = self._opening, self._intake
        assert intake is not None, "it listens only once started"
        name, meters = opening.name, opening.meters
        raw = RawMessage(name, opening.clock(), media_type, body)
        meters.received.labels(name).inc()
        arrival = await asyncio.to_thread(arrive, raw, self._version)
        report = encode(outcome(_issues(arrival)))
        reuse = None if key is None else Reuse(encode(outcome([_issue(_REUSED)])), _REUSED)
        identity = arrival.key if key is None else f"idempotency|{key}"
        try:
            found = await intake.accept(arrival.raw, key=identity, reply=report, refusal=arrival.refusal, reuse=reuse)
        except StoreError:
            text = "the message cannot be stored now; send it again"
            return _problem(503, "transient", text, {"Retry-After": _RETRY_SECONDS})
        if arrival.refusal is not None:
            return _told(_status(arrival.refusal), [_issue(arrival.refusal)])
        if found.duplicate:
            meters.duplicates.labels(name).inc()
        elif key is not None and found.reused:
            return _told(422, [_issue(_REUSED)])
        try:
            async with asyncio.timeout(patience):
                refusal = await intake.outcome(found.sequence)
        except TimeoutError:
            return _told(202, [_STORED, *arrival.issues])
        if refusal is not None:
            return _told(422, [_issue(refusal), *arrival.issues])
        return _told(200, [_TOLD, *arrival.issues])


def _issues(arrival: Arrival) -> Sequence[Issue]:
    return arrival.issues if arrival.refusal is None else (_issue(arrival.refusal),)


def _issue(refusal: Refusal) -> Issue:
    return Issue(Severity.ERROR, _CODES.get(refusal.cause, refusal.cause), refusal.location, refusal.text)


def _status(refusal: Refusal) -> int:
    if refusal.location == CONTRADICTION:
        return 415
    return 400 if refusal.cause == "parse" else 422


def _told(status: int, issues: Sequence[Issue], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=encode(outcome(issues)),
        headers={"Content-Type": _MEDIA_TYPE, "Cache-Control": "no-store", **(headers or {})},
    )


def _problem(status: int, code: str, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return _told(status, [Issue(Severity.ERROR, code, "", text)], headers)


@asynccontextmanager
async def open_http(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it and answers what was on its way."""
    feed = FhirHttpFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


KIND: Kind[Feed] = Kind("fhir-http", HTTP_SCHEMA, open_http)
