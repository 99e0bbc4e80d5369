"""Mapping tables compiled once into closures over segment, field and component positions.

A row is `from`, `to`, `via`, perhaps `when`. A row with `to` moves: `via` names a converter (a primitive, a
datatype table, a function). A row without `to` decides: `via` names a function that writes by itself. Nothing in a
table is an expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from hawsepipe import ConfigError, Method
from hawsepipe_hl7v2 import amounts, authorities, datatypes, leftovers, patients, people, performers, places, primitives
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft
from hawsepipe_hl7v2.composites import Fill, Part, column, filler
from hawsepipe_hl7v2.decisions import CONVERTERS, DECISIONS, IDENTITIES, PREDICATES
from hawsepipe_hl7v2.extensions import PREFIX, SUFFIXES, extension
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.paths import place
from hawsepipe_hl7v2.plan import Run, SegmentPlan, Selected, Target

_FROM = re.compile(r"[A-Z][A-Z0-9]{2}-([0-9]+)(?:\.([0-9]+))?")
_FUNCTIONS: dict[str, Convert] = {
    **primitives.PRIMITIVES,
    **datatypes.DATATYPES,
    **people.PEOPLE,
    **places.PLACES,
    **amounts.AMOUNTS,
    **CONVERTERS,
}
_FACTORIES: dict[str, Callable[[str], Convert]] = dict(primitives.PARAMETERS)
_FACTORIES |= datatypes.PARAMETERS | people.PARAMETERS | places.PARAMETERS | performers.PARAMETERS
_FACTORIES |= patients.PARAMETERS
_PART = re.compile(r"(extension\[\w[^\]]*\])\.\w[\w.\[\]]*|([a-z]\w*)\.([a-z]\w*)(?:\[\])?")
"""Paths of a part that can go alone: an extension of one url, a part of an object."""
_WHOLE = frozenset({"string"})
T = TypeVar("T")


class Compiler:
    """Compiles the tables of one translator. Raises ConfigError for a name that nothing answers to."""

    def __init__(self, types: Mapping[str, Any], codes: Mapping[str, Any]) -> None:
        self._codes = codes
        self._types = types
        self.fills: dict[str, Fill] = {**datatypes.FILLS, **amounts.FILLS}
        for name in types:
            self._fill(name)

    def segment(self, table: Mapping[str, Any]) -> SegmentPlan:
        """Compile the table of one segment."""
        ignored = {0, *_ignored(table)}
        covered = [
            _ignored(target) | {position[0] for row in target["rows"] for position in _positions(row)}
            for target in table["targets"]
        ]
        rows = [[(_needed(row), self._row(row)) for row in target["rows"]] for target in table["targets"]]
        return SegmentPlan(
            tuple(self._target(target) for target in table["targets"]),
            max(ignored.union(*covered)) + 1,
            _selector(rows),
            _remainder(ignored, covered),
        )

    def row(self, row: Mapping[str, Any]) -> Run:
        """Compile one row. Raises ConfigError for a name that nothing answers to."""
        return self._row(row)

    def _target(self, target: Mapping[str, Any]) -> Target:
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
            links=tuple(
                (place(link["to"]), link["role"], link.get("required", False)) for link in target.get("links", ())
            ),
            defaults=tuple((row["to"], self._convert(row["via"]), row["why"]) for row in target.get("defaults", ())),
            late=target.get("late", False),
            always=not any(target.get(name) for name in ("messages", "after", "when", "late")),
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
        many = "[]" in path
        clears = component is None and not row.get("part", False)
        parted = _PART.fullmatch(path)
        gone = parted[1] or f"{parted[2]}.{parted[3]}" if parted else element if clears else ""
        named = row["via"].partition("/")[0].removeprefix("extension:")
        if path == "extension[]" and named != row["via"]:
            gone = f"extension[{PREFIX}{named}]"
        own = row.get("own", "")
        gone = row.get("takes") or (own if "[" in own else gone)
        suffix = f"-{number}"
        tail = f".{component}" if component else ""

        def move(bench: Bench, draft: Draft, segment: Segment) -> None:
            raw = segment.fields[number]
            if component is not None or raw == DELETE or bench.repetition in raw:
                several(bench, draft, segment, raw)
                return
            converted = convert(bench, raw, segment.label + suffix)
            if converted is not None and (written := put(draft.body, converted[0])) is not None:
                draft.trail.append((written, converted[1]))
                if own:
                    _give(bench, draft, element, own)

        def several(bench: Bench, draft: Draft, segment: Segment, raw: str) -> None:
            base = segment.label + suffix
            if raw == DELETE:
                if component is not None and row.get("part", False):
                    return  # the row of the whole field tells what becomes of the delete
                _clear(bench, draft, element, base, gone)
                return
            repetitions = raw.split(bench.repetition) if bench.repetition in raw else (raw,)
            for index, repetition in enumerate(repetitions):
                if not repetition or repetition == DELETE:
                    continue
                where = base if index == 0 else f"{base}[{index + 1}]"
                if index and not many:
                    bench.inform(where, "the target takes one repetition; this one is kept beside it")
                    leftovers.repetition(bench, draft, segment.name + suffix, repetition, where)
                    continue
                text = repetition
                if component is not None:
                    parts = repetition.split(bench.component)
                    if component > len(parts) or not parts[component - 1]:
                        continue
                    text = bench.sub(parts[component - 1])
                    where += tail
                converted = convert(bench, text, where)
                if converted is not None and (written := put(draft.body, converted[0])) is not None:
                    draft.trail.append((written, converted[1]))
                    if own:
                        _give(bench, draft, element, own)

        return move

    def _convert(self, via: str) -> Convert:
        name, _, parameter = via.partition(":")
        if name == "extension":
            named, _, inner = parameter.partition("/")
            return extension(named, self._suffix(inner or "string"), self._convert(inner or "string"))
        if parameter:
            if name in ("code", "known", "CodeableConcept", "Coding", "typed"):
                for table in parameter.split("/"):
                    if table not in self._codes:
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

    def _suffix(self, via: str) -> str:
        """Return what `value[x]` is called for what a converter gives."""
        if via in self._types:
            return str(self._types[via]["target"])
        return _named(SUFFIXES, via)

    def _fill(self, name: str) -> Fill:
        if name in self.fills:
            return self.fills[name]
        table = self._types[name]
        parts: dict[int, list[Part]] = {}
        late: list[int] = []
        for row in table["rows"]:
            number, _, sub = row["from"].partition(".")
            via = row["via"]
            whole = via.partition(":")[0] in _WHOLE
            if parts and int(number) < max(parts) and int(number) not in parts:
                # The order of the rows is that of their precedence: a row behind a later component gives way to it.
                late.append(int(number) - 1)
            part = Part(int(sub) - 1 if sub else None, row["to"], self._convert(via), whole)
            parts.setdefault(int(number), []).append(part)
        ignored = {int(entry["component"]) for entry in table.get("ignored", ())}
        width = max(parts.keys() | ignored)
        columns = [
            column(name, number, parts.get(number, ()), ignored=number in ignored) for number in range(1, width + 1)
        ]
        fill = filler(name, columns, late)
        if name in authorities.TYPED:
            fill = authorities.typed(fill, *authorities.TYPED[name])
        self.fills[name] = fill
        return fill


def _selector(rows: Sequence[Sequence[tuple[tuple[int, ...], Run]]]) -> Callable[[tuple[bool, ...]], Selected]:
    """Return a function from which fields are valued to what is to be done.

    A sender's segments are alike in that, so that a message hardly ever looks at a row that has nothing to do.
    """

    def select(valued: tuple[bool, ...]) -> Selected:
        count = len(valued)
        return Selected(
            tuple(
                tuple(
                    row
                    for needed, row in target
                    if not needed or any(number < count and valued[number] for number in needed)
                )
                for target in rows
            ),
            {},
        )

    return lru_cache(maxsize=256)(select)


def _remainder(
    ignored: Collection[int], covered: Sequence[Collection[int]]
) -> Callable[[tuple[bool, ...], int], tuple[int, ...]]:
    """Return a function from which fields are valued, and which targets applied (by bit), to the fields nobody read."""

    def remainder(valued: tuple[bool, ...], applied: int) -> tuple[int, ...]:
        read = set(ignored).union(*(fields for index, fields in enumerate(covered) if applied >> index & 1))
        return tuple(number for number in range(len(valued)) if valued[number] and number not in read)

    return remainder


def _ignored(table: Mapping[str, Any]) -> set[int]:
    return {entry["field"] for entry in table.get("ignored", ())}


def _give(bench: Bench, draft: Draft, element: str, own: str) -> None:
    """Let what a field told before give way to what it tells now; what other fields tell of the element stays."""
    if bench.event.snapshot and draft.method is Method.MERGE and "*" not in draft.keep:
        draft.replace(element, own)


def _clear(bench: Bench, draft: Draft, element: str, where: str, gone: str) -> None:
    """Take a delete: what `gone` names goes (an element, a part of an object, an extension of one url); without it the
    field is one of several sources of a list, and nothing says which items came from it."""
    if draft.method is not Method.MERGE or not bench.event.snapshot:
        bench.inform(where, "a delete in a message that does not speak for this resource; nothing is deleted")
    elif not gone or gone in ("extension", "identifier"):
        bench.warn("mapping", where, f"a delete of a part of {element} cannot be applied")
    else:
        draft.cleared.add(gone)


def _positions(row: Mapping[str, Any]) -> list[tuple[int, int | None]]:
    sources: Iterable[str] = [row["from"]] if isinstance(row.get("from"), str) else row.get("from", ())
    found = []
    for source in sources:
        match = _FROM.fullmatch(source)
        if match is None:
            raise ConfigError("from", f"{source} is not a field")
        found.append((int(match[1]), int(match[2]) if match[2] else None))
    return found


def _needed(row: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the fields of which one must be valued for a row to do anything; none for a constant, and for a decision
    that does not say `valued`."""
    moves = "to" in row or row.get("valued", False)
    return tuple(number for number, _ in _positions(row)) if moves else ()


def _named(registry: Mapping[str, T], name: str) -> T:
    try:
        return registry[name]
    except KeyError as error:
        raise ConfigError("via", f"nothing is called {name}") from error
