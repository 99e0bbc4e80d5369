"""Search parameters: a query string to a `Query`.

https://hl7.org/fhir/R4/search.html. What is not supported is refused, or with lenient handling reported and left out of
the self link; a value or modifier that cannot be honoured is always refused. Nothing is ignored in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codes import BaseCodes, Codes
from hawsepipe.fhir.conditions import Conditions
from hawsepipe.fhir.content import searched_by_content
from hawsepipe.fhir.definitions import Definitions, SearchParameter
from hawsepipe.fhir.inclusions import INCLUDES, Inclusions
from hawsepipe.fhir.query import Clause, Condition, Include, Kind, Query, Sort, Total
from hawsepipe.model import Issue, Severity

Pair = tuple[str, str]

MOST_VALUES: Final = 2_000
"""Values of one search, over all its parameters."""

MOST_COMPARED: Final = 200
"""Values of one search that are compared with rows (dates, numbers, beginnings of words, chains), not looked up."""

MOST_SORTS: Final = 8
"""Parameters that one search is sorted by."""

_NEGOTIATION = frozenset({"_format", "_pretty"})
_PRINTABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-]{0,200}")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A query, the pairs that made it (for the self link), and what was left out."""

    query: Query
    used: tuple[Pair, ...]
    ignored: tuple[Issue, ...]


class Parameters:
    """Parses queries. `count` is the page size when none is asked for, `maximum` the largest one that is given."""

    def __init__(
        self,
        definitions: Definitions,
        base_url: str,
        *,
        count: int = 50,
        maximum: int = 1000,
        codes: Codes | None = None,
    ) -> None:
        """`codes` answers for value sets and hierarchies; without it those of R4 itself are known."""
        self._count = count
        self._maximum = maximum
        self._conditions = Conditions(definitions, base_url, codes or BaseCodes(definitions))
        self._inclusions = Inclusions(definitions, self._conditions.parameters)

    def knowing(self, codes: Codes) -> Parameters:
        """Return what reads the same parameters with other value sets and hierarchies."""
        other = copy(self)
        other._conditions = self._conditions.knowing(codes)
        return other

    def supported(self, type: str) -> tuple[tuple[str, Kind], ...]:
        """Return (code, kind) of each parameter that a search on this type takes, by code."""
        return tuple((it.code, it.kind) for it in self._conditions.parameters(type).values())

    def included(self, type: str) -> tuple[str, ...]:
        """Return what `_include` of a search on this type takes."""
        known = self._conditions.parameters(type).values()
        return tuple(f"{type}:{it.code}" for it in known if it.kind is Kind.REFERENCE)

    def included_back(self, type: str) -> tuple[str, ...]:
        """Return what `_revinclude` of a search on this type takes."""
        return tuple(f"{source}:{code}" for source, code in self._inclusions.naming(type))

    def parse(self, type: str, pairs: Sequence[Pair], strict: bool) -> Parsed:
        """Return the query of decoded (name, value) pairs on a resource type.

        `strict` is `Prefer: handling=strict`: an unknown parameter is refused rather than left out. `_count=0` asks for
        the total alone. Raises InvalidRequest whose `location` is the parameter.
        """
        reading = _Reading(type, self._conditions.parameters(type), strict)
        clauses: list[Condition] = []
        includes: list[Include] = []
        sort: tuple[Sort, ...] = ()
        count, total = self._count, Total.NONE
        seen: set[str] = set()
        if sum(value.count(",") + 1 for _, value in pairs) > MOST_VALUES:
            raise InvalidRequest(f"a search has at most {MOST_VALUES} values", location="_search")
        compared = 0
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
            elif name.partition(":")[0] in INCLUDES:
                include = self._inclusions.read(type, name, value)
                if include is None:
                    reading.leave_out(name)
                    continue
                includes.append(include)
            else:
                condition = self._condition(type, name, value)
                if condition is None:
                    reading.leave_out(name)
                    continue
                compared += 0 if _is_looked_up(condition) else value.count(",") + 1
                if compared > MOST_COMPARED:
                    text = f"a search has at most {MOST_COMPARED} values that are compared rather than looked up"
                    raise InvalidRequest(text, location=_shown(name))
                clauses.append(condition)
            reading.used.append((name, value))
        if count == 0:
            total = Total.ACCURATE
        query = Query(type, tuple(clauses), sort, count, total, includes=tuple(includes))
        return Parsed(query, tuple(reading.used), tuple(reading.ignored))

    def _page_size(self, value: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}", value) is None:
            raise InvalidRequest("_count is not a number from 0", location="_count")
        return min(int(value), self._maximum)

    def _condition(self, type: str, name: str, value: str) -> Condition | None:
        try:
            return self._conditions.read(type, name, value)
        except InvalidRequest as error:
            # Whatever part of a chain it is about, the client knows the parameter by its whole name.
            text = str(error) if _PRINTABLE.fullmatch(name) else "a parameter cannot be honoured"
            raise InvalidRequest(text, location=_shown(name)) from None


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
        if value.count(",") >= MOST_SORTS:
            raise InvalidRequest(f"a search is sorted by at most {MOST_SORTS} parameters", location="_sort")
        for part in value.split(","):
            code = part.removeprefix("-")
            parameter = self.parameters.get(code)
            if parameter is None or searched_by_content(parameter):
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


def _is_looked_up(condition: Condition) -> bool:
    """Say whether a condition's values are found by equality in an index."""
    plain = (Kind.TOKEN, Kind.REFERENCE, Kind.URI)
    return isinstance(condition, Clause) and condition.kind in plain and condition.modifier is None


def _shown(name: str) -> str:
    """Return a parameter's name if it looks like one: a mistaken query may have anything there."""
    return name if _PRINTABLE.fullmatch(name) else "a parameter"


def _total(value: str) -> Total:
    if value not in ("none", "accurate", "estimate"):
        raise InvalidRequest("_total is not none, estimate or accurate", location="_total")
    return Total.NONE if value == "none" else Total.ACCURATE  # an estimate may be as good as it likes
