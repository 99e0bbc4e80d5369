"""Mapping tables compiled once into closures over segment, field and component positions.

A row is `from`, `to`, `via`, perhaps `when`. A row with `to` moves: `via` names a converter (a primitive, a
datatype table, a function). A row without `to` decides: `via` names a function that writes by itself. Nothing in a
table is an expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hawsepipe import ConfigError, Method
from hawsepipe_hl7v2 import datatypes, people, primitives
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.decisions import DECISIONS, IDENTITIES, PREDICATES
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.paths import place
from hawsepipe_hl7v2.structure import Placed

Fill = Callable[[Bench, str, str, dict[str, Any]], list[Leaf]]
Run = Callable[[Bench, Draft, Segment], None]
When = Callable[[Bench, Segment], bool]
_FROM = re.compile(r"[A-Z][A-Z0-9]{2}-(\d+)(?:\.(\d+))?")
_FUNCTIONS: dict[str, Convert] = {**primitives.PRIMITIVES, **datatypes.DATATYPES, **people.PEOPLE}
_FACTORIES: dict[str, Callable[[str], Convert]] = dict(primitives.PARAMETERS)
_FACTORIES |= datatypes.PARAMETERS | people.PARAMETERS
_WHOLE = frozenset({"string"})
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """One resource that a segment makes or adds to."""

    type: str
    role: str
    identity: Callable[[Bench, Segment], str | None] | None
    joins: str
    method: Method
    union: tuple[str, ...]
    after: frozenset[str]
    messages: frozenset[str]
    when: When | None
    links: tuple[tuple[str, str, bool], ...]
    rows: tuple[tuple[int, Run], ...]
    defaults: tuple[tuple[str, Convert, str], ...]


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What happens to a segment: its targets, and the fields that some row reads or the table leaves out on purpose."""

    targets: tuple[Target, ...]
    covered: frozenset[int]


class Compiler:
    """Compiles the tables of one translator. Raises ConfigError for a name that nothing answers to."""

    def __init__(self, types: Mapping[str, Any], codes: Mapping[str, Any]) -> None:
        self._codes = codes
        self._types = types
        self.fills: dict[str, Fill] = dict(datatypes.FILLS)
        for name in types:
            self._fill(name)

    def segment(self, table: Mapping[str, Any]) -> SegmentPlan:
        """Compile the table of one segment."""
        covered = {entry["field"] for entry in table.get("ignored", ())}
        targets = []
        for target in table["targets"]:
            rows = target.get("rows", ())
            covered.update(position[0] for row in rows for position in _positions(row))
            targets.append(self._target(target, tuple((_single(row), self._row(row)) for row in rows)))
        return SegmentPlan(tuple(targets), frozenset(covered))

    def _target(self, target: Mapping[str, Any], rows: tuple[tuple[int, Run], ...]) -> Target:
        return Target(
            type=target["resource"],
            role=target.get("role", ""),
            identity=_named(IDENTITIES, target["identity"]) if "identity" in target else None,
            joins=target.get("joins", ""),
            method=Method(target.get("method", "put")),
            union=tuple(target.get("union", ("identifier",))),
            after=frozenset(target.get("after", ())),
            messages=frozenset(target.get("messages", ())),
            when=_named(PREDICATES, target["when"]) if "when" in target else None,
            links=tuple((link["to"], link["role"], link.get("required", False)) for link in target.get("links", ())),
            rows=rows,
            defaults=tuple((row["to"], self._convert(row["via"]), row["why"]) for row in target.get("defaults", ())),
        )

    def _row(self, row: Mapping[str, Any]) -> Run:
        when = _named(PREDICATES, row["when"]) if "when" in row else None
        if "to" not in row:
            run: Run = _named(DECISIONS, row["via"])
        else:
            run = self._move(row)
        if when is None:
            return run

        def guarded(bench: Bench, draft: Draft, segment: Segment) -> None:
            if when(bench, segment):
                run(bench, draft, segment)

        return guarded

    def _move(self, row: Mapping[str, Any]) -> Run:
        convert, path = self._convert(row["via"]), row["to"]
        put = place(path)
        element = re.split(r"[\[.]", path)[0].lstrip("_")
        if "from" not in row:

            def fixed(bench: Bench, draft: Draft, segment: Segment) -> None:
                draft.put_converted(path, convert(bench, "", segment.label))

            return fixed
        ((number, component),) = _positions(row)
        many = path.endswith("[]")
        clears = component is None and not row.get("part", False)
        suffix = f"-{number}"
        tail = f".{component}" if component else ""

        def move(bench: Bench, draft: Draft, segment: Segment) -> None:
            fields = segment.fields
            if number >= len(fields) or not (raw := fields[number]):
                return
            if raw == DELETE:
                _clear(bench, draft, element, f"{segment.label}{suffix}", whole=clears)
                return
            delimiters = segment.delimiters
            repetitions = raw.split(delimiters.repetition) if delimiters.repetition in raw else (raw,)
            base = segment.label + suffix
            for index, repetition in enumerate(repetitions):
                if not repetition or repetition == DELETE:
                    continue
                where = base if index == 0 else f"{base}[{index + 1}]"
                if index and not many:
                    bench.inform(where, "the target takes one repetition; this one is left out")
                    continue
                text = repetition
                if component is not None:
                    parts = repetition.split(delimiters.component)
                    if component > len(parts) or not parts[component - 1]:
                        continue
                    text = bench.sub(parts[component - 1])
                    where += tail
                converted = convert(bench, text, where)
                if converted is not None and (written := put(draft.body, converted[0])) is not None:
                    draft.trail += [(written + below, source) for below, source in converted[1]]

        return move

    def _convert(self, via: str) -> Convert:
        name, _, parameter = via.partition(":")
        if parameter:
            table = parameter
            if name in ("code", "known", "CodeableConcept", "Coding", "typed") and table not in self._codes:
                raise ConfigError("via", f"there is no code table {table}")
            return _named(_FACTORIES, name)(parameter)
        if via in self._types or via in self.fills:
            fill = self._fill(via)

            def convert(bench: Bench, raw: str, where: str) -> Converted | None:
                value: dict[str, Any] = {}
                leaves = fill(bench, raw, where, value)
                return (value, leaves) if value else None

            return convert
        return _named(_FUNCTIONS, via)

    def _fill(self, name: str) -> Fill:
        if name in self.fills:
            return self.fills[name]
        by_component: dict[int, list[tuple[int | None, Callable[..., Any], Convert, str, bool]]] = {}
        table = self._types[name]
        for row in table["rows"]:
            component, _, sub = row["from"].partition(".")
            via = row["via"]
            entry = (
                int(sub) - 1 if sub else None,
                place(row["to"]),
                self._convert(via),
                f".{component}",
                via.partition(":")[0] in _WHOLE,
            )
            by_component.setdefault(int(component) - 1, []).append(entry)
        ignored = frozenset(int(entry["component"]) - 1 for entry in table.get("ignored", ()))

        def fill(bench: Bench, raw: str, where: str, target: dict[str, Any]) -> list[Leaf]:
            delimiters = bench.message.delimiters
            leaves: list[Leaf] = []
            for index, part in enumerate(raw.split(delimiters.component)):
                if not part or part == DELETE:
                    continue
                rows = by_component.get(index)
                if rows is None:
                    if index not in ignored:
                        bench.inform(f"{where}.{index + 1}", "this component has no place in the target")
                    continue
                subs: list[str] | None = None
                for sub, put, convert, suffix, whole in rows:
                    source = where + suffix
                    if sub is None:
                        text = part if whole else bench.sub(part)
                    else:
                        if subs is None:
                            subs = part.split(delimiters.subcomponent)
                        if sub >= len(subs) or not subs[sub]:
                            continue
                        text = subs[sub]
                        if len(subs) > 1:
                            source += f".{sub + 1}"
                    if whole:
                        if (value := bench.text(text)) and (written := put(target, value)) is not None:
                            leaves.append((f".{written}", source))
                        continue
                    converted = convert(bench, text, source)
                    if converted is not None and (written := put(target, converted[0])) is not None:
                        leaves += [(f".{written}{below}", origin) for below, origin in converted[1]]
            return leaves

        self.fills[name] = fill
        return fill


def run(plan: SegmentPlan | None, placed: Placed, bench: Bench) -> None:
    """Run one segment through its plan and report what nothing took."""
    segment = placed.segment
    bench.group = placed.group
    if plan is None:
        bench.inform(segment.label, "this segment has no map")
        return
    taken = not plan.targets
    for target in plan.targets:
        if target.messages and bench.event.type not in target.messages:
            continue
        if target.after and placed.after not in target.after:
            continue
        if target.when is not None and not target.when(bench, segment):
            continue
        draft = _draft(target, bench, segment)
        if draft is None:
            continue
        taken = True
        fields = segment.fields
        count = len(fields)
        for number, row in target.rows:
            if not number or (number < count and fields[number]):
                row(bench, draft, segment)
    if not taken:
        bench.inform(segment.label, "nothing in this message takes this segment")
        return
    covered = plan.covered
    for number, raw in enumerate(segment.fields):
        if raw and number not in covered and number and raw != DELETE:
            bench.inform(f"{segment.label}-{number}", "this field has no map")


def _draft(target: Target, bench: Bench, segment: Segment) -> Draft | None:
    """Return the resource that a target writes to, linked to the others; None when it cannot exist here."""
    if target.joins:
        return bench.group.role(target.joins)
    links = [(path, bench.group.role(role), required) for path, role, required in target.links]
    if any(required and other is None for _, other, required in links):
        bench.warn("structure", segment.label, "the resource that this one must refer to is not in the message")
        return None
    key = target.identity(bench, segment) if target.identity is not None else None
    if key is None:
        return None
    draft = bench.draft(target.type, key, target.method, target.union)
    if target.role:
        bench.group.roles[target.role] = draft
    if not bench.event.snapshot and target.method is Method.MERGE and target.role in ("patient", "encounter"):
        # A result or a vaccination knows a patient by the way: it may add, but what an ADT wrote stays.
        draft.keep.add("*")
    for path, other, _ in links:
        if other is not None and other is not draft:
            draft.put(path, other.reference)
    defaults = bench.cache.setdefault(("defaults", draft.id), {})
    for path, convert, why in target.defaults:
        defaults.setdefault(path, (convert, why, segment.label))
    return draft


def complete(bench: Bench) -> None:
    """Give required elements that got no value their default, and report each."""
    for draft in bench.drafts.values():
        for path, (convert, why, label) in bench.cache.get(("defaults", draft.id), {}).items():
            name = path.partition("[")[0]
            if name in draft.body or f"_{name}" in draft.body:
                continue
            converted = convert(bench, "", label)
            if converted is not None:
                draft.put(path, converted[0])
                draft.keep.add(name)
                bench.inform(label, f"{draft.type}.{name}: {why}")


def _clear(bench: Bench, draft: Draft, element: str, where: str, *, whole: bool) -> None:
    """Take a delete: the element goes, unless the field is only a part of it."""
    if draft.method is not Method.MERGE or not bench.event.snapshot:
        bench.inform(where, "a delete in a message that does not speak for this resource; nothing is deleted")
    elif not whole or element in ("extension", "identifier"):
        bench.warn("mapping", where, f"a delete of a part of {element} cannot be applied")
    else:
        draft.cleared.add(element)


def _positions(row: Mapping[str, Any]) -> list[tuple[int, int | None]]:
    sources: Iterable[str] = [row["from"]] if isinstance(row.get("from"), str) else row.get("from", ())
    found = []
    for source in sources:
        match = _FROM.fullmatch(source)
        if match is None:
            raise ConfigError("from", f"{source} is not a field")
        found.append((int(match[1]), int(match[2]) if match[2] else None))
    return found


def _single(row: Mapping[str, Any]) -> int:
    """Return the field without which a row does nothing; 0 for a decision or a constant."""
    return _positions(row)[0][0] if "to" in row and "from" in row else 0


def _named(registry: Mapping[str, T], name: str) -> T:
    try:
        return registry[name]
    except KeyError as error:
        raise ConfigError("via", f"nothing is called {name}") from error
