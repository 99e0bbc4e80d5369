"""What a message must have to be of any use: checked at the door, and again when it is translated, since a message
that was set aside may be replayed."""

from __future__ import annotations

from hawsepipe import MessageError
from hawsepipe_hl7v2.message import DELETE, Message, Segment

_ABOUT_A_PATIENT = frozenset({"ADT", "ORU", "VXU"})
MERGES = frozenset({"A18", "A34", "A39", "A40"})
"""Events that retire the patient of MRG-1."""


def check(message: Message) -> None:
    """Raise MessageError(required) when the message lacks whom it is about: PID and an identifier in PID-3 (or the
    older PID-2), and for a merge MRG and MRG-1."""
    if message.type not in _ABOUT_A_PATIENT:
        return
    _need(message, "PID", "patient", (3, 2))
    if message.type == "ADT" and message.event in MERGES:
        _need(message, "MRG", "former patient", (1, 4))


def _need(message: Message, name: str, whose: str, fields: tuple[int, ...]) -> None:
    found = [segment for segment in message.segments if segment.name == name]
    if not found:
        raise MessageError("required", name, f"the {name} segment is missing")
    for segment in found:
        if not any(_identified(segment, number) for number in fields):
            raise MessageError("required", f"{segment.label}-{fields[0]}", f"there is no {whose} identifier")


def _identified(segment: Segment, number: int) -> bool:
    """Whether some repetition of a CX has a value."""
    values = (raw.split(segment.delimiters.component, 1)[0] for raw in segment.repetitions(number))
    return any(value != DELETE and segment.reader.text(value) for value in values)
