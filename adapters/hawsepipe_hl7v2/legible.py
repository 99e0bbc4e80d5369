"""A message for people who look for it or look at it: what is written on its outside, and its segments as text."""

from __future__ import annotations

import re

from hawsepipe import Envelope, MessageError, RawMessage
from hawsepipe_hl7v2.charsets import FALLBACKS, codec_of, declared, mislabelled
from hawsepipe_hl7v2.header import BOM, Header, read_header

_ENDS = re.compile(r"\r\n?|\n")
_LONGEST = 60
"""Characters of a part of an envelope; MSH-10 has at most 199 in any version and 20 as a rule."""


def envelope(message: RawMessage) -> Envelope | None:
    """Return type (`ADT^A01`), sender (`MSH-3|MSH-4`) and control id; None for what has no MSH. Never raises."""
    try:
        header = read_header(message.body)
    except MessageError:
        return None
    kind, event = (_plain(header.word(9, number)) for number in (1, 2))
    sender = f"{_plain(header.word(3, 1))}|{_plain(header.word(4, 1))}"
    return Envelope(f"{kind}^{event}" if event else kind, sender, _plain(header.word(10, 1)))


def lines(message: RawMessage, charset: str) -> tuple[str, ...]:
    """Return the segments, read by the carrier's charset, else MSH-18, else `charset` (a name of charsets.FALLBACKS).

    Bytes that are no text in it are U+FFFD. Never raises.
    """
    body = message.body
    codec = _codec(message, charset)
    if body.startswith(BOM) or mislabelled(body, codec):
        codec = "utf-8"
    text = body.removeprefix(BOM).decode(codec, "replace")
    return tuple(line for line in _ENDS.split(text) if line)


def _codec(message: RawMessage, charset: str) -> str:
    try:
        carrier = declared(message.media_type)
        if carrier is not None:
            return carrier
        header: Header = read_header(message.body)
        return codec_of(header, charset)
    except MessageError:
        return FALLBACKS[charset]


def _plain(word: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in word[:_LONGEST])
