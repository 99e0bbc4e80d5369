"""A service whose messages are sealed at rest and go once the ledger holds what they did."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import TYPE_CHECKING

import aiohttp

from hawsepipe.demo.sender import Sender

if TYPE_CHECKING:
    from tests.service.conftest import Installation

JOURNAL = """
[journal]
applied_days = 0.00001
prune_seconds = 0.2
key = "2026"
keys = { "2026" = "journal.key" }
"""


def _message(control: str, event: str = "A01") -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^{event}^ADT_A01|{control}|P|2.5.1\r"
        "EVN|A01|20261102083000+0100\rPID|1||77^^^HARBOUR^MR||Qvarnstroem^Maria||19760314|F\r"
    ).encode()


async def test_a_message_is_sealed_goes_when_it_is_anchored_and_what_it_did_stays(installation: Installation) -> None:
    path = installation.config.path
    text = path.read_text(encoding="utf-8")
    begin, end = text.index("[journal]"), text.index("[api]")
    path.write_text(text[:begin] + JOURNAL.lstrip() + "\n" + text[end:], encoding="utf-8")
    key = path.parent / "journal.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    await installation.start()
    async with Sender("127.0.0.1", installation.mllp_port) as sender:
        assert b"\rMSA|AA|M1" in await sender.exchange(_message("M1"))
        assert b"\rMSA|AR|M2" in await sender.exchange(_message("M2", "Q99"))
    async with asyncio.timeout(30):
        while installation.rows("SELECT state FROM journal") != [("dead",)]:
            await asyncio.sleep(0.1)
    assert installation.rows("SELECT sealed FROM journal") == [("2026",)]
    fhir = f"http://{installation.config.host}:{installation.config.port}/fhir"
    headers = {"Authorization": f"Bearer {installation.token(role='privacy-officer')}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{fhir}/DocumentReference") as response:
        (entry,) = json.loads(await response.read())["entry"]
    assert entry["resource"]["content"][0]["attachment"]["data"] == b64encode(_message("M1")).decode()
    assert await installation.stop() == 0
    folder = installation.config.data / "store"
    raw = b"".join((folder / name).read_bytes() for name in ("store.db",))
    assert _message("M1")[:60] not in raw
    assert _message("M2")[:60] not in raw
    assert b64encode(_message("M1"))[:60] not in raw
