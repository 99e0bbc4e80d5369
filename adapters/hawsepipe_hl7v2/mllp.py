"""The feed kind `mllp`: a listener for MLLP release 1.

Each connection is an asyncio Protocol. Messages go to the intake in the order of their frames and are answered in
that order; reading goes on while the intake works, up to a window of messages and bytes, and stops beyond it, so
that TCP holds the sender back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, cast

from hawsepipe import Feed, HawsepipeError, Intake, Kind, MessageError, Meters, Opening, RawMessage
from hawsepipe_hl7v2.acknowledgement import Finding, build, code_of, wanted
from hawsepipe_hl7v2.door import Arrival, Door, arrive, patterns
from hawsepipe_hl7v2.framing import Fragment, Frame, Framer, Junk, Oversize, framed
from hawsepipe_hl7v2.settings import FEED_SCHEMA, filled

MEDIA_TYPE = "application/hl7-v2"
_TLS_HELLO = b"\x16\x03"
_UNAVAILABLE = Finding("R", 207, "", "the message cannot be stored now")
_TRUNCATED = MessageError("parse", "", "the frame was cut off before its end")
_DAMAGED = MessageError("parse", "", "there is an end-of-block byte inside the frame")
_OVERSIZE = MessageError("parse", "", "the frame is larger than this feed takes")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a connection: bytes of a frame, seconds of silence inside one, messages and bytes on their way."""

    frame_bytes: int
    idle_seconds: float
    connections: int
    window: int
    window_bytes: int


@dataclass(frozen=True, slots=True)
class _Site:
    """What every connection of one feed shares."""

    name: str
    door: Door
    limits: Limits
    clock: Callable[[], datetime]
    meters: Meters
    intake: Intake


class _Connection(asyncio.Protocol):
    def __init__(self, site: _Site, others: set[_Connection]) -> None:
        self._site = site
        self._others = others
        self._framer = Framer(site.limits.frame_bytes)
        self._answers: deque[asyncio.Task[bytes]] = deque()
        self._bytes = 0
        self._transport: asyncio.Transport | None = None
        self._paused = self._full = self._started = self._ending = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.finished = self._loop.create_future()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._others) >= self._site.limits.connections:
            self._count("refused_connection")
            self._transport.abort()
            return
        self._others.add(self)
        self._site.meters.connections.labels(self._site.name).inc()

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._others:
            self._others.discard(self)
            self._site.meters.connections.labels(self._site.name).dec()
        self._stop_timer()
        transport, self._transport = self._transport, None
        if transport is not None:
            self._pump(final=True)
        self._settle()

    def data_received(self, data: bytes) -> None:
        if self._ending or self._transport is None:
            return
        if not self._started:
            self._started = True
            if data.startswith(_TLS_HELLO):
                self._count("tls_on_plain_port")
                self._transport.abort()
                return
        self._framer.feed(data)
        self._pump()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()

    def eof_received(self) -> bool:
        # The sender may close its half and still wait for acknowledgements.
        self._ending = True
        self._pump(final=True)
        self._close_when_answered()
        return True

    # the feed

    def close(self) -> None:
        """Read no more, answer what is on its way, then close."""
        self._ending = True
        self._pause()
        self._stop_timer()
        self._close_when_answered()

    def abort(self) -> None:
        """Drop the connection and what waits for an answer."""
        for task in self._answers:
            task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _pump(self, *, final: bool = False) -> None:
        """Take events from the framer while the window is open; `final`: no more bytes will come."""
        limits = self._site.limits
        while final or not (self._full or len(self._answers) >= limits.window or self._bytes >= limits.window_bytes):
            event = self._framer.next()
            if event is None and final:
                event = self._framer.silence()
            if event is None:
                break
            self._take(event)
        transport = self._transport
        if transport is None or self._ending or transport.is_closing():
            return
        busy = self._full or len(self._answers) >= limits.window or self._bytes >= limits.window_bytes
        if busy != self._paused:
            self._paused = busy
            if busy:
                transport.pause_reading()
            else:
                transport.resume_reading()
        self._stop_timer()
        if self._framer.inside and not busy:
            self._timer = self._loop.call_later(limits.idle_seconds, self._silent)

    def _take(self, event: Frame | Fragment | Oversize | Junk) -> None:
        match event:
            case Junk(count):
                self._count("junk_bytes", count)
            case Frame(body, damaged, lenient):
                if lenient:
                    self._count("missing_return")
                if damaged:
                    self._count("damaged")
                self._enqueue(body, _DAMAGED if damaged else None)
            case Oversize(head):
                self._count("oversize")
                self._enqueue(head, _OVERSIZE)
            case Fragment(body):
                self._count("truncated")
                if body:
                    self._enqueue(body, _TRUNCATED)

    def _enqueue(self, body: bytes, fault: MessageError | None) -> None:
        site = self._site
        site.meters.received.labels(site.name).inc()
        raw = RawMessage(site.name, site.clock(), MEDIA_TYPE, body)
        arrival = arrive(raw, site.door, fault)
        self._bytes += len(body)
        # Tasks start in the order of their creation, so the intake sees the order of the frames.
        task = self._loop.create_task(self._answer(arrival, perf_counter(), silent=fault is _TRUNCATED))
        self._answers.append(task)
        task.add_done_callback(lambda _: self._flush(len(body)))

    async def _answer(self, arrival: Arrival, begun: float, *, silent: bool) -> bytes:
        """Store one message and return what to send, empty for nothing."""
        site, raw = self._site, arrival.raw
        code = code_of(arrival.mode, arrival.finding)
        send = arrival.answerable and not silent and wanted(arrival.mode, code)
        reply = build(arrival.header, code, arrival.finding, raw.received_at, raw.digest) if send else b""
        try:
            acceptance = await site.intake.accept(raw, key=arrival.key, reply=reply, refusal=arrival.refusal)
        except Exception as error:  # the sender must get an answer, whatever happens in the host
            code = code_of(arrival.mode, None, unavailable=True)
            if not isinstance(error, HawsepipeError):
                self._loop.call_exception_handler(
                    {"message": f"mllp feed {site.name}: the intake failed", "exception": error}
                )
            if not arrival.answerable or silent or not wanted(arrival.mode, code):
                return b""
            site.meters.acknowledged.labels(site.name, code).inc()
            return build(arrival.header, code, _UNAVAILABLE, raw.received_at, raw.digest)
        if acceptance.duplicate:
            site.meters.duplicates.labels(site.name).inc()
        if acceptance.reply:
            site.meters.acknowledged.labels(site.name, code).inc()
            site.meters.acknowledge_seconds.labels(site.name).observe(perf_counter() - begun)
        return acceptance.reply

    def _flush(self, size: int) -> None:
        """Send the answers that are ready, in order."""
        self._bytes -= size
        out = bytearray()
        while self._answers and self._answers[0].done():
            task = self._answers.popleft()
            if not task.cancelled() and task.exception() is None and task.result():
                out += framed(task.result())
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(out))
        if self._ending:
            self._close_when_answered()
        else:
            self._pump()

    def _silent(self) -> None:
        """The sender said nothing inside a frame for too long."""
        self._timer = None
        self._count("idle_timeout")
        self._ending = True
        self._pump(final=True)
        self._pause()
        self._close_when_answered()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _close_when_answered(self) -> None:
        if not self._answers:
            if self._transport is not None:
                self._transport.close()
            self._settle()

    def _settle(self) -> None:
        if not self._answers and self._transport is None and not self.finished.done():
            self.finished.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count(self, event: str, amount: int = 1) -> None:
        self._site.meters.framing.labels(self._site.name, event).inc(amount)


class MllpFeed:
    """An MLLP listener. It listens from `start` on until its context is left."""

    def __init__(self, opening: Opening) -> None:
        settings = filled(FEED_SCHEMA, opening.settings)
        self._opening = opening
        self._host: str = settings["host"]
        self._port: int = settings["port"]
        self._door = _door(settings)
        self._limits = _limits(settings["limits"])
        self._patience: float = settings["limits"]["stop_seconds"]
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    @property
    def address(self) -> str:
        """`mllp://127.0.0.1:2575`; the port is the real one once the feed has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"mllp://{host}:{self._port}"

    async def start(self, intake: Intake) -> None:
        """Bind and listen."""
        opening = self._opening
        site = _Site(opening.name, self._door, self._limits, opening.clock, opening.meters, intake)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(site, self._connections), self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, answer what is on its way (for `limits.stop_seconds` at most), then drop what is left."""
        if self._server is None:
            return
        self._server.close()
        open_now = list(self._connections)
        for connection in open_now:
            connection.close()
        if open_now:
            _, late = await asyncio.wait([connection.finished for connection in open_now], timeout=self._patience)
            if late:
                for connection in open_now:
                    connection.abort()
                await asyncio.wait(late)
        await self._server.wait_closed()


@asynccontextmanager
async def open_mllp(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it and answers what was on its way (at most `limits.stop_seconds`)."""
    feed = MllpFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


def _door(settings: Mapping[str, Any]) -> Door:
    accept = settings["accept"]
    return Door(
        messages=patterns(accept["messages"]),
        versions=frozenset(accept["versions"]),
        processing_ids=frozenset(accept["processing_ids"]),
        charset=settings["charset"],
    )


def _limits(settings: Mapping[str, Any]) -> Limits:
    return Limits(
        frame_bytes=settings["frame_bytes"],
        idle_seconds=settings["idle_seconds"],
        connections=settings["connections"],
        window=settings["window"],
        window_bytes=settings["window_bytes"],
    )


KIND: Kind[Feed] = Kind("mllp", FEED_SCHEMA, open_mllp)
