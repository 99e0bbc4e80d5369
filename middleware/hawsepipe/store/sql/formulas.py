"""Visibility as SQL over the row `r` of table resource; agrees with `visibility.visible`.

A search is on one type, so what depends on the type alone is decided here and never reaches the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from hawsepipe.store.commonness import OWN
from hawsepipe.store.sql.binding import Bindings, joined
from hawsepipe.visibility import (
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

LARGE: Final = 200
"""Patients in groups above which a database that can asks us for a patient's group instead of reading every group for
each search.
"""


class Groups:
    """Which group a patient is in, the first that has it. The whole map is made only for a search that asks often."""

    _OFTEN: Final = 200

    def __init__(self, groups: Sequence[frozenset[str]]) -> None:
        self._groups = groups
        self._known: dict[str, int | None] = {}
        self._whole = False

    def number(self, patient: str) -> int | None:
        """Return the group's number, None for a patient in none."""
        if patient in self._known or self._whole:
            return self._known.get(patient)
        if len(self._known) == self._OFTEN:
            for place, members in reversed(list(enumerate(self._groups))):
                self._known.update(dict.fromkeys(members, place))
            self._whole = True
            return self._known.get(patient)
        found = next((place for place, members in enumerate(self._groups) if patient in members), None)
        self._known[patient] = found
        return found


def visibility_condition(visibility: Visibility, type_: str, bindings: Bindings) -> Condition:
    """Return when a resource of this type is visible: the scope holds, and for each of its patients the patient's
    formula.
    """
    scope = formula_condition(visibility.scope, type_, bindings)
    if scope is False:
        return False
    return _all([scope, _patients_condition(visibility, type_, bindings)])


def formula_condition(formula: Formula, type_: str, bindings: Bindings) -> Condition:
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
    if bindings.counts and sum(len(members) for members, _ in groups) > LARGE:
        numbers = Groups([members for members, _ in groups])
        asked = f" group_of({bindings.pointer(numbers)}, p.id)"
        branches = [f"WHEN {place} THEN {_text(condition)}" for place, (_, condition) in enumerate(groups)]
    else:
        asked = ""
        branches = [
            f"WHEN p.id IN {bindings.members(members)} THEN {_text(condition)}" for members, condition in groups
        ]
    formula = f"CASE{asked} {' '.join(branches)} ELSE {_text(default)} END" if branches else _text(default)
    patients = "SELECT 1 FROM about a JOIN person p ON p.key = a.person WHERE a.resource = r.key"
    return f"NOT EXISTS ({patients} AND NOT ({formula}))"


def _facet(kind: str, bindings: Bindings) -> str:
    table = "facet WHERE resource = r.key" if kind in OWN else "common_facet WHERE common = r.common"
    return f"SELECT 1 FROM {table} AND kind = {bindings.symbol(kind)}"  # noqa: S608  bound


def _compared(measure: Measure, operator: str, bound: int, absent: bool, bindings: Bindings) -> str:
    # COALESCE keeps NULL out, which neither NOT nor CASE treats as false.
    return f"COALESCE(r.{measure.value} {operator} {bindings.bind(bound)}, {_text(absent)})"


def _text(condition: Condition) -> str:
    return str(condition).upper() if isinstance(condition, bool) else condition


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
