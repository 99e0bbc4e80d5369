"""Master files: staff (MFN M02) and locations (MFN M05)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator

VALIDATOR = Validator(load())


@pytest.fixture
def made(translate: Any) -> Any:
    """Records of a master file; the first segment of each is MFE."""

    def run(event: str, *segments: str) -> Any:
        head = f"MSH|^~\\&|HR|GOOD|HP|HUB|20260301083000+0100||MFN^{event}|F0001|P|2.5.1"
        file = f"MFI|{'PRA' if event == 'M02' else 'LOC'}^Master^HL70175||UPD|||AL"
        found = translate((head, file, *segments))
        for change in found.translation.changes:
            assert VALIDATOR.check(decode(encode(change.resource))) == ()
        return found

    return run


def member(write: Any, **fields: str) -> str:
    known = {
        "f1": "D77",
        "f2": "D77^^^GOOD~1234567893^^^NPI",
        "f3": "WELBY^MARCUS^^^DR",
        "f4": "MD^Physician^HL70182",
        "f5": "M",
        "f6": "19600101",
        "f7": "A",
        "f8": "CARD^Cardiology^L",
        "f10": "^WPN^PH^^^555^1000",
        "f11": "1 ROAD^^TOWN",
        "f12": "20200101^GOOD&Good Hospital&L",
        "f15": "welby@example.org",
        "f18": "Head physician",
    }
    return str(write("STF", **(known | fields)))


def record(action: str, key: str = "D77") -> str:
    return f"MFE|{action}|E1|20260301|{key}|CWE"


def test_a_member_of_staff_is_the_practitioner_that_messages_name(made: Any, write: Any, translate: Any) -> None:
    found = made("M02", record("MAD"), member(write))
    person, role = found.one("Practitioner"), found.one("PractitionerRole")
    assert [one["value"] for one in person["identifier"]] == ["D77", "1234567893"]
    assert (person["active"], person["gender"], person["birthDate"]) == (True, "male", "1960-01-01")
    assert (person["name"][0]["family"], person["address"][0]["city"]) == ("WELBY", "TOWN")
    assert [one["value"] for one in person["telecom"]] == ["555 1000", "welby@example.org"]
    assert role["practitioner"] == {"reference": f"Practitioner/{person['id']}"}
    assert [one.get("text") or one["coding"][0]["code"] for one in role["code"]] == ["MD", "Head physician"]
    assert role["organization"]["display"] == "Cardiology"
    assert role["period"] == {"start": "2020-01-01"}
    assert found.change("Practitioner").keep == set()
    head = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A01|M9|P|2.5.1"
    visit = "PV1|1|I|W1||||D77^WELBY^MARCUS^^^DR^^^GOOD||||||||||||V1^^^GOOD^VN"
    named = translate((head, "EVN|A01", "PID|1||P1^^^GOOD^MR||DOE^JANE", visit)).one("Practitioner")
    assert named["id"] == person["id"]


@pytest.mark.parametrize(
    ("action", "flag", "active"),
    [
        ("MAD", "", True),
        ("MUP", "", None),
        ("MUP", "I", False),
        ("MAC", "", True),
        ("MDC", "A", False),
        ("MDL", "A", False),
    ],
)
def test_the_action_says_whether_the_record_is_in_use_and_deletes_nobody(
    made: Any, write: Any, action: str, flag: str, active: bool | None
) -> None:
    found = made("M02", record(action), member(write, f7=flag))
    assert found.one("Practitioner").get("active") is active
    assert found.change("Practitioner").method == "merge"


def test_a_delete_of_a_field_deletes_the_element(made: Any, write: Any) -> None:
    assert "birthDate" in made("M02", record("MUP"), member(write, f6='""')).change("Practitioner").remove


def test_what_a_practitioner_may_do_are_qualifications_and_roles(made: Any, write: Any) -> None:
    found = made(
        "M02",
        record("MUP"),
        member(write),
        "PRA|D77|GRP^Group^L|OP^Outpatient^HL70186||Cardiology^ABIM^C^20050101|L100^SL^TX^20301231|ADM^Admit&x^F",
        "ORG|1|ICU^Intensive care^L|||U9^^^GOOD|AT^Attending^L||||20210101^20221231",
        "AFF|1|College of Physicians^L^44|9 ROAD^^CITY|20100101^",
        "LAN|1|es^Spanish^ISO639|1^Read^HL70403|3^Good^HL70404",
        "EDU|1|MD^Doctor of medicine^HL70360|19800901^19860601|||State University^L^9||5 ROAD^^CITY",
        write("CER", f1="1", f2="C55", f4="State Board^L^7", f10="LIC^Licence^L", f25="20200101", f27="20301231"),
    )
    person = found.one("Practitioner")
    specialty, degree, certificate = person["qualification"]
    assert (specialty["code"]["text"], specialty["issuer"]["display"]) == ("Cardiology", "ABIM")
    assert specialty["period"] == {"start": "2005-01-01"}
    assert (degree["code"]["coding"][0]["code"], degree["issuer"]["display"]) == ("MD", "State University")
    assert degree["period"] == {"start": "1980-09-01", "end": "1986-06-01"}
    assert (certificate["identifier"][0]["value"], certificate["issuer"]["display"]) == ("C55", "State Board")
    assert certificate["period"] == {"start": "2020-01-01", "end": "2030-12-31"}
    assert person["identifier"][-1]["value"] == "L100"
    assert person["communication"][0]["coding"][0]["code"] == "es"
    staff, unit, college = found.all("PractitionerRole")
    assert "OP" in [one["coding"][0]["code"] for one in staff["code"] if "coding" in one]
    assert staff["specialty"] == [{"text": "Cardiology"}]
    assert (unit["organization"]["display"], unit["period"]["end"]) == ("Intensive care", "2022-12-31")
    assert college["organization"]["display"] == "College of Physicians"


def test_each_record_is_somebody(made: Any, write: Any) -> None:
    other = member(write, f1="D78", f2="D78^^^GOOD", f3="HOUSE^GREG")
    found = made("M02", record("MAD"), member(write), "LAN|1|es", record("MDC", "D78"), other, "LAN|1|fr")
    welby, house = found.all("Practitioner")
    assert [one["active"] for one in (welby, house)] == [True, False]
    assert [one["communication"][0]["coding"][0]["code"] for one in (welby, house)] == ["es", "fr"]


PLACE = (
    "LOC|W1^101^A^HOSP|Corner bed|N^Nursing unit^HL70260|Good Hospital^L^77|1 ROAD^^TOWN|^WPN^PH^^^555^1000"
    "||OXY^Oxygen^L"
)


def test_a_location_is_the_place_that_visits_name(made: Any, translate: Any) -> None:
    found = made("M05", record("MAD", "W1"), PLACE)
    bed = next(one for one in found.all("Location") if one.get("description") == "Corner bed")
    assert (bed["name"], bed["status"], bed["type"][0]["coding"][0]["code"]) == ("W1 101 A", "active", "N")
    assert bed["managingOrganization"]["display"] == "Good Hospital"
    assert (bed["address"]["city"], bed["telecom"][0]["value"]) == ("TOWN", "555 1000")
    assert bed["partOf"]["reference"].startswith("Location/")
    head = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A01|M9|P|2.5.1"
    visit = "PV1|1|I|W1^101^A^HOSP||||||||||||||||V1^^^GOOD^VN"
    named = translate((head, "EVN|A01", "PID|1||P1^^^GOOD^MR||DOE^JANE", visit)).all("Location")
    assert bed["id"] in {one["id"] for one in named}


@pytest.mark.parametrize(("action", "status"), [("MDC", "inactive"), ("MDL", "inactive"), ("MAC", "active")])
def test_a_location_that_is_taken_out_of_use_stays_as_inactive(made: Any, action: str, status: str) -> None:
    found = made("M05", record(action, "W1"), PLACE)
    bed = next(one for one in found.all("Location") if one.get("description") == "Corner bed")
    assert bed["status"] == status


def test_departments_are_services_at_the_place(made: Any, write: Any) -> None:
    found = made(
        "M05",
        record("MUP", "W1"),
        PLACE,
        "LCH|W1^101^A^HOSP|A||SMK^Smoking^HL70324|N^No^HL70136",
        "LRL|W1^101^A^HOSP|A||PAR^Parent^HL70325||WING7",
        "LRL|W1^101^A^HOSP|A||LAB^Nearest laboratory^HL70325||LAB1",
        write("LDP", f1="W1", f2="CARD^Cardiology^L", f4="CAR^Cardiac^HL70265", f6="A", f10="MON^FRI^0800^1700"),
        "LCH|W1^101^A^HOSP|A||TEA^Teaching^HL70324|Y^Yes^HL70136",
        "LCC|W1|CARD|PRI^Private^L|C100^Room charge^L",
    )
    bed = next(one for one in found.all("Location") if one.get("description") == "Corner bed")
    parent = next(one for one in found.all("Location") if one["name"] == "WING7")
    assert bed["partOf"]["reference"] == f"Location/{parent['id']}"
    named = [one["url"].rpartition(":")[2] for one in bed["extension"]]
    assert ("characteristic" in named, "location-relationship" in named) == (True, True)
    service = found.one("HealthcareService")
    assert (service["name"], service["active"]) == ("Cardiology", True)
    assert service["location"] == [{"reference": f"Location/{bed['id']}"}]
    assert service["availableTime"] == [
        {
            "daysOfWeek": ["mon", "tue", "wed", "thu", "fri"],
            "availableStartTime": "08:00:00",
            "availableEndTime": "17:00:00",
        }
    ]
    own = [one["url"].rpartition(":")[2] for one in service["extension"]]
    assert own == ["characteristic", "accommodation", "charge-code"]
