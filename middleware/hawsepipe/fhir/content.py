"""Criteria that only a resource's content can answer, since no index row tells: made once for a clause, asked of many.

https://hl7.org/fhir/R4/search.html: composites (whose parts must hold of one item), `:text`, `:of-type`, `_text`,
`_content` and `near`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

from hawsepipe.fhir import matching
from hawsepipe.fhir.definitions import SearchParameter, load
from hawsepipe.fhir.expression import OutsideSubset, Path, compile_expression, leaves
from hawsepipe.fhir.extraction import emitter
from hawsepipe.fhir.index import Row
from hawsepipe.fhir.mentions import SAYING
from hawsepipe.fhir.query import (
    Clause,
    CompositeValue,
    Kind,
    Modifier,
    PlaceValue,
    StringValue,
    TokenValue,
    TypedValue,
    Value,
)
from hawsepipe.fhir.rows import Emit, fold
from hawsepipe.model import Resource

Test = Callable[[Resource], bool]

WORDS: Final = frozenset({"_text", "_content"})
"""Parameters that look for words."""

_NOT_TOLD: Final = frozenset({"id", "meta", "resourceType"})
"""Elements that are about the resource and say nothing."""

_RESOURCE: Final = "%resource."
_TAG: Final = re.compile(r"<[^>]*>")
_WORD: Final = re.compile(r"\w+")


def told_by_content(clause: Clause) -> bool:
    """Say whether a clause needs the content."""
    return (
        clause.kind in (Kind.COMPOSITE, Kind.SPECIAL)
        or clause.modifier in (Modifier.TEXT, Modifier.OF_TYPE)
        or clause.parameter in WORDS
    )


def test_of(kind: str, clause: Clause, base: str, now: int) -> Test:
    """Return what says of a resource of this type whether it meets a clause that `told_by_content`."""
    if clause.kind is Kind.COMPOSITE:
        return _composite(kind, clause, base, now)
    if clause.kind is Kind.SPECIAL:
        return lambda resource: any(_near(value, resource.get("position")) for value in clause.values)
    if clause.parameter in WORDS:
        return _words(clause)
    reached = _paths(kind, load().search_parameters(kind)[clause.parameter].expression)
    if clause.modifier is Modifier.OF_TYPE:
        return lambda resource: any(
            _of_type(value, leaf)
            for path in reached
            for leaf in leaves(path.steps, resource)
            for value in clause.values
        )
    return lambda resource: any(
        text.startswith(value.normal)
        for path in reached
        for leaf in leaves(path.steps, resource)
        for text in _texts(path.type, leaf)
        for value in clause.values
        if isinstance(value, StringValue)
    )


def components(clause: Clause) -> Iterator[tuple[Clause, ...]]:
    """Yield, for each value of a composite, the clauses of its components; what meets the value meets them all."""
    for value in clause.values:
        if isinstance(value, CompositeValue):
            yield value.parts


def widened(clause: Clause) -> Clause:
    """Return a clause of tokens that whatever meets one `:of-type` meets as well."""
    values = tuple(TokenValue(None, value.value) for value in clause.values if isinstance(value, TypedValue))
    return Clause(clause.parameter, clause.kind, None, values)


def _composite(kind: str, clause: Clause, base: str, now: int) -> Test:
    ways = _ways(kind, clause.parameter, base)

    def one(held: Any, resource: Resource, makers: Sequence[_Component], value: Value) -> bool:
        assert isinstance(value, CompositeValue)
        return all(
            any(matching.meets(wanted, row, now) for row in rows(resource, held) for wanted in part.values)
            for rows, part in zip(makers, value.parts, strict=True)
        )

    def test(resource: Resource) -> bool:
        return any(
            one(held, resource, makers, value)
            for path, makers in ways
            for held in (leaves(path.steps, resource) if path.steps else (resource,))
            for value in clause.values
        )

    return test


_Component = Callable[[Resource, Any], list[Row]]


@cache
def _ways(kind: str, code: str, base: str) -> tuple[tuple[Path, tuple[_Component, ...]], ...]:
    """Return where the items of a composite are, and what makes the rows of each component of one."""
    parameters = load().search_parameters(kind)
    parameter = parameters[code]
    found: list[tuple[Path, tuple[_Component, ...]]] = []
    for path in _paths(kind, parameter.expression):
        shape = path.shape or kind
        makers = tuple(
            _component(kind, shape, part, expression, base)
            for part, (_, expression) in zip(component_parameters(kind, code), parameter.components, strict=True)
        )
        found.append((path, makers))
    return tuple(found)


@cache
def component_parameters(kind: str, code: str) -> tuple[SearchParameter, ...]:
    """Return the parameters that the components of a composite are searched by, in order.

    R4's `relationship` names the two the wrong way round: then what an expression gives decides.
    """
    known = load().search_parameters(kind)
    composite = known[code]
    named = [known[name] for name, _ in composite.components]
    shapes = [path.shape or kind for path in _paths(kind, composite.expression)]
    found: list[SearchParameter] = []
    for own, (_, expression) in zip(named, composite.components, strict=True):
        fitting = [it for it in (own, *named) if any(_makes_rows(kind, shape, it, expression) for shape in shapes)]
        found.append(next(iter(fitting), own))
    return tuple(found)


def _makes_rows(kind: str, shape: str, parameter: SearchParameter, expression: str) -> bool:
    paths = _component_paths(kind, shape, expression)
    return any(emitter(load(), parameter, path, "") is not None for path in paths)


def _component_paths(kind: str, shape: str, expression: str) -> tuple[Path, ...]:
    if expression.startswith(_RESOURCE):
        return _paths(kind, f"{kind}.{expression.removeprefix(_RESOURCE)}")
    return _paths(shape, expression)


def _component(kind: str, shape: str, parameter: SearchParameter, expression: str, base: str) -> _Component:
    whole = expression.startswith(_RESOURCE)
    paths = _component_paths(kind, shape, expression)
    made: list[tuple[Path, Emit]] = []
    for path in paths:
        emit = emitter(load(), parameter, path, base)
        if emit is not None:
            made.append((path, emit))

    def rows(resource: Resource, held: Any) -> list[Row]:
        found: list[Row] = []
        for path, emit in made:
            for leaf in leaves(path.steps, resource if whole else held):
                emit(leaf, found)
        return found

    return rows


@cache
def _paths(shape: str, expression: str) -> tuple[Path, ...]:
    try:
        return compile_expression(load(), shape, expression)
    except OutsideSubset:
        return ()


def searched_by_content(parameter: SearchParameter) -> bool:
    """Say whether a parameter without index rows is searched by all the same."""
    if parameter.kind is Kind.COMPOSITE:
        return bool(parameter.components)
    return parameter.code in WORDS or (parameter.kind is Kind.SPECIAL and parameter.code == "near")


def has_identifiers(kind: str, code: str) -> bool:
    """Say whether a token parameter is of identifiers, which have types."""
    expression = load().search_parameters(kind)[code].expression
    return any(path.type == "Identifier" for path in _paths(kind, expression))


def is_whole(kind: str, code: str) -> bool:
    """Say whether the one item of a composite is the resource itself: then its parts hold of it or not, each alone."""
    return all(not path.steps for path in _paths(kind, load().search_parameters(kind)[code].expression))


def _of_type(value: Value, leaf: Any) -> bool:
    if not isinstance(value, TypedValue) or not isinstance(leaf, dict) or leaf.get("value") != value.value:
        return False
    held = leaf.get("type")
    codings = held.get("coding", ()) if isinstance(held, dict) else ()
    return any(coding.get("system") == value.system and coding.get("code") == value.code for coding in codings)


def _texts(type_name: str, leaf: Any) -> Iterator[str]:
    """Yield, folded, what people read where a token is."""
    if type_name == "Identifier":
        leaf, type_name = (leaf.get("type") if isinstance(leaf, dict) else None), "CodeableConcept"
    if not isinstance(leaf, dict):
        return
    told = [leaf.get("text" if type_name == "CodeableConcept" else "display")]
    if type_name == "CodeableConcept":
        told += [coding.get("display") for coding in leaf.get("coding", ()) if isinstance(coding, dict)]
    for text in told:
        if isinstance(text, str):
            yield fold(text)


def _near(value: Value, position: Any) -> bool:
    return isinstance(value, PlaceValue) and matching.is_near(value, position)


def _words(clause: Clause) -> Test:
    wanted = [_WORD.findall(value.normal) for value in clause.values if isinstance(value, StringValue)]
    narrative = clause.parameter == "_text"

    def test(resource: Resource) -> bool:
        held = set(_WORD.findall(fold(" ".join(_narrative(resource) if narrative else _told(resource)))))
        return any(words and held.issuperset(words) for words in wanted)

    return test


def _narrative(resource: Resource) -> Iterator[str]:
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    if isinstance(div, str):
        yield _TAG.sub(" ", div)


def _told(resource: Resource) -> Iterator[str]:
    for name, held in resource.items():
        if name not in _NOT_TOLD:
            yield from _strings(held, name)


def _strings(node: Any, key: str = "") -> Iterator[str]:
    if isinstance(node, str):
        yield _TAG.sub(" ", node) if key == "div" else node
    elif isinstance(node, dict):
        # What a reference says of another resource is not this one's to be found by: the other may be hidden.
        passed_over: tuple[str, ...] = SAYING if "reference" in node else ()
        for name, child in node.items():
            if name not in passed_over:
                yield from _strings(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from _strings(child, key)
