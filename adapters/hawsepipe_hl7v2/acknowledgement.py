"""Acknowledgements: MSH, MSA and ERR in the sender's own delimiters (HL7 v2 chapter 2, "Message acknowledgement").

Before version 2.5 ERR-1 names the place and MSA-3 carries the text; from 2.5 on ERR-2 is the place, ERR-3 the
code (table 0357), ERR-4 the severity, ERR-8 the text of what the door found. No text
holds anything of the message's content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from hawsepipe_hl7v2.header import Header

_CODES = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    205: "Duplicate key identifier",
    207: "Application internal error",
}
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[([0-9]+)\])?(?:-([0-9]+)(?:\[([0-9]+)\])?(?:\.([0-9]+))?)?")
_BEFORE_2_5 = re.compile(r"2\.[0-4](?:\.|$)")
_NO_HEADER = Header((b"MSH", b"|", b"^~\\&"), b"|", b"^~\\&")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong: the MSA-1 letter of original mode without its A (`E` or `R`), table 0357, location, a sentence.

    `own`: the sentence is of the door. One of a translator may name resources, and stays here (in ERR).
    """

    letter: str
    code: int
    location: str
    text: str
    own: bool = True


@dataclass(frozen=True, slots=True)
class Modes:
    """Whether MSH-15/16 ask for enhanced mode, and when which acknowledgement is wanted (AL, NE, ER, SU).

    In original mode the one acknowledgement counts as the accept acknowledgement.
    """

    enhanced: bool
    accept: str
    application: str = "NE"


def modes(header: Header) -> Modes:
    """Read MSH-15 and MSH-16: both empty is original mode; with one valued the other one counts as NE."""
    accept, application = header.word(15, 1), header.word(16, 1)
    if not accept and not application:
        return Modes(enhanced=False, accept="AL")
    return Modes(enhanced=True, accept=accept or "NE", application=application or "NE")


def code_of(mode: Modes, finding: Finding | None, *, unavailable: bool = False, whole: bool = True) -> str:
    """Return MSA-1 of the first acknowledgement.

    `unavailable`: the message could not be taken; that is AR, or CE in enhanced mode. `whole`: all of it came. In
    enhanced mode a message whose content is wrong is safely stored all the same: CA, and AE in its time.
    """
    if not mode.enhanced:
        return "AR" if unavailable else "AA" if finding is None else f"A{finding.letter}"
    if unavailable or not whole:
        return "CE"
    return "CR" if finding is not None and finding.letter == "R" else "CA"


def wanted(condition: str, code: str) -> bool:
    """Say whether an acknowledgement is to be sent, by the condition of its kind (MSH-15 or MSH-16)."""
    good = code in ("AA", "CA")
    return {"NE": False, "ER": not good, "SU": good}.get(condition, True)


def build(
    header: Header | None,
    code: str,
    finding: Finding | None,
    now: datetime,
    seed: bytes,
    *,
    expected: str = "",
    final: bool = False,
) -> bytes:
    """Build an acknowledgement. `seed` (the message's digest) makes its own MSH-10; `now` is aware, in UTC.

    `expected` is MSA-4, the sequence number that is waited for. `final`: an application acknowledgement of enhanced
    mode, a message of its own that asks for no acknowledgement.
    """
    sender = header or _NO_HEADER
    bar, marks = sender.separator, sender.encoding
    component = marks[0:1]
    trigger = sender.component(9, 2)
    kind = component.join((b"ACK", trigger, b"ACK")) if trigger else b"ACK"
    control = sha256(seed + code.encode()).hexdigest()[:20].upper().encode()
    fields = [b""] * 18
    fields[0:2] = [b"MSH", marks]
    fields[2:6] = [sender.field(5), sender.field(6), sender.field(3), sender.field(4)]
    fields[6] = f"{now:%Y%m%d%H%M%S}+0000".encode()
    fields[8:12] = [kind, control, sender.field(11) or b"P", sender.field(12) or b"2.5.1"]
    if final:
        fields[14:16] = [b"NE", b"NE"]
    fields[17] = sender.field(18)
    while not fields[-1]:
        fields.pop()
    msa = [b"MSA", code.encode(), sender.field(10)]
    segments = [bar.join(fields)]
    old = _old(sender)
    if finding is not None and old:
        msa.append(finding.text.encode("ascii", "replace"))
    if expected:
        msa += [b""] * (4 - len(msa))
        msa.append(expected.encode())
    if finding is None:
        segments.append(bar.join(msa))
    else:
        segments += [bar.join(msa), _error(finding, bar, marks, old=old)]
    return b"\r".join(segments) + b"\r"


def _error(finding: Finding, bar: bytes, marks: bytes, *, old: bool) -> bytes:
    component, subcomponent = marks[0:1], marks[3:4]
    place = _PLACE.fullmatch(finding.location)
    name, number, field, repetition, part = place.groups() if place else ("", None, None, None, None)
    meaning = [str(finding.code).encode(), _CODES[finding.code].encode(), b"HL70357"]
    where = [(name or "").encode()]
    if name:
        where.append((number or "1").encode())
    if field:
        where.append(field.encode())
    if old:
        where += [b""] * (3 - len(where))
        return bar.join((b"ERR", component.join((*where, subcomponent.join(meaning)))))
    if part:
        where += [(repetition or "1").encode(), part.encode()]
    words = [b"", b"", b"", _escaped(finding.text, bar + marks[:4])] if finding.own and finding.text else []
    return bar.join((b"ERR", b"", component.join(where).rstrip(component), component.join(meaning), b"E", *words))


def _escaped(text: str, marks: bytes) -> bytes:
    """Return a sentence of ours among a sender's delimiters: separator, component, repetition, escape, subcomponent."""
    escape = marks[3:4]
    named = dict(zip(marks, b"FSRET", strict=True))
    return b"".join(
        escape + bytes((named[byte],)) + escape if byte in named else bytes((byte,))
        for byte in text.encode("ascii", "replace")
    )


def minimal(body: bytes, now: datetime, seed: bytes, *, unavailable: bool) -> tuple[str, bytes]:
    """Return code and the least acknowledgement there is, for a message whose examination failed.

    E: stored and set aside; R (`unavailable`): not stored. Looks at the bytes only as far as it must, so that what
    made the examination fail cannot make this fail; `now` and `seed` as in `build`. Empty when none is wanted.
    """
    line = body[: 1 << 16].lstrip(b"\r\n\xef\xbb\xbf").split(b"\r", 1)[0].split(b"\n", 1)[0]
    known = line[:3] == b"MSH" and len(line) > 3
    fields = line.split(line[3:4]) if known else []
    fields += [b""] * (16 - len(fields))
    enhanced = bool(fields[14] or fields[15])
    code = ("C" if enhanced else "A") + ("E" if enhanced or not unavailable else "R")
    if fields[8][:3] in (b"ACK", b"MCF") or (enhanced and fields[14] not in (b"AL", b"ER")):
        return code, b""
    control = sha256(seed + code.encode()).hexdigest()[:20].upper().encode()
    stamp = f"{now:%Y%m%d%H%M%S}+0000".encode()
    # The sender's separator is all that MSA-2 needs to come back as it was.
    bar = line[3:4] if known else b"|"
    marks = fields[1] if known and len(fields[1]) in (4, 5) else b"^~\\&"
    header = bar.join((b"MSH", marks, b"", b"", b"", b"", stamp, b"", b"ACK", control, b"P", b"2.5.1"))
    return code, header + b"\r" + bar.join((b"MSA", code.encode(), fields[9])) + b"\r"


def _old(header: Header) -> bool:
    """Say whether the message is of a version before 2.5; one that cannot be told is not."""
    return _BEFORE_2_5.match(header.word(12, 1)) is not None
