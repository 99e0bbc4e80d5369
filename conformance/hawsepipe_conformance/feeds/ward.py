"""Devices for checks: a broker of their own, templates, and a service that subscribes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from hawsepipe_conformance.feeds.cases import Unclear
from hawsepipe_conformance.feeds.product import toml
from hawsepipe_conformance.feeds.stage import Stage
from hawsepipe_conformance.servers import Server, mosquitto

PATIENTS = "urn:example:patients"
_PATIENCE = 30.0
_LOOK = 0.2
_NONE: Mapping[str, Any] = {}


class Publisher:
    """A device's side of the broker."""

    def __init__(self, port: int, name: str = "ward") -> None:
        """Connect. Raises Unclear without the package that speaks MQTT."""
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise Unclear("paho-mqtt is not installed: pip install 'hawsepipe[iomt]'") from error
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    async def publish(self, *messages: tuple[str, bytes], retain: bool = False) -> None:
        """Publish messages in order; return when the broker has all of them."""
        sent = [self._client.publish(topic, payload, 1, retain) for topic, payload in messages]
        end = monotonic() + _PATIENCE + len(messages) / 100
        while not all(one.is_published() for one in sent[-1:]) or not all(one.is_published() for one in sent):
            if monotonic() > end:
                raise Unclear("the broker does not take what is published")
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(slots=True)
class Ward:
    """A broker, somebody who publishes, and the service."""

    stage: Stage
    broker: Server
    publisher: Publisher
    folder: Path

    async def publish(self, *messages: tuple[str, bytes], retain: bool = False) -> None:
        """Publish messages in order; return when the broker has all of them."""
        await self.publisher.publish(*messages, retain=retain)

    async def event(self, name: str) -> float:
        """Return how often the feed has counted an event since the service was started."""
        return await self.total("hawsepipe_feed_framing_events_total", event=name)

    async def taken(self, count: int, seconds: float = _PATIENCE) -> None:
        """Return when the feed has taken so many messages in any way, and all of them have their effect."""
        end = monotonic() + seconds
        while await self.count() < count:
            if monotonic() > end:
                raise Unclear(f"{await self.count():.0f} of {count} messages have arrived in time")
            await asyncio.sleep(_LOOK)
        await self.stage.settled()

    async def until(self, told: Callable[[], Awaitable[float]], least: float, seconds: float = _PATIENCE) -> None:
        """Return when a number is as large as that."""
        end = monotonic() + seconds
        while (found := await told()) < least:
            if monotonic() > end:
                raise Unclear(f"{found:g} of {least:g} in time")
            await asyncio.sleep(_LOOK)

    async def count(self) -> float:
        """Return how many messages went to the journal, were known already, or wait for their window."""
        names = ("hawsepipe_feed_messages_received_total", "hawsepipe_feed_duplicates_total")
        return sum([await self.total(name) for name in names]) + await self.event("window_reading")

    async def observations(self, person: str, least: int = 1, seconds: float = _PATIENCE) -> list[dict[str, Any]]:
        """Return the Observations of a person, once there are so many; by time."""
        end = monotonic() + seconds
        while True:
            product = self.stage.product
            found: list[dict[str, Any]] = []
            patients = await product.search("Patient", identifier=f"{PATIENTS}|{person}")
            for patient in patients:
                found += await product.search("Observation", subject=f"Patient/{patient['id']}", _sort="date")
            if len(found) >= least or monotonic() > end:
                return found
            await asyncio.sleep(0.1)

    async def total(self, name: str, **labels: str) -> float:
        """Return a metric of the feed since the service was started, which may be before the case has begun."""
        return await self.stage.product.total(name, feed=self.stage.feed, **labels)

    async def joined(self) -> None:
        """Return when the service has subscribed since it was started."""
        await self.until(lambda: self.event("subscribed"), 1)

    async def join(self) -> None:
        """Connect the publisher anew, after the broker was away."""
        self.publisher.close()
        self.publisher = Publisher(self.broker.port)


@asynccontextmanager
async def ward(
    stage: Stage,
    templates: Sequence[Mapping[str, Any]],
    devices: Sequence[Mapping[str, Any]],
    *lines: str,
    retained: Sequence[tuple[str, bytes]] = (),
    service: Mapping[str, Any] = _NONE,
    **settings: Any,
) -> AsyncIterator[Ward]:
    """A broker and a service for a case. `lines` are further ones of the broker's configuration, `settings` those of
    the feed, `retained` what the broker keeps before anybody subscribes.
    """
    with tempfile.TemporaryDirectory(prefix="hawsepipe-ward-") as name, ExitStack() as stack:
        folder = Path(name)
        book, registry = folder / "templates.toml", folder / "devices.toml"
        book.write_text(tables("templates", templates), encoding="utf-8")
        registry.write_text(tables("devices", devices), encoding="utf-8")
        try:
            broker = stack.enter_context(mosquitto(folder, *lines))
        except RuntimeError as error:
            raise Unclear(str(error)) from error
        files = {"templates": str(book), "devices": str(registry)}
        told: dict[str, Any] = {
            "kind": "mqtt",
            "on_failure": "skip",
            "host": "127.0.0.1",
            "port": broker.port,
            "translator": files,
            **files,
        }
        publisher = Publisher(broker.port)
        stack.callback(lambda: publisher.close())
        await publisher.publish(*retained, retain=True)
        async with stage.alone(service=service, **told, **settings) as own:
            place = Ward(own, broker, publisher, folder)
            await place.joined()
            try:
                yield place
            finally:
                place.publisher.close()


def tables(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return an array of tables as TOML, each value inline."""
    return "".join(f"[[{name}]]\n" + "".join(f"{key} = {_value(row[key])}\n" for key in row) + "\n" for row in rows)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f'"{key}" = {_value(part)}' for key, part in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return toml(value)
