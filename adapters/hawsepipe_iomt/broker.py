"""The connection to the broker: a persistent session whose messages are acknowledged when somebody says so.

paho's network thread hands messages to the event loop; an acknowledgement for a connection that is gone is dropped,
since the broker delivers again what it has no acknowledgement of, and may have given the number to another message.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from hawsepipe import Clock, ConfigError
from hawsepipe_iomt.door import Arrived

_log = structlog.get_logger("hawsepipe.feed")
_FIRST, _MOST = 1, 60
_FAILURE = 128


class Delivery(NamedTuple):
    """A message with what acknowledges it."""

    arrived: Arrived
    connection: int
    number: int
    quality: int


class Broker:
    """One client. `take` gives what has come; `acknowledge` says that it may be forgotten there."""

    def __init__(
        self, name: str, settings: Mapping[str, Any], base: Path, topics: Sequence[str], clock: Clock,
        event: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Read passwords and certificates. Raises ConfigError."""
        self._name = name
        self._settings = settings
        self._topics = topics
        self._clock = clock
        self._event = event
        self._five: bool = settings["version"] == "5"
        self._most: int = settings["window"]
        self._came: deque[Delivery] = deque()
        self._room = threading.Condition()
        self._connection = 0
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._something = asyncio.Event()
        self._client = self._made(base)

    @property
    def address(self) -> str:
        """`mqtt://host:port`."""
        scheme = "mqtts" if "tls" in self._settings else "mqtt"
        return f"{scheme}://{self._settings['host']}:{self._settings['port']}"

    def _made(self, base: Path) -> paho.Client:
        client_id = self._settings.get("client_id", f"hawsepipe-{self._name}")
        version = paho.MQTTv5 if self._five else paho.MQTTv311
        # MQTT 5 says at each connection whether the session is to go on, 3.1.1 once for all.
        kept: dict[str, Any] = {} if self._five else {"clean_session": False}
        made = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, manual_ack=True, **kept)
        if "user" in self._settings:
            made.username_pw_set(self._settings["user"], _secret(self._settings.get("password"), base))
        if "tls" in self._settings:
            made.tls_set_context(_context(self._settings["tls"], base))
        made.reconnect_delay_set(_FIRST, _MOST)
        made.on_connect = self._connected
        made.on_disconnect = self._disconnected
        made.on_message = self._message
        made.on_subscribe = self._subscribed
        return made

    def start(self) -> None:
        """Connect, now or as soon as the broker can be reached, and again whenever the connection is lost."""
        self._loop = asyncio.get_running_loop()
        more: dict[str, Any] = {}
        if self._five:
            properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
            properties.SessionExpiryInterval = self._settings["session_seconds"]
            properties.ReceiveMaximum = self._most
            more = {"clean_start": False, "properties": properties}
        self._client.connect_async(
            self._settings["host"], self._settings["port"], self._settings["keepalive_seconds"], **more
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the session stays at the broker. Blocks until the network thread is over."""
        with self._room:
            self._stopped = True
            self._room.notify_all()
        self._client.disconnect()
        self._client.loop_stop()

    async def take(self, most: int) -> list[Delivery]:
        """Return what has come, in order, so many at most; wait until there is something."""
        while True:
            with self._room:
                taken = [self._came.popleft() for _ in range(min(most, len(self._came)))]
                if taken:
                    self._room.notify_all()
                    return taken
                self._something.clear()
            await self._something.wait()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Let the broker forget messages, in their order."""
        for one in deliveries:
            if one.quality and one.connection == self._connection:
                self._client.ack(one.number, one.quality)

    # what follows runs in paho's thread

    def _connected(self, client: paho.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._event("connect_refused")
            _log.error("the broker refuses us", feed=self._name, reason=str(reason))
            return
        self._connection += 1
        _log.info("connected to the broker", feed=self._name, session=bool(flags.session_present))
        if not flags.session_present and self._connection > 1:
            # What came while we were away may be gone.
            self._event("session_lost")
        if self._five:
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
            client.subscribe([(topic, options) for topic in self._topics])
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _subscribed(self, _client: paho.Client, _data: Any, _number: int, reasons: Any, _properties: Any) -> None:
        self._event("subscribed")
        refused = [topic for topic, reason in zip(self._topics, reasons, strict=False) if reason.value >= _FAILURE]
        if refused:
            self._event("subscribe_refused")
            _log.error("the broker refuses subscriptions", feed=self._name, topics=refused)

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._stopped:
            self._event("disconnected")
            _log.warning("the connection to the broker is lost", feed=self._name, reason=str(reason))

    def _message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        arrived = Arrived(message.topic, bytes(message.payload), self._clock(), bool(message.dup), bool(message.retain))
        with self._room:
            # Only what the broker does not count (QoS 0) can be more than the window: then nothing more is read.
            while len(self._came) >= 2 * self._most and not self._stopped:
                self._room.wait()
            self._came.append(Delivery(arrived, self._connection, message.mid, message.qos))
            first = len(self._came) == 1
        if first and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._something.set)
            except RuntimeError:
                return  # the loop is gone, and with it whoever would acknowledge


def _secret(told: Mapping[str, str] | None, base: Path) -> str | None:
    if told is None:
        return None
    try:
        if "environment" in told:
            return os.environ[told["environment"]]
        return (base / told["file"]).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError("password", "the password cannot be read") from error


def _context(tls: Mapping[str, str], base: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if tls["ca"] == "system" else str(base / tls["ca"]))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("tls.ca", "the authority cannot be read") from error
    if "certificate" in tls:
        try:
            context.load_cert_chain(base / tls["certificate"], base / tls["key"])
        except (OSError, ssl.SSLError) as error:
            raise ConfigError("tls.certificate", "certificate and key cannot be read, or do not fit") from error
    return context
