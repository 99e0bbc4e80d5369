"""Paths of mapping tables, compiled to functions that write.

`name[]` appends to a list, `note[].text` an item with that in it, `coding[0].code` goes into the first item,
`extension[<url>].valueString` into the extension of that url, anything else into an object. The first value stays: rows
are in the order of their precedence. Two objects are joined.

A path becomes the source of one function without loops over its steps, since a message writes at hundreds of them.
`source` gives it to be read. Names and urls come into it as literals, and only what `_STEP` matches is a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

Place = Callable[[dict[str, Any], Any], "str | None"]
# How far back a list is searched for an equal item: in a list of thousands a repeated one may be there twice, since
# looking at all of them for each would take time by the square.
_LOOK_BACK = 256
_STEP = re.compile(r"(_?[A-Za-z]\w*)(?:\[([^\]]*)\])?(?:\.|$)")


class Twinned(NamedTuple):
    """A primitive with an extension (and more) beside it; `value` None when only these are to be written."""

    value: Any
    extension: dict[str, Any]
    more: tuple[dict[str, Any], ...] = ()


@cache
def place(path: str) -> Place:
    """Compile a path. The function returns the concrete path that it wrote, or None when a value was there already.

    Raises ValueError for a path that does not parse.
    """
    scope: dict[str, Any] = {"Twinned": Twinned, "beside": _beside, "joined": _joined, "twinned": _twinned}
    exec(compile(source(path), f"<path {path}>", "exec"), scope)  # noqa: S102  built from literals, see above
    made: Place = scope["write"]
    return made


def source(path: str) -> str:
    """Return the source of the function for a path. Raises ValueError for a path that does not parse."""
    steps: list[tuple[str, str | None]] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(f"not a path: {path}")
        steps.append((match[1], match[2]))
        at = match.end()
    if not steps:
        raise ValueError("an empty path")
    *before, (name, bracket) = steps
    lines: list[str] = []
    prefix = ""
    for number, (step, mark) in enumerate(before):
        lines += _walk(step, mark, number)
        if mark is None:
            prefix += f"{step}."
        else:
            prefix += f"{step}[{mark}]." if _numbered(mark) else f"{step}[{{at{number}}}]."
    final = _one if bracket is None else _item if _numbered(bracket) else _append
    lines += final(name, prefix, bracket or "")
    return "def write(target, value):\n" + "".join(f"    {line}\n" for line in lines)


def _numbered(bracket: str) -> bool:
    return bracket.isascii() and bracket.isdigit()


def _walk(name: str, bracket: str | None, number: int) -> list[str]:
    """Return the lines that go one step down."""
    if bracket is None:
        return [
            f"inner = target.get({name!r})",
            "if inner is None:",
            f"    inner = target[{name!r}] = {{}}",
            "target = inner",
        ]
    lines = [f"items = target.get({name!r})", "if items is None:", f"    items = target[{name!r}] = []"]
    if _numbered(bracket):
        return [
            *lines,
            f"while len(items) <= {int(bracket)}:",
            "    items.append({})",
            f"target = items[{int(bracket)}]",
        ]
    at = f"at{number}"
    if not bracket:
        return [*lines, f"{at} = len(items)", "target = {}", "items.append(target)"]
    return [
        *lines,
        f"{at} = 0",
        "for target in items:",
        f"    if target.get('url') == {bracket!r}:",
        "        break",
        f"    {at} += 1",
        "else:",
        f"    target = {{'url': {bracket!r}}}",
        "    items.append(target)",
    ]


def _one(name: str, prefix: str, _bracket: str) -> list[str]:
    twin, path = f"_{name}", _literal(prefix + name)
    return [
        f"if {name!r} in target or {twin!r} in target:",
        f"    return {path} if joined(target, {name!r}, value) else None",
        "if type(value) is Twinned:",
        f"    target[{twin!r}] = {{'extension': [value.extension, *value.more]}}",
        "    if value.value is None:",
        f"        return {_literal(prefix + twin)}",
        "    value = value.value",
        f"target[{name!r}] = value",
        f"return {path}",
    ]


def _append(name: str, prefix: str, _bracket: str) -> list[str]:
    twin, path = f"_{name}", f"f{prefix + name + '[{count}]'!r}"
    return [
        f"items = target.get({name!r})",
        "if items is None:",
        f"    items = target[{name!r}] = []",
        "count = len(items)",
        "if type(value) is Twinned:",
        f"    twinned(target, items, {twin!r}, value)",
        f"    return {path}",
        "if count:",
        f"    recent = items if count <= {_LOOK_BACK} else items[-{_LOOK_BACK}:]",
        "    if value in recent:",
        "        count += recent.index(value) - len(recent)",
        f"        return {path}",
        "items.append(value)",
        f"if {twin!r} in target:",
        f"    beside(target, {twin!r}, count + 1)",
        f"return {path}",
    ]


def _item(name: str, prefix: str, bracket: str) -> list[str]:
    number = int(bracket)
    return [
        f"items = target.get({name!r})",
        "if items is None:",
        f"    items = target[{name!r}] = []",
        f"if len(items) != {number}:",
        "    return None",
        "items.append(value)",
        f"return {_literal(f'{prefix}{name}[{number}]')}",
    ]


def _literal(path: str) -> str:
    return f"f{path!r}" if "{" in path else repr(path)


def _joined(target: dict[str, Any], name: str, value: Any) -> bool:
    """Join an object to the one that is there; False for anything else, where the first value stays."""
    there = target.get(name)
    if isinstance(there, dict) and isinstance(value, dict):
        target[name] = value | there
        return True
    return False


def _twinned(target: dict[str, Any], items: list[Any], twin: str, value: Twinned) -> None:
    items.append(value.value)
    _beside(target, twin, len(items) - 1).append({"extension": [value.extension, *value.more]})


def _beside(target: dict[str, Any], twin: str, count: int) -> list[Any]:
    """Return the extensions beside a list of primitives, filled up to `count` with null."""
    twins: list[Any] = target.setdefault(twin, [])
    twins.extend([None] * (count - len(twins)))
    return twins
