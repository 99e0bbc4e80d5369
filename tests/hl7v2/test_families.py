"""Relatives, contacts, mothers; allergies by IAM; procedures; who takes part; what PD1 tells."""

from __future__ import annotations

from typing import Any

import pytest

HEAD = ("MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A08|M1|P|2.5.1", "EVN|A08|20260301083000+0000")
PID = "PID|1||MRN1^^^GOOD^MR||DOE^KIM"
VISIT = "PV1|1|I|W1^101||||||||||||||||V1"


def test_a_relative_is_a_person_and_a_contact_of_the_patient(translate: Any, write: Any) -> None:
    kin = write("NK1", f2="DOE^PAT", f3="EMC", f5="^PRN^PH^^^555^5551212", f7="C", f8="20260101", f15="F")
    made = translate((*HEAD, PID, kin))
    person, (contact,) = made.one("RelatedPerson"), made.one("Patient")["contact"]
    assert person["name"] == [contact["name"]] == [{"family": "DOE", "given": ["PAT"]}]
    assert contact["relationship"][0]["coding"][0] == {
        "system": "http://terminology.hl7.org/CodeSystem/v2-0131",
        "code": "C",
    }
    assert (contact["gender"], contact["period"]) == ("female", {"start": "2026-01-01"})


def test_an_employer_is_a_contact_with_whom_to_ask_and_no_relative(translate: Any, write: Any) -> None:
    made = translate(
        (*HEAD, PID, write("NK1", f3="EMR", f13="WIDGETS INC", f30="BOSS^ANN~AIDE^BOB", f31="^WPN^PH^^^555^1"))
    )
    assert made.all("RelatedPerson") == []
    company = next(item for item in made.all("Organization") if item.get("name") == "WIDGETS INC")
    assert made.one("Patient")["contact"][0]["organization"]["reference"] == f"Organization/{company['id']}"
    assert [one["name"]["family"] for one in company["contact"]] == ["BOSS", "AIDE"]


def test_the_mother_is_known_by_her_number(translate: Any, write: Any) -> None:
    made = translate((*HEAD, write("PID", f3="MRN1", f6="SMITH^ANN", f21="M77^^^GOOD^MR")))
    mother = made.one("RelatedPerson")
    assert mother["identifier"][0]["value"] == "M77"
    assert mother["relationship"][0]["coding"][0]["code"] == "MTH"


def test_one_number_of_two_kinds_is_one_identifier_with_both(translate: Any, write: Any) -> None:
    made = translate((*HEAD, write("PID", f3="M1^^^GOOD^MR~M1^^^GOOD^PI^^20200101")))
    (identifier,) = made.one("Patient")["identifier"]
    assert [coding["code"] for coding in identifier["type"]["coding"]] == ["MR", "PI"]
    assert identifier["period"] == {"start": "2020-01-01"}
    assert made.source("Patient", "identifier[0].type.coding[1].code") == {"PID-3[2].5"}


def test_a_county_code_stays_beside_the_district_of_the_first_address(translate: Any, write: Any) -> None:
    (alone,) = translate((*HEAD, write("PID", f3="M1", f11="1 A ST^^TOWN", f12="KG"))).one("Patient")["address"]
    assert alone["district"] == "KG"
    (both,) = translate((*HEAD, write("PID", f3="M1", f11="1 A ST^^TOWN^^^^^^King", f12="KG"))).one("Patient")[
        "address"
    ]
    assert both["district"] == "King"
    assert both["_district"]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "KG"
    change = translate((*HEAD, write("PID", f3="M1", f12="KG"))).change("Patient")
    assert "address" in change.keep


@pytest.mark.parametrize(
    ("told", "order", "birth"),
    [
        ("Y", "2", {"multipleBirthInteger": 2}),
        ("N", "0", {"multipleBirthBoolean": False}),
        ("Y", "", {"multipleBirthBoolean": True}),
    ],
)
def test_an_order_of_birth_of_nought_is_none(translate: Any, write: Any, told: str, order: str, birth: Any) -> None:
    patient = translate((*HEAD, write("PID", f3="M1", f24=told, f25=order))).one("Patient")
    assert {key: value for key, value in patient.items() if key.startswith("multipleBirth")} == birth


def test_several_citizenships_are_several_extensions(translate: Any, write: Any) -> None:
    patient = translate((*HEAD, write("PID", f3="M1", f26="USA~CAN", f39="Navajo"))).one("Patient")
    codes = [one["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] for one in patient["extension"]]
    assert codes == ["USA", "CAN", "Navajo"]


def test_a_living_will_is_an_observation(translate: Any) -> None:
    made = translate((*HEAD, PID, "PD1|||||||Y^Yes^HL70315"))
    will = made.one("Observation")
    assert (will["status"], will["code"]["coding"][0]["code"]) == ("final", "75320-2")
    assert will["valueCodeableConcept"]["coding"][0]["code"] == "Y"


def allergy(translate: Any, write: Any, **fields: str) -> Any:
    return translate((*HEAD, PID, write("IAM", **{"f2": "DA", "f3": "PEN^Penicillin^L", "f7": "A1", **fields})))


@pytest.mark.parametrize(
    ("action", "told", "clinical", "verified"),
    [
        ("A", "C", "active", "confirmed"),
        ("U", "S", "active", "unconfirmed"),
        ("U", "I", "inactive", "confirmed"),
        ("U", "E", None, "entered-in-error"),
        ("D", "C", None, "entered-in-error"),
    ],
)
def test_an_allergy_stands_as_its_action_and_status_say(
    translate: Any, write: Any, action: str, told: str, clinical: str | None, verified: str
) -> None:
    made = allergy(translate, write, f6=action, f17=told).one("AllergyIntolerance")
    assert made["verificationStatus"]["coding"][0]["code"] == verified
    assert made.get("clinicalStatus", {}).get("coding", [{}])[0].get("code") == clinical


def test_an_allergy_has_reactions_a_reporter_and_a_recorder(translate: Any, write: Any) -> None:
    made = translate(
        (
            *HEAD,
            PID,
            write(
                "IAM",
                f2="MC",
                f3="PEN^Penicillin^L",
                f4="MO",
                f5="HIVES^Hives^L",
                f7="A1",
                f12="as a child",
                f14="DOE^PAT",
                f15="SPO",
                f23="D7^WELBY",
            ),
            "IAR|RASH^Rash^L|SV||ointment",
        )
    )
    told = made.one("AllergyIntolerance")
    assert [one["severity"] for one in told["reaction"]] == ["moderate", "severe"]
    assert told["onsetString"] == "as a child"
    assert told["asserter"]["reference"] == f"RelatedPerson/{made.one('RelatedPerson')['id']}"
    assert told["recorder"]["reference"] == f"Practitioner/{made.one('Practitioner')['id']}"
    # A code that R4 has no category for stays beside it, as does the severity beside the criticality.
    assert not {"category", "criticality"} & told.keys()
    codes = [told[name][0] if name == "_category" else told[name] for name in ("_category", "_criticality")]
    sent = [one["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] for one in codes]
    assert sent == ["MC", "MO"]


def test_a_procedure_has_a_status_a_span_and_people(translate: Any, write: Any) -> None:
    done = write(
        "PR1", f3="47600^Cholecystectomy^C4", f5="20260301100000+0000", f7="90", f8="D1^SLEEP", f11="D2^CUT", f19="P1"
    )
    made = translate((*HEAD, PID, VISIT, done)).one("Procedure")
    assert (made["status"], made["performedPeriod"]["end"]) == ("completed", "2026-03-01T11:30:00+00:00")
    assert [one["function"]["coding"][0]["code"] for one in made["performer"]] == ["88189002", "304292004"]
    removed = translate((*HEAD, PID, VISIT, write("PR1", f3="47600", f19="P1", f20="D"))).one("Procedure")
    assert (removed["id"], removed["status"]) == (made["id"], "entered-in-error")


def test_a_diagnosis_may_be_due_to_another(translate: Any, write: Any) -> None:
    cause = write("DG1", f3="E11^Diabetes^I10", f4="Sugar", f19="20260301", f20="C1")
    effect = write("DG1", f3="H36^Retinopathy^I10", f20="C2", f22="C1")
    first, second = translate((*HEAD, PID, VISIT, cause, effect)).all("Condition")
    due = {one["url"].rpartition("/")[2]: one for one in second["extension"]}["condition-dueTo"]
    assert due["valueReference"] == {"reference": f"Condition/{first['id']}"}
    assert first["code"]["text"] == "Sugar"


def test_who_takes_part_is_told_where_they_stand(translate: Any, write: Any) -> None:
    doctor = write(
        "PRT", f2="A", f4="AT^Attending^HL70912", f5="D7^WELBY", f8="CLINIC", f11="20260301", f15="^WPN^PH^^^555^1"
    )
    family = write("ROL", f2="AD", f3="PP^Primary^HL70443", f4="D8^HOUSE")
    made = translate((*HEAD, PID, family, VISIT, doctor))
    roles = {f"PractitionerRole/{one['id']}": one for one in made.all("PractitionerRole")}
    (attending,) = [one for one in made.one("Encounter")["participant"] if "PractitionerRole" in str(one)]
    assert roles[attending["individual"]["reference"]]["telecom"][0]["value"] == "555 1"
    assert attending["period"] == {"start": "2026-03-01"}
    general = made.one("Patient")["generalPractitioner"][0]["reference"]
    assert roles[general]["code"][0]["coding"][0]["code"] == "446050000"


def test_an_accident_and_a_disability_stay_with_the_visit_and_the_patient(translate: Any) -> None:
    made = translate((*HEAD, PID, VISIT, "DB1|1|PT|D9", "ACC|20260301|FALL"))
    kept = {one["url"]: one["valueString"] for one in made.one("Encounter")["extension"]}
    assert kept["urn:hawsepipe:extension:ACC-2"] == "FALL"
    assert "urn:hawsepipe:extension:DB1-3" in str(made.one("Patient")["extension"])
