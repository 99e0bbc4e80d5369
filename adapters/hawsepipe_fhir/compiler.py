"""Rule tables and definitions compiled once into closures: a plan for each type of a version.

A row is `from` (a path in the source type), `to` (a path in the R4 type), `via` (a named function), or says that the
element is an extension or has no place. An element without a row keeps its name where R4 has it with a fitting type;
else it becomes an extension. Nothing in a table is an expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hawsepipe import ConfigError, Severity
from hawsepipe_fhir import coercions, decisions, extensions, names, primitives
from hawsepipe_fhir.bench import Convert, Job, Json, Note, Place, Step, items
from hawsepipe_fhir.completion import Fixed
from hawsepipe_fhir.definitions import QUANTITIES, Definitions, Field
from hawsepipe_fhir.kit import Kit
from hawsepipe_fhir.scope import Scope
from hawsepipe_fhir.steps import Plan, descended, joined, lost, merged, moved, moved_far, nested, together
from hawsepipe_fhir.tables import Row, Tables


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
        self.fixed = self._fixed()
        self.homes = {type_: self._home(type_) for type_ in source.rows if source.resource(type_)}
        self.element = self.type("Element", "Element")
        self.resources = {type_: self.type(type_, home) for type_, home in self.homes.items()}

    def _fixed(self) -> Fixed:
        """Return the defaults of elements inside others, by the place that they are in."""
        found: dict[tuple[str, str], list[tuple[Field, Row]]] = {}
        for table in self.tables.types.values():
            for default in table.defaults:
                below, _, key = default["to"].rpartition(".")
                if below:
                    field = self.target.children(table.to, below)[key]
                    found.setdefault((table.to, below), []).append((field, default))
        return found

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
            return together([self._row(scope, path, field, row) for row in found])
        return self._unmentioned(scope, path, field)

    def _row(self, scope: Scope, path: str, field: Field, row: Row) -> Step:
        if "lost" in row:
            return lost(row["lost"])
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
            return descended(self.object(below))
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
        to: str = scope.place(row["to"]) if told else row["to"]
        written = row["to"] if told else scope.spelling(to)
        if to in scope.bases and told:
            return self._merge(scope, path, field, to)
        base, chain = self._chain(scope, to, field)
        if base is None or not chain:
            return None
        final = chain[-1]
        found = f"{base}.{joined(chain)}" if base else joined(chain)
        convert = self._convert(scope, path, field, (found, written), final, row)
        if convert is None and told:
            convert = coercions.forced(self, field, final, row)
        if convert is None:
            return None
        spill = self.keep(scope, path, field)
        if final.type == "Reference" and final.targets:
            convert = names.bound(convert, final.targets)
        if final.primitive and final.type != field.type:
            convert = primitives.narrowed(convert, final)
        if final.type == field.type == "CodeableConcept" and final.codes:
            convert = primitives.known(convert, final.codes)
        if len(chain) == 1 and base == scope.bases[-1]:
            return moved(final, convert, spill)
        return moved_far(base, tuple(chain), convert, spill)

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
        for kind in (field.type, *primitives.WIDER.get(field.type, ())):
            if kind and (found := children.get(f"{stem}{kind[0].upper()}{kind[1:]}")) is not None:
                return found
        return children.get(stem)

    def _merge(self, scope: Scope, path: str, field: Field, to: str) -> Step:
        """Write an element into the object that is open, instead of below it."""
        if field.type and not self.tables.table(scope.table).below(path):
            plan = self.type(field.type, self._shape(scope.root, to)[0])
            return merged(plan, to, alone=True)
        inside = self._inside(scope, path, field)
        cut = scope.bases[: scope.bases.index(to) + 1]
        return merged(self.object(replace(inside, bases=cut, merged=True)), to, alone=False)

    def _convert(
        self, scope: Scope, path: str, field: Field, to: tuple[str, str], final: Field, row: Row
    ) -> Convert | None:
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
            base = final.below if not final.type and final.owner == scope.root else to[0]
            return nested(self.object(inside.into(inside.path, to[1], base)), final, base)
        if field.primitive:
            url = extensions.url(self.number, scope.table, path)
            return primitives.primitive(self, field, final, self.codes(row), url, row.get("system"))
        kinds = self.source.lineage(field.type)
        if field.type == final.type or (final.type in QUANTITIES and "Quantity" in kinds):
            name = field.type if field.type == final.type else "Quantity"
            return self.complex(name, final)
        return coercions.implied(self, field, final)

    def complex(self, name: str, final: Field) -> Convert:
        """Return the conversion of a type into a field of R4."""
        return nested(self.type(name, final.type), final, "")

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
        told = extensions.named(self, field, path)
        return extensions.keeper(self, field, url or extensions.url(self.number, scope.table, told))

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
        told = value.get("resourceType") if type(value) is dict else None
        kind = told if type(told) is str else ""
        plan = self.resources.get(kind)
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
