"""HL7 v2 over HTTP: statuses, charsets, idempotency, tokens, overload; over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hawsepipe import ConfigError, Meters, Opening, RawMessage, StoreFull
from hawsepipe_hl7v2.translator import Hl7v2Translator
from hawsepipe_hl7v2.web import KIND

from .conftest import NOW, RECEIVED, Journal

V2 = {"Content-Type": "application/hl7-v2"}


@dataclass
class Bed:
    journal: Journal
    meters: Meters
    url: str
    session: aiohttp.ClientSession

    async def post(self, body: bytes, **headers: str) -> tuple[int, str]:
        async with self.session.post(self.url, data=body, headers=V2 | headers) as response:
            return response.status, await response.text()


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Bed]:
        meters, journal = Meters(), Journal()
        opening = Opening(
            "web", {"port": 0, "unauthenticated": True} | settings, tmp_path, lambda: NOW, meters, tmp_path
        )
        async with KIND.open(opening) as feed, aiohttp.ClientSession() as session:
            await feed.start(journal)
            yield Bed(journal, meters, feed.address + "/hl7", session)

    return run


async def test_a_message_is_answered_with_its_acknowledgement_once_it_is_stored(serve: Any, message: Any) -> None:
    async with serve() as bed:
        status, text = await bed.post(message("C1"))
        assert (status, "\rMSA|AA|C1\r" in text) == (200, True)
        ((raw, key, refusal),) = bed.journal.messages
        assert (raw.body, raw.media_type, key, refusal) == (message("C1"), "application/hl7-v2", "ADT1|GOOD|C1", None)


async def test_faults_have_a_status_and_an_acknowledgement_that_names_the_place(serve: Any, message: Any) -> None:
    async with serve() as bed:
        status, text = await bed.post(message("C1", pid="PID|1||"))
        assert (status, "MSA|AE|C1" in text, "ERR||PID^1^3|101" in text) == (422, True, True)
        status, text = await bed.post(message("C2", type="ZZZ^Z01"))
        assert (status, "MSA|AR|C2" in text) == (400, True)
        assert [refusal is not None for _, _, refusal in bed.journal.messages] == [True, True]


async def test_the_charset_of_the_request_goes_before_msh_18_with_a_warning(serve: Any, message: Any) -> None:
    body = (
        message("C1", tail="||||||UNICODE UTF-8", pid="PID|1||MRN1^^^GOOD^MR||Sj\xf6gren^Bj\xf6rn")
        .decode()
        .encode("latin-1")
    )
    async with serve() as bed:
        status, _ = await bed.post(body, **{"Content-Type": "application/hl7-v2; charset=ISO-8859-1"})
        assert status == 200
        raw, _, _ = bed.journal.messages[0]
        status, text = await bed.post(body.replace(b"C1", b"C2"))
        assert (status, "MSA|AE" in text) == (422, True), "as UTF-8 it is not readable"
        status, _ = await bed.post(body, **{"Content-Type": "application/hl7-v2; charset=rot13"})
        assert status == 415
    made = Hl7v2Translator({}).translate(raw)
    (patient,) = [change.resource for change in made.changes if change.type == "Patient"]
    assert patient is not None
    assert patient["name"] == [{"family": "Sj\u00f6gren", "given": ["Bj\u00f6rn"]}]
    assert [issue.severity for issue in made.issues if issue.location == "MSH-18"] == ["warning"]


async def test_an_idempotency_key_has_one_effect_and_belongs_to_one_body(serve: Any, message: Any) -> None:
    async with serve() as bed:
        first = await bed.post(message("C1"), **{"Idempotency-Key": "k1"})
        again = await bed.post(message("C1"), **{"Idempotency-Key": "k1"})
        assert first == again
        assert len(bed.journal.messages) == 1
        status, text = await bed.post(message("C2"), **{"Idempotency-Key": "k1"})
        assert (status, json.loads(text)) == (422, {"error": "the idempotency key belongs to another message"})
        assert [refusal is None for _, _, refusal in bed.journal.messages] == [True, False]
        assert (await bed.post(message("C3"), **{"Idempotency-Key": "a b"}))[0] == 400


async def test_a_message_that_is_not_stored_is_never_answered_with_200(serve: Any, message: Any) -> None:
    async with serve() as bed:
        bed.journal.fault = StoreFull("there is no room on the disk")
        async with bed.session.post(bed.url, data=message("C1"), headers=V2) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
            assert "MSA|AR|C1" in await response.text()


async def test_beyond_the_limit_of_waiting_messages_the_answer_is_503(serve: Any, message: Any) -> None:
    async with serve(limits={"waiting": 1}) as bed:
        bed.journal.gate = asyncio.Event()
        held = asyncio.create_task(bed.post(message("C1")))
        async with asyncio.timeout(5):
            while not bed.journal.waiting:
                await asyncio.sleep(0)
        async with bed.session.post(bed.url, data=message("C2"), headers=V2) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
        bed.journal.gate.set()
        assert (await held)[0] == 200


async def test_an_upload_that_ends_half_way_stores_nothing(serve: Any, message: Any) -> None:
    async with serve() as bed:
        host, port = bed.url.split("/")[2].split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        body = message("C1")
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/hl7-v2\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body[: len(body) // 2]))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await bed.post(message("C2")))[0] == 200
        assert [key for _, key, _ in bed.journal.messages] == ["ADT1|GOOD|C2"]


async def test_a_body_over_the_limit_and_a_foreign_type_are_refused_and_not_stored(serve: Any, message: Any) -> None:
    async with serve(limits={"body_bytes": 1024}) as bed:
        assert (await bed.post(message("C1") + b"NTE|1||" + b"x" * 2000))[0] == 413
        assert (await bed.post(message("C1"), **{"Content-Type": "application/pdf"}))[0] == 415
        assert bed.journal.messages == []


async def test_without_a_token_of_the_feed_nobody_is_heard(serve: Any, message: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps({"lab": sha256(b"s3cret").hexdigest()}))
    async with serve(tokens="tokens.json", unauthenticated=False) as bed:
        assert (await bed.post(message("C1")))[0] == 401
        assert (await bed.post(message("C1"), Authorization="Bearer wrong"))[0] == 401
        assert (await bed.post(message("C1"), Authorization="Basic s3cret"))[0] == 401
        assert bed.journal.messages == []
        assert (await bed.post(message("C1"), Authorization="Bearer s3cret"))[0] == 200


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "name a file of tokens"),
        ({"tokens": "nowhere.json"}, "cannot be read"),
        ({"tokens": "bad.json"}, "not JSON"),
        ({"tokens": "clear.json"}, "lab: not a SHA-256"),
    ],
)
async def test_a_feed_that_would_know_no_sender_does_not_open(tmp_path: Path, settings: Any, text: str) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "clear.json").write_text(json.dumps({"lab": "s3cret"}))
    with pytest.raises(ConfigError, match=text):
        async with KIND.open(Opening("web", settings, tmp_path, lambda: NOW, Meters(), tmp_path)):
            pass


def test_the_time_of_receipt_is_not_part_of_a_translation(message: Any) -> None:
    one, two = (RawMessage("web", at, "application/hl7-v2", message("C1")) for at in (NOW, RECEIVED))
    assert Hl7v2Translator({}).translate(one).changes == Hl7v2Translator({}).translate(two).changes
