"""The feed at a real broker: what is acknowledged is stored, and what is stored is there once."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import Acceptance, ConfigError, Meters, Opening, RawMessage, Refusal, Reuse, StoreError
from hawsepipe_conformance.feeds.certificates import Authority
from hawsepipe_conformance.feeds.ward import Publisher
from hawsepipe_conformance.servers import Server, mosquitto
from hawsepipe_iomt.feed import DeviceFeed
from hawsepipe_iomt.messages import WINDOW, topic_of, window_of
from hawsepipe_iomt.settings import FEED_SCHEMA

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEMPLATES = """
[[templates]]
name = "one"
topic = "ward/{device}/one"
code = "MDC_TEMP_BODY"
value = "$.v"
sequence = "$.n"

[[templates]]
name = "ten"
topic = "ward/{device}/ten"
code = "MDC_TEMP_BODY"
value = "$.v"
time = "$.t"
time_format = "unix"
window = { seconds = 10, period_ms = 1000, lateness_seconds = 1, idle_seconds = 3600 }
"""
START = int(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp())


@dataclass
class Notebook:
    """A journal in memory that can be out of order."""

    taken: dict[tuple[str, bytes], tuple[RawMessage, Refusal | None]] = field(default_factory=dict)
    asked: int = 0
    broken: bool = False

    async def accept(
        self, message: RawMessage, *, key: str, reply: bytes, refusal: Refusal | None = None, reuse: Reuse | None = None
    ) -> Acceptance:
        self.asked += 1
        if self.broken:
            raise StoreError("the disk is full")
        known = (key, message.digest) in self.taken
        self.taken.setdefault((key, message.digest), (message, refusal))
        return Acceptance(len(self.taken), known, reply)

    async def outcome(self, sequence: int) -> Refusal | None:
        raise AssertionError

    async def mended(self, sequence: int) -> None:
        raise AssertionError

    async def set_aside(self, feed: str, location: str) -> Any:
        raise AssertionError

    async def taken_up(self, sequences: Any, instant: datetime) -> None:
        raise AssertionError

    def readings(self) -> list[bytes]:
        return [message.body for message, refusal in self.taken.values() if refusal is None and not _window(message)]

    def windows(self) -> list[RawMessage]:
        return [message for message, _ in self.taken.values() if _window(message)]


def _window(message: RawMessage) -> bool:
    return message.media_type == WINDOW


@pytest.fixture(name="broker", scope="module")
def _broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as server:
        yield server


def settings_of(port: int, **more: Any) -> dict[str, Any]:
    defaults = {name: part["default"] for name, part in FEED_SCHEMA["properties"].items() if "default" in part}
    return {**defaults, "host": "127.0.0.1", "port": port, "templates": "templates.toml", **more}


@asynccontextmanager
async def feeding(folder: Path, notebook: Notebook, settings: dict[str, Any]) -> AsyncIterator[Meters]:
    (folder / "templates.toml").write_text(TEMPLATES, encoding="utf-8")
    (folder / "data").mkdir(exist_ok=True)
    meters = Meters()
    feed = DeviceFeed(Opening(folder.name, settings, folder / "data", lambda: NOW, meters, folder))
    await feed.start(notebook)
    try:
        yield meters
    finally:
        await feed.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def counted(meters: Meters, feed: str, event: str) -> float:
    labels = {"feed": feed, "event": event}
    return meters.registry.get_sample_value("hawsepipe_feed_framing_events_total", labels) or 0.0


@pytest.fixture(name="publish")
async def _publish(broker: Server) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    publisher = Publisher(broker.port, "tests")
    yield publisher.publish
    publisher.close()


def one(number: int, value: float = 37) -> bytes:
    return json.dumps({"v": value, "n": number}).encode()


def ten(second: int, value: float = 37) -> bytes:
    return json.dumps({"v": value, "t": START + second}).encode()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_the_journal_does_not_take_is_not_acknowledged_and_comes_again(
    version: str, tmp_path: Path, broker: Server, publish: Callable[..., Awaitable[None]]
) -> None:
    topic = f"ward/d{version[0]}/one"
    settings = settings_of(broker.port, version=version, topics=[topic])
    broken = Notebook(broken=True)
    async with feeding(tmp_path, broken, settings) as meters:
        await until(lambda: counted(meters, tmp_path.name, "subscribed"))
        await publish(*((topic, one(number)) for number in range(30)))
        await until(lambda: broken.asked)
    notebook = Notebook()
    async with feeding(tmp_path, notebook, settings):
        await until(lambda: len(notebook.taken) == 30)
        await publish((topic, one(30)))
        await until(lambda: len(notebook.taken) == 31)  # so the others are acknowledged
    assert notebook.readings() == [one(number) for number in range(31)]
    again = Notebook()
    async with feeding(tmp_path, again, settings) as meters:
        await until(lambda: counted(meters, tmp_path.name, "subscribed"))
        await publish((topic, one(31)))
        await until(lambda: one(31) in again.readings())
    assert set(again.readings()) <= {one(30), one(31)}
    assert {topic_of(message.media_type) for message, _ in again.taken.values()} == {topic}


async def test_a_window_is_one_message_with_all_that_came_and_late_ones_make_another(
    tmp_path: Path, broker: Server, publish: Callable[..., Awaitable[None]]
) -> None:
    notebook = Notebook()
    settings = settings_of(broker.port, topics=["ward/w/ten"])
    async with feeding(tmp_path, notebook, settings) as meters:
        await until(lambda: counted(meters, tmp_path.name, "subscribed"))
        await publish(*(("ward/w/ten", ten(second)) for second in range(7)))
        await until(lambda: counted(meters, tmp_path.name, "window_reading") == 7)
        assert not notebook.taken
    # What waits survives a stop; what is repeated is one.
    async with feeding(tmp_path, notebook, settings) as meters:
        await publish(*(("ward/w/ten", ten(second)) for second in (5, 6, 7, 8, 9, 12)))
        await until(notebook.windows)
        (first,) = notebook.windows()
        assert [sample.payload for sample in window_of(first.body).samples] == [ten(second) for second in range(10)]
        await publish(("ward/w/ten", ten(3, 38)))
        await until(lambda: len(notebook.windows()) == 2)
    assert len(window_of(notebook.windows()[1].body).samples) == 11
    assert len(notebook.taken) == 2


async def test_a_window_that_was_frozen_when_the_journal_failed_goes_there_with_the_same_bytes(
    tmp_path: Path, broker: Server, publish: Callable[..., Awaitable[None]]
) -> None:
    notebook = Notebook(broken=True)
    settings = settings_of(broker.port, topics=["ward/f/ten"])
    async with feeding(tmp_path, notebook, settings) as meters:
        await until(lambda: counted(meters, tmp_path.name, "subscribed"))
        await publish(("ward/f/ten", ten(0)), ("ward/f/ten", ten(15)))
        await until(lambda: notebook.asked)
        await publish(("ward/f/ten", ten(4)))  # it is frozen: this one is for its next revision
        await until(lambda: counted(meters, tmp_path.name, "window_reading") == 3)
    notebook.broken = False
    async with feeding(tmp_path, notebook, settings):
        await until(lambda: len(notebook.windows()) == 2)
    assert [len(window_of(it.body).samples) for it in notebook.windows()] == [1, 2]
    assert [key for key, _ in notebook.taken] == [f"window|ten|f|{START * 1_000_000}|{revision}" for revision in (1, 2)]


async def test_a_reading_from_the_future_or_too_large_is_set_aside(
    tmp_path: Path, broker: Server, publish: Callable[..., Awaitable[None]]
) -> None:
    notebook = Notebook()
    settings = settings_of(broker.port, topics=["ward/x/ten"], payload_bytes=100)
    async with feeding(tmp_path, notebook, settings) as meters:
        await until(lambda: counted(meters, tmp_path.name, "subscribed"))
        await publish(("ward/x/ten", ten(3 * 3600)), ("ward/x/ten", ten(0) + b" " * 100))
        await until(lambda: len(notebook.taken) == 2)
    places = [refusal.location for _, refusal in notebook.taken.values() if refusal is not None]
    assert places == ["time", "payload"]


async def test_tls_with_a_certificate_and_a_password(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    words = tmp_path / "words"
    words.touch()
    command = ["mosquitto_passwd", "-b", str(words), "hawsepipe", "secret"]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    lines = (
        "listener {port} 127.0.0.1",
        f"cafile {authority.certificate}",
        f"certfile {server.certificate}",
        f"keyfile {server.key}",
        "require_certificate true",
        "allow_anonymous false",
        f"password_file {words}",
    )
    (tmp_path / "password").write_text("secret\n")
    tls = {"ca": str(authority.certificate), "certificate": str(client.certificate), "key": str(client.key)}
    good = {"tls": tls, "user": "hawsepipe", "password": {"file": "password"}, "host": "localhost"}
    with mosquitto(tmp_path, *lines) as broker:
        async with feeding(tmp_path, Notebook(), settings_of(broker.port, **good)) as meters:
            await until(lambda: counted(meters, tmp_path.name, "subscribed"))
        bad = good | {"password": {"environment": "PATH"}}
        async with feeding(tmp_path, Notebook(), settings_of(broker.port, **bad)) as meters:
            await until(lambda: counted(meters, tmp_path.name, "connect_refused"))
    with pytest.raises(ConfigError, match=r"tls\.ca"):
        async with feeding(tmp_path, Notebook(), settings_of(1, tls={"ca": "missing.pem"})):
            pass
