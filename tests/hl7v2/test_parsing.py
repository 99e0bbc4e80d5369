"""Bytes to segments, fields and text."""

from __future__ import annotations

import pytest

from hawsepipe import MessageError
from hawsepipe_hl7v2 import translate
from hawsepipe_hl7v2.charsets import mislabelling
from hawsepipe_hl7v2.escapes import STANDARD, unescape
from hawsepipe_hl7v2.message import parse

HEAD = "MSH|^~\\&|A|B|C|D|20260301||ADT^A01|1|P|2.5.1"


def test_fields_repetitions_components_and_subcomponents_are_found_by_position() -> None:
    message = parse(f"{HEAD}\rPID|1||A^^^X&1.2&ISO~B||DOE^JANE\r".encode())
    person = message.first("PID")
    assert person is not None
    assert [person.text(3), person.text(3, repetition=2), person.text(5, 2)] == ["A", "B", "JANE"]
    assert person.text(3, 4, 2) == "1.2"
    assert [person.text(3, 9), person.text(99), person.text(3, 1, 1, 7)] == ["", "", ""]


def test_the_header_counts_its_separator_as_a_field() -> None:
    header = parse(HEAD.encode()).segments[0]
    assert (header.field(1), header.field(2), header.text(3), header.text(9, 2)) == ("|", "^~\\&", "A", "A01")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_every_line_ending_ends_a_segment(end: str) -> None:
    names = [segment.name for segment in parse(f"{HEAD}{end}PID|1{end}PV1|1{end}".encode()).segments]
    assert names == ["MSH", "PID", "PV1"]


def test_a_byte_order_mark_is_tolerated() -> None:
    assert parse(b"\xef\xbb\xbf" + HEAD.encode()).type == "ADT"


def test_delimiters_come_from_the_header() -> None:
    message = parse(b"MSH#@~\\&#A#B#C#D#2026##ADT@A01#1#P#2.5.1\rPID#1##M@@@G\r")
    person = message.first("PID")
    assert message.event == "A01"
    assert person is not None
    assert person.text(3, 4) == "G"


def test_a_fifth_encoding_character_shifts_nothing() -> None:
    message = parse(b"MSH|^~\\&#|A|B|C|D|2026||ADT^A01|1|P|2.7\r")
    assert (message.delimiters.truncation, message.segments[0].text(3)) == ("#", "A")


@pytest.mark.parametrize("head", ["MSH|^^\\&|A", "MSH||A|B|C", "MSH|^~|A|B|C", "MSH|^~\\A|A|B"])
def test_bad_encoding_characters_are_refused_with_their_place(head: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse(f"{head}|C|D|2026||ADT^A01|1|P|2.5.1\r".encode())
    assert (caught.value.cause, caught.value.location) == ("parse", "MSH-2")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused(codec: str) -> None:
    with pytest.raises(MessageError, match="UTF-16"):
        parse(HEAD.encode(codec))


def test_without_a_header_there_is_no_message() -> None:
    with pytest.raises(MessageError) as caught:
        parse(b"PID|1||x\r")
    assert caught.value.cause == "structure"


def test_a_declared_character_set_is_used() -> None:
    body = f"{HEAD}||||||8859/1\rPID|||||MÜLLER\r".encode("latin-1")
    person = parse(body).first("PID")
    assert person is not None
    assert person.text(5) == "MÜLLER"


@pytest.mark.parametrize("declared", ["8859/1", "8859/15"])
def test_utf_8_under_the_name_of_latin_1_is_read_as_utf_8(declared: str) -> None:
    text = f"{HEAD}||||||{declared}\rPID|||||MÜLLER\r"
    meant, true = parse(text.encode()), parse(text.encode("latin-1"))
    assert [one.at("PID-5") for one in (meant, true)] == ["MÜLLER", "MÜLLER"]
    assert [one.mislabelled for one in (meant, true)] == [True, False]
    both = text.encode() + "PID|||||É\r".encode("latin-1")
    assert not parse(both).mislabelled
    assert not parse(f"{HEAD}||||||{declared}\rPID|||||MULLER\r".encode()).mislabelled


@pytest.mark.parametrize("setting", ["latin-1", "cp1252"])
def test_utf_8_where_nothing_is_declared_goes_before_the_setting_and_is_told(setting: str) -> None:
    text = f"{HEAD}\rPID|||||MÜLLER\r"
    meant, true = parse(text.encode(), setting), parse(text.encode("latin-1"), setting)
    assert [one.at("PID-5") for one in (meant, true)] == ["MÜLLER", "MÜLLER"]
    assert [one.mislabelled for one in (meant, true)] == [True, False]
    assert "setting" in mislabelling(declared=False)


def test_japanese_by_iso_2022_is_decoded() -> None:
    body = f"{HEAD}||||||ASCII~ISO IR87\rPID|||||山田\r".encode("iso2022_jp")
    person = parse(body).first("PID")
    assert person is not None
    assert person.text(5) == "山田"


def test_bytes_that_contradict_the_character_set_are_refused() -> None:
    latin = f"{HEAD}\rPID|||||MÜLLER\r".encode("latin-1")
    with pytest.raises(MessageError) as caught:
        parse(latin)
    assert (caught.value.cause, caught.value.location) == ("parse", "MSH-18")
    with pytest.raises(MessageError):
        parse(latin, "utf-8")
    assert parse(latin, "latin-1").segments[1].text(5) == "MÜLLER"


def test_an_unknown_character_set_is_refused() -> None:
    with pytest.raises(MessageError, match="not supported"):
        parse(f"{HEAD}||||||KLINGON\r".encode())


def test_escapes_are_resolved_and_unknown_ones_stay() -> None:
    text = unescape("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f\\X41\\\\.br\\g\\Q\\h\\", STANDARD, "ascii")
    assert text == "a|b^c&d~e\\fA\ng\\Q\\h\\"


@pytest.mark.parametrize("line", ["second line", "pid|1", "P|1", "PID", "1ID|1", "ÄBC|1", "PIDX|1", "|||"])
@pytest.mark.parametrize("end", ["\r", "\n"])
def test_a_line_that_is_no_segment_is_refused_with_its_place(line: str, end: str) -> None:
    body = f"{HEAD}\rOBX|1|TX|||first\rOBX|2|TX|||first{end}{line}\r".encode()
    if line == "PID":
        assert len(parse(body, "utf-8").segments) == 4
        return
    with pytest.raises(MessageError) as caught:
        parse(body, "utf-8")
    assert (caught.value.cause, caught.value.location) == ("parse", "OBX[2]")


@pytest.mark.parametrize(
    ("lines", "location"),
    [
        (["NTE|1"] * 10_000, "NTE[10000]"),
        (["PID|1||" + "~".join(["A"] * 1_001)], "PID-3"),
        (["PID|1||" + "^" * 1_000], "PID-3"),
        (["PID|1||A~B" + "&" * 1_000], "PID-3"),
        (["PID|1", "NK1" + "|" * 1_001], "NK1"),
        (["OBX|" + "^" * 900 + "~" + "^" * 900] * 600, ""),
    ],
)
def test_more_parts_than_a_message_can_mean_are_refused_with_their_place(lines: list[str], location: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse("\r".join([HEAD, *lines]).encode())
    assert (caught.value.cause, caught.value.location) == ("structure", location)


def test_as_many_parts_as_are_allowed_are_taken() -> None:
    lines = [HEAD, *["NTE|1"] * 9_998, "PID|1||" + "~".join(["A^^^G"] * 1_000)]
    assert len(parse("\r".join(lines).encode()).segments) == 10_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\\Q\\b", True),
        ("c\\d", True),
        ("a\\F\\b", False),
        ("\\.br\\\\X41\\", False),
        ("\\", True),
    ],
)
def test_an_escape_that_is_not_known_or_has_no_end_is_kept_and_told(text: str, told: bool) -> None:
    message = parse(f"MSH|^~\\&|A|B|C|D|20260301||ORU^R01|1|P|2.5.1\rOBX|1|ST|x||{text}\r".encode())
    assert list(message.unresolved()) == (["OBX-5"] if told else [])
    if told:
        assert "\\" in message.segments[1].text(5)


def test_characters_that_nobody_sees_are_told_with_their_place() -> None:
    head = "MSH|^~\\&|A|B|C|D|20260301083000+0000||ADT^A28|1|P|2.5.1||||||UNICODE UTF-8\r"
    message = f"{head}PID|1||M1^^^B||DOE^JA\0NE\u202e||19800101|F|||A\tB\r"
    told = {(issue.location, issue.text) for issue in translate(message.encode()).issues if issue.cause == "parse"}
    assert told == {
        ("PID-5", "control characters are left out"),
        ("PID-5", "characters that nobody sees, and that may show a text as another, are kept"),
    }


def test_a_message_without_a_control_id_says_so() -> None:
    message = b"MSH|^~\\&|A|B|C|D|20260301083000+0000||ADT^A28||P|2.5.1\rPID|1||M1^^^B||DOE^JANE\r"
    assert ("required", "MSH-10") in {(issue.cause, issue.location) for issue in translate(message).issues}
