"""Bytes to text by MSH-18 (HL7 table 0211)."""

from __future__ import annotations

import codecs
import re

from hawsepipe import MessageError
from hawsepipe_hl7v2.header import BOM, Header

_CODECS = {
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "ISO IR6": "ascii",
    "ISO IR14": "iso2022_jp",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
} | {f"8859/{part}": f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)}
_TEXT = frozenset(codecs.lookup(name).name for name in {*_CODECS.values(), "cp1252", "cp1250", "cp1251"})
_WESTERN = frozenset({"iso8859_1", "iso8859_15", "cp1252"})
_PARAMETER = re.compile(r";\s*charset=\"?([A-Za-z0-9._:-]+)", re.IGNORECASE)
# cp1252 is what many senders mean; it is only ever chosen by a setting, never guessed.
FALLBACKS = {"ascii": "ascii", "utf-8": "utf-8", "latin-1": "iso8859_1", "cp1252": "cp1252"}
"""The names that the `charset` setting takes, with Python's names."""


def codec_of(header: Header, fallback: str) -> str:
    """Return Python's name for the message's character set: MSH-18, else `fallback` (a name of FALLBACKS).

    The first is that of the message. A repeated MSH-18 names sets that escapes of ISO 2022 switch to: those that stand
    in the text itself are read only beside ASCII, which each of these sets contains. Raises MessageError.
    """
    declared = header.field(18)
    if not declared:
        return FALLBACKS[fallback]
    names = [part.strip().decode("ascii", "replace").upper() for part in declared.split(header.encoding[1:2])]
    codecs = [_CODECS.get(name, "") for name in names if name]
    if not codecs or "" in codecs:
        raise MessageError("parse", "MSH-18", "the character set is not supported")
    return max(codecs, key=lambda codec: codec != "ascii") if codecs[0] == "ascii" else codecs[0]


def known(name: str) -> str | None:
    """Return Python's name for an IANA name of a character set (`ISO-8859-1`), None for one that is not supported."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        return None
    return codec if codec in _TEXT else None


def declared(media_type: str) -> str | None:
    """Return Python's name for the `charset` of a media type; None without one. Raises MessageError."""
    match = _PARAMETER.search(media_type)
    if match is None:
        return None
    codec = known(match[1])
    if codec is None:
        raise MessageError("parse", "MSH-18", "the character set of the carrier is not supported")
    return codec


def mislabelling(*, declared: bool) -> str:
    """Return what is said of a message that is `mislabelled`, by MSH-18 or by the setting that counts without it."""
    what = "this" if declared else "the setting for messages that leave it empty"
    return f"the bytes are UTF-8, though {what} says otherwise; read as UTF-8"


def mislabelled(body: bytes, codec: str) -> bool:
    """Whether bytes that are declared or set to be Latin-1 (or Latin-9, Windows-1252) are UTF-8: all that is not ASCII
    in them makes UTF-8.

    In Latin-1 every such pair would be a capital letter with an accent before a sign (`Âµ`), which nobody writes.
    """
    if codec not in _WESTERN or body.isascii():
        return False
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decode(body: bytes, codec: str) -> str:
    """Decode a whole message, without a byte order mark. Raises MessageError when the bytes contradict the codec."""
    start = len(BOM) if body.startswith(BOM) else 0
    if start:
        codec = "utf-8"
    try:
        return body[start:].decode(codec)
    except (UnicodeDecodeError, LookupError) as error:
        raise MessageError("parse", "MSH-18", "the bytes are not in the declared or expected character set") from error
