"""VXU and vaccination histories in RSP: refusals, sources, places, evaluations, forecasts, the order behind it."""

from __future__ import annotations

from typing import Any

import hawsepipe_hl7v2
from hawsepipe import Severity
from hawsepipe.fhir.codec import encode

from .test_laws import faults

HEAD = "MSH|^~\\&|EHR|CLINIC|IIS|STATE|20260302090000-0500||VXU^V04^VXU_V04|M3|P|2.5.1"
ANSWER = "MSH|^~\\&|IIS|STATE|EHR|CLINIC|20260302090000-0500||RSP^K11^RSP_K11|M4|P|2.5.1"
PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE||20200101|F"
ORC = "ORC|RE||I55^CLINIC"


def rxa(write: Any, **fields: str) -> str:
    return str(write("RXA", **({"f1": "0", "f2": "1", "f3": "20260302", "f5": "48^HIB PRP-T^CVX"} | fields)))


def codes(concept: dict[str, Any]) -> list[str]:
    return [coding["code"] for coding in concept["coding"]]


def test_a_refusal_says_why(translate: Any, write: Any) -> None:
    made = translate((HEAD, PID, ORC, rxa(write, f6="999", f18="00^Parental decision^NIP002", f20="RE")))
    given = made.one("Immunization")
    assert given["status"] == "not-done"
    assert given["statusReason"]["coding"][0]["display"] == "Parental decision"
    assert "doseQuantity" not in given
    assert faults(made.translation.changes) == []


def test_a_refusal_without_a_reason_is_told_from_what_was_not_given(translate: Any, write: Any) -> None:
    for code in ("RE", "NA"):
        given = translate((HEAD, PID, ORC, rxa(write, f20=code))).one("Immunization")
        assert (given["status"], codes(given["statusReason"])) == ("not-done", [code])


def test_a_partial_dose_is_subpotent(translate: Any, write: Any) -> None:
    given = translate((HEAD, PID, ORC, rxa(write, f6=".25", f7="mL^^UCUM", f20="PA"))).one("Immunization")
    assert (given["status"], given["isSubpotent"]) == ("completed", True)
    assert b'"value":0.25' in encode(given["doseQuantity"])
    assert (given["doseQuantity"]["system"], given["doseQuantity"]["code"]) == ("http://unitsofmeasure.org", "mL")


def test_who_records_it_makes_the_source(translate: Any, write: Any) -> None:
    new = translate((HEAD, PID, ORC, rxa(write, f9="00^New record^NIP001"))).one("Immunization")
    assert (new["primarySource"], "reportOrigin" in new) == (True, False)
    old = translate((HEAD, PID, ORC, rxa(write, f9="01^Historical^NIP001"))).one("Immunization")
    assert (old["primarySource"], codes(old["reportOrigin"])) == (False, ["01"])
    said = translate((HEAD, PID, ORC, rxa(write, f9="^Given at school"))).one("Immunization")
    assert ("primarySource" in said, said["note"][0]["text"]) == (False, "Given at school")


def test_the_place_of_2_5_1_is_a_la2_with_an_address(translate: Any, write: Any) -> None:
    made = translate((HEAD, PID, ORC, rxa(write, f11="WARD1^^^CLINIC^^^^^1 MAIN ST^^TOWN^ST^12345")))
    given = made.one("Immunization")
    place = next(one for one in made.all("Location") if given["location"]["reference"].endswith(one["id"]))
    assert (place["name"], place["address"]["city"]) == ("WARD1", "TOWN")
    alone = translate((HEAD, PID, ORC, rxa(write, f28="1 MAIN ST^^TOWN^ST^12345"))).one("Location")
    assert alone["address"]["line"] == ["1 MAIN ST"]


def test_lot_expiry_and_manufacturer(translate: Any, write: Any) -> None:
    made = translate((HEAD, PID, ORC, rxa(write, f15="LOT42", f16="20270101", f17="PMC^Sanofi Pasteur^MVX")))
    given, maker = made.one("Immunization"), made.one("Organization")
    assert (given["lotNumber"], given["expirationDate"]) == ("LOT42", "2027-01-01")
    assert maker["identifier"][0] == {"system": "http://hl7.org/fhir/sid/mvx", "value": "PMC"}
    assert given["manufacturer"]["reference"] == f"Organization/{maker['id']}"


def test_two_vaccines_of_one_order_are_two_vaccinations(translate: Any, write: Any) -> None:
    made = translate((HEAD, PID, ORC, rxa(write), rxa(write, f5="140^Flu^CVX"), "OBX|1|CE|64994-7^E^LN|1|V02||||||F"))
    first, second = made.all("Immunization")
    assert (codes(first["vaccineCode"]), codes(second["vaccineCode"])) == (["48"], ["140"])
    assert first["id"] != second["id"]
    assert ("programEligibility" in first, codes(second["programEligibility"][0])) == (False, ["V02"])


def test_every_observation_is_part_of_its_vaccination(translate: Any, write: Any) -> None:
    made = translate(
        (
            HEAD,
            PID,
            ORC,
            rxa(write),
            "OBX|1|CE|64994-7^Eligibility^LN|1|V02^Medicaid^HL70064||||||F||||||VXC40^per immunization^CDCPHINVS",
            "OBX|2|CE|30956-7^Vaccine type^LN|2|17^HIB NOS^CVX||||||F",
            "OBX|3|TS|29768-9^VIS published^LN|2|19981216||||||F",
            "OBX|4|TS|59785-6^VIS presented^LN|2|20260302||||||F",
            "OBX|5|ST|48767-8^Annotation^LN|3|Cried a little||||||F",
        )
    )
    given = made.one("Immunization")
    reference = {"reference": f"Immunization/{given['id']}"}
    assert [one["partOf"] for one in made.all("Observation")] == [[reference]] * 5
    assert made.all("Observation")[0]["method"]["coding"][0]["code"] == "VXC40"
    assert given["education"] == [
        {"documentType": "HIB NOS", "publicationDate": "1998-12-16", "presentationDate": "2026-03-02"}
    ]
    assert given["note"] == [{"text": "Cried a little"}]
    assert faults(made.translation.changes) == []


def test_an_evaluation_says_by_which_schedule_a_dose_counts(translate: Any, write: Any) -> None:
    made = translate(
        (
            ANSWER,
            PID,
            ORC,
            rxa(write, f9="01^Historical^NIP001"),
            "OBX|1|CE|30956-7^Vaccine type^LN|1|17^HIB NOS^CVX||||||F",
            "OBX|2|CE|59779-9^Schedule^LN|1|VXC16^ACIP^CDCPHINVS||||||F",
            "OBX|3|NM|30973-2^Dose number^LN|1|1||||||F",
            "OBX|4|NM|59782-3^Doses^LN|1|3||||||F",
            "OBX|5|ST|30973-2^Dose number^LN|2|booster||||||F",
        )
    )
    given = made.one("Immunization")
    assert given["protocolApplied"] == [
        {
            "series": "HIB NOS",
            "authority": {"display": "ACIP"},
            "doseNumberPositiveInt": 1,
            "seriesDosesPositiveInt": 3,
        },
        {"doseNumberString": "booster"},
    ]
    assert "education" not in given
    assert faults(made.translation.changes) == []


def test_a_forecast_is_a_recommendation_and_no_vaccination(translate: Any, write: Any) -> None:
    forecast = (
        ORC.replace("I55", "9999"),
        rxa(write, f5="998^No vaccine administered^CVX", f6="999", f20="NA"),
        "OBX|1|CE|30956-7^Vaccine type^LN|1|107^DTAP^CVX||||||F",
        "OBX|2|DT|30980-7^Date due^LN|1|20260601||||||F",
        "OBX|3|DT|30981-5^Earliest date^LN|1|20260501||||||F",
        "OBX|4|NM|30973-2^Dose number^LN|1|2||||||F",
        "OBX|5|CE|59783-1^Status^LN|1|LA13423-1^Overdue^LN||||||F",
        "OBX|6|CE|59779-9^Schedule^LN|1|VXC16^ACIP^CDCPHINVS||||||F",
        "OBX|7|DT|30980-7^Date due^LN|2|20270101||||||F",
    )
    made = translate((ANSWER, PID, *forecast))
    assert made.all("Immunization") == []
    told = made.one("ImmunizationRecommendation")
    first, second = told["recommendation"]
    assert (told["date"], told["authority"]) == ("2026-03-02", {"display": "ACIP"})
    assert codes(first["vaccineCode"][0]) == ["107"]
    assert codes(first["forecastStatus"]) == ["LA13423-1"]
    assert [one["value"] for one in first["dateCriterion"]] == ["2026-06-01", "2026-05-01"]
    assert first["doseNumberPositiveInt"] == 2
    assert "extension" in second["vaccineCode"][0]
    assert "extension" in second["forecastStatus"]
    assert faults(made.translation.changes) == []


def test_a_history_in_an_answer_names_the_same_vaccination_as_the_update(translate: Any, write: Any) -> None:
    body = (PID, ORC, rxa(write, f20="CP", f21="A"))
    update, answer = translate((HEAD, *body)), translate((ANSWER, "MSA|AA|Q1", *body))
    assert update.one("Immunization")["id"] == answer.one("Immunization")["id"]


def test_only_an_order_makes_a_request_and_it_ends_as_the_vaccination_did(translate: Any, write: Any) -> None:
    assert translate((HEAD, PID, ORC, rxa(write))).all("ServiceRequest") == []
    ordered = "ORC|RE|P1^EHR|I55^CLINIC|||||||||D77^WELBY^MARCUS|||||||||CLINIC WEST^^^^^GOOD^XX^^^77|1 MAIN ST^^TOWN"
    made = translate((HEAD, PID, ordered, rxa(write, f20="RE", f18="00^Parental decision^NIP002")))
    order, given = made.one("ServiceRequest"), made.one("Immunization")
    assert (order["status"], order["intent"], codes(order["code"])) == ("revoked", "order", ["48"])
    assert {"reference": f"ServiceRequest/{order['id']}"} in [
        one.get("valueReference") for one in given["extension"] if one["url"].endswith("Immunization.basedOn")
    ]
    home = made.one("Organization")
    assert (home["name"], home["address"][0]["city"]) == ("CLINIC WEST", "TOWN")
    assert faults(made.translation.changes) == []


def test_who_entered_verified_and_ordered_is_in_a_provenance(translate: Any, write: Any) -> None:
    order = (
        "ORC|RE||I55^CLINIC||||||20260302090000-0500|E1^CLERK^MYRON|V1^CHECK^ANN|D77^WELBY^MARCUS"
        "|||||UNIT^West unit^L|PC7^Front desk"
    )
    made = translate((HEAD, PID, order, rxa(write)))
    told = made.one("Provenance")
    roles = [agent.get("type", {}).get("coding", [{}])[0].get("code") for agent in told["agent"]]
    assert roles == ["enterer", "verifier", "author", None]
    assert told["agent"][0]["onBehalfOf"]["display"] == "West unit"
    assert told["recorded"] == told["occurredDateTime"] == "2026-03-02T09:00:00-05:00"
    assert {"reference": f"Immunization/{made.one('Immunization')['id']}"} in told["target"]
    assert made.one("Device")["deviceName"] == [{"name": "Front desk", "type": "user-friendly-name"}]
    assert faults(made.translation.changes) == []


def test_a_forecast_needs_an_rxa(translate: Any) -> None:
    made = translate((ANSWER, PID, ORC, "OBX|1|DT|30980-7^Date due^LN|1|20260601||||||F"))
    assert made.all("ImmunizationRecommendation") == []
    assert faults(made.translation.changes) == []


def test_the_version_of_a_value_set_may_have_blanks(translate: Any, write: Any) -> None:
    site = "LD^Left deltoid^HL70163" + "^" * 12 + "2.16.840.1.113883.3.1^as of today"
    made = translate((HEAD, PID, ORC, rxa(write), f"RXR|IM|{site}"))
    assert faults(made.translation.changes) == []
    assert "as%20of%20today" in str(made.one("Immunization")["site"])


def test_a_second_funding_source_does_not_mix_with_the_first(translate: Any, write: Any) -> None:
    sources = ("OBX|1|CE|30963-3^F^LN|1|^Public||||||F", "OBX|2|CE|30963-3^F^LN|2|P^Private^L||||||F")
    made = translate((HEAD, PID, ORC, rxa(write), *sources))
    assert made.one("Immunization")["fundingSource"] == {"coding": [{"display": "Public"}], "text": "Public"}
    assert made.texts("OBX[2]-5") == ["a vaccination has one funding source; this one is in its observation alone"]


def test_a_group_that_says_that_nothing_was_given_is_at_least_reported(translate: Any, write: Any) -> None:
    head = "MSH|^~\\&|EHR|CLINIC|IIS|STATE|20260302090000-0500||VXU^V04^VXU_V04|M0003|P|2.5.1"
    given = write("RXA", f1="0", f2="1", f3="20260302", f5="08^Hep B^CVX", f20="CP")
    nothing = write("RXA", f1="0", f2="1", f3="20260302", f5="998^None^CVX", f20="NA")
    made = translate((head, "PID|1||M1^^^GOOD^MR||DOE^JANE", "ORC|RE||I1", given, "ORC|RE||I2", nothing))
    (issue,) = (one for one in made.translation.issues if one.location == "RXA[2]" and "nothing" in one.text)
    assert issue.severity == "warning"


def test_whether_a_vaccine_was_given_is_never_guessed_from_an_unknown_code(samples: Any) -> None:
    lines = "\r".join(samples["vaccination"]).replace("|CP|A", "|ZZ|A")
    translation = hawsepipe_hl7v2.translate(lines.encode())
    errors = [(one.cause, one.location) for one in translation.issues if one.severity is Severity.ERROR]
    assert errors == [("code", "RXA-20")]
    (made,) = [one.resource or {} for one in translation.changes if one.type == "Immunization"]
    assert "status" not in made
    assert made["_status"]["extension"][0]["valueCode"] == "unknown"
