"""The duty to redact: elements that a role does not get, and searches as if no resource had them.

What goes with an element: the narrative, which may repeat it; extensions, notes and display texts that hold the same
words; what references say of a resource of the type. Where the element must be there, a `data-absent-reason` of
`masked` stands in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Final

from hawsepipe.fhir.content import WORDS
from hawsepipe.fhir.definitions import SearchParameter, load
from hawsepipe.fhir.expression import OutsideSubset, compile_expression
from hawsepipe.fhir.query import (
    Chain,
    Clause,
    Condition,
    Either,
    Include,
    Kind,
    MissingValue,
    Modifier,
    Query,
    Reverse,
    TokenValue,
)
from hawsepipe.model import Resource

REDACTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "REDACTED"}
_SUBSETTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_ABSENT: Final = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"},
    ]
}
_SHORTEST: Final = 3
"""Characters of a value by which its copies are known: shorter ones are everywhere."""

NEVER: Final = Clause("_id", Kind.TOKEN, None, (TokenValue(None, "?"),))
"""What holds of no resource: no id is a question mark."""

ALWAYS: Final = Clause("_id", Kind.TOKEN, Modifier.NOT, (TokenValue(None, "?"),))
"""What holds of every resource."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What one role does not get. `paths` are below the type: `birthDate`, `contact.name`, `deceased[x]`."""

    paths: Mapping[str, tuple[tuple[str, ...], ...]]

    def __bool__(self) -> bool:
        return bool(self.paths)

    def concerns(self, kind: str) -> bool:
        """Say whether something of a type is left out."""
        return kind in self.paths

    def of(self, resource: Resource) -> Resource:
        """Return what is left of a resource, contained ones gone through as well; itself if nothing is to go."""
        kind = str(resource.get("resourceType"))
        found = resource
        if self.concerns(kind):
            found = _marked(_without(found, self.paths[kind], kind))
        contained = found.get("contained")
        if isinstance(contained, list):
            inner = [self.of(it) if isinstance(it, dict) else it for it in contained]
            if any(new is not old for new, old in zip(inner, contained, strict=True)):
                found = {**found, "contained": inner}
        return found


@lru_cache(maxsize=256)
def redaction(paths: frozenset[str]) -> Redaction:
    """Return the redaction of elements such as `Patient.birthDate`."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for path in sorted(paths):
        kind, *steps = path.split(".")
        found.setdefault(kind, []).append(tuple(steps))
    return Redaction({kind: tuple(steps) for kind, steps in found.items()})


def known(path: str) -> bool:
    """Say whether R4 has an element of this path (`Patient.birthDate`)."""
    kind, *steps = path.split(".")
    shape: str | None = kind if kind in load().resource_types else None
    for step in steps:
        fields = [] if shape is None else [it for it in load().shape(shape).values() if step in {it.key, it.element}]
        if not fields:
            return False
        shape = fields[0].shape
    return bool(steps) and steps[0] not in {"id", "meta", "text", "contained"}


# -- content -----------------------------------------------------------------------------------------------------------


def _without(resource: Resource, paths: Sequence[tuple[str, ...]], kind: str) -> Resource:
    gone: set[str] = set()
    found = resource
    for steps in paths:
        found = _dropped(found, steps, kind, gone)
    found = {key: value for key, value in found.items() if key != "text"}
    if gone:
        found = _uncopied(found, gone)
    return found


def _dropped(node: Any, steps: tuple[str, ...], shape: str | None, gone: set[str]) -> Any:
    if isinstance(node, list):
        return [_dropped(it, steps, shape, gone) for it in node]
    if not isinstance(node, dict):
        return node
    step, rest = steps[0], steps[1:]
    fields = load().shape(shape) if shape is not None else {}
    found: dict[str, Any] = {}
    for key, held in node.items():
        field = fields.get(key.removeprefix("_"))
        if step not in {key.removeprefix("_"), None if field is None else field.element}:
            found[key] = held
        elif rest:
            found[key] = held if field is None else _dropped(held, rest, field.shape, gone)
        else:
            gone.update(_texts(held))
            if field is not None and field.minimum > 0:
                masked: Any = [_ABSENT] if field.many else _ABSENT
                found[f"_{key.removeprefix('_')}" if field.primitive else key] = masked
    return found


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        if len(node) >= _SHORTEST and "://" not in node:
            yield node.casefold()
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _texts(child)


def _uncopied(node: Any, gone: Collection[str]) -> Any:
    """Leave out the extensions, notes and display texts that repeat what is gone."""
    if isinstance(node, list):
        return [_uncopied(it, gone) for it in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, held in node.items():
        if key in {"extension", "modifierExtension", "note"} and isinstance(held, list):
            kept = [_uncopied(it, gone) for it in held if not _repeats(it, gone)]
            if kept:
                found[key] = kept
        elif not (key == "display" and _repeats(held, gone)):
            found[key] = _uncopied(held, gone)
    return found


def _repeats(node: Any, gone: Collection[str]) -> bool:
    return any(word in text for text in _texts(node) for word in gone)


def _marked(resource: Resource) -> Resource:
    meta = resource.get("meta")
    meta = dict(meta) if isinstance(meta, dict) else {}
    for name, label in (("security", REDACTED), ("tag", _SUBSETTED)):
        held = meta.get(name)
        held = held if isinstance(held, list) else []
        meta[name] = held if label in held else [*held, label]
    return {**resource, "meta": meta}


# -- searches ----------------------------------------------------------------------------------------------------------


def blind(query: Query, without: Redaction) -> Query:
    """Return a search as if no resource had the elements; itself if they do not matter to it."""
    if not without:
        return query
    clauses = tuple(_condition(query.type, one, without) for one in query.clauses)
    sort = tuple(one for one in query.sort if not _touched(query.type, one.parameter, without))
    includes = tuple(it for one in query.includes if (it := _included(one, without)) is not None)
    if (clauses, sort, includes) == (query.clauses, query.sort, query.includes):
        return query
    return replace(query, clauses=clauses, sort=sort, includes=includes)


def _included(include: Include, without: Redaction) -> Include | None:
    kept = tuple(pair for pair in include.parameters if not _touched(*pair, without))
    return replace(include, parameters=kept) if kept else None


def _condition(kind: str, condition: Condition, without: Redaction) -> Condition:
    match condition:
        case Clause():
            return _clause(kind, condition, without)
        case Chain():
            if _touched(kind, condition.parameter, without):
                return NEVER
            targets = tuple((target, _condition(target, inner, without)) for target, inner in condition.targets)
            return replace(condition, targets=targets)
        case Reverse():
            if _touched(condition.type, condition.parameter, without):
                return NEVER
            return replace(condition, condition=_condition(condition.type, condition.condition, without))
        case Either():
            return Either(tuple(_condition(kind, part, without) for part in condition.parts))


def _clause(kind: str, clause: Clause, without: Redaction) -> Condition:
    if not _touched(kind, clause.parameter, without):
        # An identifier that is left out of a resource is left out of what refers to it.
        named = clause.modifier in {Modifier.IDENTIFIER, Modifier.TEXT} and clause.kind is Kind.REFERENCE
        return NEVER if named and without else clause
    if clause.modifier is Modifier.MISSING:
        missing = any(isinstance(it, MissingValue) and it.missing for it in clause.values)
        return ALWAYS if missing else NEVER
    return ALWAYS if clause.modifier in {Modifier.NOT, Modifier.NOT_IN} else NEVER


def _touched(kind: str, code: str, without: Redaction) -> bool:
    return any(_overlap(steps, path) for path in without.paths.get(kind, ()) for steps in _steps(kind, code)) or (
        code in WORDS and bool(without)
    )


def _overlap(one: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return all(
        mine == other or (other.endswith("[x]") and mine.startswith(other.removesuffix("[x]")))
        for mine, other in zip(one, path, strict=False)
    )


@cache
def _steps(kind: str, code: str) -> tuple[tuple[str, ...], ...]:
    """Return the ways to what a parameter searches by; an expression that is not understood is of everything."""
    parameter = load().search_parameters(kind).get(code)
    if parameter is None or code in {"_id", "_lastUpdated"}:
        return ()
    return tuple(_ways(kind, parameter))


def _ways(kind: str, parameter: SearchParameter) -> Iterator[tuple[str, ...]]:
    try:
        whole = compile_expression(load(), kind, parameter.expression)
        if not whole:
            yield ()
        for path in whole:
            steps = tuple(step.key for step in path.steps)
            if not parameter.components:
                yield steps
            for _, expression in parameter.components:
                if expression.startswith("%resource."):
                    inner = compile_expression(load(), kind, f"{kind}.{expression.removeprefix('%resource.')}")
                    yield from (tuple(step.key for step in it.steps) for it in inner)
                else:
                    inner = compile_expression(load(), path.shape or kind, expression)
                    yield from ((*steps, *(step.key for step in it.steps)) for it in inner)
    except OutsideSubset:
        yield ()
