"""Files of messages: batches, bare messages, MLLP frames; whatever the chunks, the messages are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe import MessageError
from hawsepipe_hl7v2 import library
from hawsepipe_hl7v2.batches import Part, Trouble, split

ONE = b"MSH|^~\\&|A|B|C|D|2026||ADT^A08|1|P|2.5.1\rPID|1||M1"
TWO = b"MSH|^~\\&|A|B|C|D|2026||ADT^A08|2|P|2.5.1\rPID|1||M2\rNTE|1||two"


def bodies(*chunks: bytes) -> list[bytes]:
    return [part.body for part in split(chunks) if isinstance(part, Part)]


def troubles(*chunks: bytes) -> list[tuple[str, str]]:
    return [(part.location, part.text) for part in split(chunks) if isinstance(part, Trouble)]


def test_a_batch_is_its_messages() -> None:
    file = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + b"\r" + TWO + b"\rBTS|2\rFTS|1\r"
    assert bodies(file) == [ONE, TWO]
    assert troubles(file) == []


def test_bare_messages_need_nothing_between_them_but_a_line_end_of_any_kind() -> None:
    for end in (b"\r", b"\n", b"\r\n", b"\r\r\n\n"):
        file = ONE.replace(b"\r", end[:1]) + end + TWO
        assert bodies(file) == [ONE.replace(b"\r", end[:1]), TWO]


def test_messages_in_frames_come_without_the_frames() -> None:
    assert bodies(b"\x0b" + ONE + b"\r\x1c\r\x0b" + TWO + b"\x1c\r") == [ONE, TWO]


def test_a_message_knows_where_it_began() -> None:
    file = b"\xef\xbb\xbf" + ONE + b"\r\n" + TWO
    assert [part.offset for part in split([file]) if isinstance(part, Part)] == [3, 3 + len(ONE) + 2]


def test_counts_that_do_not_fit_are_told_and_every_message_is_read() -> None:
    file = b"BHS|^~\\&\r" + ONE + b"\rBTS|2\rBHS|^~\\&\r" + TWO + b"\rBTS|1\rFTS|x\r"
    assert bodies(file) == [ONE, TWO]
    assert troubles(file) == [
        ("BTS-1", "BTS-1 does not tell the number of messages in the batch: there are 1"),
        ("FTS-1", "FTS-1 does not tell the number of batches in the file: there are 2"),
    ]


def test_what_comes_before_the_first_message_is_told_once() -> None:
    assert troubles(b"hello\rworld\r" + ONE) == [("", "what comes before the first message belongs to none")]
    assert bodies(b"%PDF-1.4\n\x00\x01\x02") == []


def test_a_message_beyond_the_limit_is_cut_and_says_so() -> None:
    parts = list(split([ONE + b"\rNTE|1||" + b"x" * 500 + b"\r" + TWO], limit=120))
    assert [(len(part.body), part.truncated) for part in parts if isinstance(part, Part)] == [
        (120, True),
        (len(TWO), False),
    ]


def test_a_line_without_an_end_is_held_to_the_limit() -> None:
    parts = list(split((b"x" * 1000 for _ in range(1000)), limit=1000))
    assert [type(part) for part in parts] == [Trouble]


@given(st.data())
def test_how_a_file_is_cut_into_chunks_makes_no_difference(data: st.DataObject) -> None:
    file = b"FHS|^~\\&\r\n\x0b" + ONE + b"\r\x1c\r\n" + TWO + b"\r\rBTS|9\r\n" + ONE + b"\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(file)), max_size=12)))
    chunks = [file[start:end] for start, end in zip([0, *cuts], [*cuts, len(file)], strict=True)]
    assert list(split(chunks)) == list(split([file]))


CUT = "the MLLP frame has no end: the message was cut short, and is not read"


def frames(file: bytes) -> list[tuple[bytes, str]]:
    return [(it.body, "") if isinstance(it, Part) else (b"", it.text) for it in split([file])]


def test_a_frame_without_an_end_is_no_message() -> None:
    assert frames(b"\x0b" + ONE) == [(b"", CUT)]
    assert frames(b"\x0b" + ONE + b"\r") == [(b"", CUT)]
    assert frames(b"\x0b" + ONE + b"\r\x1c\r\x0b" + TWO[:50]) == [(ONE, ""), (b"", CUT)]
    assert frames(b"\x0b" + ONE + b"\x0b" + TWO + b"\x1c\r") == [(b"", CUT), (TWO, "")]
    assert frames(b"\x0b" + ONE + b"\r\x0b" + TWO + b"\x1c\r") == [(b"", CUT), (TWO, "")]


def test_frames_need_no_line_end_between_them() -> None:
    assert frames(b"\x0b" + ONE + b"\x1c\x0b" + TWO + b"\x1c") == [(ONE, ""), (TWO, "")]
    header = ONE[:40]
    assert frames(b"\x0b" + header + b"\x0b" + header + b"\x1c") == [(b"", CUT), (header, "")]
    many = (b"\x0b" + header) * 5000
    assert frames(many) == [(b"", CUT)] * 5000


def test_a_vertical_tab_in_a_text_is_no_frame() -> None:
    text = ONE + b"\rNTE|1||one\x0btwo"
    assert bodies(text) == [text]
    assert bodies(b"\x0b" + text + b"\x1c\r") == [text]


def test_a_message_that_is_missing_is_told_by_the_library_after_the_others() -> None:
    read = library.split([b"\x0b" + ONE + b"\x1c\r\x0b" + TWO])
    assert next(read) == ONE
    with pytest.raises(MessageError, match="has no end"):
        next(read)
