"""Resources of one shape, made at once: what is left of an outline when nothing has to be looked for any more.

Two resources have one shape when they are written with the same bytes but for names (`moulds`), times and numbers, and
the same of the names are equal. Of such it is known where each name comes in all that is made of the resource
(`elements.Whole`); elements with times or numbers are worked out by themselves, as for an outline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final, NamedTuple

from hawsepipe.fhir.index import Grouped
from hawsepipe.fhir.rows import fold
from hawsepipe.store.commonness import common, own
from hawsepipe.store.moulds import NAMES, Form
from hawsepipe.store.outlines import Outline
from hawsepipe.visibility import Facets

_GROUPS: Final = re.compile(NAMES).groups
_CUT: Final = re.compile(NAMES + rb'|"([0-9]{4}-[0-9]{2}[^"\\]*)(?=")|":(-?[0-9][0-9.eE+\-]*)')
"""Names, times, and numbers. All begin alike, which makes looking for them twice as fast."""

_BETWEEN: Final = b'","'
"""Stands between the names of a list."""

_TOKENS: Final = Grouped._fields.index("tokens")


class Shape(NamedTuple):
    """A resource, parted into what others may have in common with it (`key`) and what comes between."""

    key: tuple[Any, ...]
    names: list[bytes]
    rest: bytes


class Spot(NamedTuple):
    """Where something that is not part of the shape stands, and its group in `_CUT`."""

    start: int
    end: int
    group: int


Rows = Callable[[Sequence[bytes], Sequence[Any]], Grouped]
Text = tuple[bytes, Callable[[Sequence[bytes]], tuple[bytes, ...]] | None]
"""A text with places in it, and what takes their values out of all values."""


class Alone(NamedTuple):
    """An element that is looked at by itself: its name, its JSON, and what it must have for the cast to hold."""

    name: str
    text: Text
    classes: tuple[int, ...]
    existing: frozenset[str]
    labels: frozenset[str]
    single: bool


class View(NamedTuple):
    """What resources are seen by: all of a `Sight` but its rows. `own` are kind, text, and the place of the name that
    follows, if one does. `dated` is the place of the element by itself that gives the clinical time, if one does; the
    others give nothing, nor does this one give anything else.
    """

    rank: int | None
    start: int | None
    end: int | None
    common: bytes
    own: tuple[tuple[str, str, int | None], ...]
    dated: int | None


class Cast(NamedTuple):
    """See the module. `skip` are the bytes of `meta` at the beginning of what is written; `front`, `back` and `static`
    are those of `Outline`, of the names, then the canonical forms of the elements by themselves, then the id as JSON;
    `static` is None where it consists of the other two. `rows` makes all rows, of the names and these elements.
    """

    outline: Outline
    skip: int
    meta: Any
    front: Text
    back: Text
    static: Text | None
    alone: tuple[Alone, ...]
    rows: Rows
    ids: tuple[tuple[str, int], ...]
    views: tuple[View | None, View | None]
    linked: bool


def shape(kind: str, id_: str, joined: Collection[str], written: bytes) -> Shape | None:
    """Return the shape of a resource of a type; None where it is not written as translators write."""
    start = b'{"resourceType":"%s","id":"%s",' % (kind.encode(), id_.encode())
    if not written.startswith(start):
        return None
    rest = written[len(start) :]
    parts = [part for part in _CUT.split(rest) if part is not None]
    names = parts[1::2]
    flat, lengths = names, None
    if names:
        flat = _BETWEEN.join(names).split(_BETWEEN)
        if len(flat) != len(names):
            lengths = tuple([name.count(_BETWEEN) for name in names])
    same = None
    if len(set(flat)) != len(flat):
        numbers: dict[bytes, int] = {}
        same = tuple([numbers.setdefault(name, len(numbers)) for name in flat])
    return Shape((kind, tuple(sorted(joined)), *parts[::2], lengths, same), flat, rest)


def cast(
    known: Outline,
    found: Shape,
    told: bytes,
    held: Mapping[str, bytes],
    alone: Sequence[tuple[str, Any]],
    names: Sequence[bytes],
    meta: Any,
    presence: Sequence[tuple[Any, ...]],
    facets: Callable[[Sequence[Any], bool], Facets],
) -> Cast | None:
    """Return the cast of resources of this shape, of which one has an outline; None where a part of it is in doubt.

    `alone` are the elements of that one that are looked at by themselves, `names` the names that its outline takes,
    `meta` its labelled `meta`, `presence` its rows of parameters that ask whether there is something; `facets` gives
    those of traits, about a patient or not.
    """
    rest = found.rest
    skip = len(b'"meta":' + told + b",") if told else 0
    if rest[skip:] != b",".join([b'"%s":%s' % (name.encode(), part) for name, part in held.items()]) + b"}":
        return None
    if told and not rest.startswith(b'"meta":' + told + b","):
        return None
    spots = _spots(rest)
    if [rest[it.start : it.end] for it in spots] != found.names or any(it.start < skip for it in spots):
        return None
    by_itself = {name for name, _ in alone}
    places: dict[tuple[int, bytes], int] = {}
    texts: dict[str, Text] = {}
    end = skip
    for name, part in held.items():
        begin = end + len(name) + 3
        end = begin + len(part)
        inside = [number for number, it in enumerate(spots) if begin <= it.start < end]
        if name in by_itself:
            texts[name] = _text(rest, begin, end, [(spots[number], number) for number in inside])
        elif any(spots[number].group > _GROUPS for number in inside):
            return None
        else:
            for number in inside:
                places.setdefault((spots[number].group, found.names[number]), number)
        end += 1
    if [name for _, name in places] != list(names):
        return None
    order = list(places.values())
    beyond = len(found.names)
    ids = tuple([(hole, order[number]) for hole, number in known.ids])

    def view(about: bool) -> View | None:
        return _view([meta.element.traits, known.traits], [it.traits for _, it in alone], dict(ids), about, facets)

    front, back, static = (_formed(it, order, beyond) for it in (known.front, known.back, known.static))
    return Cast(
        outline=known,
        skip=skip,
        meta=meta,
        front=front,
        back=back,
        static=static if "text" in held else None,
        alone=tuple(
            [
                Alone(
                    name,
                    texts[name],
                    tuple(place for place, _ in it.rows),
                    it.existing,
                    it.traits.labels,
                    name in known.twins or name.removeprefix("_") in known.twins,
                )
                for name, it in alone
            ]
        ),
        rows=_rows(
            known, order, [tuple(place for place, _ in it.rows) for _, it in alone], meta.element.rows, presence
        ),
        ids=ids,
        views=(view(False), view(True)),
        linked="link" in held,
    )


def put(text: Text, values: Sequence[bytes]) -> bytes:
    """Return a text with values in its places."""
    written, taken = text
    return written if taken is None else written % taken(values)


def _view(
    shared: Sequence[Any],
    alone: Sequence[Any],
    ids: Mapping[str, int],
    about: bool,
    facets: Callable[[Sequence[Any], bool], Facets],
) -> View | None:
    """Return the view of resources of which these are the traits; None where it is not so simple."""
    known = facets(shared, about)
    start, end = known.clinical_start, known.clinical_end
    nothing = facets((), True)
    loud = [number for number, traits in enumerate(alone) if facets([traits], True) != nothing]
    if loud:
        seen = facets([alone[loud[0]]], True)
        start, end = seen.clinical_start, seen.clinical_end
        whole = replace(known, clinical_start=start, clinical_end=end)
        if len(loud) > 1 or start is None or not only_time(seen, nothing) or facets([*shared, *alone], about) != whole:
            return None
    own_: list[tuple[str, str, int | None]] = []
    for kind, value in own(known.values):
        head, slash, id_ = value.partition("/")
        own_.append((kind, head + slash, ids[id_]) if id_ in ids else (kind, value, None))
    return View(known.rank, start, end, common(known.values), tuple(own_), loud[0] if loud else None)


def only_time(seen: Facets, nothing: Facets) -> bool:
    """Say whether facets differ from those of nothing in their clinical time alone."""
    return seen.rank == nothing.rank and seen.values == nothing.values


def _spots(rest: bytes) -> list[Spot]:
    spots: list[Spot] = []
    for match in _CUT.finditer(rest):
        group = match.lastindex or 0
        start = match.start(group)
        for name in match[group].split(_BETWEEN):
            spots.append(Spot(start, start + len(name), group))
            start += len(name) + len(_BETWEEN)
    return spots


def _text(rest: bytes, begin: int, end: int, spots: Sequence[tuple[Spot, int]]) -> Text:
    pieces = [b""]
    for spot, _ in spots:
        pieces[-1] += rest[begin : spot.start]
        pieces.append(b"")
        begin = spot.end
    pieces[-1] += rest[begin:end]
    return _taking(pieces, [number for _, number in spots])


def _formed(form: Form, order: Sequence[int], beyond: int) -> Text:
    places = [order[it] if it < len(order) else beyond + it - len(order) for it in form.places]
    return _taking(form.pieces, places)


def _taking(pieces: Sequence[bytes], places: Sequence[int]) -> Text:
    if not places:
        return b"".join(pieces), None
    written = b"%b".join([piece.replace(b"%", b"%%") for piece in pieces])
    if len(places) > 1:
        return written, itemgetter(*places)
    (place,) = places
    return written, lambda values: (values[place],)


def _rows(
    known: Outline,
    order: Sequence[int],
    classes: Sequence[tuple[int, ...]],
    meta: Sequence[tuple[int, Sequence[tuple[Any, ...]]]],
    presence: Sequence[tuple[Any, ...]],
) -> Rows:
    """Compile what makes the rows: a function that builds tuples of constants and names. Nothing of a resource is part
    of its text, only numbers of places and of constants.
    """
    scope: dict[str, Any] = {"fold": fold, "once": dict.fromkeys, "Grouped": Grouped}
    needed: dict[str, str] = {}

    def constant(value: Any) -> str:
        name = f"c{len(scope)}"
        scope[name] = value
        return name

    def cell(place: int, to_fold: bool) -> str:
        number = order[place]
        needed.setdefault(f"t{number}", f"n[{number}].decode()")
        if not to_fold:
            return f"t{number}"
        needed.setdefault(f"f{number}", f"fold(t{number})")
        return f"f{number}"

    fields: list[str] = []
    for place, some in enumerate(known.rows):
        items = [constant(row) for at, held in meta if at == place for row in held]
        for lines in some:
            if isinstance(lines, int):
                if place in classes[lines]:
                    items.append(f"*a[{lines}].rows[{classes[lines].index(place)}][1]")
                continue
            for row, cells in lines:
                if not cells:
                    items.append(constant(row))
                    continue
                parts = [""] * len(row)
                for at, name, to_fold in cells:
                    parts[at] = cell(name, to_fold)
                items.append(f"({', '.join([part or constant(row[at]) for at, part in enumerate(parts)])},)")
        if place == _TOKENS:
            items += [constant(row) for row in presence]
        made = f"({', '.join(items)},)" if items else "()"
        fields.append(f"tuple(once({made}))" if len(items) > 1 else made)
    lines_ = ["def rows(n, a):", *(f"    {name} = {value}" for name, value in needed.items())]
    lines_.append(f"    return Grouped({', '.join(fields)})")
    exec(compile("\n".join(lines_), "<cast>", "exec"), scope)  # noqa: S102  built from numbers, see above
    made_: Rows = scope["rows"]
    return made_
