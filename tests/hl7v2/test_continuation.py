"""A message in parts: put together in order, whatever comes between, and never applied in part."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.hl7v2.conftest import Journal

from hawsepipe import Meters, RawMessage
from hawsepipe_hl7v2.continuation import Link, joined, link_of
from hawsepipe_hl7v2.door import door_of
from hawsepipe_hl7v2.reception import Reception, Rules
from hawsepipe_hl7v2.settings import FEED_SCHEMA, filled

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def part(control: str, *segments: str, before: str = "", after: str = "", **more: str) -> bytes:
    header = f"MSH|^~\\&|LAB|GOOD|MW|HUB|20260301101500+0000||ORU^R01^ORU_R01|{control}|P|2.5.1||{before}"
    header += f"|{more['accept']}|{more['application']}" if more else ""
    return "\r".join([header, *segments, *([f"DSC|{after}|F"] if after else [])]).encode() + b"\r"


FIRST = ("PID|1||MRN1^^^GOOD^MR||DOE^JANE", "OBR|1|P1|F1|1^A^L", "OBX|1|NM|1^A^L||1|mg|||||F")
PARTS = (
    part("C1", *FIRST, after="X1"),
    part("C2", "OBX|2|NM|2^B^L||2|mg|||||F", "NTE|1||a long no", "ADD|", before="X1", after="X2"),
    part("C3", "ADD|te", "OBX|3|NM|3^C^L||3|mg|||||F", before="X2"),
)
WHOLE = part("C1", *FIRST, "OBX|2|NM|2^B^L||2|mg|||||F", "NTE|1||a long note", "OBX|3|NM|3^C^L||3|mg|||||F")


def reception(journal: Any) -> Reception:
    rules = Rules(door_of(filled(FEED_SCHEMA, {})))
    return Reception("adt", rules, lambda: NOW, Meters(), journal)


async def taken(desk: Reception, *bodies: bytes) -> list[str]:
    """Return MSA-1 and MSA-2 of each answer (nothing for none)."""
    answers = [await desk.take(RawMessage("adt", NOW, "application/hl7-v2", body), bound=None) for body in bodies]
    return [_told(answer.reply or b"") for answer in answers]


def _told(reply: bytes) -> str:
    return "".join("|".join(line.split("|")[1:3]) for line in reply.decode().split("\r") if line.startswith("MSA"))


def applied(journal: Journal) -> list[bytes]:
    return [message.body for message, _, refusal in journal.messages if refusal is None]


def test_parts_are_one_message_under_the_first_header() -> None:
    assert joined(PARTS) == WHOLE
    assert joined([body.replace(b"\r", b"\r\n") for body in PARTS]) == WHOLE


def test_how_a_message_hangs_on_others_is_in_its_header_and_its_last_segment() -> None:
    sender = (b"LAB", b"GOOD")
    assert [link_of(body) for body in PARTS] == [
        Link(sender, b"", b"X1"),
        Link(sender, b"X1", b"X2"),
        Link(sender, b"X2", b""),
    ]
    assert link_of(WHOLE) is None
    assert link_of(b"PID|1") is None
    assert link_of(PARTS[0].replace(b"DSC|X1|F", b"DSC|X1|I")) is None, "a page of an answer"
    assert link_of(PARTS[0].replace(b"ORU^R01^ORU_R01", b"QBP^Q11")) is None
    assert link_of(WHOLE + b"NTE|1||DSC|X\r") is None


async def test_a_message_in_parts_has_one_effect_when_it_is_whole() -> None:
    journal = Journal()
    assert await taken(reception(journal), *PARTS[:2]) == ["AA|C1", "AA|C2"]
    assert applied(journal) == []
    assert [number for number, _ in await journal.set_aside("adt", "DSC-1")] == [1, 2]
    # Another reception: what was in memory is gone.
    assert await taken(reception(journal), PARTS[2]) == ["AA|C3"]
    assert applied(journal) == [WHOLE]
    assert await journal.set_aside("adt", "DSC-1") == []


async def test_parts_that_do_not_wait_for_each_other_are_taken_in_order() -> None:
    journal = Journal()
    await asyncio.gather(*(taken(desk, body) for desk in [reception(journal)] for body in PARTS))
    assert applied(journal) == [WHOLE]


async def test_a_part_that_comes_again_is_one_part() -> None:
    journal = Journal()
    assert await taken(reception(journal), PARTS[0], PARTS[0], *PARTS[1:]) == ["AA|C1", "AA|C1", "AA|C2", "AA|C3"]
    assert applied(journal) == [WHOLE]
    assert await journal.set_aside("adt", "DSC-1") == []


async def test_without_one_of_its_parts_a_message_has_no_effect() -> None:
    journal = Journal()
    assert await taken(reception(journal), PARTS[0], PARTS[2]) == ["AA|C1", "AE|C3"]
    assert applied(journal) == []
    assert [number for number, _ in await journal.set_aside("adt", "DSC-1")] == [1]


async def test_a_sender_that_fills_msh_14_with_something_else_is_served() -> None:
    journal = Journal()
    alone = part("C9", *FIRST, before="7")
    assert await taken(reception(journal), alone) == ["AA|C9"]
    assert applied(journal) == [alone]


async def test_other_senders_with_the_same_pointer_are_others() -> None:
    journal = Journal()
    other = PARTS[2].replace(b"|LAB|GOOD|", b"|LAB|OTHER|")
    assert await taken(reception(journal), *PARTS[:2], other) == ["AA|C1", "AA|C2", "AE|C3"]
    assert applied(journal) == []


@pytest.mark.parametrize(("wrong", "answer"), [(b"|P|9.9", "AR|C1"), (b"|X|2.5.1", "AR|C1")])
async def test_a_part_that_is_not_for_this_feed_is_refused_at_once(wrong: bytes, answer: str) -> None:
    journal = Journal()
    assert await taken(reception(journal), PARTS[0].replace(b"|P|2.5.1", wrong)) == [answer]
    assert await journal.set_aside("adt", "DSC-1") == []


async def test_in_enhanced_mode_what_becomes_of_it_is_told_to_the_last_part() -> None:
    journal, desk = Journal(), None
    desk = reception(journal)
    modes = {"accept": "AL", "application": "AL"}
    first = part("C1", *FIRST, after="X1", **modes)
    last = part("C2", "OBX|2|NM|2^B^L||2|mg|||||F", before="X1", **modes)
    answers = [
        await desk.take(RawMessage("adt", NOW, "application/hl7-v2", body), bound=None) for body in (first, last)
    ]
    assert [_told(answer.reply or b"") for answer in answers] == ["CA|C1", "CA|C2"]
    assert [answer.awaited is None for answer in answers] == [True, False]
