"""`/feeds` and the metrics of feeds, from a running service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from tests.service.conftest import Installation


def _message(control: str, **changes: str) -> bytes:
    parts = {"version": "2.5.1", "modes": ""} | changes
    return (
        f"\x0bMSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^A01^ADT_A01|{control}|P|{parts['version']}"
        f"{parts['modes']}\rEVN|A01|20261102083000+0100\rPID|1||M{control}^^^HARBOUR^MR||Lindqvist^Maria\r\x1c\r"
    ).encode()


async def test_feeds_tells_how_each_feed_stands(installation: Installation) -> None:
    await installation.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.mllp_port)
    sent = (_message("A"), _message("A"), _message("B", version="9.9"), _message("C", modes="|||AL|AL"))
    for data in sent:
        writer.write(data)
        await reader.readuntil(b"\x1c\r")
    # The application acknowledgement of the last one comes when its effect is there.
    assert b"\rMSA|AA|C\r" in await reader.readuntil(b"\x1c\r")
    origin = f"http://{installation.config.host}:{installation.config.port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{origin}/feeds") as response:
            text = await response.text()
            (feed,) = (await response.json())["feeds"]
        async with session.get(f"{origin}/metrics") as response:
            metrics = await response.text()
    writer.close()
    assert "Lindqvist" not in text
    assert feed["name"] == "adt"
    assert feed["kind"] == "mllp"
    assert feed["address"] == f"mllp://127.0.0.1:{installation.mllp_port}"
    assert (feed["received"], feed["applied"], feed["duplicates"], feed["waiting"]) == (4, 2, 1, 0)
    assert feed["acknowledgements"] == {"AA": 3, "AR": 1, "CA": 1}
    assert feed["dead_letters"] == {"structure": 1}
    assert feed["connections"] == 1
    assert set(feed["acknowledge_seconds"]) == {"p50", "p95", "p99"}
    assert 'hawsepipe_feed_backlog{feed="adt"} 0.0' in metrics
    assert 'hawsepipe_feed_oldest_seconds{feed="adt"} 0.0' in metrics
