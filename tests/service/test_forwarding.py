"""Messages go on to a receiver: in order, none lost and none but the last repeated, whatever is killed in between."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import aiohttp
import pytest

from hawsepipe.config import read
from hawsepipe.store.sqlite.store import FILE
from hawsepipe_conformance.feeds.line import connect, control_of, framed

if TYPE_CHECKING:
    from tests.service.conftest import Installation

KILLS = 6
BURST = 40


class Receiver:
    """Acknowledges everything while `away` is not set; keeps the control ids in the order of arrival."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.away = False
        self.delay = 0.0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                control = control_of((await reader.readuntil(b"\x1c\r"))[1:-2])
                if self.away:
                    return
                self.received.append(control)
                await asyncio.sleep(self.delay)
                writer.write(framed(f"MSH|^~\\&|R|R|H|H|2026||ACK|A|P|2.5.1\rMSA|AA|{control}\r".encode()))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()


def routed(installation: Installation, receiver: Receiver) -> None:
    """Send the messages of the feed on to the receiver."""
    path = installation.config.path
    text = path.read_text(encoding="utf-8") + (
        '\n[[destinations]]\nname = "lab"\nkind = "mllp-sender"\nfeeds = ["adt"]\n'
        "retry = { first_seconds = 0.02, most_seconds = 0.1, failures = 3, pause_seconds = 0.2 }\n"
        f'settings = {{ host = "127.0.0.1", port = {receiver.port}, timeout_seconds = 5 }}\n'
    )
    path.write_text(text, encoding="utf-8")
    installation.config = read(path)


def message(control: str) -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^A01^ADT_A01|{control}|P|2.5.1\r"
        f"EVN|A01|20261102083000+0100\rPID|1||M{control}^^^HARBOUR^MR||Lindqvist^Maria\r"
    ).encode()


async def sent(installation: Installation, controls: list[str]) -> list[str]:
    """Send one by one until cut off; return the control ids that were acknowledged."""
    try:
        line = await connect("127.0.0.1", installation.mllp_port)
    except OSError:
        return []
    for number, control in enumerate(controls, 1):
        await line.send(framed(message(control)))
        if len(await line.until(number)) < number:
            break
    done = [ack.control for ack in line.acks if ack.code == "AA"]
    await line.close()
    return done


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


async def test_kills_lose_nothing_on_the_way_and_repeat_only_what_was_under_way(
    installation: Installation, receiver: Receiver
) -> None:
    chance = random.Random(20261121)
    routed(installation, receiver)
    acknowledged: list[str] = []
    for turn in range(KILLS):
        await installation.start()
        burst = [f"T{turn}-{number}" for number in range(BURST)]
        sending = asyncio.create_task(sent(installation, burst))
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        await installation.kill()
        acknowledged += await sending
    await installation.start()
    await until(lambda: set(acknowledged) <= set(receiver.received))
    once = list(dict.fromkeys(receiver.received))
    # Some more than was acknowledged may have arrived: stored, and the answer lost with the process.
    assert [control for control in once if control in set(acknowledged)] == acknowledged
    repeats = [second for first, second in pairwise(receiver.received) if first == second]
    assert len(receiver.received) - len(once) == len(repeats) <= KILLS


async def test_a_stop_waits_for_the_acknowledgement_of_what_the_receiver_has(
    installation: Installation, receiver: Receiver
) -> None:
    routed(installation, receiver)
    receiver.delay = 0.4
    await installation.start()
    controls = [f"S{number}" for number in range(3)]
    assert await sent(installation, controls) == controls
    await until(lambda: len(receiver.received) == 2)
    assert await installation.stop() == 0
    assert receiver.received == controls[:2]
    with contextlib.closing(sqlite3.connect(installation.config.data / "store" / FILE)) as store:
        assert store.execute("SELECT count(*) FROM delivery").fetchone() == (1,)


async def test_a_receiver_that_is_away_gets_everything_in_order_when_it_is_back(
    installation: Installation, receiver: Receiver
) -> None:
    routed(installation, receiver)
    receiver.away = True
    await installation.start()
    controls = [f"M{number}" for number in range(10)]
    assert await sent(installation, controls) == controls
    origin = f"http://{installation.config.host}:{installation.config.port}"

    async def standing(session: aiohttp.ClientSession) -> dict[str, object]:
        async with session.get(f"{origin}/feeds") as response:
            (found,) = (await response.json())["destinations"]
            return dict(found)

    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(10):
            while (await standing(session))["state"] != "open":
                await asyncio.sleep(0.05)
        await installation.settled()
        assert (await standing(session))["waiting"] == 10
        operator = {"Authorization": f"Bearer {installation.token(scope='hawsepipe/operate')}"}
        async with session.get(f"{origin}/ops/alerts", headers=operator) as response:
            (alert,) = await response.json()
        assert (alert["kind"], alert["about"], alert["closed"], alert["notices"]) == ("delivery", "lab", None, 1)
        receiver.away = False
        await until(lambda: receiver.received == controls)
        async with asyncio.timeout(10):
            while (await standing(session))["waiting"]:
                await asyncio.sleep(0.02)
        found = await standing(session)
        assert (found["name"], found["state"], found["set_aside"]) == ("lab", "closed", 0)
        async with session.get(f"{origin}/ops/alerts", headers=operator) as response:
            (alert,) = await response.json()
        assert alert["closed"] is not None
        async with session.get(f"{origin}/ops/alerts") as response:
            assert response.status == 401
        async with session.get(f"{origin}/metrics") as response:
            metrics = await response.text()
        assert 'hawsepipe_delivery_delivered_total{destination="lab"} 10.0' in metrics
        async with session.post(f"{origin}/ops/destinations/lab/again") as response:
            assert response.status == 401
        token = {"Authorization": f"Bearer {installation.token(scope='hawsepipe/operate')}"}
        async with session.post(f"{origin}/ops/destinations/lab/again", headers=token) as response:
            assert await response.json() == {"again": 0}
        async with session.post(f"{origin}/ops/destinations/none/again", headers=token) as response:
            assert response.status == 404


async def test_a_destination_of_an_unknown_feed_stops_the_start(installation: Installation) -> None:
    path = installation.config.path
    addition = '\n[[destinations]]\nname = "lab"\nkind = "mllp-sender"\nfeeds = ["adt", "atd"]\n'
    path.write_text(path.read_text(encoding="utf-8") + addition, encoding="utf-8")
    with pytest.raises(Exception, match=r"destinations\[0\]\.feeds\[1\]: no feed has this name"):
        read(path)
