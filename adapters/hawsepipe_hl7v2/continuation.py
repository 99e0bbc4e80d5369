"""A message that comes in parts (HL7 v2 chapter 2, "Continuation messages and segments"). Pure.

A part that is not the last one ends with DSC, whose pointer (DSC-1) the next part has in MSH-14. What follows the MSH
of each part is put behind what came before; an ADD segment goes on with the segment before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hawsepipe import MessageError, RawMessage
from hawsepipe_hl7v2.header import read_header

PLACE: Final = "DSC-1"
"""Where a part says that more is to come."""
_ENDS = re.compile(rb"[\r\n]+")
_ANSWERS = frozenset({"RSP", "RTB", "ORF", "OSR", "ADR", "DSR", "EDR", "ERP", "TBR"})
"""Answers to queries: their DSC is a page of the answer (interactive continuation), not a part of a message."""
_FRAGMENT = frozenset({b"", b"F"})


class Link(NamedTuple):
    """How a part hangs on others: its sender, the pointer that it goes on from and the one that goes on from it; either
    may be empty.
    """

    sender: tuple[bytes, bytes]
    before: bytes
    after: bytes


def link_of(body: bytes) -> Link | None:
    """Return how a message hangs on others, None when it is whole, or no message."""
    try:
        header = read_header(body)
    except MessageError:
        return None
    kind = header.word(9, 1)
    if kind.startswith("Q") or kind in _ANSWERS:
        return None
    # Every message is asked this, and few have many parts: the last segment is found from the end.
    end = len(body.rstrip(b"\r\n"))
    start = max(body.rfind(b"\r", 0, end), body.rfind(b"\n", 0, end)) + 1
    last = body[start:end].split(header.separator) if body.startswith(b"DSC", start) else [b""]
    more = last[0] == b"DSC" and len(last) > 1 and (last[2] if len(last) > 2 else b"") in _FRAGMENT
    link = Link((header.field(3), header.field(4)), header.field(14), last[1] if more else b"")
    return link if link.before or link.after else None


def followed(waiting: Sequence[tuple[int, RawMessage]], link: Link) -> list[tuple[int, RawMessage]] | None:
    """Return the parts that a part goes on from, the first one first; None when one of them is not there.

    `waiting` are those that are, oldest first; of several with one pointer the newest counts.
    """
    known: Mapping[tuple[tuple[bytes, bytes], bytes], tuple[Link, tuple[int, RawMessage]]] = {
        (here.sender, here.after): (here, part)
        for part in waiting
        if (here := link_of(part[1].body)) is not None and here.after
    }
    chain: list[tuple[int, RawMessage]] = []
    pointer = link.before
    while pointer:
        found = known.get((link.sender, pointer))
        if found is None or found[1] in chain:
            return None
        chain.insert(0, found[1])
        pointer = found[0].before
    return chain


def joined(bodies: Sequence[bytes]) -> bytes:
    """Return the parts as the one message that they are: under the first one's MSH, without pointers."""
    segments: list[bytes] = []
    for place, body in enumerate(bodies):
        separator = read_header(body).separator
        own = _segments(body)
        if place < len(bodies) - 1 and own[-1].startswith(b"DSC"):
            own.pop()
        if place == 0:
            fields = own[0].split(separator)
            fields[13:14] = [b""] * len(fields[13:14])
            own[0] = separator.join(fields)
        else:
            del own[0]
        for segment in own:
            if segment.startswith(b"ADD") and segment[3:4] in (b"", separator) and segments:
                segments[-1] += segment[4:]
            else:
                segments.append(segment)
    return b"".join(segment + b"\r" for segment in segments)


def _segments(body: bytes) -> list[bytes]:
    return [segment for segment in _ENDS.split(body) if segment]
