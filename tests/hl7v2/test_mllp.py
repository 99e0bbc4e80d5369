"""The listener, over real sockets."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from hawsepipe import StoreFull
from hawsepipe_hl7v2.acknowledgement import Finding, build
from hawsepipe_hl7v2.framing import framed
from hawsepipe_hl7v2.header import read_header
from hawsepipe_hl7v2.settings import MESSAGES


def msa(reply: str) -> list[str]:
    return reply.split("\r")[1].split("|")


async def exchange(bed: Any, data: bytes) -> str:
    line = await bed.line()
    line.send(data)
    reply: str = await line.reply()
    line.writer.close()
    return reply


async def test_a_message_is_stored_and_then_acknowledged_in_the_sender_s_terms(listen: Any, message: Any) -> None:
    async with listen() as bed:
        reply = await exchange(bed, framed(message()))
        segments = reply.split("\r")
        head = segments[0].split("|")
        assert head[2:6] == ["HP", "HUB", "ADT1", "GOOD"]
        assert (head[6], head[8], head[10:12]) == ("20260301083100+0000", "ACK^A01^ACK", ["P", "2.5.1"])
        assert re.fullmatch("[0-9A-F]{20}", head[9])
        assert segments[1] == "MSA|AA|M1"
        ((stored, key, refusal),) = bed.journal.messages
        assert (stored.body, key, refusal) == (message(), "ADT1|GOOD|M1", None)
        assert bed.count("hawsepipe_feed_acknowledgements_total", code="AA") == 1


async def test_nothing_is_answered_before_the_journal_has_it(listen: Any, message: Any) -> None:
    async with listen() as bed:
        bed.journal.gate = asyncio.Event()
        line = await bed.line()
        line.send(framed(message()))
        while not bed.journal.waiting:
            await asyncio.sleep(0)
        assert line.reader.at_eof() is False
        bed.journal.gate.set()
        assert msa(await line.reply()) == ["MSA", "AA", "M1"]
        line.writer.close()


async def test_a_hundred_pipelined_messages_are_answered_in_order_within_the_window(listen: Any, message: Any) -> None:
    async with listen(limits={"window": 16}) as bed:
        bed.journal.gate = asyncio.Event()
        line = await bed.line()
        line.send(b"".join(framed(message(f"M{number}")) for number in range(100)))
        while bed.journal.waiting < 16:
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert bed.journal.waiting == 16
        bed.journal.gate.set()
        assert [msa(await line.reply())[2] for _ in range(100)] == [f"M{number}" for number in range(100)]
        line.writer.close()


async def test_a_frame_may_come_byte_by_byte(listen: Any, message: Any) -> None:
    async with listen() as bed:
        line = await bed.line()
        for byte in framed(message()):
            line.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert msa(await line.reply())[1] == "AA"
        line.writer.close()


async def test_a_truncated_frame_becomes_a_dead_letter_and_is_never_glued(listen: Any, message: Any) -> None:
    async with listen() as bed:
        reply = await exchange(bed, b"\x0bMSH|^~\\&|ADT1|GOOD|HP" + framed(message("M2")))
        assert msa(reply)[2] == "M2"
        (fragment, _, refusal), (whole, _, none) = bed.journal.messages
        assert (fragment.body, whole.body, none) == (b"MSH|^~\\&|ADT1|GOOD|HP", message("M2"), None)
        assert refusal is not None
        assert bed.count("hawsepipe_feed_framing_events_total", event="truncated") == 1


async def test_junk_is_counted_and_the_connection_stays(listen: Any, message: Any) -> None:
    async with listen() as bed:
        assert msa(await exchange(bed, b"junk\r\n" + framed(message())))[1] == "AA"
        assert bed.count("hawsepipe_feed_framing_events_total", event="junk_bytes") == 6


async def test_an_end_byte_inside_a_message_is_an_error_and_the_raw_bytes_are_kept(listen: Any, message: Any) -> None:
    async with listen() as bed:
        body = message() + b"OBX|1|TX|||a\x1cb\r"
        assert msa(await exchange(bed, framed(body)))[1] == "AE"
        assert bed.journal.messages[0][0].body == body


async def test_a_frame_that_stops_half_way_is_set_aside_and_the_connection_closed(listen: Any) -> None:
    async with listen(limits={"idle_seconds": 0.05}) as bed:
        line = await bed.line()
        line.send(b"\x0bMSH|^~\\&|half")
        assert await line.rest() == b""
        assert bed.journal.messages[0][0].body == b"MSH|^~\\&|half"
        line.writer.close()


async def test_a_frame_that_lacks_only_its_return_is_taken_after_the_silence(listen: Any, message: Any) -> None:
    async with listen(limits={"idle_seconds": 0.05}) as bed:
        line = await bed.line()
        line.send(b"\x0b" + message() + b"\x1c")
        assert msa(await line.reply())[1] == "AA"
        assert await line.rest() == b""
        line.writer.close()


async def test_an_idle_connection_without_a_frame_outlives_one_that_is_silent_inside_a_frame(
    listen: Any, message: Any
) -> None:
    async with listen(limits={"idle_seconds": 0.02}) as bed:
        line, other = await bed.line(), await bed.line()
        line.send(framed(message("M1")))
        await line.reply()
        other.send(b"\x0bhalf")
        assert await other.rest() == b""
        line.send(framed(message("M2")))
        assert msa(await line.reply())[2] == "M2"
        line.writer.close()
        other.writer.close()


@pytest.mark.parametrize(
    ("changes", "code", "error"),
    [
        ({"type": "ZZZ^Q99"}, "AR", "200"),
        ({"type": "ADT^A99"}, "AR", "201"),
        ({"version": "9.9"}, "AR", "203"),
        ({"id": "T"}, "AR", "202"),
        ({"pid": "PV1|1|I"}, "AE", "101"),
        ({"pid": "PID|1||^^^GOOD"}, "AE", "101"),
        ({"pid": "PID|1||M||M\xdcLLER"}, "AE", "102"),
    ],
)
async def test_what_the_feed_cannot_take_is_answered_with_its_reason_and_set_aside(
    listen: Any, message: Any, changes: dict[str, str], code: str, error: str
) -> None:
    async with listen() as bed:
        reply = await exchange(bed, framed(message(**changes)))
        assert msa(reply)[1:3] == [code, "M1"]
        assert reply.split("\r")[2].split("|")[3].split("^")[0] == error
        assert bed.journal.messages[0][2] is not None


async def test_the_error_segment_has_the_shape_of_its_version(listen: Any, message: Any) -> None:
    async with listen() as bed:
        new = await exchange(bed, framed(message(pid="PID|1||^^^GOOD")))
        old = await exchange(bed, framed(message(pid="PID|1||^^^GOOD", version="2.3.1")))
        *shape, words = new.split("\r")[2].split("|")
        assert "|".join(shape) == "ERR||PID^1^3|101^Required field missing^HL70357|E|||"
        assert words == "there is no patient identifier"
        assert old.split("\r")[2] == "ERR|PID^1^3^101&Required field missing&HL70357"
        assert len(msa(old)) == 4


async def test_the_senders_engineer_reads_which_fault_of_the_character_set_it_is(listen: Any, message: Any) -> None:
    async with listen() as bed:
        sent = [message(tail=f"||||||{charset}") + b"NTE|1||M\xfcller\r" for charset in ("KLINGON", "UNICODE UTF-8")]
        replies = [await exchange(bed, framed(body)) for body in sent]
        words = [reply.split("\r")[2].split("|")[8] for reply in replies]
        assert words[0] == "the character set is not supported"
        assert words[1] == "the bytes are not in the declared or expected character set"


def test_our_words_are_escaped_among_the_senders_delimiters() -> None:
    header = read_header(b"MSH|@-\\'|A|B|||||ADT@A01|C|P|2.5.1\r")
    made = build(header, "AE", Finding("E", 102, "PID-3", "a@b|c-d"), datetime(2026, 11, 1, tzinfo=UTC), b"s")
    assert made.split(b"\r")[2].split(b"|")[8] == b"a\\S\\b\\F\\c\\R\\d"


async def test_delimiters_and_the_control_id_come_back_byte_for_byte(listen: Any) -> None:
    body = b"MSH#@~\\&#ADT1#GOOD#HP#HUB#2026##ADT@A01@ADT_A01#id \xe9\\F\\#P#2.5.1\rPID#1##MRN1@@@GOOD\r"
    async with listen(charset="latin-1") as bed:
        reply = await exchange(bed, framed(body))
        assert reply.split("\r")[1] == "MSA#AA#id \xe9\\F\\"
        assert reply.startswith("MSH#@~\\&#HP#HUB#ADT1#GOOD#")
        assert "#ACK@A01@ACK#" in reply


async def test_a_message_without_a_header_is_rejected_and_kept(listen: Any) -> None:
    async with listen() as bed:
        assert msa(await exchange(bed, framed(b"PID|1||x\r"))) == ["MSA", "AR", ""]
        assert bed.journal.messages[0][0].body == b"PID|1||x\r"


async def test_a_full_store_is_answered_with_ar_and_a_broken_host_too(listen: Any, message: Any) -> None:
    async with listen() as bed:
        bed.journal.fault = StoreFull("no room")
        assert msa(await exchange(bed, framed(message())))[1] == "AR"
        assert msa(await exchange(bed, framed(message(tail="|||AL|NE"))))[1] == "CE"
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        bed.journal.fault = RuntimeError("host")
        assert msa(await exchange(bed, framed(message())))[1] == "AR"


async def test_a_duplicate_gets_the_stored_acknowledgement(listen: Any, message: Any) -> None:
    async with listen() as bed:
        first = await exchange(bed, framed(message()))
        assert await exchange(bed, framed(message())) == first
        assert len(bed.journal.messages) == 1
        assert bed.count("hawsepipe_feed_duplicates_total") == 1
        assert msa(await exchange(bed, framed(message(pid="PID|1||OTHER"))))[1] == "AA"
        assert len(bed.journal.messages) == 2


async def test_an_acknowledgement_is_never_acknowledged(listen: Any, message: Any) -> None:
    async with listen() as bed:
        line = await bed.line()
        line.send(framed(b"MSH|^~\\&|A|B|C|D|2026||ACK^A01^ACK|1|P|2.5.1\rMSA|AA|9\r") + framed(message("M2")))
        assert msa(await line.reply())[2] == "M2"
        assert len(bed.journal.messages) == 2
        line.writer.close()


@pytest.mark.parametrize(
    ("modes", "kind", "expected"),
    [
        ("|||AL|NE", "ADT^A01", "CA"),
        ("|||AL|", "ADT^A01", "CA"),
        ("|||AL|AL", "ZZZ^Q99", "CR"),
        ("|||ER|ER", "ZZZ^Q99", "CR"),
        ("|||ER|ER", "ADT^A01", None),
        ("|||NE|NE", "ADT^A01", None),
        ("||||AL", "ADT^A01", None),
        ("|||SU|NE", "ADT^A01", "CA"),
        ("|||SU|NE", "ZZZ^Q99", None),
    ],
)
async def test_enhanced_mode_sends_the_accept_acknowledgement_that_msh_15_asks_for(
    listen: Any, message: Any, modes: str, kind: str, expected: str | None
) -> None:
    async with listen() as bed:
        line = await bed.line()
        line.send(framed(message("M1", tail=modes, type=kind)) + framed(message("M2")))
        reply = await line.reply()
        assert msa(reply)[1:3] == ([expected, "M1"] if expected else ["AA", "M2"])
        if expected:
            await line.reply()
        assert len(bed.journal.messages) == 2
        line.writer.close()


async def test_a_tls_greeting_on_the_plain_port_is_closed_at_once(listen: Any) -> None:
    async with listen() as bed:
        line = await bed.line()
        line.send(b"\x16\x03\x01\x02\x00")
        with suppress(ConnectionError):
            assert await line.rest() == b""
        assert bed.count("hawsepipe_feed_framing_events_total", event="tls_on_plain_port") == 1
        line.writer.close()


async def test_one_connection_too_many_is_closed_and_hurts_nobody(listen: Any, message: Any) -> None:
    async with listen(limits={"connections": 1}) as bed:
        line = await bed.line()
        line.send(framed(message("M1")))
        await line.reply()
        other = await bed.line()
        with suppress(ConnectionError):
            assert await other.rest() == b""
        line.send(framed(message("M2")))
        assert msa(await line.reply())[2] == "M2"
        assert bed.count("hawsepipe_feed_connections") == 1
        line.writer.close()
        other.writer.close()


async def test_a_sender_that_closes_its_half_still_gets_its_acknowledgements(listen: Any, message: Any) -> None:
    async with listen() as bed:
        line = await bed.line()
        line.send(framed(message("M1")) + framed(message("M2")))
        line.writer.write_eof()
        assert (await line.rest()).count(b"MSA|AA") == 2
        line.writer.close()


async def test_stopping_answers_what_is_on_its_way(listen: Any, message: Any) -> None:
    async with listen() as bed:
        bed.journal.gate = asyncio.Event()
        line = await bed.line()
        line.send(framed(message()))
        while not bed.journal.waiting:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(bed.journal.gate.set)
    assert b"MSA|AA|M1" in await line.rest()
    line.writer.close()


async def test_an_oversized_frame_is_refused_and_the_next_one_is_read(listen: Any, message: Any) -> None:
    async with listen(limits={"frame_bytes": 1024}) as bed:
        line = await bed.line()
        line.send(framed(message("BIG") + b"OBX|" + b"x" * 5000) + framed(message("M2")))
        assert msa(await line.reply())[1:3] == ["AE", "BIG"]
        assert msa(await line.reply())[1:3] == ["AA", "M2"]
        line.writer.close()


@pytest.mark.parametrize("trigger", ["A19", "A56", "A99", "Z01"])
async def test_an_event_without_a_map_is_refused_unless_the_settings_name_it(
    listen: Any, message: Any, trigger: str
) -> None:
    told = framed(message(type=f"ADT^{trigger}"))
    evn = framed(message(type="ADT").replace(b"EVN|A01", f"EVN|{trigger}".encode()))
    async with listen() as bed:
        for sent, place in ((told, "MSH^1^9"), (evn, "EVN^1^1")):
            reply = await exchange(bed, sent)
            assert msa(reply)[1] == "AR"
            assert reply.split("\r")[2].split("|")[2:4][0].startswith(place)
            assert reply.split("\r")[2].split("|")[3].startswith("201^")
        assert all(refusal is not None for _, _, refusal in bed.journal.messages)
    async with listen(accept={"messages": [f"ADT^{trigger}"]}) as bed:
        assert msa(await exchange(bed, told))[1] == "AA"
        assert msa(await exchange(bed, evn))[1] == "AA"


def test_what_a_feed_takes_by_default_is_what_has_a_map() -> None:
    assert {"ADT^A01", "ADT^A40", "ORU^R01", "VXU^V04"} <= set(MESSAGES)
    assert not {"ADT^A19", "ADT^A56", "ADT^Z01", "ORL^O22"} & set(MESSAGES)


async def test_a_result_of_an_old_version_needs_no_event(listen: Any, message: Any) -> None:
    async with listen() as bed:
        assert (
            msa(await exchange(bed, framed(message(type="ORU", version="2.2").replace(b"EVN|A01\r", b""))))[1] == "AA"
        )
        assert (
            msa(await exchange(bed, framed(message(type="ADT", version="2.2").replace(b"EVN|A01\r", b""))))[1] == "AR"
        )


async def test_a_line_that_is_no_segment_is_an_error_at_the_door(listen: Any, message: Any) -> None:
    async with listen() as bed:
        reply = await exchange(bed, framed(message() + b"second line\r"))
        assert msa(reply)[1] == "AE"
        assert reply.split("\r")[2].startswith("ERR||PID^1|102^Data type error^HL70357|E||||")
        assert bed.journal.messages[0][2].cause == "parse"
