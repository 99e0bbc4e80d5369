"""The one module that knows hl7apy: what each version of the standard defines, and a second opinion on how a message
splits.

The definitions serve a strict check on request, the opinion is an oracle; neither is on the way of a message. hl7apy is
untyped and raises its own exceptions, which stay in here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hl7apy import SUPPORTED_LIBRARIES, load_library  # type: ignore[import-untyped]  # hl7apy ships no types
from hl7apy.consts import VALIDATION_LEVEL  # type: ignore[import-untyped]  # hl7apy ships no types
from hl7apy.exceptions import HL7apyException  # type: ignore[import-untyped]  # hl7apy ships no types
from hl7apy.parser import parse_message  # type: ignore[import-untyped]  # hl7apy ships no types

from hawsepipe import MessageError


def fields(text: str) -> dict[str, str]:
    """Return every valued field repetition but MSH-1 and MSH-2, as sent, by location. Raises MessageError."""
    try:
        parsed = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
        return dict(_fields(parsed))
    except HL7apyException as error:
        raise MessageError("parse", "", "hl7apy cannot read the message") from error


def _fields(parsed: Any) -> Iterator[tuple[str, str]]:
    counts: dict[str, int] = {}
    for one in parsed.children:
        name = str(one.name)
        number = counts[name] = counts.get(name, 0) + 1
        label = name if number == 1 else f"{name}[{number}]"
        seen: dict[str, int] = {}
        for field in one.children:
            position = str(field.name).rpartition("_")[2]
            if name == "MSH" and position in ("1", "2"):
                continue
            repetition = seen[position] = seen.get(position, 0) + 1
            value = str(field.to_er7())
            if value:
                yield f"{label}-{position}" + (f"[{repetition}]" if repetition > 1 else ""), value


@dataclass(frozen=True, slots=True)
class Definition:
    """A message, group, segment, field or component of a version of the standard.

    `kind` is MSG, GRP, SEG, FIE or CMP; `most` is None for any number; `type` the data type of a field or component
    (empty when it varies); `choice` says that one of the children comes instead of all.
    """

    name: str
    kind: str
    least: int = 1
    most: int | None = 1
    type: str = ""
    children: tuple[Definition, ...] = ()
    choice: bool = False


VERSIONS = frozenset(SUPPORTED_LIBRARIES)
"""The versions of the standard that there are definitions of."""


@lru_cache(maxsize=256)
def message(version: str, structure: str) -> Definition | None:
    """Return the definition of a message structure (`ADT_A01`); None when the version has none of the name."""
    found = _load(version).MESSAGES.get(structure)
    return None if found is None else _definition(structure, found, (1, 1), "MSG")


@lru_cache(maxsize=1024)
def segment(version: str, name: str) -> Definition | None:
    """Return the definition of a segment with its fields; None when the version has none of the name."""
    found = _load(version).SEGMENTS.get(name)
    return None if found is None else _definition(name, found, (1, 1), "SEG")


@lru_cache(maxsize=1024)
def datatype(version: str, name: str) -> Definition | None:
    """Return the definition of a data type with its components (none for a primitive); None when there is none."""
    library = _load(version)
    if name in library.DATATYPES_STRUCTS:
        parts = library.DATATYPES_STRUCTS[name]
        return Definition(name, "CMP", type=name, children=tuple(map(_child, parts)))
    return Definition(name, "CMP", type=name) if name in library.get_base_datatypes() else None


def _load(version: str) -> Any:
    return load_library(version)


def _definition(name: str, found: Any, bounds: Any, kind: str) -> Definition:
    type_ = str(found[2] or "") if len(found) > 2 else ""
    # A field's components are those of its data type; a message only names its segments.
    parts = (found[1] if len(found) > 1 else None) or ()
    below = tuple(map(_child, parts)) if kind in ("MSG", "GRP") or (kind == "SEG" and _fields_of(parts)) else ()
    least, most = int(bounds[0]), None if bounds[1] < 0 else int(bounds[1])
    return Definition(name, kind, least, most, "" if type_ == "varies" else type_, below, found[0] == "choice")


def _fields_of(parts: Any) -> bool:
    return bool(parts) and len(parts[0]) == 4 and parts[0][3] == "FIE"


def _child(part: Any) -> Definition:
    name, found, bounds, kind = part
    if kind == "SEG":
        return Definition(str(name), "SEG", int(bounds[0]), None if bounds[1] < 0 else int(bounds[1]))
    return _definition(str(name), found, bounds, str(kind))
