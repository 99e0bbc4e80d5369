"""The store's searches against the naive one, on thousands of queries over hospitals made by chance.

What the requester may not see is hidden from both: from the naive one by leaving it out before it begins.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.query import Total
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Draft, Issue, Method, Resource, Seal, Transaction
from hawsepipe.store import postgres
from hawsepipe.store.contract import Store
from hawsepipe.store.postgres import Database
from hawsepipe.store.sqlite import open_store
from hawsepipe.visibility import Constant, Facets, InstanceIn, Not, Visibility

from .model import BASE, UCUM, Hospital
from .oracle import Held, Oracle
from .queries import GENDERS, OWN, searches, words

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
DEFINITIONS = load()


class Plain:
    """Seals, labels and checks nothing: only what a search sees matters here."""

    def __init__(self) -> None:
        self._count = 0

    def seal(
        self, drafts: Sequence[Draft], provenance: Draft | None, source: bytes | None, rules: bytes | None
    ) -> tuple[tuple[Seal, ...], Seal | None]:
        self._count += 1
        return tuple(Seal(sha256(b"%d %d" % (self._count, n)).digest(), b"{}", b"") for n, _ in enumerate(drafts)), None

    def label(self, resource: Resource, before: Resource | None) -> Resource:
        return resource

    def facets(self, resource: Resource) -> Facets:
        return Facets()

    def check(self, resource: Resource) -> Sequence[Issue]:
        return ()


class World:
    """A hospital in a store, and what is in it. (No dataclass: what fails would be printed with all of it.)"""

    def __init__(self, run: asyncio.Runner, store: Store, held: Sequence[Held], patients: dict[str, tuple[str, ...]]):
        self.run, self.store, self.held, self.patients = run, store, held, patients
        self.now = microseconds(START + timedelta(days=30))


PARAMETERS = Parameters(DEFINITIONS, BASE, maximum=10_000)
VALUE_SETS = {
    GENDERS: frozenset((system, code) for system, codes in DEFINITIONS.value_sets[GENDERS].items() for code in codes)
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[World]]:
    """Hospitals in stores of SQLite."""
    yield from _worlds(lambda: _opened(tmp_path_factory.mktemp("store")), range(4))


@pytest.fixture(scope="module")
def worlds_in_postgres(schemas: Any) -> Iterator[list[World]]:
    """Hospitals in stores of PostgreSQL."""
    taken = [schemas.taken() for _ in range(2)]
    left = iter(taken)
    yield from _worlds(lambda: _opened_in_postgres(next(left)), range(2))
    schemas.given_back(taken)


def _worlds(opened: Callable[[], Any], seeds: Iterable[int]) -> Iterator[list[World]]:
    with asyncio.Runner() as run:
        made: list[World] = []
        contexts = []
        for seed in seeds:
            context = opened()
            store = run.run(context.__aenter__())
            contexts.append(context)
            made.append(run.run(_filled(run, store, seed)))
        yield made
        for context in contexts:
            run.run(context.__aexit__(None, None, None))


def _opened(path: Path) -> Any:
    plain = Plain()
    return open_store(
        path, sealer=plain, labeller=plain, extractor=Extractor(DEFINITIONS, BASE), validator=plain,
        clock=lambda: START + timedelta(days=30), meters=Meters(), base_url=BASE,
    )  # fmt: skip


def _opened_in_postgres(database: Database) -> Any:
    plain = Plain()
    return postgres.open_store(
        database, sealer=plain, labeller=plain, extractor=Extractor(DEFINITIONS, BASE), validator=plain,
        clock=lambda: START + timedelta(days=30), meters=Meters(), base_url=BASE, readers=1,
    )  # fmt: skip


async def _filled(run: asyncio.Runner, store: Store, seed: int) -> World:
    """Store a hospital; some resources were something else before, some are deleted."""
    hospital = Hospital(seed)
    resources = hospital.resources()
    held: dict[str, Held] = {}
    patients: dict[str, tuple[str, ...]] = {}
    moment = START
    for number, resource in enumerate(resources):
        kind, id_ = resource["resourceType"], resource["id"]
        steps = [resource]
        if number % 7 == 3:
            steps.insert(
                0,
                {**resources[number - 1], "resourceType": kind, "id": id_}
                if resources[number - 1]["resourceType"] == kind
                else resource,
            )
        for step in steps:
            moment += timedelta(seconds=1)
            change = Change(Method.PUT, kind, id_, {k: v for k, v in step.items() if k != "id"} | {"id": id_})
            (made, *_) = await store.commit(Transaction((change,), None, "feed:t", moment))
        held[f"{kind}/{id_}"] = Held(resource, microseconds(made.last_updated))
        patients[f"{kind}/{id_}"] = made.patients
        if number % 13 == 5:
            moment += timedelta(seconds=1)
            await store.commit(Transaction((Change(Method.DELETE, kind, id_, None),), None, "feed:t", moment))
            del held[f"{kind}/{id_}"]
    return World(run, store, tuple(held.values()), patients)


HIDDEN = """
Patient/pat0 Patient/pat1 Organization/org0 Encounter/enc0 Group/gro0 List/lis0 Observation/obs0 Observation/obs3
Practitioner/pra0 Provenance/pro0
"""
hidden = st.sets(words(HIDDEN.split()), max_size=4)
closed = st.sets(words(["pat0", "pat1", "pat2"]), max_size=2)


def compared(
    world: World, kind: str, pairs: list[tuple[str, str]], hide: set[str], close: set[str], count: int
) -> None:
    visibility = Visibility(
        Not(InstanceIn(frozenset(hide))), ((frozenset(close), Constant(False)),) if close else (), Constant(True)
    )
    oracle = Oracle(
        DEFINITIONS, world.held,
        lambda it: it.reference not in hide and close.isdisjoint(world.patients[it.reference]),
        world.now, BASE, VALUE_SETS,
    )  # fmt: skip
    try:
        parsed = PARAMETERS.parse(kind, pairs, strict=True)
    except InvalidRequest:
        assume(False)
    expected = oracle.search(kind, pairs)
    query = replace(parsed.query, count=count, total=Total.ACCURATE)
    found: list[str] = []
    while True:
        page = world.run.run(world.store.search(query, visibility))
        assert page.total == len(expected), (pairs, page.total, expected)
        matches = [version.reference for version in page.versions]
        beside = [version.reference for version in page.included]
        assert len(beside) == len(set(beside))
        assert set(beside) == oracle.included(pairs, matches), pairs
        found += matches
        if page.next is None:
            break
        query = replace(query, cursor=page.next)
    assert found == expected, (kind, pairs)


examples = given(st.integers(0, 3), searches(), hidden, closed, words([3, 1000]))
quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=quiet)
@examples
def test_a_search_answers_as_the_naive_one_does(
    worlds: list[World],
    seed: int,
    asked: tuple[str, list[tuple[str, str]]],
    hide: set[str],
    close: set[str],
    count: int,
) -> None:
    compared(worlds[seed], *asked, hide, close, count)


@pytest.mark.soak
@settings(max_examples=int(os.environ.get("HAWSEPIPE_SEARCHES", "10000")), deadline=None, suppress_health_check=quiet)
@examples
def test_thousands_of_searches_answer_as_the_naive_one_does(
    worlds: list[World],
    seed: int,
    asked: tuple[str, list[tuple[str, str]]],
    hide: set[str],
    close: set[str],
    count: int,
) -> None:
    compared(worlds[seed], *asked, hide, close, count)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=quiet)
@examples
def test_a_search_in_postgres_answers_as_the_naive_one_does(
    worlds_in_postgres: list[World],
    seed: int,
    asked: tuple[str, list[tuple[str, str]]],
    hide: set[str],
    close: set[str],
    count: int,
) -> None:
    compared(worlds_in_postgres[seed % 2], *asked, hide, close, count)


@pytest.mark.soak
@settings(max_examples=int(os.environ.get("HAWSEPIPE_SEARCHES", "3000")), deadline=None, suppress_health_check=quiet)
@examples
def test_thousands_of_searches_in_postgres_answer_as_the_naive_one_does(
    worlds_in_postgres: list[World],
    seed: int,
    asked: tuple[str, list[tuple[str, str]]],
    hide: set[str],
    close: set[str],
    count: int,
) -> None:
    compared(worlds_in_postgres[seed % 2], *asked, hide, close, count)


@pytest.mark.parametrize("kind", sorted(OWN))
def test_each_parameter_of_the_queries_finds_something_in_some_hospital(worlds: list[World], kind: str) -> None:
    """A comparison of nothing with nothing proves nothing."""
    silent = [name for name in OWN[kind] if not any(_finds(world, kind, name) for world in worlds)]
    assert silent == []


def _finds(world: World, kind: str, name: str) -> bool:
    oracle = Oracle(DEFINITIONS, world.held, lambda _: True, world.now, BASE, VALUE_SETS)
    return any(oracle.search(kind, [(name, value)]) for value in _samples(OWN[kind][name]))


def _samples(strategy: st.SearchStrategy[str]) -> list[str]:
    drawn: list[str] = []

    @settings(max_examples=15, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(value: str) -> None:
        drawn.append(value)

    collect()
    return drawn


def test_the_units_of_the_model_are_those_of_the_search() -> None:
    asked = PARAMETERS.parse("Observation", [("value-quantity", f"5.4|{UCUM}|mg/dL")], strict=True).query.clauses[0]
    held = {value.code: value.number.value for value in asked.values}  # type: ignore[union-attr]  # a Clause of quantities
    assert held["g/L"] == Decimal("0.054")
