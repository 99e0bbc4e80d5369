"""Paths of mapping tables, compiled to functions that write.

`name[]` appends to a list, `coding[0].code` goes into the first item, `extension[<url>].valueString` into the
extension of that url, anything else into an object. The first value stays: rows are in the order of their
precedence. Two objects are joined.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, Protocol

Place = Callable[[dict[str, Any], Any], "str | None"]
# How far back a list is searched for an equal item: in a list of thousands a repeated one may be there twice, since
# looking at all of them for each would take time by the square.
_LOOK_BACK = 256
_STEP = re.compile(r"(_?[A-Za-z]\w*)(?:\[([^\]]*)\])?(?:\.|$)")


class Final(Protocol):
    """The last step of a path: writes into the object that `prefix` leads to."""

    def __call__(self, target: dict[str, Any], value: Any, prefix: str = "") -> str | None: ...


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
    final = _one(name) if bracket is None else _append(name) if bracket == "" else _item(name, int(bracket))
    if not before:
        return final
    walk = [_walk(step, mark) for step, mark in before]

    def through(target: dict[str, Any], value: Any) -> str | None:
        prefix = ""
        for step in walk:
            target, prefix = step(target, prefix)
        return final(target, value, prefix)

    return through


def _walk(name: str, bracket: str | None) -> Callable[[dict[str, Any], str], tuple[dict[str, Any], str]]:
    if bracket is None:
        return lambda target, prefix: (target.setdefault(name, {}), f"{prefix}{name}.")
    if bracket.isdigit():
        number = int(bracket)

        def item(target: dict[str, Any], prefix: str) -> tuple[dict[str, Any], str]:
            items = target.setdefault(name, [])
            while len(items) <= number:
                items.append({})
            return items[number], f"{prefix}{name}[{number}]."

        return item
    url = bracket

    def extension(target: dict[str, Any], prefix: str) -> tuple[dict[str, Any], str]:
        items = target.setdefault(name, [])
        for index, entry in enumerate(items):
            if entry.get("url") == url:
                return entry, f"{prefix}{name}[{index}]."
        items.append({"url": url})
        return items[-1], f"{prefix}{name}[{len(items) - 1}]."

    return extension


def _one(name: str) -> Final:
    twin = f"_{name}"

    def write(target: dict[str, Any], value: Any, prefix: str = "") -> str | None:
        if name in target or twin in target:
            there = target.get(name)
            if isinstance(there, dict) and isinstance(value, dict):
                target[name] = value | there
                return prefix + name
            return None
        if type(value) is Twinned:
            target[twin] = {"extension": [value.extension, *value.more]}
            if value.value is None:
                return prefix + twin
            value = value.value
        target[name] = value
        return prefix + name

    return write


def _append(name: str) -> Final:
    twin = f"_{name}"

    def write(target: dict[str, Any], value: Any, prefix: str = "") -> str | None:
        items = target.get(name)
        if items is None:
            items = target[name] = []
        if type(value) is Twinned:
            items.append(value.value)
            _beside(target, twin, len(items) - 1).append({"extension": [value.extension, *value.more]})
            return f"{prefix}{name}[{len(items) - 1}]"
        recent = items[-_LOOK_BACK:]
        if value in recent:
            return f"{prefix}{name}[{len(items) - len(recent) + recent.index(value)}]"
        items.append(value)
        if twin in target:
            _beside(target, twin, len(items))
        return f"{prefix}{name}[{len(items) - 1}]"

    return write


def _beside(target: dict[str, Any], twin: str, count: int) -> list[Any]:
    """Return the extensions beside a list of primitives, filled up to `count` with null."""
    twins: list[Any] = target.setdefault(twin, [])
    twins.extend([None] * (count - len(twins)))
    return twins


def _item(name: str, number: int) -> Final:
    def write(target: dict[str, Any], value: Any, prefix: str = "") -> str | None:
        items = target.setdefault(name, [])
        if len(items) != number:
            return None
        items.append(value)
        return f"{prefix}{name}[{number}]"

    return write
