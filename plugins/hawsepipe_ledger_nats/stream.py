"""The stream: a subject a channel, a message a checkpoint, appended by the expected sequence of the subject's last one.

https://docs.nats.io/nats-concepts/jetstream/headers (Nats-Expected-Last-Subject-Sequence)
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from hawsepipe import Checkpoint, LedgerUnavailable

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_WRONG_LAST_SEQUENCE = 10071


class Held(NamedTuple):
    """A checkpoint and its sequence in the stream."""

    sequence: int
    checkpoint: Checkpoint


class Overtaken(Exception):
    """Another message has come to the subject first."""


class Stream:
    """One stream. Every method may raise LedgerUnavailable. Connects when it is first asked."""

    def __init__(
        self,
        servers: Sequence[str],
        name: str,
        *,
        replicas: int,
        credentials: Path | None,
        tls: ssl.SSLContext | None,
        timeout: float,
    ) -> None:
        self._servers = list(servers)
        self._name = name
        self._replicas = replicas
        self._credentials = credentials
        self._tls = tls
        self._timeout = timeout
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._settled = False
        self._closed = False

    async def close(self) -> None:
        """Let go of the connection."""
        self._closed = True
        if self._client is not None:
            await self._client.close()

    async def last(self, channel: str) -> Held | None:
        """Return the newest checkpoint of a channel."""
        async with self._context() as context:
            return await self._get(context, channel, None)

    async def next(self, channel: str, sequence: int) -> Held | None:
        """Return the first checkpoint of a channel at or after a sequence of the stream."""
        async with self._context() as context:
            return await self._get(context, channel, max(sequence, 1))

    async def find(self, channel: str, size: int) -> Held | None:
        """Return the smallest checkpoint of a channel with at least this size; sizes grow with the sequence."""
        async with self._context() as context:
            found = await self._get(context, channel, None)
            if found is None or found.checkpoint.size < size:
                return None
            low, high = 1, found.sequence - 1
            while low <= high:
                middle = (low + high) // 2
                held = await self._get(context, channel, middle)
                if held is not None and held.checkpoint.size < size:
                    low = held.sequence + 1
                else:
                    found = held if held is not None else found
                    high = middle - 1
            return found

    async def append(self, new: Checkpoint, after: int) -> None:
        """Append a checkpoint if the channel's last message has this sequence (0 for none). Raises Overtaken."""
        body = {
            "channel": new.channel,
            "size": new.size,
            "root": new.root.hex(),
            "note": base64.b64encode(new.note).decode(),
        }
        async with self._context() as context:
            try:
                await context.publish(
                    self._subject(new.channel),
                    json.dumps(body).encode(),
                    timeout=self._timeout,
                    stream=self._name,
                    headers={_EXPECTED: str(after)},
                )
            except APIError as error:
                if error.err_code == _WRONG_LAST_SEQUENCE:
                    raise Overtaken from error
                raise

    async def check(self) -> None:
        """Return if the stream is there and keeps what it gets."""
        async with self._context() as context:
            _check(await context.stream_info(self._name))

    def _subject(self, channel: str) -> str:
        # A channel's name may hold what a subject may not, and the ledger need not know it in its routing.
        return f"{self._name}.{sha256(channel.encode()).hexdigest()}"

    async def _get(self, context: JetStreamContext, channel: str, sequence: int | None) -> Held | None:
        subject = self._subject(channel)
        try:
            if sequence is None:
                message = await context.get_last_msg(self._name, subject)
            else:
                message = await context.get_msg(self._name, seq=sequence, subject=subject, next=True)
        except NotFoundError:
            return None
        return _held(message, channel)

    @asynccontextmanager
    async def _context(self) -> AsyncIterator[JetStreamContext]:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        try:
            context = (await self._connected()).jetstream(timeout=self._timeout)
            if not self._settled:
                await self._settle(context)
            yield context
        except (NatsError, OSError, TimeoutError) as error:
            raise LedgerUnavailable("the stream cannot be used now") from error

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await self._reached()
            if not self._client.is_connected:
                raise LedgerUnavailable("the way to the servers is broken; it is being mended")
            return self._client

    async def _reached(self) -> Client:
        client = Client()
        try:
            # Without a bound the client would try for ever, as it does (and shall) once it has been connected.
            async with asyncio.timeout(self._timeout):
                await client.connect(
                    self._servers,
                    name="hawsepipe",
                    connect_timeout=max(1, int(self._timeout)),
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    error_cb=_quiet,
                    tls=self._tls,
                    user_credentials=str(self._credentials) if self._credentials is not None else None,
                )
        except BaseException:
            await client.close()
            raise
        return client

    async def _settle(self, context: JetStreamContext) -> None:
        try:
            info = await context.stream_info(self._name)
        except NotFoundError:
            info = await context.add_stream(
                StreamConfig(
                    name=self._name,
                    description="Signed checkpoints; nothing is ever deleted.",
                    subjects=[f"{self._name}.*"],
                    retention=RetentionPolicy.LIMITS,
                    storage=StorageType.FILE,
                    num_replicas=self._replicas,
                    deny_delete=True,
                    deny_purge=True,
                )
            )
        _check(info)
        self._settled = True


async def _quiet(error: Exception) -> None:
    """Say nothing: whoever asks the ledger gets the error, and the host counts and logs it."""


def _check(info: StreamInfo) -> None:
    """See that the stream keeps what it gets. Raises LedgerUnavailable."""
    config = info.config
    bounds = (config.max_age, config.max_msgs, config.max_bytes, config.max_msgs_per_subject)
    if any(bound is not None and bound > 0 for bound in bounds) or config.storage == StorageType.MEMORY:
        raise LedgerUnavailable("the stream has limits or lives in memory: it would forget checkpoints")
    if not (config.deny_delete and config.deny_purge):
        raise LedgerUnavailable("the stream allows deletion: it must be made with deny_delete and deny_purge")


def _held(message: RawStreamMsg, channel: str) -> Held:
    try:
        body = json.loads(message.data or b"")
        held = Checkpoint(
            body["channel"],
            int(body["size"]),
            bytes.fromhex(body["root"]),
            base64.b64decode(body["note"], validate=True),
        )
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise LedgerUnavailable("the stream holds a message that is no checkpoint") from error
    if held.channel != channel or message.seq is None:
        raise LedgerUnavailable("the stream holds a message of another channel")
    return Held(message.seq, held)
