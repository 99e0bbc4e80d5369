"""What a message must have to be of any use: checked at the door, and again when it is translated, since a message
that was set aside may be replayed."""

from __future__ import annotations

from collections.abc import Iterator

from hawsepipe import Issue, MessageError, Severity
from hawsepipe_hl7v2.message import DELETE, Message, Segment
from hawsepipe_hl7v2.tables import shipped

MERGES = frozenset({"A18", "A30", "A34", "A36", "A39", "A40", "A43", "A46", "A47", "A48"})
"""Events that retire the patient of MRG-1 (A48: MRG-2, when no other identifier changes)."""
_ACCOUNTS = frozenset({"A35", "A41", "A44", "A49"})
_VISITS = frozenset({"A42", "A45", "A50"})


def check(message: Message) -> None:
    """Raise MessageError(required) for the first thing that `missing` finds."""
    for issue in missing(message):
        raise MessageError(issue.cause, issue.location, issue.text)


def missing(message: Message) -> Iterator[Issue]:
    """Yield what the message lacks of whom it is about: PID and an identifier in PID-3 (or the older PID-2), and for
    a merge MRG and what it merges. Messages and events about something else (`patient: false` in their table) need
    none."""
    table = shipped().messages.get(message.type)
    if table is None:
        return
    event = table["triggers"].get(message.event, {})
    if not event.get("patient", table.get("patient", True)):
        return
    yield from _missing(message, "PID", "patient", (3, 2))
    if message.type != "ADT":
        return
    if message.event in MERGES:
        yield from _missing(message, "MRG", "former patient", (1, 4, 2))
    elif message.event in _ACCOUNTS:
        yield from _missing(message, "MRG", "former account", (3,))
    elif message.event in _VISITS:
        yield from _missing(message, "MRG", "former visit", (5,))
    elif message.event == "A51":
        yield from _missing(message, "MRG", "former alternate visit", (6,))


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
