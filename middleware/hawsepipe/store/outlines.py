"""Resources that differ only in names and in a few elements: what is the same is put together once.

An outline holds everything that a first version is made of (`elements.Whole`), with places for the names, for the id,
and for the elements that are looked at by themselves, since they hold times and numbers, which are seldom the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hawsepipe.fhir.index import Grouped
from hawsepipe.store.moulds import Form, Line, Masked, form, mould, put

_APART: Final = re.compile(rb'"[0-9]{4}-[0-9]{2}|:-?[0-9]')
"""A time or a number."""

_TRIES: Final = 64
"""Resources of a type of which no more than half had an outline, after which that is not looked for any more."""

_AGAIN: Final = 4096
"""Resources after which it is looked for once more."""


apart: Final = _APART.search
"""Finds what makes an element, by its JSON, one that is looked at by itself."""


class Luck:
    """Whether it is worth while to look for outlines of resources of a type."""

    def __init__(self) -> None:
        self._asked = 0
        self._found = 0

    def worth(self) -> bool:
        """Say so, and count that it was asked."""
        self._asked += 1
        if self._asked > _AGAIN:
            self._asked = self._found = 0
        return self._asked < _TRIES or 2 * self._found >= self._asked

    def found(self) -> None:
        """Count that there was one."""
        self._found += 1


Lines = tuple[Line, ...]


class Part(NamedTuple):
    """An element of an outline: its JSON and canonical form, without names, and its rows by their class."""

    name: str
    written: bytes
    canonical: bytes
    rows: Sequence[tuple[int, Sequence[tuple[Any, ...]]]]


class Outline(NamedTuple):
    """See the module. Values for `content` are the names, then what is written of each element that is looked at by
    itself; for the other forms the names, the canonical forms of these elements, then the id as JSON.

    `rows` are for each class lines, or the number of an element that is looked at by itself. `existing`, `labels` and
    `traits` are those of the parts together; `naming` says whether the traits name ids; `patients` are theirs, too;
    `twins` are the names of elements that have one (`_name`).
    """

    content: Form
    front: Form
    back: Form
    static: Form
    rows: tuple[tuple[Lines | int, ...], ...]
    ids: tuple[tuple[str, int], ...]
    existing: frozenset[str]
    labels: frozenset[str]
    traits: Any
    naming: bool
    patients: tuple[str, ...]
    twins: frozenset[str]

    def collected(self, names: Sequence[str], alone: Sequence[Any]) -> list[list[tuple[Any, ...]]]:
        """Return the rows by their class with these names; `alone` are the elements that were looked at."""
        rows: list[list[tuple[Any, ...]]] = []
        for place, some in enumerate(self.rows):
            found: list[tuple[Any, ...]] = []
            for lines in some:
                if isinstance(lines, int):
                    for other, held in alone[lines].rows:
                        if other == place:
                            found += held
                else:
                    found += [put(row, cells, names) if cells else row for row, cells in lines]
            rows.append(found)
        return rows


def outline(
    type_: bytes,
    parts: Sequence[Part | str],
    without: Masked,
    *,
    existing: frozenset[str],
    labels: frozenset[str],
    traits: Any,
    naming: bool,
    patients: tuple[str, ...],
    twins: frozenset[str],
) -> Outline | None:
    """Return the outline of a resource of these parts, in order, those that are looked at by themselves by their names;
    None where something was made of what stands for a name that cannot be made of any name. `type_` is the
    type as JSON; what `meta` is comes between `front` and `back`.
    """
    numbers = {hole: number for number, hole in enumerate(without.holes)}
    own = [part for part in parts if isinstance(part, str)]
    slots = {name: len(numbers) + number for number, name in enumerate(own)}
    written: list[bytes | int] = []
    members: dict[str, list[bytes | int]] = {}
    rows: list[list[Lines | int]] = [[] for _ in Grouped._fields]
    ids: tuple[tuple[str, int], ...] = ()
    for part in parts:
        written.append(b",")
        if isinstance(part, str):
            written.append(slots[part])
            members[part] = [slots[part]]
            for some in rows:
                some.append(own.index(part))
            continue
        written.append(part.written)
        members[part.name] = [part.canonical]
        made = mould(without.holes, (), part.rows)
        if made is None:
            return None
        ids = made.ids
        for place, lines in made.rows:
            rows[place].append(lines)
    members["id"] = [b'"id":', len(numbers) + len(own)]
    members["meta"] = []
    members["resourceType"] = [b'"resourceType":' + type_]
    names = sorted(members, key=lambda name: f'"{name}"'.encode())
    place = names.index("meta")
    unmoved = [name for name in names if name not in ("meta", "text")]
    front = [b"{", *(bit for name in names[:place] for bit in (*members[name], b","))]
    back = [*(bit for name in names[place + 1 :] for bit in (b",", *members[name])), b"}"]
    static = [
        b"{",
        *(bit for number, name in enumerate(unmoved) for bit in (b"," if number else b"", *members[name])),
        b"}",
    ]
    return Outline(
        content=form([*written, b"}"], numbers),
        front=form(front, numbers),
        back=form(back, numbers),
        static=form(static, numbers),
        rows=tuple(tuple(some) for some in rows),
        ids=ids,
        existing=existing,
        labels=labels,
        traits=traits,
        naming=naming,
        patients=patients,
        twins=twins,
    )
