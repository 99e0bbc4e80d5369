"""What a message must have to be of any use: checked at the door, and again when it is translated, since a message
that was set aside may be replayed."""

from __future__ import annotations

from collections.abc import Iterator

from hawsepipe import Issue, MessageError, Severity
from hawsepipe_hl7v2.message import DELETE, Message, Segment
from hawsepipe_hl7v2.tables import shipped

MERGES = frozenset({"A18", "A34", "A39", "A40"})
"""Events that retire the patient of MRG-1."""


def check(message: Message) -> None:
    """Raise MessageError(required) for the first thing that `missing` finds."""
    for issue in missing(message):
        raise MessageError(issue.cause, issue.location, issue.text)


def missing(message: Message) -> Iterator[Issue]:
    """Yield what the message lacks of whom it is about: PID and an identifier in PID-3 (or the older PID-2), and for
    a merge MRG and MRG-1. Messages about something else (`patient: false` in their table) need none."""
    table = shipped().messages.get(message.type)
    if table is None or not table.get("patient", True):
        return
    yield from _missing(message, "PID", "patient", (3, 2))
    if message.type == "ADT" and message.event in MERGES:
        yield from _missing(message, "MRG", "former patient", (1, 4))


def _missing(message: Message, name: str, whose: str, fields: tuple[int, ...]) -> Iterator[Issue]:
    found = [segment for segment in message.segments if segment.name == name]
    if not found:
        yield _required(name, f"the {name} segment is missing")
    for segment in found:
        if not any(_identified(segment, number) for number in fields):
            yield _required(f"{segment.label}-{fields[0]}", f"there is no {whose} identifier")


def _required(location: str, text: str) -> Issue:
    return Issue(Severity.ERROR, "required", location, text)


def _identified(segment: Segment, number: int) -> bool:
    """Whether some repetition of a CX has a value."""
    values = (raw.split(segment.delimiters.component, 1)[0] for raw in segment.repetitions(number))
    return any(value != DELETE and segment.reader.text(value) for value in values)
