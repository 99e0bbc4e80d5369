"""Search parameters: a query string to a `Query`.

https://hl7.org/fhir/R4/search.html. What is not supported is refused, or with lenient handling reported and left out of
the self link; a value or modifier that cannot be honoured is always refused. Nothing is ignored in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import values
from hawsepipe.fhir.definitions import Definitions, SearchParameter
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.query import Clause, Kind, MissingValue, Modifier, Query, Sort, Total, Value
from hawsepipe.model import Issue, Severity

Pair = tuple[str, str]

_MODIFIERS: Mapping[Kind, frozenset[Modifier]] = {
    Kind.TOKEN: frozenset({Modifier.MISSING, Modifier.NOT}),
    Kind.STRING: frozenset({Modifier.MISSING, Modifier.EXACT, Modifier.CONTAINS}),
    Kind.REFERENCE: frozenset({Modifier.MISSING, Modifier.IDENTIFIER}),
    Kind.DATE: frozenset({Modifier.MISSING}),
    Kind.NUMBER: frozenset({Modifier.MISSING}),
    Kind.QUANTITY: frozenset({Modifier.MISSING}),
    Kind.URI: frozenset({Modifier.MISSING}),
}
_NEGOTIATION = frozenset({"_format", "_pretty"})
_PRINTABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-]{0,100}")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A query, the pairs that made it (for the self link), and what was left out."""

    query: Query
    used: tuple[Pair, ...]
    ignored: tuple[Issue, ...]


class Parameters:
    """Parses queries. `count` is the page size when none is asked for, `maximum` the largest one that is given."""

    def __init__(self, definitions: Definitions, base_url: str, *, count: int = 50, maximum: int = 1000) -> None:
        self._definitions = definitions
        self._base = base_url.rstrip("/")
        self._count = count
        self._maximum = maximum
        self._extractor = Extractor(definitions, base_url)

    def supported(self, type: str) -> tuple[tuple[str, Kind], ...]:
        """Return (code, kind) of each parameter that a search on this type takes, by code."""
        return tuple((it.code, it.kind) for it in self._extractor.supported(type))

    def parse(self, type: str, pairs: Sequence[Pair], strict: bool) -> Parsed:
        """Return the query of decoded (name, value) pairs on a resource type.

        `strict` is `Prefer: handling=strict`: an unknown parameter is refused rather than left out. `_count=0` asks for
        the total alone. Raises InvalidRequest whose `location` is the parameter.
        """
        reading = _Reading(type, {it.code: it for it in self._extractor.supported(type)}, strict)
        clauses: list[Clause] = []
        sort: tuple[Sort, ...] = ()
        count, total = self._count, Total.NONE
        seen: set[str] = set()
        for name, value in pairs:
            if name in ("_count", "_sort", "_total"):
                if name in seen:
                    raise InvalidRequest(f"{name} is given twice", location=name)
                seen.add(name)
            if name in _NEGOTIATION:
                pass
            elif name == "_count":
                count = self._page_size(value)
            elif name == "_total":
                total = _total(value)
            elif name == "_sort":
                sort = reading.sort(value)
                if not sort:
                    continue
            else:
                clause = self._clause(reading, name, value)
                if clause is None:
                    continue
                clauses.append(clause)
            reading.used.append((name, value))
        if count == 0:
            total = Total.ACCURATE
        query = Query(type, tuple(clauses), sort, count, total)
        return Parsed(query, tuple(reading.used), tuple(reading.ignored))

    def _page_size(self, value: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}", value) is None:
            raise InvalidRequest("_count is not a number from 0", location="_count")
        return min(int(value), self._maximum)

    def _clause(self, reading: _Reading, name: str, value: str) -> Clause | None:
        code, _, suffix = name.partition(":")
        parameter = reading.parameters.get(code)
        if parameter is None or "." in suffix:  # a chain names its target's type before the dot
            reading.leave_out(name)
            return None
        modifier, target = self._modifier(parameter, name, suffix)
        try:
            parts = values.split(value, ",")
            read = self._reader(parameter, modifier, target)
            return Clause(code, parameter.kind, modifier, tuple(read(part) for part in parts))
        except ValueError as error:
            raise InvalidRequest(f"the value of {name} {error}", location=name) from None

    def _modifier(self, parameter: SearchParameter, name: str, suffix: str) -> tuple[Modifier | None, str | None]:
        if not suffix:
            only = parameter.targets[0] if len(parameter.targets) == 1 else None
            return None, only
        if parameter.kind is Kind.REFERENCE and suffix in self._definitions.resource_types:
            return None, suffix
        if suffix in set(Modifier) and Modifier(suffix) in _MODIFIERS[parameter.kind]:
            return Modifier(suffix), None
        raise InvalidRequest(f"{_shown(name)}: the modifier is not supported", location=_shown(name))

    def _reader(
        self, parameter: SearchParameter, modifier: Modifier | None, target: str | None
    ) -> Callable[[str], Value]:
        if modifier is Modifier.MISSING:
            return _missing
        if modifier is Modifier.IDENTIFIER:
            return values.token
        if parameter.kind is Kind.REFERENCE:
            return lambda part: values.reference(part, self._base, target, self._definitions.resource_types)
        return values.READERS[parameter.kind]


class _Reading:
    """What one query has given so far."""

    def __init__(self, type_name: str, parameters: Mapping[str, SearchParameter], strict: bool) -> None:
        self.parameters = parameters
        self.used: list[Pair] = []
        self.ignored: list[Issue] = []
        self._type = type_name
        self._strict = strict

    def sort(self, value: str) -> tuple[Sort, ...]:
        keys: list[Sort] = []
        for part in value.split(","):
            code = part.removeprefix("-")
            parameter = self.parameters.get(code)
            if parameter is None:
                self.leave_out("_sort")
                return ()
            keys.append(Sort(code, parameter.kind, part.startswith("-")))
        return tuple(keys)

    def leave_out(self, name: str) -> None:
        """Refuse a parameter, or report it and go on."""
        shown = _shown(name)
        text = f"{shown} is not supported in a search of {self._type}"
        if self._strict:
            raise InvalidRequest(text, location=shown)
        self.ignored.append(Issue(Severity.WARNING, "not-supported", shown, text))


def _shown(name: str) -> str:
    """Return a parameter's name if it looks like one: a mistaken query may have anything there."""
    return name if _PRINTABLE.fullmatch(name) else "a parameter"


def _total(value: str) -> Total:
    if value not in ("none", "accurate", "estimate"):
        raise InvalidRequest("_total is not none, estimate or accurate", location="_total")
    return Total.NONE if value == "none" else Total.ACCURATE  # an estimate may be as good as it likes


def _missing(part: str) -> MissingValue:
    if part not in ("true", "false"):
        raise ValueError("is not true or false")
    return MissingValue(part == "true")
