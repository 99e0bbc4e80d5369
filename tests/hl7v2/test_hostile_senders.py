"""The listener under senders that are broken or mean harm: nothing is lost, nobody else is hurt."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NoReturn

import pytest
import structlog

from hawsepipe import StoreFull
from hawsepipe_hl7v2 import reception
from hawsepipe_hl7v2.framing import framed


def failing(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("DOE^JANE")


async def closed(line: Any) -> None:
    """Wait for the end; when bytes of ours were left unread, it is a reset."""
    with suppress(ConnectionError):
        assert await line.rest() == b""


async def reply_to(bed: Any, data: bytes) -> str:
    line = await bed.line()
    line.send(data)
    reply: str = await line.reply()
    line.writer.close()
    return reply


@pytest.mark.parametrize("version", ["2." + "9" * 5000, "9" * 5000, "2.", ".", "²", "2.5.x", "-1"])
async def test_no_version_is_too_strange_to_be_answered(listen: Any, message: Any, version: str) -> None:
    async with listen(charset="utf-8") as bed:
        assert "\rMSA|AR|M1\r" in await reply_to(bed, framed(message(version=version)))
        assert bed.journal.messages[0][2].location == "MSH-12"


@pytest.mark.parametrize("broken", ["arrive", "build", "code_of", "wanted"])
async def test_a_message_that_cannot_be_examined_is_stored_and_answered(
    listen: Any, message: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(reception, broken, failing)
    async with listen() as bed:
        with structlog.testing.capture_logs() as logs:
            assert "\rMSA|AE|M1\r" in await reply_to(bed, framed(message()))
        ((stored, _, refusal),) = bed.journal.messages
        assert (stored.body, refusal.cause) == (message(), "parse")
        assert logs[0]["error"] == "RuntimeError"
        assert "DOE" not in repr(logs) + refusal.text


async def test_a_message_that_can_be_neither_examined_nor_stored_is_answered_with_ar(
    listen: Any, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "arrive", failing)
    async with listen() as bed:
        bed.journal.fault = StoreFull("no room")
        assert "\rMSA|AR|M1\r" in await reply_to(bed, framed(message()))
        assert "\rMSA|CE|M1\r" in await reply_to(bed, framed(message(tail="|||AL|NE")))


async def test_a_sender_that_cannot_be_answered_at_all_is_cut_off_and_its_message_kept(
    listen: Any, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "arrive", failing)
    monkeypatch.setattr(reception, "minimal", failing)
    async with listen() as bed:
        line = await bed.line()
        line.send(framed(message()))
        assert await line.rest() == b""
        assert bed.journal.messages[0][0].body == message()
        line.writer.close()


async def test_truncated_frames_without_end_close_the_connection(listen: Any, message: Any) -> None:
    async with listen() as bed:
        line = await bed.line()
        line.send(b"\x0bX" * 50_000)
        await closed(line)
        assert len(bed.journal.messages) == 100
        assert bed.count("hawsepipe_feed_framing_events_total", event="too_many_truncated") == 1
        assert "MSA|AA|M1" in await reply_to(bed, framed(message()))
        line.writer.close()


async def test_a_whole_frame_forgives_the_truncated_ones_before_it(listen: Any, message: Any) -> None:
    async with listen(limits={"fragments": 3}) as bed:
        line = await bed.line()
        for number in range(5):
            line.send(b"\x0bX\x0bX" + framed(message(f"M{number}")))
            assert f"MSA|AA|M{number}" in await line.reply()
        line.writer.close()


@pytest.mark.parametrize("flood", [b"\x0b", b"\x1c", b"\x0b\x0bX", b"\x0b\x1c\r"])
async def test_a_flood_does_not_keep_the_others_waiting(listen: Any, message: Any, flood: bytes) -> None:
    async with listen() as bed:
        mean, line = await bed.line(), await bed.line()
        mean.send(flood * (300_000 // len(flood)))
        line.send(framed(message()))
        assert "MSA|AA|M1" in await line.reply()
        mean.writer.transport.abort()
        line.writer.close()


async def test_a_frame_that_comes_drop_by_drop_is_cut_off_in_the_end(listen: Any) -> None:
    async with listen(limits={"frame_seconds": 0.1, "idle_seconds": 60}) as bed:
        line = await bed.line()
        line.send(b"\x0bMSH")
        while not line.reader.at_eof() and line.reader.exception() is None:
            line.send(b"x")
            await asyncio.sleep(0.005)
        assert bed.journal.messages[0][0].body.startswith(b"MSHx")
        assert bed.count("hawsepipe_feed_framing_events_total", event="frame_timeout") == 1
        line.writer.close()


@pytest.mark.parametrize("junk", [b"", b"junk"])
async def test_a_connection_without_messages_is_closed_in_the_end(listen: Any, junk: bytes) -> None:
    async with listen(limits={"quiet_seconds": 0.05}) as bed:
        line = await bed.line()
        line.send(junk)
        assert await line.rest() == b""
        assert bed.journal.messages == []
        assert bed.count("hawsepipe_feed_framing_events_total", event="quiet") == 1
        line.writer.close()


async def test_the_wait_for_the_journal_is_nobody_s_fault(listen: Any, message: Any) -> None:
    async with listen(limits={"quiet_seconds": 0.02, "idle_seconds": 0.02}) as bed:
        bed.journal.gate = asyncio.Event()
        line = await bed.line()
        line.send(framed(message()))
        await asyncio.sleep(0.1)
        bed.journal.gate.set()
        assert "MSA|AA|M1" in await line.reply()
        line.writer.close()


async def test_huge_unfinished_frames_of_many_connections_do_not_stop_an_ordinary_message(
    listen: Any, message: Any
) -> None:
    limits = {"feed_bytes": 1_000_000, "connections": 20, "idle_seconds": 0.05}
    async with listen(limits=limits) as bed:
        mean = [await bed.line() for _ in range(12)]
        for line in mean:
            line.send(b"\x0bMSH|" + b"x" * 900_000)
        good = await bed.line()
        good.send(framed(message()))
        assert "MSA|AA|M1" in await good.reply()
        # Those that hold back what they began are cut off, and the rest has its turn.
        for line in mean:
            await closed(line)
            line.writer.close()
        assert len(bed.journal.messages) == 13
        assert "MSA|AA|M1" in await reply_to(bed, framed(message()))
        good.writer.close()
