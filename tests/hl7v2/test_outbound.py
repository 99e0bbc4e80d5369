"""The MLLP sender against receivers over real sockets, and messages written anew."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import (
    ConfigError,
    DeliveryFailed,
    DeliveryRefused,
    Destination,
    MessageError,
    Meters,
    Opening,
    RawMessage,
)
from hawsepipe_conformance.feeds.certificates import Authority
from hawsepipe_conformance.feeds.line import control_of
from hawsepipe_hl7v2.encoding import Encoding, encoded
from hawsepipe_hl7v2.framing import framed
from hawsepipe_hl7v2.outbound import KIND, acknowledged

NOW = datetime(2026, 3, 1, 8, 31, tzinfo=UTC)
METERS = Meters()


def ack(code: str, control: str) -> bytes:
    return framed(f"MSH|^~\\&|LAB|L|HUB|H|2026||ACK^A01^ACK|A{control}|P|2.5.1\rMSA|{code}|{control}\r".encode())


class Receiver:
    """Answers each message by what `answers` makes of its control id; None closes the connection."""

    def __init__(self, answers: Callable[[str], bytes | None]) -> None:
        self.answers = answers
        self.received: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                body = (await reader.readuntil(b"\x1c\r"))[1:-2]
                self.received.append(body)
                answer = self.answers(control_of(body))
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def sending(
    receiver: Receiver, tmp_path: Path, context: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[Destination]:
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context)
    told = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "timeout_seconds": 2} | settings
    try:
        async with KIND.open(Opening("lab", told, tmp_path, lambda: NOW, METERS, tmp_path)) as destination:
            yield destination
    finally:
        server.close()


def raw(body: bytes) -> RawMessage:
    return RawMessage("adt", NOW, "application/hl7-v2", body)


async def test_messages_go_over_one_connection_and_are_delivered_when_acknowledged(
    message: Any, tmp_path: Path
) -> None:
    receiver = Receiver(lambda control: ack("AA", control))
    async with sending(receiver, tmp_path) as destination:
        for number in range(3):
            await destination.deliver(raw(message(f"M{number}")))
        assert destination.address.startswith("mllp://127.0.0.1:")
    assert receiver.received == [message(f"M{number}") for number in range(3)]
    assert receiver.connections == 1


async def test_only_the_answer_to_this_very_message_counts(message: Any, tmp_path: Path) -> None:
    receiver = Receiver(lambda control: ack("AE", "OLD") + framed(b"noise") + ack("AA", control))
    async with sending(receiver, tmp_path) as destination:
        await destination.deliver(raw(message("M1")))
    assert METERS.registry.get_sample_value("hawsepipe_delivery_stray_answers_total", {"destination": "lab"}) == 2


@pytest.mark.parametrize("code", ["AE", "AR", "CE", "CR"])
async def test_a_refusal_carries_the_receiver_s_code_and_the_connection_stays(
    message: Any, tmp_path: Path, code: str
) -> None:
    receiver = Receiver(lambda control: ack(code if control == "M1" else "CA", control))
    async with sending(receiver, tmp_path) as destination:
        with pytest.raises(DeliveryRefused) as caught:
            await destination.deliver(raw(message("M1")))
        await destination.deliver(raw(message("M2")))
    assert (caught.value.answer, caught.value.cause) == (code, "delivery")
    assert receiver.connections == 1


async def test_an_answer_that_does_not_come_closes_the_connection(message: Any, tmp_path: Path) -> None:
    silent = Receiver(lambda control: b"" if control == "M1" else ack("AA", control))
    async with sending(silent, tmp_path, timeout_seconds=0.1) as destination:
        with pytest.raises(DeliveryFailed):
            await destination.deliver(raw(message("M1")))
        await destination.deliver(raw(message("M2")))
    assert silent.connections == 2


async def test_a_receiver_that_hangs_up_or_is_away_is_a_failure_that_may_pass(message: Any, tmp_path: Path) -> None:
    async with sending(Receiver(lambda _: None), tmp_path) as destination:
        with pytest.raises(DeliveryFailed):
            await destination.deliver(raw(message("M1")))
    async with sending(Receiver(lambda _: None), tmp_path, port=1) as destination:
        with pytest.raises(DeliveryFailed) as caught:
            await destination.deliver(raw(message("M1")))
    assert "127.0.0.1" not in str(caught.value)


async def test_a_message_that_asks_for_no_answer_is_delivered_when_it_is_sent(message: Any, tmp_path: Path) -> None:
    receiver = Receiver(lambda _: b"")
    async with sending(receiver, tmp_path) as destination:
        await destination.deliver(raw(message("M1", tail="|||NE|NE")))
    async with asyncio.timeout(5):
        while not receiver.received:
            await asyncio.sleep(0.01)


async def test_it_speaks_tls_shows_its_certificate_and_checks_the_receiver_s(message: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("hub")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(server.certificate, server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = {"ca": "authority.pem", "certificate": "hub.pem", "key": "hub.key", "server_name": "server"}
    assert client.certificate.name == "hub.pem"
    receiver = Receiver(lambda control: ack("AA", control))
    async with sending(receiver, tmp_path, context, tls=tls) as destination:
        await destination.deliver(raw(message("M1")))
        assert destination.address.startswith("mllps://")
    async with sending(receiver, tmp_path, context, tls=tls | {"server_name": "elsewhere"}) as destination:
        with pytest.raises(DeliveryFailed):
            await destination.deliver(raw(message("M2")))
    with pytest.raises(ConfigError) as caught:
        async with sending(receiver, tmp_path, tls={"ca": "missing.pem"}):
            pass
    assert caught.value.key == "tls.ca"
    assert len(receiver.received) == 1


def test_an_acknowledgement_is_read_by_its_own_delimiters() -> None:
    assert acknowledged(b"MSH#@~\\&#A\rMSA#AA#M1\r") == (b"AA", b"M1")
    assert acknowledged(b"MSH|^~\\&|A\nMSA|CA|M1|text\n") == (b"CA", b"M1")
    assert acknowledged(b"MSH|^~\\&|A\rPID|1\r") is None
    assert acknowledged(b"noise") is None


def test_raw_is_the_bytes_as_they_came() -> None:
    body = b"MSH|^~\\&|A\xff\r\nPID|\xe5"
    assert encoded(body, Encoding()) == body


def test_names_in_the_header_are_replaced_in_the_sender_s_own_delimiters() -> None:
    body = b"MSH#@~\\&#ADT1#GOOD#HP#HUB#2026##ADT@A01#M1#P#2.5.1\rPID#1##\xe5\r"
    told = encoded(body, Encoding(header={"3": "HUB^1.2.3^ISO", "6": "LAB"}))
    assert told == body.replace(b"ADT1", b"HUB@1.2.3@ISO", 1).replace(b"#HUB#2026", b"#LAB#2026")


def test_a_message_is_written_anew_with_the_standard_delimiters_and_in_another_set() -> None:
    head = "MSH#@!\\%#ADT1#GOOD##HUB#2026##ADT@A01@ADT_A01#M1#P#2.5.1\r\n"
    body = f"\ufeff{head}PID#1##A@B!C%D#a|b^c~d&e#\\F\\#å\r\n".encode()
    told = encoded(body, Encoding("latin-1", {"5": "LAB"}))
    assert told == (
        "MSH|^~\\&|ADT1|GOOD|LAB|HUB|2026||ADT^A01^ADT_A01|M1|P|2.5.1||||||8859/1\r"
        "PID|1||A^B~C&D|a\\F\\b\\S\\c\\R\\d\\T\\e|\\F\\|å\r"
    ).encode("latin-1")
    again = encoded(told, Encoding("utf-8"))
    assert again.decode().split("\r")[1].endswith("|å")
    assert b"UNICODE UTF-8" in again


def test_a_set_that_lacks_a_character_refuses_the_message() -> None:
    body = "MSH|^~\\&|A|||||||M1|P|2.5.1||||||UNICODE UTF-8\rPID|山\r".encode()
    with pytest.raises(MessageError):
        encoded(body, Encoding("latin-1"))
