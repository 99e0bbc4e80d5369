"""The consent cases that ship with the project pass, from outside as a person would run them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hawsepipe_conformance import consent
from hawsepipe_conformance.timing import Timing, likelihood

CASES = files("hawsepipe_conformance").joinpath("consent_cases.json")
DOCUMENT = json.loads(CASES.read_text(encoding="utf-8"))


# Nobody seals what a search showed yet. The case about time needs quiet and thousands of requests.
NOT_YET = {"O39"}
BY_TIME = {"O40"}


def told(case: dict[str, Any], pairs: int = 5_000) -> tuple[str, ...]:
    (outcome,) = consent.run({**DOCUMENT, "cases": [case]}, Timing(pairs))
    return outcome.differences


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case["id"]), marks=[pytest.mark.soak] if case["id"] in BY_TIME else [])
        for case in DOCUMENT["cases"]
    ],
)
def test_a_case_comes_out_as_expected(case: dict[str, Any]) -> None:
    assert bool(told(case)) is (case["id"] in NOT_YET)


def test_there_are_eighty_six_cases() -> None:
    assert len(DOCUMENT["cases"]) == 86


@pytest.mark.parametrize(
    ("id", "wrong"),
    [
        ("O01", {"total": 4}),
        ("O01", {"ids": ["Observation/o1"]}),
        ("O09", {"forbidden": ["o1"]}),
        ("O14", {"next": True}),
        ("O16", {"status": 200}),
        ("O18", {"sameAs": {"method": "GET", "path": "/Observation/o1"}}),
        ("O19", {"ids": []}),
        ("O21", {"sideEffect": "the moon rises"}),
        ("O27", {"notIds": ["Observation/o1"]}),
        ("O29", {"colour": "blue"}),
        ("O35", {"eventNumbers": [2]}),
        ("O35", {"notifications": []}),
    ],
)
def test_an_expectation_that_is_falsified_fails(id: str, wrong: dict[str, Any]) -> None:
    case = next(case for case in DOCUMENT["cases"] if case["id"] == id)
    assert told({**case, "expect": {**case["expect"], **wrong}})


def test_a_precondition_that_is_not_understood_fails() -> None:
    case = next(case for case in DOCUMENT["cases"] if case["id"] == "O18")
    assert told({**case, "precondition": "h1 is on the moon"})


def test_two_samples_of_one_distribution_are_likely_and_two_that_differ_are_not() -> None:
    random = Random(3)
    one, other = ([random.gauss(0, 1) for _ in range(800)] for _ in range(2))
    assert likelihood(one, other) > 0.05
    assert likelihood(one, [it + 0.5 for it in other]) < 0.001


def test_the_runner_prints_a_line_a_case_and_fails_when_one_fails(tmp_path: Path) -> None:
    case = json.loads(json.dumps(next(case for case in DOCUMENT["cases"] if case["id"] == "D01")))
    case["expect"]["decision"] = "permit"
    wrong = tmp_path / "cases.json"
    wrong.write_text(json.dumps({**DOCUMENT, "cases": [*DOCUMENT["cases"][:3], case]}), encoding="utf-8")
    command = [sys.executable, "-m", "hawsepipe_conformance.consent", str(wrong)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lines.returncode == 1
    assert [line[:4] for line in lines.stdout.splitlines()] == ["ok  ", "ok  ", "ok  ", "FAIL", "3 of"]
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert [entry["passed"] for entry in json.loads(told.stdout)] == [True, True, True, False]
