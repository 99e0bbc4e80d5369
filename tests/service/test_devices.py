"""Devices publish while the service is killed: each reading is in its window once."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hawsepipe_conformance.feeds.ward import Publisher
from hawsepipe_conformance.servers import mosquitto

if TYPE_CHECKING:
    from tests.service.conftest import Installation

FEED = """
[[translators]]
name = "devices"
kind = "devices"
[translators.settings]
templates = "templates.toml"
devices = "devices.toml"
[[feeds]]
name = "ward"
kind = "mqtt"
translator = "devices"
[feeds.settings]
host = "127.0.0.1"
port = {port}
templates = "templates.toml"
devices = "devices.toml"
"""
TEMPLATES = """
[[templates]]
name = "ten"
topic = "ward/{device}"
code = "MDC_TEMP_BODY"
value = "$.v"
time = "$.t"
time_format = "unix"
window = { seconds = 10, period_ms = 1000, lateness_seconds = 0, idle_seconds = 600 }

[[templates]]
name = "fifth"
topic = "ward/{device}"
match = { "$.fifth" = true }
code = "MDC_TEMP_BODY"
value = "$.v"
time = "$.t"
time_format = "unix"
"""
START = int(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp())
IDS = ("a", "b", "c")
WINDOWS = 12


async def test_kills_while_devices_publish_lose_nothing_and_double_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    chance = random.Random(20261121)
    folder = installation.config.path.parent
    (folder / "templates.toml").write_text(TEMPLATES, encoding="utf-8")
    devices = [f'[[devices]]\nid = "{id_}"\npatient = {{ system = "urn:p", value = "{id_}" }}\n' for id_ in IDS]
    (folder / "devices.toml").write_text("".join(devices), encoding="utf-8")
    with mosquitto(tmp_path) as broker:
        path = installation.config.path
        text = path.read_text(encoding="utf-8").replace('load = ["hl7v2",', 'load = ["iomt", "hl7v2",')
        path.write_text(text + FEED.format(port=broker.port), encoding="utf-8")
        await installation.start()
        publisher = Publisher(broker.port)
        try:
            for part in range(WINDOWS):
                sent = []
                for second in range(part * 10, part * 10 + 10):
                    body = json.dumps({"v": 30 + second % 10, "t": START + second, "fifth": second % 5 == 0}).encode()
                    sent += [(f"ward/{id_}", body) for id_ in IDS]
                await publisher.publish(*sent)
                if part in (3, 8):
                    await asyncio.sleep(chance.uniform(0, 0.3))
                    await installation.kill()
                    await installation.start()
            last = json.dumps({"v": 30, "t": START + WINDOWS * 10, "fifth": False}).encode()
            await publisher.publish(*((f"ward/{id_}", last) for id_ in IDS))
            single, whole = len(IDS) * WINDOWS * 2, len(IDS) * WINDOWS
            async with asyncio.timeout(60):
                while installation.rows("SELECT count(*) FROM journal WHERE state = 'applied'") < [(single + whole,)]:
                    await asyncio.sleep(0.1)
        finally:
            publisher.close()
    assert installation.rows("SELECT count(*), count(DISTINCT key) FROM journal") == [(single + whole,) * 2]
    assert installation.rows("SELECT DISTINCT state FROM journal") == [("applied",)]
    versions = installation.rows(
        "SELECT version, count(*) FROM resource JOIN symbol ON symbol.key = type WHERE text = 'Observation' GROUP BY 1"
    )
    assert versions == [(1, single + whole)]
