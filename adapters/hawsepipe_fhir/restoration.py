"""What an older version could not say of R4 and kept as extensions, said as R4 again. See `backward`.

The extensions are those that HL7 has for it (https://hl7.org/fhir/R4/versions.html#extensions):
`http://hl7.org/fhir/4.0/StructureDefinition/extension-<Type>.<path>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hawsepipe_fhir.bench import Job, Json, Move
from hawsepipe_fhir.definitions import Definitions, Field

_URL: Final = re.compile(r"http://hl7\.org/fhir/4\.0/StructureDefinition/extension-([A-Za-z]+\.[A-Za-z0-9.]+)")
_MARK: Final = "http://hl7.org/fhir/4.0/StructureDefinition/extension-"
_TYPES: Final = "http://hl7.org/fhir/4.0/resource-types"


class Restoration:
    """One resource of a conversion. `job` learns where things are afterwards."""

    def __init__(self, definitions: Definitions, job: Job) -> None:
        self._definitions = definitions
        self._job = job
        self._moved: list[tuple[str, str]] = []

    def resource(self, resource: Json, path: str = "") -> None:
        """Restore a resource and everything in it, in place."""
        kind = resource.get("resourceType")
        if kind == "Basic" and (code := _kept_type(resource)) and self._definitions.resource(code):
            resource["resourceType"] = kind = code
            for place in self._job.places:
                if place.target is resource:
                    place.type = code
            del resource["code"]
            prefix = f"{path}." if path else ""
            self._job.moves[:] = [
                it._replace(target=f"{prefix}resourceType") if it.target.startswith(f"{prefix}code.") else it
                for it in self._job.moves
            ]
            self._job.notes[:] = [note for note in self._job.notes if note.target != path]
        if isinstance(kind, str) and self._definitions.resource(kind):
            self._object(resource, kind, "", path)

    def finish(self) -> None:
        """Tell the job where everything is now."""
        if not self._moved:
            return
        # By the first step of the path that is left: a resource may have thousands of both.
        steps: dict[str, list[tuple[int, str, str]]] = {}
        for order, (old, new) in enumerate(self._moved):
            steps.setdefault(old.partition(".")[0], []).append((order, old, new))
        self._job.moves[:] = [Move(it.source, _followed(it.target, steps), it.exact) for it in self._job.moves]

    def _object(self, value: Json, type_: str, below: str, path: str) -> None:
        fields = self._definitions.children(type_, below)
        for key, held in list(value.items()):
            name = key.removeprefix("_")
            field = fields.get(name)
            if field is None:
                continue
            at = f"{path}.{name}" if path else name
            many = type(held) is list
            for index, item in enumerate(held if many else [held]):
                if type(item) is not dict:
                    continue
                place = f"{at}[{index}]" if many else at
                if key != name:
                    self._object(item, "Element", "", place)
                elif field.type == "Resource":
                    self.resource(item, place)
                else:
                    self._object(item, *_inside(field), place)
        self._extensions(value, type_, below, path)

    def _extensions(self, value: Json, type_: str, below: str, path: str) -> None:
        held = value.get("extension")
        if type(held) is not list or not any(_kept(item) for item in held):
            return
        kept: list[Any] = []
        shifts: list[tuple[str, str]] = []
        prefix = f"{path}." if path else ""
        fresh: set[str] = set()
        for index, item in enumerate(held):
            old = f"{prefix}extension[{index}]"
            spot = self._spot(value, type_, below, path, item)
            if spot is None:
                shifts.append((old, f"{prefix}extension[{len(kept)}]"))
                kept.append(item)
                continue
            target, field, place = spot
            if not field.many and target is value and field.key not in fresh:
                # A default that was written for want of this: the source has said it after all.
                for key in (field.key, *field.rivals):
                    value.pop(key, None)
                    value.pop(f"_{key}", None)
                fresh.add(field.key)
            new = f"{place}{field.key}"
            if field.many:
                new += f"[{len(target.get(field.key, ()))}]"
            made, twin = self._made(item, field, old, new)
            _put(target, field, made, twin)
        if kept:
            value["extension"] = kept
        else:
            del value["extension"]
        self._moved += [(old, new) for old, new in shifts if old != new]

    def _spot(self, value: Json, type_: str, below: str, path: str, item: Any) -> tuple[Json, Field, str] | None:
        """Return the object that an extension of `value` belongs into, its field there and the path before it.

        Inside an element that the older version does not have (`doseAndRate.type` of a Dosage) that is its last item,
        or a new one when that has a value already.
        """
        whose, _, told = _kept(item).partition(".")
        if whose == type_ and below and told.startswith(f"{below}."):
            told = told[len(below) + 1 :]
        elif whose != type_ or below:
            told = told.rpartition(".")[2]
        *outer, name = told.split(".")
        target, prefix = value, f"{path}." if path else ""
        shape = (type_, below)
        anew: tuple[Json, Field, str] | None = None
        for part in outer:
            field = self._definitions.children(*shape).get(part)
            if field is None or field.primitive:
                return None
            shape = _inside(field)
            if field.many:
                anew = target, field, prefix
                items = target.setdefault(field.key, [{}])
                if type(items) is not list or not items or type(items[-1]) is not dict:
                    return None
                target, prefix = items[-1], f"{prefix}{field.key}[{len(items) - 1}]."
            else:
                target, prefix = target.setdefault(field.key, {}), f"{prefix}{field.key}."
                if type(target) is not dict:
                    return None
        found = _field(self._definitions.children(*shape), name, item)
        if found is None or not _open(target, found):
            return None
        if anew is not None and not found.many and any(key in target for key in (found.key, *found.rivals)):
            holder, field, before = anew
            holder[field.key].append({})
            target, prefix = holder[field.key][-1], f"{before}{field.key}[{len(holder[field.key]) - 1}]."
        return target, found, prefix

    def _made(self, item: Json, field: Field, old: str, new: str) -> tuple[Any, Any]:
        """Return the value that an extension holds, and its twin."""
        key = next((it for it in item if it.removeprefix("_").startswith("value")), None)
        if key is not None:
            key = key.removeprefix("_")
            self._moved += [(f"{old}.{key}", new), (f"{old}.url", new)]
            made = item.get(key)
            if type(made) is dict:
                self._object(made, *_inside(field), new)
            return made, item.get(f"_{key}")
        made = {}
        fields = self._definitions.children(*_inside(field))
        extensions: list[Any] = []
        if "id" in item:
            made["id"] = item["id"]
            self._moved.append((f"{old}.id", f"{new}.id"))
        for index, part in enumerate(item.get("extension", ())):
            at = f"{old}.extension[{index}]"
            name = part.get("url") if type(part) is dict else None
            child = _field(fields, name if type(name) is str else "", part)
            if child is None or name == "extension" or not _open(made, child):
                self._moved.append((at, f"{new}.extension[{len(extensions)}]"))
                extensions.append(part)
                continue
            place = f"{new}.{child.key}"
            if child.many:
                place += f"[{len(made.get(child.key, ()))}]"
            inner, twin = self._made(part, child, at, place)
            _put(made, child, inner, twin)
        if extensions:
            made["extension"] = extensions
        self._moved.append((f"{old}.url", new))
        if made.get("resourceType") is None:
            self._object(made, *_inside(field), new)
        return made, None


def _followed(target: str, steps: Mapping[str, Sequence[tuple[int, str, str]]]) -> str:
    """Return where a path leads after every step that is about it, in their order."""
    last = -1
    while True:
        for order, old, new in steps.get(target.partition(".")[0], ()):
            if order > last and target.startswith(old) and target[len(old) : len(old) + 1] in ("", ".", "["):
                target, last = new + target[len(old) :], order
                break
        else:
            return target


def _inside(field: Field) -> tuple[str, str]:
    return (field.type, "") if field.type else (field.owner, field.below)


def _kept(item: Any) -> str:
    """Return the element that an extension is about (`Dosage.doseAndRate.type`), empty for any other extension."""
    url = item.get("url") if type(item) is dict else None
    match = _URL.fullmatch(url) if type(url) is str and url.startswith(_MARK) else None
    return match[1] if match is not None else ""


def _field(fields: Any, name: str, item: Any) -> Field | None:
    """Return the field of an element; of a choice the one whose type the extension's value has."""
    if not name or type(item) is not dict:
        return None
    if name in fields and fields[name].element.endswith("[x]"):
        exact: Field = fields[name]
        return exact
    found: Sequence[Field] = [it for it in fields.values() if it.element.rpartition(".")[2].removesuffix("[x]") == name]
    if len(found) < 2:
        return found[0] if found else None
    suffix = next((it.removeprefix("_").removeprefix("value") for it in item if "value" in it), "")
    return next((it for it in found if it.key == f"{name}{suffix}"), None)


def _kept_type(resource: Json) -> str:
    code = resource.get("code")
    codings = code.get("coding") if type(code) is dict else None
    for coding in codings if type(codings) is list else ():
        if type(coding) is dict and coding.get("system") == _TYPES and type(coding.get("code")) is str:
            return str(coding["code"])
    return ""


def _open(target: Json, field: Field) -> bool:
    """Say whether a list, and that of its twins, is none of something else already."""
    keys = (field.key, f"_{field.key}") if field.many else ()
    return all(type(target.get(key, [])) is list for key in keys)


def _put(target: Json, field: Field, value: Any, twin: Any) -> None:
    if not field.many:
        if value is not None:
            target[field.key] = value
        if twin:
            target[f"_{field.key}"] = twin
        return
    held = target.setdefault(field.key, [])
    held.append(value)
    twins = target.get(f"_{field.key}")
    if twin or twins is not None:
        twins = twins if twins is not None else []
        target[f"_{field.key}"] = [*twins, *[None] * (len(held) - 1 - len(twins)), twin or None]
