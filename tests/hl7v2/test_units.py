"""Units that are known in UCUM however they are written, and those that are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe_hl7v2.units import ucum


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("mg/dl", "mg/dL"),
        ("MMOL/L", "mmol/L"),
        ("g/dl", "g/dL"),
        ("kg", "kg"),
        ("\u00b5g/l", "ug/L"),
        ("\u03bcmol/L", "umol/L"),
        ("mcg", "ug"),
        ("10^9/l", "10*9/L"),
        ("10*3/uL", "10*3/uL"),
        ("mIU/L", "m[iU]/L"),
        ("IE/ml", "[iU]/mL"),
        ("mm Hg", "mm[Hg]"),
        ("mEq/l", "meq/L"),
        ("/min", "/min"),
        ("%", "%"),
        ("pH", "[pH]"),
    ],
)
def test_a_unit_is_known_however_it_is_written(sent: str, code: str) -> None:
    assert ucum(sent) == code


@pytest.mark.parametrize(
    "sent", ["G/L", "T/L", "MIU/L", "MU/L", "M", "G", "H", "S", "A", "TBL", "KBE/ml", "mval/l", ""]
)
def test_what_could_be_another_unit_stays_as_it_was_sent(sent: str) -> None:
    assert ucum(sent) == ""


@pytest.mark.parametrize(
    ("line", "type_", "element"),
    [
        ("OBX|1|NM|1-1^A^LN||5|MG/DL|||||F", "Observation", "valueQuantity"),
        ("SPM|1|S1||BLD^Blood^HL70487||||||||4^ml", "Specimen", "collection"),
    ],
)
def test_results_and_amounts_follow_one_rule(translate: Any, line: str, type_: str, element: str) -> None:
    head = "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M2|P|2.5.1"
    made = translate((head, "PID|1||MRN1^^^GOOD^MR||DOE^JANE", "OBR|1|P1|F1|1234-5^Panel^LN", line)).one(type_)[element]
    quantity = made.get("quantity", made)
    assert quantity["system"] == "http://unitsofmeasure.org"
    assert quantity["code"] == {"MG/DL": "mg/dL", "ml": "mL"}[quantity["unit"]]


def test_a_named_system_is_the_sender_s_word(translate: Any) -> None:
    head = "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M2|P|2.5.1"
    line = "OBX|1|NM|1-1^A^LN||5|mg/dl^^99LAB|||||F"
    made = translate((head, "PID|1||MRN1^^^GOOD^MR||DOE^JANE", "OBR|1|P1|F1|1234-5^Panel^LN", line)).one("Observation")
    assert (made["valueQuantity"]["system"], made["valueQuantity"]["code"]) == ("urn:hawsepipe:codes:99LAB", "mg/dl")


SLIP = "a power of ten whose ^ is not escaped (10^3/uL is sent as 10\\S\\3/uL); read as one unit"


def result(unit: str, type_: str = "NM", value: str = "7.2") -> tuple[str, ...]:
    head = "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M2|P|2.5.1"
    line = f"OBX|1|{type_}|WBC^Leukocytes^L||{value}|{unit}|4-10|N|||F"
    return (head, "PID|1||MRN1^^^GOOD^MR||DOE^JANE", "OBR|1|P1|F1|1234-5^Panel^LN", line)


@pytest.mark.parametrize(
    ("sent", "unit", "code"),
    [
        ("10^3/uL", "10^3/uL", "10*3/uL"),
        ("10^6/uL", "10^6/uL", "10*6/uL"),
        ("10^9/L^^UCUM", "10^9/L", "10*9/L"),
        ("x10^3/uL", "x10^3/uL", "10*3/uL"),
        ("10*3/uL^10^3/uL^UCUM", "10^3/uL", "10*3/uL"),
        ("10^3/mcL", "10^3/mcL", None),
    ],
)
def test_a_power_of_ten_that_is_not_escaped_is_read_as_one_unit_and_told(
    translate: Any, sent: str, unit: str, code: str | None
) -> None:
    made = translate(result(sent))
    quantity = made.one("Observation")["valueQuantity"]
    assert (quantity["unit"], quantity.get("code")) == (unit, code)
    assert made.one("Observation")["referenceRange"][0]["high"]["unit"] == unit
    assert made.texts("OBX-6") == [SLIP]


def test_a_text_with_such_a_unit_has_the_whole_of_it(translate: Any) -> None:
    assert translate(result("10^3/uL", "ST", "5-10")).one("Observation")["valueString"] == "5-10 10^3/uL"


@pytest.mark.parametrize(
    ("sent", "told"),
    [("mg^mmol/L^UCUM", 1), ("mg^mmol/L", 1), ("mg/dL^mg/dl^UCUM", 0), ("U/L^IU/L^UCUM", 0), ("10^mg", 0)],
)
def test_a_code_and_a_name_of_two_units_are_both_kept_and_told(translate: Any, sent: str, told: int) -> None:
    made = translate(result(sent))
    quantity = made.one("Observation")["valueQuantity"]
    assert (quantity["unit"], quantity.get("code", "10")) == (sent.split("^")[1], sent.split("^")[0])
    assert len(made.texts("OBX-6")) == told
