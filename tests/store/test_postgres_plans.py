"""PostgreSQL's plans of the common shapes of search: nothing reads a whole table, what drives comes from an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.store.postgres import Database, schema, way_to
from hawsepipe.store.postgres.connection import Answer, Connection
from hawsepipe.store.postgres.dialect import said
from hawsepipe.store.sql import candidates, inclusion, search
from hawsepipe.visibility import AtMost, Constant, Measure, Visibility

from .test_search_plans import SHAPES

PARAMETERS = Parameters(load(), "https://fhir.example.org/fhir")
SEEN = Visibility(Constant(True), ((frozenset({"hidden"}), Constant(False)),), AtMost(Measure.RANK, 2, absent=False))


class Explained(Connection):
    """Keeps the plan of each statement that it runs."""

    def __init__(self, database: Database) -> None:
        super().__init__(way_to(database))
        self.plans: list[str] = []
        self.explaining = False

    def execute(self, statements: str, bindings: Any = None, /) -> Answer:
        if self.explaining and statements.startswith("SELECT") and "EXPLAIN" not in statements:
            text, order = said(statements)
            assert self._raw is not None
            values = [bindings[place] for place in order]
            rows = self._run(self._raw.fetch(f"EXPLAIN (COSTS OFF) {text}", *values))
            self.plans.append("\n".join(row[0] for row in rows))
        return super().execute(statements, bindings)

    def number(self, text: str) -> int:
        """Give every text a number: where there is none, nothing would be asked."""
        return 7


@pytest.fixture(scope="module")
def database(schemas: Any) -> Iterator[Database]:
    taken: Database = schemas.taken(fresh=True)
    yield taken
    schemas.given_back([taken])


@pytest.fixture
def explained(database: Database) -> Iterator[Explained]:
    connection = Explained(database)
    schema.prepare(connection, database.schema)
    yield connection
    connection.close()


def plans(connection: Explained, asked: str) -> list[str]:
    """Return the plan of every statement of a search."""
    kind, _, text = asked.partition("?")
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in text.split("&"))]
    query = PARAMETERS.parse(kind, pairs, strict=True).query
    connection.look()
    connection.explaining = True
    search.search(connection, query, SEEN, 0)
    inclusion.included(connection, query.includes, [1], SEEN)
    connection.explaining = False
    connection.execute("ROLLBACK")
    return connection.plans


@pytest.mark.parametrize("few", [0, candidates.FEW])
def test_no_common_search_reads_a_whole_table(explained: Explained, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`few` 0: every clause is met by many, so that candidates come in key order and are probed."""
    monkeypatch.setattr(candidates, "FEW", few)
    for asked in SHAPES:
        explained.plans.clear()
        for plan in plans(explained, asked):
            assert "Seq Scan" not in plan, (asked, plan)
            assert "Hash Join" not in plan, (asked, plan)
            # Nor what is there of a type, for each candidate or at once, where a clause gives the candidates.
            assert "Materialize" not in plan, (asked, plan)
            assert not few or "resource_present" not in plan, (asked, plan)


def test_a_chain_of_few_goes_from_its_target_by_the_index_of_references(explained: Explained) -> None:
    plan = plans(explained, "Observation?patient.name=lind")[-1]
    assert plan.index("string_value") < plan.index("reference_value"), plan


@pytest.mark.parametrize("unit", ["", "|http://unitsofmeasure.org|mg/dL", "||mg"])
def test_numbers_are_looked_for_below_their_unit(explained: Explained, unit: str) -> None:
    counted = plans(explained, f"Observation?value-quantity=gt5.4{unit}")[0]
    assert "quantity_value" in counted, counted
    assert "(value > " in counted, counted


def test_a_candidate_is_probed_by_its_resource(explained: Explained) -> None:
    """Whatever the statistics say, once the tables are large."""
    plan = plans(explained, "Observation?patient=ann&code=http://loinc.org|1&date=ge2026")[-1]
    assert "date_resource" in plan or "date_low" not in plan, plan
    assert "token_resource" in plan or "token_value" not in plan, plan
