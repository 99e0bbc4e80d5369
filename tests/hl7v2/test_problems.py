"""Problems, goals, pathways and variances (PPR, PGL, PPP)."""

from __future__ import annotations

from typing import Any

import pytest

from .test_laws import faults

PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE||19800101|F"


def head(type_: str) -> str:
    return f"MSH|^~\\&|EHR|GOOD|HUB|HP|20260301083000+0000||{type_}|M1|P|2.5.1"


def prb(write: Any, **fields: str) -> str:
    return str(
        write("PRB", **({"f1": "AD", "f2": "20260301", "f3": "I50.9^Heart failure^I10C", "f4": "P1^EHR"} | fields))
    )


def code(concept: dict[str, Any]) -> str:
    return str(concept["coding"][0]["code"])


def test_a_problem_is_a_condition_of_the_problem_list(translate: Any, write: Any) -> None:
    problem = prb(
        write, f7="20250901", f13="^Confirmed", f16="20250815", f17="after the holiday", f26="24484000^Severe^SCT"
    )
    made = translate(
        (head("PPR^PC1"), PID, problem, "NTE|1||Seen by cardiology", "OBX|1|NM|1-1^BNP^LN||900|ng/L|||||F")
    )
    told = made.one("Condition")
    assert (code(told["category"][0]), code(told["clinicalStatus"]), code(told["verificationStatus"])) == (
        "problem-list-item",
        "active",
        "confirmed",
    )
    assert (told["recordedDate"], told["onsetDateTime"], code(told["severity"])) == (
        "2025-09-01",
        "2025-08-15",
        "24484000",
    )
    assert told["note"][0]["text"] == "Seen by cardiology"
    assert told["evidence"] == [{"detail": [{"reference": f"Observation/{made.one('Observation')['id']}"}]}]
    assert faults(made.translation.changes) == []


@pytest.mark.parametrize(
    ("over", "life", "status"),
    [
        ("", "", "active"),
        ("", "ACTIVE", "active"),
        ("", "^Inactive", "inactive"),
        ("20260201", "", "resolved"),
        ("20260201", "ACTIVE", "resolved"),
        ("20260201", "^Remission", "remission"),
        ("", "W^Watchful waiting^L", "active"),
    ],
)
def test_a_problem_that_is_over_is_not_active(translate: Any, write: Any, over: str, life: str, status: str) -> None:
    made = translate((head("PPR^PC2"), PID, prb(write, f1="UP", f9=over, f14=life)))
    assert code(made.one("Condition")["clinicalStatus"]) == status
    assert faults(made.translation.changes) == []


def test_a_deleted_problem_was_entered_in_error_and_is_the_same_one(translate: Any, write: Any) -> None:
    added = translate((head("PPR^PC1"), PID, prb(write))).one("Condition")
    deleted = translate((head("PPR^PC3"), PID, prb(write, f1="DE", f2="20260302"))).one("Condition")
    assert deleted["id"] == added["id"]
    assert (code(deleted["verificationStatus"]), "clinicalStatus" in deleted) == ("entered-in-error", False)


def test_two_problems_keep_their_own_notes_and_goals(translate: Any, write: Any) -> None:
    made = translate(
        (
            head("PPR^PC1"),
            PID,
            prb(write),
            "NTE|1||first",
            "GOL|AD|20260301|G1^Walk a mile^L|7^EHR||1|20260301|20260601||||||||||ACTIVE",
            prb(write, f3="J44.9^COPD^I10C", f4="P2^EHR"),
            "NTE|1||second",
        )
    )
    first, second = made.all("Condition")
    assert (first["note"][0]["text"], second["note"][0]["text"]) == ("first", "second")
    goal = made.one("Goal")
    assert goal["addresses"] == [{"reference": f"Condition/{first['id']}"}]
    assert (goal["lifecycleStatus"], goal["startDate"], goal["target"]) == (
        "active",
        "2026-03-01",
        [{"dueDate": "2026-06-01"}],
    )
    assert faults(made.translation.changes) == []


def test_a_pathway_is_a_plan_and_a_variance_an_issue_of_it(translate: Any) -> None:
    made = translate(
        (
            head("PPP^PCB"),
            PID,
            "PTH|AD|CHF^Heart failure pathway^L|9^EHR|20260301|^Active",
            "VAR|V1^EHR|20260303|20260302|N5^NURSE^ANN|D^Delay^L|Echo not done~no machine",
        )
    )
    plan, issue = made.one("CarePlan"), made.one("DetectedIssue")
    assert (plan["status"], plan["intent"], plan["title"], plan["period"]) == (
        "active",
        "plan",
        "Heart failure pathway",
        {"start": "2026-03-01"},
    )
    assert (issue["detail"], issue["identifiedDateTime"]) == ("Echo not done\nno machine", "2026-03-03")
    assert issue["implicated"] == [{"reference": f"CarePlan/{plan['id']}"}]
    assert faults(made.translation.changes) == []


def test_an_order_of_a_problem_is_a_request_with_its_report(translate: Any, write: Any) -> None:
    made = translate(
        (
            head("PPR^PC1"),
            PID,
            prb(write),
            "ORC|NW|O1^EHR",
            write("OBR", f1="1", f2="O1^EHR", f4="1^Echo^L", f7="20260301", f25="F"),
            "OBX|1|TX|1^Finding^L||Normal||||||F",
        )
    )
    assert made.one("DiagnosticReport")["status"] == "final"
    assert len(made.all("ServiceRequest")) == 1
    assert "evidence" not in made.one("Condition")
    assert faults(made.translation.changes) == []


def test_a_message_of_an_unknown_type_is_translated_segment_by_segment_when_allowed(translate: Any, write: Any) -> None:
    made = translate((head("CUS^PAT"), PID, prb(write), "ZZZ|1|x"), unmapped_events=["CUS^*"])
    assert code(made.one("Condition")["code"]) == "I50.9"
    assert made.one("Basic")["extension"][1]["valueString"] == "x"
    assert made.texts("MSH-9") == ["this event has no map of its own; its segments are translated one by one"]
