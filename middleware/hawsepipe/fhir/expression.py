"""The FHIRPath subset of R4's search parameters, compiled to flat paths.

https://hl7.org/fhir/R4/searchparameter.html. Six forms occur: paths (with an index), `as` / `ofType` (over a list each
item counts, as `ofType` says), `where` with an equality or `resolve() is`, `exists()`, `extension(url)` and union. A
path through a choice (`Observation.value`) becomes one path for each type, so that the leaf's type is known beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hawsepipe.fhir.definitions import Definitions, Field

Filter = Callable[[Any], bool]

_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<text>'[^']*')|(?P<sign>!=|[().|=\[\]])|(?P<digits>\d+))")


_SPELT_OTHERWISE = {"DateTime": "dateTime"}  # R4's composites have it so


class OutsideSubset(Exception):
    """The expression uses what this module does not know."""


@dataclass(frozen=True, slots=True)
class Step:
    """One key on the way down; `index` picks one item of a list, `accepts` filters the items."""

    key: str
    index: int | None = None
    accepts: Filter | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """A way from a resource to leaves of one FHIR type. `exists`: the value is whether there is any leaf.

    `shape` names the leaf's children, None for a primitive; `target` is the type that `resolve() is` asks for;
    `value_set` is the leaf's required binding.
    """

    steps: tuple[Step, ...]
    type: str
    shape: str | None
    target: str | None = None
    exists: bool = False
    value_set: str | None = None


def leaves(steps: tuple[Step, ...], node: Any) -> list[Any]:
    """Return what is at the end of the steps below a node, in document order; what has another shape is not there."""
    nodes = [node]
    for step in steps:
        key = step.key
        below: list[Any] = []
        for item in nodes:
            held = item.get(key) if type(item) is dict else None
            if type(held) is list:
                below += [held[step.index]] if step.index is not None and step.index < len(held) else held
            elif held is not None:
                below.append(held)
        if step.accepts is not None:
            below = [item for item in below if step.accepts(item)]
        if not below:
            return below
        nodes = below
    return [item for item in nodes if item is not None]


def reaching(steps: tuple[Step, ...]) -> Callable[[Any], Sequence[Any]]:
    """Return `leaves` for these steps, made quick for the many paths that are one or two plain keys."""
    if any(step.index is not None or step.accepts is not None for step in steps) or len(steps) > 2:
        return partial(leaves, steps)
    first, second = steps[0].key, steps[-1].key

    def one(node: Any) -> Sequence[Any]:
        return _below_key(node, first)

    def two(node: Any) -> Sequence[Any]:
        held = node.get(first) if type(node) is dict else None
        if type(held) is dict:
            return _below_key(held, second)
        return [leaf for item in held for leaf in _below_key(item, second)] if type(held) is list else ()

    return one if len(steps) == 1 else two


def _below_key(node: Any, key: str) -> Sequence[Any]:
    held = node.get(key) if type(node) is dict else None
    if held is None:
        return ()
    if type(held) is list:
        return [item for item in held if item is not None] if None in held else held
    return (held,)


def compile_expression(definitions: Definitions, type_name: str, expression: str) -> tuple[Path, ...]:
    """Return the paths of an expression that begin at a resource of this type, or at what has this shape. Raises
    OutsideSubset.
    """
    return _Parser(definitions, type_name, expression).union()


class _Parser:
    """Recursive descent over one expression; paths whose head is another type are parsed and dropped."""

    def __init__(self, definitions: Definitions, type_name: str, expression: str) -> None:
        self._definitions = definitions
        self._type = type_name
        # What is below an element of its own (`Observation.component`) begins at no type.
        self._heads = frozenset(definitions.bases(type_name) if type_name in definitions.elements else ())
        self._tokens: list[str] = []
        position = 0
        while position < len(expression.rstrip()):
            match = _TOKEN.match(expression, position)
            if match is None:
                raise OutsideSubset(expression)
            self._tokens.append(match[0].strip())
            position = match.end()
        self._next = 0

    def union(self) -> tuple[Path, ...]:
        paths = self._alternatives()
        if self._next != len(self._tokens):
            raise OutsideSubset(" ".join(self._tokens))
        return tuple(dict.fromkeys(paths))

    def _alternatives(self) -> list[Path]:
        paths = self._conjunction()
        while self._peek() == "|":
            self._take("|")
            paths += self._conjunction()
        return paths

    def _conjunction(self) -> list[Path]:
        paths = self._typed()
        if self._peek() == "and":
            # `X.exists() and X != false`, which is what `exists` means here: see `extraction`.
            self._take("and")
            self._typed()
            self._take("!=")
            self._take("false")
            if not all(path.exists for path in paths):
                raise OutsideSubset("and")
        return paths

    def _typed(self) -> list[Path]:
        paths = self._path()
        if self._peek() in ("as", "is"):
            self._take("as")
            paths = self._of_type(paths, self._take())
        return paths

    def _path(self) -> list[Path]:
        if self._peek() == "(":
            self._take("(")
            paths = self._alternatives()
            self._take(")")
        else:
            head = self._take()
            start = Path((), self._type, self._type)
            if head[0].isupper() and head in self._definitions.elements:  # `code` is an element here, no type
                paths = [start] if head in self._heads else []
            else:
                paths = self._child([start], head)
        while self._peek() in (".", "["):
            if self._take() == "[":
                index = int(self._take())
                self._take("]")
                paths = [self._with_last(path, index=index) for path in paths]
            else:
                paths = self._after_dot(paths, self._take())
        return paths

    def _after_dot(self, paths: list[Path], name: str) -> list[Path]:
        if self._peek() != "(":
            return self._child(paths, name)
        self._take("(")
        if name in ("as", "ofType"):
            paths = self._of_type(paths, self._take())
        elif name == "exists":
            paths = [replace(path, exists=True) for path in paths]
        elif name == "extension":
            chosen = _equals("url", self._text())
            paths = [self._with_last(path, accepts=chosen) for path in self._child(paths, "extension")]
        elif name == "where":
            paths = self._where(paths)
        else:
            raise OutsideSubset(name)
        self._take(")")
        return paths

    def _where(self, paths: list[Path]) -> list[Path]:
        key = self._take()
        if key == "resolve":
            for expected in ("(", ")", "is"):
                self._take(expected)
            target = self._take()
            return [replace(path, target=target) for path in paths]
        self._take("=")
        chosen = _equals(key, self._text())
        return [self._with_last(path, accepts=chosen) for path in paths]

    def _child(self, paths: list[Path], name: str) -> list[Path]:
        found: list[Path] = []
        for path in paths:
            if path.shape is None:
                continue
            for held in self._definitions.shape(path.shape).values():
                if held.key == name or held.element == f"{name}[x]":
                    found.append(_below(path, held))
        return found

    def _of_type(self, paths: list[Path], name: str) -> list[Path]:
        name = _SPELT_OTHERWISE.get(name, name)
        if name not in self._definitions.elements:
            raise OutsideSubset(name)
        return [path for path in paths if name in self._definitions.bases(path.type)]

    @staticmethod
    def _with_last(path: Path, *, index: int | None = None, accepts: Filter | None = None) -> Path:
        last = path.steps[-1]
        if (last.index is not None and index is not None) or (last.accepts is not None and accepts is not None):
            raise OutsideSubset(last.key)
        changed = replace(last, index=last.index if index is None else index, accepts=last.accepts or accepts)
        return replace(path, steps=(*path.steps[:-1], changed))

    def _text(self) -> str:
        token = self._take()
        if not token.startswith("'"):
            raise OutsideSubset(token)
        return token[1:-1]

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, expected: str | None = None) -> str:
        token = self._peek()
        if token is None or (expected is not None and token != expected):
            raise OutsideSubset(str(token))
        self._next += 1
        return token


def _below(path: Path, held: Field) -> Path:
    return Path((*path.steps, Step(held.key)), held.type, held.shape, value_set=held.value_set)


def _equals(key: str, value: str) -> Filter:
    return lambda item: isinstance(item, dict) and item.get(key) == value
