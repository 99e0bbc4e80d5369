"""A sender's connection: frames out, acknowledgements in."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from hawsepipe_conformance.feeds.cases import Step

_FRAME = re.compile(rb"\x0b([^\x0b\x1c]*)\x1c")


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement: MSA-1, MSA-2, MSA-3, MSA-4, its own MSH-10, the segments as sent."""

    code: str
    control: str
    text: str
    expected: str
    own: str
    segments: tuple[tuple[str, ...], ...]

    @property
    def body(self) -> str:
        """The whole acknowledgement."""
        return "\r".join("|".join(segment) for segment in self.segments)

    def errors(self) -> list[str]:
        """Return the codes of table 0357, from ERR-3 or, before 2.5, from ERR-1."""
        codes = []
        for segment in self.segments:
            if segment[0] == "ERR":
                old = segment[1].split("^")[3].split("&")[0] if len(segment) > 1 and segment[1].count("^") >= 3 else ""
                codes.append(segment[3].split("^")[0] if len(segment) > 3 else old)
        return codes


def framed(body: bytes) -> bytes:
    """Return an MLLP frame."""
    return b"\x0b" + body + b"\x1c\r"


def bodies(data: bytes) -> list[bytes]:
    """Return the whole messages in what was sent."""
    return _FRAME.findall(data)


def control_of(body: bytes) -> str:
    """Return MSH-10, empty when there is none."""
    head = body.removeprefix(b"\xef\xbb\xbf").split(b"\r", 1)[0]
    fields = head.split(head[3:4]) if head[:3] == b"MSH" else []
    return fields[9].decode("latin-1") if len(fields) > 9 else ""


class Line:
    """An open connection; everything that comes in is kept in `received`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.sent = bytearray()
        self.received = bytearray()
        self.closed = asyncio.Event()
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                self.received += data
                self._changed.set()
        except (OSError, ssl.SSLError):
            pass
        self.closed.set()
        self._changed.set()

    async def send(self, data: bytes) -> None:
        """Write bytes. A connection that the peer has closed swallows them."""
        self.sent += data
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            self.closed.set()

    async def play(self, steps: Iterable[Step]) -> None:
        """Go through wire steps."""
        for step in steps:
            size = step.chunk or max(len(step.data), 1)
            for at in range(0, len(step.data), size):
                await self.send(step.data[at : at + size])
                if step.chunk and step.pause:
                    await asyncio.sleep(step.pause)
            if step.pause and not (step.data and step.chunk):
                await asyncio.sleep(step.pause)
            if step.close == "fin":
                self._writer.write_eof()
            elif step.close == "rst":
                self.reset()

    def reset(self) -> None:
        """Cut the connection off without a farewell (RST)."""
        peer = self._writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    @property
    def frames(self) -> list[bytes]:
        """The frames that came in, without their framing."""
        return [part[part.find(b"\x0b") + 1 :] for part in bytes(self.received).split(b"\x1c\r")[:-1]]

    @property
    def acks(self) -> list[Ack]:
        """The acknowledgements that came in, in order."""
        return [_ack(frame) for frame in self.frames if frame[:3] == b"MSH"]

    async def until(self, count: int, seconds: float = 10.0) -> list[Ack]:
        """Return the acknowledgements once there are `count`, or the peer has closed, or time is up."""
        try:
            async with asyncio.timeout(seconds):
                while len(self.frames) < count and not self.closed.is_set():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.acks

    async def hung_up(self, seconds: float) -> bool:
        """Return whether the peer closes within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self.closed.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Close the connection."""
        self._reading.cancel()
        self._writer.close()
        try:
            async with asyncio.timeout(5):
                await self._writer.wait_closed()
        except (OSError, ssl.SSLError, TimeoutError):
            pass


async def connect(host: str, port: int, tls: ssl.SSLContext | None = None) -> Line:
    """Open a connection. Raises OSError."""
    name = "localhost" if tls is not None else None
    return Line(*await asyncio.open_connection(host, port, ssl=tls, server_hostname=name, limit=1 << 20))


def _ack(frame: bytes) -> Ack:
    bar = chr(frame[3])
    segments = tuple(tuple(line.split(bar)) for line in frame.decode("latin-1").split("\r") if line)
    msa: tuple[str, ...] = next((segment for segment in segments if segment[0] == "MSA"), ("MSA",))
    msa += ("",) * 5
    head = segments[0] + ("",) * 10
    return Ack(msa[1], msa[2], msa[3], msa[4], head[9], segments)
