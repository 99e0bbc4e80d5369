"""Queries and their answers as tasks; candidates with how sure the answering system is."""

from __future__ import annotations

from typing import Any

import pytest

from .test_laws import faults

ASK = "MSH|^~\\&|EHR|CLINIC|IIS|STATE|20260302090000-0500||QBP^Q11^QBP_Q11|M1|P|2.5.1"
ANSWER = "MSH|^~\\&|IIS|STATE|EHR|CLINIC|20260302090001-0500||RSP^K11^RSP_K11|M2|P|2.5.1"
NAME = "Z34^Request Immunization History^CDCPHINVS"
QPD = f"QPD|{NAME}|T1|MRN1^^^CLINIC^MR|DOE^JANE^^^^^L|ROE|20200101|F|1 MAIN ST^^TOWN||Y|2"


def inputs(task: dict[str, Any]) -> dict[str, Any]:
    return {
        one["type"]["text"]: value for one in task["input"] for key, value in one.items() if key.startswith("value")
    }


def test_a_query_is_a_task_with_its_parameters(translate: Any) -> None:
    made = translate((ASK, QPD, "RCP|I|5^RD|R"))
    task = made.one("Task")
    assert (task["status"], task["intent"], task["code"]["coding"][0]["code"]) == ("requested", "order", "Z34")
    assert task["identifier"][0]["value"] == "T1"
    told = inputs(task)
    assert told["patient list"]["value"] == "MRN1"
    assert told["patient name"]["family"] == "DOE"
    assert (told["date of birth"], told["sex"], told["address"]["city"]) == ("2020-01-01", "F", "TOWN")
    assert (told["query priority"], told["quantity limited request"]) == ("I", "5^RD")
    assert faults(made.translation.changes) == []


@pytest.mark.parametrize(
    ("code", "status"), [("OK", "completed"), ("NF", "completed"), ("AE", "failed"), ("AR", "rejected")]
)
def test_the_answer_ends_the_query_s_task(translate: Any, code: str, status: str) -> None:
    asked = translate((ASK, QPD)).one("Task")
    made = translate((ANSWER, "MSA|AA|M1", f"QAK|T1|{code}|{NAME}|3|2|1", QPD))
    task = made.one("Task")
    assert (task["id"], task["status"]) == (asked["id"], status)
    assert task["businessStatus"]["coding"][0]["code"] == code
    assert [one["valueInteger"] for one in task["output"]] == [3, 2, 1]
    assert len(task["identifier"]) == 1
    assert faults(made.translation.changes) == []


def test_parameters_that_name_their_field_go_by_that_name(translate: Any) -> None:
    made = translate(
        (ASK.replace("Q11^QBP_Q11", "Q22^QBP_Q21"), "QPD|Q22^Find Candidates^HL7|T2|@PID.5.1^DO*~@PID.8^F")
    )
    assert inputs(made.one("Task")) == {"@PID.5.1": "DO*", "@PID.8": "F"}


def test_every_candidate_is_a_patient_with_its_confidence(translate: Any) -> None:
    made = translate(
        (
            ANSWER.replace("K11^RSP_K11", "K22^RSP_K22"),
            "MSA|AA|M1",
            "QAK|T2|OK||2|2|0",
            "QPD|Q22^Find Candidates^HL7|T2|@PID.5.1^DO*",
            "PID|1||A1^^^GOOD^MR||DOE^JANE",
            "QRI|92|NA|ALG1",
            "PID|2||A2^^^GOOD^MR||DOW^JANE",
            "QRI|40",
        )
    )
    first, second = made.all("Patient")
    assert [one["extension"][0]["valueDecimal"] for one in (first, second)] == [92, 40]
    assert (first["name"][0]["family"], second["name"][0]["family"]) == ("DOE", "DOW")


def test_the_queries_of_before_2_4_are_tasks_too(translate: Any) -> None:
    made = translate(
        (
            ASK.replace("QBP^Q11^QBP_Q11", "VXQ^V01"),
            "QRD|20260302090000-0500|R|I|Q77|||25^RD|MRN1^DOE^JANE|VXI^VACCINE INFORMATION|^VHISTORY",
            "QRF|IIS||||~19800101~F",
        )
    )
    task = made.one("Task")
    assert (task["authoredOn"], task["identifier"][0]["value"]) == ("2026-03-02T09:00:00-05:00", "Q77")
    told = inputs(task)
    assert (told["who subject filter"], told["where subject filter"]) == ("MRN1^DOE^JANE", "IIS")
    assert [one["valueString"] for one in task["input"] if one["type"]["text"] == "other subject filter"] == [
        "19800101",
        "F",
    ]
    assert faults(made.translation.changes) == []
