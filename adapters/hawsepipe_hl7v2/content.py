"""What a feed may want of a message's values before it acknowledges it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hawsepipe import MessageError
from hawsepipe_hl7v2.message import DELETE, Message

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)", re.ASCII)


def check_values(message: Message) -> None:
    """Raise MessageError(code) for the first of `wrong_values`."""
    for location, text in wrong_values(message):
        raise MessageError("code", location, text)


def wrong_values(message: Message) -> Iterator[tuple[str, str]]:
    """Yield location and fault of values that are not of the type that the message itself gives them.

    OBX-5 of an OBX that says NM must be a number (chapter 2A, "NM"); empty and `""` are none and allowed.
    """
    for location in _not_numbers(message):
        yield location, "the value is not of the type NM that OBX-2 gives it"


def _not_numbers(message: Message) -> Iterator[str]:
    for segment in message.segments:
        if segment.name != "OBX" or segment.text(2) != "NM":
            continue
        for raw in segment.repetitions(5):
            value = segment.reader.text(raw).strip()
            if value and value != DELETE and not _NUMBER.fullmatch(value):
                yield f"{segment.label}-5"
