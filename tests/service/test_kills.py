"""kill -9 in the middle of a burst loses no acknowledged message and doubles none."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.service.conftest import Installation

KILLS = 25
"""Kills of each of the two installations."""

CONNECTIONS = 4
BURST = 60
"""Messages a connection may get through before the kill at most."""


OF_TYPE = "resource ON version.key >> 24 = resource.key JOIN symbol ON symbol.key = resource.type AND symbol.text = ?"


def _message(control_id: str, mrn: str) -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^A01^ADT_A01|{control_id}|P|2.5.1\r"
        f"EVN|A01|20261102083000+0100\r"
        f"PID|1||{mrn}^^^HARBOUR^MR||Lindqvist^Maria||19760314|F\r"
        f"PV1|1|I|3N^312^A||||||||||||||||V{mrn}^^^HARBOUR^VN\r"
    ).encode()


async def _send(port: int, bodies: list[bytes], acknowledged: set[bytes]) -> None:
    """Send one by one until done or cut off; note each message that was acknowledged with AA."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    try:
        for body in bodies:
            writer.write(b"\x0b" + body + b"\x1c\r")
            await writer.drain()
            reply = await reader.readuntil(b"\x1c\r")
            if b"\rMSA|AA|" in reply:
                acknowledged.add(body)
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


def _effects(installation: Installation) -> Counter[bytes]:
    """Count the Provenances of each source message."""
    counts: Counter[bytes] = Counter()
    for (content,) in installation.rows(f"SELECT content FROM version JOIN {OF_TYPE}", "Provenance"):
        assert isinstance(content, bytes)
        digest = content.split(b'"urn:hawsepipe:message"', 1)[1].split(b'"value":"', 1)[1][:64]
        counts[digest] += 1
    return counts


async def test_no_acknowledged_message_is_lost_and_none_is_doubled_over_fifty_kills(
    install: Callable[[str], Installation],
) -> None:
    # Two installations side by side take half of the kills each, since most of the time is a process starting.
    await asyncio.gather(*(_kill_often(install(f"seed-{seed}"), seed) for seed in (20261121, 20261122)))


async def _kill_often(installation: Installation, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: set[bytes] = set()
    unanswered: list[bytes] = []
    points: list[int] = []
    number = 0
    for _ in range(KILLS):
        await installation.start()
        lanes: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
        # As a sender does: what was not acknowledged is sent again first, with the same control id.
        for place, body in enumerate(unanswered):
            lanes[place % CONNECTIONS].append(body)
        for lane in lanes:
            for _ in range(BURST):
                number += 1
                lane.append(_message(f"K{number}", f"M{number}"))
        sending = [asyncio.create_task(_send(installation.mllp_port, lane, acknowledged)) for lane in lanes]
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        await installation.kill()
        await asyncio.gather(*sending)
        points.append(len(acknowledged))
        # Only what may have been on its way is sent again; the rest of the burst never left the sender.
        unanswered = [
            next(body for body in lane if body not in acknowledged) for lane in lanes if set(lane) - acknowledged
        ]
    await installation.start()
    await installation.settled()
    effects = _effects(installation)
    for body in acknowledged:
        assert effects[hashlib.sha256(body).hexdigest().encode()] == 1
    assert max(effects.values()) == 1
    assert len(acknowledged) > KILLS, "the bursts got through between the kills"
    assert len(set(points)) > KILLS // 2, "the kills came at different points"
    versions = installation.rows(
        f"SELECT count(*) FROM version JOIN {OF_TYPE} GROUP BY resource.id HAVING count(*) > 1", "Patient"
    )
    assert versions == [], "no effect came twice"
    assert installation.rows("SELECT count(*) FROM journal WHERE state = 'dead'") == [(0,)]
    async with asyncio.timeout(30):
        while installation.rows("SELECT count(*) > log_size FROM leaf, state") != [(0,)]:
            await asyncio.sleep(0.05)
    assert await installation.stop() == 0
