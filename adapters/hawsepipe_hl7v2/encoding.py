"""A message written anew for a receiver: other delimiters, another character set, other names in MSH."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hawsepipe import MessageError
from hawsepipe_hl7v2.charsets import FALLBACKS, codec_of, decode
from hawsepipe_hl7v2.header import read_header

_NAMES = {"ascii": "", "utf-8": "UNICODE UTF-8", "latin-1": "8859/1"}
"""MSH-18 by the name of the setting."""
_STANDARD = "|^~\\&"


@dataclass(frozen=True, slots=True)
class Encoding:
    """`form` is `raw` (bytes as they came, unless `header` says otherwise), or one of `ascii`, `utf-8`, `latin-1`: the
    standard delimiters in that character set. `header` are fields of MSH by number (3 to 6) to be written instead.
    `charset` is what a message without MSH-18 is read as.
    """

    form: str = "raw"
    header: Mapping[str, str] = field(default_factory=dict)
    charset: str = "ascii"


def encoded(body: bytes, encoding: Encoding) -> bytes:
    """Return the message as the receiver wants it. Raises MessageError when the character set cannot say it."""
    if encoding.form == "raw" and not encoding.header:
        return body
    header = read_header(body)
    if encoding.form == "raw":
        line = header.separator.join((*header.fields[:1], *header.fields[2:]))
        parts = list(header.fields)
        for number, value in encoding.header.items():
            parts[int(number)] = _spelt(value, header.separator, header.encoding)
        start = body.index(line)
        return header.separator.join((parts[0], *parts[2:])) + body[start + len(line) :]
    text = decode(body, codec_of(header, encoding.charset)).replace("\r\n", "\r").replace("\n", "\r")
    lines = [line for line in text.split("\r") if line]
    marks = (header.separator + header.encoding).decode("ascii")
    fields = [_remarked(part, marks) for part in lines[0].split(marks[0])]
    fields[1] = _STANDARD[1:]
    fields += [""] * (18 - len(fields))
    for number, value in encoding.header.items():
        fields[int(number) - 1] = value
    fields[17] = _NAMES[encoding.form]
    while not fields[-1]:
        fields.pop()
    segments = [
        "|".join(fields),
        *("|".join(_remarked(part, marks) for part in line.split(marks[0])) for line in lines[1:]),
    ]
    try:
        return ("\r".join(segments) + "\r").encode(FALLBACKS[encoding.form])
    except UnicodeEncodeError as error:
        raise MessageError("parse", "MSH-18", "the message has characters that the receiver's set lacks") from error


def _remarked(part: str, marks: str) -> str:
    """Return a field with the standard delimiters in place of the sender's; what would be taken for one is escaped."""
    if marks[:5] == _STANDARD:
        return part
    names = dict(zip(marks[1:5], _STANDARD[1:], strict=True))
    escapes = {"|": "F", "^": "S", "~": "R", "\\": "E", "&": "T"}
    return "".join(names.get(char) or (f"\\{escapes[char]}\\" if char in escapes else char) for char in part)


def _spelt(value: str, separator: bytes, encoding: bytes) -> bytes:
    """Return a value of the settings (in standard delimiters) in the message's own."""
    own = (separator + encoding[:4]).decode("ascii")
    return value.translate(str.maketrans(_STANDARD, own)).encode("ascii", "replace")
