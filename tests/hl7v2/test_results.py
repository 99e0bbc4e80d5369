"""ORU to DiagnosticReport, Observation, ServiceRequest; VXU to Immunization."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe import Method
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.merge import merged


def oru(*segments: str) -> tuple[str, ...]:
    head = "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M2|P|2.5.1"
    return (head, "PID|1||MRN1^^^GOOD^MR||DOE^JANE", "OBR|1|P1|F1|1234-5^Panel^LN|||20260301100000+0000", *segments)


def observed(translate: Any, obx: str) -> dict[str, Any]:
    resource: dict[str, Any] = translate(oru(obx)).one("Observation")
    return resource


def test_each_obr_makes_a_report_with_its_own_observations_and_order(translate: Any, samples: Any) -> None:
    made = translate(samples["result"])
    first, second = made.all("DiagnosticReport")
    assert [len(report["result"]) for report in (first, second)] == [3, 2]
    assert (first["status"], second["status"]) == ("final", "preliminary")
    assert first["issued"] == "2026-03-01T10:14:00+00:00"
    orders = {f"ServiceRequest/{item['id']}": item["status"] for item in made.all("ServiceRequest")}
    assert [orders[report["basedOn"][0]["reference"]] for report in (first, second)] == ["completed", "active"]


def test_notes_belong_to_what_precedes_them(translate: Any, samples: Any) -> None:
    made = translate(samples["result"])
    assert made.all("ServiceRequest")[0]["note"] == [{"text": "Fasting specimen"}]
    assert [item.get("note") for item in made.all("Observation")][:2] == [
        [{"text": "Checked twice\nby two people"}],
        None,
    ]


def test_decimals_are_exactly_what_was_sent(translate: Any, samples: Any) -> None:
    glucose = translate(samples["result"]).all("Observation")[0]
    assert b'"value":5.40' in encode(glucose)
    assert glucose["valueQuantity"]["code"] == "mmol/L"
    assert glucose["referenceRange"][0]["text"] == "3.9-5.6"


@pytest.mark.parametrize(
    ("sent", "kept"), [("1.00", "1.00"), ("+7", "7"), (".50", "0.50"), ("0.0000000", "0.0000000"), ("-007.10", "-7.10")]
)
def test_numbers_keep_their_digits(translate: Any, sent: str, kept: str) -> None:
    assert f'"value":{kept}'.encode() in encode(observed(translate, f"OBX|1|NM|1-1^A^LN||{sent}||||||F"))


@pytest.mark.parametrize("sent", ["abc", "NaN", "Infinity", "1e5", "1,5", "1_0", "٣"])
def test_what_is_no_number_stays_text_and_is_reported(translate: Any, sent: str) -> None:
    body = "\r".join(oru(f"OBX|1|NM|1-1^A^LN||{sent}||||||F")).encode()
    made = translate(body, charset="utf-8")
    assert made.one("Observation")["valueString"] == sent
    assert "valueQuantity" not in made.one("Observation")
    assert made.texts("OBX-5") == ["not a number; kept as text"]


@pytest.mark.parametrize(
    ("type_", "sent", "element", "value"),
    [
        ("ST", "a\\F\\b", "valueString", "a|b"),
        ("TX", "one~two", "valueString", "one\ntwo"),
        ("FT", "a\\.br\\b", "valueString", "a\nb"),
        (
            "CE",
            "A^Alpha^L",
            "valueCodeableConcept",
            {"coding": [{"system": "urn:hawsepipe:codes:L", "code": "A", "display": "Alpha"}]},
        ),
        ("CWE", "^^^^^^^^free text", "valueCodeableConcept", {"text": "free text"}),
        ("CX", "X1^^^GOOD", "valueString", "X1"),
        ("DT", "20260301", "valueDateTime", "2026-03-01"),
        ("DTM", "202603010830+0100", "valueDateTime", "2026-03-01T08:30:00+01:00"),
        ("TS", "2026", "valueDateTime", "2026"),
        ("TM", "0830", "valueTime", "08:30:00"),
        ("DR", "20260301^20260302", "valuePeriod", {"start": "2026-03-01", "end": "2026-03-02"}),
        ("XPN", "DOE^JANE", "valueString", "DOE JANE"),
    ],
)
def test_a_value_follows_its_type(translate: Any, type_: str, sent: str, element: str, value: object) -> None:
    assert observed(translate, f"OBX|1|{type_}|1-1^A^LN||{sent}||||||F")[element] == value


@pytest.mark.parametrize(
    ("sent", "json"),
    [
        (">=^100", b'"valueQuantity":{"comparator":">=","value":100}'),
        ("^1^:^128", b'"valueString":"1 : 128"}],"numerator":{"value":1},"denominator":{"value":128}}'),
        ("^2^-^4.0", b'"valueString":"2 - 4.0"}],"low":{"value":2},"high":{"value":4.0}}'),
        ("<>^5", b'"valueString":"<> 5"'),
        ("^2^+", b'"valueString":"2 +"'),
    ],
)
def test_a_structured_number_becomes_what_it_means(translate: Any, sent: str, json: bytes) -> None:
    assert json in encode(observed(translate, f"OBX|1|SN|1-1^A^LN||{sent}||||||F"))


def test_a_correction_is_a_new_version_of_the_same_observation(translate: Any) -> None:
    made = [
        translate(oru(f"OBX|1|NM|1-1^A^LN||{value}|mg/dL|||||{status}")).change("Observation")
        for value, status in ((5, "P"), (5, "F"), (6, "C"), ("", "X"))
    ]
    assert len({change.id for change in made}) == 1
    assert {change.method for change in made} == {Method.PUT}
    statuses = [change.resource["status"] for change in made if change.resource]
    assert statuses == ["preliminary", "final", "corrected", "cancelled"]


def test_sub_ids_keep_equal_codes_apart(translate: Any) -> None:
    made = translate(
        oru("OBX|1|ST|1-1^A^LN|1|x||||||F", "OBX|2|ST|1-1^A^LN|2|y||||||F", "OBX|3|ST|1-1^A^LN|2|z||||||F")
    )
    assert len({item["id"] for item in made.all("Observation")}) == 3


def test_a_result_never_overwrites_what_an_admission_wrote(translate: Any, samples: Any) -> None:
    stored = merged(None, translate(samples["admission"]).change("Patient"))
    after = merged(stored, translate(samples["result"]).change("Patient"))
    assert after == stored
    visit = merged(None, translate(samples["admission"]).change("Encounter"))
    assert merged(visit, translate(samples["result"]).change("Encounter")) == visit


def test_the_admission_and_the_result_name_the_same_patient_and_visit(translate: Any, samples: Any) -> None:
    admission, result = translate(samples["admission"]), translate(samples["result"])
    for type_ in ("Patient", "Encounter"):
        assert admission.one(type_)["id"] == result.one(type_)["id"]


def test_a_vaccination_has_its_vaccine_dose_lot_and_people(translate: Any, samples: Any) -> None:
    given = translate(samples["vaccination"]).one("Immunization")
    assert (given["status"], given["lotNumber"], given["expirationDate"]) == ("completed", "LOT42", "2027-01-01")
    assert given["vaccineCode"]["coding"][0]["system"] == "http://hl7.org/fhir/sid/cvx"
    assert b'"value":0.5' in encode(given["doseQuantity"])
    assert given["primarySource"] is True
    assert [item["function"]["coding"][0]["code"] for item in given["performer"]] == ["OP", "AP"]
    assert given["site"]["coding"][0]["code"] == "LD"


def test_observations_about_the_vaccine_go_into_it_by_their_code(translate: Any, samples: Any) -> None:
    made = translate(samples["vaccination"])
    given = made.one("Immunization")
    assert given["programEligibility"][0]["coding"][0]["code"] == "V02"
    assert given["fundingSource"]["coding"][0]["code"] == "VXC50"
    assert given["education"] == [
        {"documentType": "Influenza VIS", "publicationDate": "2025-08-01", "presentationDate": "2026-03-02"}
    ]
    assert len(made.all("Observation")) == 6
    (reaction,) = [one for one in made.all("Observation") if one["code"]["coding"][0]["code"] == "31044-1"]
    assert given["reaction"][0]["detail"] == {"reference": f"Observation/{reaction['id']}"}
    assert reaction["partOf"] == [{"reference": f"Immunization/{given['id']}"}]


@pytest.mark.parametrize(
    ("completion", "action", "refusal", "status"),
    [
        ("CP", "A", "", "completed"),
        ("PA", "A", "", "completed"),
        ("RE", "A", "00^Parental decision^NIP002", "not-done"),
        ("RE", "A", "", "not-done"),
        ("NA", "", "", "not-done"),
        ("CP", "D", "", "entered-in-error"),
        ("", "", "", "completed"),
        ("", "", "00^Parental decision^NIP002", "not-done"),
    ],
)
def test_completion_and_action_make_the_status(
    translate: Any, write: Any, completion: str, action: str, refusal: str, status: str
) -> None:
    vaccination = (
        "MSH|^~\\&|EHR|CLINIC|IIS|STATE|20260302090000-0500||VXU^V04^VXU_V04|M3|P|2.5.1",
        "PID|1||MRN1^^^GOOD^MR",
        "ORC|RE||I55^CLINIC",
        write(
            "RXA",
            f3="20260302",
            f5="140^Flu^CVX",
            f6="999",
            f18=refusal,
            f20=completion,
            f21=action,
        ),
    )
    given = translate(vaccination).one("Immunization")
    assert (given["status"], "doseQuantity" in given) == (status, False)


def test_a_message_about_no_vaccine_makes_no_vaccination(translate: Any) -> None:
    made = translate(
        (
            "MSH|^~\\&|EHR|CLINIC|IIS|STATE|20260302090000-0500||VXU^V04^VXU_V04|M3|P|2.5.1",
            "PID|1||MRN1^^^GOOD^MR",
            "ORC|RE||9999^CLINIC",
            "RXA|0|1|20260302||998^No vaccine^CVX|999",
            "OBX|1|CE|59784-9^Presumed immunity^LN|1|38907003^Varicella^SCT||||||F",
        )
    )
    assert made.all("Immunization") == []
    assert made.one("Observation")["valueCodeableConcept"]["coding"][0]["code"] == "38907003"


def serial(number: int, value: int, at: str, status: str = "F") -> str:
    return f"OBX|{number}|NM|2345-7^Glucose^LN||{value}|mg/dL|||||{status}|||{at}"


def values(made: Any) -> dict[str, Any]:
    return {item["id"]: item["valueQuantity"]["value"] for item in made.all("Observation")}


def test_equal_codes_at_different_times_are_different_results_in_any_order(translate: Any) -> None:
    early, late = serial(1, 90, "20260301080000+0000"), serial(2, 180, "20260301100500+0000")
    both = translate(oru(early, late))
    assert values(both) == values(translate(oru(late, early)))
    assert both.texts("OBX[2]-4") == []
    ((corrected, value),) = values(translate(oru(serial(1, 185, "20260301100500+0000", "C")))).items()
    assert (values(both)[corrected], value) == (180, 185)


def test_a_time_that_repeats_the_report_s_may_be_left_out(translate: Any) -> None:
    told, untold = serial(1, 90, "202603011000+0000"), serial(1, 90, "")
    assert translate(oru(told)).one("Observation")["id"] == translate(oru(untold)).one("Observation")["id"]


def test_what_nothing_tells_apart_is_told_apart_by_its_order_and_reported(translate: Any) -> None:
    made = translate(oru(serial(1, 90, ""), serial(2, 180, "")))
    assert len(values(made)) == 2
    assert len(made.texts("OBX[2]-4")) == 1


@pytest.mark.parametrize(
    ("sent", "quantity"),
    [
        ("<0.01", b'{"comparator":"<","value":0.01,"unit":"mg/dL"'),
        (">60", b'{"comparator":">","value":60,"unit":"mg/dL"'),
        ("<=5", b'{"comparator":"<=","value":5,"unit":"mg/dL"'),
        (">= 5.0", b'{"comparator":">=","value":5.0,"unit":"mg/dL"'),
        ("< .5", b'{"comparator":"<","value":0.5,"unit":"mg/dL"'),
    ],
)
def test_a_number_with_a_comparator_is_a_quantity_with_one(translate: Any, sent: str, quantity: bytes) -> None:
    observation = observed(translate, f"OBX|1|NM|1-1^A^LN||{sent}|mg/dL|||||F")
    original = observation["valueQuantity"].pop("_value")["extension"][0]
    assert original["valueString"] == sent
    assert b'"valueQuantity":' + quantity in encode(observation)


@pytest.mark.parametrize("sent", ["5-10", "<>5", "=<5", "1:128", "9" * 501])
def test_text_in_place_of_a_number_keeps_its_unit(translate: Any, sent: str) -> None:
    made = translate(oru(f"OBX|1|NM|1-1^A^LN||{sent}|mg/dL|||||F"))
    assert made.one("Observation")["valueString"] == f"{sent} mg/dL"
    assert made.texts("OBX-5") == ["not a number; kept as text, with the unit of OBX-6"]


@pytest.mark.parametrize("type_", ["NM", "ST", "CE", "SN", ""])
@pytest.mark.parametrize("sent", ["", '""', '""~""'])
def test_a_final_result_without_a_value_says_so(translate: Any, type_: str, sent: str) -> None:
    made = observed(translate, f"OBX|1|{type_}|1-1^A^LN||{sent}||||||F")
    assert made["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert "dataAbsentReason" not in observed(translate, f"OBX|1|{type_}|1-1^A^LN||{sent}||||||X")


def test_a_result_that_is_there_is_not_called_absent(translate: Any) -> None:
    for type_, sent in (("NM", "5"), ("ED", "LAB^AP^PDF^Base64^JVBERi0="), ("CE", "A^Alpha^L"), ("DT", "20260230")):
        assert "dataAbsentReason" not in observed(translate, f"OBX|1|{type_}|1-1^A^LN||{sent}||||||F")


@pytest.mark.parametrize("sent", ["3", "-7", "0", "3.0", "0.0000001", "12345678901234567890123"])
def test_a_number_is_of_the_type_that_reading_it_again_gives(translate: Any, sent: str) -> None:
    made = observed(translate, f"OBX|1|NM|1-1^A^LN||{sent}||||||F")["valueQuantity"]["value"]
    again = decode(encode({"value": made}))["value"]
    assert (type(made), encode({"value": made})) == (type(again), encode({"value": again}))


def test_a_partial_correction_keeps_the_report_s_other_results(translate: Any) -> None:
    first = "OBX|1|NM|1-1^A^LN||5|mg/dL|||||F"
    second = "OBX|2|NM|2-2^B^LN||6|mg/dL|||||F"
    stored = merged(None, translate(oru(first, second)).change("DiagnosticReport"))
    after = merged(stored, translate(oru(second.replace("||6|", "||7|"))).change("DiagnosticReport"))
    assert after["result"] == stored["result"]
    assert len(after["result"]) == 2
    assert merged(stored, translate(oru(first, second)).change("DiagnosticReport")) == stored


def test_a_note_to_the_order_is_seen_with_the_results_and_is_no_conclusion(translate: Any) -> None:
    made = translate(oru("NTE|1||Haemolysed", "NTE|2||Call back", "OBX|1|NM|1-1^A^LN||5|mg/dL|||||F"))
    report = made.one("DiagnosticReport")
    assert [item["valueAnnotation"]["text"] for item in report["extension"]] == ["Haemolysed", "Call back"]
    assert [item["text"] for item in made.one("ServiceRequest")["note"]] == ["Haemolysed", "Call back"]
    assert "conclusion" not in report
    assert made.source("DiagnosticReport", "extension[1].valueAnnotation.text") == {"NTE[2]-3"}


def test_a_code_told_twice_is_one_coding(translate: Any) -> None:
    line = "OBX|1|CWE|1-1^A^LN||8480-6^^LN^8480-6^Systolic^LN||||||F"
    codings = translate(oru(line)).one("Observation")["valueCodeableConcept"]["coding"]
    assert codings == [{"system": "http://loinc.org", "code": "8480-6", "display": "Systolic"}]
