"""The feed kind `hl7v2-http`: HL7 v2 messages by POST, each answered with its acknowledgement.

The status goes with MSA-1: 200 for AA and CA, 422 for AE and CE (set aside, do not send again as it is), 400 for AR and
CR, 503 with Retry-After when the message is not stored; 204 when the message wants no acknowledgement. Nothing is
answered with 200 before the message is on the disk. A request that ends early stores nothing.

`charset` in Content-Type goes before MSH-18. An `Idempotency-Key` identifies the message instead of its control id: the
same key with the same body is answered as the first time and has one effect; with another body it is 422.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

import structlog
from aiohttp import web

from hawsepipe import Asked, Feed, Intake, Kind, Opening, RawMessage, Reuse, Senders, SetAside, StoreError
from hawsepipe_hl7v2.acknowledgement import Finding, build, code_of, wanted
from hawsepipe_hl7v2.asking import IDEMPOTENCY, KEY_REUSED, ask
from hawsepipe_hl7v2.charsets import known
from hawsepipe_hl7v2.connection import MEDIA_TYPE
from hawsepipe_hl7v2.door import Arrival, arrive, door_of
from hawsepipe_hl7v2.settings import HTTP_SCHEMA, filled

_log = structlog.get_logger("hawsepipe.feed")
MEDIA_TYPES: Final = frozenset(
    {
        MEDIA_TYPE,
        "application/hl7-v2+er7",
        "x-application/hl7-v2+er7",
        "application/x-hl7",
        "text/hl7v2",
        "text/plain",
    }
)
_STATUS: Final = {"A": 200, "E": 422, "R": 400}
_UNAVAILABLE: Final = Finding("R", 207, "", "the message cannot be stored now; send it again")
_RETRY_SECONDS: Final = "5"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")


class HttpFeed:
    """An HTTP listener. It listens from `start` on until its context is left."""

    def __init__(self, opening: Opening) -> None:
        settings = filled(HTTP_SCHEMA, opening.settings)
        self._opening = opening
        self._host: str = settings["host"]
        self._port: int = settings["port"]
        self._door = door_of(settings)
        self._senders = Senders.of(settings, opening.base)
        self._limit = asyncio.Semaphore(settings["limits"]["waiting"])
        self._stop_seconds: float = settings["limits"]["stop_seconds"]
        self._app = web.Application(client_max_size=settings["limits"]["body_bytes"])
        self._app.router.add_post("/{path:.*}", self._post)
        self._runner: web.AppRunner | None = None
        self._intake: Intake | None = None

    @property
    def address(self) -> str:
        """`http://127.0.0.1:2580`; the port is the real one once the feed has started."""
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

    def ask(self, message: RawMessage, letter: SetAside) -> Asked:
        """See `hawsepipe.Asking`."""
        return ask(message, letter, self._door)

    async def stop(self) -> None:
        """Stop listening and answer what is on its way."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        begun = perf_counter()
        if not self._senders.allow(request.headers.get("Authorization", "")):
            return _problem(401, "a bearer token of this feed is needed", {"WWW-Authenticate": "Bearer"})
        if request.content_type not in MEDIA_TYPES:
            return _problem(415, "send one HL7 v2 message as application/hl7-v2")
        charset = request.charset
        if charset is not None and known(charset) is None:
            return _problem(415, "this character set is not supported")
        key = request.headers.get("Idempotency-Key")
        if key is not None and _KEY.fullmatch(key) is None:
            return _problem(400, "an Idempotency-Key has 1 to 200 visible ASCII characters")
        if self._limit.locked():
            return _problem(503, "too many messages wait", {"Retry-After": _RETRY_SECONDS})
        async with self._limit:
            # Raises 413 beyond the limit; a client that goes away half-way ends the handler here.
            body = await request.read()
            return await self._answer(body, charset, key, begun)

    async def _answer(self, body: bytes, charset: str | None, key: str | None, begun: float) -> web.StreamResponse:
        opening, intake = self._opening, self._intake
        assert intake is not None, "it listens only once started"
        name, meters = opening.name, opening.meters
        media = MEDIA_TYPE if charset is None else f"{MEDIA_TYPE}; charset={charset.lower()}"
        raw = RawMessage(name, opening.clock(), media, body)
        meters.received.labels(name).inc()
        arrival = arrive(raw, self._door)
        # There is one answer: in enhanced mode, too, it says what is wrong with the content.
        broken = arrival.finding is not None and arrival.finding.letter == "E"
        code = code_of(arrival.mode, arrival.finding, whole=not broken)
        reply = build(arrival.header, code, arrival.finding, raw.received_at, raw.digest)
        reuse = None if key is None else Reuse(b"", KEY_REUSED)
        identity = arrival.key if key is None else f"{IDEMPOTENCY}{key}"
        try:
            found = await intake.accept(raw, key=identity, reply=reply, refusal=arrival.refusal, reuse=reuse)
        except StoreError:
            return self._unstored(arrival, raw)
        if found.duplicate:
            meters.duplicates.labels(name).inc()
        elif key is not None and found.reused and arrival.refusal is None:
            return _problem(422, KEY_REUSED.text)
        code = _code(found.reply) if found.duplicate else code
        if not arrival.answerable or not wanted(arrival.mode.accept, code):
            return web.Response(status=204)
        meters.acknowledged.labels(name, code).inc()
        meters.acknowledge_seconds.labels(name).observe(perf_counter() - begun)
        return _acknowledgement(_STATUS[code[1]], found.reply)

    def _unstored(self, arrival: Arrival, raw: RawMessage) -> web.StreamResponse:
        code = code_of(arrival.mode, None, unavailable=True)
        reply = build(arrival.header, code, _UNAVAILABLE, raw.received_at, raw.digest)
        self._opening.meters.acknowledged.labels(self._opening.name, code).inc()
        return _acknowledgement(503, reply, {"Retry-After": _RETRY_SECONDS})


def _code(reply: bytes) -> str:
    """Return MSA-1 of an acknowledgement of ours."""
    fields = reply.split(b"\rMSA", 1)[1]
    return fields[1:3].decode("ascii")


def _acknowledgement(status: int, reply: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=reply, headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **(headers or {})}
    )


def _problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


@asynccontextmanager
async def open_http(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it and answers what was on its way."""
    feed = HttpFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


KIND: Kind[Feed] = Kind("hl7v2-http", HTTP_SCHEMA, open_http)
