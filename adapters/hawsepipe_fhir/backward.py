"""R4 as STU3: for those who read nothing newer. Pure.

The rules are those of the way forward (`tables`), turned round where they say the same both ways: a plain move, a table
of codes that is one to one, a name of a code system. Whatever else STU3 has no element for, or only one of another
type, is an extension that names the element of R4, and R4 again on the way back (`restoration`). docs/fhir-versions.md
has the table of what does not survive.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from hawsepipe import ConfigError, MessageError, Resource
from hawsepipe_fhir import definitions, tables
from hawsepipe_fhir.bench import Convert, Job, Json, Place, Step, leaves
from hawsepipe_fhir.compiler import Compiler
from hawsepipe_fhir.conversion import Conversion
from hawsepipe_fhir.definitions import QUANTITIES, Definitions, Field
from hawsepipe_fhir.names import Names
from hawsepipe_fhir.scope import Scope
from hawsepipe_fhir.spellings import FHIR, TERMINOLOGY
from hawsepipe_fhir.tables import Row, Table, Tables

NUMBER: Final = "4.0"
_SAME: Final = frozenset({"reference", "narrative"})
"""Named conversions that are the same both ways."""
_TEXTS: Final = frozenset({"uri", "url", "canonical", "oid", "uuid", "string", "markdown", "id"})
_FIRST: Final = {"ServiceRequest": "ProcedureRequest", "Basic": "Basic"}
"""Of two types of STU3 that are one in R4, the one to go back to."""
_TURNS: Final = "doNotPerform"
_STEP: Final = re.compile(r"([A-Za-z]+)|\[([0-9]+)\]")


class _Backward(Compiler):
    """Compiles the rules that are turned round. What does not fit exactly is kept as an extension."""

    def _row(self, scope: Scope, path: str, field: Field, row: Row) -> Step:
        try:
            return super()._row(scope, path, field, row)
        except ConfigError:
            return self.keep(scope, path, field)

    def _unmentioned(self, scope: Scope, path: str, field: Field) -> Step:
        step = super()._unmentioned(scope, path, field)
        if not field.many or not self.tables.table(scope.table).below(path):
            return step
        keep = self.keep(scope, path, field)

        def each(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            # What belongs together in one of several (a dose and its rate) must not meet what belongs to another.
            several = type(held) is list and len(held) > 1 and self._flat(scope, field)
            (keep if several else step)(held, twins, place, job, source)

        return each

    def _flat(self, scope: Scope, field: Field) -> bool:
        """Say whether the older version has no element for an object here, only for what is inside it."""
        base = scope.bases[-1]
        type_, below = self._shape(scope.root, base)
        return field.key not in self.target.children(type_, below)

    def _convert(
        self, scope: Scope, path: str, field: Field, to: tuple[str, str], final: Field, row: Row
    ) -> Convert | None:
        if row.get("via") == "system":
            return self._system
        convert = super()._convert(scope, path, field, to, final, row) if _fits(field, final) else None
        return _faithful(convert, row["codes"], row["forward"]) if convert is not None and "forward" in row else convert

    def move(self, scope: Scope, path: str, field: Field, row: Row, *, told: bool = True) -> Step | None:
        # A Basic has elements of its own, which mean nothing of what it stands for.
        if scope.root == "Basic" and scope.table != "Basic" and field.owner == scope.table:
            return None
        # A row that only names its target would have the value bent to fit; here it is kept as it is.
        if told and "via" not in row and not self._exact(scope, row["to"], field):
            return None
        return super().move(scope, path, field, row, told=told)

    def _exact(self, scope: Scope, to: str, field: Field) -> bool:
        place = scope.place(to)
        if place in scope.bases:
            return False
        _, chain = self._chain(scope, place, field)
        return bool(chain) and len(chain) == 1 + to.count(".") - _depth(scope, place) and _fits(field, chain[-1])

    def _system(self, value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> Any:
        """The URI of a code system by the name that it has in STU3, if that leads back to the same one."""
        if type(value) is not str:
            return value, twin
        old = self.tables.codes["code-systems"].get(value, value)
        for edition in ("v2", "v3"):
            if value.startswith(f"{TERMINOLOGY}{edition}-") and "/" not in value.removeprefix(TERMINOLOGY):
                old = f"{FHIR}{edition}/{value.removeprefix(f'{TERMINOLOGY}{edition}-')}"
        job.moved(source, at, exact=old == value)
        return old, self._twin(twin, at, place, job, source)

    def _twin(self, twin: Json | None, at: str, place: Place, job: Job, source: str) -> Json | None:
        if not twin:
            return None
        inner = Place({}, "Element", "", "", at, place)
        self.element.run(twin, inner, job, source)
        return inner.target or None


def _faithful(convert: Convert, codes: Mapping[str, str], forward: Mapping[str, str]) -> Convert:
    """Refuse codes that the way forward would make others of: R4 has them, and means something else."""

    def faithful(
        value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        if type(value) is str and forward.get(codes.get(value, value), codes.get(value, value)) != value:
            return NotImplemented, None
        return convert(value, twin, at, place, job, source)

    return faithful


def _depth(scope: Scope, place: str) -> int:
    """Return how many steps of a place are open already."""
    return max((it.count(".") + 1 for it in scope.bases if it and place.startswith(f"{it}.")), default=0)


def _fits(field: Field, final: Field) -> bool:
    if field.element.endswith("[x]"):
        return field.type == final.type
    if field.primitive or final.primitive:
        return field.type == final.type or (field.type in _TEXTS and final.type in _TEXTS)
    return field.type == final.type or (field.type in QUANTITIES and final.type in QUANTITIES)


class Backward:
    """The rules for one older version."""

    def __init__(self, version: str) -> None:
        """Compile. Raises KeyError for a version that has no tables."""
        source, target = definitions.r4(), definitions.source(version)
        self._compiler = _Backward(turned(tables.shipped(version), source, target), source, target, NUMBER)
        # A reference to what becomes a Basic stays: nothing would say on the way back what it was.
        homes = self._compiler.homes
        self._names = Names({type_: home for type_, home in homes.items() if home != "Basic"})

    def convert(self, resource: Resource) -> Conversion:
        """Convert one R4 resource. Raises MessageError for what is none, and for what would turn its meaning.

        An order that says `doNotPerform` has no other form in a version without that element: it would be carried out.
        The provisions of a consent are exceptions of another kind in STU3.
        """
        refused = next(_consents(resource, ""), None)
        if refused is not None:
            raise MessageError("mapping", refused, "a consent is not written in STU3, where it would permit more")
        job = Job(self._names.renaming(resource))
        made = self._compiler.resource(resource, "", None, job, "")
        if made is None:
            raise MessageError("structure", "resourceType", "is no resource type of R4")
        turning = {path for path in leaves(resource, "") if path.rpartition(".")[2] == _TURNS and _true(resource, path)}
        for move in job.moves:
            if move.source in turning and move.target.endswith(".valueBoolean"):
                raise MessageError("mapping", move.source, "this version cannot say that something is not to be done")
        moved = {move.source for move in job.moves}
        told = [loss.source for loss in job.losses]
        for leaf in leaves(resource, ""):
            if leaf not in moved and not any(leaf == it or leaf.startswith((f"{it}.", f"{it}[")) for it in told):
                job.lose(leaf, "this version has no place for it")
        return Conversion(made, tuple(job.moves), tuple(job.losses), tuple(job.notes))


def _consents(value: Any, path: str) -> Iterator[str]:
    if type(value) is dict:
        if value.get("resourceType") == "Consent":
            yield path or "Consent"
        for key, held in value.items():
            yield from _consents(held, f"{path}.{key}" if path else key)
    elif type(value) is list:
        for index, item in enumerate(value):
            yield from _consents(item, f"{path}[{index}]")


def _true(value: Any, path: str) -> bool:
    for name, index in _STEP.findall(path):
        value = value[name] if name else value[int(index)]
    return value is True


def turned(forward: Tables, source: Definitions, target: Definitions) -> Tables:
    """Return the tables of the way back: `source` is R4, `target` the older version."""
    found: dict[str, Table] = {}
    for old in target.rows:
        table = forward.table(old)
        if source.knows(table.to) and (table.to not in found or _FIRST.get(table.to, table.to) == old):
            rows = dict(_rows(table, source))
            found[table.to] = Table(table.to, old, rows)
    systems = forward.codes["code-systems"]
    back = {new: old for old, new in systems.items() if old.startswith(FHIR) and new != old}
    return Tables("r4", found, {"code-systems": back})


def _rows(table: Table, source: Definitions) -> Iterator[tuple[str, tuple[Mapping[str, Any], ...]]]:
    plain = [row for rows in table.rows.values() for row in rows]
    back = [row for row in map(_turned, plain) if row is not None]
    counts = Counter(row["from"] for row in back)
    # Rows are found by the path that an element refers to: inside one that several refer to they would be about all.
    shared = tuple(f"{kind[1:]}." for row in source.rows[table.to][1].values() for kind in row.types if kind[:1] == "@")
    known = {
        row["from"]: row
        for row in back
        if counts[row["from"]] == 1 and not row["from"].startswith(shared) and _has(source, table.to, row["from"])
    }
    # A name that means something else in the older version must not be taken for the same.
    for name in table.rows:
        if name not in known and _has(source, table.to, name):
            url = f"http://hl7.org/fhir/{NUMBER}/StructureDefinition/extension-{table.to}.{name.replace('[x]', '')}"
            known[name] = {"from": name, "extension": url}
    for name, row in known.items():
        yield name, (row,)


def _turned(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a row the other way round, None for one that says something in one direction alone."""
    if row.get("via") == "context":
        return {"from": "encounter", "to": row["from"]}
    if "via" in row and row["via"] in (*_SAME, "system") and row["from"] == row.get("to"):
        return row
    if "to" not in row or set(row) - {"from", "to", "why", "codes"}:
        return None
    codes = (
        {"request-status": _REQUEST, "event-status": _EVENT}.get(row["codes"], {})
        if isinstance(row.get("codes"), str)
        else {new: old for old, new in row.get("codes", {}).items()}
    )
    if isinstance(row.get("codes"), Mapping) and len(codes) != len(row["codes"]):
        return None
    turned_: dict[str, Any] = {"from": row["to"], "to": row["from"]}
    return turned_ | ({"codes": codes, "forward": {old: new for new, old in codes.items()}} if codes else {})


_REQUEST: Final = {"on-hold": "suspended", "revoked": "cancelled"}
_EVENT: Final = {"on-hold": "suspended", "stopped": "aborted"}


def _has(source: Definitions, type_: str, path: str) -> bool:
    below, owner = "", type_
    for part in path.split("."):
        children = source.children(owner, below)
        field = children.get(part) or next((it for it in children.values() if it.element.endswith(part)), None)
        if field is None:
            return False
        owner, below = (field.type, "") if field.type else (field.owner, field.below)
        if not source.knows(owner):
            return part == path.rpartition(".")[2]
    return True


@cache
def backward(version: str) -> Backward:
    """Return the converter to an older version (`stu3`), compiled once."""
    return Backward(version)
