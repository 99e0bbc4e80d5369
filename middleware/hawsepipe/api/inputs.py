"""What an operation is given, in the address or as Parameters: https://hl7.org/fhir/R4/operations.html#request"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from hawsepipe.api.call import Call
from hawsepipe.api.rendering import refuse_unknown, sent_resource
from hawsepipe.errors import InvalidRequest
from hawsepipe.model import Resource

_GENERAL: Final = frozenset({"_format", "_pretty"})
_MOST: Final = 1_000
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Parameters of an operation, in order: `texts` are those with a simple value, `values` those with a structure
    (a Coding, a Reference), `resources` those that are resources.
    """

    texts: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    resources: tuple[tuple[str, Resource], ...] = ()

    def one(self, name: str) -> str | None:
        """Return the simple value of a parameter. Raises InvalidRequest when it is there more than once."""
        return _one(self.texts, name)

    def several(self, name: str) -> tuple[str, ...]:
        """Return every simple value of a parameter."""
        return tuple(value for key, value in self.texts if key == name)

    def value(self, name: str) -> Mapping[str, Any] | None:
        """Return the structure that a parameter has. Raises InvalidRequest when it is there more than once."""
        return _one(self.values, name)

    def resource(self, name: str) -> Resource | None:
        """Return the resource that a parameter is. Raises InvalidRequest when it is there more than once."""
        return _one(self.resources, name)

    def truth(self, name: str, default: bool) -> bool:
        """Return a boolean. Raises InvalidRequest for another value."""
        text = self.one(name)
        if text not in {None, "true", "false"}:
            raise InvalidRequest(f"{name} is true or false", location=name)
        return default if text is None else text == "true"

    def number(self, name: str, *, least: int = 0) -> int | None:
        """Return a whole number of at least `least`. Raises InvalidRequest for another value."""
        text = self.one(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < least:
            raise InvalidRequest(f"{name} is a whole number from {least} on", location=name)
        return int(text)


def inputs(call: Call, known: Collection[str] | None, *, alone: str | None = None) -> Inputs:
    """Return what is known of the parameters of a request; others are refused under strict handling, else left out.

    `known` None: all of them are for the operation to judge.
    `alone` is the parameter that a resource in the body is when it does not come as Parameters. Raises InvalidRequest,
    UnsupportedMediaType.
    """
    given: list[tuple[str, Any]] = [pair for pair in call.request.query if pair[0] not in _GENERAL]
    if call.request.method == "POST" and (call.request.body or call.request.resource is not None):
        given += _sent(sent_resource(call.request), alone)
    refuse_unknown(call, [(name, "") for name, _ in given if known is not None and name not in known])
    kept = [(name, value) for name, value in given if known is None or name in known]
    return Inputs(
        texts=tuple((name, value) for name, value in kept if isinstance(value, str)),
        values=tuple((n, v) for n, v in kept if isinstance(v, dict) and "resourceType" not in v),
        resources=tuple((n, v) for n, v in kept if isinstance(v, dict) and "resourceType" in v),
    )


def _sent(sent: Resource, alone: str | None) -> Iterable[tuple[str, Any]]:
    if sent.get("resourceType") != "Parameters":
        if alone is None:
            raise InvalidRequest("the operation takes Parameters", expression="resourceType")
        return [(alone, sent)]
    listed = sent.get("parameter", [])
    if not isinstance(listed, list) or len(listed) > _MOST:
        raise InvalidRequest("the parameters are not a list, or too many", expression="Parameters.parameter")
    return [_read(part, place) for place, part in enumerate(listed)]


def _read(part: Any, place: int) -> tuple[str, Any]:
    here = f"Parameters.parameter[{place}]"
    name = part.get("name") if isinstance(part, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest("the parameter has no name", expression=here)
    held = part.get("resource")
    if isinstance(held, dict) and "resourceType" in held:
        return name, held
    values = [value for key, value in part.items() if key.startswith("value")]
    if len(values) != 1:
        raise InvalidRequest("the parameter has neither one value nor a resource", expression=here)
    return name, _plain(values[0], here)


def _plain(value: Any, here: str) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | dict():
            return value
        case int() | Decimal():
            return str(value)
    raise InvalidRequest("the value is none that a parameter has", expression=here)


def _one(pairs: Iterable[tuple[str, _Value]], name: str) -> _Value | None:
    found = [value for key, value in pairs if key == name]
    if len(found) > 1:
        raise InvalidRequest(f"{name} is there more than once", location=name)
    return found[0] if found else None
