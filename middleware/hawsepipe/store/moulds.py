"""Elements that differ only in names: what stands for the names, and how they are put in.

Names are ids of what is referred to, values of identifiers, names of people and places, texts, content in base 64. Each
kind has something that stands for it, of which whatever makes something else of a text than itself makes something
else; what search folds is told from what it keeps.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
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

_NAMES: Final = re.compile(
    rb'"reference":"[A-Z][A-Za-z]{1,63}/([A-Za-z0-9\-.]{1,64})(?=(?:/_history/[0-9]{1,9})?")'
    rb'|"(?:%s)":"([^"\\\x00-\x1f\x7f]+)(?=")'
    rb'|"(?:%s)":\["([^"\\\x00-\x1f\x7f]+(?:","[^"\\\x00-\x1f\x7f]+)*)(?="\])'
    rb'|"data":"((?:[A-Za-z0-9+/]{4})+)(?=")' % ("|".join(_TEXTS).encode(), "|".join(_LISTS).encode())
)

_MARK: Final = "\ue0f1"
"""A character for private use, which folding keeps: an element that has it is looked at as it is."""

_ID: Final = b"Hole-in-an-element-%d."
_TEXT: Final = f"{_MARK}\u00c9  %d{_MARK}".encode()
_DATA: Final = b"SG9sZUluQW5FbGVtZW50%04d"
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
    found: dict[tuple[int, bytes], bytes] = {}

    def stand(group: int, held: bytes) -> bytes:
        known = found.get((group, held))
        if known is None:
            known = found[group, held] = (_ID, _TEXT, _TEXT, _DATA)[group - 1] % len(found)
        return known

    def without(match: re.Match[bytes]) -> bytes:
        group = match.lastindex
        assert group is not None
        whole, (start, end) = match[0], match.span(group)
        begin = match.start()
        if group == 3:
            held = b'","'.join([stand(2, one) for one in match[3].split(b'","')])
        else:
            held = stand(group, match[group])
        return whole[: start - begin] + held + whole[end - begin :]

    taken = _NAMES.sub(without, written)
    if not found or len(found) > _MOST or any(held in written for held in _STANDS) or not _texts(kind, name):
        return None
    return Masked(taken, tuple(held for _, held in found), tuple(found.values()))


class Mould(NamedTuple):
    """What is written, in two forms, and the rows of elements that are alike, to be filled with names; `ids` are what
    stands for ids of what is referred to, and which names these are.
    """

    forms: tuple[tuple[tuple[bytes, ...], tuple[int, ...]], ...]
    rows: tuple[tuple[int, tuple[_Row, ...], tuple[tuple[_Row, _Cells], ...]], ...]
    ids: tuple[tuple[str, int], ...]

    def written(self, names: Sequence[bytes]) -> list[bytes]:
        """Return the forms with these names."""
        made: list[bytes] = []
        for pieces, places in self.forms:
            parts = [pieces[0]]
            for place, piece in zip(places, pieces[1:], strict=True):
                parts += (names[place], piece)
            made.append(b"".join(parts))
        return made

    def filled(self, names: Sequence[str]) -> tuple[tuple[int, tuple[_Row, ...]], ...]:
        """Return the rows by their class, with these names."""
        return tuple(
            (
                place,
                plain if not holed else tuple([_put(row, cells, names) if cells else row for row, cells in holed]),
            )
            for place, plain, holed in self.rows
        )


def mould(holes: Sequence[bytes], forms: Sequence[bytes], rows: Sequence[tuple[int, Sequence[_Row]]]) -> Mould | None:
    """Return the mould of an element with these holes; None if something was made of what stands for a name that
    cannot be made of any name.
    """
    numbers = {hole: number for number, hole in enumerate(holes)}
    texts = {hole.decode(): number for hole, number in numbers.items()}
    folded = {fold(text): number for text, number in texts.items() if _MARK in text}
    made: list[tuple[int, tuple[_Row, ...], tuple[tuple[_Row, _Cells], ...]]] = []
    for place, some in rows:
        holed: list[tuple[_Row, _Cells]] = []
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
            holed.append((row, tuple(cells)))
        made.append((place, tuple(some), tuple(holed) if any(cells for _, cells in holed) else ()))
    split: list[tuple[tuple[bytes, ...], tuple[int, ...]]] = []
    for form in forms:
        parts = _HOLES.split(form)
        split.append((tuple(parts[::2]), tuple(numbers[hole] for hole in parts[1::2])))
    ids = tuple((text, number) for text, number in texts.items() if text.startswith(_STANDS[0].decode()))
    return Mould(tuple(split), tuple(made), ids)


def _put(row: _Row, cells: _Cells, names: Sequence[str]) -> _Row:
    filled = list(row)
    for cell, number, to_fold in cells:
        filled[cell] = fold(names[number]) if to_fold else names[number]
    return tuple(filled)


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
