"""The feed kind `mllp`: a listener for MLLP release 1. What happens on a connection is in `connection`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from hawsepipe import Asked, ConfigError, Feed, Intake, Kind, Opening, RawMessage, SetAside
from hawsepipe_hl7v2.asking import ask
from hawsepipe_hl7v2.connection import MEDIA_TYPE, Connection, Limits, Site
from hawsepipe_hl7v2.door import door_of
from hawsepipe_hl7v2.memory import Memory
from hawsepipe_hl7v2.reception import Reception, Rules
from hawsepipe_hl7v2.sequences import Sequences
from hawsepipe_hl7v2.settings import FEED_SCHEMA, filled
from hawsepipe_hl7v2.tls import Identity, Listener, bound, certificate_of, peer_of

_log = structlog.get_logger("hawsepipe.feed")

__all__ = ["KIND", "MEDIA_TYPE", "MllpFeed", "open_mllp"]


class MllpFeed:
    """An MLLP listener. It listens from `start` on until its context is left."""

    def __init__(self, opening: Opening) -> None:
        settings = filled(FEED_SCHEMA, opening.settings)
        self._opening = opening
        self._host: str = settings["host"]
        self._port: int = settings["port"]
        self._rules = _rules(settings, opening.directory)
        self._release: int = settings["release"]
        self._late: bool = settings["late_acknowledgements"]
        self._limits = _limits(settings["limits"])
        feed_bytes: int = settings["limits"]["feed_bytes"]
        self._memory = Memory(feed_bytes, feed_bytes // self._limits.connections)
        self._patience: float = settings["limits"]["stop_seconds"]
        self._identity = _identity(settings, opening)
        self._listener: Listener | None = None
        self._watching: asyncio.Task[None] | None = None
        self._told: dict[str, float] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    @property
    def address(self) -> str:
        """`mllp://127.0.0.1:2575`, with TLS `mllps`; the port is the real one once the feed has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"mllp{'s' if self._identity else ''}://{host}:{self._port}"

    async def start(self, intake: Intake) -> None:
        """Bind and listen."""
        opening = self._opening
        reception = Reception(opening.name, self._rules, opening.clock, opening.meters, intake)
        site = Site(
            opening.name,
            reception,
            self._limits,
            self._memory,
            opening.clock,
            opening.meters,
            self._release,
            self._late,
            self._sent_away,
        )
        if self._identity is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Connection(site, self._connections), self._host, self._port)
            self._port = self._server.sockets[0].getsockname()[1]
            return
        bind = partial(_bound, self._identity)
        self._listener = Listener(
            self._identity, lambda: Connection(site, self._connections, bind), self._refused, self._room
        )
        self._port = await self._listener.start(self._host, self._port)
        self._watching = asyncio.get_running_loop().create_task(self._identity.watch(self._reloaded))

    def ask(self, message: RawMessage, letter: SetAside) -> Asked:
        """See `hawsepipe.Asking`."""
        bound = self._identity is not None and self._identity.clients is not None
        return ask(message, letter, self._rules.door, strict=self._rules.strict, bound=bound)

    def _room(self, handshakes: int) -> bool:
        return handshakes + len(self._connections) < self._limits.connections

    def _refused(self, reason: str, peer: str) -> None:
        """Count a handshake that came to nothing; of many in a second one is logged."""
        self._opening.meters.framing.labels(self._opening.name, reason).inc()
        self._tell("peer speaks plain" if reason == "plain_on_tls_port" else "a TLS handshake failed", reason, peer)

    def _sent_away(self, text: str, transport: asyncio.BaseTransport) -> None:
        self._tell(text, "", peer_of(transport))

    def _tell(self, text: str, reason: str, peer: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._told.get(text, now - 1) + 1:
            self._told[text] = now
            _log.warning(text, feed=self._opening.name, reason=reason, address=peer)

    def _reloaded(self, good: bool) -> None:
        event = "tls_reload" if good else "tls_reload_failed"
        self._opening.meters.framing.labels(self._opening.name, event).inc()

    async def stop(self) -> None:
        """Stop listening, answer what is on its way (for `limits.stop_seconds` at most), then drop what is left."""
        if self._server is not None:
            self._server.close()
        if self._listener is not None:
            self._listener.close()
        if self._watching is not None:
            self._watching.cancel()
        open_now = list(self._connections)
        for connection in open_now:
            connection.close()
        if open_now:
            _, late = await asyncio.wait([connection.finished for connection in open_now], timeout=self._patience)
            if late:
                for connection in open_now:
                    connection.abort()
                await asyncio.wait(late)
        if self._server is not None:
            await self._server.wait_closed()


@asynccontextmanager
async def open_mllp(opening: Opening) -> AsyncIterator[Feed]:
    """Open the feed; leaving stops it and answers what was on its way (at most `limits.stop_seconds`)."""
    feed = MllpFeed(opening)
    try:
        yield feed
    finally:
        await feed.stop()


def _bound(identity: Identity, transport: asyncio.BaseTransport) -> frozenset[str] | None:
    """Return the senders that the peer's certificate stands for."""
    return bound(identity.clients, certificate_of(transport))


def _identity(settings: Mapping[str, Any], opening: Opening) -> Identity | None:
    if "tls" not in settings:
        return None
    try:
        return Identity(settings["tls"], opening.base, opening.name)
    except ConfigError as error:
        raise ConfigError(f"tls.{error.key}", error.reason) from error


def _rules(settings: Mapping[str, Any], directory: Path) -> Rules:
    sequences = None
    if settings["sequence_numbers"]:
        try:
            sequences = Sequences(directory)
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise ConfigError("sequence_numbers", f"the numbers kept in {directory} cannot be read") from error
    return Rules(door_of(settings), strict=settings["duplicates"] == "strict", sequences=sequences)


def _limits(settings: Mapping[str, Any]) -> Limits:
    told = {name: value for name, value in settings.items() if name not in ("feed_bytes", "stop_seconds")}
    return Limits(**told)


KIND: Kind[Feed] = Kind("mllp", FEED_SCHEMA, open_mllp)
