"""Versions 2.1 to 2.8.2: the same facts in the data types and structures of each become the same resources."""

from __future__ import annotations

from typing import Any

import pytest

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2")


def head(type_: str, version: str) -> str:
    return f"MSH|^~\\&|APP|GOOD|HP|HUB|20260301083000+0000||{type_}|M1|P|{version}"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_admission_reads_the_same_in_every_version(translate: Any, write: Any, version: str) -> None:
    """2.1 knows no event in MSH-9 and no types of numbers, names and phones; from 2.7 on only XTN.12 has a number."""
    old, newest = version in ("2.1", "2.2"), version >= "2.7"
    person = write(
        "PID",
        f1="1",
        f3="MRN1" if old else "MRN1^^^GOOD^MR",
        f5="DOE^JANE^Q" if old else "DOE^JANE^Q^^^^L",
        f7="19800101",
        f8="F",
        f11="1 MAIN ST^^TOWN^ST^12345",
        f13="(555)555-1212" if not newest else "^PRN^PH^^^^^^^^^(555)555-1212",
    )
    visit = write("PV1", f1="1", f2="I", f3="W1^101^A", f7="D77^WELBY^MARCUS", f19="V1", f44="20260301082500+0000")
    type_ = "ADT" if version == "2.1" else "ADT^A01" if version < "2.3.1" else "ADT^A01^ADT_A01"
    made = translate((head(type_, version), "EVN|A01|20260301083000+0000", person, visit))
    patient, encounter = made.one("Patient"), made.one("Encounter")
    assert patient["identifier"][0]["value"] == "MRN1"
    assert (patient["name"][0]["family"], patient["name"][0]["given"]) == ("DOE", ["JANE", "Q"])
    assert (patient["birthDate"], patient["gender"]) == ("1980-01-01", "female")
    assert patient["telecom"][0]["value"] == "(555)555-1212"
    assert (patient["telecom"][0]["system"], patient["telecom"][0]["use"]) == ("phone", "home")
    assert patient["address"][0]["city"] == "TOWN"
    assert (encounter["status"], encounter["class"]["code"]) == ("in-progress", "IMP")
    assert encounter["period"]["start"].startswith("2026-03-01T08:25:00")
    (doctor,) = (one for one in made.all("Practitioner") if one["name"][0]["family"] == "WELBY")
    assert doctor["identifier"][0]["value"] == "D77"
    assert {"bd", "ro"} <= {
        one.get("physicalType", {}).get("coding", [{}])[0].get("code") for one in made.all("Location")
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_a_result_reads_the_same_in_every_version(translate: Any, write: Any, version: str) -> None:
    """CE until 2.6, CWE since; TS and DTM; a structured number only since 2.3, before that a text."""
    coded = "CE" if version < "2.6" else "CWE"
    moment = "TS" if version < "2.6" else "DTM"
    type_ = "ORU" if version == "2.1" else "ORU^R01"
    segments = [
        head(type_, version),
        "PID|1||MRN1^^^GOOD^MR||DOE^JANE",
        write("OBR", f1="1", f2="P1", f3="F1", f4="24323-8^Panel^LN", f7="20260301100000+0000", f25="F"),
        "OBX|1|NM|2345-7^Glucose^LN||5.40|mmol/L|3.9-5.6|N|||F",
        f"OBX|2|{coded}|883-9^ABO group^LN||A^Group A^L||||||F",
        f"OBX|3|{moment}|11778-8^Delivery date^LN||20260901||||||F",
        "OBX|4|ST|2160-0^Creatinine^LN||<0.10|mg/dL|||||F"
        if version < "2.3"
        else "OBX|4|SN|2160-0^Creatinine^LN||<^0.10|mg/dL|||||F",
    ]
    made = translate(tuple(segments))
    glucose, group, delivery, creatinine = made.all("Observation")
    assert (str(glucose["valueQuantity"]["value"]), glucose["valueQuantity"]["unit"]) == ("5.40", "mmol/L")
    assert glucose["referenceRange"][0]["text"] == "3.9-5.6"
    assert group["valueCodeableConcept"]["coding"][0]["code"] == "A"
    assert delivery["valueDateTime"] == "2026-09-01"
    assert creatinine["valueQuantity"]["comparator"] == "<"
    assert made.one("DiagnosticReport")["status"] == "final"
    assert all(one["status"] == "final" for one in made.all("Observation"))
    assert made.one("ServiceRequest")["identifier"][0]["value"] == "P1"


def test_a_message_without_an_event_has_that_of_evn(translate: Any) -> None:
    made = translate((head("ADT", "2.1"), "EVN|A03|20260301", "PID|||MRN1||DOE^JANE", "PV1||I||||||||||||||||V1"))
    assert made.one("Encounter")["status"] == "finished"
    assert (made.translation.header or {})["eventCoding"]["code"] == "A03"


@pytest.mark.parametrize(("sent", "date"), [("202603^L", "2026-03"), ("2026^Y", "2026"), ("20260301^D", "2026-03-01")])
def test_a_ts_has_the_precision_that_is_written(translate: Any, write: Any, sent: str, date: str) -> None:
    """TS.2, the degree of precision until 2.5, only repeats what the digits say."""
    made = translate((head("ADT^A28", "2.3"), "EVN|A28", write("PID", f3="MRN1", f5="DOE^JANE", f7=sent)))
    assert made.one("Patient")["birthDate"] == date


def test_the_parts_of_a_cm_are_those_of_the_later_type(translate: Any, write: Any) -> None:
    """CM until 2.5: order numbers (later EI), specimen source (SPS), parent (EIP), interpreter (NDL), mode (PT)."""
    made = translate(
        (
            head("ORU^R01", "2.2").replace("|P|", "|P^T|"),
            "PID|||MRN1||DOE^JANE",
            "ORC|RE|P2^OE|F2^LAB|||||P1&OE^F1&LAB",
            write(
                "OBR",
                f1="1",
                f2="P2^OE",
                f3="F2^LAB",
                f4="CBC^Blood count^L",
                f7="20260301100000+0000",
                f15="BLD&Blood&HL70070^EDTA^drawn fasting^LA&Left arm&HL70163",
                f32="D9&HOUSE&GREG^20260301100000+0000^20260301101000+0000^W1",
            ),
            "OBX|1|NM|WBC^Leukocytes^L||7",
        )
    )
    request, specimen = made.one("ServiceRequest"), made.one("Specimen")
    assert [one["value"] for one in request["identifier"]] == ["P2", "F2"]
    assert [one["identifier"]["value"] for one in request["basedOn"]] == ["P1", "F1"]
    assert specimen["type"]["coding"][-1]["display"] == "Blood"
    assert specimen["container"][0]["additiveCodeableConcept"]["coding"][-1]["code"] == "EDTA"
    assert specimen["collection"]["bodySite"]["coding"][-1]["display"] == "Left arm"
    assert specimen["note"] == [{"text": "drawn fasting"}]
    report = made.one("DiagnosticReport")
    assert report["resultsInterpreter"]
    (house,) = (one for one in made.all("Practitioner") if one["name"][0]["family"] == "HOUSE")
    assert house["identifier"][0]["value"] == "D9"
    tags = (made.translation.header or {})["meta"]["tag"]
    assert [tag["code"] for tag in tags] == ["P", "T"]


@pytest.mark.parametrize(
    ("version", "sent"),
    [("2.3", "250.00^Diabetes^I9C^E11^DM 2^L"), ("2.5", "250.00^Diabetes^I9C^E11^DM 2^L^1^2^sugar")],
)
def test_a_ce_and_a_cwe_have_their_codes_in_the_same_places(
    translate: Any, write: Any, version: str, sent: str
) -> None:
    diagnosis = write("DG1", f1="1", f3=sent, f6="A")
    made = translate((head("ADT^A01", version), "EVN|A01", "PID|||MRN1||DOE^JANE", "PV1|1|I", diagnosis))
    code = made.one("Condition")["code"]
    assert [one["code"] for one in code["coding"]] == ["250.00", "E11"]
    assert code["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-9-cm"
    assert ("text" in code) == (version == "2.5")
    assert [one.get("version") for one in code["coding"]] == ([None, None] if version == "2.3" else ["1", "2"])


def test_a_third_coding_of_2_7_is_one_more(translate: Any, write: Any) -> None:
    sent = "250.00^Diabetes^I9C^E11^DM 2^L^1^2^sugar^73211009^Diabetes mellitus^SCT^2025"
    diagnosis = write("DG1", f1="1", f3=sent, f6="A")
    made = translate((head("ADT^A01", "2.7"), "EVN|A01", "PID|||MRN1||DOE^JANE", "PV1|1|I", diagnosis))
    third = made.one("Condition")["code"]["coding"][2]
    assert third == {
        "system": "http://snomed.info/sct",
        "version": "2025",
        "code": "73211009",
        "display": "Diabetes mellitus",
    }


def test_a_diagnosis_of_before_2_3_is_told_in_three_fields(translate: Any, write: Any) -> None:
    """DG1-2 the coding method, DG1-3 the bare code, DG1-4 the words."""
    diagnosis = write("DG1", f1="1", f2="I9", f3="410.9", f4="Infarction", f6="F")
    made = translate((head("ADT^A01", "2.1"), "EVN|A01", "PID|||MRN1||DOE^JANE", "PV1|1|I", diagnosis))
    code = made.one("Condition")["code"]
    assert (code["coding"][0]["code"], code["text"]) == ("410.9", "Infarction")
    assert code["coding"][0].get("system") == "http://hl7.org/fhir/sid/icd-9-cm"


def test_a_coding_method_that_is_no_known_system_is_kept(translate: Any, write: Any) -> None:
    diagnosis = write("DG1", f1="1", f2="HOUSE LIST", f3="410.9", f6="F")
    made = translate((head("ADT^A01", "2.2"), "EVN|A01", "PID|||MRN1||DOE^JANE", "PV1|1|I", diagnosis))
    assert made.one("Condition")["code"]["coding"] == [{"code": "410.9"}]
    assert made.one("Condition")["extension"] == [{"url": "urn:hawsepipe:extension:DG1-2", "valueString": "HOUSE LIST"}]


def test_a_merge_of_2_2_and_one_of_2_5_say_the_same(translate: Any) -> None:
    person, prior = "PID|1||MRN1^^^GOOD^MR||DOE^JANE", "MRG|MRN2^^^GOOD^MR"
    older = translate((head("ADT^A18", "2.2"), "EVN|A18|20260301", person, prior))
    newer = translate((head("ADT^A40^ADT_A39", "2.5"), "EVN|A40|20260301", person, prior))
    assert sorted(map(str, older.all("Patient"))) == sorted(map(str, newer.all("Patient")))
    assert {one["active"] for one in older.all("Patient") if "active" in one} >= {False}


def test_the_timing_of_orc_and_that_of_tq1_say_the_same(translate: Any, write: Any) -> None:
    order = write("OBR", f1="1", f2="P1", f4="1^Glucose^L")
    older = write("ORC", f1="NW", f2="P1", f7="2^BID^^20260301^20260304^S")
    newer = (
        write("ORC", f1="NW", f2="P1"),
        write("TQ1", f1="1", f2="2", f3="BID", f7="20260301", f8="20260304", f9="S"),
    )
    before = translate((head("ORM^O01", "2.3"), "PID|||MRN1||DOE^JANE", older, order)).one("ServiceRequest")
    after = translate((head("OML^O21", "2.5"), "PID|||MRN1||DOE^JANE", *newer, order)).one("ServiceRequest")
    assert before["occurrenceTiming"]["repeat"] == after["occurrenceTiming"]["repeat"]
    assert before["occurrenceTiming"]["code"] == after["occurrenceTiming"]["code"]
    assert (before["priority"], before["quantityQuantity"]) == (after["priority"], after["quantityQuantity"])


def test_a_vaccination_of_2_3_needs_no_order(translate: Any, write: Any) -> None:
    given = write("RXA", f1="0", f2="1", f3="20260302", f5="140^Influenza^CVX", f6="0.5", f7="mL", f15="LOT42")
    older = translate((head("VXU^V04", "2.3"), "PID|||MRN1||DOE^JANE", given))
    newer = translate((head("VXU^V04^VXU_V04", "2.5.1"), "PID|||MRN1||DOE^JANE", "ORC|RE", given))
    for made in (older, newer):
        vaccination = made.one("Immunization")
        assert (vaccination["lotNumber"], vaccination["occurrenceDateTime"]) == ("LOT42", "2026-03-02")
        assert not made.all("ServiceRequest")


def test_who_takes_part_in_2_7_is_who_had_a_field_before(translate: Any, write: Any) -> None:
    """PRT (since 2.7) stands behind what OBX-16 told until then; both name the same practitioner."""
    panel = write("OBR", f1="1", f2="P1", f4="1^Glucose^L")
    before = translate(
        (
            head("ORU^R01", "2.5"),
            "PID|||MRN1||DOE^JANE",
            panel,
            write("OBX", f1="1", f2="ST", f3="1^A^L", f5="x", f11="F", f16="D77^WELBY^MARCUS"),
        )
    )
    after = translate(
        (
            head("ORU^R01^ORU_R01", "2.8"),
            "PID|||MRN1||DOE^JANE",
            panel,
            write("OBX", f1="1", f2="ST", f3="1^A^L", f5="x", f11="F"),
            write("PRT", f2="AD", f4="RO^Responsible Observer^HL70912", f5="D77^WELBY^MARCUS"),
        )
    )
    names = [{one["id"] for one in made.all("Practitioner")} for made in (before, after)]
    assert names[0] == names[1] != set()
    assert "D77" not in str(after.one("Observation").get("note"))


@pytest.mark.parametrize("version", ["", "2", "2.9", "3.0", "2.5.1^USA^EMR"])
def test_an_unknown_version_is_read_like_the_others(translate: Any, version: str) -> None:
    made = translate((head("ADT^A28", version), "EVN|A28", "PID|1||MRN1^^^GOOD^MR||DOE^JANE"))
    assert made.one("Patient")["name"][0]["family"] == "DOE"
