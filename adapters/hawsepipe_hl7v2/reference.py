"""The one module that knows hl7apy: a second, slow, strict opinion about how a message splits.

Used as an oracle; never on the way of a message. hl7apy is untyped and raises its own exceptions, which stay in here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hl7apy.consts import VALIDATION_LEVEL  # type: ignore[import-untyped]  # hl7apy ships no types
from hl7apy.exceptions import HL7apyException  # type: ignore[import-untyped]  # hl7apy ships no types
from hl7apy.parser import parse_message  # type: ignore[import-untyped]  # hl7apy ships no types

from hawsepipe import MessageError


def fields(text: str) -> dict[str, str]:
    """Return every valued field repetition but MSH-1 and MSH-2, as sent, by location. Raises MessageError."""
    try:
        message = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
        return dict(_fields(message))
    except HL7apyException as error:
        raise MessageError("parse", "", "hl7apy cannot read the message") from error


def _fields(message: Any) -> Iterator[tuple[str, str]]:
    counts: dict[str, int] = {}
    for segment in message.children:
        name = str(segment.name)
        number = counts[name] = counts.get(name, 0) + 1
        label = name if number == 1 else f"{name}[{number}]"
        seen: dict[str, int] = {}
        for field in segment.children:
            position = str(field.name).rpartition("_")[2]
            if name == "MSH" and position in ("1", "2"):
                continue
            repetition = seen[position] = seen.get(position, 0) + 1
            value = str(field.to_er7())
            if value:
                yield f"{label}-{position}" + (f"[{repetition}]" if repetition > 1 else ""), value
