"""Merges, moves, renumbering, links and deletions: of patients, accounts and visits."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe import MessageError, Severity
from hawsepipe.fhir.merge import merged
from hawsepipe_hl7v2 import translate as hl7v2_translate

PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE" + "|" * 13 + "ACC1^^^GOOD"


def adt(event: str, *segments: str) -> tuple[str, ...]:
    head = "20260301083000+0000"
    return (f"MSH|^~\\&|ADT1|GOOD|HP|HUB|{head}||ADT^{event}|M1|P|2.5.1", f"EVN|{event}|{head}", *segments)


def by_number(made: Any, type_: str) -> dict[str, dict[str, Any]]:
    """Resources by their first identifier."""
    return {item["identifier"][0]["value"]: item for item in made.all(type_)}


@pytest.mark.parametrize("event", ["A18", "A30", "A34", "A36", "A39", "A40", "A43", "A46", "A47"])
def test_what_retires_an_identifier_retires_its_patient_and_links_both(translate: Any, event: str) -> None:
    made = translate(adt(event, "PID|1||MRN1^^^GOOD^MR", "MRG|MRN2^^^GOOD^MR|||||||"))
    people = by_number(made, "Patient")
    survivor, retired = people["MRN1"], people["MRN2"]
    assert (retired["active"], "active" in survivor) == (False, False)
    assert retired["link"] == [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}]
    assert survivor["link"] == [{"other": {"reference": f"Patient/{retired['id']}"}, "type": "replaces"}]
    assert [(one["value"], one.get("use")) for one in survivor["identifier"]] == [("MRN1", None), ("MRN2", "old")]


def test_a_merge_tells_nothing_of_visits_and_accounts_that_it_does_not_name(translate: Any) -> None:
    made = translate(adt("A40", "PID|1||MRN1^^^GOOD^MR", "MRG|MRN2^^^GOOD^MR"))
    assert made.all("Encounter") == made.all("Account") == []


@pytest.mark.parametrize("event", ["A35", "A41", "A49"])
def test_a_merged_or_renumbered_account_is_inactive_and_part_of_its_successor(translate: Any, event: str) -> None:
    made = translate(adt(event, PID, "MRG|MRN1^^^GOOD^MR||ACC2^^^GOOD"))
    accounts = by_number(made, "Account")
    assert accounts["ACC2"]["status"] == "inactive"
    assert accounts["ACC2"]["partOf"] == {"reference": f"Account/{accounts['ACC1']['id']}"}
    assert [one.get("use") for one in accounts["ACC1"]["identifier"]] == [None, "old"]
    assert len(made.all("Patient")) == 1
    assert "link" not in made.one("Patient")


def test_a_moved_account_changes_hands_and_nothing_else(translate: Any) -> None:
    made = translate(adt("A44", PID, "MRG|MRN9^^^GOOD^MR||ACC1^^^GOOD"))
    account, patient = made.one("Account"), made.one("Patient")
    assert (account["subject"], account["status"]) == ([{"reference": f"Patient/{patient['id']}"}], "active")
    assert "subject" not in made.change("Account").union
    assert made.change("Account").passes
    assert "partOf" not in account


@pytest.mark.parametrize("event", ["A42", "A50"])
def test_two_numbers_of_one_visit_do_not_count_as_two_visits(translate: Any, write: Any, event: str) -> None:
    mrg = write("MRG", f1="MRN1^^^GOOD^MR", f5="V2^^^GOOD", f6="ALT2^^^GOOD")
    made = translate(adt(event, PID, mrg, write("PV1", f2="I", f19="V1^^^GOOD", f50="ALT1^^^GOOD")))
    visits = by_number(made, "Encounter")
    assert visits["V2"]["status"] == "entered-in-error"
    assert visits["V2"]["partOf"] == {"reference": f"Encounter/{visits['V1']['id']}"}
    assert not any(change.passes for change in made.translation.changes), "it stays with its patient"
    told = [(one["value"], one.get("use")) for one in visits["V1"]["identifier"]]
    assert told == [("V1", None), ("ALT1", None), ("ALT2", "old"), ("V2", "old")]


def test_a_moved_visit_belongs_to_the_new_patient_and_each_visit_has_its_own_number(translate: Any, write: Any) -> None:
    groups = [
        write("MRG", f1="MRN9^^^GOOD^MR", f5="V1^^^GOOD"),
        write("PV1", f2="I", f19="V1^^^GOOD"),
        write("MRG", f1="MRN9^^^GOOD^MR", f5="V8^^^GOOD"),
        write("PV1", f2="I", f19="V2^^^GOOD"),
    ]
    made = translate(adt("A45", PID, *groups))
    visits = by_number(made, "Encounter")
    patient = {"reference": f"Patient/{made.one('Patient')['id']}"}
    assert {number: visit["subject"] for number, visit in visits.items()} == dict.fromkeys(("V1", "V2", "V8"), patient)
    assert all(change.passes == (change.type == "Encounter") for change in made.translation.changes)
    assert visits["V8"]["partOf"] == {"reference": f"Encounter/{visits['V2']['id']}"}
    assert "partOf" not in visits["V1"]


def test_an_outpatient_who_is_admitted_under_a_new_number_has_had_both_visits(translate: Any, write: Any) -> None:
    mrg = write("MRG", f1="MRN1^^^GOOD^MR", f5="V2^^^GOOD")
    visits = by_number(translate(adt("A06", PID, mrg, write("PV1", f2="I", f19="V1^^^GOOD"))), "Encounter")
    assert (visits["V2"]["status"], visits["V1"]["status"]) == ("finished", "in-progress")
    assert visits["V1"]["class"]["code"] == "IMP"


def test_linked_patients_see_each_other_until_the_link_is_taken_away(translate: Any) -> None:
    pair = ("PID|1||MRN1^^^GOOD^MR", "PID|2||MRN2^^^GOOD^MR")
    made = translate(adt("A24", *pair))
    first, second = made.all("Patient")
    assert first["link"] == [{"other": {"reference": f"Patient/{second['id']}"}, "type": "seealso"}]
    assert second["link"] == [{"other": {"reference": f"Patient/{first['id']}"}, "type": "seealso"}]
    stored = merged(None, made.change("Patient"))
    other = {"other": {"reference": "Patient/9"}, "type": "replaces"}
    after = merged(stored | {"link": [*stored["link"], other]}, translate(adt("A37", *pair)).change("Patient"))
    assert after["link"] == [other]


def test_a_deleted_person_is_inactive(translate: Any) -> None:
    assert translate(adt("A29", PID)).one("Patient")["active"] is False


@pytest.mark.parametrize(
    ("event", "mrg", "location"),
    [
        ("A47", "MRG|^^^GOOD", "MRG-1"),
        ("A41", "MRG|MRN1^^^GOOD", "MRG-3"),
        ("A42", "MRG|MRN1^^^GOOD", "MRG-5"),
        ("A51", "MRG|MRN1^^^GOOD", "MRG-6"),
    ],
)
def test_a_merge_that_does_not_say_of_what_is_refused(translate: Any, event: str, mrg: str, location: str) -> None:
    with pytest.raises(MessageError) as caught:
        translate(adt(event, PID, mrg, "PV1|1|I|||||||||||||||||V1"))
    assert (caught.value.cause, caught.value.location) == ("required", location)


def errors(made: Any) -> list[tuple[str, str]]:
    return [(one.cause, one.location) for one in made.issues if one.severity is Severity.ERROR]


def people(made: Any) -> list[str]:
    """The first numbers of the patients."""
    return [one.resource["identifier"][0]["value"] for one in made.changes if one.type == "Patient"]


def read(*segments: str) -> Any:
    return hl7v2_translate(("\r".join(segments) + "\r").encode())


@pytest.mark.parametrize(
    "groups",
    [
        ("PID|1||A1^^^KN^MR", "MRG|B1^^^KN^MR", "PID|1||B1^^^KN^MR", "MRG|A1^^^KN^MR"),
        (
            *("PID|1||A1^^^KN^MR", "MRG|B1^^^KN^MR", "PID|1||C1^^^KN^MR", "MRG|A1^^^KN^MR"),
            *("PID|1||B1^^^KN^MR", "MRG|C1^^^KN^MR"),
        ),
        ("PID|1||A1^^^KN^MR", "MRG|B1^^^KN^MR", "PID|1||C1^^^KN^MR", "MRG|B1^^^KN^MR"),
    ],
)
def test_merges_of_one_message_that_contradict_each_other_are_refused_and_name_both(
    translate: Any, groups: tuple[str, ...]
) -> None:
    with pytest.raises(MessageError) as caught:
        translate(adt("A40", *groups))
    assert (caught.value.cause, caught.value.location) == ("identity", f"MRG[{len(groups) // 2}]-1")
    assert caught.value.reason.count("Patient/") == 2


def test_merges_in_a_chain_contradict_nothing(translate: Any) -> None:
    groups = ("PID|1||A1^^^KN^MR", "MRG|B1^^^KN^MR", "PID|1||C1^^^KN^MR", "MRG|A1^^^KN^MR")
    people = by_number(translate(adt("A40", *groups)), "Patient")
    assert {number: one.get("active") for number, one in people.items()} == {"A1": False, "B1": False, "C1": None}


def test_a_merge_by_a_number_that_identifies_nobody_is_refused_and_retires_nobody(translate: Any) -> None:
    message = adt("A40", "PID|1||F1^^^KN^MR", "MRG|123-45-6789^^^SSA^SS")
    with pytest.raises(MessageError) as caught:
        translate(message)
    assert (caught.value.cause, caught.value.location) == ("required", "MRG-1")
    made = read(*message)
    assert errors(made) == [("required", "MRG-1")]
    assert people(made) == ["F1"]
    both = translate(adt("A40", "PID|1||F1^^^KN^MR", "MRG|123-45-6789^^^SSA^SS~E1^^^KN^MR"))
    retired = next(one for one in both.all("Patient") if one.get("active") is False)
    assert retired["id"] == translate(adt("A28", "PID|1||E1^^^KN^MR")).one("Patient")["id"]


def test_a_merge_by_a_number_without_the_authority_that_the_survivors_has_is_refused(translate: Any) -> None:
    message = adt("A40", "PID|1||MRN1^^^GOOD^MR", "MRG|MRN2")
    made = read(*message)
    assert errors(made) == [("required", "MRG-1.4")]
    assert people(made) == ["MRN1"]
    assert len(translate(adt("A40", "PID|1||MRN1", "MRG|MRN2")).all("Patient")) == 2
    named = translate(message, systems={"GOOD": "urn:example:mrn"})
    assert len(named.all("Patient")) == 2, "where the facility's own numbers are those of the authority, it is told"


def test_a_merge_that_names_the_survivors_number_too_merges_the_other(translate: Any) -> None:
    people = by_number(translate(adt("A40", "PID|1||MRN1^^^GOOD^MR", "MRG|MRN1^^^GOOD^MR~MRN2^^^GOOD^MR")), "Patient")
    assert set(people) == {"MRN1", "MRN2"}
    assert [(one["value"], one.get("use")) for one in people["MRN1"]["identifier"]] == [("MRN1", None), ("MRN2", "old")]
    assert [one["value"] for one in people["MRN2"]["identifier"]] == ["MRN2"]
    assert people["MRN2"]["active"] is False
    listed = translate(adt("A40", "PID|1||MRN1^^^GOOD^MR~MRN2^^^GOOD^MR", "MRG|MRN2^^^GOOD^MR"))
    assert [one.get("active") for one in listed.all("Patient")] == [None, False]
