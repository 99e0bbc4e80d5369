"""The destination kind `mllp-sender`: forwards messages over MLLP, one at a time, to a receiver that acknowledges."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from hawsepipe import ConfigError, DeliveryFailed, DeliveryRefused, Destination, Kind, MessageError, Opening, RawMessage
from hawsepipe_hl7v2.encoding import Encoding, encoded
from hawsepipe_hl7v2.framing import Frame, Framer, framed
from hawsepipe_hl7v2.header import Header, read_header
from hawsepipe_hl7v2.settings import SENDER_SCHEMA, filled
from hawsepipe_hl7v2.tls import Identity

_ANSWER_BYTES = 1 << 20
_TAKEN = frozenset({b"AA", b"CA"})
_REFUSED = frozenset({b"AE", b"AR", b"CE", b"CR"})


class MllpSender:
    """A receiver's address, and the connection to it as long as it stands."""

    def __init__(self, opening: Opening) -> None:
        settings = filled(SENDER_SCHEMA, opening.settings)
        self._opening = opening
        self._host: str = settings["host"]
        self._port: int = settings["port"]
        self._timeout: float = settings["timeout_seconds"]
        self._encoding = Encoding(settings["encoding"], settings.get("header", {}), settings["charset"])
        self.identity = _identity(opening, settings)
        self._server_name: str = settings.get("tls", {}).get("server_name", self._host)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._framer = Framer(_ANSWER_BYTES)

    @property
    def address(self) -> str:
        """`mllp://lab.example:2575`."""
        return f"mllp{'s' if self.identity else ''}://{self._host}:{self._port}"

    async def deliver(self, message: RawMessage) -> None:
        """See `hawsepipe.Destination`. Delivered is what the receiver has acknowledged with AA or CA under its control
        id; answers to other messages are passed over.
        """
        try:
            body = encoded(message.body, self._encoding)
            header = read_header(body)
        except MessageError as error:
            raise DeliveryRefused(error.cause, f"the message cannot be written anew: {error.reason}") from error
        try:
            async with asyncio.timeout(self._timeout):
                await self._connected()
                assert self._writer is not None
                self._writer.write(framed(body))
                await self._writer.drain()
                if _silent(header):
                    return
                code = await self._answer(header.field(10))
        except TimeoutError as error:
            # A late answer must not be taken for that of the next message.
            await self.close()
            raise DeliveryFailed("the receiver does not answer in time") from error
        except (OSError, ssl.SSLError) as error:
            await self.close()
            raise DeliveryFailed(f"the receiver cannot be reached ({type(error).__name__})") from error
        if code in _REFUSED:
            raise DeliveryRefused("delivery", f"the receiver answers {code.decode()}", code.decode())

    async def close(self) -> None:
        """Close the connection; the next delivery opens another."""
        writer, self._reader, self._writer = self._writer, None, None
        self._framer = Framer(_ANSWER_BYTES)
        if writer is not None:
            writer.close()
            with suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    async def _connected(self) -> None:
        if self._reader is not None and self._writer is not None and not self._reader.at_eof():
            return
        await self.close()
        context = self.identity.context if self.identity else None
        name = self._server_name if context is not None else None
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, ssl=context, server_hostname=name
        )

    async def _answer(self, control: bytes) -> bytes:
        """Return MSA-1 of the acknowledgement of this message."""
        assert self._reader is not None
        meters, name = self._opening.meters, self._opening.name
        while True:
            while (event := self._framer.next()) is None:
                data = await self._reader.read(1 << 16)
                if not data:
                    raise ConnectionResetError("the receiver has closed the connection")
                self._framer.feed(data)
            if not isinstance(event, Frame):
                continue
            found = acknowledged(event.body)
            if found is not None and found[1] == control and found[0] in _TAKEN | _REFUSED:
                return found[0]
            meters.delivery_strays.labels(name).inc()


def acknowledged(body: bytes) -> tuple[bytes, bytes] | None:
    """Return MSA-1 and MSA-2 of an acknowledgement, None for anything else."""
    try:
        separator = read_header(body).separator
    except MessageError:
        return None
    for line in body.replace(b"\n", b"\r").split(b"\r"):
        if line.startswith(b"MSA" + separator):
            parts = line.split(separator)
            return (parts[1], parts[2]) if len(parts) > 2 else None
    return None


def _silent(header: Header) -> bool:
    """Whether the message asks for no accept acknowledgement at all (enhanced mode, MSH-15 NE)."""
    accept, application = header.field(15), header.field(16)
    return accept == b"NE" or (not accept and bool(application))


def _identity(opening: Opening, settings: Mapping[str, Any]) -> Identity | None:
    if "tls" not in settings:
        return None
    try:
        return Identity(settings["tls"], opening.base, opening.name, server=False)
    except ConfigError as error:
        raise ConfigError(f"tls.{error.key}", error.reason) from error


@asynccontextmanager
async def open_sender(opening: Opening) -> AsyncIterator[Destination]:
    """Open the destination; nothing is connected before there is something to deliver."""
    sender = MllpSender(opening)
    watching = None
    if sender.identity is not None:
        watching = asyncio.create_task(sender.identity.watch(lambda _: None))
    try:
        yield sender
    finally:
        if watching is not None:
            watching.cancel()
        await sender.close()


KIND: Kind[Destination] = Kind("mllp-sender", SENDER_SCHEMA, open_sender)
