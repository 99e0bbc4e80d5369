"""`hawsepipe messages` against a running service: found, shown with the answer, compared under other rules."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hawsepipe.demo.sender import Sender

if TYPE_CHECKING:
    from tests.service.conftest import Installation


def _message(control: str, event: str = "A01") -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015||ADT^{event}^ADT_A01|{control}|P|2.5.1\r"
        f"EVN|A01|20261102083000\rPID|1||{control}^^^HARBOUR^MR||Qvarnstroem^Maria||19760314|F\r"
    ).encode()


async def _cli(path: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hawsepipe", "messages", *arguments, "-c", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_messages_are_found_shown_and_tried_under_other_rules(installation: Installation) -> None:
    path = installation.config.path
    await installation.start()
    async with Sender("127.0.0.1", installation.mllp_port) as sender:
        for control in ("C1", "C2", "C3"):
            await sender.exchange(_message(control))
        await sender.exchange(_message("C4", "Q99"))
    await installation.settled()
    status, text = await _cli(path, "list", "--control", "C2", "--json")
    (found,) = json.loads(text)
    assert (status, found["sequence"], found["state"]) == (0, 2, "applied")
    status, text = await _cli(path, "list", "--state", "dead", "--json")
    (letter,) = json.loads(text)
    status, text = await _cli(path, "list", "--identifier", "C2", "--json")
    assert json.loads(text) == [found]
    status, text = await _cli(path, "list", "--text", letter["text"][3:12], "--json")
    assert json.loads(text) == [letter]
    status, text = await _cli(path, "list", "--last", "2", "--since", "2026-01-01T00:00:00+00:00")
    assert [line.split()[0] for line in text.splitlines()] == ["4", "3"]
    assert "Qvarnstroem" not in text
    status, text = await _cli(path, "show", "1")
    shown = json.loads(text)
    assert shown["content"]["text"] == _message("C1").decode()
    assert "\rMSA|AA|C1" in shown["answer"]["text"]
    assert shown["lines"] == _message("C1").decode().split("\r")[:-1]
    assert (shown["type"].partition("^")[0], shown["control"]) == ("ADT", "C1")
    status, text = await _cli(path, "show", "1", "--raw")
    assert text == _message("C1").decode()
    status, text = await _cli(path, "list", "--state", "dead")
    assert "control id C4" in text
    other = path.with_name("other.toml")
    settings = "[translators.settings]\n"
    other.write_text(path.read_text().replace(settings, settings + 'timezone = "Asia/Tokyo"\n'))
    before = installation.rows("SELECT count(*), max(key) FROM version")
    assert (await _cli(path, "compare", "--with", str(path)))[0] == 0
    status, text = await _cli(path, "compare", "--with", str(other), "--last", "4")
    assert status == 1
    assert "4 messages, 3 of them differ" in text
    assert "Qvarnstroem" not in text
    assert re.search(r"^ +3 [+~-] Provenance|^ +3 [+~-] [A-Z][A-Za-z]+\.", text, re.MULTILINE)
    status, text = await _cli(path, "compare", "--with", str(other), "--last", "1", "--feed", "adt", "--full")
    assert "1 messages, 0 of them differ" in text, "the last one is refused by both"
    assert installation.rows("SELECT count(*), max(key) FROM version") == before
    looked = installation.rows("SELECT target FROM access WHERE target LIKE 'journal/%' ORDER BY number")
    assert ("journal/1",) in looked
    assert ("journal/1..4",) in looked
    assert (await _cli(path, "show", "99"))[0] == 2
