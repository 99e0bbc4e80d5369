"""Parts of resources: `_summary` and `_elements` (https://hl7.org/fhir/R4/search.html#summary, #elements).

A part is marked as one by the tag SUBSETTED, so that nobody takes it for the whole.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from hawsepipe.fhir.definitions import load
from hawsepipe.model import Resource
from hawsepipe_schemas import load as load_table

SUBSETTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
"""The tag of a part."""

_ALWAYS: Final = frozenset({"resourceType", "id", "meta"})


class Summary(StrEnum):
    """Values of `_summary`; `count` shows no resource at all."""

    TRUE = "true"
    TEXT = "text"
    DATA = "data"
    COUNT = "count"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Subset:
    """What of each resource is wanted: a summary, or the top-level `elements`, plain or as `Type.element`."""

    summary: Summary = Summary.FALSE
    elements: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self.summary is Summary.FALSE and not self.elements

    def of(self, resource: Resource) -> Resource:
        """Return the part of a resource, with its tag; what is mandatory stays in. It is not altered itself."""
        kind = resource.get("resourceType")
        if self.whole or not isinstance(kind, str):
            return resource
        if self.elements:
            named = {it.removeprefix(f"{kind}.") for it in self.elements}
            return _tagged(_kept(resource, named | _mandatory(kind)))
        match self.summary:
            case Summary.TEXT:
                return _tagged(_kept(resource, {"text"} | _mandatory(kind)))
            case Summary.DATA:
                return _tagged({key: held for key, held in resource.items() if key not in {"text", "_text"}})
            case _:
                return _tagged(_summary(resource, kind))


def _kept(resource: Resource, names: frozenset[str] | set[str]) -> Resource:
    elements = _elements(resource["resourceType"])
    wanted = names | _ALWAYS

    def stays(key: str) -> bool:
        name = key.removeprefix("_")
        element = elements.get(name, name)
        return not wanted.isdisjoint({name, element, element.removesuffix("[x]")})

    return {key: held for key, held in resource.items() if stays(key)}


@functools.cache
def _elements(kind: str) -> Mapping[str, str]:
    fields = load().shape(kind) if kind in load().resource_types else {}
    return {key: field.element for key, field in fields.items()}


@functools.cache
def _mandatory(kind: str) -> frozenset[str]:
    fields = load().shape(kind) if kind in load().resource_types else {}
    return frozenset(field.element for field in fields.values() if field.minimum > 0)


@functools.cache
def _marked(shape: str) -> frozenset[str] | None:
    """Return the elements of a shape that are part of a summary; None for one of which nothing or all is."""
    kind, _, path = shape.partition(".")
    paths: list[str] = load_table("r4/summaries.json")["facts"].get(kind, [])
    prefix = f"{path}." if path else ""
    found = frozenset(it.removeprefix(prefix) for it in paths if it.startswith(prefix) and "." not in it[len(prefix) :])
    return found or None


def _summary(value: dict[str, Any], shape: str) -> dict[str, Any]:
    marked = _marked(shape)
    if marked is None:
        return value
    fields = load().shape(shape)
    kept: dict[str, Any] = {}
    for key, held in value.items():
        field = fields.get(key.removeprefix("_"))
        if key == "resourceType":
            kept[key] = held
        elif field is None or not (field.element in marked or field.minimum > 0 or key == "id"):
            continue
        elif field.shape is None or key.startswith("_"):
            kept[key] = held
        elif isinstance(held, list):
            parts = [_summary(it, field.shape) if isinstance(it, dict) else it for it in held]
            kept[key] = [part for part in parts if part != {}]
        else:
            kept[key] = _summary(held, field.shape) if isinstance(held, dict) else held
    return {key: held for key, held in kept.items() if held not in ({}, [])}


def _tagged(resource: Resource) -> Resource:
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    tags = meta.get("tag")
    tags = tags if isinstance(tags, list) else []
    tagged = {**meta, "tag": [*tags, SUBSETTED]} if SUBSETTED not in tags else meta
    return {
        **{key: held for key, held in resource.items() if key in {"resourceType", "id"}},
        "meta": tagged,
        **{key: held for key, held in resource.items() if key not in {"resourceType", "id", "meta"}},
    }
