"""What the types of a FHIR version look like, as values: the source versions and R4, from `hawsepipe_schemas`.

A place in a type is (type, path): `("Encounter", "participant.type")`; the path of the type itself is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hawsepipe_schemas import load

Facts = Mapping[str, Any]

PRIMITIVES = frozenset(
    {
        *("base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer"),
        *(
            "integer64",
            "markdown",
            "oid",
            "positiveInt",
            "string",
            "time",
            "unsignedInt",
            "uri",
            "url",
            "uuid",
            "xhtml",
        ),
    }
)
QUANTITIES = frozenset({"Quantity", "SimpleQuantity", "Age", "Count", "Distance", "Duration"})


@dataclass(frozen=True, slots=True)
class Field:
    """One key that an object may have.

    `element` is the element's path in its type (`participant.value[x]` for the key `valueQuantity`), `type` its FHIR
    type, empty for an element with children of its own, which are those of (`owner`, `below`). `many` says that JSON
    has a list. `required` and `codes` (system to codes of a required binding, when it can be enumerated) are known of
    R4 alone. `rivals` are the other keys of a choice, `targets` the types that a reference may name (empty: any).
    """

    key: str
    element: str
    type: str
    owner: str
    below: str
    many: bool
    required: bool = False
    codes: Mapping[str, frozenset[str]] | None = None
    rivals: tuple[str, ...] = ()
    targets: frozenset[str] = frozenset()

    @property
    def primitive(self) -> bool:
        """Whether the value is a JSON string, number or boolean."""
        return self.type in PRIMITIVES


@dataclass(frozen=True)
class Definitions:
    """The types of one version. `rows` maps a type to its base and its elements as `Row` values by path."""

    rows: Mapping[str, tuple[str, Mapping[str, Row]]]
    _required: dict[tuple[str, str], tuple[tuple[Field, ...], ...]] = field(default_factory=dict, repr=False)
    _children: dict[tuple[str, str], Mapping[str, Field]] = field(default_factory=dict, repr=False)

    def knows(self, type: str) -> bool:
        """Say whether the version has the type."""
        return type in self.rows

    def lineage(self, type: str) -> tuple[str, ...]:
        """Return the type and what it specialises, nearest first."""
        found: list[str] = []
        while type and type in self.rows:
            found.append(type)
            type = self.rows[type][0]  # noqa: A001  FHIR's own name
        return tuple(found)

    def resource(self, type: str) -> bool:
        """Say whether the type is a resource."""
        return "Resource" in self.lineage(type)

    def children(self, type: str, path: str) -> Mapping[str, Field]:
        """Return key -> field of a type (path empty) or of an element that has children of its own."""
        known = self._children.get((type, path))
        if known is None:
            known = self._children[type, path] = dict(self._made(type, path))
        return known

    def required(self, type: str, path: str) -> tuple[tuple[Field, ...], ...]:
        """Return the required elements of an object, each as the fields that it can be."""
        known = self._required.get((type, path))
        if known is None:
            groups: dict[str, list[Field]] = {}
            for made in self.children(type, path).values():
                if made.required:
                    groups.setdefault(made.element, []).append(made)
            known = self._required[type, path] = tuple(tuple(group) for group in groups.values())
        return known

    def _made(self, type: str, path: str) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        if path:
            kind = self.rows[type][1][path].types[0] if path in self.rows[type][1] else "BackboneElement"
            lineage = [(type, f"{path}."), *((base, "") for base in self.lineage(kind))]
            if not self.lineage(kind):
                lineage += [("Element", "")]
        else:
            lineage = [(base, "") for base in self.lineage(type)]
        for owner, prefix in reversed(lineage):
            for element, row in self.rows[owner][1].items():
                name = element.removeprefix(prefix) if element.startswith(prefix) else "."
                if "." not in name:
                    for made in _fields(owner, element, name, row):
                        fields[made.key] = made
        return fields


@dataclass(frozen=True, slots=True)
class Row:
    """One element: its types (`@path` refers to another element of the type), whether it repeats."""

    types: tuple[str, ...]
    many: bool
    required: bool = False
    codes: Mapping[str, frozenset[str]] | None = None
    targets: frozenset[str] = frozenset()


def _fields(owner: str, element: str, name: str, row: Row) -> list[Field]:
    if name.endswith("[x]"):
        stem = name.removesuffix("[x]")
        keys = {f"{stem}{kind[0].upper()}{kind[1:]}": kind for kind in row.types}
        return [
            Field(
                key,
                element,
                kind,
                owner,
                "",
                False,
                row.required,
                row.codes,
                tuple(it for it in keys if it != key),
                row.targets if kind == "Reference" else frozenset(),
            )
            for key, kind in keys.items()
        ]
    (kind,) = row.types
    below = ""
    if kind.startswith("@"):
        kind, below = "", kind[1:]
    elif kind in ("BackboneElement", "Element"):
        kind, below = "", element
    return [Field(name, element, kind, owner, below, row.many, row.required, row.codes, targets=row.targets)]


@cache
def source(version: str) -> Definitions:
    """Return the types of `dstu2`, `stu3` or `r5`."""
    facts: Facts = load(f"fhir_versions/{version}/elements.json")["facts"]
    rows: dict[str, tuple[str, Mapping[str, Row]]] = {}
    for type_, entry in facts.items():
        made = {
            path: Row(tuple(it for it in kinds.removesuffix("*").split("|")), kinds.endswith("*"))
            for path, kinds in entry["elements"].items()
        }
        rows[type_] = (entry["base"], made)
    return Definitions(rows)


@cache
def r4() -> Definitions:
    """Return the types of R4."""
    facts: Facts = load("r4/elements.json")["facts"]
    sets: Facts = load("r4/value_sets.json")["facts"]
    value_sets = {url: {system: frozenset(codes) for system, codes in held.items()} for url, held in sets.items()}
    rows: dict[str, tuple[str, Mapping[str, Row]]] = {}
    for type_, entry in facts.items():
        if entry["kind"] == "primitive-type":
            continue
        made: dict[str, Row] = {}
        for path, columns in entry["elements"].items():
            minimum, maximum, types, targets, value_set, reference = [*columns, None, None, None, None][:6]
            if reference:
                types = ["@" + reference.partition(".")[2]]
            made[path] = Row(
                tuple(types), maximum != 1, minimum > 0, value_sets.get(value_set or ""), _targets(targets)
            )
        rows[type_] = (entry["base"], made)
    return Definitions(rows)


def _targets(types: list[str] | None) -> frozenset[str]:
    """Return the types that a reference is bound to, none when any will do."""
    return frozenset() if not types or "Resource" in types or "Any" in types else frozenset(types)
