"""The consent decision cases that ship with the project pass, from outside as a person would run them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from hawsepipe_conformance import consent

CASES = files("hawsepipe_conformance").joinpath("consent_cases.json")
DOCUMENT = json.loads(CASES.read_text(encoding="utf-8"))


@pytest.mark.parametrize("outcome", consent.run(DOCUMENT), ids=lambda outcome: str(outcome.id))
def test_a_decision_case_comes_out_as_expected(outcome: consent.Outcome) -> None:
    assert outcome.differences == ()


def test_there_are_sixty_one_decision_cases() -> None:
    assert len(consent.run(DOCUMENT)) == 61


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
