r"""Escape sequences of v2 text (chapter 2, "Use of escape sequences in text fields")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The six delimiters of a message; `truncation` is empty before 2.7."""

    separator: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str = ""
    levels: tuple[str, str, str] = field(init=False)
    """What separates repetitions, components and subcomponents, from the outside in."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", (self.repetition, self.component, self.subcomponent))


STANDARD = Delimiters("|", "^", "~", "\\", "&")
_FORMATS = {".br": "\n", ".ce": "\n", ".fi": "", ".nf": "", "H": "", "N": ""}
_SPACES = re.compile(r"\.sp\+?([0-9]{0,2})")
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")
_SWITCH = re.compile(r"[CM]((?:[0-9A-Fa-f]{2}){2,3})")
# Right halves of 96 signs, by the last byte of their designation (ESC 2D 46 is Greek).
_RIGHT = {
    0x41: "iso8859_1",
    0x42: "iso8859_2",
    0x43: "iso8859_3",
    0x44: "iso8859_4",
    0x46: "iso8859_7",
    0x47: "iso8859_6",
    0x48: "iso8859_8",
    0x4C: "iso8859_5",
    0x4D: "iso8859_9",
}


@lru_cache(maxsize=64)
def _pattern(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"{mark}([^{mark}\r\n]{{1,200}}){mark}")


def unresolved(text: str, delimiters: Delimiters) -> bool:
    """Whether a value has an escape character that belongs to no escape sequence that `unescape` knows."""
    mark = delimiters.escape
    rest = _pattern(mark).sub(lambda match: "" if _known(match[1]) else mark, text)
    return mark in rest


def _known(code: str) -> bool:
    whole = _SPACES.fullmatch(code) or _HEX.fullmatch(code) or _SWITCH.fullmatch(code)
    return code in _FORMATS or code in ("F", "S", "T", "R", "E", "P") or whole is not None


def unescape(text: str, delimiters: Delimiters, codec: str) -> str:
    r"""Resolve the escapes of one value; an unknown or unterminated one stays as it is.

    `\X..\` bytes are read in `codec`, or as Latin-1 when they are not text in it; `\C..\` and `\M..\` switch to another
    character set of ISO 2022 for what follows.
    """
    marks = {
        "F": delimiters.separator,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": delimiters.escape,
        "P": delimiters.truncation or "#",
    }

    def one(match: re.Match[str]) -> str:
        code = match.group(1)
        if code in marks:
            return marks[code]
        if code in _FORMATS:
            return _FORMATS[code]
        if spaces := _SPACES.fullmatch(code):
            return "\n" * int(spaces.group(1) or 1)
        if digits := _HEX.fullmatch(code):
            data = bytes.fromhex(digits.group(1))
            try:
                return data.decode(codec)
            except UnicodeDecodeError:
                return data.decode("latin-1")
        return match.group(0)

    pattern = _pattern(delimiters.escape)
    if f"{delimiters.escape}C" in text or f"{delimiters.escape}M" in text:
        text = _switched(text, pattern, codec)
    return pattern.sub(one, text)


def _switched(text: str, pattern: re.Pattern[str], codec: str) -> str:
    """Resolve the switches of character sets in a value; what cannot be in the set that it names stays as it is."""
    made: list[str] = []
    at, designation = 0, b""
    for match in [*pattern.finditer(text), None]:
        switch = _SWITCH.fullmatch(match[1]) if match is not None else None
        if match is not None and switch is None:
            continue
        run = text[at : match.start() if match is not None else len(text)]
        made.append(_within(run, designation, codec))
        if match is not None and switch is not None:
            at, designation = match.end(), bytes.fromhex(switch[1])
    return "".join(made)


def _within(run: str, designation: bytes, codec: str) -> str:
    if not designation or not run:
        return run
    try:
        if designation[:1] == b"-" and designation[1] in _RIGHT:
            return run.encode(codec).decode(_RIGHT[designation[1]])
        # Sets of seven bits: ASCII (ESC 28 42) and those of Japanese, Chinese and Korean.
        return (b"\x1b" + designation + run.encode("ascii") + b"\x1b(B").decode("iso2022_jp_2")
    except (UnicodeError, LookupError):
        return run
