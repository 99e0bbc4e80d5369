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
_SPACES = re.compile(r"\.sp\+?(\d{0,2})")
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")


@lru_cache(maxsize=64)
def _pattern(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"{mark}([^{mark}\r\n]{{1,200}}){mark}")


def unescape(text: str, delimiters: Delimiters, codec: str) -> str:
    r"""Resolve the escapes of one value; an unknown or unterminated one stays as it is.

    `\X..\` bytes are read in `codec`, or as Latin-1 when they are not text in it.
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

    return _pattern(delimiters.escape).sub(one, text)
