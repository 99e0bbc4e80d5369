"""What is checked before a message is acknowledged: type, version, processing id, readability, who it is about.

The order is the standard's (chapter 2, "Response using the original processing rules"): MSH-9, MSH-12 and
MSH-11 reject (R); only then does the content count, whose faults are errors (E).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hawsepipe import MessageError, RawMessage, Refusal
from hawsepipe_hl7v2.acknowledgement import Finding, Modes, modes
from hawsepipe_hl7v2.content import check_values
from hawsepipe_hl7v2.header import Header, read_header
from hawsepipe_hl7v2.message import Message, parse
from hawsepipe_hl7v2.requirements import check
from hawsepipe_hl7v2.settings import patterns
from hawsepipe_hl7v2.tables import shipped, unnamed

_TABLE_0357 = {"structure": 100, "required": 101, "parse": 102, "code": 102, "mapping": 207}
ACKNOWLEDGEMENTS = frozenset({"ACK", "MCF"})
FOREIGN = "foreign|"
"""What the keys of messages begin with whose sender is not one of the feed or connection."""


@dataclass(frozen=True, slots=True)
class Door:
    """A feed's conditions. `messages` maps MSH-9.1 to the triggers taken (`*` is any).

    `senders` are MSH-3.1 and MSH-4.1 joined by `|`, either of which may be `*`; None takes every sender.
    `strict`: values must be of their types.
    """

    messages: Mapping[str, frozenset[str]]
    versions: frozenset[str]
    processing_ids: frozenset[str]
    charset: str
    senders: frozenset[str] | None = None
    strict: bool = False


def door_of(settings: Mapping[str, Any]) -> Door:
    """Return the conditions that a feed's settings give (`accept`, `charset`; defaults filled in)."""
    accept = settings["accept"]
    senders = accept.get("senders")
    return Door(
        messages=patterns(accept["messages"]),
        versions=frozenset(accept["versions"]),
        processing_ids=frozenset(accept["processing_ids"]),
        charset=settings["charset"],
        senders=None if senders is None else frozenset(senders),
        strict=accept["values"] == "strict",
    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message at the door. `finding` is None when it may enter; `answerable` is False for acknowledgements; `whole`
    is False when the framing found a fault; `foreign` when the sender is not one of this feed or connection.
    """

    raw: RawMessage
    header: Header | None
    key: str
    mode: Modes
    finding: Finding | None
    refusal: Refusal | None
    answerable: bool = field(default=True)
    whole: bool = field(default=True)
    foreign: bool = field(default=False)


def arrive(
    raw: RawMessage,
    door: Door,
    fault: MessageError | None = None,
    bound: frozenset[str] | None = None,
    *,
    part: bool = False,
) -> Arrival:
    """Examine a message; never raises. `fault` is one that the framing found; `bound` are the senders that the
    connection's certificate stands for, None when nothing is said of it. Of a `part` only the MSH is examined.
    """
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
    if not _known(header, door.senders) or not _known(header, bound):
        stranger = Finding("R", 204, "MSH-3", "this sender is not one of this feed")
        refusal = Refusal("structure", stranger.location, stranger.text)
        # A key of its own: neither does a stranger get the answer that the sender got, nor the sender a stranger's.
        return Arrival(raw, header, f"{FOREIGN}{key}", modes(header), stranger, refusal, foreign=True)
    rejected = _rejected(header, kind, door)
    if rejected is not None:
        refusal = Refusal("structure", rejected.location, rejected.text)
        return Arrival(raw, header, key, modes(header), rejected, refusal)
    try:
        if fault is not None:
            raise fault
        if not header.field(10):
            raise MessageError("required", "MSH-10", "the message control id is missing")
        if part:
            return Arrival(raw, header, key, modes(header), None, None)
        message = parse(raw.body, door.charset, raw.media_type)
        if (rejected := _unasked(header, message, door)) is not None:
            refusal = Refusal("structure", rejected.location, rejected.text)
            return Arrival(raw, header, key, modes(header), rejected, refusal)
        check(message)
        if door.strict:
            check_values(message)
    except MessageError as error:
        return Arrival(raw, header, key, modes(header), finding_of(error), _refusal(error), whole=fault is None)
    return Arrival(raw, header, key, modes(header), None, None)


def finding_of(error: MessageError | Refusal) -> Finding:
    """Return an error of the content as a finding."""
    text = error.reason if isinstance(error, MessageError) else error.text
    return Finding("E", _TABLE_0357.get(error.cause, 207), error.location, text)


def sender_of(header: Header) -> str:
    """Return MSH-3.1 and MSH-4.1, joined by `|`."""
    return f"{header.word(3, 1)}|{header.word(4, 1)}"


def _known(header: Header, senders: frozenset[str] | None) -> bool:
    if senders is None:
        return True
    application, facility = header.word(3, 1), header.word(4, 1)
    return not senders.isdisjoint((f"{application}|{facility}", f"{application}|*", f"*|{facility}", "*|*"))


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
