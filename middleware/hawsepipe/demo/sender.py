"""A sending system: MLLP over a socket (HL7 Minimal Lower Layer Protocol, release 1)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from types import TracebackType

_START, _END = b"\x0b", b"\x1c\r"


class Sender:
    """One connection. Every message waits for its acknowledgement, as most sending systems do."""

    def __init__(
        self,
        host: str,
        port: int,
        patience: float = 30.0,
        *,
        tls: ssl.SSLContext | None = None,
        name: str | None = None,
    ) -> None:
        """`tls`: speak TLS, to a receiver whose certificate is for `name` (None: for the host)."""
        self._tls = tls
        self._name = (name or host) if tls is not None else None
        self._host = host
        self._port = port
        self._patience = patience

    async def __aenter__(self) -> Sender:
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, ssl=self._tls, server_hostname=self._name
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        # TLS may still find something to say against the connection; what was answered was answered.
        with contextlib.suppress(ssl.SSLError):
            await self._writer.wait_closed()

    async def exchange(self, body: bytes) -> bytes:
        """Send one message and return the acknowledgement.

        Raises EOFError when the receiver hangs up, TimeoutError when it does not answer in time (seconds).
        """
        self._writer.write(_START + body + _END)
        async with asyncio.timeout(self._patience):
            await self._writer.drain()
            reply = await self._reader.readuntil(_END)
        return reply.removesuffix(_END).removeprefix(_START)
