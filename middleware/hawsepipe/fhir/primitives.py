"""The primitive types of R4: which JSON values each one takes.

https://hl7.org/fhir/R4/datatypes.html. The patterns use only what every regular-expression engine agrees about, since
the JSON Schemas are made of them too, and they know the calendar (no 30 February, no 29 February 2025).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

_YEAR = "(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DAY = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_INSTANT = rf"{_DAY}T{_TIME}(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_DATE = f"(?:{_DAY}|{_YEAR}(?:-(?:0[1-9]|1[0-2]))?)"
_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]+"
_URI = r"[^\x00-\x20]+"

PATTERNS: Mapping[str, str] = {
    "base64Binary": r"[ \t\r\n]*(?:(?:[0-9a-zA-Z+/=][ \t\r\n]*){4})+",
    "canonical": _URI,
    "code": r"[^\x00-\x20]+(?:[ \t\r\n][^\x00-\x20]+)*",
    "date": _DATE,
    "dateTime": f"(?:{_INSTANT}|{_DATE})",
    "id": r"[A-Za-z0-9\-.]{1,64}",
    "instant": _INSTANT,
    "markdown": _TEXT,
    "oid": r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+",
    "string": _TEXT,
    "time": _TIME,
    "uri": _URI,
    "url": _URI,
    "uuid": r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "xhtml": _TEXT,
}
"""What a string of the type matches as a whole."""

RANGES: Mapping[str, tuple[int, int]] = {
    "integer": (-(2**31), 2**31 - 1),
    "positiveInt": (1, 2**31 - 1),
    "unsignedInt": (0, 2**31 - 1),
}
"""The least and the greatest value of the integer types."""

_COMPILED = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}


def fits(type_name: str, value: Any) -> bool:
    """Say whether a JSON value, as `codec.decode` gives it, is one of this primitive type."""
    pattern = _COMPILED.get(type_name)
    if pattern is not None:
        return type(value) is str and pattern.fullmatch(value) is not None
    if type_name == "boolean":
        return type(value) is bool
    if type_name == "decimal":
        if isinstance(value, Decimal):
            return value.is_finite()
        # A float never comes from `codec.decode`; from an adapter it is worth its shortest spelling.
        return type(value) is int or isinstance(value, msgspec.Raw) or (type(value) is float and math.isfinite(value))
    low, high = RANGES[type_name]
    return type(value) is int and low <= value <= high
