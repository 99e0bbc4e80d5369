"""Who pays: coverages with subscriber and payor (IN1, IN2), guarantors (GT1)."""

from __future__ import annotations

from typing import Any

import pytest

HEAD = ("MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A08|M1|P|2.5.1", "EVN|A08|20260301083000+0000")
PID = "PID|1||MRN1^^^GOOD^MR||DOE^KIM" + "|" * 13 + "ACC1^^^GOOD"


def test_a_policy_names_payor_plan_group_holder_and_number(translate: Any, write: Any) -> None:
    policy = write(
        "IN1",
        f2="PPO^Preferred^L",
        f3="INS1^^^PAYERS",
        f4="ACME HEALTH",
        f5="1 PAYER WAY^^TOWN",
        f6="SMITH^ANN",
        f7="^WPN^PH^^^555^5550000",
        f8="G7",
        f9="GROUP SEVEN",
        f10="E9^^^PAYERS",
        f11="WIDGETS INC",
        f12="20260101",
        f22="2",
        f36="POL9",
        f49="SUB3^^^PAYERS^SN",
        f17="SEL",
    )
    made = translate((*HEAD, PID, policy))
    coverage, patient = made.one("Coverage"), made.one("Patient")
    companies = {f"Organization/{item['id']}": item for item in made.all("Organization")}
    payor = companies[coverage["payor"][0]["reference"]]
    assert (payor["name"], payor["contact"][0]["name"]["family"]) == ("ACME HEALTH", "SMITH")
    assert payor["telecom"][0]["value"] == "555 5550000"
    holder = companies[coverage["policyHolder"]["reference"]]
    assert (holder["name"], holder["identifier"][0]["value"]) == ("WIDGETS INC", "E9")
    told = [(one["type"]["coding"][0]["code"], one["value"], one["name"]) for one in coverage["class"]]
    assert told == [("plan", "PPO", "Preferred"), ("group", "G7", "GROUP SEVEN")]
    assert (coverage["subscriberId"], coverage["order"]) == ("SUB3", 2)
    kinds = [(one["value"], one["type"]["text"]) for one in coverage["identifier"]]
    assert kinds == [("PPO", "plan"), ("POL9", "policy number")]
    assert coverage["subscriber"] == {"reference": f"Patient/{patient['id']}"} == coverage["beneficiary"]
    assert coverage["relationship"]["coding"][0]["code"] == "self"


def test_a_plan_without_a_name_is_the_class_of_the_coverage_too(translate: Any, write: Any) -> None:
    coverage = translate((*HEAD, PID, write("IN1", f2="GKV", f3="12345", f4="ACME"))).one("Coverage")
    assert [(one["type"]["coding"][0]["code"], one["value"]) for one in coverage["class"]] == [("plan", "GKV")]
    assert coverage["identifier"][0]["type"] == {"text": "plan"}


def test_another_subscriber_is_a_relative_with_an_address_and_a_birthday(translate: Any, write: Any) -> None:
    policy = write("IN1", f2="PPO", f4="ACME", f16="DOE^PAT", f17="PAR", f18="19600102", f19="2 ELM ST^^TOWN", f43="F")
    made = translate((*HEAD, PID, policy, "IN2||111-22-3333" + "|" * 61 + "^PRN^PH^^^555^5551212"))
    person, coverage = made.one("RelatedPerson"), made.one("Coverage")
    assert coverage["subscriber"] == {"reference": f"RelatedPerson/{person['id']}"}
    assert (person["birthDate"], person["gender"], person["address"][0]["city"]) == ("1960-01-02", "female", "TOWN")
    assert person["relationship"][0]["coding"][0]["code"] == "PRN"
    assert person["identifier"][0]["value"] == "111223333"
    assert person["telecom"][0]["use"] == "home"
    # The insured is a parent of the patient: R4 asks the other way round, so no code of R4's own is claimed.
    systems = {one.get("system") for one in coverage["relationship"]["coding"]}
    assert "http://terminology.hl7.org/CodeSystem/subscriber-relationship" not in systems


def test_every_policy_has_its_own_subscriber(translate: Any, write: Any) -> None:
    policies = [
        write("IN1", f2="A", f4="ACME", f16="DOE^PAT", f17="SPO", f18="19600102"),
        "IN2||111-22-3333",
        write("IN1", f2="B", f4="BEST", f17="SEL"),
        "IN2||444-55-6666",
    ]
    made = translate((*HEAD, PID, *policies))
    first, second = made.all("Coverage")
    assert (first["subscriber"]["reference"].split("/")[0], second["subscriber"]["reference"].split("/")[0]) == (
        "RelatedPerson",
        "Patient",
    )
    assert [one["value"] for one in made.one("RelatedPerson")["identifier"]] == ["111223333"]
    assert "444-55-6666" in str(second["extension"])


def test_a_deleted_policy_was_entered_in_error(translate: Any, write: Any) -> None:
    made = translate((*HEAD, PID, write("IN1", f2="A", f4="ACME", f55="D")))
    assert made.one("Coverage")["status"] == "entered-in-error"


def test_a_guarantor_answers_for_the_account(translate: Any, write: Any) -> None:
    surety = write(
        "GT1", f2="G1^^^GOOD", f3="ROE^SAM", f5="3 OAK ST^^TOWN", f6="^PRN^PH^^^555^5553434", f11="FTH", f13="20260101"
    )
    made = translate((*HEAD, PID, surety))
    person, account = made.one("RelatedPerson"), made.one("Account")
    assert account["guarantor"] == [
        {"party": {"reference": f"RelatedPerson/{person['id']}"}, "period": {"start": "2026-01-01"}}
    ]
    codes = [one["coding"][0]["code"] for one in person["relationship"]]
    assert codes == ["FTH", "GUAR"]
    assert account["identifier"][0]["value"] == "ACC1"


@pytest.mark.parametrize(
    ("fields", "party"), [({"f3": "DOE^KIM", "f11": "SEL"}, "Patient"), ({"f21": "WELFARE OFFICE"}, "Organization")]
)
def test_the_patient_or_an_organization_may_answer_too(
    translate: Any, write: Any, fields: dict[str, str], party: str
) -> None:
    made = translate((*HEAD, PID, write("GT1", **fields)))
    assert made.one("Account")["guarantor"][0]["party"]["reference"].startswith(f"{party}/")
    assert made.all("RelatedPerson") == []
