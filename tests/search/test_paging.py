"""Pages of an order while others write: what was there when it began comes once, wherever it is moved meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Resource, Transaction
from hawsepipe.store import postgres
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite import open_store
from hawsepipe.visibility import Constant, Visibility

from .model import BASE
from .test_against_oracle import Plain

EVERYTHING = Visibility(Constant(True), (), Constant(True))
PARAMETERS = Parameters(load(), BASE)
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    plain = Plain()
    how: dict[str, Any] = {
        "sealer": plain, "labeller": plain, "extractor": Extractor(load(), BASE), "validator": plain,
        "clock": lambda: START, "meters": Meters(), "base_url": BASE,
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield await stack.enter_async_context(open_store(tmp_path / "store", **how))
        else:
            database = request.getfixturevalue("database_at")(tmp_path)
            yield await stack.enter_async_context(postgres.open_store(database, **how))


def person(number: int, chance: Random) -> Resource:
    found: Resource = {"resourceType": "Patient", "id": f"p{number}"}
    if chance.random() < 0.8:
        found["birthDate"] = f"19{chance.randrange(10, 99)}-01-01"
    if chance.random() < 0.8:
        found["name"] = [{"family": chance.choice("abcdefg")} for _ in range(chance.randrange(1, 3))]
    return found


async def put(store: Store, *resources: Resource) -> None:
    changes = tuple(Change(Method.PUT, it["resourceType"], it["id"], it) for it in resources)
    await store.commit(Transaction(changes, None, "feed:t", START))


@pytest.mark.parametrize(
    "sort",
    ["_lastUpdated", "-_lastUpdated", "birthdate", "-birthdate", "family,-birthdate", "-family,_id", "_id", None],
)
@pytest.mark.parametrize("seed", range(2))
async def test_no_entry_comes_twice_and_none_is_missed(store: Store, sort: str | None, seed: int) -> None:
    chance = Random(seed)
    await put(store, *(person(number, chance) for number in range(40)))
    pairs = [("_count", "3"), *([("_sort", sort)] if sort else [])]
    query = PARAMETERS.parse("Patient", pairs, strict=True).query
    begun = [version.id for version in (await store.search(replace(query, count=100), EVERYTHING)).versions]
    seen: list[str] = []
    gone: set[str] = set()
    turn = 0
    while True:
        page = await store.search(query, EVERYTHING)
        assert page.versions
        seen += [version.id for version in page.versions]
        if page.next is None:
            break
        query = replace(query, cursor=page.next)
        turn += 1
        left = [number for number in range(40) if f"p{number}" not in gone]
        await put(store, *(person(number, chance) for number in chance.sample(left, 5)), person(100 + turn, chance))
        if turn % 3 == 0:
            lost = chance.choice(left)
            gone.add(f"p{lost}")
            await store.commit(
                Transaction((Change(Method.DELETE, "Patient", f"p{lost}", None),), None, "feed:t", START + timedelta(0))
            )
    assert len(seen) == len(set(seen))
    old = [name for name in seen if int(name[1:]) < 100]
    assert [name for name in begun if name not in gone] == [name for name in old if name not in gone]
    if sort is not None:
        assert old == seen, "what came after the first page has no place in its order"
