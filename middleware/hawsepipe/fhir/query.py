"""A search as a value: what `fhir.parameters` parses from a query string and a store compiles to its own query.

Semantics: R4 Search (https://hl7.org/fhir/R4/search.html). Clauses are joined by AND, the values of a clause by OR.
Date and number bounds are half-open intervals [low, high); dates in microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from hawsepipe.model import Version


class Kind(StrEnum):
    """The types of search parameter (R4 SearchParamType)."""

    NUMBER = "number"
    DATE = "date"
    STRING = "string"
    TOKEN = "token"  # noqa: S105  a parameter type, not a secret
    REFERENCE = "reference"
    COMPOSITE = "composite"
    QUANTITY = "quantity"
    URI = "uri"
    SPECIAL = "special"


class Prefix(StrEnum):
    """Comparison prefixes of ordered parameters."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"
    AP = "ap"


class Modifier(StrEnum):
    """Modifiers that a clause can carry; which ones a kind takes is checked when the query is parsed."""

    EXACT = "exact"
    CONTAINS = "contains"
    MISSING = "missing"
    NOT = "not"
    IDENTIFIER = "identifier"
    TEXT = "text"
    OF_TYPE = "of-type"
    IN = "in"
    NOT_IN = "not-in"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class TokenValue:
    """`system|code`. `system` None: any system; empty: no system. `code` None: any code of the system."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class StringValue:
    """`exact` as asked; `normal` folded as `fhir.extraction.fold` does (lower case, no accents, single spaces)."""

    exact: str
    normal: str


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A local target by `id` (with `type`, or None for any), or a foreign or canonical one by `url`."""

    type: str | None
    id: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class DateValue:
    """The interval that the date covers at its precision."""

    prefix: Prefix
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class NumberValue:
    """The number and the half-open interval of its implicit precision (100 is 99.5 to 100.5)."""

    prefix: Prefix
    value: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class QuantityValue:
    """A number with unit; `system` and `code` as in TokenValue (`code` also meets the human unit without a system)."""

    number: NumberValue
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class UriValue:
    """A URI, compared by equality."""

    uri: str


@dataclass(frozen=True, slots=True)
class MissingValue:
    """`:missing=true` or `false`."""

    missing: bool


@dataclass(frozen=True, slots=True)
class PlaceValue:
    """A circle on the Earth: degrees north and east, and its radius in metres."""

    latitude: float
    longitude: float
    radius: float


@dataclass(frozen=True, slots=True)
class TypedValue:
    """`:of-type`: an identifier's value under a type's system and code."""

    system: str
    code: str
    value: str


@dataclass(frozen=True, slots=True)
class CompositeValue:
    """A value of each component, in order. All must hold of one item of what the composite is about."""

    parts: tuple[Clause, ...]


Value = (
    TokenValue
    | StringValue
    | ReferenceValue
    | DateValue
    | NumberValue
    | QuantityValue
    | UriValue
    | MissingValue
    | PlaceValue
    | TypedValue
    | CompositeValue
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One parameter of a search. `parameter` is its code (`birthdate`, `_id`, `_lastUpdated`)."""

    parameter: str
    kind: Kind
    modifier: Modifier | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Refers by `parameter` to a resource that is there and visible and meets the condition given for its type."""

    parameter: str
    targets: tuple[tuple[str, Condition], ...]


@dataclass(frozen=True, slots=True)
class Reverse:
    """`_has`: a resource of `type` that is there and visible and meets `condition` refers to it by `parameter`."""

    type: str
    parameter: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Either:
    """One of the parts holds."""

    parts: tuple[Condition, ...]


Condition = Clause | Chain | Reverse | Either


@dataclass(frozen=True, slots=True)
class Include:
    """What comes beside the matches: by a reference that they have, or `reverse` that is to them.

    `parameters` are (type that refers, code of the reference parameter); `target` is the only type that is referred to
    (None: any). `iterate`: of what was included too, again and again.
    """

    parameters: tuple[tuple[str, str], ...]
    target: str | None = None
    reverse: bool = False
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class Sort:
    """One `_sort` key. Missing values come last, ascending or descending."""

    parameter: str
    kind: Kind
    descending: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: the last entry's values for each sort key, and its immutable key in the store.

    `instant` (microseconds) is when the first page was made: an order is the one of then.
    """

    values: tuple[str | int | None, ...]
    key: int
    instant: int | None = None


class Total(StrEnum):
    """`_total`."""

    NONE = "none"
    ACCURATE = "accurate"


@dataclass(frozen=True, slots=True)
class Query:
    """A whole search on one type. Without `sort` the order is the store's immutable key, so pages never shift."""

    type: str
    clauses: tuple[Condition, ...] = ()
    sort: tuple[Sort, ...] = ()
    count: int = 50
    total: Total = Total.NONE
    cursor: Cursor | None = None
    includes: tuple[Include, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search or a history. `next` is None on the last page; `total` None unless asked for; `included`
    come beside the matches, each once and none that is one.
    """

    versions: tuple[Version, ...]
    next: Cursor | None
    total: int | None
    included: tuple[Version, ...] = ()


def named(condition: Condition) -> str:
    """Return how a condition is asked for, without a value."""
    match condition:
        case Clause():
            return condition.parameter
        case Chain():
            return (
                f"{condition.parameter}.{named(condition.targets[0][1])}" if condition.targets else condition.parameter
            )
        case Reverse():
            return f"_has:{condition.type}:{condition.parameter}:{named(condition.condition)}"
        case Either():
            return named(condition.parts[0]) if condition.parts else ""
