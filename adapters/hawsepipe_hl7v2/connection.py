"""One connection of an MLLP feed: an asyncio Protocol.

Messages go to the intake in the order of their frames and are answered in that order; reading goes on while the
intake works, up to a window of messages and bytes, and stops beyond it, so that TCP holds the sender back.

Whatever fails on the way, the bytes of a message reach the intake, and the sender is answered or cut off.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import cast

import structlog

from hawsepipe import MessageError, Meters, RawMessage
from hawsepipe_hl7v2.faults import DAMAGED, OVERSIZE, TRUNCATED
from hawsepipe_hl7v2.framing import Event, Fragment, Frame, Framer, Junk, Oversize, framed
from hawsepipe_hl7v2.memory import Memory
from hawsepipe_hl7v2.reception import Answer, Awaited, Reception

MEDIA_TYPE = "application/hl7-v2"
_TLS_HELLO = b"\x16\x03"
_OWN = 256
_MENDING = 256
"""Messages of a connection whose late acknowledgement may be waited for."""
_HEAD = 1024
"""Bytes in which an acknowledgement has said what it is about."""
_STRIDE = 64
"""Events of the framing after which other connections have their turn."""
_COMMIT, _FAILURE = b"\x06", b"\x15"
"""What MLLP release 2 says of a frame: stored, or not."""
_ACKNOWLEDGES = re.compile(rb"^MSH(.)(?:[^\r]*\1ACK[^\r]*)\r(?:[^\r]+\r)*?MSA\1C[AER]\1")
_log = structlog.get_logger("hawsepipe.feed")


Bind = Callable[[asyncio.BaseTransport], frozenset[str] | None]


def _unbound(_transport: asyncio.BaseTransport) -> frozenset[str] | None:
    return None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of connections; what each is for is said in the schema of the settings."""

    frame_bytes: int
    idle_seconds: float
    frame_seconds: float
    quiet_seconds: float
    fragments: int
    connections: int
    window: int
    window_bytes: int


@dataclass(frozen=True, slots=True)
class Site:
    """What every connection of one feed shares."""

    name: str
    reception: Reception
    limits: Limits
    memory: Memory
    clock: Callable[[], datetime]
    meters: Meters
    release: int = 1
    late: bool = True
    told: Callable[[str, asyncio.BaseTransport], None] = lambda _text, _transport: None
    """Tells the operator of a peer that was sent away; of many in a second, of one."""


class Connection(asyncio.Protocol):
    """A sender's connection. `finished` is done when it is closed and everything that came is stored."""

    def __init__(self, site: Site, others: set[Connection], bind: Bind = _unbound) -> None:
        """`bind` says for which senders the peer's certificate stands, None for all."""
        self._site = site
        self._bind = bind
        self._bound: frozenset[str] | None = frozenset()
        self._others = others
        self._framer = Framer(site.limits.frame_bytes)
        self._answers: deque[asyncio.Task[Answer]] = deque()
        self._later: set[asyncio.Task[None]] = set()
        # Nothing waits for these: an operator may never come.
        self._mending: set[asyncio.Task[None]] = set()
        # Control ids of our own messages that the peer may acknowledge in its turn.
        self._own: deque[bytes] = deque(maxlen=_OWN)
        self._bytes = self._fragments = 0
        self._transport: asyncio.Transport | None = None
        self._paused = self._full = self._started = self._waking = False
        # No more bytes will come; everything that came was taken from the framer.
        self._ending = self._drained = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # When bytes came; when a message was done; when the unfinished frame began.
        self._heard = self._useful = self._loop.time()
        self._begun: float | None = None
        self.finished = self._loop.create_future()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._others) >= self._site.limits.connections:
            self._count("refused_connection")
            self._site.told("too many connections", self._transport)
            self._transport.abort()
            return
        self._bound = self._bind(transport)
        self._others.add(self)
        self._site.meters.connections.labels(self._site.name).inc()
        self._tend()

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._others:
            self._others.discard(self)
            self._site.meters.connections.labels(self._site.name).dec()
        self._transport = None
        self._full = False
        for task in self._mending:
            task.cancel()
        self._end()

    def data_received(self, data: bytes) -> None:
        if self._ending or self._transport is None:
            return
        if not self._started:
            self._started = True
            if data.startswith(_TLS_HELLO):
                self._count("tls_on_plain_port")
                self._site.told("peer speaks TLS", self._transport)
                self._transport.abort()
                return
        self._heard = self._loop.time()
        self._framer.feed(data)
        self._pump()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()

    def eof_received(self) -> bool:
        # The sender may close its half and still wait for acknowledgements; with TLS there are no halves.
        halves = self._transport is not None and self._transport.get_extra_info("ssl_object") is None
        self._end()
        return halves

    # the feed

    def close(self) -> None:
        """Read no more, answer what is on its way, then close."""
        self._end()

    def abort(self) -> None:
        """Drop the connection and what waits for an answer."""
        self._ending = self._drained = True
        for task in (*self._answers, *self._later):
            task.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._settle()

    def wake(self) -> None:
        """Go on soon, when the others have had their turn."""
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._again)

    def _again(self) -> None:
        self._waking = False
        self._pump()

    def _end(self) -> None:
        if not self._ending:
            self._ending = True
            self._heard = self._loop.time()
        self._pump()

    def _held_up(self) -> bool:
        """Whether the intake or a sender that does not read its answers is behind."""
        limits = self._site.limits
        waiting = len(self._answers) + len(self._later)
        return self._full or waiting >= limits.window or self._bytes >= limits.window_bytes

    def _idle(self) -> bool:
        """Whether everything that came is taken and answered."""
        return self._drained and not self._answers and not self._later

    def _pump(self) -> None:
        """Take events from the framer while the window is open, and read on or not."""
        left = _STRIDE
        while not self._drained and not self._held_up():
            if not left:
                self.wake()
                break
            left -= 1
            event = self._framer.next()
            if event is None and self._ending:
                event = self._framer.silence()
                self._drained = event is None
            if event is None:
                break
            self._take(event)
        if not self._framer.inside:
            self._begun = None
        elif self._begun is None:
            self._begun = self._loop.time()
        site = self._site
        site.memory.hold(self, 0 if self._idle() else self._framer.pending + self._bytes)
        transport = self._transport
        if transport is not None and not transport.is_closing():
            wait = self._ending or self._waking or self._held_up() or not site.memory.may_read(self)
            if wait != self._paused:
                self._paused = wait
                if wait:
                    transport.pause_reading()
                else:
                    self._heard = self._loop.time()
                    transport.resume_reading()
            self._tend()
        self._settle()

    def _take(self, event: Event) -> None:
        match event:
            case Junk(count):
                self._count("junk_bytes", count)
                return
            case Frame(body, damaged, lenient):
                self._fragments = 0
                if self._about_ours(body):
                    return
                if lenient:
                    self._count("missing_return")
                if damaged:
                    self._count("damaged")
                self._enqueue(body, DAMAGED if damaged else None)
            case Oversize(head):
                self._count("oversize")
                self._enqueue(head, OVERSIZE)
            case Fragment(body):
                self._count("truncated")
                self._fragments += 1
                self._enqueue(body, TRUNCATED)
                if self._fragments >= self._site.limits.fragments:
                    # Nobody who means well goes on like this, and each one is a dead letter.
                    self._count("too_many_truncated")
                    self._ending = self._drained = True
        self._begun = None
        self._useful = self._loop.time()

    def _about_ours(self, body: bytes) -> bool:
        """Whether a frame only tells that the peer has something of ours: a commit, or an acknowledgement."""
        if self._site.release == 2 and body in (_COMMIT, _FAILURE):
            self._count("peer_commit" if body == _COMMIT else "peer_failure")
            return True
        head = body[:_HEAD]
        if self._own and any(control in head for control in self._own) and _ACKNOWLEDGES.match(head):
            self._count("peer_acknowledgement")
            return True
        return False

    def _enqueue(self, body: bytes, fault: MessageError | None) -> None:
        site = self._site
        site.meters.received.labels(site.name).inc()
        raw = RawMessage(site.name, site.clock(), MEDIA_TYPE, body)
        self._bytes += len(body)
        # Tasks start in the order of their creation, so the intake sees the order of the frames.
        task = self._loop.create_task(self._answer(raw, fault, perf_counter()))
        self._answers.append(task)
        task.add_done_callback(lambda _: self._flush(len(body)))

    async def _answer(self, raw: RawMessage, fault: MessageError | None, begun: float) -> Answer:
        """Store one message and say what to send."""
        site = self._site
        answer = await site.reception.take(raw, fault, silent=fault is TRUNCATED, bound=self._bound)
        if answer.reply:
            site.meters.acknowledge_seconds.labels(site.name).observe(perf_counter() - begun)
        return answer

    async def _finish(self, awaited: Awaited) -> None:
        """Send the application acknowledgement of a message once its effect is known."""
        reply, applied = await self._site.reception.final(awaited)
        self._tell(reply)
        if not applied and self._site.late and self._transport is not None and len(self._mending) < _MENDING:
            task = self._loop.create_task(self._mended(awaited))
            self._mending.add(task)
            task.add_done_callback(self._mending.discard)

    async def _mended(self, awaited: Awaited) -> None:
        """Send another one when an operator has had the message applied after all, if the connection still stands."""
        self._tell(await self._site.reception.mended(awaited))

    def _tell(self, reply: bytes) -> None:
        if reply and self._transport is not None and not self._transport.is_closing():
            self._own.append(_own_control(reply))
            self._transport.write(framed(reply))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._later.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an application acknowledgement failed", feed=self._site.name, error=type(error).__name__)
        self._useful = self._loop.time()
        self._pump()

    def _flush(self, size: int) -> None:
        """Send the answers that are ready, in order."""
        self._bytes -= size
        out = bytearray()
        close = False
        while self._answers and self._answers[0].done() and not close:
            task = self._answers.popleft()
            if task.cancelled():
                continue
            error = task.exception()
            if isinstance(error, Exception):
                _log.error("a message was not answered", feed=self._site.name, error=type(error).__name__)
            answer = Answer(None, stored=None) if error is not None else task.result()
            if self._site.release == 2 and answer.stored is not None:
                out += framed(_COMMIT if answer.stored else _FAILURE)
                if not answer.stored:
                    continue
            if answer.reply:
                out += framed(answer.reply)
            if answer.awaited is not None:
                later = self._loop.create_task(self._finish(answer.awaited))
                self._later.add(later)
                later.add_done_callback(self._finished)
            close = answer.reply is None
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(out))
        self._useful = self._loop.time()
        if close:
            # Without its answer the sender would take the next one for it.
            self._ending = self._drained = True
            if self._transport is not None:
                self._transport.close()
        self._pump()

    # time

    def _tend(self) -> None:
        """See that the timer goes off at the next moment that counts, or earlier."""
        due = self._due()
        if self._timer is None or self._timer.when() > due:
            self._stop_timer()
            self._timer = self._loop.call_at(due, self._late)

    def _due(self) -> float:
        limits = self._site.limits
        if self._ending:
            return self._heard + limits.idle_seconds
        if self._begun is None:
            return self._useful + limits.quiet_seconds
        whole = self._begun + limits.frame_seconds
        return whole if self._paused else min(whole, self._heard + limits.idle_seconds)

    def _late(self) -> None:
        """A limit may have been reached: cut off who is silent or too slow. Waiting for the intake does not count."""
        self._timer = None
        now = self._loop.time()
        if self._transport is None:
            return
        if self._answers or self._later:
            self._timer = self._loop.call_at(now + self._site.limits.idle_seconds, self._late)
        elif now < self._due():
            self._tend()
        elif self._ending:
            self._count("unread_answers")
            self.abort()
        else:
            silent = self._begun is not None and now >= self._heard + self._site.limits.idle_seconds
            self._count("quiet" if self._begun is None else "idle_timeout" if silent else "frame_timeout")
            self._end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self) -> None:
        """Close when everything is taken and answered."""
        if not self._idle():
            return
        self._site.memory.hold(self, 0)
        if self._transport is not None:
            self._transport.close()
            return
        self._stop_timer()
        if not self.finished.done():
            self.finished.set_result(None)

    def _count(self, event: str, amount: int = 1) -> None:
        self._site.meters.framing.labels(self._site.name, event).inc(amount)


def _own_control(reply: bytes) -> bytes:
    """Return MSH-10 of an acknowledgement of ours."""
    return reply.split(b"\r", 1)[0].split(reply[3:4])[9]
