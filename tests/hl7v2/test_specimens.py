"""SPM, SAC and OBR to Specimen; which results are of which specimen."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

HEAD = "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||{}|M2|P|2.5.1"
PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"


def sent(kind: str, *segments: str) -> tuple[str, ...]:
    return (HEAD.format(kind), PID, *segments)


def test_a_specimen_has_its_numbers_type_collection_and_state(translate: Any, write: Any) -> None:
    spm = write(
        "SPM",
        f1="1",
        f2="SP1&OE^SF1&LAB",
        f4="BLD^Whole blood^HL70487",
        f6="EDTA^EDTA^HL70371",
        f7="BIO",
        f8="LA^Left arm^HL70163",
        f11="Q^Control^HL70369",
        f12="5^mL",
        f14="drawn twice",
        f17="20260301080000+0000^20260301081000+0000",
        f18="20260301090000+0000",
        f21="RH^Hemolysis^HL70490",
        f24="HEM",
    )
    made = translate(sent("ORU^R01", "OBR|1|P1|F1|1-8^P^LN", "OBX|1|NM|1-1^A^LN||1||||||F", spm))
    specimen = made.one("Specimen")
    assert [(one["value"], one["type"]["coding"][0]["code"]) for one in specimen["identifier"]] == [
        ("SP1", "PLAC"),
        ("SF1", "FILL"),
    ]
    assert specimen["type"]["coding"][0]["code"] == "BLD"
    assert specimen["container"][0]["additiveCodeableConcept"]["coding"][0]["code"] == "EDTA"
    assert specimen["collection"]["method"]["coding"][0] == {"system": "http://snomed.info/sct", "code": "129314006"}
    assert specimen["collection"]["collectedPeriod"]["end"] == "2026-03-01T08:10:00+00:00"
    quantity = specimen["collection"]["quantity"]
    assert (quantity["value"], quantity["unit"], quantity["code"]) == (5, "mL", "mL")
    assert specimen["status"] == "unsatisfactory"
    assert specimen["note"] == [{"text": "drawn twice"}]
    assert {one["url"].rpartition(":")[2] for one in specimen["extension"]} == {"specimen-role", "reject-reason"}
    reference = {"reference": f"Specimen/{specimen['id']}"}
    assert made.one("DiagnosticReport")["specimen"] == [reference]
    assert made.one("Observation")["specimen"] == reference


def test_an_observation_after_the_results_and_the_specimen_is_about_the_specimen(translate: Any) -> None:
    made = translate(
        sent(
            "ORU^R01",
            "OBR|1|P1|F1|1-8^P^LN",
            "OBX|1|NM|1-1^A^LN||1||||||F",
            "SPM|1|^S1",
            "OBX|1|NM|3151-8^Volume^LN||5|mL|||||F",
        )
    )
    result, volume = made.all("Observation")
    specimen = {"reference": f"Specimen/{made.one('Specimen')['id']}"}
    assert volume["focus"] == [specimen]
    assert result["specimen"] == specimen
    assert made.one("DiagnosticReport")["result"] == [{"reference": f"Observation/{result['id']}"}]


def test_results_after_a_specimen_are_results_when_there_were_none_before(translate: Any) -> None:
    made = translate(sent("ORU^R01", "OBR|1|P1|F1|1-8^P^LN", "SPM|1|^S1", "OBX|1|NM|1-1^A^LN||1||||||F"))
    assert len(made.one("DiagnosticReport")["result"]) == 1
    assert "focus" not in made.one("Observation")


def test_a_report_in_parts_has_the_specimen_of_its_order(translate: Any) -> None:
    made = translate(
        sent(
            "ORU^R01",
            "OBR|1|P1|F1|1-8^Panel^LN",
            "OBX|1|NM|1-1^A^LN||1||||||F",
            "SPM|1|^S1",
            "OBR|2|P1|F2|2-8^Part^LN",
            "OBX|1|NM|1-2^B^LN||2||||||F",
            "OBR|3|P7|F7|3-8^Other order^LN",
            "OBX|1|NM|1-3^C^LN||3||||||F",
        )
    )
    reference = {"reference": f"Specimen/{made.one('Specimen')['id']}"}
    assert [one.get("specimen") for one in made.all("DiagnosticReport")] == [[reference], [reference], None]
    assert [one.get("specimen") for one in made.all("Observation")] == [reference, reference, None]


def test_results_of_two_specimens_are_not_said_to_be_of_one(translate: Any) -> None:
    made = translate(sent("ORU^R01", "OBR|1|P1|F1|1-8^P^LN", "OBX|1|NM|1-1^A^LN||1||||||F", "SPM|1|^S1", "SPM|2|^S2"))
    assert len(made.one("DiagnosticReport")["specimen"]) == 2
    assert "specimen" not in made.one("Observation")


def test_obx_33_says_which_specimen_a_result_is_of(translate: Any, write: Any) -> None:
    made = translate(
        sent(
            "ORU^R01",
            "OBR|1|P1|F1|1-8^P^LN",
            write("OBX", f1="1", f2="NM", f3="1-1^A^LN", f5="1", f11="F", f33="^S2"),
            "SPM|1|^S1",
            "SPM|2|^S2",
        )
    )
    second = made.all("Specimen")[[one["identifier"][0]["value"] for one in made.all("Specimen")].index("S2")]
    assert made.one("Observation")["specimen"] == {"reference": f"Specimen/{second['id']}"}


def test_obr_tells_of_a_specimen_before_there_was_spm(translate: Any, write: Any) -> None:
    obr = write(
        "OBR",
        f2="P1",
        f4="1-8^P^LN",
        f7="20260301080000+0000",
        f9="5^mL",
        f10="N1^NURSE^ANN",
        f13="F",
        f14="20260301090000+0000",
        f15="BLD&Blood&HL70070^EDTA^^LA&Left arm&HL70163",
    )
    made = translate(sent("ORU^R01", obr, "OBX|1|NM|1-1^A^LN||1||||||F"))
    specimen = made.one("Specimen")
    assert specimen["type"]["coding"][0]["display"] == "Blood"
    assert specimen["receivedTime"] == "2026-03-01T09:00:00+00:00"
    collection = specimen["collection"]
    assert collection["collectedDateTime"] == "2026-03-01T08:00:00+00:00"
    assert collection["collector"]["display"] == "ANN NURSE"
    assert collection["fastingStatusCodeableConcept"]["coding"][0]["code"] == "F"
    assert collection["bodySite"]["coding"][0]["code"] == "LA"
    assert made.one("Observation")["specimen"] == {"reference": f"Specimen/{specimen['id']}"}
    # A fasting status is no observation of its own.
    assert "supportingInfo" not in made.one("ServiceRequest")


def test_what_obr_tells_fills_in_what_spm_leaves_out(translate: Any, write: Any) -> None:
    obr = write("OBR", f2="P1", f4="1-8^P^LN", f7="20260228", f10="N1^NURSE^ANN", f14="20260301")
    spm = write("SPM", f1="1", f2="^S1", f4="BLD", f17="20260301080000+0000")
    specimen = translate(sent("OML^O21", "ORC|NW|P1", obr, spm)).one("Specimen")
    assert specimen["collection"]["collectedDateTime"] == "2026-03-01T08:00:00+00:00"
    assert specimen["collection"]["collector"]["display"] == "ANN NURSE"
    assert specimen["receivedTime"] == "2026-03-01"


def test_a_radiology_report_has_no_specimen(translate: Any, write: Any) -> None:
    obr = write("OBR", f2="P1", f4="36643-5^Chest X-ray^LN", f7="20260301", f24="RAD", f25="F")
    made = translate(sent("ORU^R01", obr, "OBX|1|TX|36643-5^Chest X-ray^LN||Normal||||||F"))
    assert made.all("Specimen") == []
    assert "category" not in made.one("Observation")


def test_an_order_names_its_specimens_and_their_containers(translate: Any, write: Any) -> None:
    sac = write("SAC", f1="A1^LIS", f2="ACC2", f3="TUBE3", f21="10", f22="4.5", f24="mL^^UCUM", f27="EDTA")
    made = translate(
        sent(
            "OML^O33",
            write("SPM", f1="1", f2="SP1^SF1", f4="BLD", f27="TUB^Tube^L"),
            sac,
            "ORC|NW|P1",
            "OBR|1|P1||1-8^P^LN",
            "ORC|NW|P2",
            "OBR|1|P2||2-8^Q^LN",
        )
    )
    specimen = made.one("Specimen")
    reference = {"reference": f"Specimen/{specimen['id']}"}
    assert [one["specimen"] for one in made.all("ServiceRequest")] == [[reference], [reference]]
    (container,) = specimen["container"]
    assert container["type"]["coding"][0]["code"] == "TUB"
    assert container["identifier"][0]["value"] == "TUBE3"
    assert container["capacity"] == {
        "value": 10,
        "unit": "mL",
        "system": "http://unitsofmeasure.org",
        "code": "mL",
    }
    assert container["specimenQuantity"]["value"] == Decimal("4.5")
    assert specimen["accessionIdentifier"]["value"] == "ACC2"


def test_results_by_specimen_are_of_that_specimen(translate: Any, write: Any) -> None:
    made = translate(
        sent(
            "OUL^R22",
            "SPM|1|^S1||BLD",
            write("OBR", f1="1", f2="P1", f3="F1", f4="1-8^P^LN", f25="F"),
            "ORC|RE|P1|F1",
            "OBX|1|NM|1-1^A^LN||1||||||F",
            "SPM|2|^S2||UR",
            write("OBR", f1="2", f2="P2", f3="F2", f4="2-8^Q^LN", f25="F"),
            "OBX|1|NM|1-2^B^LN||2||||||F",
        )
    )
    specimens = [{"reference": f"Specimen/{one['id']}"} for one in made.all("Specimen")]
    assert [one["specimen"] for one in made.all("Observation")] == specimens
    assert [one["specimen"] for one in made.all("DiagnosticReport")] == [[one] for one in specimens]


def test_a_specimen_is_part_of_another(translate: Any, write: Any) -> None:
    spm = write("SPM", f1="1", f2="^S2", f3="SP1&OE^S1&LAB")
    made = translate(sent("ORU^R01", "OBR|1|P1|F1|1-8^P^LN", spm))
    child, parent = made.all("Specimen")
    if child["identifier"][0]["value"] != "S2":
        child, parent = parent, child
    assert child["parent"] == [{"reference": f"Specimen/{parent['id']}"}]
    assert [one["value"] for one in parent["identifier"]] == ["SP1", "S1"]
