"""Places in a resource, by a subset of FHIRPath: what a patch or a client names and may change.

`Patient.name[0].given`, `.first()`, `.last()`, `.where(system = 'a' and use = 'b')`, `.extension('url')`,
`.ofType(Quantity)`; a choice is named without its type (`Observation.value`). http://hl7.org/fhirpath/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from hawsepipe.fhir.codec import number
from hawsepipe.fhir.definitions import Field, load
from hawsepipe.model import Resource

LONGEST: Final = 1_000
"""Characters of a path."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|`(?P<quoted>[^`\\]+)`|'(?P<text>(?:[^'\\]|\\.)*)'"
    r"|(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<sign>!=|[.()\[\]=]))"
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_MOST: Final = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A value, its shape (None for a primitive), the object that holds it and as what; `above` is that one's shape."""

    value: Any
    shape: str | None
    parent: dict[str, Any] | None = None
    above: str = ""
    field: Field | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a `where`: a path below the item, and the literal that it must (not) equal."""

    path: tuple[Step, ...]
    equal: bool
    literal: Any


@dataclass(frozen=True, slots=True)
class Step:
    """A step: a child's `name`, an `index` (-1: the last), a type, conditions that are all met; in this order."""

    name: str | None = None
    index: int | None = None
    type: str | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Spot:
    """An element of an object, with its values: where a list is altered, together with the extensions beside it."""

    parent: dict[str, Any]
    field: Field

    @property
    def items(self) -> list[Any]:
        """The list, made when there is none."""
        items: list[Any] = self.parent.setdefault(self.field.key, [])
        return items

    def pad(self, index: int) -> None:
        """Keep the extensions of primitives beside their values after an insertion."""
        twin = self.parent.get(f"_{self.field.key}")
        if isinstance(twin, list):
            twin.insert(index, None)

    def move(self, source: int, destination: int) -> None:
        """Move an item to where it is to stand afterwards."""
        for key in (self.field.key, f"_{self.field.key}"):
            items = self.parent.get(key)
            if isinstance(items, list):
                items.insert(destination, items.pop(source))

    def take(self, place: Place) -> None:
        """Take a value away, and a list that is empty then."""
        for key in (self.field.key, f"_{self.field.key}"):
            held = self.parent.get(key)
            if place.index is not None and isinstance(held, list):
                del held[place.index]
            if place.index is None or held == [] or (isinstance(held, list) and not any(it is not None for it in held)):
                self.parent.pop(key, None)

    def change(self, place: Place, key: str, value: Any) -> None:
        """Put another value, perhaps of another type of the choice, in a value's place."""
        twin = self.parent.get(f"_{self.field.key}")
        if place.index is not None:
            self.items[place.index] = value
            if isinstance(twin, list):
                twin[place.index] = None
                if not any(it is not None for it in twin):
                    del self.parent[f"_{self.field.key}"]
            return
        before = dict(self.parent)
        self.parent.clear()
        for name, held in before.items():
            if name == self.field.key:
                self.parent[key] = value
            elif name != f"_{self.field.key}":
                self.parent[name] = held


def copied(value: Any) -> Any:
    """Return a copy that can be altered; numbers stay as they are spelt."""
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value


def parse_path(text: str) -> tuple[Step, ...]:
    """Return the steps of a path. Raises ValueError with the rest of a sentence for what is outside the subset."""
    if len(text) > LONGEST:
        raise ValueError("is too long")
    reading = _Reading(_tokens(text))
    steps = reading.path()
    if reading.left:
        raise ValueError("goes on where it should end")
    return steps


def find(resource: Resource, steps: tuple[Step, ...]) -> list[Place]:
    """Return the places that a path leads to. Its first step may be the resource's type."""
    start = Place(resource, str(resource.get("resourceType")))
    if steps and steps[0].name in {start.shape, "Resource", "DomainResource"}:
        steps = steps[1:]
    return _followed([start], steps)


def spot(resource: Resource, steps: tuple[Step, ...]) -> Spot | None:
    """Return the list that a path names as a whole; None when it is no list, or not in one place."""
    if not steps or steps[-1].name is None:
        return None
    holders = find(resource, steps[:-1])
    if len(holders) != 1 or holders[0].shape is None or not isinstance(holders[0].value, dict):
        return None
    fields = load().shape(holders[0].shape)
    field = fields.get(steps[-1].name)
    return Spot(holders[0].value, field) if field is not None and field.many else None


def _followed(places: list[Place], steps: tuple[Step, ...]) -> list[Place]:
    for step in steps:
        if step.name is not None:
            places = [below for place in places for below in _children(place, step.name)]
        if step.index is not None:
            places = places[step.index :][:1]
        elif step.type is not None:
            places = [it for it in places if it.field is not None and it.field.type == step.type]
        if step.conditions:
            places = [it for it in places if all(_met(it, condition) for condition in step.conditions)]
    return places


def _children(place: Place, name: str) -> list[Place]:
    if place.shape is None or not isinstance(place.value, dict):
        return []
    shape = place.value.get("resourceType", place.shape) if place.field is None else place.shape
    found: list[Place] = []
    for field in load().shape(shape).values():
        if name not in {field.element, field.element.removesuffix("[x]")} or field.key not in place.value:
            continue
        held = place.value[field.key]
        items = list(enumerate(held)) if field.many and isinstance(held, list) else [(None, held)]
        for index, item in items:
            below = field.shape
            if field.type == "Resource" and isinstance(item, dict):
                below = str(item.get("resourceType"))
            found.append(Place(item, below, place.value, shape, field, index))
    return found


def _met(place: Place, condition: Condition) -> bool:
    found = _followed([place], condition.path)
    if len(found) != 1:
        return False  # an empty comparison is empty, which is not true
    return _same(found[0].value, condition.literal) is condition.equal


def _same(value: Any, literal: Any) -> bool:
    if isinstance(value, bool) or isinstance(literal, bool):
        return value is literal
    if isinstance(literal, str) or isinstance(value, str | dict | list):
        return bool(value == literal)
    return bool(number(value) == literal)


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position, text = 0, text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError("has something that is no part of a path")
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        position = match.end()
    if not found:
        raise ValueError("is empty")
    return found


class _Reading:
    """Reads steps from tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.left = tokens

    def path(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        while True:
            steps.append(self._step())
            while self._next("["):
                steps.append(Step(index=self._integer()))
                self._expect("]")
            if len(steps) > _MOST:
                raise ValueError("has too many steps")
            if not self._next("."):
                return tuple(steps)

    def _step(self) -> Step:
        kind, name = self.left.pop(0) if self.left else ("", "")
        if kind == "quoted":
            return Step(name=name)
        if kind != "name":
            raise ValueError("lacks an element's name")
        if not self._next("("):
            return Step(name=name)
        step = self._function(name)
        self._expect(")")
        return step

    def _function(self, name: str) -> Step:
        match name:
            case "first":
                return Step(index=0)
            case "last":
                return Step(index=-1)
            case "ofType" | "as":
                kind, of = self.left.pop(0) if self.left else ("", "")
                if kind == "name":
                    return Step(type=of)
            case "extension":
                return Step(name="extension", conditions=(Condition((Step(name="url"),), True, self._literal()),))
            case "where":
                conditions = [self._condition()]
                while self._next("and"):
                    conditions.append(self._condition())
                return Step(conditions=tuple(conditions))
        raise ValueError("has a function that is not supported here")

    def _condition(self) -> Condition:
        path = self.path()
        if self._next("!="):
            return Condition(path, False, self._literal())
        self._expect("=")
        return Condition(path, True, self._literal())

    def _literal(self) -> Any:
        kind, text = self.left.pop(0) if self.left else ("", "")
        if kind == "text":
            return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
        if kind == "number":
            return Decimal(text)
        if kind == "name" and text in {"true", "false"}:
            return text == "true"
        raise ValueError("compares with something that is no literal")

    def _integer(self) -> int:
        kind, text = self.left.pop(0) if self.left else ("", "")
        if kind != "number" or not text.isdigit():
            raise ValueError("has an index that is no number from 0")
        return int(text)

    def _next(self, sign: str) -> bool:
        if self.left and self.left[0][1] == sign and self.left[0][0] in {"sign", "name"}:
            self.left.pop(0)
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._next(sign):
            raise ValueError(f"lacks {sign}")
