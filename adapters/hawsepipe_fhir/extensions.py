"""What has no place in R4 stays as an extension (https://hl7.org/fhir/R4/versions.html#extensions).

The URL is `http://hl7.org/fhir/<version>/StructureDefinition/extension-<Type>.<path>`; an element with children is an
extension with extensions, named by the children.
"""

from __future__ import annotations

from typing import Any

from hawsepipe import Severity
from hawsepipe_fhir.bench import Job, Place, Step, items
from hawsepipe_fhir.definitions import Field
from hawsepipe_fhir.workshop import Workshop

_SPELT = {"integer64": "string", "xhtml": "string"}
"""Primitive types that an extension of R4 cannot hold, and what holds their JSON."""
_OLDER = {"canonical": "uri", "url": "uri", "uuid": "uri"}
"""The same for types that an older version does not have."""
_R4 = "4.0"


def url(number: str, type: str, path: str) -> str:
    """Return the URL of the extension for an element of a version (`3.0`)."""
    return f"http://hl7.org/fhir/{number}/StructureDefinition/extension-{type}.{path.replace('[x]', '')}"


def named(workshop: Workshop, field: Field, path: str) -> str:
    """Return the path that an extension has for an element: of a choice without its type, which the value shows; with
    it where the extension cannot hold a value of that type.
    """
    head, dot, _ = path.rpartition(".")
    slot = f"value{field.type[:1].upper()}{field.type[1:]}"
    hidden = workshop.number == _R4 and slot not in workshop.target.children("Extension", "")
    return f"{head}{dot}{field.key}" if path.endswith("[x]") and hidden else path.replace("[x]", "")


def keeper(workshop: Workshop, field: Field, url: str) -> Step:
    """Return the step that writes an element as extensions of the place."""
    slot = workshop.target.children("Element", "")["extension"]
    writers: list[Step] = []

    def keep(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        spot: Place | None = place
        while spot is not None and "extension" not in workshop.target.children(spot.type, spot.below):
            spot = None if workshop.target.resource(spot.type) else spot.parent
        if spot is None:
            job.lose(source, "R4 has no such element here, and this resource can have no extensions")
            return
        if not writers:
            writers.append(_writer(workshop, field))
        for value, twin, path in items(held, twins, source):
            inner = Place({"url": url}, "Extension", "", "", spot.at(slot), spot)
            writers[0](value, twin, inner, job, path)
            if any(key.startswith(("value", "_value", "extension")) for key in inner.target):
                spot.put(slot, inner.target)
            elif len(inner.target) > 1:
                # An id alone: R4 has no extension without a value.
                job.moves[:] = [move for move in job.moves if not move.source.startswith(path)]
                job.lose(path, "R4 has no such element here, and it has no content")

    return keep


def _writer(workshop: Workshop, field: Field) -> Step:
    """Return the step that writes one value into an extension."""
    kind = _SPELT.get(field.type, field.type)
    slots = workshop.target.children("Extension", "")
    slot = slots.get(f"value{kind[:1].upper()}{kind[1:]}") if kind else None
    if slot is None and kind in _OLDER:
        slot = slots[f"value{_OLDER[kind].capitalize()}"]
    if slot is None:
        return _parts(workshop, field)
    if not field.primitive:
        return _value(workshop, field, slot)

    def primitive(value: Any, twin: Any, place: Place, job: Job, source: str) -> None:
        at = place.at(slot)
        if type(value) is dict or type(value) is list:
            job.lose(source, "is not a single value in the source", Severity.ERROR)
            value = None
        elif value == "":
            job.lose(source, "is empty in the source", Severity.INFORMATION)
            value = None
        elif value is not None:
            job.moved(source, at)
        place.put(slot, value, element(workshop, twin, at, place, job, source))

    return primitive


def _value(workshop: Workshop, field: Field, slot: Field) -> Step:
    convert = workshop.complex(field.type, slot)

    def complex_(value: Any, twin: Any, place: Place, job: Job, source: str) -> None:
        place.put(slot, convert(value, None, place.at(slot), place, job, source)[0])

    return complex_


def _parts(workshop: Workshop, field: Field) -> Step:
    """Write an element with children as an extension with extensions."""
    inside = (field.type, "") if field.type else (field.owner, field.below)
    if field.type == "Resource" or not workshop.source.knows(inside[0]):

        def lose(value: Any, twin: Any, place: Place, job: Job, source: str) -> None:
            job.lose(source, "R4 has no place for it, and no extension can hold it")

        return lose
    steps: dict[str, Step] = {}
    for key, child in workshop.source.children(*inside).items():
        name = named(workshop, child, child.element.rpartition(".")[2])
        if key in ("id", "extension"):
            steps[key] = workshop.type("Extension", "Extension").steps[key]
        elif key == "modifierExtension":
            steps[key] = workshop.type("BackboneElement", "Extension").steps[key]
        else:
            steps[key] = keeper(workshop, child, name)

    def parts(value: Any, twin: Any, place: Place, job: Job, source: str) -> None:
        if type(value) is not dict:
            job.lose(source, "is not an object in the source", Severity.ERROR)
            return
        for key in dict.fromkeys(it.removeprefix("_") for it in value):
            step = steps.get(key)
            if step is None:
                job.lose(f"{source}.{key}", "is not an element of this version", Severity.ERROR)
            else:
                step(value.get(key), value.get(f"_{key}"), place, job, f"{source}.{key}")

    return parts


def element(workshop: Workshop, twin: Any, at: str, place: Place, job: Job, source: str) -> Any:
    """Return the id and extensions of a primitive in R4, None when there are none."""
    if not twin:
        return None
    inner = Place({}, "Element", "", "", at, place)
    workshop.element.run(twin, inner, job, source)
    return inner.target or None
