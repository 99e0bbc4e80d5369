"""The definitions of R4 as values: types with their fields, search parameters, compartments, value sets.

Code hierarchies.

https://hl7.org/fhir/R4/downloads.html. The tables are package data of `hawsepipe_schemas` (`r4/*.json`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hawsepipe.fhir.query import Kind
from hawsepipe_schemas import load as load_table


@dataclass(frozen=True, slots=True)
class Field:
    """One key that an object may have.

    `element` is the element's own name (`value[x]` for the key `valueQuantity`), `type` its FHIR type, `shape` the name
    under which `Definitions.shape` has its children (None for a primitive and for any resource, which says its own
    type). `maximum` is None without a bound; `targets` are the types that a Reference may name (empty: any).
    """

    key: str
    element: str
    type: str
    shape: str | None
    minimum: int
    maximum: int | None
    targets: tuple[str, ...]
    value_set: str | None
    primitive: bool

    @property
    def many(self) -> bool:
        """Whether JSON has a list here."""
        return self.maximum != 1


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A search parameter. `components` of a composite are (code, expression below the parameter's own)."""

    id: str
    code: str
    base: tuple[str, ...]
    kind: Kind
    expression: str
    targets: tuple[str, ...]
    components: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Definitions:
    """All of R4 that the middleware knows. What it returns is shared: callers do not change it."""

    elements: Mapping[str, Any]
    resource_types: frozenset[str]
    primitives: frozenset[str]
    compartments: Mapping[str, Mapping[str, tuple[str, ...]]]
    value_sets: Mapping[str, Mapping[str, frozenset[str]]]
    hierarchies: Mapping[str, Mapping[str, tuple[str, ...]]]
    orders: Mapping[str, tuple[str, ...]]
    parameters: tuple[SearchParameter, ...]
    _shapes: dict[str, Mapping[str, Field]] = field(default_factory=dict, repr=False)
    _by_type: dict[str, Mapping[str, SearchParameter]] = field(default_factory=dict, repr=False)

    def bases(self, type: str) -> tuple[str, ...]:
        """Return the type and those that it specialises, nearest first (`Patient`, `DomainResource`, `Resource`)."""
        found: list[str] = []
        while type:
            found.append(type)
            type = self.elements[type]["base"]  # noqa: A001  FHIR's own name
        return tuple(found)

    def shape(self, name: str) -> Mapping[str, Field]:
        """Return key -> field of a type (`HumanName`) or of an element with children (`Patient.contact`).

        Raises KeyError for a name that R4 does not have.
        """
        shape = self._shapes.get(name)
        if shape is None:
            shape = self._shapes[name] = self._make_shape(name)
        return shape

    def search_parameters(self, type: str) -> Mapping[str, SearchParameter]:
        """Return code -> search parameter of a resource type, those of all resources included."""
        found = self._by_type.get(type)
        if found is None:
            bases = set(self.bases(type))
            found = {it.code: it for it in self.parameters if not bases.isdisjoint(it.base)}
            self._by_type[type] = found
        return found

    def codes(self, value_set: str) -> frozenset[str] | None:
        """Return the codes of a required value set, whatever their system; None when it cannot be enumerated."""
        systems = self.value_sets.get(value_set)
        return None if systems is None else frozenset().union(*systems.values())

    def ancestors(self, system: str, code: str) -> frozenset[str]:
        """Return the code and every code that it is a kind of; empty when the system or the code is not known."""
        parents = self.hierarchies.get(system, {})
        if code not in parents:
            return frozenset()
        found = {code}
        todo = [code]
        while todo:
            new = [parent for parent in parents.get(todo.pop(), ()) if parent not in found]
            found.update(new)
            todo += new
        return frozenset(found)

    def descendants(self, system: str, code: str) -> frozenset[str]:
        """Return the code and every code that is a kind of it; empty when the system or the code is not known."""
        return frozenset(it for it in self.hierarchies.get(system, {}) if code in self.ancestors(system, it))

    def order(self, system: str) -> tuple[str, ...]:
        """Return the codes of an ordered system from lowest to highest (v3-Confidentiality: U to V)."""
        return self.orders.get(system, ())

    def _make_shape(self, name: str) -> Mapping[str, Field]:
        type_name, _, path = name.partition(".")
        elements = self.elements[type_name]["elements"]
        fields: dict[str, Field] = {}
        if path:
            row = elements[path]
            for base in self.bases(row[2][0]):
                fields |= self._fields(base, "")
            fields |= self._fields(type_name, f"{path}.")
        else:
            for base in reversed(self.bases(type_name)):
                fields |= self._fields(base, "")
        if "" in fields:
            raise KeyError(name)
        return fields

    def _fields(self, type_name: str, prefix: str) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        for path, row in self.elements[type_name]["elements"].items():
            name = path.removeprefix(prefix)
            if not path.startswith(prefix) or "." in name:
                continue
            minimum, maximum, types, targets, value_set, reference = row + [None] * (6 - len(row))
            for type_code in types or [reference]:
                key = name
                if name.endswith("[x]"):
                    key = name[:-3] + type_code[0].upper() + type_code[1:]
                primitive = type_code in self.primitives
                shape: str | None = type_code
                if reference is None and type_code in ("BackboneElement", "Element"):
                    shape = f"{type_name}.{path}"
                elif primitive or type_code == "Resource":
                    shape = None
                fields[key] = Field(
                    key=key,
                    element=name,
                    type="BackboneElement" if reference else type_code,
                    shape=shape,
                    minimum=minimum,
                    maximum=None if maximum == -1 else maximum,
                    targets=tuple(targets or ()) if type_code == "Reference" else (),
                    value_set=value_set,
                    primitive=primitive,
                )
        return fields


@functools.cache
def load() -> Definitions:
    """Return the definitions; they are read once."""
    elements = _facts("elements")
    hierarchies = _facts("code_hierarchies")
    return Definitions(
        elements=elements,
        resource_types=frozenset(
            name for name, it in elements.items() if it["kind"] == "resource" and not it.get("abstract")
        ),
        primitives=frozenset(name for name, it in elements.items() if it["kind"] == "primitive-type"),
        compartments={
            name: {type_name: tuple(codes) for type_name, codes in members.items()}
            for name, members in _facts("compartments").items()
        },
        value_sets={
            url: {system: frozenset(codes) for system, codes in systems.items()}
            for url, systems in _facts("value_sets").items()
        },
        hierarchies={
            system: {code: tuple(parents) for code, parents in codes.items()}
            for system, codes in hierarchies["parents"].items()
        },
        orders={system: tuple(codes) for system, codes in hierarchies["orders"].items()},
        parameters=tuple(
            SearchParameter(
                id=row["id"],
                code=row["code"],
                base=tuple(row["base"]),
                kind=Kind(row["kind"]),
                expression=row.get("expression", ""),
                targets=tuple(row.get("targets", ())),
                components=tuple((code, expression) for code, expression in row.get("components", ())),
            )
            for row in _facts("search_parameters")
        ),
    )


def _facts(name: str) -> Any:
    return load_table(f"r4/{name}.json")["facts"]
