"""Orders of a search and how the next page goes on from a cursor. Missing values come last, whatever the direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.query import Cursor, Kind, Sort
from hawsepipe.store.sql.binding import Bindings, joined
from hawsepipe.store.sql.clauses import TABLES
from hawsepipe.store.sql.indexing import parameter_symbol

_KEYS = {
    Kind.TOKEN: ("code", "code"),
    Kind.REFERENCE: ("value", "value"),
    Kind.URI: ("uri", "uri"),
    Kind.STRING: ("normal", "normal"),
    Kind.DATE: ("low", "high"),
    Kind.NUMBER: ("hex(value)", "hex(value)"),
    Kind.QUANTITY: ("hex(value)", "hex(value)"),
}
"""By kind: what the least of is sorted by ascending, what the greatest of is sorted by descending."""


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key: an expression over `r`, its name in the result, and whether it can be missing."""

    expression: str
    name: str
    descending: bool
    optional: bool


def keys(sorts: Sequence[Sort], type_: str, bindings: Bindings) -> tuple[Key, ...]:
    """Compile `_sort`. Raises InvalidRequest for a kind that has no order."""
    return tuple(_key(sort, f"s{place}", type_, bindings) for place, sort in enumerate(sorts))


def _key(sort: Sort, name: str, type_: str, bindings: Bindings) -> Key:
    if sort.parameter == "_id":
        return Key("r.id", name, sort.descending, False)
    if sort.parameter == "_lastUpdated":
        return Key("r.last_updated", name, sort.descending, False)
    if sort.kind not in TABLES:
        raise InvalidRequest("this kind of parameter has no order", location="_sort")
    least, greatest = _KEYS[sort.kind]
    # The extreme must not be looked for among all resources, by the index of values.
    column = greatest if sort.descending else least
    hidden = column if column.startswith("hex") else bindings.probed(column)
    extreme = f"max({hidden})" if sort.descending else f"min({hidden})"
    parameter = bindings.symbol(parameter_symbol(type_, sort.parameter))
    return Key(
        f"(SELECT {extreme} FROM {TABLES[sort.kind]} WHERE resource = r.key AND parameter = {parameter})",  # noqa: S608  our own names
        name,
        sort.descending,
        True,
    )


def order(compiled: Sequence[Key]) -> str:
    """Return the ORDER BY terms; the immutable key decides between equals."""
    terms: list[str] = []
    for key in compiled:
        if key.optional:
            terms.append(f"{key.name} IS NULL")
        terms.append(f"{key.name} DESC" if key.descending else key.name)
    return ", ".join([*terms, "key"])


def beyond(compiled: Sequence[Key], cursor: Cursor, bindings: Bindings) -> str:
    """Return the condition, over the names in the result, of coming after the cursor. Raises InvalidRequest for a
    cursor of another order.
    """
    if len(cursor.values) != len(compiled):
        raise InvalidRequest("the page link belongs to another search")
    equal: list[str] = []
    cases: list[str] = []
    for key, value in zip(compiled, cursor.values, strict=True):
        bound = bindings.bind(value)
        if value is not None:
            after = f"{key.name} {'<' if key.descending else '>'} {bound}"
            later = f"({after} OR {key.name} IS NULL)" if key.optional else after
            cases.append(joined("AND", [*equal, later]))
        equal.append(f"{key.name} IS NOT DISTINCT FROM {bound}")
    cases.append(joined("AND", [*equal, f"key > {bindings.bind(cursor.key)}"]))
    found = joined("OR", cases)
    if compiled and not compiled[0].optional:
        # Follows from the rest; it bounds the range of an index on the first key.
        first = f"{compiled[0].name} {'<=' if compiled[0].descending else '>='} {bindings.bind(cursor.values[0])}"
        return joined("AND", [first, found])
    return found
