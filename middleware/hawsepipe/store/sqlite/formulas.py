"""Visibility as SQL over the row `r` of table resource; agrees with `store.visibility.visible`.

A search is on one type, so what depends on the type alone is decided here and never reaches the database.
"""

from __future__ import annotations

from typing import assert_never

from hawsepipe.store.sqlite.binding import Bindings, joined
from hawsepipe.store.visibility import (
    All,
    Any,
    AtLeast,
    AtMost,
    Constant,
    Formula,
    Has,
    InstanceIn,
    Lacks,
    Measure,
    Not,
    Only,
    TypeIn,
    Visibility,
)

Condition = str | bool
"""SQL, or what is known without asking the database."""


def visibility_condition(visibility: Visibility, type_: str, bindings: Bindings) -> Condition:
    """Return when a resource of this type is visible: the scope holds, and for each of its patients the patient's formula."""
    scope = formula_condition(visibility.scope, type_, bindings)
    if scope is False:
        return False
    return _all([scope, _patients_condition(visibility, type_, bindings)])


def formula_condition(formula: Formula, type_: str, bindings: Bindings) -> Condition:  # noqa: PLR0911  one a case
    """Return when a formula holds."""
    match formula:
        case Constant(value):
            return value
        case TypeIn(types):
            return type_ in types
        case InstanceIn(references):
            prefix = f"{type_}/"
            ids = [reference.removeprefix(prefix) for reference in references if reference.startswith(prefix)]
            return f"r.id IN {bindings.members(ids)}" if ids else False
        case Has(kind, values):
            return f"EXISTS ({_facet(kind, bindings)} AND value IN {bindings.members(values)})" if values else False
        case Only(kind, values):
            return f"NOT EXISTS ({_facet(kind, bindings)} AND value NOT IN {bindings.members(values)})"
        case Lacks(kind):
            return f"NOT EXISTS ({_facet(kind, bindings)})"
        case AtMost(measure, bound, absent):
            return _compared(measure, "<=", bound, absent, bindings)
        case AtLeast(measure, bound, absent):
            return _compared(measure, ">=", bound, absent, bindings)
        case All(parts):
            return _all([formula_condition(part, type_, bindings) for part in parts])
        case Any(parts):
            return _any([formula_condition(part, type_, bindings) for part in parts])
        case Not(part):
            inner = formula_condition(part, type_, bindings)
            return (not inner) if isinstance(inner, bool) else f"(NOT {inner})"
        case _:
            assert_never(formula)


def _patients_condition(visibility: Visibility, type_: str, bindings: Bindings) -> Condition:
    default = formula_condition(visibility.default, type_, bindings)
    groups = [
        (members, formula_condition(formula, type_, bindings)) for members, formula in visibility.patients if members
    ]
    if default is True and all(condition is True for _, condition in groups):
        return True
    branches = [f"WHEN p.id IN {bindings.members(members)} THEN {_text(condition)}" for members, condition in groups]
    formula = f"CASE {' '.join(branches)} ELSE {_text(default)} END" if branches else _text(default)
    return (
        "NOT EXISTS (SELECT 1 FROM about a JOIN person p ON p.key = a.person"
        f" WHERE a.resource = r.key AND NOT ({formula}))"
    )


def _facet(kind: str, bindings: Bindings) -> str:
    return f"SELECT 1 FROM facet WHERE resource = r.key AND kind = {bindings.symbol(kind)}"  # noqa: S608  bound


def _compared(measure: Measure, operator: str, bound: int, absent: bool, bindings: Bindings) -> str:
    # COALESCE keeps NULL out, which neither NOT nor CASE treats as false.
    return f"COALESCE(r.{measure.value} {operator} {bindings.bind(bound)}, {int(absent)})"


def _text(condition: Condition) -> str:
    return str(int(condition)) if isinstance(condition, bool) else condition


def _all(conditions: list[Condition]) -> Condition:
    if any(condition is False for condition in conditions):
        return False
    parts = [condition for condition in conditions if isinstance(condition, str)]
    return f"({joined('AND', parts)})" if parts else True


def _any(conditions: list[Condition]) -> Condition:
    if any(condition is True for condition in conditions):
        return True
    parts = [condition for condition in conditions if isinstance(condition, str)]
    return f"({joined('OR', parts)})" if parts else False
