"""References: what one points to, and which references a resource holds.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from hawsepipe.fhir.definitions import Definitions, load
from hawsepipe.fhir.expression import Step, compile_expression, leaves
from hawsepipe.fhir.query import ReferenceValue
from hawsepipe.model import Resource

_LOCAL = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?")
_HISTORY = re.compile(r"/_history/[A-Za-z0-9\-.]{1,64}(?:#.*)?\Z")


@functools.lru_cache(maxsize=1024)
def parse(reference: str, base: str) -> ReferenceValue:
    """Return what a literal reference points to.

    `Type/id`, versioned or not, and the same below `base` (our own address, without a final slash, or empty) are local:
    type and id. Anything else (another server's address, `urn:…`, a canonical, `#fragment`) is its url, without
    `/_history/…`.
    """
    local = reference
    if base and reference.startswith(base) and reference[len(base) : len(base) + 1] == "/":
        local = reference[len(base) + 1 :]
    match = _LOCAL.fullmatch(local)
    if match is not None:
        return ReferenceValue(match[1], match[2], None)
    return ReferenceValue(None, None, _HISTORY.sub("", reference))


def walk(resource: Resource) -> Iterator[tuple[str, str]]:
    """Yield (FHIRPath.

    Literal reference) for every Reference in the resource, in document order, contained resources and extensions
    included.
    """
    return _walk(resource, str(resource.get("resourceType", "Resource")))


def _walk(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, child in node.items():
            if key == "reference" and isinstance(child, str):
                yield path, child
            elif isinstance(child, dict):
                yield from _walk(child, f"{path}.{key}")
            elif isinstance(child, list):
                for index, item in enumerate(child):
                    yield from _walk(item, f"{path}.{key}[{index}]")
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _walk(item, f"{path}[{index}]")


def patients_of(resource: Resource, base: str = "") -> tuple[str, ...]:
    """Return the ids of the patients that a resource is about, each once.

    A Patient is about itself. A type of R4's Patient compartment is about the patients in the compartment's search
    parameters; any other type (Task, Device, Binary by its securityContext) about every patient that its own elements
    name; a Bundle or Parameters about those of the resources inside; and any about those of its contained resources.
    Only references to patients here count: relative ones and those below `base`.
    """
    found: dict[str, None] = {}
    _add_patients(resource, base, found)
    return tuple(found)


def _add_patients(resource: Any, base: str, found: dict[str, None]) -> None:
    if not isinstance(resource, dict):
        return
    kind = resource.get("resourceType")
    if kind == "Patient" and isinstance(resource.get("id"), str):
        found[resource["id"]] = None
    for steps in _patient_paths(kind) if isinstance(kind, str) else ():
        for leaf in leaves(steps, resource):
            reference = leaf.get("reference") if isinstance(leaf, dict) else None
            if isinstance(reference, str):
                _add_patient(reference, base, found)
    contained = resource.get("contained")
    if isinstance(contained, list):
        for inner in contained:
            # The id of a contained patient is a name inside this resource, not one of a patient here.
            if isinstance(inner, dict) and inner.get("resourceType") != "Patient":
                _add_patients(inner, base, found)
    if kind in _OF_RESOURCES:
        for inner in _resources_inside(resource):
            _add_patients(inner, base, found)
        for _, literal in walk(resource):
            _add_patient(literal, base, found)


def _add_patient(reference: str, base: str, found: dict[str, None]) -> None:
    if "Patient/" in reference:
        target = parse(reference, base)
        if target.type == "Patient" and target.id is not None:
            found[target.id] = None


_OF_RESOURCES = frozenset({"Bundle", "Parameters"})
"""Types that are made of resources, at any depth (parts of parts, outcomes of responses)."""


def _resources_inside(value: Resource | list[Any]) -> Iterator[Resource]:
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, dict) and isinstance(part.get("resourceType"), str):
            yield part
        elif isinstance(part, dict | list):
            yield from _resources_inside(part)


@functools.cache
def _patient_paths(kind: str) -> tuple[tuple[Step, ...], ...]:
    definitions = load()
    if kind == "Patient" or kind not in definitions.resource_types:
        return ()
    codes = definitions.compartments["Patient"].get(kind)
    if codes is None:
        return tuple(_naming_patients(definitions, kind, (), frozenset()))
    parameters = definitions.search_parameters(kind)
    paths = [path for code in codes for path in compile_expression(definitions, kind, parameters[code].expression)]
    return tuple(dict.fromkeys(path.steps for path in paths if path.type == "Reference"))


def _naming_patients(
    definitions: Definitions, shape: str, steps: tuple[Step, ...], seen: frozenset[str]
) -> Iterator[tuple[Step, ...]]:
    """Yield the way to each Reference among a type's own elements that may name a patient; recursion once."""
    for held in definitions.shape(shape).values():
        here = (*steps, Step(held.key))
        if held.type == "Reference" and (not held.targets or not {"Patient", "Resource"}.isdisjoint(held.targets)):
            yield here
        elif held.shape is not None and "." in held.shape and held.shape not in seen:
            yield from _naming_patients(definitions, held.shape, here, seen | {held.shape})
