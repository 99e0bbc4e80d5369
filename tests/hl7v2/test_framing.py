"""MLLP framing, cut in any way."""

from __future__ import annotations

from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe_hl7v2.framing import Event, Fragment, Frame, Framer, Junk, Oversize, framed

PIECES = st.lists(
    st.one_of(
        st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"\x0bMSH|a\x1c\r", b"junk", b"\n"]),
        st.binary(max_size=6),
    ),
    max_size=14,
).map(b"".join)


def events(data: bytes, cuts: list[int], limit: int = 64) -> list[Event]:
    framer = Framer(limit)
    found: list[Event] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        framer.feed(data[start:end])
        while (event := framer.next()) is not None:
            found.append(event)
    if (last := framer.silence()) is not None:
        found.append(last)
    return found


def joined(found: list[Event]) -> list[Event]:
    """Junk that came in pieces counts as one."""
    result: list[Event] = []
    for event in found:
        if isinstance(event, Junk) and result and isinstance(last := result[-1], Junk):
            result[-1] = Junk(last.count + event.count)
        else:
            result.append(event)
    return result


@given(PIECES, st.lists(st.integers(0, 80), max_size=8))
def test_the_events_do_not_depend_on_how_the_bytes_were_cut(data: bytes, cuts: list[int]) -> None:
    assert joined(events(data, cuts)) == joined(events(data, []))


@given(st.lists(st.binary(max_size=30).filter(lambda body: not {0x0B, 0x1C} & set(body)), max_size=5))
def test_every_framed_message_comes_out_as_it_went_in(bodies: list[bytes]) -> None:
    assert events(b"".join(framed(body) for body in bodies), [3, 5, 7]) == [Frame(body) for body in bodies]


@given(PIECES)
def test_no_frame_ever_contains_a_start_byte(data: bytes) -> None:
    assert all(0x0B not in event.body for event in events(data, []) if isinstance(event, Frame | Fragment))


def test_junk_before_a_frame_is_counted() -> None:
    assert events(b"junk\r\n\x0bm\x1c\r", []) == [Junk(6), Frame(b"m")]


def test_a_second_start_makes_a_fragment_of_what_came_before() -> None:
    assert events(b"\x0bone\x0btwo\x1c\r", []) == [Fragment(b"one"), Frame(b"two")]


def test_an_end_without_its_return_before_the_next_start_is_an_end() -> None:
    assert events(b"\x0bone\x1c\x0btwo\x1c\r", []) == [Frame(b"one", lenient=True), Frame(b"two")]


def test_an_end_byte_inside_the_content_marks_the_frame_as_damaged() -> None:
    assert events(b"\x0bone\x1cmore\x1c\r", []) == [Frame(b"one\x1cmore", damaged=True)]


def test_silence_after_the_end_byte_completes_the_frame_and_silence_before_it_does_not() -> None:
    assert events(b"\x0bone\x1c", []) == [Frame(b"one", lenient=True)]
    assert events(b"\x0bone", []) == [Fragment(b"one")]


def test_a_frame_above_the_limit_is_cut_off_and_the_next_one_is_read() -> None:
    data = b"\x0b" + b"x" * 40 + b"\x1c\r\x0bnext\x1c\r"
    assert events(data, [20], limit=16) == [Oversize(b"x" * 16), Frame(b"next")]


def test_an_end_waits_for_the_byte_behind_it() -> None:
    framer = Framer(64)
    framer.feed(b"\x0bm\x1c")
    assert framer.next() is None
    framer.feed(b"\r")
    assert framer.next() == Frame(b"m")


def test_starts_with_nothing_behind_them_are_junk() -> None:
    assert joined(events(b"\x0b\x0b\x0bm\x1c\r\x0b", [2])) == [Junk(2), Frame(b"m"), Junk(1)]


@pytest.mark.parametrize(
    "flood", [b"\x0b", b"\x1c", b"\x0b\x1c", b"\x0bX", b"\x0b\x1c\r", b"\r", b"\x1cX", b"\x0b\x0bX"]
)
@pytest.mark.parametrize("inside", [b"", b"\x0bX"])
def test_a_flood_of_any_byte_costs_time_in_proportion_to_its_length(flood: bytes, inside: bytes) -> None:
    def cost(length: int) -> float:
        data = inside + flood * (length // len(flood))
        best = float("inf")
        for _ in range(3):
            framer, begun = Framer(1 << 24), process_time()
            for at in range(0, len(data), 1 << 16):
                framer.feed(data[at : at + (1 << 16)])
                while framer.next() is not None:
                    pass
            best = min(best, process_time() - begun)
        return best

    assert cost(120_000) < 8 * cost(30_000) + 0.02


def test_the_limit_holds_however_the_frame_is_cut() -> None:
    for size, kept in ((16, Frame(b"x" * 16)), (17, Oversize(b"x" * 16))):
        for cut in range(size + 3):
            assert events(framed(b"x" * size), [cut], limit=16) == [kept]
