"""`hawsepipe serve` from outside: feeds, dead letters, health, metrics, stopping, and what stops the start."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hawsepipe.demo.sender import Sender
from hawsepipe.service.running import opened

if TYPE_CHECKING:
    from tests.service.conftest import Installation

CANARY = "Qvarnstroem"


def _message(control_id: str, *, family: str = CANARY, birth: str = "19760314", event: str = "A01") -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^{event}^ADT_{event}|{control_id}|P|2.5.1\r"
        f"EVN|{event}|20261102083000+0100\r"
        f"PID|1||77{CANARY}^^^HARBOUR^MR||{family}^Maria||{birth}|F\r"
        f"PV1|1|I|3N^312^A||||||||||||||||V77^^^HARBOUR^VN\r"
    ).encode()


async def _cli(installation: Installation, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hawsepipe", *arguments, "-c", str(installation.config.path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8")


async def _get(installation: Installation, path: str) -> tuple[int, str]:
    url = f"http://{installation.config.host}:{installation.config.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_a_message_that_cannot_be_applied_is_listed_shown_retried_and_discarded(
    installation: Installation,
) -> None:
    await installation.start()
    async with Sender("127.0.0.1", installation.mllp_port) as sender:
        reply = await sender.exchange(_message("BAD1", event="Q99"))
        assert b"\rMSA|AR|BAD1" in reply
        reply = await sender.exchange(b"PID|1||no header\r")
    await installation.settled()
    status, text = await _cli(installation, "dead-letters", "list", "--json")
    assert status == 0
    letters: list[dict[str, Any]] = json.loads(text)
    assert [letter["sequence"] for letter in letters] == [1, 2]
    assert [letter["control"] for letter in letters] == ["BAD1", None]
    assert letters[0]["type"].endswith("^Q99")
    assert CANARY not in text
    status, text = await _cli(installation, "dead-letters", "list")
    assert "control id BAD1)" in text.splitlines()[0]
    status, text = await _cli(installation, "dead-letters", "show", "1")
    assert status == 0
    assert CANARY in json.loads(text)["content"]["text"]
    status, text = await _cli(installation, "dead-letters", "retry", "1", "--dry-run")
    assert (status, "would be refused by the door of its feed: MSH-9.2" in text) == (1, True)
    status, text = await _cli(installation, "dead-letters", "retry", "1")
    assert (status, "dead letter 1 stays one: the door of the feed refuses it: MSH-9.2" in text) == (1, True)
    assert installation.rows("SELECT state FROM journal ORDER BY sequence") == [("dead",), ("dead",)]
    status, text = await _cli(installation, "dead-letters", "retry", "1", "--past-the-door")
    assert (status, "journalled again as 3, and dead again: " in text) == (1, True)
    status, text = await _cli(installation, "accesses", "--json")
    assert "retry-past-the-door" in text
    await installation.settled()
    status, text = await _cli(installation, "dead-letters", "retry", "1")
    assert status == 2, "it is no dead letter any more"
    status, text = await _cli(installation, "dead-letters", "list", "--groups", "--location", "MSH")
    assert (status, "2 group(s)" in text) == (0, True)
    status, text = await _cli(installation, "dead-letters", "list", "--feed", "nobody")
    assert (status, text.strip()) == (0, "0 dead letter(s)")
    mended = installation.config.data.parent / "mended.hl7"
    mended.write_bytes(_message("MEND1"))
    status, text = await _cli(installation, "dead-letters", "retry", "3", "--edited", str(mended), "--dry-run")
    assert status == 0
    assert "+ Patient/" in text
    assert CANARY in text
    status, text = await _cli(installation, "dead-letters", "retry", "3", "--edited", str(mended))
    assert (status, "journalled again as 4: applied" in text) == (0, True)
    await installation.settled()
    assert installation.rows("SELECT state FROM journal WHERE sequence IN (3, 4)") == [("discarded",), ("applied",)]
    status, text = await _cli(installation, "dead-letters", "retry", "2", "--feed", "adt")
    assert status == 2, "either numbers or filters"
    status, text = await _cli(installation, "dead-letters", "discard", "2", "--reason", "sent by a test")
    assert status == 0
    status, text = await _cli(installation, "accesses", "--json")
    assert '"reasons": ["operator", "sent by a test"]' in text
    status, text = await _cli(installation, "messages", "list", "--json")
    told = {
        it["sequence"]: (it["state"], it["decision"], it["replayed_as"], it["replay_of"]) for it in json.loads(text)
    }
    assert told == {
        1: ("discarded", "retried", 3, None),
        2: ("discarded", "discarded", None, None),
        3: ("discarded", "mended", 4, 1),
        4: ("applied", None, None, 3),
    }
    assert installation.rows("SELECT count(*) FROM journal WHERE sequence = 2 AND length(body) > 0") == [(1,)]
    assert installation.rows("SELECT replay_of FROM journal WHERE sequence = 3") == [(1,)]


async def test_dead_letters_are_for_operators_only(installation: Installation) -> None:
    await installation.start()
    url = f"http://{installation.config.host}:{installation.config.port}/ops/dead-letters"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            assert response.status == 401
        headers = {"Authorization": f"Bearer {installation.token(scope='system/*.cruds')}"}
        async with session.get(url, headers=headers) as response:
            assert response.status == 403


async def test_the_access_record_says_who_asked_and_what_was_decided(installation: Installation) -> None:
    await installation.start()
    url = f"http://{installation.config.host}:{installation.config.port}/fhir/Patient/nobody"
    headers = {"Authorization": f"Bearer {installation.token()}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        assert response.status == 404
    status, text = await _cli(installation, "accesses", "--json")
    assert status == 0
    (entry,) = [json.loads(line) for line in text.splitlines()]
    assert (entry["subject"], entry["interaction"], entry["target"]) == ("Practitioner/1", "read", "Patient/nobody")
    assert (entry["purpose"], entry["permit"]) == ("TREAT", False)


async def test_health_and_metrics_say_how_it_stands(installation: Installation) -> None:
    await installation.start()
    async with Sender("127.0.0.1", installation.mllp_port) as sender:
        await sender.exchange(_message("M1"))
        await sender.exchange(_message("M1"))
    await installation.settled()
    assert (await _get(installation, "/health/live"))[0] == 200
    status, text = await _get(installation, "/health/ready")
    assert (status, json.loads(text)["parts"]["store"]) == (200, "ready")
    assert json.loads(text)["parts"]["feeds"] == "ready"
    status, text = await _get(installation, "/metrics")
    assert status == 200
    for line in (
        'hawsepipe_feed_messages_received_total{feed="adt"} 2.0',
        'hawsepipe_feed_duplicates_total{feed="adt"} 1.0',
        'hawsepipe_intake_applied_total{feed="adt"} 1.0',
        "hawsepipe_intake_backlog 0.0",
    ):
        assert line in text
    assert CANARY not in text


@pytest.mark.parametrize("path", ["/metrics", "/feeds"])
@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_what_is_counted_is_for_operators_and_for_the_machine_itself(
    installation: Installation, path: str, header: str
) -> None:
    await installation.start()
    url = f"http://{installation.config.host}:{installation.config.port}{path}"
    client, operator = installation.token(), installation.token(scope="hawsepipe/operate")
    statuses = []
    async with aiohttp.ClientSession(headers={header: "192.0.2.1"}) as session:
        for token in (None, client, operator):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            async with session.get(url, headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [401, 403, 200]


async def test_no_patient_data_reaches_a_log_line(installation: Installation) -> None:
    await installation.start()
    async with Sender("127.0.0.1", installation.mllp_port) as sender:
        for body in (
            _message("L1"),
            _message("L2", birth=f"not-a-date-{CANARY}"),
            _message("L3", event="Q99"),
            _message("L4").replace(b"MSH|^~\\&", b"MSH|^^^^"),
            f"{CANARY}\r".encode(),
        ):
            async with asyncio.timeout(10):
                assert b"MSA" in await sender.exchange(body)
    base = f"http://{installation.config.host}:{installation.config.port}/fhir"
    headers = {"Authorization": f"Bearer {installation.token()}", "Content-Type": "application/fhir+json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in (f"Patient?family={CANARY}", f"Patient/{CANARY}", f"{CANARY}?{CANARY}={CANARY}"):
            await session.get(f"{base}/{path}")
        await session.post(f"{base}/Patient", data=f'{{"resourceType": "Patient", "{CANARY}": 1}}')
        await session.post(f"{base}/Patient", data=f'{{"{CANARY}')
    await installation.stop()
    log = installation.stderr()
    assert "request" in log
    assert CANARY not in log
    assert "19760314" not in log


async def test_a_second_process_on_the_same_data_is_refused(installation: Installation) -> None:
    await installation.start()
    status, text = await _cli(installation, "serve")
    assert status == 2
    assert "open in another process" in text
    assert await installation.stop() == 0


@pytest.mark.parametrize("key", ["api", "feeds[0]"])
async def test_a_port_that_is_taken_is_named_by_its_key(installation: Installation, key: str) -> None:
    port = installation.config.port if key == "api" else installation.mllp_port
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port):
        status, text = await _cli(installation, "serve")
    assert status == 2
    assert text.startswith(f"hawsepipe: {key}: ")
    assert "Address already in use" in text
    assert len(text.splitlines()) == 1


async def test_missing_keys_stop_the_start_and_say_what_makes_them(installation: Installation) -> None:
    for key in (installation.config.data / "keys").iterdir():
        key.unlink()
    (installation.config.data / "keys").rmdir()
    status, text = await _cli(installation, "serve")
    assert status == 2
    assert "hawsepipe init" in text


async def test_config_check_names_the_key_of_a_kinds_setting(installation: Installation) -> None:
    path = installation.config.path
    path.write_text(path.read_text(encoding="utf-8").replace('host = "127.0.0.1"\nport = ', "port = ", 1), "utf-8")
    path.write_text(path.read_text(encoding="utf-8") + "[ledgers.settings]\nspeed = 3\n", "utf-8")
    status, text = await _cli(installation, "config", "check")
    assert status == 1
    assert "ledgers[0].settings.speed" in text


async def test_opening_and_closing_at_once_ends(install: Callable[[str], Installation]) -> None:
    from hawsepipe.clock import system_clock

    config = install("brief").config
    for _ in range(10):
        async with asyncio.timeout(20), opened(config, system_clock):
            pass


async def test_init_writes_what_serve_reads_and_overwrites_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hawsepipe", "init", str(tmp_path / "new"), "--channel", "a.example/log"]
    for expected in (0, 2):
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, errors = await process.communicate()
        assert process.returncode == expected, errors
    assert 'channel = "a.example/log"' in (tmp_path / "new" / "hawsepipe.toml").read_text(encoding="utf-8")
    for key in (tmp_path / "new" / "hawsepipe-data" / "keys").iterdir():
        assert key.stat().st_mode & 0o077 == 0
