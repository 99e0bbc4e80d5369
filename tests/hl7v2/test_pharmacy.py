"""Pharmacy: prescriptions as ordered and as encoded, timing, doses, ingredients, dispenses, administrations."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir.codec import encode

from .test_laws import faults

PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE||19800101|F"
ORC = "ORC|NW|P1^CPOE|||||||20260301080000+0000|||D77^WELBY^MARCUS"


def head(type_: str, version: str = "2.5.1") -> str:
    return f"MSH|^~\\&|CPOE|GOOD|RX|HUB|20260301083000+0000||{type_}|M1|P|{version}"


def order(write: Any, **fields: str) -> str:
    return str(write("RXO", **({"f1": "11^Amoxicillin 500 mg^L", "f2": "500", "f4": "mg"} | fields)))


def encoded(write: Any, **fields: str) -> str:
    return str(write("RXE", **({"f2": "22^Amoxicillin 500 mg caps^NDC", "f3": "1", "f5": "CAP^capsule"} | fields)))


def amount(quantity: dict[str, Any]) -> tuple[str, str]:
    return encode({"value": quantity["value"]}).decode()[9:-1], quantity["unit"]


def test_an_order_is_a_prescription_with_its_medicine(translate: Any, write: Any) -> None:
    made = translate((head("OMP^O09"), PID, ORC, order(write, f5="TAB^Tablet^L", f18="500", f19="mg")))
    asked, medicine = made.one("MedicationRequest"), made.one("Medication")
    assert (asked["status"], asked["intent"], asked["authoredOn"]) == (
        "active",
        "original-order",
        "2026-03-01T08:00:00+00:00",
    )
    assert asked["medicationReference"] == {
        "reference": f"Medication/{medicine['id']}",
        "display": "Amoxicillin 500 mg",
    }
    assert medicine["form"]["coding"][0]["display"] == "Tablet"
    assert amount(medicine["ingredient"][0]["strength"]["numerator"]) == ("500", "mg")
    assert asked["identifier"][0]["type"]["coding"][0]["code"] == "PLAC"
    assert faults(made.translation.changes) == []


def test_an_exact_dose_is_a_range_of_one_amount_and_never_or_more(translate: Any, write: Any) -> None:
    exact = translate((head("OMP^O09"), PID, ORC, order(write))).one("MedicationRequest")
    told = exact["dosageInstruction"][0]["doseAndRate"][0]
    assert (amount(told["doseRange"]["low"]), amount(told["doseRange"]["high"])) == (("500", "mg"), ("500", "mg"))
    ranged = translate((head("OMP^O09"), PID, ORC, order(write, f3="1000"))).one("MedicationRequest")
    told = ranged["dosageInstruction"][0]["doseAndRate"][0]["doseRange"]
    assert (amount(told["low"]), amount(told["high"])) == (("500", "mg"), ("1000", "mg"))


def test_what_the_pharmacy_encoded_is_based_on_what_was_ordered(translate: Any, write: Any) -> None:
    made = translate((head("RDE^O11^RDE_O11"), PID, ORC, order(write), encoded(write, f15="RX9")))
    first, second = made.all("MedicationRequest")
    assert (first["intent"], second["intent"]) == ("original-order", "filler-order")
    assert second["basedOn"] == [{"reference": f"MedicationRequest/{first['id']}"}]
    dose = second["dosageInstruction"][0]["doseAndRate"][0]
    assert amount(dose["doseQuantity"]) == ("1", "capsule")
    assert [one["value"] for one in second["identifier"]] == ["P1", "RX9"]
    alone = translate((head("RDE^O11^RDE_O11"), PID, ORC, encoded(write))).one("MedicationRequest")
    assert (alone["intent"], alone["id"]) == ("order", second["id"])
    assert faults(made.translation.changes) == []


@pytest.mark.parametrize(
    ("control", "told", "status"),
    [
        ("NW", "", "active"),
        ("CA", "", "cancelled"),
        ("DC", "", "stopped"),
        ("HD", "", "on-hold"),
        ("SC", "CM", "completed"),
        ("NW", "ER", "entered-in-error"),
        ("", "", "unknown"),
    ],
)
def test_the_order_s_status_wins_over_its_control(
    translate: Any, write: Any, control: str, told: str, status: str
) -> None:
    made = translate((head("OMP^O09"), PID, f"ORC|{control}|P1^CPOE|||{told}", order(write)))
    assert made.one("MedicationRequest")["status"] == status


@pytest.mark.parametrize(
    ("code", "repeat"),
    [
        ("BID", {"frequency": 2, "period": 1, "periodUnit": "d"}),
        ("Q6H", {"frequency": 1, "period": 6, "periodUnit": "h"}),
        ("Q30M", {"frequency": 1, "period": 30, "periodUnit": "min"}),
        ("5ID", {"frequency": 5, "period": 1, "periodUnit": "d"}),
        ("QAM", {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["MORN"]}),
        ("QHS", {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["HS"]}),
        ("QOD", {"frequency": 1, "period": 2, "periodUnit": "d"}),
        ("Q2J5", {"frequency": 1, "period": 2, "periodUnit": "wk", "dayOfWeek": ["fri"]}),
        ("PRNQ4H", {"frequency": 1, "period": 4, "periodUnit": "h"}),
        ("Once", {"count": 1}),
        ("PCM", {"when": ["PCM"]}),
        ("C", {"when": ["C"]}),
    ],
)
def test_a_repeat_pattern_says_how_often(translate: Any, write: Any, code: str, repeat: dict[str, Any]) -> None:
    made = translate((head("OMP^O09"), PID, ORC, f"TQ1|1||{code}", order(write)))
    told = made.one("MedicationRequest")["dosageInstruction"][0]
    if code == "C":  # continuous, not "with meals"
        assert "repeat" not in told["timing"]
    else:
        assert told["timing"]["repeat"] == repeat
    assert told.get("asNeededBoolean", False) is code.startswith("PRN")
    assert faults(made.translation.changes) == []


def test_words_where_a_pattern_belongs_are_words(translate: Any, write: Any) -> None:
    made = translate((head("OMP^O09"), PID, ORC, "TQ1|1||3 times daily", order(write)))
    assert made.one("MedicationRequest")["dosageInstruction"][0]["timing"] == {"code": {"text": "3 times daily"}}


def test_every_field_of_tq1_has_its_place(translate: Any, write: Any) -> None:
    timing = write(
        "TQ1",
        f1="1",
        f2="2^tab",
        f3="PC&after meals&L^^^^8^h^^PCM^30^min",
        f5="1^h",
        f6="3^d",
        f7="20260301080000+0000",
        f9="S",
        f10="if fever",
        f11="with water",
        f12="S",
        f13="15^min",
        f14="9",
    )
    made = translate((head("OMP^O09"), PID, ORC, timing, order(write)))
    asked = made.one("MedicationRequest")
    told = asked["dosageInstruction"][0]
    repeat = told["timing"]["repeat"]
    assert (repeat["period"], repeat["periodUnit"], repeat["when"], repeat["offset"]) == (8, "h", ["PCM"], 30)
    assert repeat["boundsPeriod"] == {"start": "2026-03-01T08:00:00+00:00", "end": "2026-03-04T08:00:00+00:00"}
    assert (repeat["duration"], repeat["durationUnit"], repeat["count"], repeat["countMax"]) == (15, "min", 9, 9)
    assert (asked["priority"], told["text"]) == ("stat", "with water")
    assert told["additionalInstruction"] == [{"text": "if fever"}]
    (quantity,) = kept(told, "service-quantity")
    assert amount(quantity) == ("2", "tab")
    texts = {name: kept(told, name) for name in ("relative-time", "conjunction", "service-duration")}
    assert texts == {"relative-time": ["1 h"], "conjunction": ["S"], "service-duration": ["3 d"]}
    assert len(told["extension"]) == 4
    assert len(told["doseAndRate"]) == 1
    assert faults(made.translation.changes) == []


def test_a_second_timing_is_a_second_dosage_the_same_way(translate: Any, write: Any) -> None:
    made = translate(
        (head("OMP^O09"), PID, ORC, "TQ1|1|2^tab|QAM", "TQ1|2|1^tab|QHS", order(write), "RXR|PO^Oral^HL70162")
    )
    first, second = made.one("MedicationRequest")["dosageInstruction"]
    assert (first["sequence"], second["sequence"]) == (1, 2)
    assert (first["timing"]["repeat"]["when"], second["timing"]["repeat"]["when"]) == (["MORN"], ["HS"])
    assert first["route"] == second["route"]
    assert {one["code"] for one in first["route"]["coding"]} == {"PO"}
    assert faults(made.translation.changes) == []


def doses(made: Any) -> Any:
    (dosage,) = made.one("MedicationRequest")["dosageInstruction"]
    return [one.get("doseQuantity") or one["doseRange"]["low"] for one in dosage["doseAndRate"]], dosage


def kept(dosage: dict[str, Any], name: str) -> list[Any]:
    found = (one for one in dosage.get("extension", ()) if one["url"] == f"urn:hawsepipe:extension:{name}")
    return [next(value for key, value in one.items() if key != "url") for one in found]


def test_one_dose_told_by_three_segments_is_one_dose(translate: Any, write: Any) -> None:
    give = encoded(write, f1="1^BID", f2="1^Ramipril^L", f3="5", f5="mg")
    made = translate((head("RDE^O11"), PID, ORC, give, "TQ1|1|1^TBL|BID"))
    amounts, dosage = doses(made)
    assert [amount(one) for one in amounts] == [("5", "mg")]
    codings = [(one["system"], one["code"]) for one in dosage["timing"]["code"]["coding"]]
    assert len(codings) == len(set(codings))
    assert [(one["value"], one.get("unit")) for one in kept(dosage, "service-quantity")] == [(1, None), (1, "TBL")]
    assert made.texts("TQ1-2.1") == [
        "a quantity beside the dose, in other words or a multiple of it; kept beside the dose"
    ]
    assert made.texts("RXE-1.1.1") == []
    assert faults(made.translation.changes) == []


def test_the_dose_is_one_in_whatever_order_it_is_told(translate: Any, write: Any) -> None:
    for type_, lines in (
        ("RDE^O11", (ORC, encoded(write, f3="1", f5="TBL"), "TQ1|1|1|BID")),
        ("OMP^O09", (ORC, "TQ1|1|1|BID", order(write, f2="1", f4="TBL"))),
        ("OMP^O09", (ORC, "TQ1|1|1^tbl|BID", order(write, f2="1", f4="TBL"))),
    ):
        amounts, _ = doses(translate((head(type_), PID, *lines)))
        assert [amount(one) for one in amounts] == [("1", "TBL")]


def test_the_quantity_of_a_timing_is_the_dose_where_nothing_else_is(translate: Any, write: Any) -> None:
    give = write("RXE", f2="1^Ramipril^L", f5="mg", f23="10", f24="ml/h")
    made = translate((head("RDE^O11"), PID, ORC, give, "TQ1|1|2^TBL|BID"))
    (told,) = made.one("MedicationRequest")["dosageInstruction"][0]["doseAndRate"]
    assert amount(told["doseQuantity"]) == ("2", "TBL")
    assert amount(told["rateQuantity"]) == ("10", "ml/h")


def test_a_quantity_that_is_no_number_is_kept(translate: Any, write: Any) -> None:
    _, dosage = doses(translate((head("RDE^O11"), PID, ORC, encoded(write), "TQ1|1|half^TBL|BID")))
    assert kept(dosage, "service-quantity") == ["half TBL"]


def test_another_pattern_is_kept_beside_the_first_and_reported(translate: Any, write: Any) -> None:
    give = encoded(write, f1="^TID&0800,1400,2000", f3="5", f5="mg")
    made = translate((head("RDE^O11"), PID, ORC, give, "TQ1|1||1-0-1"))
    _, dosage = doses(made)
    assert {one["code"] for one in dosage["timing"]["code"]["coding"]} == {"TID"}
    assert dosage["timing"]["repeat"]["timeOfDay"] == ["08:00:00", "14:00:00", "20:00:00"]
    assert kept(dosage, "further-timing") == [{"code": {"text": "1-0-1"}}]
    assert made.texts("TQ1-3") == ["another repeat pattern than the one told before; kept beside it"]
    other = translate((head("RDE^O11"), PID, ORC, give, "TQ1|1||BID"))
    _, dosage = doses(other)
    assert (dosage["timing"]["repeat"]["frequency"], kept(dosage, "further-timing")[0]["repeat"]["frequency"]) == (3, 2)
    assert faults(other.translation.changes) == []


def test_words_beside_a_pattern_are_kept(translate: Any, write: Any) -> None:
    made = translate((head("OMP^O09"), PID, ORC, "TQ1|1||TID~1-0-1~one more", order(write)))
    code = made.one("MedicationRequest")["dosageInstruction"][0]["timing"]["code"]
    assert code["text"] == "1-0-1"
    assert kept(made.one("MedicationRequest")["dosageInstruction"][0], "repeat-pattern") == ["one more"]


def test_each_component_of_a_pattern_keeps_its_own_place(translate: Any, write: Any) -> None:
    made = translate((head("OMP^O09"), PID, ORC, "TQ1|1||AAA^BBB^CCC^DDD^x^fortnights", order(write)))
    dosage = made.one("MedicationRequest")["dosageInstruction"][0]
    assert kept(dosage, "calendar-alignment") == ["BBB"]
    assert (kept(dosage, "phase-begin"), kept(dosage, "phase-end")) == (["CCC"], ["DDD"])
    assert kept(dosage, "repeat-period") == ["x fortnights"]
    sources = {one.source for one in made.translation.trail}
    assert {"TQ1-3.2", "TQ1-3.3", "TQ1-3.4", "TQ1-3.5"} <= sources


def test_times_that_contradict_each_other_are_reported(translate: Any, write: Any) -> None:
    give = encoded(write, f1="^BID^^20260301080000+0000^20260305", f3="5", f5="mg")
    made = translate((head("RDE^O11"), PID, ORC, give, "TQ1|1||BID||||20260302080000+0000|20260305"))
    _, dosage = doses(made)
    assert dosage["timing"]["repeat"]["boundsPeriod"]["start"] == "2026-03-01T08:00:00+00:00"
    assert kept(dosage, "further-start") == ["20260302080000+0000"]
    assert made.texts("TQ1-7") == ["another time than the one told before; kept beside it"]


def test_the_same_words_are_said_once(translate: Any, write: Any) -> None:
    timing = write("TQ1", f1="1", f10="if fever", f11="with water")
    give = encoded(write, f7="^with water")
    _, dosage = doses(translate((head("RDE^O11"), PID, ORC, give, timing)))
    assert dosage["text"] == "with water"


def test_the_timing_of_before_2_5_is_read_from_orc_and_rxe(translate: Any, write: Any) -> None:
    control = "ORC|NW|P1^CPOE|||||2&tab^BID&0800,2000^D10^20260301080000+0000^^R"
    asked = translate((head("RDE^O01", "2.3"), PID, control, encoded(write))).one("MedicationRequest")
    repeat = asked["dosageInstruction"][0]["timing"]["repeat"]
    assert (repeat["frequency"], repeat["timeOfDay"]) == (2, ["08:00:00", "20:00:00"])
    assert repeat["boundsPeriod"]["end"] == "2026-03-11T08:00:00+00:00"
    assert asked["priority"] == "routine"
    own = translate((head("RDE^O01", "2.3"), PID, ORC, encoded(write, f1="^Q8H"))).one("MedicationRequest")
    assert own["dosageInstruction"][0]["timing"]["repeat"]["period"] == 8


def test_an_infusion_has_its_base_additives_and_rate(translate: Any, write: Any) -> None:
    made = translate(
        (
            head("RDE^O11"),
            PID,
            ORC,
            encoded(write, f2="33^Potassium in saline^L", f3="1000", f5="mL", f22="H1", f23="125", f24="mL"),
            "RXR|IV^Intravenous^HL70162|LA^Left arm^HL70163|IVP^Pump^L|IR^Irrigate^HL70165",
            "RXC|B|1^Saline 0.9 %^L|1000|mL",
            "RXC|A|2^Potassium chloride^L|20|meq|2|meq/mL",
        )
    )
    asked, medicine = made.one("MedicationRequest"), made.one("Medication")
    told = asked["dosageInstruction"][0]
    rate = told["doseAndRate"][0]["rateRatio"]
    assert (amount(rate["numerator"]), rate["denominator"]["value"], rate["denominator"]["code"]) == (
        ("125", "mL"),
        1,
        "h",
    )
    base, additive = medicine["ingredient"]
    assert (base["isActive"], additive["isActive"]) == (False, True)
    assert amount(additive["strength"]["numerator"]) == ("20", "meq")
    assert additive["itemCodeableConcept"]["coding"][0]["display"] == "Potassium chloride"
    assert {one["code"] for one in told["route"]["coding"]} == {"IV", "IVINJ"}
    assert told["site"]["coding"][0]["code"] == "LA"
    assert faults(made.translation.changes) == []


def test_substitution_refills_and_the_pharmacy(translate: Any, write: Any) -> None:
    made = translate(
        (
            head("OMP^O09"),
            PID,
            ORC,
            order(
                write,
                f7="^Take with food",
                f9="G",
                f11="30",
                f12="TAB^tablet",
                f13="0",
                f14="AB123^WELBY^MARCUS",
                f20="J20^Bronchitis^L",
                f23="2^g",
                f32="PH1^Corner pharmacy^L",
                f33="1 MAIN ST^^TOWN",
                f36="^WPN^PH^^^555^1234",
            ),
        )
    )
    asked = made.one("MedicationRequest")
    supply = asked["dispenseRequest"]
    assert amount(supply["quantity"]) == ("30", "tablet")
    assert supply["numberOfRepeatsAllowed"] == 0
    home = next(one for one in made.all("Organization") if supply["performer"]["reference"].endswith(one["id"]))
    assert (home["name"], home["address"][0]["city"]) == ("Corner pharmacy", "TOWN")
    assert {one["code"] for one in asked["substitution"]["allowedCodeableConcept"]["coding"]} == {"G"}
    assert asked["reasonCode"][0]["coding"][0]["code"] == "J20"
    dosage = asked["dosageInstruction"][0]
    assert dosage["text"] == "Take with food"
    assert amount(dosage["maxDosePerPeriod"]["numerator"]) == ("2", "g")
    assert asked["requester"]["display"] == "MARCUS WELBY"
    assert faults(made.translation.changes) == []


def test_a_dispense_authorized_by_the_prescription(translate: Any, write: Any) -> None:
    given = write(
        "RXD",
        f1="1",
        f2="22^Amoxicillin 500 mg caps^NDC",
        f3="20260301",
        f4="30",
        f5="CAP^capsule",
        f7="RX9",
        f9="Keep dry",
        f10="P5^PILL^PAT",
        f11="G",
        f18="L1",
        f19="20270101",
    )
    made = translate((head("RDS^O13"), PID, ORC, encoded(write), "RXR|PO", given, "RXR|PO"))
    done, asked = made.one("MedicationDispense"), made.one("MedicationRequest")
    assert done["authorizingPrescription"] == [{"reference": f"MedicationRequest/{asked['id']}"}]
    assert (done["status"], done["whenHandedOver"], amount(done["quantity"])) == (
        "completed",
        "2026-03-01",
        ("30", "capsule"),
    )
    assert done["substitution"]["wasSubstituted"] is True
    assert done["dosageInstruction"][0]["route"]["coding"][-1]["code"] == "PO"
    batch = [one["batch"] for one in made.all("Medication") if "batch" in one]
    assert batch == [{"lotNumber": "L1", "expirationDate": "2027-01-01"}]
    assert faults(made.translation.changes) == []


def test_an_administration_is_none_of_a_vaccine(translate: Any, write: Any) -> None:
    given = write(
        "RXA",
        f1="0",
        f2="1",
        f3="20260301100000+0000",
        f4="20260301103000+0000",
        f5="22^Amoxicillin^L",
        f6="500",
        f7="mg",
        f10="N5^NURSE^ANN",
        f20="CP",
    )
    made = translate((head("RAS^O17"), PID, ORC, encoded(write), given, "RXR|IV|LA"))
    done, asked = made.one("MedicationAdministration"), made.one("MedicationRequest")
    assert made.all("Immunization") == []
    assert done["request"] == {"reference": f"MedicationRequest/{asked['id']}"}
    assert (done["status"], done["effectivePeriod"]["end"]) == ("completed", "2026-03-01T10:30:00+00:00")
    assert amount(done["dosage"]["dose"]) == ("500", "mg")
    assert done["dosage"]["site"]["coding"][-1]["code"] == "LA"
    assert [one["function"]["coding"][0]["code"] for one in done["performer"]] == ["OP", "AP"]
    refused = translate((head("RAS^O17"), PID, ORC, write("RXA", f5="22^Amoxicillin^L", f18="00^Refused^L")))
    assert refused.one("MedicationAdministration")["status"] == "not-done"
    assert faults(made.translation.changes) == faults(refused.translation.changes) == []


def test_what_is_to_be_given_is_an_instance_of_the_order(translate: Any, write: Any) -> None:
    give = write("RXG", f1="1", f2="1", f3="^QAM", f4="22^Amoxicillin^L", f5="500", f7="mg")
    made = translate((head("RGV^O15"), PID, ORC, encoded(write), give, "RXR|PO"))
    asked, told = made.all("MedicationRequest")
    assert (told["intent"], told["basedOn"]) == ("instance-order", [{"reference": f"MedicationRequest/{asked['id']}"}])
    assert told["dosageInstruction"][0]["timing"]["repeat"]["when"] == ["MORN"]
    assert faults(made.translation.changes) == []


def test_two_orders_of_one_number_are_two_prescriptions(translate: Any, write: Any) -> None:
    made = translate((head("OMP^O09"), PID, ORC, order(write), ORC, order(write, f1="12^Ibuprofen^L")))
    first, second = made.all("MedicationRequest")
    assert first["id"] != second["id"]
    assert [one["code"]["coding"][0]["code"] for one in made.all("Medication")] == ["11", "12"]


def test_an_empty_timing_between_others_keeps_their_places(translate: Any, write: Any) -> None:
    made = translate((head("OMP^O09"), PID, ORC, "TQ1|1||QAM", "TQ1|2", "TQ1|3||QHS", "TQ1|4", order(write)))
    told = made.one("MedicationRequest")["dosageInstruction"]
    assert [one["sequence"] for one in told][:3] == [1, 2, 3]
    assert told[2]["timing"]["repeat"]["when"] == ["HS"]
    assert faults(made.translation.changes) == []


def test_a_second_code_of_one_medicine_is_kept_and_not_mixed_in(translate: Any, write: Any) -> None:
    made = translate((head("OMP^O09"), PID, ORC, order(write, f1="^Aspirin~12^Ibuprofen^L")))
    medicine = made.one("Medication")
    assert medicine["code"]["coding"] == [{"display": "Aspirin"}]
    assert [one["valueString"] for one in medicine["extension"]] == ["12^Ibuprofen^L"]


def test_words_about_a_substitution_do_not_say_that_there_was_one(translate: Any, write: Any) -> None:
    given = write("RXD", f1="1", f2="22^Amoxicillin^L", f3="20260301", f11="^as agreed")
    made = translate((head("RDS^O13"), PID, ORC, given))
    assert "substitution" not in made.one("MedicationDispense")
    assert faults(made.translation.changes) == []
