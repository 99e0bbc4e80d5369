"""`_include` and `_revinclude` (https://hl7.org/fhir/R4/search.html#revinclude), with `:iterate` and wildcards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.definitions import Definitions, SearchParameter
from hawsepipe.fhir.query import Include, Kind

INCLUDES: Final = frozenset({"_include", "_revinclude"})
_ITERATE: Final = frozenset({"", "iterate", "recurse"})
"""Modifiers; `recurse` is what STU3 called it."""


class Inclusions:
    """Reads them. `parameters` gives those of a type that are searched by."""

    def __init__(self, definitions: Definitions, parameters: Callable[[str], Mapping[str, SearchParameter]]) -> None:
        self._types = definitions.resource_types
        self._parameters = parameters

    def naming(self, kind: str) -> list[tuple[str, str]]:
        """Return the (type, code) of each reference parameter that may name this type."""
        return [
            (source, it.code)
            for source in sorted(self._types)
            for it in self._parameters(source).values()
            if it.kind is Kind.REFERENCE and (not it.targets or kind in it.targets)
        ]

    def read(self, kind: str, name: str, value: str) -> Include | None:
        """Return what a search on a type asks for, None for a type or parameter that is not known.

        Raises InvalidRequest for another form, and for a parameter that is no reference.
        """
        base, _, modifier = name.partition(":")
        if modifier not in _ITERATE:
            raise InvalidRequest(f"{base} takes the modifier iterate alone", location=base)
        parts = value.split(":")
        if value == "*":
            parts = ["*", "*"]
        if len(parts) not in (2, 3) or not all(parts[:2]):
            raise InvalidRequest(f"{base} is type:parameter, or type:parameter:type", location=base)
        source, code = parts[:2]
        target = parts[2] if len(parts) == 3 and parts[2] else None
        reverse = base == "_revinclude"
        if target is not None and target not in self._types:
            return None
        if source == "*":
            sources = sorted(self._types) if reverse or modifier else [kind]
        elif source in self._types:
            sources = [source]
        else:
            return None
        meant = target if target is not None or not reverse or modifier else kind
        found: list[tuple[str, str]] = []
        for one in sources:
            known = self._parameters(one)
            if code == "*":
                found += [
                    (one, it.code)
                    for it in known.values()
                    if it.kind is Kind.REFERENCE and (meant is None or not it.targets or meant in it.targets)
                ]
            elif code not in known:
                return None
            elif known[code].kind is not Kind.REFERENCE:
                raise InvalidRequest(f"{base} goes by a reference", location=base)
            else:
                found.append((one, code))
        return Include(tuple(found), target, reverse, bool(modifier))
