"""What a feed says when an operator wants a message taken that was set aside: the same that its door said."""

from __future__ import annotations

from typing import Final

from hawsepipe import Asked, MessageError, RawMessage, Refusal, SetAside
from hawsepipe_hl7v2.continuation import PLACE
from hawsepipe_hl7v2.door import Door, arrive, sender_of
from hawsepipe_hl7v2.faults import FAULTS
from hawsepipe_hl7v2.header import read_header

IDEMPOTENCY: Final = "idempotency|"
"""What the key of a message begins with whose sender has given it an Idempotency-Key."""
KEY_REUSED: Final = Refusal("structure", "Idempotency-Key", "the idempotency key belongs to another message")
ID_REUSED: Final = Refusal("structure", "MSH-10", "the message control id belongs to another message")
_UNPROVEN: Final = Refusal("structure", "MSH-3", "this sender is not one that its certificate was seen to stand for")


def ask(message: RawMessage, letter: SetAside, door: Door, *, strict: bool = False, bound: bool = False) -> Asked:
    """See `hawsepipe.Asking`. `strict`: a control id belongs to one message; `bound`: certificates stand for senders.

    Which certificate a message came with is not known any more, only whether it stood for the sender: what the door
    let pass in this respect may pass again, as long as a mended copy names the same sender.
    """
    arrival = arrive(message, door)
    if letter.key.startswith(IDEMPOTENCY):
        key: str = letter.key
        reuse: Refusal | None = KEY_REUSED
    else:
        key, reuse = arrival.key, ID_REUSED if strict else None
    refusal = arrival.refusal
    if message.body == letter.message.body and letter.refusal is not None and _lasting(letter.refusal):
        # Nothing in the bytes tells of it.
        refusal = letter.refusal
    if refusal is None and bound and not _proven(message, letter):
        refusal = _UNPROVEN
    return Asked(key, refusal, reuse)


def _lasting(refusal: Refusal) -> bool:
    return refusal.text in FAULTS or refusal.location == PLACE


def _proven(message: RawMessage, letter: SetAside) -> bool:
    """Whether the sender of a message is one that the letter's connection was seen to stand for."""
    refusal = letter.refusal
    if refusal is not None and (refusal.location == "MSH-3" or (not refusal.location and refusal.text not in FAULTS)):
        # Refused for it, or perhaps before it was looked at.
        return False
    try:
        return sender_of(read_header(message.body)) == sender_of(read_header(letter.message.body))
    except MessageError:
        return False
