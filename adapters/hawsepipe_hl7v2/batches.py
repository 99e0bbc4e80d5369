"""Files of HL7 v2 messages, taken apart as they stream by (HL7 v2 chapter 2, "Batch protocol").

`[FHS]{[BHS]{MSH …}[BTS]}[FTS]`, bare messages one after another, and messages in MLLP frames. A message is handed on as
its bytes, from MSH to the last byte before the next one, without the line end after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_END = re.compile(rb"\r\n|\r|\n")
_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}")
_FRAME = b"\x0b\x1c"
_FRAMES = re.compile(rb"(?=\x0bMSH)|(?<=\x1c)")
"""Where a line with MLLP frames in it comes apart."""
_WIDE = re.compile(rb"M\0S\0H\0?")
"""MSH in UTF-16, of either byte order."""

_BOM = b"\xef\xbb\xbf"
_ENVELOPE = frozenset({b"FHS", b"BHS", b"BTS", b"FTS"})


_UNFINISHED = "the MLLP frame has no end: the message was cut short, and is not read"


@dataclass(frozen=True, slots=True)
class Part:
    """A message: the offset of its first byte in the file, and its bytes; `truncated` when it was too long."""

    offset: int
    body: bytes
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with the file at an offset; `location` is a segment or field of the envelope, or empty.

    `lost`: a message is missing because of it, or may be.
    """

    offset: int
    location: str
    text: str
    cause: str = "structure"
    lost: bool = False


class Splitter:
    """Takes chunks of a file with `feed` and `finish`; holds one message and one line at a time.

    `limit` is the most bytes of a message. Counts in BTS-1 and FTS-1 that do not fit are told. A message whose MLLP
    frame has no end is none: what its last value was to be is not known.
    """

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._at = 0
        self._scanned = 0
        self._message: bytearray | None = None
        self._start = 0
        self._cut = False
        self._messages = self._batches = 0
        self._in_batch = False
        self._stray = False
        self._framed = False

    def feed(self, chunk: bytes) -> Iterator[Part | Trouble]:
        """Yield what the chunk completes."""
        self._rest += chunk
        begin = 0
        for match in _END.finditer(self._rest, self._scanned):
            if match.end() == len(self._rest) and match[0] == b"\r":
                break  # its line feed may be in the next chunk
            yield from self._line(bytes(self._rest[begin : match.start()]), self._at + begin, match[0])
            begin = match.end()
        del self._rest[:begin]
        self._at += begin
        # A line without an end is looked through once, not again with every chunk.
        self._scanned = max(0, len(self._rest) - 1)
        if len(self._rest) > 2 * self._limit:
            # No line of a message is that long: what is beyond the limit would be cut off anyway.
            yield from self._line(bytes(self._rest), self._at, b"")
            self._at += len(self._rest)
            self._rest.clear()
            self._scanned = 0

    def finish(self) -> Iterator[Part | Trouble]:
        """Yield what is left at the end of the file."""
        rest = bytes(self._rest)
        if rest.endswith(b"\r"):
            yield from self._line(rest[:-1], self._at, b"\r")
        elif rest:
            yield from self._line(rest, self._at, b"")
        yield from self._close()

    def _line(self, line: bytes, offset: int, end: bytes) -> Iterator[Part | Trouble]:
        if not self._framed and b"\x0b" not in line:
            yield from self._plain(line, offset, end)
            return
        pieces = _FRAMES.split(line)
        for number, piece in enumerate(pieces, 1):
            last = number == len(pieces)
            if piece or len(pieces) == 1:
                yield from self._plain(piece, offset, end if last else b"")
            offset += len(piece)

    def _plain(self, line: bytes, offset: int, end: bytes) -> Iterator[Part | Trouble]:
        """Take a line, or what of it belongs to one frame."""
        bare = line.lstrip(_FRAME + b" \t")
        if offset == 0 and bare.startswith(_BOM):
            bare = bare[len(_BOM) :]
        name = bare[:3]
        if name == b"MSH" and len(bare) > 3 and not bare[3:4].isalnum():
            yield from self._close()
            self._message = bytearray()
            self._start = offset + len(line) - len(bare)
            self._messages += 1
            self._framed = b"\x0b" in line[: len(line) - len(bare)]
            yield from self._add(bare, end)
        elif name in _ENVELOPE and (len(bare) == 3 or not bare[3:4].isalnum()):
            yield from self._close()
            yield from self._envelope(name, bare, offset)
        elif self._message is not None:
            if line.startswith(b"\x1c"):
                # The end of an MLLP frame; what is behind it belongs to no message until the next MSH.
                self._framed = False
                yield from self._close()
            else:
                yield from self._add(line, end)
        elif bare.strip() and not self._stray:
            self._stray = True
            if _WIDE.search(line):
                yield Trouble(offset, "", "UTF-16 is not allowed in a v2 message", "parse", lost=True)
            else:
                yield Trouble(offset, "", "what comes before the first message belongs to none")

    def _add(self, line: bytes, end: bytes) -> Iterator[Part | Trouble]:
        message = self._message
        assert message is not None, "a line is added to a message"
        frame = line.find(b"\x1c")
        text = line if frame < 0 else line[:frame]
        room = self._limit - len(message)
        self._cut = self._cut or len(text) > room
        message += text[: max(room, 0)]
        if frame < 0 and room > len(text):
            message += end
        if frame >= 0 and self._framed:
            self._framed = False
            yield from self._close()

    def _close(self) -> Iterator[Part | Trouble]:
        if self._message is not None:
            body = bytes(self._message.rstrip(b"\r\n"))
            self._message = None
            self._stray = False
            if self._framed:
                self._framed = False
                yield Trouble(self._start, "", _UNFINISHED, "parse", lost=True)
            else:
                yield Part(self._start, body, self._cut)
            self._cut = False

    def _envelope(self, name: bytes, line: bytes, offset: int) -> Iterator[Trouble]:
        if name == b"BHS":
            self._in_batch, self._messages = True, 0
            self._batches += 1
        elif name == b"BTS":
            yield from _counted(line, self._messages, offset, "BTS", "messages in the batch")
            self._in_batch, self._messages = False, 0
        elif name == b"FTS":
            batches = self._batches or (1 if self._messages else 0)
            yield from _counted(line, batches, offset, "FTS", "batches in the file")


def _counted(line: bytes, count: int, offset: int, name: str, what: str) -> Iterator[Trouble]:
    told = line[4:].split(line[3:4])[0].strip() if len(line) > 3 else b""
    if told and (not told.isdigit() or len(told) > 9 or int(told) != count):
        yield Trouble(offset, f"{name}-1", f"{name}-1 does not tell the number of {what}: there are {count}", lost=True)


def split(chunks: Iterable[bytes], limit: int = 16 * 1024 * 1024) -> Iterator[Part | Trouble]:
    """Yield the messages of a file, given in chunks, and what is wrong with it."""
    splitter = Splitter(limit)
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.finish()
