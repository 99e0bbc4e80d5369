"""The feed cases run against the real service; those that the product serves pass, and a false expectation fails."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from hawsepipe_conformance.feeds import cases, expectations, runs
from hawsepipe_conformance.feeds.checks import ALL

CASES = Path(str(files("hawsepipe_conformance").joinpath("feed_cases.json")))
DOCUMENT: dict[str, Any] = json.loads(CASES.read_text(encoding="utf-8"))

SERVED = """
FR-02 FR-03 FR-05 FR-06 FR-07 FR-08 FR-09 FR-16 FR-18 FR-20
EN-01 EN-02 EN-03 EN-05 EN-06 EN-10 EN-12 EN-13 EN-14 EN-17 EN-18
ST-01 ST-02 ST-03 ST-08 ST-09 ST-10 ST-12 ST-14 ST-15 ST-16 ST-17 ST-18 ST-21
AK-02 AK-03 AK-04 AK-05 AK-07 AK-09 AK-10
DU-02 DU-03 DU-04 DU-05 DU-07 DU-10 DU-11
OR-01 OR-02 OR-06 OR-08
MG-01 MG-02 MG-08 MG-10 MG-13 MG-14 MG-15 SC-10 DR-15 AK-14
HT-01 HT-02 HT-04 FV-01 FV-02 FV-03 FV-04 FV-09 FV-10 FV-13 FV-15 FV-16
OR-09 MG-03 MG-05 DR-02 DR-10 DR-18 LD-03 MI-01 MI-04 OP-06 SC-01 SC-02 SC-03 SC-04 SC-08
IO-11 IO-13 FV-17
""".split()  # noqa: SIM905  ids read best in rows by category
"""What must pass. It only ever grows; the command `python -m hawsepipe_conformance.feeds` says what is still missing.
Those that take long are left to the command: the silence of FR-10, the kills of DR-01 and DR-05, the stop of DR-13;
the loads of MI-03, MI-05, MI-08, MI-10, MI-11 and MI-13 to MI-15, whose parts tests/migrate has;
FI, HT-03 and FV-18, which start services of their own, as do those of devices (IO), of which two are here."""


def _entry(id_: str, **expected: Any) -> dict[str, Any]:
    """A case of the file with some expectations changed."""
    entry: dict[str, Any] = json.loads(json.dumps(next(case for case in DOCUMENT["cases"] if case["id"] == id_)))
    entry["expected"] |= expected
    return entry


def _run(entries: list[dict[str, Any]], folder: Path) -> list[runs.Outcome]:
    path = folder / "cases.json"
    path.write_text(json.dumps(DOCUMENT | {"cases": entries}), encoding="utf-8")
    return asyncio.run(runs.run(cases.read(path), None, lambda _: None))


def test_the_cases_that_the_product_serves_pass(tmp_path: Path) -> None:
    outcomes = _run([_entry(id_) for id_ in SERVED], tmp_path)
    assert {outcome.id: outcome.failures for outcome in outcomes if not outcome.passed} == {}
    assert len(outcomes) == len(SERVED)


def test_each_check_is_written_for_the_very_prose_of_its_case() -> None:
    prose = {case.id: case.text for case in cases.read(CASES).cases}
    assert {id_: check.text for id_, check in ALL.items() if prose.get(id_) != check.text} == {}


FALSE: list[tuple[str, Mapping[str, Any]]] = [
    ("FR-02", {"ack": ["AE"]}),
    ("FR-02", {"stored": 0}),
    ("FR-02", {"conn": "closed"}),
    ("FR-05", {"ack_count": 99}),
    ("FR-05", {"in_order": False}),
    ("FR-05", {"text": "100 ACKs in any order"}),
    ("FR-06", {"metric": "framing_junk_bytes=7"}),
    ("FR-08", {"order": ["FR08a"]}),
    ("FR-08", {"dlq": 0}),
    ("FR-08", {"stored": True}),
    ("EN-10", {"effects": 1}),
    ("EN-13", {"value": {"Observation.valueString": "a|b"}}),
    ("EN-13", {"value": {}}),
    ("EN-18", {"security": False}),
    ("ST-02", {"err": "999"}),
    ("ST-17", {"effects_resources": 4}),
    ("AK-04", {"ack": ["AA"]}),
    ("FR-07", {"colour": "blue"}),
    ("FR-07", {"flag": "control-id-reuse"}),
    ("FR-07", {"current": "10:05 values"}),
]


def test_a_falsified_expectation_fails_and_says_which(tmp_path: Path) -> None:
    entries = [_entry(id_, **change) for id_, change in FALSE]
    outcomes = _run(entries, tmp_path)
    assert [outcome.id for outcome in outcomes if outcome.passed] == []
    for (_, change), outcome in zip(FALSE, outcomes, strict=True):
        (key,) = change
        assert any(key in failure for failure in outcome.failures)


TRUE_AND_FALSE: Mapping[str, tuple[Any, Any, Any]] = {
    "ack": (["AA"], ["AA"], ["AE"]),
    "ack_count": (2, 2, 3),
    "acked_lost": (0, 0, 1),
    "conn": ("open", "open", "closed"),
    "current": ("new", "new", "old"),
    "dlq": (1, 1, 0),
    "effects": (1, 1, True),
    "effects_resources": (1, 1, 4),
    "err": (["101"], "101", "102"),
    "flag": (["control-id-reuse"], "control-id-reuse", "late"),
    "in_order": (True, True, False),
    "metric": ({"junk": 6.0}, "junk=6", "junk=7"),
    "new_versions": (0, 0, 1),
    "order": (["A", "B"], ["A", "B"], ["B", "A"]),
    "security": (True, True, False),
    "status": ("finished", "finished", "planned"),
    "stored": (2, 2, 1),
    "value": ({"a.b": [1, 2]}, {"a.b": 2}, {"a.b": 3}),
}


@pytest.mark.parametrize("key", sorted(expectations.KNOWN))
def test_every_expectation_can_be_met_missed_and_unmeasured(key: str) -> None:
    fact, met, missed = TRUE_AND_FALSE[key]
    assert list(expectations.differences({key: met}, {key: fact})) == []
    assert len(list(expectations.differences({key: missed}, {key: fact}))) == 1
    assert list(expectations.differences({key: met}, {})) == [f"{key} was not measured"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expected": {"text": "all is well"}}, "prose alone"),
        ({"expected": None}, "no expectations"),
        ({"wire": [{"shout": "x"}]}, "shout"),
        ({"wire": [{"send_hex": "zz"}]}, "cannot be read"),
        ({"wire": [{"send": "x", "close": "gently"}]}, "gently"),
        ({"setup": "two feeds"}, "setup"),
    ],
)
def test_a_case_that_is_not_understood_fails(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    (outcome,) = _run([{**_entry("FR-02"), "id": "ZZ-01", **change}], tmp_path)
    assert len(outcome.failures) == 1
    assert reason in outcome.failures[0]


def test_a_case_that_was_never_seen_runs_by_its_bytes_or_its_recipe(tmp_path: Path) -> None:
    known = {**_entry("FR-02"), "id": "ZZ-01"}
    recipe = {**_entry("ST-03"), "id": "ZZ-02", "input": "MSH-12=9.9", "expected": {"ack": ["AR"], "err": "203"}}
    riddle = {**_entry("ST-03"), "id": "ZZ-03", "input": "a message as one gets them on Mondays"}
    good, better, unclear = _run([known, recipe, riddle], tmp_path)
    assert (good.failures, better.failures) == ((), ())
    assert "no recipe" in unclear.failures[0]


def test_the_command_prints_a_line_a_case_and_fails_when_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(DOCUMENT | {"cases": [_entry("FR-02"), _entry("FR-09", stored=1)]}), encoding="utf-8")
    command = [sys.executable, "-m", "hawsepipe_conformance.feeds", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lines.returncode == 1
    assert [line[:4].strip() for line in lines.stdout.splitlines()] == ["ok", "FAIL", "", "1 of"]
    told = subprocess.run([*command, "--json", "--only", "FR-02"], capture_output=True, text=True, check=False)
    assert (told.returncode, [entry["passed"] for entry in json.loads(told.stdout)]) == (0, [True])
