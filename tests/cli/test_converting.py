"""`hawsepipe convert`: resources of other versions as R4; losses, exit status, files of many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hawsepipe.cli import main

ORDER = {"resourceType": "MedicationOrder", "id": "m1", "status": "active", "patient": {"reference": "Patient/p1"}}
VISIT = {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}, "reason": []}
SPOUSE = {"coding": [{"system": "http://hl7.org/fhir/v3/MaritalStatus", "code": "M"}]}


def run(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)], input=text)


def test_one_resource_is_printed_for_people_with_what_was_added(tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text(json.dumps(ORDER, indent=2))
    result = run(file)
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    assert (made["resourceType"], made["subject"]) == ("MedicationRequest", {"reference": "Patient/p1"})
    assert "information mapping" in result.stderr
    assert "DSTU2 MedicationRequest: 1 MedicationRequest" in result.stderr
    assert run("-", text=json.dumps(ORDER)).stdout == result.stdout


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_file_of_lines_gives_a_line_each_and_an_outcome_for_what_was_lost(tmp_path: Path, end: str) -> None:
    file, lost = tmp_path / "export.ndjson", tmp_path / "lost.ndjson"
    file.write_text("\n".join(["", json.dumps(ORDER), json.dumps(VISIT), json.dumps(ORDER)]) + end)
    result = run("--issues", lost, file)
    assert result.exit_code == 0
    types = [json.loads(line)["resourceType"] for line in result.stdout.splitlines()]
    assert types == ["MedicationRequest", "Encounter", "MedicationRequest"]
    outcomes = [json.loads(line) for line in lost.read_text().splitlines()]
    assert {outcome["resourceType"] for outcome in outcomes} == {"OperationOutcome"}
    assert "3 messages, 0 with an error" in result.stderr


def test_the_version_is_told_by_the_option_or_by_the_resource_itself() -> None:
    body = json.dumps({"resourceType": "Patient", "id": "p", "maritalStatus": SPOUSE})
    doubtful = run("-", text=body)
    assert (doubtful.exit_code, doubtful.stdout) == (1, "")
    assert "cannot be told" in doubtful.stderr
    for version in ("STU3", "3.0", "3.0.2"):
        made = json.loads(run("--from", version, "-", text=body).stdout)
        system = made["maritalStatus"]["coding"][0]["system"]
        assert system == "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
    same = json.loads(run("--from", "R4", "-", text=body).stdout)
    assert same["maritalStatus"] == SPOUSE


def test_r4_is_written_in_stu3_and_comes_back(tmp_path: Path) -> None:
    visit = {**VISIT, "reasonCode": [{"text": "Cough"}]}
    del visit["reason"]
    older = run("--to", "STU3", "-", text=json.dumps(visit))
    assert (older.exit_code, json.loads(older.stdout)["reason"]) == (0, [{"text": "Cough"}])
    assert json.loads(run("--from", "STU3", "-", text=older.stdout).stdout) == visit
    consent = run("--to", "stu3", "-", text='{"resourceType": "Consent"}')
    assert (consent.exit_code, consent.stdout) == (1, "")
    assert run("--to", "DSTU2", "-", text="{}").exit_code == 2


@pytest.mark.parametrize("text", ["", "{", "<Patient/>", "[]", '{"id": "1"}', '{"resourceType": "Nothing"}'])
def test_what_is_no_resource_is_an_error(text: str) -> None:
    result = run("-", text=text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error" in result.stderr


def test_an_element_that_the_version_does_not_have_is_an_error_and_the_rest_is_printed() -> None:
    result = run("--from", "STU3", "-", text=json.dumps({"resourceType": "Patient", "id": "p", "colour": "red"}))
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"resourceType": "Patient", "id": "p"})
    assert "error mapping colour" in result.stderr


def test_an_unknown_version_and_a_translator_that_converts_nothing_are_refused() -> None:
    assert run("--from", "R9", "-", text=json.dumps(ORDER)).exit_code == 1
    assert run("--translator", "hl7v2", "-", text=json.dumps(ORDER)).exit_code == 2
