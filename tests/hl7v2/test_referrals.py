"""Referrals: REF and RRI, with providers, contacts, authorizations and what was sent along."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator

VALIDATOR = Validator(load())
PID = "PID|1||P1^^^GOOD^MR||DOE^JANE||19800101|F"
REFERRING = "PRD|RP^Referring^HL70286|WELBY^MARCUS|1 ROAD^^TOWN||^WPN^PH^^^555^1000||D77^NPI|20250101||GOOD CLINIC^L^77"
REFERRED = (
    "PRD|RT^Referred to^HL70286|HOUSE^GREG|||^WPN^PH^^^555^2000||D78^NPI|||BEST HOSPITAL|2 ROAD^^TOWN"
    "||^WPN^PH^^^555^2001"
)


@pytest.fixture
def made(translate: Any, write: Any) -> Any:
    """A referral with the given fields of RF1, two providers, a patient, and what follows."""

    def run(trigger: str, *others: str, type_: str = "REF", providers: tuple[str, ...] = (), **fields: str) -> Any:
        head = f"MSH|^~\\&|CLINIC|GOOD|HP|HUB|20260301083000+0100||{type_}^{trigger}|R0001|P|2.5.1"
        known = {
            "f1": "P^Pending^HL70283",
            "f2": "S^Stat^HL70280",
            "f3": "MED^Medical^HL70281",
            "f4": "WR~RP",
            "f5": "O^Outpatient^HL70284",
            "f6": "R100^GOODREF",
            "f7": "20260301",
            "f8": "20260601",
            "f9": "20260228",
            "f10": "S^Second opinion^HL70336",
        }
        request = write("RF1", **(known | fields))
        found = translate((head, request, *(providers or (REFERRING, REFERRED)), PID, *others))
        for change in found.translation.changes:
            assert VALIDATOR.check(decode(encode(change.resource))) == ()
        return found

    return run


def test_a_referral_is_a_request_and_the_task_that_fulfils_it(made: Any) -> None:
    found = made("I12", f11="X200^THEIRS", f14="Persistent cough", f24="Prefers mornings")
    request, task = found.one("ServiceRequest"), found.one("Task")
    assert request["subject"] == {"reference": f"Patient/{found.one('Patient')['id']}"}
    assert (request["status"], request["intent"], request["priority"]) == ("active", "order", "stat")
    assert [one["value"] for one in request["identifier"]] == ["R100", "X200"]
    assert request["code"]["coding"][0]["code"] == "MED"
    assert [one["coding"][0]["code"] for one in request["orderDetail"]] == ["WR", "RP"]
    assert request["occurrencePeriod"] == {"start": "2026-03-01", "end": "2026-06-01"}
    assert [one.get("text") or one["coding"][0]["code"] for one in request["reasonCode"]] == ["S", "Persistent cough"]
    assert request["note"] == [{"text": "Prefers mornings"}]
    assert (task["status"], task["focus"]) == ("requested", {"reference": f"ServiceRequest/{request['id']}"})
    assert task["for"] == request["subject"]
    assert task["businessStatus"]["coding"][0]["code"] == "P"


@pytest.mark.parametrize(
    ("type_", "trigger", "code", "request_", "task"),
    [
        ("REF", "I12", "A", "active", "accepted"),
        ("REF", "I13", "R", "revoked", "rejected"),
        ("REF", "I14", "A", "revoked", "cancelled"),
        ("RRI", "I12", "A", "active", "accepted"),
        ("RRI", "I12", "R", "revoked", "rejected"),
    ],
)
def test_the_status_is_what_the_referral_says_until_it_is_cancelled(
    made: Any, type_: str, trigger: str, code: str, request_: str, task: str
) -> None:
    found = made(trigger, type_=type_, f1=code)
    assert (found.one("ServiceRequest")["status"], found.one("Task")["status"]) == (request_, task)


def test_asking_for_the_status_changes_none(made: Any) -> None:
    found = made("I15")
    assert "status" in found.change("ServiceRequest").keep
    assert "status" in found.change("Task").keep


def test_who_refers_asks_and_who_is_referred_to_performs(made: Any) -> None:
    found = made("I12")
    asks, performs = found.all("PractitionerRole")
    request, task = found.one("ServiceRequest"), found.one("Task")
    assert request["requester"] == {"reference": f"PractitionerRole/{asks['id']}"} == task["requester"]
    assert request["performer"] == [{"reference": f"PractitionerRole/{performs['id']}"}]
    assert task["owner"] == request["performer"][0]
    welby, house = found.all("Practitioner")
    assert (welby["name"][0]["family"], welby["identifier"][0]["value"]) == ("WELBY", "D77")
    assert (welby["address"][0]["city"], asks["telecom"][0]["value"]) == ("TOWN", "555 1000")
    assert asks["practitioner"] == {"reference": f"Practitioner/{welby['id']}"}
    assert asks["period"] == {"start": "2025-01-01"}
    hospital = next(one for one in found.all("Organization") if one["name"] == "BEST HOSPITAL")
    assert performs["organization"]["reference"] == f"Organization/{hospital['id']}"
    assert (hospital["address"][0]["city"], hospital["telecom"][0]["value"]) == ("TOWN", "555 2001")
    assert found.change("Practitioner").keep == {"name", "address"}
    assert house["name"][0]["family"] == "HOUSE"


def test_other_providers_are_the_care_team(made: Any) -> None:
    found = made("I12", providers=(REFERRING, REFERRED, "PRD|PP^Primary care^HL70286|WILSON^JIM|||||D79^NPI"))
    team = found.one("CareTeam")
    assert team["participant"][0]["role"][0]["coding"][0]["code"] == "PP"
    assert {"reference": f"CareTeam/{team['id']}"} in found.one("ServiceRequest")["supportingInfo"]


def test_a_contact_is_one_of_the_organization(made: Any) -> None:
    contact = "CTD|PR^Registrar^HL70131|TYPES^TOM|3 ROAD^^TOWN||^WPN^PH^^^555^3000"
    found = made("I12", providers=(REFERRING, contact, REFERRED))
    clinic = next(one for one in found.all("Organization") if one["name"] == "GOOD CLINIC")
    (known,) = clinic["contact"]
    assert (known["name"]["family"], known["address"]["city"]) == ("TYPES", "TOWN")
    assert (known["telecom"][0]["value"], known["purpose"]["coding"][0]["code"]) == ("555 3000", "PR")


def test_an_authorization_is_the_payers_answer_that_the_referral_rests_on(made: Any, write: Any) -> None:
    payer = write(
        "AUT",
        f2="ACME^Acme Health^L",
        f4="20260301",
        f5="20260601",
        f6="A77^ACME",
        f7="200&USD",
        f8="9",
        f10="20260228",
    )
    found = made("I12", providers=(payer, REFERRING, REFERRED))
    answer = found.one("ClaimResponse")
    assert (answer["use"], answer["outcome"], answer["preAuthRef"]) == ("preauthorization", "complete", "A77")
    assert answer["preAuthPeriod"] == {"start": "2026-03-01", "end": "2026-06-01"}
    assert answer["insurer"]["display"] == "Acme Health"
    assert answer["created"] == "2026-02-28"
    assert found.one("ServiceRequest")["insurance"] == [{"reference": f"ClaimResponse/{answer['id']}"}]


def test_what_was_sent_along_stands_behind_the_referral(made: Any) -> None:
    found = made(
        "I12",
        "DG1|1||R05^Cough^I10",
        "AL1|1|DA|PEN^Penicillin^L",
        "OBR|1|O1|F1|24627-2^CT chest^LN|||20260301080000+0100||||||||||||||||||F",
        "OBX|1|TX|IMP^Impression^L||Clear||||||F",
        "PV1|1|O|W1",
        "NTE|1||Please hurry",
    )
    request = next(one for one in found.all("ServiceRequest") if "orderDetail" in one)
    assert [one["reference"].split("/")[0] for one in request["reasonReference"]] == ["Condition"]
    assert {one["reference"].split("/")[0] for one in request["supportingInfo"]} == {
        "AllergyIntolerance",
        "DiagnosticReport",
    }
    assert request["note"] == [{"text": "Please hurry"}]
