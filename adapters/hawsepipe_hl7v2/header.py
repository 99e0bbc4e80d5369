"""The MSH segment as bytes: what must be known before a message can be decoded or answered.

Works on bytes so that an acknowledgement can give back the sender's delimiters and control id byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hawsepipe import MessageError

BOM = b"\xef\xbb\xbf"
WIDE = (b"\xff\xfe", b"\xfe\xff", b"M\0S\0H\0", b"\0M\0S\0H")
"""How a message in UTF-16 begins."""
_SEGMENT_ENDS = (b"\r", b"\n")


@dataclass(frozen=True, slots=True)
class Header:
    """MSH, split. `fields[n]` is MSH-n as sent (MSH-1 the separator, MSH-2 the encoding characters)."""

    fields: tuple[bytes, ...]
    separator: bytes
    encoding: bytes

    def field(self, number: int) -> bytes:
        """Return MSH-`number` as sent, empty when absent."""
        return self.fields[number] if number < len(self.fields) else b""

    def component(self, number: int, component: int) -> bytes:
        """Return one component of the first repetition of MSH-`number`, empty when absent."""
        first = self.field(number).split(self.encoding[1:2])[0]
        parts = first.split(self.encoding[0:1])
        return parts[component - 1].strip() if component <= len(parts) else b""

    def word(self, number: int, component: int) -> str:
        """Return a component as ASCII text; bytes outside ASCII become `?`."""
        return self.component(number, component).decode("ascii", "replace").replace("\ufffd", "?")


def read_header(body: bytes) -> Header:
    """Read MSH. Raises MessageError: structure without an MSH, parse for UTF-16 or for bad encoding characters."""
    start = len(BOM) if body.startswith(BOM) else 0
    while body[start : start + 1] in _SEGMENT_ENDS:
        start += 1
    if body.startswith(WIDE, start):
        raise MessageError("parse", "MSH", "UTF-16 is not allowed in a v2 message")
    if body[start : start + 3] != b"MSH" or len(body) < start + 8:
        raise MessageError("structure", "MSH", "the message does not begin with an MSH segment")
    end = min((at for at in (body.find(mark, start) for mark in _SEGMENT_ENDS) if at >= 0), default=len(body))
    line = body[start:end]
    separator = line[3:4]
    if separator.isalnum() or not b" " < separator < b"\x7f":
        raise MessageError("parse", "MSH-1", "the field separator is not a printable character")
    parts = line.split(separator)
    encoding = parts[1]
    if not _usable(separator, encoding):
        raise MessageError("parse", "MSH-2", "the encoding characters must be four or five different characters")
    return Header((b"MSH", separator, *parts[1:]), separator, encoding)


@lru_cache(maxsize=64)
def _usable(separator: bytes, encoding: bytes) -> bool:
    marks = separator + encoding
    return (
        len(encoding) in (4, 5)
        and len(set(marks)) == len(marks)
        and all(b" " < bytes((mark,)) < b"\x7f" and not bytes((mark,)).isalnum() for mark in marks)
    )
