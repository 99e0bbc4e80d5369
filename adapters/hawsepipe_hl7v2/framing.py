"""MLLP framing as a pure, incremental machine: bytes in, events out. 0x0B data 0x1C 0x0D (MLLP release 1).

Rules beyond the standard: a second 0x0B makes what came before it a fragment; 0x1C followed by 0x0B is an end whose
0x0D is missing; any other use of 0x1C is content that MLLP forbids, so that the frame is given out whole but marked
as damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

START, END, RETURN = 0x0B, 0x1C, 0x0D
_START, _END = b"\x0b", b"\x1c"


@dataclass(frozen=True, slots=True)
class Frame:
    """A complete frame. `damaged`: there was a 0x1C inside. `lenient`: the 0x0D after the end was missing."""

    body: bytes
    damaged: bool = False
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Fragment:
    """What was in a frame that never ended: the sender began anew, went silent or left."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Oversize:
    """A frame above the limit. `head` are its first bytes; the rest is discarded, in step with the frames."""

    head: bytes


@dataclass(frozen=True, slots=True)
class Junk:
    """Bytes outside a frame, discarded."""

    count: int


Event = Frame | Fragment | Oversize | Junk


class _State(Enum):
    OUTSIDE = auto()
    INSIDE = auto()
    SKIPPING = auto()


class Framer:
    """`feed` gives it bytes, `next` takes one event or None; what `next` gives does not depend on how the
    bytes were cut."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._state = _State.OUTSIDE
        self._scanned = 0
        self._damaged = False

    @property
    def pending(self) -> int:
        """How many bytes wait inside."""
        return len(self._buffer)

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._state is not _State.OUTSIDE

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self._buffer += data

    def next(self) -> Event | None:
        """Return the next event, None when more bytes are needed."""
        if self._state is _State.OUTSIDE:
            if not self._buffer:
                return None
            at = self._buffer.find(_START)
            if at != 0:
                return Junk(self._drop(len(self._buffer) if at < 0 else at))
            self._enter(_State.INSIDE, 1)
        return self._inside() if self._state is _State.INSIDE else self._skip()

    def silence(self) -> Event | None:
        """Say that nothing more will come soon: a frame that lacks only its 0x0D is complete, any other is a
        fragment."""
        if self._state is _State.OUTSIDE:
            return None
        body, damaged, skipping = bytes(self._buffer), self._damaged, self._state is _State.SKIPPING
        self._leave(len(self._buffer))
        if skipping:
            return None
        if body.endswith(_END):
            return Frame(body[:-1], damaged, lenient=True)
        return Fragment(body)

    def _inside(self) -> Event | None:
        buffer = self._buffer
        while True:
            end = buffer.find(_END, self._scanned)
            start = buffer.find(_START, self._scanned, end if end >= 0 else len(buffer))
            stop = start if start >= 0 else end if end >= 0 else len(buffer)
            if stop > self._limit:
                head = bytes(buffer[: self._limit])
                self._enter(_State.SKIPPING, self._limit)
                return Oversize(head)
            if start >= 0:
                body = bytes(buffer[:start])
                self._leave(start)
                return Fragment(body)
            if end < 0 or end + 1 == len(buffer):
                self._scanned = len(buffer) if end < 0 else end
                return None
            if buffer[end + 1] in (RETURN, START):
                lenient = buffer[end + 1] == START
                event = Frame(bytes(buffer[:end]), self._damaged, lenient)
                self._leave(end + (1 if lenient else 2))
                return event
            self._damaged = True
            self._scanned = end + 1

    def _skip(self) -> Event | None:
        buffer = self._buffer
        while True:
            end = buffer.find(_END, self._scanned)
            start = buffer.find(_START, self._scanned, end if end >= 0 else len(buffer))
            if start >= 0:
                self._leave(start)
                return self.next()
            if end < 0 or end + 1 == len(buffer):
                self._drop(len(buffer) if end < 0 else end)
                self._scanned = 0
                return None
            if buffer[end + 1] in (RETURN, START):
                self._leave(end + (2 if buffer[end + 1] == RETURN else 1))
                return self.next()
            self._scanned = end + 1

    def _enter(self, state: _State, drop: int) -> None:
        self._drop(drop)
        self._state, self._scanned, self._damaged = state, 0, False

    def _leave(self, drop: int) -> None:
        self._enter(_State.OUTSIDE, drop)

    def _drop(self, count: int) -> int:
        del self._buffer[:count]
        return count


def framed(body: bytes) -> bytes:
    """Put a message into a frame."""
    return b"\x0b" + body + b"\x1c\x0d"
