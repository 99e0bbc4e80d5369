"""Conditions of a search as SQL: clauses, those that need a look at the content, chains and reverse chains.

A hop asks of what it leads to what a search of that type asks: that it is there, and visible. In a subquery `r` is the
resource that the hop leads to; it hides the outer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from hawsepipe.fhir import content
from hawsepipe.fhir.query import Chain, Clause, Condition, Either, Kind, Modifier, Reverse
from hawsepipe.store.sqlite import looking
from hawsepipe.store.sqlite.binding import Bindings, joined
from hawsepipe.store.sqlite.clauses import Predicate, predicate
from hawsepipe.store.sqlite.formulas import visibility_condition
from hawsepipe.store.sqlite.indexing import parameter_symbol
from hawsepipe.visibility import Visibility

_NEVER: Final = Predicate("0")


class Compiler:
    """Compiles the conditions of one search. `now` (microseconds) is for approximate dates; `base` is our address."""

    def __init__(self, visibility: Visibility, bindings: Bindings, now: int, base: str) -> None:
        self._visibility = visibility
        self._bindings = bindings
        self._now = now
        self._base = base
        self._seen: dict[str, str | bool] = {}

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
        look = looking.condition(test, self._bindings)
        if clause.modifier is not Modifier.OF_TYPE:
            return Predicate(look)
        wide = predicate(content.widened(clause), type_, self._bindings, self._now)
        return Predicate(f"CASE WHEN {wide.condition} THEN {look} ELSE 0 END", wide.drivers, wide.ordered)

    def _composite(self, clause: Clause, type_: str) -> Predicate:
        """Index rows give the candidates; which of a resource's items they are of, its content tells."""
        found = [_both([self.compiled(part, type_) for part in parts]) for parts in content.components(clause)]
        wide = _either(found)
        if content.is_whole(type_, clause.parameter):
            return wide
        look = looking.condition(content.test_of(type_, clause, self._base, self._now), self._bindings)
        return Predicate(f"CASE WHEN {wide.condition} THEN {look} ELSE 0 END", wide.drivers, wide.ordered)

    def _chain(self, chain: Chain, type_: str) -> Predicate:
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
                f" AND {where}))"
            )
            if drivers is not None and entry.drivers:
                drivers.append(
                    f"SELECT l.resource AS resource FROM ({_union(entry)}) d"  # noqa: S608  bound
                    f" CROSS JOIN resource r ON r.key = d.resource"
                    f" CROSS JOIN reference l INDEXED BY reference_value ON l.parameter = {parameter}"
                    f" AND l.value = r.id AND l.type = {kind} WHERE +r.type = {kind} AND {where}"
                )
            else:
                drivers = None
        return Predicate(joined("OR", conditions), tuple(drivers or ())) if conditions else _NEVER

    def _reverse(self, reverse: Reverse, type_: str) -> Predicate:
        found = self._there(reverse.type, reverse.condition)
        if found is None:
            return _NEVER
        where, entry = found
        parameter = self._bindings.symbol(parameter_symbol(reverse.type, reverse.parameter))
        kind, owner = self._bindings.symbol(type_), self._bindings.symbol(reverse.type)
        condition = (
            f"EXISTS (SELECT 1 FROM reference l INDEXED BY reference_value WHERE l.parameter = {parameter}"  # noqa: S608  bound
            f" AND l.value = r.id AND l.type = {kind}"
            f" AND EXISTS (SELECT 1 FROM resource r WHERE r.key = l.resource AND {where}))"
        )
        if not entry.drivers:
            return Predicate(condition)
        driver = (
            f"SELECT t.key AS resource FROM ({_union(entry)}) d CROSS JOIN resource r ON r.key = d.resource"  # noqa: S608  bound
            f" CROSS JOIN reference l ON l.resource = r.key AND l.parameter = {parameter} AND l.type = {kind}"
            f" CROSS JOIN resource t ON t.type = {kind} AND t.id = l.value WHERE +r.type = {owner} AND {where}"
        )
        return Predicate(condition, (driver,))

    def _there(self, type_: str, condition: Condition) -> tuple[str, Predicate] | None:
        """Return when the row `r` of this type is there, visible and meets a condition; None: never."""
        seen = self.seen(type_)
        entry = self.compiled(condition, type_)
        if seen is False or entry.condition == "0":
            return None
        parts = ["r.deleted = 0", f"({entry.condition})", *([seen] if isinstance(seen, str) else [])]
        return joined("AND", parts), entry

    def seen(self, type_: str) -> str | bool:
        """Return when a resource of a type is visible."""
        if type_ not in self._seen:
            self._seen[type_] = visibility_condition(self._visibility, type_, self._bindings)
        return self._seen[type_]


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
    if not all(it.drivers for it in parts if it.condition != "0"):
        return Predicate(condition)
    return Predicate(condition, tuple(driver for it in parts for driver in it.drivers))
