"""Plans of the common shapes of search: nothing reads a whole table, what drives comes from an index."""

from __future__ import annotations

import re

import apsw
import pytest

from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.store.sql import candidates, inclusion, search
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sqlite import schema
from hawsepipe.store.sqlite.connection import Connection
from hawsepipe.visibility import AtMost, Constant, Measure, Visibility

PARAMETERS = Parameters(load(), "https://fhir.example.org/fhir")
SEEN = Visibility(Constant(True), ((frozenset({"hidden"}), Constant(False)),), AtMost(Measure.RANK, 2, absent=False))
HARMLESS = re.compile(r"SCAN (c\b|d\b|k\b|p\b|json_each|\(subquery-\d+\)|\(join-\d+\)|\d* ?CONSTANT ROW)")
"""Candidates that an index has given, the units that there are, bound values, and what is made of them."""


def plans(asked: str, monkeypatch: pytest.MonkeyPatch, few: int) -> list[str]:
    """Return SQLite's plan of every statement of a search."""
    opened = Connection(":memory:")
    schema.prepare(opened)
    Pen.over(opened)
    monkeypatch.setattr(candidates, "FEW", few)
    statements: list[tuple[str, apsw.Bindings | None]] = []

    def trace(_cursor: apsw.Cursor, sql: str, values: apsw.Bindings | None) -> bool:
        statements.append((sql, values))
        return True

    kind, _, text = asked.partition("?")
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in text.split("&"))]
    query = PARAMETERS.parse(kind, pairs, strict=True).query
    opened.set_exec_trace(trace)
    search.search(opened, query, SEEN, 0)
    inclusion.included(opened, query.includes, [1], SEEN)
    opened.set_exec_trace(None)
    return ["\n".join(str(row[3]) for row in opened.execute(f"EXPLAIN QUERY PLAN {sql}", values))
            for sql, values in statements]  # fmt: skip


SHAPES = [
    "Observation?code=http://loinc.org|1",
    "Observation?patient=ann",
    "Observation?patient=ann&code=http://loinc.org|1&date=ge2026",
    "Observation?patient=ann&category=laboratory&_sort=-date",
    "Observation?date=ge2026-01-01&date=lt2026-02-01",
    "Observation?_sort=-_lastUpdated",
    "Observation?_lastUpdated=gt2026-01-01",
    "Observation?value-quantity=gt5.4|http://unitsofmeasure.org|mg/dL",
    "Observation?value-quantity=gt5.4",
    "Observation?value-quantity=gt5.4||mg",
    "Observation?component-code-value-quantity=8480-6$gt140",
    "Observation?code-value-quantity=2339-0$gt5",
    "Observation?code:in=http://hl7.org/fhir/ValueSet/observation-status&patient=ann",
    "Observation?patient.name=lind",
    "Observation?patient.organization.name=north",
    "Observation?subject:Patient.identifier=4711&code=1",
    "Patient?_has:Observation:patient:code=1",
    "Patient?_has:Observation:patient:_has:Provenance:target:agent=Practitioner/1",
    "Patient?identifier=urn:oid:1|4711",
    "Patient?name=lind&birthdate=1970-01-01",
    "Patient?identifier:of-type=http://t|MR|4711",
    "Patient?_list=round",
    "Patient?_id=a,b,c",
    "Patient?organization=1&_include=Patient:organization&_revinclude=Observation:patient",
    "Patient?organization=1&_revinclude=*&_include:iterate=Organization:partof",
    "ValueSet?url:below=http://v/a",
]
"""Searches that are common."""


@pytest.mark.parametrize("asked", SHAPES)
@pytest.mark.parametrize("few", [0, candidates.FEW])
def test_no_common_search_reads_a_whole_table(asked: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`few` 0: every clause is met by many, so that candidates come in key order and are probed."""
    for plan in plans(asked, monkeypatch, few):
        left = [line for line in plan.splitlines() if "SCAN" in line and not HARMLESS.search(line)]
        assert left == [], plan
        assert "AUTOMATIC" not in plan, plan


def test_a_chain_of_few_goes_from_its_target_by_the_index_of_references(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plans("Observation?patient.name=lind", monkeypatch, candidates.FEW)[-1]
    driven = plan.index("string_value")
    assert driven < plan.index("reference_value"), plan


@pytest.mark.parametrize("unit", ["", "|http://unitsofmeasure.org|mg/dL", "||mg", "|http://unitsofmeasure.org|"])
def test_numbers_are_looked_for_below_their_unit(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = plans(f"Observation?value-quantity=gt5.4{unit}", monkeypatch, candidates.FEW)[0]
    assert "quantity_value (parameter=? AND code=? AND value>?)" in counted, counted


def test_instants_are_counted_by_their_own_index(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = plans("Observation?_lastUpdated=gt2026-01-01&code=1", monkeypatch, candidates.FEW)
    assert any("resource_updated (type=? AND last_updated>?" in plan for plan in counted), counted


def test_a_reverse_chain_is_probed_by_the_index_of_references(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plans("Patient?_has:Observation:patient:code=1", monkeypatch, 0)[-1]
    assert "SEARCH l EXISTS USING COVERING INDEX reference_value (parameter=? AND value=?" in plan, plan
