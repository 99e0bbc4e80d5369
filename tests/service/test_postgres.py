"""`hawsepipe serve` on PostgreSQL: the whole path, and two services on one database of which one dies."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest

from hawsepipe.config import check, read
from hawsepipe.demo.sender import Sender

if TYPE_CHECKING:
    from tests.service.conftest import Installation

    from hawsepipe.store.postgres import Database

PERMIT = 'default_policy = "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal"'
PROVENANCES = (
    "SELECT convert_from(content, 'UTF8') FROM version JOIN resource ON resource.key = version.key >> 24"
    " JOIN symbol ON symbol.key = resource.type WHERE symbol.text = 'Provenance'"
)
BACKWARDS = (
    "SELECT 1 FROM leaf a JOIN leaf b ON b.sequence = a.sequence + 1 JOIN version v ON v.key = a.version"
    " JOIN version w ON w.key = b.version WHERE w.recorded < v.recorded"
)
"""Versions whose places in the outbox are not in the order of their instants."""

Install = Callable[[str], "Installation"]


def _message(control_id: str, mrn: str) -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^A01^ADT_A01|{control_id}|P|2.5.1\r"
        f"EVN|A01|20261102083000+0100\r"
        f"PID|1||{mrn}^^^HARBOUR^MR||Lindqvist^Maria||19760314|F\r"
        f"PV1|1|I|3N^312^A||||||||||||||||V{mrn}^^^HARBOUR^VN\r"
    ).encode()


def _on(installation: Installation, database: Database, data: Path | None = None) -> Installation:
    """Put an installation onto a database, and its data into another one's directory."""
    path = installation.config.path
    text = path.read_text(encoding="utf-8")
    store = f'[store]\nkind = "postgres"\nurl = "{database.url}"\nschema = "{database.schema}"\n'
    text = text.replace("[store]\n", store).replace("[consent]\n", f"[consent]\n{PERMIT}\n")
    if data is not None:
        text = text.replace('data = "hawsepipe-data"', f'data = "{data}"')
    path.write_text(text, encoding="utf-8")
    return replace(installation, config=read(path))


async def _rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(database.url, server_settings={"search_path": database.schema})
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def _until(database: Database, statement: str, wanted: list[tuple[Any, ...]]) -> None:
    async with asyncio.timeout(40):
        while await _rows(database, statement) != wanted:
            await asyncio.sleep(0.1)


async def _get(installation: Installation, path: str) -> tuple[int, Any]:
    url = f"http://{installation.config.host}:{installation.config.port}/fhir/{path}"
    headers = {"Authorization": f"Bearer {installation.token()}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        return response.status, json.loads(await response.text())


async def _send(installation: Installation, bodies: list[bytes], acknowledged: set[bytes]) -> None:
    """Send one by one until done or cut off; note each message that was acknowledged with AA."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", installation.mllp_port)
    except OSError:
        return
    try:
        for body in bodies:
            writer.write(b"\x0b" + body + b"\x1c\r")
            await writer.drain()
            if b"\rMSA|AA|" in await reader.readuntil(b"\x1c\r"):
                acknowledged.add(body)
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


async def test_a_message_becomes_a_resource_under_consent_in_postgres(
    installation: Installation, database_at: Callable[[Path], Database], tmp_path: Path
) -> None:
    database = database_at(tmp_path)
    running = _on(installation, database)
    assert check(running.config.path) == ()
    try:
        await running.start()
        async with Sender("127.0.0.1", running.mllp_port) as sender:
            assert b"\rMSA|AA|" in await sender.exchange(_message("M1", "4711"))
        await _until(database, "SELECT state FROM journal", [("applied",)])
        status, bundle = await _get(running, "Patient?identifier=4711&_revinclude=Encounter:patient")
        assert (status, bundle["entry"][0]["resource"]["name"][0]["family"]) == (200, "Lindqvist")
        assert bundle["entry"][1]["resource"]["resourceType"] == "Encounter"
        await _until(database, "SELECT (SELECT count(*) FROM leaf) = log_size FROM state", [(True,)])
        assert await running.stop() == 0
    finally:
        if running.process is not None:
            await running.kill()


async def test_of_two_services_on_one_database_one_may_die_at_any_time(
    install: Install, database_at: Callable[[Path], Database], tmp_path: Path
) -> None:
    """Both take messages and answer; the one that applies them is killed, and the other goes on."""
    database = database_at(tmp_path)
    one = _on(install("one"), database)
    other = _on(install("other"), database, one.config.data)
    acknowledged: set[bytes] = set()
    try:
        await one.start()
        await other.start()
        for turn in range(2):
            bodies = {
                it.mllp_port: [_message(f"{it.mllp_port}-{turn}-{n}", f"M{turn}-{n % 40}") for n in range(60)]
                for it in (one, other)
            }
            sending = [asyncio.create_task(_send(it, bodies[it.mllp_port], acknowledged)) for it in (one, other)]
            await asyncio.sleep(0.3 + 0.2 * turn)
            await one.kill()
            await asyncio.gather(*sending)
            assert set(bodies[other.mllp_port]) <= acknowledged, "who lives took all"
            status, _ = await _get(other, "Patient?_count=1")
            assert status == 200
            left = [body for body in bodies[one.mllp_port] if body not in acknowledged]
            await one.start()
            await _send(one, left, acknowledged)  # as a sender does, with the same control ids
            one, other = other, one
        assert len(acknowledged) == 2 * 120
        await _until(database, "SELECT count(*) FROM journal WHERE state <> 'applied'", [(0,)])
        effects: Counter[str] = Counter()
        told = (
            "SELECT convert_from(content, 'UTF8') FROM version WHERE content LIKE '{\"resourceType\":\"Provenance\"%'"
        )
        for (content,) in await _rows(database, told):
            effects[content.split('"urn:hawsepipe:message"', 1)[1].split('"value":"', 1)[1][:64]] += 1
        assert effects == dict.fromkeys((hashlib.sha256(body).hexdigest() for body in acknowledged), 1)
        # One order for all that was written, whoever wrote it.
        places = "SELECT count(*), max(sequence), count(DISTINCT version) FROM leaf"
        ((leaves, last, versions),) = await _rows(database, places)
        assert leaves == last == versions
        backwards = (
            "SELECT 1 FROM leaf a JOIN leaf b ON b.sequence = a.sequence + 1 JOIN version v ON v.key = a.version"
        )
        assert (
            await _rows(database, f"{backwards} JOIN version w ON w.key = b.version WHERE w.recorded < v.recorded")
            == []
        )
        await _until(database, "SELECT (SELECT count(*) FROM leaf) = log_size FROM state", [(True,)])
        assert [await it.stop() for it in (one, other)] == [0, 0]
    finally:
        for it in (one, other):
            if it.process is not None:
                await it.kill()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ('kind = "mysql"', "store.kind"),
        ('kind = "postgres"', "store.url"),
        ('kind = "postgres"\nurl = "postgresql://me:secret@db/x"', "store.url"),
        ('kind = "postgres"\nurl = "mysql://db/x"', "store.url"),
        ('url = "postgresql://db/x"', "store.url"),
        ('kind = "postgres"\nurl = "postgresql://db/x"\nconnections = 0', "store.connections"),
    ],
)
def test_what_is_wrong_with_the_store_is_told_by_key(installation: Installation, settings: str, key: str) -> None:
    path = installation.config.path
    path.write_text(path.read_text(encoding="utf-8").replace("[store]\n", f"[store]\n{settings}\n"), encoding="utf-8")
    assert [problem.key for problem in check(path)] == [key]
    assert "secret" not in str(check(path))
