"""Notes by what they follow, and the small segments of orders and results: IPC, BLG, TQ2, CTD, TCD, SID, INV, DSP."""

from __future__ import annotations

from typing import Any

import pytest

HEAD = "MSH|^~\\&|OE|GOOD|HP|HUB|20260301101500+0000||{}|M2|P|2.5.1"
PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"
NOTE = "urn:hawsepipe:extension:note"
REPORT_NOTE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note"


def sent(kind: str, *segments: str) -> tuple[str, ...]:
    return (HEAD.format(kind), PID, *segments)


def notes(resource: dict[str, Any]) -> list[str]:
    beside = [one["valueAnnotation"] for one in resource.get("extension", ()) if one["url"] in (NOTE, REPORT_NOTE)]
    return [one["text"] for one in (*resource.get("note", ()), *beside)]


def test_a_note_belongs_to_what_it_follows(translate: Any, write: Any) -> None:
    made = translate(
        sent(
            "ORU^R01",
            "NTE|1||patient",
            write("PV1", f1="1", f2="I", f19="V1"),
            "NTE|1||visit",
            "ORC|RE|P1|F1",
            "NTE|1||control",
            "OBR|1|P1|F1|1-8^P^LN",
            "NTE|1||order",
            "TQ1|1||BID",
            "NTE|1||timing",
            "OBX|1|NM|1-1^A^LN||1||||||F",
            "NTE|1||result",
            "NTE|2||more~of it",
            "OBX|2|NM|1-2^B^LN||2||||||F",
            "SPM|1|^S1",
            "NTE|1||specimen",
        )
    )
    assert notes(made.one("Patient")) == ["patient"]
    assert notes(made.one("Encounter")) == ["visit"]
    assert notes(made.one("ServiceRequest")) == ["control", "order", "timing"]
    assert notes(made.one("DiagnosticReport")) == ["order"]
    assert [notes(one) for one in made.all("Observation")] == [["result", "more\nof it"], []]
    assert notes(made.one("Specimen")) == ["specimen"]


def test_a_note_has_its_author_time_and_kind(translate: Any) -> None:
    nte = "NTE|1|L|clotted|RE^Remark^HL70364|T1^TECH^TOM|20260301080000+0000"
    observation = translate(sent("ORU^R01", "OBR|1|P1|F1|1-8^P^LN", "OBX|1|NM|1-1^A^LN||1||||||F", nte)).one(
        "Observation"
    )
    (note,) = observation["note"]
    assert note["authorReference"]["display"] == "TOM TECH"
    assert note["time"] == "2026-03-01T08:00:00+00:00"
    assert note["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "RE"


@pytest.mark.parametrize(
    ("segment", "name", "value"),
    [
        ("TQ2|1||P7^OE", "related-placer-order", "P7"),
        ("BLG|A|CH^Charge^HL70122|ACC1", "billing-account", "ACC1"),
        ("CTD|BP^Billing^HL70131|ROE^ANN", "contact-name", "ROE"),
        ("TCD|1-8||||||Y", "reflex-allowed", True),
    ],
)
def test_details_of_an_order_stay_with_it(translate: Any, segment: str, name: str, value: object) -> None:
    order = translate(sent("OML^O21", "ORC|NW|P1", "OBR|1|P1||1-8^P^LN", segment)).one("ServiceRequest")
    (found,) = (one for one in order["extension"] if one["url"].endswith(f":{name}"))
    (content,) = (content for key, content in found.items() if key != "url")
    assert content is value if isinstance(value, bool) else value in content.values()


def test_an_imaging_order_has_its_accession_study_and_modality(translate: Any) -> None:
    ipc = "IPC|A77|RP1|1.2.3.4|SPS1|CT^Computed tomography^DCM"
    order = translate(sent("OMI^O23", "ORC|NW|P1", "OBR|1|P1||36813-4^CT abdomen^LN", ipc)).one("ServiceRequest")
    assert {one["value"]: one.get("system") for one in order["identifier"]}["urn:oid:1.2.3.4"] == "urn:dicom:uid"
    assert "A77" in {one["value"] for one in order["identifier"]}
    assert order["orderDetail"][0]["coding"][0]["code"] == "CT"


def test_what_a_result_was_made_with_stays_with_it(translate: Any) -> None:
    made = translate(
        sent(
            "OUL^R22",
            "SPM|1|^S1",
            "SAC|||TUBE1",
            "INV|REAG^Reagent^L|OK^Ok^HL70383|RC^Reagent calibrator^HL70384|BOX1|||||25||mL^^UCUM|20270101||||LOT9",
            "OBR|1|P1|F1|1-8^P^LN",
            "OBX|1|NM|1-1^A^LN||1||||||F",
            "TCD|1-1|^1^:^2",
            "SID|METH^Method^L|LOT9",
        )
    )
    names = {one["url"].rpartition(":")[2] for one in made.one("Observation")["extension"]}
    assert names == {"auto-dilution", "test-method", "substance-lot"}
    substance = made.one("Substance")
    assert substance["code"]["coding"][0]["code"] == "REAG"
    assert substance["instance"][0]["expiry"] == "2027-01-01"
    reference = made.one("Specimen")["extension"][0]["valueReference"]
    assert reference == {"reference": f"Substance/{substance['id']}"}


def test_lines_for_display_are_kept_with_the_report(translate: Any) -> None:
    report = translate(sent("ORU^R01", "OBR|1|P1|F1|1-8^P^LN", "DSP|1||Line one")).one("DiagnosticReport")
    assert report["extension"] == [{"url": "urn:hawsepipe:extension:display", "valueString": "Line one"}]


def test_a_diagnosis_in_the_orders_group_is_its_reason(translate: Any) -> None:
    dg1 = "DG1|1||R05^Cough^I10||20260301|W"
    made = translate(sent("OML^O21", "ORC|NW|P1", "OBR|1|P1||1-8^P^LN", dg1))
    reference = {"reference": f"Condition/{made.one('Condition')['id']}"}
    assert made.one("ServiceRequest")["reasonReference"] == [reference]


def test_an_order_of_a_drug_in_an_order_message_is_a_prescription(translate: Any) -> None:
    rxo = "RXO|00047^Ampicillin 250 mg^NDC|1||CAP"
    made = translate(sent("ORM^O01", "ORC|NW|P1", rxo, "OBX|1|NM|3141-9^Weight^LN||70|kg|||||F"))
    assert made.all("ServiceRequest") == []
    weight = made.one("Observation")
    assert made.one("MedicationRequest")["supportingInformation"] == [{"reference": f"Observation/{weight['id']}"}]


def test_a_requisition_is_a_request_with_a_quantity(translate: Any) -> None:
    made = translate(sent("ORM^O01", "ORC|NW|P1", "RQD|1|GLOVE^Gloves^L|||10|BX^Box^L||||20260301"))
    order = made.one("ServiceRequest")
    assert order["code"]["coding"][0]["code"] == "GLOVE"
    assert order["quantityQuantity"]["value"] == 10
    assert order["occurrenceDateTime"] == "2026-03-01"
