"""Clauses of a search as SQL.

A clause becomes a `Predicate`: a condition on the row `r` of table resource, and, where an index by value can serve
it, selects that together give exactly the keys that meet it. R4 Search: https://hl7.org/fhir/R4/search.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.query import (
    Clause,
    DateValue,
    Kind,
    MissingValue,
    Modifier,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
)
from hawsepipe.store.sql.binding import Bindings, joined
from hawsepipe.store.sql.comparisons import dates, instants, numbers
from hawsepipe.store.sql.indexing import parameter_symbol

T = TypeVar("T")

By = Callable[[str], str]
"""Gives a column as a condition names it."""

TABLES: Final = {
    Kind.TOKEN: "token",
    Kind.REFERENCE: "reference",
    Kind.URI: "uri",
    Kind.STRING: "string",
    Kind.DATE: "date",
    Kind.NUMBER: "number",
    Kind.QUANTITY: "quantity",
}

_WIDEST: Final = 60
"""Alternatives of a clause that are still joined by UNION to find candidates."""


_UNITS: Final = (
    "WITH RECURSIVE c (code) AS (SELECT min(code) FROM quantity WHERE parameter = {parameter} UNION ALL"
    " SELECT (SELECT min(q.code) FROM quantity q WHERE q.parameter = {parameter} AND q.code > c.code) FROM c"
    " WHERE c.code IS NOT NULL) SELECT code FROM c WHERE code IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Predicate:
    """See the module. `drivers` is empty when no index helps; `ordered`: its only driver gives keys in their order."""

    condition: str
    drivers: tuple[str, ...] = ()
    ordered: bool = False


def predicate(clause: Clause, type_: str, bindings: Bindings, now: int) -> Predicate:
    """Compile one clause of a search on this type; `now` (microseconds) is for approximate dates.

    Raises InvalidRequest for what this store does not search by.
    """
    if clause.parameter == "_id":
        return _ids(clause, type_, bindings)
    if clause.parameter == "_lastUpdated":
        return _last_updated(clause, type_, bindings, now)
    if clause.kind not in TABLES:
        raise InvalidRequest("this kind of parameter is not searched by", location=clause.parameter)
    table = TABLES[clause.kind]
    parameter = clause.parameter
    if clause.modifier is Modifier.IDENTIFIER:
        table, parameter = TABLES[Kind.TOKEN], f"{parameter}:identifier"
    source = f"{table} WHERE parameter = {bindings.symbol(parameter_symbol(type_, parameter))}"
    if clause.modifier is Modifier.MISSING:
        # Only missing=false asks for rows; both values together ask for nothing.
        wanted = {value.missing for value in clause.values if isinstance(value, MissingValue)}
        rows = f"EXISTS (SELECT 1 FROM {source} AND resource = r.key{bindings.fence})"  # noqa: S608  our own tables
        return Predicate(joined("OR", [f"NOT {rows}" if missing else rows for missing in sorted(wanted)] or ["FALSE"]))
    alternatives, single = _alternatives(clause, bindings, now, bindings.indexed)
    # A candidate must not be probed by the index of values, which has all resources in it.
    probed, _ = _alternatives(clause, bindings, now, bindings.probed)
    if not alternatives:
        return Predicate("TRUE" if clause.modifier is Modifier.NOT else "FALSE")
    found = joined("OR", probed)
    condition = f"EXISTS (SELECT 1 FROM {source} AND resource = r.key AND {found}{bindings.fence})"  # noqa: S608  bound
    if clause.modifier is Modifier.NOT:
        return Predicate(f"NOT {condition}")
    if len(alternatives) > _WIDEST:
        return Predicate(condition)
    if table == TABLES[Kind.QUANTITY]:
        # Where no unit is asked for, each that there is: one step of the index leads to the next.
        symbol = bindings.symbol(parameter_symbol(type_, parameter))
        each = _UNITS.format(parameter=symbol)
        alternatives = [
            it if value.system is not None and value.code is not None else f"code IN ({each}) AND {it}"
            for value, it in zip(_of(clause.values, QuantityValue), alternatives, strict=True)
        ]
    drivers = tuple(f"SELECT resource FROM {source} AND {alternative}" for alternative in alternatives)  # noqa: S608  bound
    return Predicate(condition, drivers, single)


def _alternatives(clause: Clause, bindings: Bindings, now: int, by: By) -> tuple[list[str], bool]:
    """Return conditions on rows, any of which is enough, and whether they are one equality, whose index has the keys
    in order. `by` gives the columns of values.
    """
    values = clause.values
    tokens = _of(values, TokenValue)
    references = _of(values, ReferenceValue)
    uris = _of(values, UriValue)
    found = [
        *_tokens(tokens, bindings, by),
        *_references(references, bindings, by),
        *(_uris([value.uri for value in uris], clause.modifier, bindings, by) if uris else []),
        *(_string(value, clause.modifier, bindings, by) for value in _of(values, StringValue)),
        *(part for value in _of(values, DateValue) for part in dates(value, by("low"), by("high"), bindings, now)),
        *(_number(value, bindings, by) for value in _of(values, NumberValue)),
        *(_quantity(value, bindings, by) for value in _of(values, QuantityValue)),
    ]
    equality = (
        (len(tokens) == 1 and tokens[0].code is not None)
        or (len(references) == 1 and (references[0].url is not None or references[0].id is not None))
        or (len(uris) == 1 and clause.modifier is not Modifier.BELOW)
    )
    return found, equality and len(values) == 1


def _of(values: Sequence[object], kind: type[T]) -> list[T]:
    return [value for value in values if isinstance(value, kind)]


def _among(texts: Iterable[str], bindings: Bindings) -> str:
    distinct = {bindings.fit(text) for text in texts}
    return f"= {bindings.bind(distinct.pop())}" if len(distinct) == 1 else f"IN {bindings.members(distinct)}"


def _tokens(values: Sequence[TokenValue], bindings: Bindings, by: By) -> list[str]:
    found: list[str] = []
    for system in dict.fromkeys(value.system for value in values):
        group = [value.code for value in values if value.system == system]
        owner = [] if system is None else [f"system = {bindings.symbol(system)}"]
        codes = [code for code in group if code is not None]
        if len(codes) < len(group):  # `system|`: any code of it
            found.append(joined("AND", owner or ["TRUE"]))
        else:
            found.append(joined("AND", [f"{by('code')} {_among(codes, bindings)}", *owner]))
    return found


def _references(values: Sequence[ReferenceValue], bindings: Bindings, by: By) -> list[str]:
    found: list[str] = []
    urls = [value.url for value in values if value.url is not None]
    if urls:
        found.append(f"({by('value')} {_among(urls, bindings)} AND type = 0)")
    local = [value for value in values if value.url is None and value.id is not None]
    for type_ in dict.fromkeys(value.type for value in local):
        ids = [value.id for value in local if value.type == type_ and value.id is not None]
        owner = "type <> 0" if type_ is None else f"type = {bindings.symbol(type_)}"
        found.append(f"({by('value')} {_among(ids, bindings)} AND {owner})")
    return found


def _uris(uris: Sequence[str], modifier: Modifier | None, bindings: Bindings, by: By) -> list[str]:
    if modifier is not Modifier.BELOW:
        return [f"{by('uri')} {_among(uris, bindings)}"]
    found: list[str] = []
    for uri in uris:
        path = uri.rstrip("/")
        # The character after the solidus is the digit nought: everything below a path lies between the two.
        found.append(f"{by('uri')} = {bindings.bind(path)}")
        found.append(f"({by('uri')} >= {bindings.bind(path + '/')} AND {by('uri')} < {bindings.bind(path + '0')})")
    return found


def _string(value: StringValue, modifier: Modifier | None, bindings: Bindings, by: By) -> str:
    head = value.normal[: bindings.longest]
    if modifier is Modifier.EXACT:
        return f"({by('normal')} = {bindings.bind(head)} AND exact = {bindings.bind(value.exact)})"
    if modifier is Modifier.CONTAINS:
        return f"instr(normal, {bindings.bind(value.normal)}) > 0"
    low = f"{by('normal')} >= {bindings.bind(value.normal)}"
    above = _successor(value.normal)
    return low if above is None else f"({low} AND {by('normal')} < {bindings.bind(above)})"


def _successor(prefix: str) -> str | None:
    """Return the least text above every text that starts with the prefix, None when there is none."""
    for place in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[place])
        if point < 0x10FFFF:
            # Surrogates are no characters: the order goes from U+D7FF on to U+E000.
            following = 0xE000 if 0xD7FF <= point < 0xE000 else point + 1
            return prefix[:place] + chr(following)
    return None


def _number(value: NumberValue, bindings: Bindings, by: By) -> str:
    return numbers(value, by("value"), bindings)


def _quantity(value: QuantityValue, bindings: Bindings, by: By) -> str:
    parts = [numbers(value.number, by("value"), bindings)]
    if value.system is not None:
        parts.append(f"system = {bindings.bind(bindings.fit(value.system))}")
    if value.code is not None:
        code = bindings.bind(bindings.fit(value.code))
        either = f"({bindings.probed('code')} = {code} OR unit = {code})"
        parts.append(f"{by('code')} = {code}" if value.system is not None else either)
    return joined("AND", parts)


def _ids(clause: Clause, type_: str, bindings: Bindings) -> Predicate:
    if clause.modifier is Modifier.MISSING:
        return _never_missing(clause)
    # An id has no system: `system|id` meets nothing.
    ids = [value.code for value in _of(clause.values, TokenValue) if value.code is not None and not value.system]
    ids += [value.id for value in _of(clause.values, ReferenceValue) if value.id is not None]
    if not ids:
        return Predicate("TRUE" if clause.modifier is Modifier.NOT else "FALSE")
    matched = f"id {_among(ids, bindings)}"
    if clause.modifier is Modifier.NOT:
        return Predicate(f"NOT r.{matched}")
    owner = bindings.symbol(type_)
    return Predicate(f"r.{matched}", (f"SELECT key AS resource FROM resource WHERE type = {owner} AND {matched}",))  # noqa: S608  bound


def _last_updated(clause: Clause, type_: str, bindings: Bindings, now: int) -> Predicate:
    if clause.modifier is Modifier.MISSING:
        return _never_missing(clause)
    parts = [instants(value, "last_updated", bindings, now) for value in _of(clause.values, DateValue)]
    if not parts:
        return Predicate("FALSE")
    owner = bindings.symbol(type_)
    # Left alone SQLite takes the index of what is there, and reads all of the type.
    indexed = "resource INDEXED BY resource_updated"
    select = f"SELECT key AS resource FROM {indexed} WHERE type = {owner} AND {bindings.probed('deleted')} = 0 AND "  # noqa: S608  bound
    drivers = tuple(select + part for part in parts) if len(parts) <= _WIDEST else ()
    # In the condition the name means r's own column: no other table in scope has it.
    return Predicate(joined("OR", parts), drivers)


def _never_missing(clause: Clause) -> Predicate:
    present = any(isinstance(value, MissingValue) and not value.missing for value in clause.values)
    return Predicate("TRUE" if present else "FALSE")
