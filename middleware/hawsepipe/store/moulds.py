"""Elements that differ only in names: what stands for the names, and how they are put in.

Names are ids of what is referred to, values of identifiers, names of people and places, texts, content in base 64. Each
kind has something that stands for it, of which whatever makes something else of a text than itself makes something
else; what search folds is told from what it keeps.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.rows import fold

_TEXTS: Final = (
    "city",
    "country",
    "display",
    "district",
    "family",
    "postalCode",
    "state",
    "text",
    "value",
    "valueString",
)
_LISTS: Final = ("given", "line", "prefix", "suffix")

NAMES: Final = (
    rb'"reference":"[A-Z][A-Za-z]{1,63}/([A-Za-z0-9\-.]{1,64})(?=(?:/_history/[0-9]{1,9})?")'
    rb'|"(?:%s)":"([^"\\\x00-\x1f\x7f]+)(?=")'
    rb'|"(?:%s)":\["([^"\\\x00-\x1f\x7f]+(?:","[^"\\\x00-\x1f\x7f]+)*)(?="\])'
    rb'|"data":"((?:[A-Za-z0-9+/=]{4})+)(?=")' % ("|".join(_TEXTS).encode(), "|".join(_LISTS).encode())
)
"""Matches a name behind what it is the value of; each kind of name is a group."""

_NAMES: Final = re.compile(NAMES)

_MARK: Final = "\ue0f1"
"""A character for private use, which folding keeps: an element that has it is looked at as it is."""

_ID: Final = b"Hole-in-an-element-%d."
_TEXT: Final = f"{_MARK}\u00c9  %d{_MARK}".encode()
_DATA: Final = b"SG9sZUluQW5FbGVtZW50%04d"
_HOLE_OF: Final = {1: _ID, 2: _TEXT, 4: _DATA}
"""What stands for a name, by its group in `_NAMES`."""

_STANDS: Final = (_ID[:-3], _MARK.encode(), _DATA[:-4])
_HOLES: Final = re.compile(
    b"(%s[0-9]+[.]|%s[0-9]+%s|%s[0-9]{4})" % (_ID[:-3], _TEXT[: _TEXT.index(b"%")], _MARK.encode(), _DATA[:-4])
)
_ODD: Final = tuple(fold(stand.decode()) for stand in _STANDS)
_MOST: Final = 1000
"""Names in an element that differ from each other."""

_TYPES: Final = {
    **dict.fromkeys((*_TEXTS, *_LISTS), frozenset({"string", "markdown"})),
    "value": frozenset({"string", "decimal"}),
    "data": frozenset({"base64Binary", "string"}),
}
"""Of what types an element may be that is called so, if it is a text in JSON."""

_Row = tuple[Any, ...]
_Cells = tuple[tuple[int, int, bool], ...]
"""Cells of a row that hold names: which cell, which name, whether it is folded."""


class Masked(NamedTuple):
    """An element whose names are taken out."""

    written: bytes
    names: tuple[bytes, ...]
    holes: tuple[bytes, ...]


def masked(kind: str, name: str, written: bytes) -> Masked | None:
    """Take the names out of an element of a type, by its name and its JSON; None if there are none, or if it must be
    looked at as it is.
    """
    without = _masked(written)
    return without if without is not None and without.names and _texts(kind, name) else None


def masked_members(kind: str, names: Sequence[str], written: bytes) -> Masked | None:
    """Take the names out of elements of a resource of a type, as members of its JSON; None as `masked`, but not where
    there are none.
    """
    return _masked(written) if _all_texts(kind, tuple(names)) else None


def _masked(written: bytes) -> Masked | None:
    if any(held in written for held in _STANDS):
        return None
    known: dict[tuple[int, bytes], bytes] = {}

    def without(match: re.Match[bytes]) -> bytes:
        # A name stands at the end of what is matched.
        group = match.lastindex
        held = match[group or 0]
        if group == 3:
            stands = [known.get((2, one)) or stand(2, one) for one in held.split(b'","')]
            return match[0][: -len(held)] + b'","'.join(stands)
        key = (group or 0, held)
        return match[0][: -len(held)] + (known.get(key) or stand(*key))

    def stand(group: int, held: bytes) -> bytes:
        known[group, held] = found = _HOLE_OF[group] % len(known)
        return found

    taken = _NAMES.sub(without, written)
    return None if len(known) > _MOST else Masked(taken, tuple([held for _, held in known]), tuple(known.values()))


class Form(NamedTuple):
    """A text with places in it: what stands before, between and after them, and what comes there, by its number."""

    pieces: tuple[bytes, ...]
    places: tuple[int, ...]

    def of(self, values: Sequence[bytes]) -> bytes:
        """Return the text with these in its places."""
        parts = [b""] * (2 * len(self.places) + 1)
        parts[::2] = self.pieces
        parts[1::2] = [values[place] for place in self.places]
        return b"".join(parts)


Line = tuple[_Row, _Cells]
"""A row, and its cells that hold names."""


class Mould(NamedTuple):
    """What is written, in two forms, and the rows, by their class, of elements that are alike, to be filled with names;
    `ids` are what stands for ids of what is referred to, and which names these are.
    """

    forms: tuple[Form, ...]
    rows: tuple[tuple[int, tuple[Line, ...]], ...]
    ids: tuple[tuple[str, int], ...]

    def filled(self, names: Sequence[str]) -> tuple[tuple[int, tuple[_Row, ...]], ...]:
        """Return the rows by their class, with these names."""
        return tuple([(place, tuple([put(row, cells, names) for row, cells in some])) for place, some in self.rows])


def mould(holes: Sequence[bytes], forms: Sequence[bytes], rows: Sequence[tuple[int, Sequence[_Row]]]) -> Mould | None:
    """Return the mould of an element with these holes; None if something was made of what stands for a name that
    cannot be made of any name.
    """
    numbers = {hole: number for number, hole in enumerate(holes)}
    texts = {hole.decode(): number for hole, number in numbers.items()}
    folded = {fold(text): number for text, number in texts.items() if _MARK in text}
    made: list[tuple[int, tuple[Line, ...]]] = []
    for place, some in rows:
        lines: list[Line] = []
        for row in some:
            cells: list[tuple[int, int, bool]] = []
            for cell, held in enumerate(row):
                if not isinstance(held, str):
                    continue
                if held in texts:
                    cells.append((cell, texts[held], False))
                elif held in folded:
                    cells.append((cell, folded[held], True))
                elif any(odd in fold(held) for odd in _ODD):
                    return None
            lines.append((row, tuple(cells)))
        made.append((place, tuple(lines)))
    return Mould(tuple(form([text], numbers) for text in forms), tuple(made), _ids(texts))


def form(parts: Sequence[bytes | int], numbers: Mapping[bytes, int]) -> Form:
    """Return the form of parts that follow each other: texts with holes, and numbers of what comes there."""
    pieces, places = [b""], list[int]()
    for part in parts:
        if isinstance(part, int):
            places.append(part)
            pieces.append(b"")
            continue
        first, *more = _HOLES.split(part)
        pieces[-1] += first
        for hole, after in zip(more[::2], more[1::2], strict=True):
            places.append(numbers[hole])
            pieces.append(after)
    return Form(tuple(pieces), tuple(places))


def _ids(texts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((text, number) for text, number in texts.items() if text.startswith(_STANDS[0].decode()))


def put(row: _Row, cells: _Cells, names: Sequence[str]) -> _Row:
    """Return a row with names in its cells."""
    if not cells:
        return row
    filled = list(row)
    for cell, number, to_fold in cells:
        filled[cell] = fold(names[number]) if to_fold else names[number]
    return tuple(filled)


@functools.lru_cache(_MOST)
def _all_texts(kind: str, names: tuple[str, ...]) -> bool:
    return all(_texts(kind, name) and _text(kind, name) for name in names)


@functools.cache
def _texts(kind: str, name: str) -> bool:
    """Say whether whatever below an element of a type is called as names are is of a type that takes any name."""
    definitions = load()
    shapes = [kind] if kind in definitions.resource_types else []
    seen: set[str] = set()
    while shapes:
        shape = shapes.pop()
        for field in definitions.shape(shape).values():
            if shape == kind and field.key != name:
                continue
            if shape != kind and field.primitive and field.type not in _TYPES.get(field.key, (field.type,)):
                return False
            if field.shape is not None and field.shape not in seen:
                seen.add(field.shape)
                shapes.append(field.shape)
    return True


@functools.cache
def _text(kind: str, name: str) -> bool:
    """Say whether an element of a type, if it is called as names are, takes any name."""
    definitions = load()
    fields = definitions.shape(kind).values() if kind in definitions.resource_types else ()
    return not any(it.key == name and it.primitive and it.type not in _TYPES.get(name, (it.type,)) for it in fields)
