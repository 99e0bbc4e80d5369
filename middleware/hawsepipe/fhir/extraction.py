"""What a resource can be found by: search parameters compiled to a plan for each type.

And the rows that the plan makes.

https://hl7.org/fhir/R4/search.html. A plan sorts the paths of all parameters by their first key, so that a resource is
asked once for each key that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from hawsepipe.fhir import rows as make
from hawsepipe.fhir.definitions import Definitions, SearchParameter
from hawsepipe.fhir.expression import OutsideSubset, Path, Step, compile_expression, reaching
from hawsepipe.fhir.index import Row, TokenRow
from hawsepipe.fhir.query import Kind
from hawsepipe.fhir.rows import SPECIAL_VALUES, fold
from hawsepipe.model import Resource

__all__ = ["Extractor", "fold"]

Emit = Callable[[Any, list[Row]], None]


class _Entry(NamedTuple):
    """One path below its first key: how to reach its leaves, what every parameter makes of them, and the codes of the
    parameters that ask whether there is any.
    """

    reach: Callable[[Any], Sequence[Any]]
    emits: tuple[Emit, ...]
    exists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    entries: dict[str, tuple[_Entry, ...]]
    supported: tuple[SearchParameter, ...]
    existing: tuple[str, ...]


def _gather(entries: Iterable[_Entry], resource: Resource, found: list[Row], existing: set[str]) -> None:
    """Collect what the paths that begin with one key of a resource give."""
    for reach, emits, exists in entries:
        reached = reach(resource)
        for emit in emits:
            for leaf in reached:
                emit(leaf, found)
        if exists and any(leaf is not False for leaf in reached):
            existing.update(exists)


class Extractor:
    """Makes index rows. Plans are compiled when a type is first met; one extractor serves any number of threads."""

    def __init__(self, definitions: Definitions, base_url: str) -> None:
        self._definitions = definitions
        self._base = base_url.rstrip("/")
        self._plans: dict[str, _Plan] = {}

    def rows(self, resource: Resource) -> list[Row]:
        """Return the rows of a valid resource, each once. Values that are not of their type make no row."""
        kind = resource["resourceType"]
        found: list[Row] = []
        existing: set[str] = set()
        entries = self._plan(kind).entries
        for key in resource:
            if key in entries:
                _gather(entries[key], resource, found, existing)
        found += self.presence(kind, existing)
        return list(dict.fromkeys(found))

    def element(self, kind: str, key: str, value: Any) -> tuple[list[Row], frozenset[str]]:
        """Return the rows that one element of a resource gives, and the parameters whose `exists()` it makes true.

        The rows of a resource are those of its elements, in order, and `presence` of all that they make true.
        """
        found: list[Row] = []
        existing: set[str] = set()
        _gather(self._plan(kind).entries.get(key, ()), {key: value}, found, existing)
        return found, frozenset(existing)

    def presence(self, kind: str, existing: Collection[str]) -> list[Row]:
        """Return the rows of the parameters that ask whether there is something, by those for which there is."""
        return [
            TokenRow(code, SPECIAL_VALUES, "true" if code in existing else "false")
            for code in self._plan(kind).existing
        ]

    def supported(self, type: str) -> tuple[SearchParameter, ...]:
        """Return the search parameters of a type that rows are made for, by code."""
        return self._plan(type).supported

    def _plan(self, kind: str) -> _Plan:
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = self._compile(kind)
        return plan

    def _compile(self, kind: str) -> _Plan:
        emits: dict[tuple[Step, ...], list[Emit]] = {}
        exists: dict[tuple[Step, ...], list[str]] = {}
        supported: list[SearchParameter] = []
        existing: list[str] = []
        for code, parameter in sorted(self._definitions.search_parameters(kind).items()):
            found = [
                (path, emit)
                for path in self._paths(kind, parameter)
                if (emit := emitter(self._definitions, parameter, path, self._base)) is not None
            ]
            if not found:
                continue
            supported.append(parameter)
            if any(path.exists for path, _ in found):
                existing.append(code)
            for path, emit in found:
                if path.exists:
                    exists.setdefault(path.steps, []).append(code)
                else:
                    emits.setdefault(path.steps, []).append(emit)
        entries: dict[str, list[_Entry]] = {}
        for steps in dict.fromkeys((*emits, *exists)):
            entry = _Entry(reaching(steps), tuple(emits.get(steps, ())), tuple(exists.get(steps, ())))
            entries.setdefault(steps[0].key, []).append(entry)
        return _Plan({key: tuple(value) for key, value in entries.items()}, tuple(supported), tuple(existing))

    def _paths(self, kind: str, parameter: SearchParameter) -> tuple[Path, ...]:
        if not parameter.expression:
            return ()
        try:
            return tuple(it for it in compile_expression(self._definitions, kind, parameter.expression) if it.steps)
        except OutsideSubset:
            return ()


def emitter(definitions: Definitions, parameter: SearchParameter, path: Path, base: str) -> Emit | None:
    """Return what makes the rows of a parameter from the leaves of one of its paths, None when there are none."""
    code = parameter.code
    if parameter.kind is Kind.TOKEN:
        if path.exists:
            return partial(make.token, code)
        systems = definitions.value_sets.get(path.value_set or "", {}) if path.type == "code" else {}
        implied = {value: system for system, values in systems.items() for value in values}
        return make.token_maker(code, path.type, implied)
    if parameter.kind is Kind.REFERENCE:
        return make.reference_maker(code, path.type, path.target, base)
    return make.maker(parameter.kind, code, path.type)
