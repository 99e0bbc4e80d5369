"""Messages as operators see them: what is on their outside, and their text whatever its character set."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hawsepipe import Envelope, RawMessage
from hawsepipe_hl7v2.legible import envelope, lines

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def raw(body: bytes, media_type: str = "application/hl7-v2") -> RawMessage:
    return RawMessage("lab", NOW, media_type, body)


def message(charset: str = "") -> str:
    return f"MSH|^~\\&|LAB^x|HARBOUR|HP|HUB|20261101||ORU^R01^ORU_R01|B0001|P|2.5.1||||||{charset}\rPID|1||7||Müller\r"


@pytest.mark.parametrize(
    ("body", "fallback", "media_type"),
    [
        (message("8859/1").encode("latin-1"), "ascii", ""),
        (message("UNICODE UTF-8").encode(), "ascii", ""),
        (message().encode("latin-1"), "latin-1", ""),
        (message().encode(), "latin-1", ""),
        (message("8859/1").encode(), "ascii", ""),
        (message().encode("latin-1"), "ascii", "application/hl7-v2; charset=iso-8859-1"),
        (b"\xef\xbb\xbf" + message().encode(), "ascii", ""),
        (message("8859/1").replace("\r", "\r\n").encode("latin-1"), "ascii", ""),
    ],
)
def test_a_message_is_shown_as_text_a_segment_a_line(body: bytes, fallback: str, media_type: str) -> None:
    first, second = lines(raw(body, media_type), fallback)
    assert first.startswith("MSH|")
    assert second == "PID|1||7||Müller"


def test_what_is_no_text_in_its_character_set_is_shown_as_far_as_it_goes() -> None:
    assert lines(raw(message("KLINGON").encode("latin-1")), "ascii")[1] == "PID|1||7||M\ufffdller"
    assert lines(raw(b"PID|1\rM\xfc"), "latin-1") == ("PID|1", "Mü")
    assert lines(raw(b""), "ascii") == ()


def test_type_sender_and_control_id_are_told_also_of_what_no_door_takes() -> None:
    assert envelope(raw(message().encode("latin-1"))) == Envelope("ORU^R01", "LAB|HARBOUR", "B0001")
    assert envelope(raw(b"MSH|^~\\&|A\x1b[2J|B||||| |" + b"9" * 400 + b"\r")) == Envelope("", "A?[2J|B", "9" * 60)
    assert envelope(raw(b"PID|1||no header\r")) is None
