"""Composite data types of the tables (`hl7v2/datatypes/`) as functions that fill a FHIR object.

Nearly every component is plain: present, without subcomponents. The rows of a data type become the source of one
function for just that, since a message has dozens of composites; what has subcomponents takes the long way through the
same rows. Both write the same. Names come into the source as literals, functions by the number of their row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Convert, Leaf
from hawsepipe_hl7v2.message import DELETE
from hawsepipe_hl7v2.paths import Place, place

Fill = Callable[[Bench, str, str, dict[str, Any]], list[Leaf]]
"""Fills an object from a repetition as sent, found at a location."""
Step = Callable[[Bench, str, str, dict[str, Any], list[Leaf]], None]


class Part(NamedTuple):
    """A row of a data type. `sub` is the subcomponent from 0, or None for the component; `whole`: taken as text."""

    sub: int | None
    path: str
    convert: Convert
    whole: bool


class Column(NamedTuple):
    """What happens to one component: `plain` when it has no subcomponents, else `parts`. `rest`: no row has it, and it
    is not left out on purpose."""

    plain: tuple[Step, ...]
    parts: tuple[tuple[Part, Place], ...]
    suffix: str
    rest: Step | None = None


def column(type_: str, number: int, parts: Sequence[Part], *, ignored: bool) -> Column:
    """Compile the rows of a component of a data type; `ignored`: the table leaves it out on purpose."""
    suffix = f".{number}"
    if not parts:
        rest = None if ignored else _unmapped(type_, suffix)
        return Column((rest,) if rest else (), (), suffix, rest)
    plain = tuple(_text(part.path, suffix) if part.whole else _move(part, suffix) for part in parts if not part.sub)
    return Column(plain, tuple((part, place(part.path)) for part in parts), suffix)


def filler(type_: str, columns: Sequence[Column], late: Sequence[int] = ()) -> Fill:
    """Return the function that fills an object by the columns of a data type; those at the indices in `late` give way
    to the others."""
    scope: dict[str, Any] = {"DELETE": DELETE, "long": long_way(type_, columns, late), "beyond": _beyond(type_)}
    lines = [
        "def fill(bench, raw, where, target):",
        "    if bench.subcomponent in raw:",
        "        return long(bench, raw, where, target)",
        "    leaves = []",
        "    add = leaves.append",
        "    text = bench.text",
        "    parts = raw.split(bench.component)",
        "    count = len(parts)",
    ]
    order = [*(index for index in range(len(columns)) if index not in late), *late]
    for index in order:
        body = _lines(columns[index], index, scope)
        if body:
            lines += [f"    if count > {index} and (part := parts[{index}]) and part != DELETE:", *body]
    lines += [
        f"    if count > {len(columns)}:",
        f"        beyond(bench, parts, {len(columns)}, where, target, leaves)",
        "    return leaves",
    ]
    exec(compile("\n".join(lines), f"<{type_}>", "exec"), scope)  # noqa: S102  built from literals, see above
    made: Fill = scope["fill"]
    return made


def _lines(column: Column, index: int, scope: dict[str, Any]) -> list[str]:
    """Return the lines for one plain component; what they call goes into the scope."""
    if column.rest is not None:
        scope[f"rest{index}"] = column.rest
        return [f"        rest{index}(bench, part, where, target, leaves)"]
    lines: list[str] = []
    for number, (part, put) in enumerate(column.parts):
        if part.sub:
            continue
        name, source = f"{index}_{number}", f"where + {column.suffix!r}"
        scope[f"put{name}"] = put
        if part.whole and part.path.isalpha():
            absent = f"{part.path!r} not in target and {'_' + part.path!r} not in target"
            lines += [
                f"        if (value := text(part)) and {absent}:",
                f"            target[{part.path!r}] = value",
                f"            add(({'.' + part.path!r}, {source}))",
            ]
        elif part.whole:
            lines += [
                f"        if (value := text(part)) and (written := put{name}(target, value)) is not None:",
                f"            add(('.' + written, {source}))",
            ]
        else:
            scope[f"convert{name}"] = part.convert
            lines += [
                f"        made = convert{name}(bench, part, {source})",
                f"        if made is not None and (written := put{name}(target, made[0])) is not None:",
                "            for below, source in made[1]:",
                "                add((f'.{written}{below}', source))",
            ]
    return lines


def long_way(type_: str, columns: Sequence[Column], late: Sequence[int] = ()) -> Fill:
    """Return the function that fills an object whatever its components have inside."""
    width = len(columns)
    beyond = _beyond(type_)
    last = [(index, columns[index]) for index in late]
    columns = [Column((), (), each.suffix) if index in late else each for index, each in enumerate(columns)]

    def fill(bench: Bench, raw: str, where: str, target: dict[str, Any]) -> list[Leaf]:
        leaves: list[Leaf] = []
        parts = raw.split(bench.component)
        inner = bench.subcomponent
        divided = inner in raw
        for part, column in zip(parts, columns, strict=False):
            if not part or part == DELETE:
                continue
            if divided and inner in part and column.parts:
                _divided(bench, part, where, target, leaves, column)
                continue
            for step in column.plain:
                step(bench, part, where, target, leaves)
        for index, column in last:
            if index >= len(parts) or not parts[index] or parts[index] == DELETE:
                continue
            if divided and inner in parts[index]:
                _divided(bench, parts[index], where, target, leaves, column)
                continue
            for step in column.plain:
                step(bench, parts[index], where, target, leaves)
        beyond(bench, parts, width, where, target, leaves)
        return leaves

    return fill


def _beyond(type_: str) -> Callable[[Bench, list[str], int, str, dict[str, Any], list[Leaf]], None]:
    def beyond(
        bench: Bench, parts: list[str], width: int, where: str, target: dict[str, Any], leaves: list[Leaf]
    ) -> None:
        for number, part in enumerate(parts[width:], width + 1):
            if part and part != DELETE:
                _unmapped(type_, f".{number}")(bench, part, where, target, leaves)

    return beyond


def _divided(bench: Bench, raw: str, where: str, target: dict[str, Any], leaves: list[Leaf], column: Column) -> None:
    subs = raw.split(bench.subcomponent)
    for part, put in column.parts:
        source = where + column.suffix
        if part.sub is None:
            text = raw if part.whole else bench.sub(raw)
        else:
            if part.sub >= len(subs) or not subs[part.sub]:
                continue
            text = subs[part.sub]
            source += f".{part.sub + 1}"
        if part.whole:
            if (value := bench.text(text)) and (written := put(target, value)) is not None:
                leaves.append((f".{written}", source))
            continue
        converted = part.convert(bench, text, source)
        if converted is not None and (written := put(target, converted[0])) is not None:
            leaves += [(f".{written}{below}", origin) for below, origin in converted[1]]


def _text(path: str, suffix: str) -> Step:
    put, twin, dotted = place(path), f"_{path}", f".{path}"

    def single(bench: Bench, raw: str, where: str, target: dict[str, Any], leaves: list[Leaf]) -> None:
        if (value := bench.text(raw)) and path not in target and twin not in target:
            target[path] = value
            leaves.append((dotted, where + suffix))

    def deep(bench: Bench, raw: str, where: str, target: dict[str, Any], leaves: list[Leaf]) -> None:
        if (value := bench.text(raw)) and (written := put(target, value)) is not None:
            leaves.append((f".{written}", where + suffix))

    return single if path.isalpha() else deep


def _move(part: Part, suffix: str) -> Step:
    convert, put = part.convert, place(part.path)

    def step(bench: Bench, raw: str, where: str, target: dict[str, Any], leaves: list[Leaf]) -> None:
        converted = convert(bench, raw, where + suffix)
        if converted is not None and (written := put(target, converted[0])) is not None:
            for below, source in converted[1]:
                leaves.append((f".{written}{below}", source))

    return step


def _unmapped(type_: str, suffix: str) -> Step:
    name = type_ + suffix

    def step(bench: Bench, raw: str, where: str, target: dict[str, Any], leaves: list[Leaf]) -> None:
        bench.inform(where + suffix, "this component has no place in the target")
        if (written := leftovers.component(bench, name, raw, target)) is not None:
            leaves.append((f".{written}", where + suffix))

    return step
