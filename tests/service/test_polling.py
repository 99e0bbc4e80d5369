"""Polling a remote FHIR server from a running service that is killed meanwhile; and our own service as the remote."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
from tests.fhir_versions.remote_server import running

if TYPE_CHECKING:
    from tests.service.conftest import Installation

FEED = """
[[translators]]
name = "fhir"
kind = "fhir"
[[feeds]]
name = "north"
kind = "fhir-poll"
translator = "fhir"
[feeds.settings]
url = "{url}"
interval_seconds = 0.05
page_size = 20
{more}
"""


def _configure(installation: Installation, url: str, more: str = "") -> None:
    path = installation.config.path
    text = path.read_text(encoding="utf-8").replace('load = ["hl7v2",', 'load = ["fhir", "hl7v2",')
    path.write_text(text + FEED.format(url=url, more=more), encoding="utf-8")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


async def test_kills_while_polling_lose_nothing_and_double_nothing(installation: Installation) -> None:
    chance = random.Random(20261121)
    async with running() as server:
        for number in range(400):
            server.put("Patient", str(number % 160), number, gender=("male", "female", "other")[number // 160])
        for number in range(10):
            server.delete("Patient", str(number), 1000 + number)
        _configure(installation, server.url)
        for _ in range(3):
            await installation.start()
            await asyncio.sleep(chance.uniform(0.0, 0.6))
            await installation.kill()
        await installation.start()
        await _until(lambda: installation.rows("SELECT count(*) FROM journal") == [(410,)])
        await installation.settled()
        # Some rounds more: what lies in the overlap comes again.
        asked = len(server.asked)
        await _until(lambda: len(server.asked) > asked + 3)
    assert installation.rows("SELECT count(*), count(DISTINCT key) FROM journal") == [(410, 410)]
    assert installation.rows("SELECT DISTINCT state FROM journal") == [("applied",)]
    versions = installation.rows(
        "SELECT version, deleted, count(*) FROM resource JOIN symbol ON symbol.key = type"
        " WHERE text = 'Patient' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    # 80 patients with three versions and 80 with two, of which ten with three were deleted in a fourth.
    assert versions == [(2, 0, 80), (3, 0, 70), (4, 1, 10)]


async def test_our_own_service_can_be_the_remote_server(install: Callable[[str], Installation]) -> None:
    north, south = install("north"), install("south")
    path = north.config.path
    text = path.read_text(encoding="utf-8")
    text = text.replace(
        "[consent]\n", '[consent]\ndefault_policy = "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal"\n'
    )
    path.write_text(text, encoding="utf-8")
    await north.start()
    fhir = f"http://{north.config.host}:{north.config.port}/fhir"
    token = north.token()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(25):
            patient = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": str(number)}]}
            async with session.post(f"{fhir}/Patient", data=json.dumps(patient)) as response:
                assert response.status == 201
    (south.config.path.parent / "token").write_text(token, encoding="utf-8")
    _configure(south, fhir, 'mode = "search"\ntypes = ["Patient"]\ntoken.file = "token"')
    await south.start()
    await _until(lambda: south.rows("SELECT count(*) FROM journal WHERE state = 'applied'") == [(25,)])
    assert token not in south.stderr()
    rows = south.rows("SELECT body FROM journal")
    assert len({body for (body,) in rows}) == 25
