"""FHIRPath Patch: a Parameters resource that alters another (https://hl7.org/fhir/R4/fhirpatch.html).

Paths are of the subset of `places`; decimals and everything else that the patch does not reach stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from hawsepipe.errors import InvalidRequest, InvalidResource
from hawsepipe.fhir.definitions import Definitions, Field, load
from hawsepipe.fhir.places import Place, Spot, copied, find, parse_path, spot
from hawsepipe.model import Issue, Resource, Severity

MOST: Final = 1_000
"""Operations in a patch."""

_TYPES: Final = frozenset({"add", "insert", "delete", "replace", "move"})


def patched(resource: Resource, parameters: Resource) -> Resource:
    """Return the resource after the operations of a Parameters resource, in order; it is not altered itself.

    Raises InvalidRequest for what is no patch, InvalidResource, naming the operation, when one cannot be applied.
    """
    result: Resource = copied(resource)
    for place, operation in enumerate(_operations(parameters)):
        _Step(result, operation, f"Parameters.parameter[{place}]").run()
    return result


def _operations(parameters: Resource) -> Iterator[Mapping[str, Any]]:
    listed = parameters.get("parameter")
    if parameters.get("resourceType") != "Parameters" or not isinstance(listed, list) or len(listed) > MOST:
        raise InvalidRequest(f"a FHIRPath Patch is a Parameters resource with up to {MOST} operations")
    for place, entry in enumerate(listed):
        here = f"Parameters.parameter[{place}]"
        parts = entry.get("part") if isinstance(entry, dict) else None
        if not isinstance(parts, list) or entry.get("name") != "operation":
            raise InvalidRequest("each parameter is an operation with parts", expression=here)
        named = {part["name"]: part for part in parts if isinstance(part, dict) and isinstance(part.get("name"), str)}
        if len(named) != len(parts) or _text(named, "type") not in _TYPES or _text(named, "path") is None:
            raise InvalidRequest("an operation has type and path, once each", expression=here)
        yield named


class _Step:
    """One operation on the resource."""

    def __init__(self, resource: Resource, parts: Mapping[str, Any], here: str) -> None:
        self._definitions: Definitions = load()
        self._resource = resource
        self._parts = parts
        self._here = here

    def run(self) -> None:
        path = _text(self._parts, "path") or ""
        match _text(self._parts, "type"):
            case "add":
                self._add(path)
            case "insert":
                self._insert(path)
            case "delete":
                self._delete(path)
            case "replace":
                self._replace(path)
            case _:
                self._move(path)

    def _add(self, path: str) -> None:
        name = (_text(self._parts, "name") or "").removesuffix("[x]")
        found = self._one(path)
        if found.shape is None or not isinstance(found.value, dict):
            self._fail("adds to what has no elements")
        field, value = self._value(self._fields(found.shape, name))
        held = found.value.get(field.key)
        if field.many:
            found.value[field.key] = [*(held or ()), value]
            twin = found.value.get(f"_{field.key}")
            if isinstance(twin, list):
                twin.append(None)
        elif any(key in found.value for key in self._siblings(found.shape, field)):
            self._fail("adds a second value where there can be one")
        else:
            found.value[field.key] = value

    def _insert(self, path: str) -> None:
        target = self._list(path)
        index = self._number("index")
        if index > len(target.items):
            self._fail("inserts beyond the end of the list")
        _, value = self._value([target.field])
        target.items.insert(index, value)
        target.pad(index)

    def _delete(self, path: str) -> None:
        found = self._found(path)
        if len(found) > 1:
            self._fail("deletes more than one element")
        if found:
            self._held(found[0]).take(found[0])

    def _replace(self, path: str) -> None:
        found = self._one(path)
        if found.parent is None or found.field is None:
            self._fail("replaces the whole resource")
        fields = [it for it in self._definitions.shape(found.above).values() if it.element == found.field.element]
        field, value = self._value(fields)
        self._held(found).change(found, field.key, value)

    def _move(self, path: str) -> None:
        target = self._list(path)
        source, destination = self._number("source"), self._number("destination")
        if max(source, destination) >= len(target.items):
            self._fail("moves what is not there, or beyond the end of the list")
        target.move(source, destination)

    # places

    def _found(self, path: str) -> list[Place]:
        try:
            return find(self._resource, parse_path(path))
        except ValueError as error:
            raise InvalidRequest(f"the path {error}", expression=self._here) from None

    def _one(self, path: str) -> Place:
        found = self._found(path)
        if len(found) != 1:
            self._fail("names not just one element")
        return found[0]

    def _list(self, path: str) -> Spot:
        try:
            found = spot(self._resource, parse_path(path))
        except ValueError as error:
            raise InvalidRequest(f"the path {error}", expression=self._here) from None
        if found is None:
            self._fail("does not name one list")
        return found

    def _held(self, place: Place) -> Spot:
        if place.parent is None or place.field is None:
            self._fail("is about the whole resource")
        return Spot(place.parent, place.field)

    # values

    def _fields(self, shape: str, name: str) -> list[Field]:
        fields = self._definitions.shape(shape)
        found = [it for it in fields.values() if name in {it.element, it.element.removesuffix("[x]"), it.key}]
        if not found:
            self._fail("names an element that R4 does not know")
        return found

    def _siblings(self, shape: str, field: Field) -> Iterator[str]:
        for other in self._definitions.shape(shape).values():
            if other.element == field.element:
                yield other.key
                yield f"_{other.key}"

    def _value(self, fields: list[Field]) -> tuple[Field, Any]:
        """Return the value of the operation and which of the fields it is of, by its type if there is a choice."""
        part = self._parts.get("value")
        if part is None:
            raise InvalidRequest("the operation needs a value", expression=self._here)
        return self._typed(part, fields)

    def _typed(self, part: Mapping[str, Any], fields: list[Field]) -> tuple[Field, Any]:
        valued = [key for key in part if key.startswith("value")]
        if len(valued) == 1 and "part" not in part and "resource" not in part:
            kind = valued[0].removeprefix("value")
            fits = [it for it in fields if it.type[:1].upper() + it.type[1:] == kind]
            return (fits or fields)[0], copied(part[valued[0]])
        if not valued and isinstance(part.get("resource"), dict) and fields[0].type == "Resource":
            return fields[0], copied(part["resource"])
        if not valued and isinstance(part.get("part"), list) and fields[0].shape is not None:
            return fields[0], self._object(part["part"], fields[0].shape)
        raise InvalidRequest("a value is one value[x], a resource, or parts", expression=self._here)

    def _object(self, parts: list[Any], shape: str) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, dict) or not isinstance(part.get("name"), str):
                raise InvalidRequest("each part of a value has a name", expression=self._here)
            field, value = self._typed(part, self._fields(shape, part["name"].removesuffix("[x]")))
            if field.many:
                built.setdefault(field.key, []).append(value)
            elif field.key in built:
                self._fail("gives an element twice")
            else:
                built[field.key] = value
        return built

    def _number(self, name: str) -> int:
        part = self._parts.get(name)
        value = part.get("valueInteger") if isinstance(part, dict) else None
        if type(value) is not int or value < 0:
            raise InvalidRequest(f"the operation needs {name}, a number from 0", expression=self._here)
        return value

    def _fail(self, text: str) -> NoReturn:
        raise InvalidResource((Issue(Severity.ERROR, "processing", self._here, f"the operation {text}"),))


def _text(parts: Mapping[str, Any], name: str) -> str | None:
    part = parts.get(name)
    for key in ("valueString", "valueCode"):
        if isinstance(part, dict) and isinstance(part.get(key), str):
            text: str = part[key]
            return text
    return None
