"""Conditions of a search as SQL: clauses, those that need a look at the content, chains and reverse chains.

A hop asks of what it leads to what a search of that type asks: that it is there, and visible. In a subquery `r` is the
resource that the hop leads to; it hides the outer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from hawsepipe.fhir import content
from hawsepipe.fhir.query import Chain, Clause, Condition, Either, Kind, Modifier, Reverse
from hawsepipe.store.sql.binding import Bindings, joined
from hawsepipe.store.sql.candidates import source_of
from hawsepipe.store.sql.clauses import Predicate, predicate
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.formulas import visibility_condition
from hawsepipe.store.sql.indexing import parameter_symbol
from hawsepipe.visibility import Visibility

_NEVER: Final = Predicate("FALSE")


class Compiler:
    """Compiles the conditions of one search. `now` (microseconds) is for approximate dates; `base` is our address."""

    def __init__(self, connection: Connection, visibility: Visibility, bindings: Bindings, now: int, base: str) -> None:
        self._connection = connection
        self._visibility = visibility
        self._bindings = bindings
        self._given: list[Predicate] = []
        self._now = now
        self._base = base
        self._seen: dict[str, str | bool] = {}

    def all(self, conditions: Sequence[Condition], type_: str) -> list[Predicate]:
        """Return the conditions of a search, which hold together. Those that need a look at the content come last: they
        are asked of what the others leave.
        """
        found: dict[int, Predicate] = {}
        for place in sorted(range(len(conditions)), key=lambda place: _looks(conditions[place])):
            found[place] = self.compiled(conditions[place], type_)
            self._given = [*found.values()]
        return [found[place] for place in range(len(conditions))]

    def compiled(self, condition: Condition, type_: str) -> Predicate:
        """Return a condition of a search on a type. Raises InvalidRequest for what this store does not search by."""
        match condition:
            case Clause():
                return self._clause(condition, type_)
            case Chain():
                return self._chain(condition, type_)
            case Reverse():
                return self._reverse(condition, type_)
            case Either():
                return _either([self.compiled(part, type_) for part in condition.parts])
            case _:
                assert_never(condition)

    def _clause(self, clause: Clause, type_: str) -> Predicate:
        if not content.told_by_content(clause):
            return predicate(clause, type_, self._bindings, self._now)
        if clause.kind is Kind.COMPOSITE:
            return self._composite(clause, type_)
        test = content.test_of(type_, clause, self._base, self._now)
        if clause.modifier is not Modifier.OF_TYPE:
            return Predicate(self._look(test, type_))
        wide = predicate(content.widened(clause), type_, self._bindings, self._now)
        look = self._look(test, type_, wide)
        return Predicate(f"CASE WHEN {wide.condition} THEN {look} ELSE FALSE END", wide.drivers, wide.ordered)

    def _composite(self, clause: Clause, type_: str) -> Predicate:
        """Index rows give the candidates; which of a resource's items they are of, its content tells."""
        found = [_both([self.compiled(part, type_) for part in parts]) for parts in content.components(clause)]
        wide = _either(found)
        if content.is_whole(type_, clause.parameter):
            return wide
        look = self._look(content.test_of(type_, clause, self._base, self._now), type_, wide)
        return Predicate(f"CASE WHEN {wide.condition} THEN {look} ELSE FALSE END", wide.drivers, wide.ordered)

    def _look(self, test: content.Test, type_: str, *wide: Predicate) -> str:
        given = [*self._given, *wide]

        def candidates() -> tuple[str, str]:
            source = source_of(self._connection, given, self._bindings)
            parts = [
                f"r.type = {self._bindings.symbol(type_)}",
                f"{'r.deleted' if source.present else self._bindings.probed('r.deleted')} = 0",
                *(f"({it.condition})" for it in given),
            ]
            return source.tables, joined("AND", parts)

        return self._bindings.looked(test, candidates)

    def _chain(self, chain: Chain, type_: str) -> Predicate:
        fence, unled = self._bindings.fence, self._bindings.probed("r.type")
        parameter = self._bindings.symbol(parameter_symbol(type_, chain.parameter))
        conditions: list[str] = []
        drivers: list[str] | None = []
        for target, inner in chain.targets:
            found = self._there(target, inner)
            if found is None:
                continue
            where, entry = found
            kind = self._bindings.symbol(target)
            conditions.append(
                f"EXISTS (SELECT 1 FROM reference l WHERE l.resource = r.key AND l.parameter = {parameter}"  # noqa: S608  bound
                f" AND l.type = {kind} AND EXISTS (SELECT 1 FROM resource r WHERE r.type = {kind} AND r.id = l.value"
                f" AND {where}{fence}){fence})"
            )
            if drivers is not None and entry.drivers:
                drivers.append(
                    f"SELECT l.resource AS resource FROM ({_union(entry)}) d"  # noqa: S608  bound
                    f" CROSS JOIN resource r ON r.key = d.resource"
                    f" CROSS JOIN reference l INDEXED BY reference_value ON l.parameter = {parameter}"
                    f" AND l.value = r.id AND l.type = {kind} WHERE {unled} = {kind} AND {where}"
                )
            else:
                drivers = None
        return Predicate(joined("OR", conditions), tuple(drivers or ())) if conditions else _NEVER

    def _reverse(self, reverse: Reverse, type_: str) -> Predicate:
        found = self._there(reverse.type, reverse.condition)
        if found is None:
            return _NEVER
        where, entry = found
        fence, unled = self._bindings.fence, self._bindings.probed("r.type")
        parameter = self._bindings.symbol(parameter_symbol(reverse.type, reverse.parameter))
        kind, owner = self._bindings.symbol(type_), self._bindings.symbol(reverse.type)
        condition = (
            f"EXISTS (SELECT 1 FROM reference l INDEXED BY reference_value WHERE l.parameter = {parameter}"  # noqa: S608  bound
            f" AND l.value = r.id AND l.type = {kind}"
            f" AND EXISTS (SELECT 1 FROM resource r WHERE r.key = l.resource AND {where}{fence}){fence})"
        )
        if not entry.drivers:
            return Predicate(condition)
        driver = (
            f"SELECT t.key AS resource FROM ({_union(entry)}) d CROSS JOIN resource r ON r.key = d.resource"  # noqa: S608  bound
            f" CROSS JOIN reference l ON l.resource = r.key AND l.parameter = {parameter} AND l.type = {kind}"
            f" CROSS JOIN resource t ON t.type = {kind} AND t.id = l.value WHERE {unled} = {owner} AND {where}"
        )
        return Predicate(condition, (driver,))

    def _there(self, type_: str, condition: Condition) -> tuple[str, Predicate] | None:
        """Return when the row `r` of this type is there, visible and meets a condition; None: never."""
        seen = self.seen(type_)
        given, self._given = self._given, []
        entry = self.compiled(condition, type_)
        self._given = given
        if seen is False or entry.condition == "FALSE":
            return None
        there = f"{self._bindings.probed('r.deleted')} = 0"
        parts = [there, f"({entry.condition})", *([seen] if isinstance(seen, str) else [])]
        return joined("AND", parts), entry

    def seen(self, type_: str) -> str | bool:
        """Return when a resource of a type is visible."""
        if type_ not in self._seen:
            self._seen[type_] = visibility_condition(self._visibility, type_, self._bindings)
        return self._seen[type_]


def _looks(condition: Condition) -> bool:
    return isinstance(condition, Clause) and content.told_by_content(condition)


def _union(entry: Predicate) -> str:
    """Return the candidates of a predicate; some may come more than once."""
    return " UNION ALL ".join(entry.drivers)


def _both(parts: Sequence[Predicate]) -> Predicate:
    """Return that all parts hold; the part that is best followed gives the candidates."""
    driving = next((it for it in parts if it.ordered), next((it for it in parts if it.drivers), _NEVER))
    return Predicate(joined("AND", [f"({it.condition})" for it in parts]), driving.drivers, driving.ordered)


def _either(parts: Sequence[Predicate]) -> Predicate:
    """Return that one part holds."""
    if not parts:
        return _NEVER
    if len(parts) == 1:
        return parts[0]
    condition = joined("OR", [f"({it.condition})" for it in parts])
    if not all(it.drivers for it in parts if it.condition != "FALSE"):
        return Predicate(condition)
    return Predicate(condition, tuple(driver for it in parts for driver in it.drivers))
