"""Compartments (https://hl7.org/fhir/R4/compartmentdefinition.html): what belongs to a patient or an encounter."""

from __future__ import annotations

import functools
from collections.abc import Collection

from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.expression import compile_expression, leaves
from hawsepipe.fhir.query import Kind
from hawsepipe.fhir.references import parse
from hawsepipe.model import Resource


@functools.cache
def ways(compartment: str) -> tuple[tuple[str, str], ...]:
    """Return the (type, code of a reference parameter) by which resources are in a compartment, by type."""
    definitions = load()
    found: list[tuple[str, str]] = []
    for kind, codes in sorted(definitions.compartments.get(compartment, {}).items()):
        known = definitions.search_parameters(kind)
        found += [(kind, code) for code in codes if code in known and known[code].kind is Kind.REFERENCE]
    return tuple(found)


def refers(resource: Resource, code: str, targets: Collection[str], base: str) -> bool:
    """Say whether a resource refers, by the search parameter `code`, to one of `targets` (`Patient/1`)."""
    definitions = load()
    kind = str(resource.get("resourceType"))
    expression = definitions.search_parameters(kind)[code].expression
    for path in compile_expression(definitions, kind, expression):
        for leaf in leaves(path.steps, resource):
            literal = leaf.get("reference") if isinstance(leaf, dict) else None
            if isinstance(literal, str):
                target = parse(literal, base)
                if f"{target.type}/{target.id}" in targets:
                    return True
    return False
