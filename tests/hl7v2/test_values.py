"""OBX-5 by OBX-2: every type, repetitions, files; OBX-6 to 8 and 11."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

HEAD = (
    "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M2|P|2.5.1",
    "PID|1||MRN1^^^GOOD^MR||DOE^JANE",
    "OBR|1|P1|F1|1234-5^Panel^LN|||20260301100000+0000",
)
VALUE = "urn:hawsepipe:extension:value"
UNIT = "urn:hawsepipe:extension:unit"


def observed(translate: Any, type_: str, value: str, rest: str = "||||||F") -> dict[str, Any]:
    resource: dict[str, Any] = translate((*HEAD, f"OBX|1|{type_}|1-1^A^LN||{value}{rest}")).one("Observation")
    return resource


def beside(observation: dict[str, Any]) -> dict[str, Any]:
    (found,) = (one for one in observation["extension"] if one["url"] == VALUE)
    return {key: value for key, value in found.items() if key != "url"}


@pytest.mark.parametrize(
    ("type_", "sent", "element", "value"),
    [
        ("ID", "Y", "valueString", "Y"),
        ("VR", "10^20", "valueString", "10-20"),
        ("DTM", "20260301080000+0100", "valueDateTime", "2026-03-01T08:00:00+01:00"),
        ("TS", "202603", "valueDateTime", "2026-03"),
        ("TM", "0815", "valueTime", "08:15:00"),
        ("NR", "2^4.5", "valueRange", {"low": {"value": 2}, "high": {"value": Decimal("4.5")}}),
        ("DR", "20260301^20260302", "valuePeriod", {"start": "2026-03-01", "end": "2026-03-02"}),
        (
            "MO",
            "12.50^EUR",
            "valueQuantity",
            {"value": Decimal("12.50"), "unit": "EUR", "system": "urn:iso:std:iso:4217", "code": "EUR"},
        ),
        ("IS", "POS", "valueCodeableConcept", {"coding": [{"code": "POS"}]}),
        (
            "CF",
            "A^Alpha^L",
            "valueCodeableConcept",
            {"coding": [{"system": "urn:hawsepipe:codes:L", "code": "A", "display": "Alpha"}]},
        ),
    ],
)
def test_a_value_follows_its_type(translate: Any, type_: str, sent: str, element: str, value: object) -> None:
    observation = observed(translate, type_, sent)
    assert observation[element] == value
    assert [key for key in observation if key.startswith("value")] == [element]


@pytest.mark.parametrize(
    ("type_", "sent", "words", "key", "part"),
    [
        ("CX", "X1^^^GOOD", "X1", "valueIdentifier", {"value": "X1"}),
        ("XPN", "DOE^JANE", "DOE JANE", "valueHumanName", {"family": "DOE", "given": ["JANE"]}),
        ("XAD", "1 MAIN ST^^TOWN", "1 MAIN ST TOWN", "valueAddress", {"line": ["1 MAIN ST"], "city": "TOWN"}),
        ("XTN", "^PRN^PH^^^555^1234", "PRN PH 555 1234", "valueContactPoint", {"system": "phone"}),
        ("XCN", "D1^WELBY^MARCUS^^^DR", "DR MARCUS WELBY", "valueReference", {"display": "DR MARCUS WELBY"}),
        ("XON", "TOWN LAB^^99", "TOWN LAB", "valueReference", {"display": "TOWN LAB"}),
    ],
)
def test_a_type_that_an_observation_has_no_value_for_is_told_in_words_and_fully_beside(
    translate: Any, type_: str, sent: str, words: str, key: str, part: dict[str, Any]
) -> None:
    observation = observed(translate, type_, sent)
    assert observation["valueString"] == words
    assert part.items() <= beside(observation)[key].items()


@pytest.mark.parametrize("type_", ["ST", "TX", "FT"])
def test_repetitions_of_a_text_are_its_lines(translate: Any, type_: str) -> None:
    assert observed(translate, type_, "one~~two")["valueString"] == "one\n\ntwo"


def test_each_repetition_of_another_type_is_a_component_and_none_is_the_value(translate: Any) -> None:
    observation = observed(translate, "CE", "A^Alpha^L~B^Beta^L")
    assert [one["valueCodeableConcept"]["coding"][0]["code"] for one in observation["component"]] == ["A", "B"]
    assert {one["code"]["coding"][0]["code"] for one in observation["component"]} == {"1-1"}
    assert not [key for key in observation if key.startswith(("value", "dataAbsent"))]


def test_numbers_in_rows_are_sampled_data(translate: Any) -> None:
    assert observed(translate, "NA", "1^2.5^+3", "|mV^^UCUM|||||F")["valueSampledData"] == {
        "origin": {"value": 0, "unit": "mV", "system": "http://unitsofmeasure.org", "code": "mV"},
        "_period": {
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
        },
        "dimensions": 1,
        "data": "1 2.5 3",
    }
    assert observed(translate, "MA", "1&2^3&4")["valueSampledData"]["dimensions"] == 2
    assert observed(translate, "NA", "1^many")["valueString"] == "1 many"


@pytest.mark.parametrize(
    ("sent", "unit", "expected"),
    [
        ("^1^:^128", "", {"numerator": {"value": 1}, "denominator": {"value": 128}}),
        ("^1^/^2", "pcs", {"numerator": {"value": 1, "unit": "pcs"}, "denominator": {"value": 2, "unit": "pcs"}}),
        ("^2^-^4", "pcs", {"low": {"value": 2, "unit": "pcs"}, "high": {"value": 4, "unit": "pcs"}}),
    ],
)
def test_a_structured_number_keeps_how_it_was_written(
    translate: Any, sent: str, unit: str, expected: dict[str, Any]
) -> None:
    observation = observed(translate, "SN", sent, f"|{unit}|||||F")
    value = dict(observation.get("valueRatio") or observation.get("valueRange") or {})
    original = value.pop("extension")[0]
    assert original["valueString"] == " ".join(part for part in sent.split("^") if part)
    assert value == expected


def test_a_file_is_a_document_that_the_observation_is_derived_from(translate: Any) -> None:
    made = translate((*HEAD, "OBX|1|ED|18748-4^Report^LN||LAB^AP^PDF^Base64^JVBERi0=||||||F|||20260301100500+0000"))
    observation, document = made.one("Observation"), made.one("DocumentReference")
    assert observation["derivedFrom"] == [{"reference": f"DocumentReference/{document['id']}"}]
    assert "dataAbsentReason" not in observation
    attachment = document["content"][0]["attachment"]
    assert (attachment["contentType"], attachment["data"]) == ("application/pdf", "JVBERi0=")
    assert (document["status"], document["docStatus"]) == ("current", "final")
    assert document["type"]["coding"][0]["code"] == "18748-4"
    assert document["date"] == "2026-03-01T10:05:00+00:00"
    report = made.one("DiagnosticReport")
    assert document["context"]["related"] == [{"reference": f"DiagnosticReport/{report['id']}"}]


def test_each_pointer_is_a_document(translate: Any) -> None:
    obx = "OBX|1|RP|1-1^Image^LN||http://pacs/1^PACS^IM^JPEG~http://pacs/2^PACS^IM^JPEG||||||F"
    documents = translate((*HEAD, obx)).all("DocumentReference")
    assert [one["content"][0]["attachment"]["url"] for one in documents] == ["http://pacs/1", "http://pacs/2"]
    assert {one["content"][0]["attachment"]["contentType"] for one in documents} == {"image/jpeg"}


def test_data_that_do_not_decode_are_kept_as_they_were_sent(translate: Any) -> None:
    made = translate((*HEAD, "OBX|1|ED|1-1^A^LN||LAB^AP^PDF^Base64^###||||||F"))
    attachment = made.one("DocumentReference")["content"][0]["attachment"]
    assert base64.b64decode(attachment["data"]) == b"###"
    assert attachment["contentType"] == "application/octet-stream"
    assert len(made.texts("OBX-5.5")) == 1


STATUSES = {
    "A": "amended",
    "B": "amended",
    "C": "corrected",
    "D": "entered-in-error",
    "F": "final",
    "I": "registered",
    "N": "cancelled",
    "O": "registered",
    "P": "preliminary",
    "R": "preliminary",
    "S": "preliminary",
    "U": "final",
    "V": "final",
    "W": "entered-in-error",
    "X": "cancelled",
}


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_a_result_status_that_means_more_than_its_target_stays_beside_it(
    translate: Any, code: str, status: str
) -> None:
    observation = observed(translate, "NM", "1", f"||||||{code}")
    assert observation["status"] == status
    kept = observation.get("_status", {}).get("extension", [{}])[0].get("valueCodeableConcept")
    exact = code in "ACDFP"
    assert kept == (
        None if exact else {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0085", "code": code}]}
    )


def test_a_result_that_was_not_asked_for_says_so(translate: Any) -> None:
    absent = observed(translate, "NM", "", "||||||N")["dataAbsentReason"]["coding"]
    assert absent == [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-asked"}]


@pytest.mark.parametrize(
    ("sent", "low", "high"),
    [
        ("3.5-5", "3.5", "5"),
        ("3.5 to 5", "3.5", "5"),
        ("<5", None, "5"),
        (">=60", "60", None),
        ("negative", None, None),
    ],
)
def test_a_reference_range_is_parsed_where_it_is_one(
    translate: Any, sent: str, low: str | None, high: str | None
) -> None:
    (found,) = observed(translate, "NM", "4", f"|mmol/L|{sent}||||F")["referenceRange"]
    assert found["text"] == sent
    assert {key: str(found[key]["value"]) for key in ("low", "high") if key in found} == {
        key: value for key, value in (("low", low), ("high", high)) if value
    }


def test_who_made_a_result_where_and_who_answers_for_it(translate: Any, write: Any) -> None:
    obx = write(
        "OBX",
        f1="1",
        f2="NM",
        f3="1-1^A^LN",
        f5="1",
        f11="F",
        f16="T1^TECH^TOM",
        f17="M1^Method^L",
        f18="DEV7^ACME",
        f19="20260301101000+0000",
        f21="R77^LAB",
        f23="TOWN LAB^^99",
        f24="1 LAB ST^^TOWN",
        f25="D1^CHIEF^CARL",
    )
    made = translate((*HEAD, obx))
    observation, role, lab = made.one("Observation"), made.one("PractitionerRole"), made.one("Organization")
    people = {one["name"][0]["family"]: one["id"] for one in made.all("Practitioner")}
    assert {one["reference"] for one in observation["performer"]} == {
        f"Practitioner/{people['TECH']}",
        f"Organization/{lab['id']}",
        f"PractitionerRole/{role['id']}",
    }
    assert role["code"][0]["coding"][0]["code"] == "MDIR"
    assert role["practitioner"]["reference"] == f"Practitioner/{people['CHIEF']}"
    assert role["organization"]["reference"] == f"Organization/{lab['id']}"
    assert lab["address"][0]["city"] == "TOWN"
    assert observation["method"]["coding"][0]["code"] == "M1"
    assert observation["device"]["reference"] == f"Device/{made.one('Device')['id']}"
    assert observation["identifier"][0]["value"] == "R77"


def test_interpreters_and_assistants_of_a_report_have_their_functions(translate: Any, write: Any) -> None:
    obr = write(
        "OBR",
        f2="P1",
        f4="1-8^P^LN",
        f25="F",
        f32="D1&WELBY&MARCUS^20260301080000+0000^20260301090000+0000^RAD^R1",
        f33="D2&HOUSE&GREG",
        f34="T1&TECH&TOM",
        f35="C1&CLERK&ANN",
    )
    made = translate((*HEAD[:2], obr))
    report, role = made.one("DiagnosticReport"), made.one("PractitionerRole")
    assert [one["reference"].split("/")[0] for one in report["resultsInterpreter"]] == [
        "PractitionerRole",
        "Practitioner",
    ]
    assert role["period"]["end"] == "2026-03-01T09:00:00+00:00"
    assert [one["name"] for one in made.all("Location")] == ["RAD", "RAD R1"]
    functions = [one["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] for one in report["performer"]]
    assert functions == ["SPRF", "TRANS"]


@pytest.mark.parametrize(("type_", "kept"), [("CWE", "CWE"), ("FT", "FT"), ("TS", "TS"), ("NM", None), ("ST", None)])
def test_a_type_that_the_element_does_not_tell_stays(translate: Any, type_: str, kept: str | None) -> None:
    observation = observed(translate, type_, "20260301")
    told = [one["valueCode"] for one in observation.get("extension", ()) if one["url"].endswith("value-type")]
    assert told == ([kept] if kept else [])


def test_a_report_that_was_issued_on_a_day_keeps_the_day(translate: Any, write: Any) -> None:
    made = translate((*HEAD[:2], write("OBR", f2="P1", f4="1-8^P^LN", f22="20260301", f25="F")))
    report = made.one("DiagnosticReport")
    assert "issued" not in report
    assert [one.get("valueString") or one["valueDateTime"] for one in report["_issued"]["extension"]] == [
        "20260301",
        "2026-03-01",
    ]


def test_a_producer_has_its_other_code_and_name(translate: Any) -> None:
    obx = "OBX|1|NM|1-1^A^LN||1||||||F||||11D06^CENTRAL LAB^CLIA^29^TB branch^L"
    lab = translate((*HEAD, obx)).one("Organization")
    assert [one["value"] for one in lab["identifier"]] == ["11D06", "29"]
    assert (lab["name"], lab["alias"]) == ("CENTRAL LAB", ["TB branch"])


def found(translate: Any, type_: str, sent: str, unit: str, range_: str = "") -> Any:
    return translate((*HEAD, f"OBX|1|{type_}|GL^Glucose^L||{sent}|{unit}|{range_}||||F"))


@pytest.mark.parametrize("type_", ["ST", "TX", "FT", ""])
def test_a_number_with_a_unit_is_a_quantity_whatever_its_type(translate: Any, type_: str) -> None:
    observation = found(translate, type_, "12.5", "mg/dl", "70-100").one("Observation")
    ucum = "http://unitsofmeasure.org"
    assert observation["valueQuantity"] == {"value": Decimal("12.5"), "unit": "mg/dl", "system": ucum, "code": "mg/dL"}
    assert observation["referenceRange"][0]["high"]["code"] == "mg/dL"
    assert "valueString" not in observation


@pytest.mark.parametrize(
    ("sent", "comparator", "value"), [("<17", "<", 17), ("> 17", ">", 17), (">=17", ">=", 17), ("≤ 17", "<=", 17)]
)
def test_a_bound_with_a_unit_is_a_quantity_with_a_comparator(
    translate: Any, sent: str, comparator: str, value: int
) -> None:
    body = "\r".join((*HEAD, f"OBX|1|ST|GL^Glucose^L||{sent}|umol/l|||||F")).encode()
    quantity = translate(body, charset="utf-8").one("Observation")["valueQuantity"]
    assert (quantity["comparator"], quantity["value"], quantity["code"]) == (comparator, value, "umol/L")


@pytest.mark.parametrize("type_", ["ST", "TX", "FT", "", "NM"])
@pytest.mark.parametrize("sent", ["10\\S\\5", "5-10", "1:80", "12,5"])
def test_a_text_that_begins_as_an_amount_has_its_unit_in_it_and_beside_it_and_is_reported(
    translate: Any, type_: str, sent: str
) -> None:
    made = found(translate, type_, sent, "KBE/ml")
    observation = made.one("Observation")
    assert observation["valueString"] == f"{sent.replace(chr(92) + 'S' + chr(92), '^')} KBE/ml"
    assert kept_unit(observation) == {"coding": [{"code": "KBE/ml"}]}
    assert any("with the unit of OBX-6" in text for text in made.texts("OBX-5"))


@pytest.mark.parametrize("type_", ["ST", "TX", "", "NM"])
@pytest.mark.parametrize("sent", ["negativ", "see comment 12", "<script>alert(1)</script>"])
def test_a_word_is_not_made_an_amount_by_a_unit(translate: Any, type_: str, sent: str) -> None:
    observation = found(translate, type_, sent, "g/dl").one("Observation")
    assert observation["valueString"] == sent
    assert kept_unit(observation) == {"coding": [{"code": "g/dl"}]}


@pytest.mark.parametrize(
    ("type_", "sent"),
    [("CWE", "A^Alpha^L"), ("DT", "20260301"), ("TM", "0815"), ("VR", "1^2"), ("MO", "5^EUR"), ("XPN", "DOE^JANE")],
)
def test_a_unit_that_the_value_cannot_have_is_kept_beside_it(translate: Any, type_: str, sent: str) -> None:
    assert kept_unit(found(translate, type_, sent, "g/dl").one("Observation")) == {"coding": [{"code": "g/dl"}]}


@pytest.mark.parametrize(("type_", "sent"), [("NM", "5"), ("SN", "<^5"), ("NR", "2^4"), ("NA", "1^2"), ("ST", "5")])
def test_a_unit_in_the_value_is_not_told_twice(translate: Any, type_: str, sent: str) -> None:
    observation = found(translate, type_, sent, "g/dl").one("Observation")
    assert '"unit": "g/dl"' in json.dumps(observation, default=str)
    assert not [one for one in observation.get("extension", ()) if one["url"] == UNIT]


def test_lines_of_text_and_files_keep_their_unit(translate: Any) -> None:
    assert kept_unit(found(translate, "TX", "one~two", "g/dl").one("Observation")) == {"coding": [{"code": "g/dl"}]}
    sent = found(translate, "ED", "LAB^AP^PDF^Base64^JVBERi0=", "g/dl").one("Observation")
    assert kept_unit(sent) == {"coding": [{"code": "g/dl"}]}


def test_a_text_that_has_its_unit_gets_no_second_one(translate: Any) -> None:
    assert found(translate, "ST", "about 5 g/dl", "g/dl").one("Observation")["valueString"] == "about 5 g/dl"


def kept_unit(observation: dict[str, Any]) -> Any:
    (extension,) = (one for one in observation["extension"] if one["url"] == UNIT)
    return extension["valueCodeableConcept"]


def test_a_range_whose_bounds_are_the_wrong_way_round_is_text_and_reported(translate: Any, samples: Any) -> None:
    lines = tuple(line.replace("3.9-5.6", "5.6-3.9") for line in samples["result"])
    made = translate(lines)
    glucose = next(one for one in made.all("Observation") if one["code"]["coding"][0]["code"] == "2345-7")
    assert glucose["referenceRange"] == [{"text": "5.6-3.9"}]
    assert made.texts("OBX-7") == ["the lower bound is above the upper one; kept as text"]
