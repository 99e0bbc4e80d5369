"""Every search parameter of R4: what of them is searched by, and that the naive search reads their expressions too."""

from __future__ import annotations

import pytest

from hawsepipe.fhir.content import component_parameters
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.expression import OutsideSubset, compile_expression
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.query import Kind

DEFINITIONS = load()
PARAMETERS = Parameters(DEFINITIONS, "https://fhir.example.org/fhir")


def test_every_parameter_of_r4_is_searched_by_but_these() -> None:
    """`_query` names a query that somebody has defined; nobody has."""
    left = {
        parameter.id
        for kind in DEFINITIONS.resource_types
        for code, parameter in DEFINITIONS.search_parameters(kind).items()
        if code not in dict(PARAMETERS.supported(kind))
    }
    assert left == {"Resource-query"}
    assert len({it.id for it in DEFINITIONS.parameters}) > 1_370


def test_no_expression_is_outside_the_subset() -> None:
    outside = []
    for kind in sorted(DEFINITIONS.resource_types):
        for parameter in DEFINITIONS.search_parameters(kind).values():
            if not parameter.expression:
                continue
            try:
                paths = compile_expression(DEFINITIONS, kind, parameter.expression)
            except OutsideSubset:
                outside.append(parameter.id)
                continue
            if not paths:
                outside.append(f"{kind}: {parameter.id}")
    assert outside == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (kind, code)
        for kind in ("Observation", "Group", "DocumentReference", "MolecularSequence", "ValueSet")
        for code, it in sorted(DEFINITIONS.search_parameters(kind).items())
        if it.kind is Kind.COMPOSITE
    ],
)
def test_each_component_of_a_composite_is_searched_by(kind: str, code: str) -> None:
    values = {Kind.TOKEN: "a", Kind.QUANTITY: "1", Kind.DATE: "2020", Kind.NUMBER: "1", Kind.STRING: "a",
              Kind.REFERENCE: "Patient/1"}  # fmt: skip
    text = "$".join(values[part.kind] for part in component_parameters(kind, code))
    assert PARAMETERS.parse(kind, [(code, text)], strict=True).query.clauses
