"""JSON Patch (RFC 6902) on resources, with decimals as they are spelt wherever the patch does not reach.

https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

import msgspec

from hawsepipe.errors import InvalidRequest, InvalidResource
from hawsepipe.fhir.codec import DEPTH, number, value_of
from hawsepipe.model import Issue, Resource, Severity

MOST: Final = 1_000
"""Operations in a patch."""

_NODES: Final = 200_000
"""Values that all copies of a patch may make together: a copy of a copy doubles what is there."""

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,6}")


def parse(data: bytes) -> list[dict[str, Any]]:
    """Return the operations of a patch document. Raises InvalidRequest for what is none."""
    operations = value_of(data)
    if type(operations) is not list or len(operations) > MOST:
        raise InvalidRequest(f"a JSON Patch is a list of up to {MOST} operations")
    for place, operation in enumerate(operations):
        known = type(operation) is dict and operation.get("op") in _OPERATIONS
        if not known or type(operation.get("path")) is not str:
            raise InvalidRequest("an operation has op and path (RFC 6902)", location=f"[{place}]")
        if operation["op"] in {"add", "replace", "test"} and "value" not in operation:
            raise InvalidRequest("the operation needs a value", location=f"[{place}]")
        if operation["op"] in {"move", "copy"} and type(operation.get("from")) is not str:
            raise InvalidRequest("the operation needs from", location=f"[{place}]")
    return operations


def patched(resource: Resource, operations: list[dict[str, Any]]) -> Resource:
    """Return the resource after the operations, in order; it is not altered itself.

    Raises InvalidResource, naming the operation and nothing of the content, when one cannot be applied: a place that
    is not there, a test that fails. Then none of them is.
    """
    patch = _Patch(resource)
    for place, operation in enumerate(operations):
        patch.place = place
        _OPERATIONS[operation["op"]](patch, operation)
    if type(patch.root) is not dict:
        patch.fail("leaves no resource")
    return patch.root


class _Patch:
    """A document under way; `place` is the operation's number."""

    def __init__(self, resource: Resource) -> None:
        self._nodes = _NODES
        self.place = 0
        self.root: Any = self._copied(resource, free=True)

    def fail(self, text: str) -> NoReturn:
        raise InvalidResource((Issue(Severity.ERROR, "processing", f"[{self.place}]", f"the operation {text}"),))

    def add(self, operation: dict[str, Any]) -> None:
        self._put(operation["path"], self._copied(operation["value"], free=True))

    def remove(self, operation: dict[str, Any]) -> None:
        self._taken(operation["path"])

    def replace(self, operation: dict[str, Any]) -> None:
        held, key = self._container(operation["path"])
        value = self._copied(operation["value"], free=True)
        if held is None:
            self.root = value
        elif type(held) is list:
            held[self._index(held, key)] = value
        elif key in held:
            held[key] = value
        else:
            self.fail("replaces what is not there")

    def move(self, operation: dict[str, Any]) -> None:
        source, target = operation["from"], operation["path"]
        if target.startswith(f"{source}/"):
            self.fail("moves something into itself")
        if source != target:
            self._put(target, self._taken(source))

    def copy(self, operation: dict[str, Any]) -> None:
        self._put(operation["path"], self._copied(self._found(operation["from"])))

    def test(self, operation: dict[str, Any]) -> None:
        if not _equal(self._found(operation["path"]), operation["value"]):
            self.fail("tests for another value than the one that is there")

    def _steps(self, pointer: str) -> list[str]:
        if pointer == "":
            return []
        if not pointer.startswith("/") or re.search(r"~(?![01])", pointer):
            self.fail("has a path that is no JSON Pointer")
        steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]
        if len(steps) > DEPTH:
            self.fail("has a path that is deeper than a resource may be")
        return steps

    def _found(self, pointer: str) -> Any:
        held = self.root
        for step in self._steps(pointer):
            held = self._below(held, step)
        return held

    def _below(self, held: Any, step: str) -> Any:
        if type(held) is list:
            return held[self._index(held, step)]
        if type(held) is not dict or step not in held:
            self.fail("names a place that is not there")
        return held[step]

    def _container(self, pointer: str) -> tuple[Any, str]:
        """Return what holds the place and the last step; None for the whole document."""
        steps = self._steps(pointer)
        if not steps:
            return None, ""
        held = self.root
        for step in steps[:-1]:
            held = self._below(held, step)
        if type(held) is not list and type(held) is not dict:
            self.fail("names a place that is not there")
        return held, steps[-1]

    def _index(self, held: list[Any], step: str, *, end: bool = False) -> int:
        if _INDEX.fullmatch(step) is None or int(step) >= len(held) + end:
            self.fail("names a place that is not there")
        return int(step)

    def _put(self, pointer: str, value: Any) -> None:
        held, key = self._container(pointer)
        if held is None:
            self.root = value
        elif type(held) is list:
            held.insert(len(held) if key == "-" else self._index(held, key, end=True), value)
        else:
            held[key] = value

    def _taken(self, pointer: str) -> Any:
        held, key = self._container(pointer)
        if held is None:
            self.fail("leaves no resource")
        if type(held) is list:
            return held.pop(self._index(held, key))
        if key not in held:
            self.fail("removes what is not there")
        return held.pop(key)

    def _copied(self, value: Any, *, free: bool = False) -> Any:
        if not free:
            self._nodes -= 1
            if self._nodes < 0:
                self.fail("copies too much")
        if type(value) is dict:
            return {key: self._copied(item, free=free) for key, item in value.items()}
        if type(value) is list:
            return [self._copied(item, free=free) for item in value]
        return value


_OPERATIONS: Final[dict[str, Callable[[_Patch, dict[str, Any]], None]]] = {
    "add": _Patch.add,
    "remove": _Patch.remove,
    "replace": _Patch.replace,
    "move": _Patch.move,
    "copy": _Patch.copy,
    "test": _Patch.test,
}


def _equal(one: Any, other: Any) -> bool:
    """RFC 6902, 4.6: numbers by value, objects whatever their order."""
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(_equal, one, other))
    if _is_number(one) and _is_number(other):
        return number(one) == number(other)
    return type(one) is type(other) and one == other


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str | list | dict | msgspec.UnsetType) and value is not None
