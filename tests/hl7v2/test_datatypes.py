"""Data types of persons, identifiers, places and codes: every component has a place."""

from __future__ import annotations

from typing import Any

import pytest

HEAD = ("MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A08|M1|P|2.5.1", "EVN|A08|20260301083000+0000")
ALTERNATE = "http://hl7.org/fhir/StructureDefinition/alternate-codes"


def patient(translate: Any, write: Any, **fields: str) -> Any:
    return translate((*HEAD, write("PID", **{"f3": "M1^^^GOOD^MR", **fields})))


def urls(element: dict[str, Any]) -> dict[str, Any]:
    """Extensions by the last part of their url."""
    return {
        item["url"].rpartition("/")[2].rpartition(":")[2]: next(value for key, value in item.items() if key != "url")
        for item in element["extension"]
    }


def test_an_authority_with_a_universal_id_is_an_organization_that_all_its_identifiers_refer_to(
    translate: Any, write: Any
) -> None:
    made = patient(translate, write, f3="M1^5^M11^HOSP&1.2.3&ISO^MR^WARD&9.8&ISO^20200101^20301231~M2^^^HOSP&1.2.3&ISO")
    first, second = made.one("Patient")["identifier"]
    (authority,) = made.all("Organization")
    assert authority["identifier"] == [
        {"value": "HOSP"},
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0301", "code": "ISO"}]},
            "system": "urn:ietf:rfc:3986",
            "value": "urn:oid:1.2.3",
        },
    ]
    named = {"reference": f"Organization/{authority['id']}", "display": "HOSP"}
    assert (first["assigner"], second["assigner"]) == (named, named)
    assert (first["system"], first["period"]) == ("urn:oid:1.2.3", {"start": "2020-01-01", "end": "2030-12-31"})
    assert urls(first) == {
        "identifier-checkDigit": "5",
        "namingsystem-checkDigit": "M11",
        "assigning-facility": "WARD 9.8 ISO",
    }
    assert made.source("Organization", "identifier[1].value") == {"PID-3.4.2"}


def test_a_namespace_alone_is_a_system_and_a_name(translate: Any, write: Any) -> None:
    made = patient(translate, write)
    assert made.one("Patient")["identifier"][0]["assigner"] == {"display": "GOOD"}
    assert made.all("Organization") == []


@pytest.mark.parametrize(
    ("kind", "system", "value"),
    [
        ("UUID", "urn:ietf:rfc:3986", "urn:uuid:6f1c2a52-7a0e-5d0b-9d8e-4c5b2f0e7a11"),
        ("L", None, "6f1c2a52-7a0e-5d0b-9d8e-4c5b2f0e7a11"),
    ],
)
def test_a_universal_id_is_a_urn_only_where_its_type_is_one(
    translate: Any, write: Any, kind: str, system: str | None, value: str
) -> None:
    made = patient(translate, write, f3=f"M1^^^HOSP&6f1c2a52-7a0e-5d0b-9d8e-4c5b2f0e7a11&{kind}")
    universal = made.one("Organization")["identifier"][1]
    assert (universal.get("system"), universal["value"]) == (system, value)


def test_every_part_of_a_name_has_a_place(translate: Any, write: Any) -> None:
    made = patient(translate, write, f5="DOE&VAN&D&DE&ROE^ANN^Q^JR^DR^MD^N^A^FORMAL^20010101&20020101^G^^^CPA^JO")
    name = made.one("Patient")["name"][0]
    assert urls(name["_family"]) == {
        "humanname-own-prefix": "VAN",
        "humanname-own-name": "D",
        "humanname-partner-prefix": "DE",
        "humanname-partner-name": "ROE",
    }
    assert (name["given"], name["prefix"], name["suffix"]) == (["ANN", "Q"], ["DR"], ["JR", "MD", "CPA"])
    assert (name["use"], name["period"]) == ("nickname", {"start": "2001-01-01", "end": "2002-01-01"})
    assert urls(name)["iso21090-EN-representation"] == "ABC"
    assert urls(name)["name-context"] == {"coding": [{"code": "FORMAL"}]}


def test_the_newer_validity_of_a_name_counts_before_the_older_one(translate: Any, write: Any) -> None:
    made = patient(translate, write, f5="DOE^ANN^^^^^L^^^20010101&20020101^^20110101^20120101")
    assert made.one("Patient")["name"][0]["period"] == {"start": "2011-01-01", "end": "2012-01-01"}


def test_a_name_type_that_fhir_does_not_have_stays_beside_the_use_without_a_finding(translate: Any, write: Any) -> None:
    made = patient(translate, write, f5="DOE^ANN^^^^^A~ROE^ANN^^^^^CURRENT")
    alias, local = made.one("Patient")["name"]
    coding = alias["_use"]["extension"][0]["valueCodeableConcept"]["coding"]
    assert coding == [{"code": "A", "system": "http://terminology.hl7.org/CodeSystem/v2-0200"}]
    assert local["_use"]["extension"][0]["url"] == ALTERNATE
    assert (made.texts("PID-5.7"), len(made.texts("PID-5[2].7"))) == ([], 1)


def test_an_address_is_one_line_with_its_parts_beside_it(translate: Any, write: Any) -> None:
    sent = "12 MAIN ST&MAIN ST&12^APT 2^TOWN^ST^12345^USA^P^AREA 5^KING&King County^0033^^20000101&20010101"
    (address,) = patient(translate, write, f11=sent).one("Patient")["address"]
    assert address["line"] == ["12 MAIN ST", "APT 2"]
    assert urls(address["_line"][0]) == {"iso21090-ADXP-streetName": "MAIN ST", "iso21090-ADXP-houseNumber": "12"}
    assert address["_line"][1] is None
    assert (address["district"], address["period"]) == ("King County", {"start": "2000-01-01", "end": "2001-01-01"})
    told = urls(address)
    assert told["address-type"]["coding"][0]["code"] == "P"
    assert (told["other-geographic-designation"], told["iso21090-ADXP-censusTract"]) == ("AREA 5", "0033")


def test_a_telephone_number_has_its_parts_its_rank_and_its_time(translate: Any, write: Any) -> None:
    sent = "(555)111-2222^ORN^SAT^^1^555^5551212^7^call first^^^^20010101^20020101^^^^2"
    (phone,) = patient(translate, write, f13=sent).one("Patient")["telecom"]
    assert (phone["system"], phone["value"], phone["rank"]) == ("other", "+1 555 5551212 X7", 2)
    assert (phone["use"], phone["period"]) == ("home", {"start": "2001-01-01", "end": "2002-01-01"})
    told = urls(phone)
    assert (told["contactpoint-comment"], told["telephone-as-sent"]) == ("call first", "(555)111-2222")


def test_one_number_written_twice_is_told_once(translate: Any, write: Any) -> None:
    (phone,) = patient(translate, write, f13="(555)555-1212^PRN^PH^^1^555^5551212").one("Patient")["telecom"]
    assert set(urls(phone)) == {"contactpoint-country", "contactpoint-area", "contactpoint-local"}


def test_a_driving_licence_has_its_type_and_authority(translate: Any, write: Any) -> None:
    licence = patient(translate, write, f20="D123^CA^20301231").one("Patient")["identifier"][1]
    assert licence["type"]["coding"][0]["code"] == "DL"
    assert (licence["system"], licence["period"]) == ("urn:hawsepipe:authority:CA", {"end": "2030-12-31"})


def test_codes_name_their_systems_by_oid_and_a_display_alone_is_a_coding(translate: Any, write: Any) -> None:
    made = patient(translate, write, f15="en^English^^^^^^^^^^^^2.16.840.1.113883.6.121^1.2.3.4", f26="^Utopian^L")
    language = made.one("Patient")["communication"][0]["language"]["coding"][0]
    assert language["system"] == "urn:oid:2.16.840.1.113883.6.121"
    assert language["extension"][0]["valueUri"] == "urn:oid:1.2.3.4"
    citizen = made.one("Patient")["extension"][0]["extension"][0]["valueCodeableConcept"]
    assert (citizen["text"], citizen["coding"][0]["display"]) == ("Utopian", "Utopian")


def test_a_code_may_map_into_another_system_than_its_table(translate: Any, write: Any) -> None:
    marital = patient(translate, write, f16="U^Unknown^HL70002").one("Patient")["maritalStatus"]["coding"]
    assert marital[0] == {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK"}
    assert marital[1]["display"] == "Unknown"


def test_a_place_has_all_its_identifiers_its_kind_and_its_authority(translate: Any, write: Any) -> None:
    place = "W1&1.2.1&ISO^101^A^HOSP&1.2.4&ISO^^N^B2^F3^Quiet corner^BED7^BEDS&1.2.11&ISO"
    made = translate((*HEAD, "PID|1||M1", write("PV1", f2="I", f3=place, f19="V1")))
    places = {item["name"]: item for item in made.all("Location")}
    assert set(places) == {"HOSP", "B2", "B2 F3", "W1", "W1 101", "W1 101 A"}
    bed, ward = places["W1 101 A"], places["W1"]
    assert (bed["description"], bed["type"][0]["coding"][0]["code"]) == ("Quiet corner", "N")
    assert [item["value"] for item in bed["identifier"]] == ["A", "BED7"]
    assert [item["value"] for item in ward["identifier"]] == ["W1", "urn:oid:1.2.1"]
    assert ward["identifier"][0]["system"] == "urn:oid:1.2.11"
    assert made.all("Organization")[0]["name"] == "BEDS"


def test_people_with_one_number_are_one_with_all_their_names(translate: Any, write: Any) -> None:
    visit = write(
        "PV1", f2="I", f7="D1^WELBY^MARCUS^^^^^^NPI&1.2.9&ISO^L", f8="D1^WELBY^MARC^^^^^^NPI&1.2.9&ISO^N", f19="V1"
    )
    made = translate((*HEAD, "PID|1||M1", visit))
    doctor = made.one("Practitioner")
    assert [name["given"] for name in doctor["name"]] == [["MARCUS"], ["MARC"]]
    assert len(doctor["identifier"]) == 1


def test_an_organization_is_known_by_its_newer_number_and_keeps_the_older(translate: Any) -> None:
    made = translate((*HEAD, "PID|1||M1", "PD1|||CLINIC^L^77^3^M10^GOOD^XX^^^C77"))
    clinic = made.one("Organization")
    assert [item["value"] for item in clinic["identifier"]] == ["C77", "77"]
    assert urls(clinic["_name"])["organization-name-type"]["coding"][0]["code"] == "L"
