"""Charges and accounts: DFT and BAR."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator

VALIDATOR = Validator(load())
PV1 = "PV1|1|I|W1||||||||||||||||V1^^^GOOD^VN|||||||||||||||||||||||||20260301080000+0100|20260303100000+0100"


@pytest.fixture
def made(translate: Any, write: Any) -> Any:
    """A message about a patient with an account."""

    def run(event: str, *segments: str, account: str = "ACC1^^^GOOD^AN", visit: str = PV1) -> Any:
        head = f"MSH|^~\\&|BILL|GOOD|HP|HUB|20260301083000+0100||{event}|B0001|P|2.5.1"
        person = write("PID", f3="P1^^^GOOD^MR", f5="DOE^JANE", f7="19800101", f8="F", f18=account)
        found = translate((head, f"EVN|{event[4:]}|20260301083000+0100", person, visit, *segments))
        for change in found.translation.changes:
            assert VALIDATOR.check(decode(encode(change.resource))) == ()
        return found

    return run


def charge(write: Any, **fields: str) -> str:
    known = {
        "f1": "1",
        "f2": "T100",
        "f4": "20260302",
        "f5": "20260303",
        "f6": "CG",
        "f7": "71045^Chest X-ray, 1 view^C4",
        "f10": "2",
        "f11": "100.50&USD",
        "f12": "50.25&USD^UP",
        "f19": "R07.9^Chest pain^I10~J06.9^Cold^I10",
        "f20": "D1^HOUSE^GREG",
        "f24": "D2^TYPES^TOM",
    }
    return str(write("FT1", **(known | fields)))


def test_a_transaction_is_a_charge_item_of_patient_visit_and_account(made: Any, write: Any) -> None:
    found = made("DFT^P03", charge(write, f13="RAD^Radiology^L", f32="Imaging Ltd^L^77", f29="0182^Aspirin^NDC"))
    item = found.one("ChargeItem")
    assert item["subject"] == {"reference": f"Patient/{found.one('Patient')['id']}"}
    assert item["context"] == {"reference": f"Encounter/{found.one('Encounter')['id']}"}
    assert item["account"] == [{"reference": f"Account/{found.one('Account')['id']}"}]
    assert (item["status"], item["code"]["coding"][0]["code"], item["quantity"]) == ("billable", "71045", {"value": 2})
    assert encode(item["priceOverride"]) == b'{"value":100.50,"currency":"USD"}'
    assert (item["occurrenceDateTime"], item["enteredDate"]) == ("2026-03-02", "2026-03-03")
    assert [one["coding"][0]["code"] for one in item["reason"]] == ["R07.9", "J06.9"]
    assert item["performer"][0]["actor"]["display"] == "GREG HOUSE"
    assert item["enterer"]["display"] == "TOM TYPES"
    assert item["costCenter"]["display"] == "Radiology"
    assert item["performingOrganization"]["display"] == "Imaging Ltd"
    assert item["productCodeableConcept"]["coding"][0]["code"] == "0182"
    (unit,) = [one["valueMoney"] for one in item["extension"] if one["url"].endswith("unit-price")]
    assert encode({"value": unit["value"]}) == b'{"value":50.25}'
    assert unit["extension"][0]["valueString"] == "UP"
    assert found.source("ChargeItem", "priceOverride.value") == {"FT1-11.1"}


@pytest.mark.parametrize(
    ("type_", "status"), [("CG", "billable"), ("", "billable"), ("CD", "not-billable"), ("PY", "not-billable")]
)
def test_a_credit_or_a_payment_is_no_charge_to_bill(made: Any, write: Any, type_: str, status: str) -> None:
    item = made("DFT^P03", charge(write, f6=type_)).one("ChargeItem")
    assert item["status"] == status
    told = [one for one in item.get("extension", ()) if one["url"].endswith("transaction-type")]
    assert [one["valueCodeableConcept"]["coding"][0]["code"] for one in told] == ([type_] if type_ else [])


def test_a_service_of_some_days_is_a_period(made: Any, write: Any) -> None:
    item = made("DFT^P03", charge(write, f4="20260301^20260303")).one("ChargeItem")
    assert item["occurrencePeriod"] == {"start": "2026-03-01", "end": "2026-03-03"}


def test_words_become_the_text_of_the_code_and_more_words_a_note(made: Any, write: Any) -> None:
    item = made("DFT^P03", charge(write, f8="Chest film", f9="extra view"), "NTE|1||Urgent").one("ChargeItem")
    assert item["code"]["text"] == "Chest film"
    assert [one["text"] for one in item["note"]] == ["extra view", "Urgent"]


def test_the_procedure_of_a_charge_is_behind_it(made: Any, write: Any) -> None:
    found = made("DFT^P03", charge(write, f25="71045^Chest X-ray^C4", f26="26^Professional^C4"))
    procedure = found.one("Procedure")
    assert (procedure["status"], procedure["code"]["coding"][0]["code"]) == ("completed", "71045")
    assert (procedure["performedDateTime"], procedure["performer"][0]["actor"]["display"]) == (
        "2026-03-02",
        "GREG HOUSE",
    )
    assert procedure["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "26"
    assert found.one("ChargeItem")["service"] == [{"reference": f"Procedure/{procedure['id']}"}]


def test_a_procedure_segment_of_the_charge_tells_more_and_is_it_then(made: Any, write: Any) -> None:
    procedure = write("PR1", f1="1", f3="71045^Chest X-ray^C4", f5="20260302090000+0100")
    found = made("DFT^P03", charge(write, f25="71045^Chest X-ray^C4"), procedure, "GP2|0320|1")
    done = found.one("Procedure")
    assert found.one("ChargeItem")["service"] == [{"reference": f"Procedure/{done['id']}"}]
    assert done["performedDateTime"] == "2026-03-02T09:00:00+01:00"


def test_a_quantity_has_the_code_of_its_unit_where_the_sender_names_its_system(made: Any, write: Any) -> None:
    item = made("DFT^P03", charge(write, f43="5^385049006&Capsule&SCT")).one("ChargeItem")
    (amount,) = [one["valueQuantity"] for one in item["extension"] if one["url"].endswith("ndc-quantity")]
    assert amount == {"value": 5, "unit": "Capsule", "system": "http://snomed.info/sct", "code": "385049006"}


def test_an_order_and_a_diagnosis_inside_a_charge_support_it(made: Any, write: Any) -> None:
    found = made(
        "DFT^P11",
        charge(write),
        "ORC|RE|O1|F1",
        "OBR|1|O1|F1|57698-3^Lipids^LN",
        "DG1|1||R07.9^Chest pain^I10",
        charge(write, f1="2", f2="T101"),
        "DG1|1||J06.9^Cold^I10",
    )
    first, second = found.all("ChargeItem")
    types = [[one["reference"].split("/")[0] for one in item["supportingInformation"]] for item in (first, second)]
    assert types == [["ServiceRequest", "Condition"], ["Condition"]]
    assert first["supportingInformation"][1] != second["supportingInformation"][0]


def test_charges_without_a_number_are_told_apart(made: Any, write: Any) -> None:
    found = made("DFT^P03", *(charge(write, f1=str(at), f2="") for at in (1, 2)))
    one, two = found.all("ChargeItem")
    assert one["id"] != two["id"]


def test_a_credit_with_the_number_of_its_charge_does_not_replace_it(made: Any, write: Any) -> None:
    ids = {made("DFT^P03", charge(write, f6=type_)).one("ChargeItem")["id"] for type_ in ("CG", "CD", "PY")}
    assert len(ids) == 3


def test_an_amount_that_is_none_and_a_currency_that_is_none_are_kept_as_text(made: Any, write: Any) -> None:
    item = made("DFT^P03", charge(write, f11="1OO&Dollars")).one("ChargeItem")
    assert [one["valueString"] for one in item["priceOverride"]["extension"]] == ["1OO", "Dollars"]


@pytest.mark.parametrize(
    ("trigger", "status", "kept"),
    [
        ("P01", "active", False),
        ("P02", "entered-in-error", False),
        ("P05", "active", True),
        ("P06", "inactive", False),
        ("P10", "active", True),
    ],
)
def test_an_event_opens_purges_or_ends_the_account(made: Any, trigger: str, status: str, kept: bool) -> None:
    found = made(f"BAR^{trigger}")
    assert found.one("Account")["status"] == status
    assert ("status" in found.change("Account").keep) is kept


def test_an_account_has_the_span_of_the_visit_and_who_pays_for_it(made: Any, write: Any) -> None:
    policy = write("IN1", f1="1", f2="PPO", f3="INS1^^^PAYERS", f4="ACME", f22="2", f36="POL1")
    found = made("BAR^P01", policy, "UB2|1|3|02~05|4")
    account = found.one("Account")
    assert account["servicePeriod"] == {"start": "2026-03-01T08:00:00+01:00", "end": "2026-03-03T10:00:00+01:00"}
    assert account["coverage"] == [
        {"coverage": {"reference": f"Coverage/{found.one('Coverage')['id']}"}, "priority": 2}
    ]
    names = [one["url"].rpartition(":")[2] for one in account["extension"]]
    assert names == ["co-insurance-days", "ub-condition", "ub-condition", "covered-days"]
