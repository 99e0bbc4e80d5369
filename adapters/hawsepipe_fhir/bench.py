"""What a conversion works on: places that are being written, and the record of what went where.

Every leaf of the source (a JSON string, number, boolean or null-with-extension) is either moved, with the path that it
went to, or lost, with the reason; what no rule mentions is found at the end by counting. Paths are those of FHIRPath
without the root type: `name[0].given[1]`, and `birthDate.extension[0].url` for what JSON has under `_birthDate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from hawsepipe import Severity
from hawsepipe_fhir.definitions import Field

Json = dict[str, Any]


class Move(NamedTuple):
    """A leaf of the source and where it is now. `exact` says that the value is the same, not a translation of it."""

    source: str
    target: str
    exact: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """Leaves of the source at or below a path that have no place in R4, and why; or a code that R4 does not have."""

    source: str
    reason: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Note:
    """Something written that the source does not say, or says otherwise. `target` is a path in the result."""

    target: str
    reason: str
    severity: Severity = Severity.INFORMATION


class Job:
    """The record of one conversion."""

    __slots__ = ("later", "losses", "moves", "notes", "places", "rename")

    def __init__(self, rename: Callable[[str], str]) -> None:
        """`rename` gives the reference in R4 for a reference in the source version."""
        self.moves: list[Move] = []
        self.losses: list[Loss] = []
        self.notes: list[Note] = []
        self.places: list[Place] = []
        self.later: list[Callable[[], None]] = []
        self.rename = rename

    def moved(self, source: str, target: str, *, exact: bool = True) -> None:
        """Record that a leaf has a new place."""
        self.moves.append(Move(source, target, exact))

    def lose(self, source: str, reason: str, severity: Severity = Severity.WARNING) -> None:
        """Record that what is at or below a path has none."""
        self.losses.append(Loss(source, reason, severity))


class Place:
    """An object of the result that is being written.

    (`type`, `below`) is its shape in R4, `base` its path without indices from where its table starts, `path` its path
    in the result. `opened` are the objects that rules opened inside by a path, not by a source element.
    """

    __slots__ = ("base", "below", "opened", "parent", "path", "target", "type")

    def __init__(self, target: Json, type: str, below: str, base: str, path: str, parent: Place | None) -> None:
        self.target = target
        self.type = type
        self.below = below
        self.base = base
        self.path = path
        self.parent = parent
        self.opened: dict[str, Place] = {}

    def taken(self, field: Field) -> bool:
        """Say whether a single element has a value already, its choice by another type too."""
        if field.many:
            return False
        target = self.target
        if field.key in target or f"_{field.key}" in target:
            return True
        return any(key in target or f"_{key}" in target for key in field.rivals)

    def at(self, field: Field) -> str:
        """Return the path that the next value of an element will have."""
        path = f"{self.path}.{field.key}" if self.path else field.key
        if not field.many:
            return path
        return f"{path}[{len(self.target.get(field.key, ()))}]"

    def put(self, field: Field, value: Any, twin: Json | None = None) -> None:
        """Write a value; `twin` is the id and the extensions of a primitive. A list gets a new item."""
        key, target = field.key, self.target
        if not field.many:
            if value is not None:
                target[key] = value
            if twin:
                target[f"_{key}"] = twin
            return
        held = target.setdefault(key, [])
        held.append(value)
        twins = target.get(f"_{key}")
        if twin or twins is not None:
            if twins is None:
                twins = target[f"_{key}"] = []
            twins += [None] * (len(held) - 1 - len(twins))
            twins.append(twin or None)

    def inner(self, field: Field, base: str, path: str) -> Place:
        """Return a new place, not attached yet, for an object that is the value of `field`."""
        type_, below = (field.type, "") if field.type else (field.owner, field.below)
        return Place({}, type_, below, base, path, self)


Convert = Callable[[Any, "Json | None", str, Place, Job, str], "tuple[Any, Json | None]"]
"""(value, twin, path of the result, place that holds it, job, source path) to (value, twin); records what it moves.

NotImplemented as the value says that R4 does not take it here; then nothing is recorded.
"""

Step = Callable[[Any, Any, Place, Job, str], None]
"""(what JSON has under the key, what it has under `_key`, place, job, source path): does all that the rules say."""


def items(held: Any, twins: Any, source: str) -> Iterator[tuple[Any, Json | None, str]]:
    """Yield the values under a key with their twins and paths."""
    if type(held) is not list and type(twins) is not list:
        yield held, twins, source
        return
    held = held if type(held) is list else []
    twins = twins if type(twins) is list else []
    for index in range(max(len(held), len(twins))):
        yield (
            held[index] if index < len(held) else None,
            twins[index] if index < len(twins) else None,
            f"{source}[{index}]",
        )


def leaves(value: Any, path: str) -> Iterator[str]:
    """Yield the path of each leaf. A resource's type and a null that stands for an extension alone are none."""
    if type(value) is dict:
        for key, held in value.items():
            if key != "resourceType":
                name = key.removeprefix("_")
                yield from leaves(held, f"{path}.{name}" if path else name)
    elif type(value) is list:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    elif value is not None:
        yield path


def count(value: Any) -> int:
    """Return the number of leaves."""
    if type(value) is dict:
        total = 0
        for key, held in value.items():
            kind = type(held)
            if kind is dict or kind is list:
                total += count(held)
            elif held is not None and key != "resourceType":
                total += 1
        return total
    if type(value) is list:
        return sum(count(item) for item in value)
    return 0 if value is None else 1
