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
