"""What searches by `:in`, `:not-in`, `:above` and `:below` ask of the terminology that the requester sees."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from hawsepipe.api.call import Call
from hawsepipe.api.terminology import Terminology
from hawsepipe.errors import InvalidResource
from hawsepipe.fhir import values
from hawsepipe.fhir.code_systems import CodeSystem
from hawsepipe.fhir.codes import BaseCodes
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.value_sets import expand

_SETS: Final = frozenset({"in", "not-in"})
_HIERARCHIES: Final = frozenset({"above", "below"})


async def knowing(call: Call, asked: Iterable[tuple[str, str]]) -> Parameters:
    """Return what reads these parameters, knowing the value sets and code systems that they name as far as the
    requester sees them.
    """
    sets: dict[str, Collection[tuple[str, str]]] = {}
    systems: dict[str, CodeSystem] = {}
    terminology = Terminology(call)
    for name, value in asked:
        modifier = name.rpartition(":")[2]
        if modifier not in _SETS | _HIERARCHIES or ":" not in name:
            continue
        for part in _parts(value):
            if modifier in _SETS:
                await _add_set(terminology, part, sets)
            elif "|" in part:
                url = part.partition("|")[0]
                found = await terminology.code_system(url)
                if found is not None:
                    systems[url] = found
    if not sets and not systems:
        return call.services.parameters
    return call.services.parameters.knowing(_Codes(sets, systems))


def _parts(value: str) -> list[str]:
    try:
        return [values.plain(part) for part in values.split(value, ",")]
    except ValueError:
        return []  # whoever reads the criterion refuses it


async def _add_set(terminology: Terminology, address: str, sets: dict[str, Collection[tuple[str, str]]]) -> None:
    """Add a value set; one that cannot be expanded stays unknown, and the search says so."""
    value_set = await terminology.value_set(address)
    if value_set is not None:
        try:
            members = expand(value_set, await terminology.shelf(value_set))
        except InvalidResource:
            return
        sets[address] = [(it.system, it.concept.code) for it in members]


class _Codes:
    """Value sets and code systems that were looked up, and those of R4 itself."""

    def __init__(self, sets: dict[str, Collection[tuple[str, str]]], systems: dict[str, CodeSystem]) -> None:
        self._sets = sets
        self._systems = systems
        self._base = BaseCodes(load())

    def members(self, value_set: str) -> Collection[tuple[str, str]] | None:
        """Return the (system, code) in a value set."""
        found = self._sets.get(value_set)
        return self._base.members(value_set) if found is None else found

    def below(self, system: str, code: str) -> Collection[str] | None:
        """Return the code and every code that is a kind of it."""
        concept = self._systems[system].find(code) if system in self._systems else None
        return self._base.below(system, code) if concept is None else {concept.code, *self._systems[system].below(code)}

    def above(self, system: str, code: str) -> Collection[str] | None:
        """Return the code and every code that it is a kind of."""
        concept = self._systems[system].find(code) if system in self._systems else None
        return self._base.above(system, code) if concept is None else {concept.code, *self._systems[system].above(code)}
