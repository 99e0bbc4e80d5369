"""Enhanced mode, sequence numbers, release 2 of MLLP and the policies of a feed, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import Refusal
from hawsepipe_hl7v2.framing import framed
from hawsepipe_hl7v2.sequences import Place, Sequences, Standing, place, read_number


def parts(reply: str, name: str = "MSA") -> list[str]:
    return next((line.split("|") for line in reply.split("\r") if line.startswith(name)), [])


async def answers(bed: Any, data: bytes, count: int) -> list[str]:
    line = await bed.line()
    line.send(data)
    found = [await line.reply() for _ in range(count)]
    line.writer.write_eof()
    assert await line.rest() == b""
    line.writer.close()
    return found


async def test_the_application_acknowledgement_comes_after_the_effect_as_a_message_of_its_own(
    listen: Any, message: Any
) -> None:
    async with listen() as bed:
        line = await bed.line()
        line.send(framed(message(tail="|||AL|AL")))
        accept = await line.reply()
        assert parts(accept) == ["MSA", "CA", "M1"]
        bed.journal.effect.set()
        final = await line.reply()
        assert parts(final) == ["MSA", "AA", "M1"]
        assert parts(final, "MSH")[9] != parts(accept, "MSH")[9]
        assert parts(final, "MSH")[14:16] == ["NE", "NE"]
        # The sender may acknowledge what we have sent; that is no message.
        control = parts(final, "MSH")[9]
        line.send(framed(f"MSH|^~\\&|HP|HUB|ADT1|GOOD|2026||ACK^A01^ACK|R1|P|2.5.1\rMSA|CA|{control}\r".encode()))
        line.writer.write_eof()
        assert await line.rest() == b""
        line.writer.close()
        assert len(bed.journal.messages) == 1
        assert bed.count("hawsepipe_feed_framing_events_total", event="peer_acknowledgement") == 1


async def test_an_effect_that_fails_is_told_with_its_place(listen: Any, message: Any) -> None:
    async with listen() as bed:
        bed.journal.effect.set()
        bed.journal.failure = Refusal("mapping", "OBX[2]-5", "no way")
        _, final = await answers(bed, framed(message(tail="|||AL|ER")), 2)
        assert parts(final)[1:3] == ["AE", "M1"]
        assert parts(final, "ERR")[2:4] == ["OBX^2^5", "207^Application internal error^HL70357"]
        assert "no way" not in final, "the words of a translator stay here"


@pytest.mark.parametrize(
    ("modes", "broken", "expected"),
    [
        ("|||AL|AL", True, ["CA", "AE"]),
        ("|||AL|ER", True, ["CA", "AE"]),
        ("|||AL|SU", True, ["CA"]),
        ("|||AL|NE", True, ["CA"]),
        ("|||ER|ER", True, ["AE"]),
        ("|||NE|AL", True, ["AE"]),
        ("|||NE|NE", True, []),
        ("|||AL|AL", False, ["CA", "AA"]),
        ("|||AL|SU", False, ["CA", "AA"]),
        ("|||AL|ER", False, ["CA"]),
        ("|||SU|SU", False, ["CA", "AA"]),
        ("||||AL", False, ["AA"]),
        ("|||AL", False, ["CA"]),
    ],
)
async def test_content_errors_are_safely_stored_and_told_by_the_second_acknowledgement(
    listen: Any, message: Any, modes: str, broken: bool, expected: list[str]
) -> None:
    async with listen() as bed:
        bed.journal.effect.set()
        changes = {"pid": "PID|1"} if broken else {}
        found = await answers(bed, framed(message(tail=modes, **changes)), len(expected))
        assert [parts(reply)[1] for reply in found] == expected
        assert (bed.journal.messages[0][2] is not None) == broken


async def test_a_rejection_that_no_accept_acknowledgement_may_tell_is_told_by_the_other(
    listen: Any, message: Any
) -> None:
    async with listen() as bed:
        (reply,) = await answers(bed, framed(message(tail="|||NE|ER", version="9.9")), 1)
        assert parts(reply)[1] == "AR"
        assert parts(reply, "ERR")[3].startswith("203^")


async def test_a_repeated_message_gets_both_acknowledgements_again(listen: Any, message: Any) -> None:
    async with listen() as bed:
        bed.journal.effect.set()
        sent = framed(message(tail="|||AL|AL"))
        first, second = await answers(bed, sent, 2), await answers(bed, sent, 2)
        assert first == second
        assert len(bed.journal.messages) == 1


async def test_application_acknowledgements_that_wait_count_in_the_window(listen: Any, message: Any) -> None:
    async with listen(limits={"window": 2}) as bed:
        line = await bed.line()
        line.send(b"".join(framed(message(f"M{number}", tail="|||AL|AL")) for number in range(4)))
        assert [parts(await line.reply())[1] for _ in range(2)] == ["CA", "CA"]
        await asyncio.sleep(0.05)
        assert len(bed.journal.messages) == 2
        bed.journal.effect.set()
        codes = [parts(await line.reply())[1] for _ in range(6)]
        assert sorted(codes) == ["AA"] * 4 + ["CA"] * 2
        line.writer.close()


async def numbered(bed: Any, message: Any, numbers: list[str]) -> list[list[str]]:
    line = await bed.line()
    found = []
    for index, number in enumerate(numbers):
        line.send(framed(message(f"S{len(bed.journal.messages)}{index}{number}", tail=f"|{number}")))
        found.append(parts(await line.reply())[1:])
    line.writer.close()
    return found


async def test_sequence_numbers_are_kept_across_a_restart(listen: Any, message: Any) -> None:
    async with listen(sequence_numbers=True) as bed:
        found = await numbered(bed, message, ["0", "1", "1", "3", "2"])
        assert [(entry[0], entry[3]) for entry in found] == [
            ("AA", "1"),
            ("AA", "2"),
            ("AA", "2"),
            ("AR", "2"),
            ("AA", "3"),
        ]
        # The start, 1 and 2: neither the repeat nor the gap has an effect.
        assert len(bed.journal.messages) == 3
        assert bed.count("hawsepipe_feed_framing_events_total", event="sequence_gap") == 1
    async with listen(sequence_numbers=True) as bed:
        found = await numbered(bed, message, ["0", "2", "9", "-1", "9", "10"])
        assert [(entry[0], entry[3]) for entry in found] == [
            ("AA", "3"),
            ("AA", "3"),
            ("AR", "3"),
            ("AA", "-1"),
            ("AA", "10"),
            ("AA", "11"),
        ]


async def test_a_sender_that_is_not_of_the_feed_has_no_part_in_its_sequence_numbers(listen: Any, message: Any) -> None:
    async with listen(sequence_numbers=True) as bed:
        assert [entry[0] for entry in await numbered(bed, message, ["0", "1"])] == ["AA", "AA"]
    async with listen(sequence_numbers=True, accept={"senders": ["LAB|GOOD"]}) as bed:
        assert [entry[0] for entry in await numbered(bed, message, ["1", "2"])] == ["AR", "AR"]
    async with listen(sequence_numbers=True) as bed:
        assert [entry[0] for entry in await numbered(bed, message, ["2"])] == ["AA"]


async def test_a_number_is_only_taken_when_its_message_was_stored(listen: Any, message: Any) -> None:
    async with listen(sequence_numbers=True) as bed:
        await numbered(bed, message, ["0", "1"])
        bed.journal.fault = OSError("full")
        assert (await numbered(bed, message, ["2"]))[0][0] == "AR"
        bed.journal.fault = None
        assert [entry[3] for entry in await numbered(bed, message, ["2"])] == ["3"]


async def test_a_refused_message_may_be_sent_again_under_its_number(listen: Any, message: Any) -> None:
    async with listen(sequence_numbers=True) as bed:
        await numbered(bed, message, ["0"])
        line = await bed.line()
        line.send(framed(message("A", tail="|1", pid="PID|1")) + framed(message("B", tail="|1")))
        assert [parts(await line.reply())[1] for _ in range(2)] == ["AE", "AA"]
        line.send(framed(message("C", tail="|x")))
        reply = await line.reply()
        assert parts(reply)[1] == "AE"
        assert parts(reply, "ERR")[2] == "MSH^1^13"
        line.writer.close()


async def test_senders_that_do_not_number_are_not_held_to_it(listen: Any, message: Any) -> None:
    async with listen(sequence_numbers=True) as bed:
        assert await numbered(bed, message, ["", ""]) == [["AA", "S00"], ["AA", "S11"]]


def test_a_number_stands_to_the_last_one_as_the_protocol_says() -> None:
    last = Standing(7, good=True)
    assert [place(number, last) for number in (0, -1, 8, 7, 9, 6)] == [
        Place.START,
        Place.ANEW,
        Place.NEXT,
        Place.REPEAT,
        Place.GAP,
        Place.GAP,
    ]
    assert place(500, None) is Place.NEXT
    assert place(7, Standing(7, good=False)) is Place.NEXT
    assert [read_number(text) for text in ("0", "-1", "12", "-2", "1.0", "x", "", "99999999999", "٣")] == [
        0,
        -1,
        12,
        *[None] * 6,
    ]


def test_a_damaged_file_of_numbers_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "sequences.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError):
        Sequences(tmp_path)


async def test_release_2_commits_before_it_acknowledges_and_fails_when_nothing_is_stored(
    listen: Any, message: Any
) -> None:
    async with listen(release=2) as bed:
        line = await bed.line()
        line.send(framed(message()))
        assert (await line.reply(), parts(await line.reply())) == ("\x06", ["MSA", "AA", "M1"])
        bed.journal.fault = OSError("full")
        line.send(framed(b"\x06") + framed(message("M2")))
        assert await line.reply() == "\x15"
        bed.journal.fault = None
        line.send(framed(message("M3", tail="|||NE|NE")))
        assert await line.reply() == "\x06"
        line.writer.write_eof()
        assert await line.rest() == b""
        line.writer.close()
        assert bed.count("hawsepipe_feed_framing_events_total", event="peer_commit") == 1


async def test_a_control_id_that_is_used_again_is_taken_unless_the_feed_is_strict(listen: Any, message: Any) -> None:
    first, other = message(), message(pid="PID|1||MRN2^^^GOOD^MR")
    async with listen() as bed:
        assert [parts(reply)[1] for reply in await answers(bed, framed(first) + framed(other), 2)] == ["AA", "AA"]
    async with listen(duplicates="strict") as bed:
        again = await answers(bed, framed(first) + framed(other) + framed(first), 3)
        assert [parts(reply)[1] for reply in again] == ["AA", "AE", "AA"]
        assert parts(again[1], "ERR")[3].startswith("205^")
        assert bed.journal.messages[1][2].location == "MSH-10"


@pytest.mark.parametrize(
    ("senders", "code"),
    [(["ADT1|GOOD"], "AA"), (["*|GOOD"], "AA"), (["ADT1|*"], "AA"), (["LAB|GOOD", "ADT1|EVIL"], "AR"), ([], "AR")],
)
async def test_a_feed_takes_the_senders_that_it_names(listen: Any, message: Any, senders: list[str], code: str) -> None:
    async with listen(accept={"senders": senders}) as bed:
        (reply,) = await answers(bed, framed(message()), 1)
        assert parts(reply)[1] == code
        assert bed.count("hawsepipe_feed_framing_events_total", event="foreign_sender") == (code == "AR")
        assert (bed.journal.messages[0][2] is not None) == (code == "AR")


@pytest.mark.parametrize("value", ["abc", "5,4", "<5", "5.4 mmol", "1e5", "٣"])
async def test_a_number_that_is_none_is_an_error_unless_the_feed_is_lenient(
    listen: Any, message: Any, value: str
) -> None:
    sent = message(tail="||||||UNICODE UTF-8") + f"OBX|1|NM|1-8^A^LN||{value}|mg|||||F\r".encode()
    async with listen() as bed:
        (reply,) = await answers(bed, framed(sent), 1)
        assert parts(reply)[1] == "AE"
        assert parts(reply, "ERR")[2:4] == ["OBX^1^5", "102^Data type error^HL70357"]
    async with listen(accept={"values": "lenient"}) as bed:
        assert parts((await answers(bed, framed(sent), 1))[0])[1] == "AA"


@pytest.mark.parametrize("value", ["5.4", "-1", "+.5", "7.", "", '""', "1~2"])
async def test_a_number_is_taken_in_every_form_that_it_may_have(listen: Any, message: Any, value: str) -> None:
    async with listen() as bed:
        sent = message() + f"OBX|1|NM|1-8^A^LN||{value}|mg|||||F\rOBX|2|ST|1-8^A^LN||abc||||||F\r".encode()
        assert parts((await answers(bed, framed(sent), 1))[0])[1] == "AA"
