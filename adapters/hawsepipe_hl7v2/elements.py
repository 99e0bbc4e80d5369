"""Whether a path of a table names an element of R4 (`hawsepipe_schemas/r4/elements.json`), and what that element is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from hawsepipe_schemas import load

_STEP = re.compile(r"(_?)([A-Za-z]\w*)(\[[^\]]*\])?(?:\.|$)")
_BRACKET = re.compile(r"\[[0-9]{0,2}\]")
_INLINE = frozenset({"BackboneElement", "Element"})
_EXTENSIONS = frozenset({"extension", "modifierExtension"})


class Element(NamedTuple):
    """An element: its name for people (`Patient.name`), its type, whether it is a list, and the value set that its
    codes must be of, empty when there is none."""

    name: str
    type: str
    many: bool
    values: str


class _Step(NamedTuple):
    name: str
    bracket: str | None
    element: Element | None
    twin: bool
    needed: tuple[str, ...] = ()
    """Elements that each item of a list must have."""


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = load("r4/elements.json")["facts"]
    return facts


def fault(resource: str, path: str) -> str | None:
    """Say what is wrong with a path in a resource type (`name[].family`, `extension[url].valueString`); None if
    nothing is."""
    if _facts().get(resource, {}).get("kind") != "resource":
        return f"R4 has no resource type {resource}"
    steps = list(_walk(resource, path))
    for number, step in enumerate(steps):
        if step.element is None:
            return f"R4 has no element {step.name}"
        if step.bracket is not None and not _BRACKET.fullmatch(step.bracket) and not _extension(step):
            return f"{step.name}{step.bracket}: an item of a list is [] or [0], the first"
        last = number == len(steps) - 1
        bracket = step.bracket
        if _extension(step):
            if bracket in (None, "[]") and not (last and bracket == "[]"):
                return f"an extension is named by its url: {step.name}[https://…]"
        elif step.element.many and bracket is None and not step.twin:
            return f"{step.name} is a list: write {step.name.rpartition('.')[2]}[{'' if last else '0'}]"
        elif not step.element.many and bracket is not None:
            return f"{step.name} is no list: write it without {bracket}"
        elif bracket == "[]" and not last:
            needed = [name for name in step.needed if name != steps[number + 1].name.rpartition(".")[2]]
            if needed:
                return (
                    f"each value makes an item of its own in {step.name}, and one without {' and '.join(needed)}"
                    " breaks R4: write [0] if other rows give it"
                )
    return None


def found(resource: str, path: str) -> Element | None:
    """Return the element that a path of a type leads to, None where there is none or what is beside a primitive."""
    element = None
    for step in _walk(resource, path):
        element = step.element if not step.twin else None
    return element


def _walk(resource: str, path: str) -> Iterator[_Step]:
    within, prefix, told = resource, "", resource
    for twin, name, bracket in _STEP.findall(path):
        entry = _entry(within, prefix + name) or (_entry("BackboneElement", name) if prefix else None)
        told = f"{told}.{name}"
        if entry is None:
            yield _Step(told, bracket or None, None, bool(twin))
            return
        type_, facts = entry
        values = facts[4] if len(facts) > 4 else ""
        needed = _needed(within, f"{prefix}{name}.") if type_ in _INLINE else _needed(type_, "")
        yield _Step(told, bracket or None, Element(told, type_, facts[1] != 1, values), bool(twin), needed)
        if twin:
            within, prefix = "Element", ""
        elif type_ in _INLINE:
            prefix += f"{name}."
        else:
            within, prefix = type_, ""


def _extension(step: _Step) -> bool:
    return step.name.rpartition(".")[2] in _EXTENSIONS and not step.twin


def _needed(type_: str, prefix: str) -> tuple[str, ...]:
    """Return the elements below a prefix that are required where they are."""
    elements = _facts().get(type_, {}).get("elements", {})
    below = {name.removeprefix(prefix): facts for name, facts in elements.items() if name.startswith(prefix)}
    return tuple(name for name, facts in below.items() if "." not in name and facts[0] > 0)


def _entry(type_: str, name: str) -> tuple[str, list[Any]] | None:
    """Return the type and the facts of an element of a type or of what it is derived from; a choice by the name with
    its type."""
    current = type_
    while current and (entry := _facts().get(current)) is not None:
        elements = entry["elements"]
        if name in elements:
            # What repeats another element's content (`#contentReference`) is of its own type there.
            return str(elements[name][2][0]), elements[name]
        for choice in (key for key in elements if key.endswith("[x]")):
            stem = choice[:-3]
            for kind in elements[choice][2]:
                if name == f"{stem}{kind[0].upper()}{kind[1:]}":
                    return str(kind), elements[choice]
        current = entry["base"]
    return None
