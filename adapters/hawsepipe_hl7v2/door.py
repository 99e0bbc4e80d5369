"""What is checked before a message is acknowledged: type, version, processing id, readability, who it is about.

The order is the standard's (chapter 2, "Response using the original processing rules"): MSH-9, MSH-12 and
MSH-11 reject (R); only then does the content count, whose faults are errors (E).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hawsepipe import MessageError, RawMessage, Refusal
from hawsepipe_hl7v2.acknowledgement import Finding, Modes, modes
from hawsepipe_hl7v2.header import Header, read_header
from hawsepipe_hl7v2.message import Message, parse
from hawsepipe_hl7v2.requirements import check
from hawsepipe_hl7v2.tables import shipped, unnamed

_TABLE_0357 = {"structure": 100, "required": 101, "parse": 102, "code": 102, "mapping": 207}
ACKNOWLEDGEMENTS = frozenset({"ACK", "MCF"})


@dataclass(frozen=True, slots=True)
class Door:
    """A feed's conditions. `messages` maps MSH-9.1 to the triggers taken (`*` is any)."""

    messages: Mapping[str, frozenset[str]]
    versions: frozenset[str]
    processing_ids: frozenset[str]
    charset: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message at the door. `finding` is None when it may enter; `answerable` is False for acknowledgements."""

    raw: RawMessage
    header: Header | None
    key: str
    mode: Modes
    finding: Finding | None
    refusal: Refusal | None
    answerable: bool = field(default=True)


def arrive(raw: RawMessage, door: Door, fault: MessageError | None = None) -> Arrival:
    """Examine a message; never raises. `fault` is one that the framing found."""
    try:
        header = read_header(raw.body)
    except MessageError as error:
        # Without an MSH nothing of the type could be checked: reject. With a bad MSH-2 it is a fault of the content.
        letter = "R" if error.cause == "structure" else "E"
        finding = Finding(letter, _TABLE_0357[error.cause], error.location, error.reason)
        return Arrival(raw, None, "unreadable", Modes(False, "AL"), finding, _refusal(error))
    kind = header.word(9, 1)
    key = "|".join(_quoted(header.field(number)) for number in (3, 4, 10))
    if kind in ACKNOWLEDGEMENTS:
        stray = Refusal("structure", "MSH-9", "an acknowledgement that nobody waits for")
        return Arrival(raw, header, key, Modes(False, "NE"), None, stray, answerable=False)
    rejected = _rejected(header, kind, door)
    if rejected is not None:
        refusal = Refusal("structure", rejected.location, rejected.text)
        return Arrival(raw, header, key, modes(header), rejected, refusal)
    try:
        if fault is not None:
            raise fault
        if not header.field(10):
            raise MessageError("required", "MSH-10", "the message control id is missing")
        message = parse(raw.body, door.charset, raw.media_type)
        if (rejected := _unasked(header, message, door)) is not None:
            refusal = Refusal("structure", rejected.location, rejected.text)
            return Arrival(raw, header, key, modes(header), rejected, refusal)
        check(message)
    except MessageError as error:
        code = _TABLE_0357.get(error.cause, 207)
        finding = Finding("E", code, error.location, error.reason)
        return Arrival(raw, header, key, modes(header), finding, _refusal(error))
    return Arrival(raw, header, key, modes(header), None, None)


def _rejected(header: Header, kind: str, door: Door) -> Finding | None:
    trigger = header.word(9, 2)
    triggers = door.messages.get(kind)
    if triggers is None:
        return Finding("R", 200, "MSH-9.1", "this feed does not take this message type")
    # Senders of 2.1 and 2.2 may leave the trigger to EVN-1, which is checked when the message is parsed.
    if trigger and trigger not in triggers and "*" not in triggers:
        return Finding("R", 201, "MSH-9.2", "this feed does not take this event")
    if header.word(12, 1) not in door.versions:
        return Finding("R", 203, "MSH-12", "this feed does not take this version")
    if header.word(11, 1) not in door.processing_ids:
        return Finding("R", 202, "MSH-11", "this feed does not take this processing id")
    return None


def _unasked(header: Header, message: Message, door: Door) -> Finding | None:
    """Check the event of a message that names it in EVN-1 alone, or nowhere when its type has one for that."""
    kind = header.word(9, 1)
    triggers = door.messages[kind]
    event = message.event or unnamed(shipped().messages.get(kind, {}))
    if header.word(9, 2) or "*" in triggers or event in triggers:
        return None
    return Finding("R", 201, "EVN-1" if message.event else "MSH-9.2", "this feed does not take this event")


def _refusal(error: MessageError) -> Refusal:
    return Refusal(error.cause, error.location, error.reason)


def _quoted(value: bytes) -> str:
    """Escape so that joined values cannot be mistaken for others."""
    return value.decode("latin-1").replace("\\", "\\\\").replace("|", "\\|")
