"""MLLP framing as a pure, incremental machine: bytes in, events out. 0x0B data 0x1C 0x0D (MLLP release 1).

Rules beyond the standard: a second 0x0B makes what came before it a fragment; 0x1C followed by 0x0B is an end whose
0x0D is missing; any other use of 0x1C is content that MLLP forbids, so that the frame is given out whole but marked
as damaged. Starts with nothing behind them are junk. Every byte is looked at a bounded number of times, whatever it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

END = 0x1C
_START, _END, _WHOLE_END = b"\x0b", b"\x1c", b"\x1c\x0d"
_STARTS = re.compile(rb"\x0b+")


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
    """Bytes outside a frame, and start bytes with nothing behind them; discarded."""

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
        while True:
            if self._state is _State.OUTSIDE:
                if not self._buffer:
                    return None
                at = self._buffer.find(_START)
                if at != 0:
                    return Junk(self._drop(len(self._buffer) if at < 0 else at))
                self._enter(_State.INSIDE, 1)
            if self._state is _State.INSIDE:
                return self._inside()
            if not self._skipped():
                return None

    def silence(self) -> Event | None:
        """Say that nothing more will come soon: a frame that lacks only its 0x0D is complete, any other is a
        fragment."""
        if self._state is _State.OUTSIDE:
            return None
        body, skipping = bytes(self._buffer), self._state is _State.SKIPPING
        self._leave(len(self._buffer))
        if skipping:
            return None
        if body.endswith(_END):
            return Frame(body[:-1], _END in body[:-1], lenient=True)
        return Fragment(body) if body else Junk(1)

    def _inside(self) -> Event | None:
        buffer = self._buffer
        start, end = self._marks()
        lenient = end < 0 and start > 0 and buffer[start - 1] == END
        if lenient:
            end = start - 1
        stop = end if end >= 0 else start if start >= 0 else len(buffer) - buffer.endswith(_END)
        if stop > self._limit:
            head = bytes(buffer[: self._limit])
            self._enter(_State.SKIPPING, self._limit)
            return Oversize(head)
        if end >= 0:
            with memoryview(buffer) as whole:  # a slice of the buffer would be a copy of its own
                body = bytes(whole[:end])
            self._leave(start if lenient else end + 2)
            return Frame(body, _END in body, lenient)
        if start > 0:
            body = bytes(buffer[:start])
            self._leave(start)
            return Fragment(body)
        if start == 0:
            # A start and nothing behind it: no message was lost. All of a run at once, or a flood of them would cost.
            run = _STARTS.match(buffer)
            return Junk(self._drop(run.end() if run is not None else 1))
        self._scanned = stop
        return None

    def _skipped(self) -> bool:
        """Drop the rest of a frame that is too large; say whether its end was there."""
        start, end = self._marks()
        if end >= 0 or start >= 0:
            self._leave(end + 2 if end >= 0 else start)
            return True
        self._drop(len(self._buffer) - self._buffer.endswith(_END))
        return False

    def _marks(self) -> tuple[int, int]:
        """Return where the next start byte is and where a whole end is before it, -1 for none.

        The end is sought only up to the start, so that no byte is looked at more than twice for one event.
        """
        start = self._buffer.find(_START, self._scanned)
        return start, self._buffer.find(_WHOLE_END, self._scanned, start if start >= 0 else len(self._buffer))

    def _enter(self, state: _State, drop: int) -> None:
        self._drop(drop)
        self._state, self._scanned = state, 0

    def _leave(self, drop: int) -> None:
        self._enter(_State.OUTSIDE, drop)

    def _drop(self, count: int) -> int:
        del self._buffer[:count]
        return count


def framed(body: bytes) -> bytes:
    """Put a message into a frame."""
    return b"\x0b" + body + b"\x1c\x0d"
