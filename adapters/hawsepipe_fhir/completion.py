"""What R4 requires and the source does not have: absent with a reason, and noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hawsepipe_fhir.bench import Job, Json, Note, Place
from hawsepipe_fhir.definitions import Definitions, Field

Fixed = Mapping[tuple[str, str], Sequence[tuple[Field, Mapping[str, Any]]]]
"""Defaults by the type and path of the object that they are in."""

ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def complete(job: Job, target: Definitions, fixed: Fixed) -> None:
    """Fill in every place of a conversion, with a default of `fixed` if there is one.

    Objects that were opened and stayed empty go.
    """
    for place in reversed(job.places):
        if not place.target and place.parent is not None:
            _prune(place)
    for place in job.places:
        if place.target:
            _fill(place, job, target, fixed)


def _fill(place: Place, job: Job, target: Definitions, fixed: Fixed) -> None:
    for default, row in fixed.get((place.type, place.below), ()):
        if not place.taken(default):
            job.notes.append(Note(place.at(default), row["why"]))
            place.put(default, row["value"])
    for group in target.required(place.type, place.below):
        if not any(it.key in place.target or f"_{it.key}" in place.target for it in group):
            field = group[0]
            if field.type == "xhtml":  # can have no extension; validation will say that it is missing
                continue
            job.notes.append(Note(place.at(field), "R4 requires it and the source does not say it"))
            absent: Json = {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}
            if field.primitive:
                place.put(field, None, absent)
            elif field.type != "Resource":
                inner = place.inner(field, "", place.at(field))
                inner.target = absent
                place.put(field, absent)
                _fill(inner, job, target, fixed)


def _prune(place: Place) -> None:
    parent = place.parent
    if parent is None:
        return
    for key, held in list(parent.target.items()):
        if held is place.target:
            del parent.target[key]
        elif type(held) is list and any(it is place.target for it in held):
            held[:] = [it for it in held if it is not place.target]
            if not held:
                del parent.target[key]
