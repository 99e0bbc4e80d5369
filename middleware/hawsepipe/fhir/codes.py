"""What searches ask of value sets and code systems; whoever has loaded more of them answers more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from hawsepipe.fhir.definitions import Definitions


class Codes(Protocol):
    """Value sets and hierarchies by address; pure, and quick. None: not known, or not to be enumerated."""

    def members(self, value_set: str) -> Collection[tuple[str, str]] | None:
        """Return the (system, code) in a value set, by its canonical address with or without a version."""
        ...

    def below(self, system: str, code: str) -> Collection[str] | None:
        """Return the code and every code that is a kind of it."""
        ...

    def above(self, system: str, code: str) -> Collection[str] | None:
        """Return the code and every code that it is a kind of."""
        ...


class BaseCodes:
    """Those of R4 itself: its required value sets, and the hierarchies that consents need."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def members(self, value_set: str) -> Collection[tuple[str, str]] | None:
        """Return the (system, code) in a required value set."""
        known = self._definitions.value_sets
        found = known.get(value_set, known.get(value_set.partition("|")[0]))
        return None if found is None else [(system, code) for system, codes in found.items() for code in codes]

    def below(self, system: str, code: str) -> Collection[str] | None:
        """Return the code and its descendants."""
        return self._definitions.descendants(system, code) or None

    def above(self, system: str, code: str) -> Collection[str] | None:
        """Return the code and its ancestors."""
        return self._definitions.ancestors(system, code) or None
