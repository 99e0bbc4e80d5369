"""What a message must have to be of any use: checked at the door, and again when it is translated, since a message
that was set aside may be replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hawsepipe import Issue, MessageError, Severity
from hawsepipe_hl7v2.message import DELETE, Message, Segment
from hawsepipe_hl7v2.tables import shipped

MERGES = frozenset({"A18", "A30", "A34", "A36", "A39", "A40", "A43", "A46", "A47", "A48"})
"""Events that retire the patient of MRG-1 (A48: MRG-2, when no other identifier changes)."""
_ACCOUNTS = frozenset({"A35", "A41", "A44", "A49"})
_VISITS = frozenset({"A42", "A45", "A50"})
_PAIRS = frozenset({"A17", "A24", "A37"})
"""Events of two patients who change places or are linked."""
_SEVERAL = MERGES | _ACCOUNTS | _VISITS | _PAIRS | {"A51"}
"""Events of more than one patient."""


NOT_PERSONAL = frozenset({"AN", "ANC", "AND", "ANT", "VN", "SS", "DL", "BA", "BC", "BCT", "CC", "CCT"})
"""Types of identifier (table 0203) that name no person, or that people share and mistype: the record meets nobody by
them."""


def personal(parts: Sequence[str]) -> bool:
    """Whether a CX, by its type (CX.5), names a person."""
    return len(parts) < 5 or parts[4] not in NOT_PERSONAL


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
    for segment in strangers(message):
        text = "a second patient, in an event of one: whose visit this is is not clear"
        yield Issue(Severity.ERROR, "structure", segment.label, text)
    if message.event in _PAIRS and sum(segment.name == "PID" for segment in message.segments) == 1:
        yield _required("PID[2]", "the second patient is missing")
    if message.event in MERGES:
        yield from _missing(message, "MRG", "former patient", (1, 4, 2), personal)
    elif message.event in _ACCOUNTS:
        yield from _missing(message, "MRG", "former account", (3,))
    elif message.event in _VISITS:
        yield from _missing(message, "MRG", "former visit", (5,))
    elif message.event == "A51":
        yield from _missing(message, "MRG", "former alternate visit", (6,))


def strangers(message: Message) -> Iterator[Segment]:
    """Yield the PIDs that name somebody else than the first one (they share no number with it), in an ADT of an event
    of one patient."""
    if message.type != "ADT" or message.event in _SEVERAL:
        return
    people = [segment for segment in message.segments if segment.name == "PID"]
    for segment in people[1:]:
        numbers = _numbers(segment)
        if numbers and numbers.isdisjoint(_numbers(people[0])):
            yield segment


def _numbers(segment: Segment) -> frozenset[tuple[str, str]]:
    """Return PID-3 and PID-2 as numbers and authorities."""
    found = set()
    for number in (3, 2):
        for raw in segment.repetitions(number):
            parts = [*raw.split(segment.delimiters.component), "", "", ""]
            if parts[0]:
                found.add((segment.reader.text(parts[0]), parts[3]))
    return frozenset(found)


def _missing(
    message: Message,
    name: str,
    whose: str,
    fields: tuple[int, ...],
    counts: Callable[[Sequence[str]], bool] = lambda _parts: True,
) -> Iterator[Issue]:
    found = [segment for segment in message.segments if segment.name == name]
    if not found:
        yield _required(name, f"the {name} segment is missing")
    for segment in found:
        if not any(_identified(segment, number) for number in fields):
            yield _required(f"{segment.label}-{fields[0]}", f"there is no {whose} identifier")
        elif not any(_identified(segment, number, counts) for number in fields):
            text = f"there is no {whose} identifier that names a person: numbers of this type identify nobody"
            yield _required(f"{segment.label}-{fields[0]}", text)


def _required(location: str, text: str) -> Issue:
    return Issue(Severity.ERROR, "required", location, text)


def _identified(segment: Segment, number: int, counts: Callable[[Sequence[str]], bool] = lambda _parts: True) -> bool:
    """Whether some repetition of a CX has a value, and counts."""
    for raw in segment.repetitions(number):
        parts = raw.split(segment.delimiters.component)
        if parts[0] != DELETE and segment.reader.text(parts[0]) and counts(parts):
            return True
    return False
