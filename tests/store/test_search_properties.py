"""The compiled search against a plain evaluation over index rows, and the compiled visibility against
`visibility.visible`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, assert_never

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hawsepipe import visibility as vis
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.index import (
    DateRow,
    NumberRow,
    QuantityRow,
    ReferenceRow,
    Row,
    StringRow,
    TokenRow,
    UriRow,
)
from hawsepipe.fhir.query import (
    Clause,
    DateValue,
    Kind,
    MissingValue,
    Modifier,
    NumberValue,
    Prefix,
    QuantityValue,
    Query,
    ReferenceValue,
    Sort,
    StringValue,
    TokenValue,
    Total,
    UriValue,
    Value,
)
from hawsepipe.model import Change, Draft, Issue, Method, Resource, Seal, Transaction
from hawsepipe.store.sql import candidates, formulas, search
from hawsepipe.store.sql.commits import Commits
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sqlite import schema
from hawsepipe.store.sqlite.connection import Connection
from hawsepipe.visibility import Constant, Facets, Formula, Subject, Visibility, visible

START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = microseconds(START)
ALL = Visibility(Constant(True), (), Constant(True))
TYPE = "Observation"


@dataclass(frozen=True)
class Entry:
    """One resource of the model: what it is found by, what formulas see, and what happens to it."""

    rows: tuple[Row, ...]
    facets: Facets
    patients: tuple[str, ...]
    fate: str  # kept, updated (had other rows before), deleted


# -- values -----------------------------------------------------------------------------------------------------------

systems = st.sampled_from(["", "s1", "s2"])
codes = st.sampled_from(["a", "b", "ab"])
texts = st.text("aAbé\U0010ffff", max_size=3)
numbers = st.decimals(-12, 12, places=1) | st.sampled_from(
    [Decimal("1.00"), Decimal("-0.0"), Decimal("1E+30"), Decimal("1.0000000000000000001"), Decimal("-1E-30")]
)
parameters = st.sampled_from(["p", "q"])


@st.composite
def intervals(draw: st.DrawFn) -> tuple[int, int]:
    low = draw(st.integers(-3, 12))
    return low, low + draw(st.integers(1, 6))


def row_strategy() -> st.SearchStrategy[Row]:
    return st.one_of(
        st.builds(TokenRow, parameters | st.just("p:identifier"), systems, codes),
        st.builds(lambda p, t: StringRow(p, t, t.casefold()), parameters, texts),
        st.builds(lambda p, t, i: ReferenceRow(p, t, i, ""), parameters, st.sampled_from(["Patient", "Group"]), codes),
        st.builds(lambda p, u: ReferenceRow(p, "", "", u), parameters, codes),
        st.builds(lambda p, i: DateRow(p, *i), parameters, intervals()),
        st.builds(NumberRow, parameters, numbers),
        st.builds(QuantityRow, parameters, numbers, systems, codes, codes),
        st.builds(UriRow, parameters, codes),
    )


kinds = st.sampled_from(["label", "code"])
facets = st.builds(
    Facets,
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 5),
    st.dictionaries(kinds, st.frozensets(codes, max_size=2), max_size=2),
)
people = st.sampled_from(["x", "y", "z"])
entries = st.builds(
    Entry,
    st.lists(row_strategy(), max_size=5).map(tuple),
    facets,
    st.lists(people, max_size=2, unique=True).map(tuple),
    st.sampled_from(["kept", "kept", "kept", "updated", "deleted"]),
)

# -- queries ----------------------------------------------------------------------------------------------------------


def _number(prefix: Prefix, value: Decimal) -> NumberValue:
    half = Decimal((0, (5,), int(value.as_tuple().exponent) - 1))
    return NumberValue(prefix, value, value - half, value + half)


prefixes = st.sampled_from(list(Prefix))
number_values = st.builds(_number, prefixes, numbers)
values: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.TOKEN: st.builds(TokenValue, st.none() | systems, codes) | st.builds(TokenValue, systems, st.none()),
    Kind.STRING: st.builds(lambda t: StringValue(t, t.casefold()), texts),
    Kind.REFERENCE: st.builds(ReferenceValue, st.sampled_from([None, "Patient", "Group"]), codes, st.none())
    | st.builds(lambda u: ReferenceValue(None, None, u), codes),
    Kind.DATE: st.builds(lambda p, i: DateValue(p, *i), prefixes, intervals()),
    Kind.NUMBER: number_values,
    Kind.QUANTITY: st.builds(QuantityValue, number_values, st.none() | systems, st.none() | codes),
    Kind.URI: st.builds(UriValue, codes),
}


@st.composite
def clauses(draw: st.DrawFn) -> Clause:
    kind = draw(st.sampled_from(list(values)))
    parameter = draw(parameters)
    if draw(st.integers(0, 5)) == 0:
        missing = draw(st.booleans())
        return Clause(parameter, kind, Modifier.MISSING, (MissingValue(missing),))
    special = draw(st.integers(0, 9))
    if special == 0:
        ids = st.builds(TokenValue, st.none(), st.sampled_from(["r0", "r1", "r2", "none"]))
        return Clause("_id", Kind.TOKEN, None, tuple(draw(st.lists(ids, min_size=1, max_size=3))))
    if special == 1:
        moment = draw(intervals())
        return Clause(
            "_lastUpdated",
            Kind.DATE,
            None,
            (DateValue(draw(prefixes), BASE + moment[0], BASE + moment[1]),),
        )
    modifier: Modifier | None = None
    if kind is Kind.STRING:
        modifier = draw(st.sampled_from([None, Modifier.EXACT, Modifier.CONTAINS]))
    if kind is Kind.TOKEN:
        modifier = draw(st.sampled_from([None, None, Modifier.NOT]))
    if kind is Kind.REFERENCE and draw(st.integers(0, 3)) == 0:
        found = draw(st.lists(values[Kind.TOKEN], min_size=1, max_size=2))
        return Clause("p", kind, Modifier.IDENTIFIER, tuple(found))
    return Clause(parameter, kind, modifier, tuple(draw(st.lists(values[kind], min_size=1, max_size=3))))


sorts = st.builds(Sort, parameters, st.sampled_from(list(values)), st.booleans()) | st.builds(
    Sort, st.just("_lastUpdated"), st.just(Kind.DATE), st.booleans()
)

# -- the plain evaluation ---------------------------------------------------------------------------------------------


def _date(value: DateValue, low: int, high: int, now: int) -> bool:
    within = value.low <= low and high <= value.high
    match value.prefix:
        case Prefix.EQ:
            return within
        case Prefix.NE:
            return not within
        case Prefix.GT:
            return high > value.high
        case Prefix.LT:
            return low < value.low
        case Prefix.GE:
            return within or high > value.high
        case Prefix.LE:
            return within or low < value.low
        case Prefix.SA:
            return low >= value.high
        case Prefix.EB:
            return high <= value.low
        case Prefix.AP:
            reach = abs(now - value.low) // 10
            return low < value.high + reach and high > value.low - reach
        case _:
            assert_never(value.prefix)


def _is_number(value: NumberValue, found: Decimal) -> bool:
    match value.prefix:
        case Prefix.EQ:
            return value.low <= found < value.high
        case Prefix.NE:
            return not value.low <= found < value.high
        case Prefix.GT | Prefix.SA:
            return found > value.value
        case Prefix.LT | Prefix.EB:
            return found < value.value
        case Prefix.GE:
            return found >= value.value
        case Prefix.LE:
            return found <= value.value
        case Prefix.AP:
            return abs(found - value.value) * 10 <= abs(value.value)
        case _:
            assert_never(value.prefix)


def _token(value: TokenValue, row: TokenRow) -> bool:
    return value.system in (None, row.system) and value.code in (None, row.code)


def _matches(value: Value, row: Row, modifier: Modifier | None, now: int) -> bool:
    match value, row:
        case TokenValue(), TokenRow():
            return _token(value, row)
        case StringValue(), StringRow():
            if modifier is Modifier.EXACT:
                return value.exact == row.exact
            if modifier is Modifier.CONTAINS:
                return value.normal in row.normal
            return row.normal.startswith(value.normal)
        case ReferenceValue(), ReferenceRow():
            if value.url is not None:
                return value.url == row.url
            return not row.url and value.id == row.id and value.type in (None, row.type)
        case DateValue(), DateRow():
            return _date(value, row.low, row.high, now)
        case NumberValue(), NumberRow():
            return _is_number(value, row.value)
        case QuantityValue(), QuantityRow():
            if not _is_number(value.number, row.value):
                return False
            if value.system is None:
                return value.code in (None, row.code, row.unit)
            return value.system == row.system and value.code in (None, row.code)
        case UriValue(), UriRow():
            return value.uri == row.uri
    return False


ROWS: dict[Kind, type[Row]] = {
    Kind.TOKEN: TokenRow,
    Kind.STRING: StringRow,
    Kind.REFERENCE: ReferenceRow,
    Kind.DATE: DateRow,
    Kind.NUMBER: NumberRow,
    Kind.QUANTITY: QuantityRow,
    Kind.URI: UriRow,
}


def meets(clause: Clause, subject: Subject, rows: Sequence[Row], now: int) -> bool:
    """Evaluate one clause as the R4 specification words it."""
    if clause.parameter == "_id":
        return any(isinstance(value, TokenValue) and value.code == subject.id for value in clause.values)
    if clause.parameter == "_lastUpdated":
        instant = subject.last_updated
        return any(isinstance(v, DateValue) and _date(v, instant, instant + 1, now) for v in clause.values)
    if clause.modifier is Modifier.IDENTIFIER:
        tokens = [row for row in rows if isinstance(row, TokenRow) and row.parameter == "p:identifier"]
        return any(isinstance(v, TokenValue) and _token(v, row) for v in clause.values for row in tokens)
    own = [row for row in rows if row.parameter == clause.parameter and isinstance(row, ROWS[clause.kind])]
    if clause.modifier is Modifier.MISSING:
        return any(isinstance(value, MissingValue) and value.missing == (not own) for value in clause.values)
    found = any(_matches(value, row, clause.modifier, now) for value in clause.values for row in own)
    return not found if clause.modifier is Modifier.NOT else found


def sort_value(sort: Sort, subject: Subject, rows: Sequence[Row]) -> Any:
    """Return the value that a resource is sorted by, None when it has none."""
    if sort.parameter == "_lastUpdated":
        return subject.last_updated
    found: list[Any] = []
    for row in rows:
        if row.parameter != sort.parameter or not isinstance(row, ROWS[sort.kind]):
            continue
        match row:
            case TokenRow():
                found.append(row.code)
            case StringRow():
                found.append(row.normal)
            case ReferenceRow():
                found.append(row.url or row.id)
            case DateRow():
                found.append(row.high if sort.descending else row.low)
            case NumberRow() | QuantityRow():
                found.append(row.value)
            case UriRow():
                found.append(row.uri)
    if not found:
        return None
    return max(found) if sort.descending else min(found)


def ranked(
    subjects: Sequence[tuple[Subject, Sequence[Row]]], sorts: Sequence[Sort]
) -> list[tuple[Subject, Sequence[Row]]]:
    """Order by the sort keys from the last to the first, each time stable; missing values last."""
    result = list(subjects)
    for sort in reversed(sorts):
        having = [pair for pair in result if sort_value(sort, *pair) is not None]
        lacking = [pair for pair in result if sort_value(sort, *pair) is None]

        def key(pair: tuple[Subject, Sequence[Row]], sort: Sort = sort) -> Any:
            return sort_value(sort, *pair)

        # `reverse` keeps equals in their order, as a stable sort must.
        result = sorted(having, key=key, reverse=sort.descending) + lacking
    return result


# -- the store under test ---------------------------------------------------------------------------------------------


class _Book:
    """Sealer, labeller, extractor and validator over the model's entries."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._salt = 0

    def seal(
        self, drafts: Sequence[Draft], provenance: Draft | None, source: bytes | None, rules: bytes | None
    ) -> tuple[tuple[Seal, ...], Seal | None]:
        self._salt += len(drafts)
        return tuple(Seal(sha256(b"%d %d" % (self._salt, n)).digest(), b"{}", b"") for n, _ in enumerate(drafts)), None

    def label(self, resource: Resource, before: Resource | None) -> Resource:
        return resource

    def facets(self, resource: Resource) -> Facets:
        return self.entries[resource["id"]].facets

    def rows(self, resource: Resource) -> Sequence[Row]:
        return self.entries[resource["id"]].rows

    def check(self, resource: Resource) -> Sequence[Issue]:
        return ()


@contextmanager
def stored(model: Sequence[Entry]) -> Iterator[tuple[Connection, list[tuple[Subject, Sequence[Row]]]]]:
    """Put the model into an empty store; yield it with the subjects that are left, in the order of their keys."""
    book = _Book()
    connection = Connection(":memory:")
    schema.prepare(connection)
    pen = Pen.over(connection)
    commits = Commits(book, book, book, book)
    moment = START

    def put(id_: str, entry: Entry, method: Method = Method.PUT) -> tuple[datetime, datetime]:
        nonlocal moment
        moment += timedelta(microseconds=1)
        book.entries[id_] = entry
        resource = {
            "resourceType": TYPE,
            "moment": microseconds(moment),
            "performer": [{"reference": f"Patient/{person}"} for person in entry.patients],
        }
        change = Change(method, TYPE, id_, None if method is Method.DELETE else resource)
        (made,) = commits.commit(pen, Transaction((change,), None, "feed:f", moment))
        return made.first_recorded, made.last_updated

    subjects: list[tuple[Subject, Sequence[Row]]] = []
    connection.execute("BEGIN")
    for number, entry in enumerate(model):
        id_ = f"r{number}"
        if entry.fate == "updated":
            put(id_, dataclasses.replace(model[number - 1], patients=("w",)))
        first, last = put(id_, entry)
        if entry.fate == "deleted":
            put(id_, entry, Method.DELETE)
            continue
        subject = Subject(TYPE, id_, entry.patients, microseconds(first), microseconds(last), entry.facets)
        subjects.append((subject, entry.rows))
    connection.execute("COMMIT")
    try:
        yield connection, subjects
    finally:
        connection.close()


def pages(connection: Connection, query: Query, visibility: Visibility, now: int) -> list[str]:
    """Follow the pages to the end and return the ids."""
    found: list[str] = []
    while True:
        page = search.search(connection, query, visibility, now)
        assert len(page.versions) <= query.count
        found += [version.id for version in page.versions]
        if page.next is None:
            return found
        assert page.versions
        query = dataclasses.replace(query, cursor=page.next)


@settings(max_examples=120, deadline=None)
@given(
    model=st.lists(entries, max_size=8),
    asked=st.lists(clauses(), max_size=3).map(tuple),
    sort=st.lists(sorts, max_size=2).map(tuple),
    count=st.integers(1, 4),
    few=st.sampled_from([0, 2, 2000]),
)
def test_compiled_searches_agree_with_plain_evaluation(
    model: list[Entry], asked: tuple[Clause, ...], sort: tuple[Sort, ...], count: int, few: int
) -> None:
    now = BASE + 40
    with stored(model) as (connection, subjects), pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "FEW", few)
        expected = ranked([pair for pair in subjects if all(meets(clause, *pair, now) for clause in asked)], sort)
        query = Query(TYPE, asked, sort, count, Total.ACCURATE)
        assert pages(connection, query, ALL, now) == [subject.id for subject, _ in expected]
        assert search.search(connection, query, ALL, now).total == len(expected)
        nothing = search.search(connection, dataclasses.replace(query, count=0), ALL, now)
        assert (nothing.versions, nothing.next, nothing.total) == ((), None, len(expected))


measures = st.sampled_from(list(vis.Measure))


@st.composite
def comparisons(draw: st.DrawFn) -> Formula:
    measure = draw(measures)
    bound = draw(st.integers(-1, 9))
    if measure in (vis.Measure.FIRST_RECORDED, vis.Measure.LAST_UPDATED):
        bound += BASE
    absent = draw(st.booleans())
    return vis.AtMost(measure, bound, absent) if draw(st.booleans()) else vis.AtLeast(measure, bound, absent)


leaves = st.one_of(
    st.builds(Constant, st.booleans()),
    st.builds(vis.TypeIn, st.frozensets(st.sampled_from([TYPE, "Patient"]), max_size=2)),
    st.builds(
        vis.InstanceIn,
        st.frozensets(st.sampled_from([f"{TYPE}/r0", f"{TYPE}/r1", f"{TYPE}/r2", "Patient/r0"]), max_size=3),
    ),
    st.builds(vis.Has, kinds, st.frozensets(codes, max_size=2)),
    st.builds(vis.Only, kinds, st.frozensets(codes, max_size=2)),
    st.builds(vis.Lacks, kinds),
    comparisons(),
)
expressions: st.SearchStrategy[Formula] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(vis.All, st.lists(inner, max_size=3).map(tuple)),
        st.builds(vis.Any, st.lists(inner, max_size=3).map(tuple)),
        st.builds(vis.Not, inner),
    ),
    max_leaves=6,
)
visibilities = st.builds(
    Visibility,
    expressions | st.just(Constant(True)),
    st.lists(st.tuples(st.frozensets(people, max_size=2), expressions), max_size=3).map(tuple),
    expressions | st.just(Constant(True)),
)


@settings(max_examples=120, deadline=None)
@given(
    model=st.lists(entries, max_size=8),
    seen=st.lists(visibilities, min_size=1, max_size=6),
    asked=clauses(),
    large=st.sampled_from([0, 200]),
    often=st.sampled_from([0, 1, 200]),
)
def test_compiled_visibility_agrees_with_the_reference_evaluator(
    model: list[Entry], seen: list[Visibility], asked: Clause, large: int, often: int
) -> None:
    now = BASE + 40
    with stored(model) as (connection, subjects), pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulas, "LARGE", large)
        patch.setattr(formulas.Groups, "_OFTEN", often)
        for visibility in seen:
            permitted = [pair for pair in subjects if visible(visibility, pair[0])]
            query = Query(TYPE, (), (), 3, Total.ACCURATE)
            assert pages(connection, query, visibility, now) == [subject.id for subject, _ in permitted]
            assert search.search(connection, query, visibility, now).total == len(permitted)
            found = [subject.id for subject, rows in permitted if meets(asked, subject, rows, now)]
            assert pages(connection, dataclasses.replace(query, clauses=(asked,)), visibility, now) == found
