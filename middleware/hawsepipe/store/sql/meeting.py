"""Who it is that a message names: met by identifier, followed to whoever took the place of the one that it names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from hawsepipe.errors import IdentityConflict
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.identity import MARKS, Named, lapsed, successor
from hawsepipe.model import Resource
from hawsepipe.store.sql.indexing import parameter_symbol
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sql.sheet import Sheet

_STEPS: Final = 32
"""Successors that are followed; more are a circle."""

_HOLDERS: Final = (
    "SELECT named.key, r.id FROM json_each(?1) AS named"
    " CROSS JOIN token AS t ON t.parameter = ?2 AND t.code = named.value ->> 1"
    " AND t.system = CAST(named.value ->> 0 AS BIGINT)"
    " CROSS JOIN resource AS r ON r.key = t.resource AND r.deleted = 0"
)

Stored = Callable[[str, str], bytes | None]
"""Gives the current content of a resource by type and id, None when there is none."""


class Meeting:
    """The people whom some messages name, read with one statement. What the sheet holds counts as stored."""

    def __init__(self, pen: Pen, sheet: Sheet, groups: Iterable[Sequence[Named]]) -> None:
        self._sheet = sheet
        asked = list(
            dict.fromkeys(
                identifier for named in groups for one in named for identifier in (*one.identifiers, *one.former)
            )
        )
        self._holders: dict[tuple[str, str], list[str]] = {}
        if asked:
            keys = json.dumps([(pen.symbols.key(system), value) for system, value in asked])
            parameter = pen.symbols.key(parameter_symbol("Patient", "identifier"))
            for place, id_ in pen.connection.execute(_HOLDERS, (keys, parameter)):
                self._holders.setdefault(asked[place], []).append(id_)

    def moves(self, named: Sequence[Named], stored: Stored) -> dict[tuple[str, str], str]:
        """Return which of the named are others: (type, id) to the other's id. Raises IdentityConflict."""
        result: dict[tuple[str, str], str] = {}
        patients = [one for one in named if one.type == "Patient"]
        met = {one.id: self._met(one, stored) for one in patients if not one.gone}
        given = {one.id: one for one in patients}
        gone = {one.id: self._gone(one, met.values(), stored) for one in patients if one.gone}
        for id_, who in gone.items():
            if who != id_:
                result["Patient", id_] = who
        lost = set(gone.values())
        for id_, whole in met.items():
            found = whole - lost
            if whole and not found and stored("Patient", id_) is not None:
                raise IdentityConflict(tuple(sorted({id_, *whole})), "an earlier merge says the opposite of this one")
            if len(found) > 1:
                raise IdentityConflict(tuple(sorted(found)), "the identifiers of one patient belong to several")
            if not whole:
                self._doubtful(given[id_], stored)
            if found and (who := found.pop()) != id_:
                if stored("Patient", id_) is None and _lapsed(stored("Patient", who), given[id_].identifiers):
                    raise IdentityConflict((who,), "the number is no longer valid for the patient who has it")
                result["Patient", id_] = who
        for one in named:
            if one.type != "Patient" and not one.gone and (after := last(one.type, one.id, stored)) != one.id:
                result[one.type, one.id] = after
        return result

    def people(self, named: Sequence[Named], stored: Stored) -> tuple[str, ...]:
        """Return the ids of the patients whom this is about; of all who may be meant where that is not clear."""
        patients = [one.id for one in named if one.type == "Patient"]
        try:
            moves = self.moves(named, stored)
        except IdentityConflict as conflict:
            return tuple(dict.fromkeys((*patients, *conflict.patients)))
        return tuple(dict.fromkeys(moves.get(("Patient", id_), id_) for id_ in patients))

    def _known(self, one: Named) -> list[str]:
        """Return who has one of the identifiers, or the id."""
        found = [id_ for identifier in one.identifiers for id_ in self._holders.get(identifier, ())]
        return [*found, *self._sheet.holders(one.identifiers)]

    def _doubtful(self, one: Named, stored: Stored) -> None:
        """Raise IdentityConflict for somebody new with a number that has ended and is the number of another: either the
        two are one, or the number was given again."""
        for number in one.former:
            known = (*self._holders.get(number, ()), *self._sheet.holders([number]))
            holders = {last("Patient", id_, stored) for id_ in known}
            found = {id_ for id_ in holders if id_ != one.id and not _lapsed(stored("Patient", id_), [number])}
            if found:
                raise IdentityConflict(tuple(sorted(found)), "a number that is no longer valid is another patient's")

    def _met(self, one: Named, stored: Stored) -> set[str]:
        """Return who this may be, each one followed to whoever took its place."""
        known = {last("Patient", id_, stored) for id_ in self._known(one)}
        return known if stored("Patient", one.id) is None else known | {last("Patient", one.id, stored)}

    def _gone(self, one: Named, met: Iterable[set[str]], stored: Stored) -> str:
        """Return who it is that is said to be gone: nobody that the message names beside it."""
        if stored("Patient", one.id) is not None:
            return one.id
        found = set(self._known(one)).difference(*met)
        if len(found) > 1:
            raise IdentityConflict(tuple(sorted(found)), "the identifiers of one patient belong to several")
        return found.pop() if found else one.id


def _lapsed(patient: bytes | None, given: Iterable[tuple[str, str]]) -> bool:
    """Whether of the given numbers a patient has only such as were the patient's until some day."""
    if patient is None or b'"old"' not in patient:
        return False
    content = decode(patient)
    known = set(given)
    return not known.isdisjoint(lapsed(content)) and known.isdisjoint(_others(content))


def _others(patient: Resource) -> set[tuple[Any, Any]]:
    gone = set(lapsed(patient))
    return {(one.get("system"), one.get("value")) for one in patient.get("identifier", ())} - gone


def last(type_: str, id_: str, stored: Stored) -> str:
    """Return the id of what took the place of a resource, its own if nothing did. Raises IdentityConflict."""
    for _ in range(_STEPS):
        content = stored(type_, id_)
        after = None if content is None or MARKS[type_] not in content else successor(type_, decode(content))
        if after is None:
            return id_
        id_ = after
    raise IdentityConflict((id_,), "the merges of this record go round in a circle")
