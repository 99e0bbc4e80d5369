"""Rule tables and definitions compiled once into closures: a plan for each type of a version.

A row is `from` (a path in the source type), `to` (a path in the R4 type), `via` (a named function), or says that the
element is an extension or has no place. An element without a row keeps its name where R4 has it with a fitting type;
else it becomes an extension. Nothing in a table is an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hawsepipe import ConfigError, Severity
from hawsepipe_fhir import coercions, decisions, extensions, names
from hawsepipe_fhir.bench import Convert, Job, Json, Note, Place, Step, items
from hawsepipe_fhir.definitions import QUANTITIES, Definitions, Field
from hawsepipe_fhir.tables import Tables

Row = Mapping[str, Any]


class Plan:
    """The steps of an object by key."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def run(self, value: Any, place: Place, job: Job, source: str) -> None:
        """Write what the rules say of an object to a place."""
        if type(value) is not dict:
            job.lose(source, "is not an object in the source", Severity.ERROR)
            return
        steps = self.steps
        prefix = f"{source}." if source else ""
        for key, held in value.items():
            name = key
            if key[:1] == "_":
                name = key[1:]
                if name in value:
                    continue
                held, twin = None, held
            else:
                twin = value.get(f"_{key}")
            step = steps.get(name)
            if step is not None:
                step(held, twin, place, job, prefix + name)
            elif key != "resourceType":
                job.lose(prefix + name, "is not an element of this version", Severity.ERROR)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a compilation is: the table's type, the R4 type that it goes to, and the open places by their paths.

    `owner` and `below` give the children, `path` is where they are in the table's type. A `clear` element has no
    object of its own in R4: only what has a row inside it moves.
    """

    table: str
    root: str
    owner: str
    below: str = ""
    path: str = ""
    bases: tuple[str, ...] = ("",)
    clear: bool = False
    merged: bool = False


class Compiler:
    """Compiles the plans of one version. Raises ConfigError for a table that does not fit the definitions."""

    def __init__(self, tables: Tables, source: Definitions, target: Definitions, number: str) -> None:
        """`number` is the version as extension URLs have it (`3.0`)."""
        self.tables = tables
        self.source = source
        self.target = target
        self.number = number
        self._plans: dict[Scope, Plan] = {}
        self._used: set[tuple[str, str]] = set()
        self.fixed = {
            (table.to, default["to"]): default
            for table in tables.types.values()
            for default in table.defaults
            if "." in default["to"]
        }
        self.homes = {type_: self._home(type_) for type_ in source.rows if source.resource(type_)}
        self.element = self.type("Element", "Element")
        self.resources = {type_: self.type(type_, home) for type_, home in self.homes.items()}

    def unused(self) -> list[str]:
        """Return the rows that are about nothing that the version has."""
        told = ((type_, name) for type_, table in self.tables.types.items() for name in table.rows)
        return [f"{type_}.{name}" for type_, name in told if (type_, name) not in self._used]

    def _home(self, type_: str) -> str:
        to = self.tables.table(type_).to
        return to if self.target.knows(to) else "Basic"

    def type(self, name: str, to: str) -> Plan:
        """Return the plan of a type of the source version, written to a type of R4."""
        return self.object(Scope(name, to, name))

    def object(self, scope: Scope) -> Plan:
        """Return the plan of an object with children."""
        plan = self._plans.get(scope)
        if plan is None:
            # Known before it is complete: types contain themselves (Extension, Reference.identifier.assigner).
            plan = self._plans[scope] = Plan()
            for key, field in self.source.children(scope.owner, scope.below).items():
                plan.steps[key] = self._element(scope, field)
        return plan

    # -- elements ----------------------------------------------------------------------------------------------------

    def _element(self, scope: Scope, field: Field) -> Step:
        name = field.element.rpartition(".")[2]
        prefix = f"{scope.path}." if scope.path else ""
        path = prefix + name
        rows = self.tables.table(scope.table).rows
        name = prefix + field.key if prefix + field.key in rows else path
        found = rows.get(name)
        if found:
            self._used.add((scope.table, name))
            return _together([self._row(scope, path, field, row) for row in found])
        return self._unmentioned(scope, path, field)

    def _row(self, scope: Scope, path: str, field: Field, row: Row) -> Step:
        if "lost" in row:
            return _lost(row["lost"])
        if "extension" in row:
            return self.keep(scope, path, field, row["extension"])
        if "to" not in row:
            return decisions.named(row["via"])(Kit(self, scope, path, field))
        step = self.move(scope, path, field, row)
        if step is None and row["from"].endswith("[x]"):
            return self.keep(scope, path, field)  # R4's choice has fewer types
        if step is None:
            raise ConfigError("to", f"{scope.table}.{path} does not fit {row['to']}")
        return step

    def _unmentioned(self, scope: Scope, path: str, field: Field) -> Step:
        lowered = field.key == "modifierExtension"
        if not scope.clear and not (scope.merged and field.key == "id"):
            base = scope.bases[-1]
            name = path.rpartition(".")[2]
            to = f"{base}.{name}" if base else name
            step = self.move(scope, path, field, {"to": to}, told=False)
            if step is not None:
                return step
        if lowered:
            return self._lift()
        if self.tables.table(scope.table).below(path):
            below = replace(self._inside(scope, path, field), clear=True)
            return _descend(self.object(below))
        return self.keep(scope, path, field)

    def _inside(self, scope: Scope, path: str, field: Field) -> Scope:
        if field.type:
            return replace(scope, owner=field.type, below="", path=path, clear=False, merged=False)
        # An element that refers to another (item.item) follows the rows of that one.
        path = field.below if field.owner == scope.table else path
        return replace(scope, owner=field.owner, below=field.below, path=path, clear=False, merged=False)

    # -- moves -------------------------------------------------------------------------------------------------------

    def move(self, scope: Scope, path: str, field: Field, row: Row, *, told: bool = True) -> Step | None:
        """Return the step that moves an element, None when it does not fit. `told` says that a row demands it."""
        to: str = row["to"]
        if to in scope.bases:
            return self._merge(scope, path, field, to)
        base, chain = self._chain(scope, to, field)
        if base is None or not chain:
            return None
        final = chain[-1]
        convert = self._convert(scope, path, field, f"{base}.{_joined(chain)}" if base else _joined(chain), final, row)
        if convert is None and told:
            convert = coercions.forced(self, field, final, row)
        if convert is None:
            return None
        spill = self.keep(scope, path, field)
        if final.type == "Reference" and final.targets:
            convert = names.bound(convert, final.targets)
        if len(chain) == 1 and base == scope.bases[-1]:
            return _move(final, convert, spill)
        return _move_far(base, tuple(chain), convert, spill)

    def _chain(self, scope: Scope, to: str, field: Field) -> tuple[str | None, list[Field]]:
        """Return the deepest open place that leads to a path, and the fields from there."""
        base = max((it for it in scope.bases if not it or to.startswith(f"{it}.")), key=len, default=None)
        if base is None:
            return None, []
        type_, below = self._shape(scope.root, base)
        chain: list[Field] = []
        for part in (to[len(base) + 1 :] if base else to).split("."):
            found = self._find(type_, below, part, field)
            if found is None:
                return None, []
            chain.append(found)
            type_, below = (found.type, "") if found.type else (found.owner, found.below)
        return base, chain

    def _shape(self, root: str, path: str) -> tuple[str, str]:
        type_, below = root, ""
        for part in path.split(".") if path else ():
            found = self.target.children(type_, below)[part]
            type_, below = (found.type, "") if found.type else (found.owner, found.below)
        return type_, below

    def _find(self, type_: str, below: str, part: str, field: Field) -> Field | None:
        """Find a key; of a choice (`value[x]`) the one whose type is that of the source."""
        if not self.target.knows(type_):
            return None
        children = self.target.children(type_, below)
        stem = part.removesuffix("[x]")
        exact = children.get(part) or children.get(field.key if part.endswith("[x]") else "")
        if exact is not None:
            return exact
        for kind in (field.type, *coercions.WIDER.get(field.type, ())):
            if kind and (found := children.get(f"{stem}{kind[0].upper()}{kind[1:]}")) is not None:
                return found
        return children.get(stem)

    def _merge(self, scope: Scope, path: str, field: Field, to: str) -> Step:
        """Write an element into the object that is open, instead of below it."""
        if field.type:
            plan = self.type(field.type, self._shape(scope.root, to)[0])
            return _merged(plan, to, alone=True)
        inside = self._inside(scope, path, field)
        cut = scope.bases[: scope.bases.index(to) + 1]
        return _merged(self.object(replace(inside, bases=cut, merged=True)), to, alone=False)

    def _convert(self, scope: Scope, path: str, field: Field, to: str, final: Field, row: Row) -> Convert | None:
        if "via" in row:
            return coercions.named(row["via"])(self, field, final)
        if field.type == "Resource":
            return self._resource if final.type == "Resource" else None
        if not field.type or (self.tables.table(scope.table).below(path) and not final.primitive):
            if final.primitive or (field.type and final.type not in ("", field.type)):
                return None
            inside = self._inside(scope, path, field)
            if final.type and not self.tables.table(scope.table).below(path):
                return None
            # An element of R4 that refers to another (item.item) is where that one is: plans end.
            base = final.below if not final.type and final.owner == scope.root else to
            bases = scope.bases[: scope.bases.index(base)] if base in scope.bases else scope.bases
            return _nested(self.object(replace(inside, bases=(*bases, base))), final, base)
        if field.primitive:
            url = extensions.url(self.number, scope.table, path)
            return coercions.primitive(self, field, final, self.codes(row), url, row.get("system"))
        kinds = self.source.lineage(field.type)
        if field.type == final.type or (final.type in QUANTITIES and "Quantity" in kinds):
            name = field.type if field.type == final.type else "Quantity"
            return self.complex(name, final)
        return coercions.implied(self, field, final)

    def complex(self, name: str, final: Field) -> Convert:
        """Return the conversion of a type into a field of R4."""
        return _nested(self.type(name, final.type), final, "")

    def codes(self, row: Row) -> Mapping[str, str]:
        """Return the code table of a row: its own, or a shared one by its name."""
        told = row.get("codes", {})
        if isinstance(told, str):
            if told not in self.tables.codes:
                raise ConfigError("codes", f"there is no code table {told}")
            return self.tables.codes[told]
        codes: Mapping[str, str] = told
        return codes

    # -- what has no place in R4 -------------------------------------------------------------------------------------

    def keep(self, scope: Scope, path: str, field: Field, url: str | None = None) -> Step:
        """Return the step that keeps an element as an extension."""
        return extensions.keeper(self, field, url or extensions.url(self.number, scope.table, path))

    def _lift(self) -> Step:
        """Keep a modifier extension on the nearest element of R4 that can have one: it must not be overlooked."""

        def lift(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            spot: Place | None = place
            while spot is not None and "modifierExtension" not in self.target.children(spot.type, spot.below):
                spot = spot.parent
            if spot is None:
                job.lose(source, "R4 has no modifier extensions here", Severity.ERROR)
                return
            field = self.target.children(spot.type, spot.below)["modifierExtension"]
            convert = self.complex("Extension", field)
            for value, _, path in items(held, twins, source):
                at = spot.at(field)
                job.notes.append(Note(at, "a modifier extension now applies to more than it did", Severity.WARNING))
                spot.put(field, convert(value, None, at, spot, job, path)[0])

        return lift

    # -- resources ---------------------------------------------------------------------------------------------------

    def _resource(
        self, value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        return self.resource(value, at, place, job, source), None

    def resource(self, value: Any, at: str, parent: Place | None, job: Job, source: str) -> Json | None:
        """Return a resource in R4, None for what is no resource of the version (recorded as a loss)."""
        kind = value.get("resourceType") if type(value) is dict else None
        plan = self.resources.get(kind) if type(kind) is str else None
        if plan is None:
            job.lose(source, "is no resource of this version", Severity.ERROR)
            return None
        home = self.homes[kind]
        place = Place({"resourceType": home}, home, "", "", at, parent)
        job.places.append(place)
        if home == "Basic" and kind != "Basic":
            system = f"http://hl7.org/fhir/{self.number}/resource-types"
            place.target["code"] = {"coding": [{"system": system, "code": kind}]}
            job.notes.append(Note(at, f"R4 has no {kind}; its elements are extensions", Severity.WARNING))
        outer, job.later = job.later, []
        plan.run(value, place, job, source)
        for settle in job.later:
            settle()
        job.later = outer
        for default in self.tables.table(kind).defaults:
            field = self.target.children(home, "").get(default["to"])
            if field is not None and not place.taken(field):
                job.notes.append(Note(place.at(field), default["why"]))
                place.put(field, default["value"])
        return place.target


@dataclass(frozen=True, slots=True)
class Kit:
    """What a decision is made with: steps for the element that its row is about, and for what is inside it."""

    compiler: Compiler
    scope: Scope
    path: str
    field: Field

    def part(self, name: str) -> Field:
        """Return the definition of something inside the element."""
        field = self.field
        for step in name.split("."):
            inside = (field.type, "") if field.type else (field.owner, field.below)
            field = self.compiler.source.children(*inside)[step]
        return field

    def mover(self, to: str, part: str = "", **row: Any) -> Step:
        """Return the step that moves the element, or a part of it, to a path of R4."""
        field, path = (self.part(part), f"{self.path}.{part}") if part else (self.field, self.path)
        step = self.compiler.move(self.scope, path, field, {"to": to, **row})
        if step is None:
            raise ConfigError("via", f"{self.scope.table}.{path} does not fit {to}")
        return step

    def keeper(self, part: str = "", url: str | None = None) -> Step:
        """Return the step that keeps the element, or a part of it, as an extension."""
        field, path = (self.part(part), f"{self.path}.{part}") if part else (self.field, self.path)
        return self.compiler.keep(self.scope, path, field, url)


# -- steps -----------------------------------------------------------------------------------------------------------


def _joined(chain: list[Field]) -> str:
    return ".".join(field.key for field in chain)


def _together(steps: list[Step]) -> Step:
    if len(steps) == 1:
        return steps[0]

    def all_of_them(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for step in steps:
            step(held, twins, place, job, source)

    return all_of_them


def _lost(reason: str) -> Step:
    def lose(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        job.lose(source, reason, Severity.INFORMATION)

    return lose


def _move(final: Field, convert: Convert, spill: Step) -> Step:
    if not final.many:

        def move_one(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            for value, twin, path in items(held, twins, source):
                if place.taken(final) and final.key not in place.opened:
                    spill(value, twin, place, job, path)
                else:
                    made, made_twin = convert(value, twin, place.at(final), place, job, path)
                    if made is NotImplemented:
                        spill(value, twin, place, job, path)
                    else:
                        place.put(final, made, made_twin)

        return move_one

    def move(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, twin, path in items(held, twins, source):
            made, made_twin = convert(value, twin, place.at(final), place, job, path)
            if made is NotImplemented:
                spill(value, twin, place, job, path)
            elif made is not None or made_twin:
                place.put(final, made, made_twin)

    return move


def _move_far(base: str, chain: tuple[Field, ...], convert: Convert, spill: Step) -> Step:
    final = chain[-1]

    def move_far(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, twin, path in items(held, twins, source):
            spot = _reached(climb(place, base), chain, job)
            if spot.taken(final) and final.key not in spot.opened:
                spill(value, twin, place, job, path)
                continue
            made, made_twin = convert(value, twin, spot.at(final), spot, job, path)
            if made is NotImplemented:
                spill(value, twin, place, job, path)
            elif made is not None or made_twin:
                spot.put(final, made, made_twin)

    return move_far


def _reached(place: Place, chain: tuple[Field, ...], job: Job) -> Place:
    """Return the place at the end of a chain; when its element has a value, that of a new item of a list before it."""
    final = chain[-1]
    spot, last = place, None
    for field in chain[:-1]:
        if field.many:
            last = (spot, field)
        spot = opened(spot, field, job)
    if last is None or not spot.taken(final) or final.key in spot.opened:
        return spot
    last[0].opened.pop(last[1].key, None)
    return _reached(place, chain, job)


def climb(place: Place, base: str) -> Place:
    """Return the open place with a path."""
    while place.base != base and place.parent is not None:
        place = place.parent
    return place


def opened(place: Place, field: Field, job: Job) -> Place:
    """Return the object that rules have opened in a place, opening it when it is the first time."""
    known = place.opened.get(field.key)
    if known is None:
        base = f"{place.base}.{field.key}" if place.base else field.key
        held = place.target.get(field.key)
        path = f"{place.path}.{field.key}" if place.path else field.key
        if held is not None and not field.many:
            known = place.inner(field, base, path)
            known.target = held
        else:
            known = place.inner(field, base, place.at(field))
            place.put(field, known.target)
        place.opened[field.key] = known
        job.places.append(known)
    return known


def _nested(plan: Plan, final: Field, base: str) -> Convert:
    def nested(
        value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        known = place.opened.get(final.key) if not final.many else None
        if known is not None:
            plan.run(value, Place(known.target, known.type, known.below, base, known.path, place), job, source)
            return known.target, None
        inner = place.inner(final, base, at)
        plan.run(value, inner, job, source)
        if not inner.target:
            return None, None
        job.places.append(inner)
        return inner.target, None

    return nested


def _descend(plan: Plan) -> Step:
    def descend(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, twins, source):
            plan.run(value, place, job, path)

    return descend


def _merged(plan: Plan, base: str, *, alone: bool) -> Step:
    """`alone`: the plan is that of a type, whose own paths start at the place."""

    def merged(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, twins, source):
            spot = climb(place, base)
            if alone:
                spot = Place(spot.target, spot.type, spot.below, "", spot.path, spot.parent)
            plan.run(value, spot, job, path)

    return merged


Factory = Callable[[Compiler, Field, Field], Convert]
