"""Whose numbers are whose: what a facility numbers without an authority, and types of one authority."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe_hl7v2 import bundle

HEAD = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A01|M1|P|2.5.1"
OWN = "urn:hawsepipe:facility:GOOD"


def test_equal_numbers_of_a_practice_and_an_insurer_are_two_organizations(translate: Any, write: Any) -> None:
    insured = write("IN1", f1="1", f2="12345", f3="12345", f4="AOK", f10="12345", f11="ACME", f36="POL1")
    pid = write("PID", f3="12345", f18="12345")
    made = translate((HEAD, pid, "PD1|||Praxis A^^12345|12345^WELBY", "PV1|1|I" + "|" * 17 + "12345", insured))
    names = {one["name"]: one["identifier"][0]["system"] for one in made.all("Organization") if "identifier" in one}
    assert names == {"Praxis A": f"{OWN}:organization", "AOK": f"{OWN}:insurer", "ACME": f"{OWN}:employer"}
    coverage = made.one("Coverage")
    assert coverage["payor"][0]["display"] == "AOK"
    assert made.one("Patient")["identifier"] == [{"value": "12345", "system": OWN}]
    assert made.one("Account")["identifier"][0]["system"] == f"{OWN}:account"
    assert made.one("Encounter")["identifier"][0]["system"] == f"{OWN}:visit"
    assert made.one("Practitioner")["identifier"][0]["system"] == f"{OWN}:practitioner"
    systems = {one["system"] for one in coverage["identifier"] if "system" in one}
    assert f"{OWN}:plan" in systems


def test_the_number_of_a_message_is_none_of_a_patient(translate: Any) -> None:
    made = bundle(translate((HEAD, "PID|1||M1")).translation)
    assert made["identifier"]["system"] == f"{OWN}:message"


def test_a_master_file_and_a_mention_are_one_practitioner(translate: Any, write: Any) -> None:
    staff = (
        "MSH|^~\\&|HR|GOOD|HP|HUB|20260301083000+0000||MFN^M02|M1|P|2.5.1",
        "MFI|PRA||UPD|||AL",
        "MFE|MAD|1||D77",
        write("STF", f1="D77", f2="D77", f3="WELBY^MARCUS"),
    )
    mention = translate((HEAD, "PID|1||M1", "PD1||||D77^WELBY^MARCUS"))
    assert translate(staff).one("Practitioner")["id"] == mention.one("Practitioner")["id"]


def test_the_settings_name_the_system_of_what_a_facility_numbers(translate: Any) -> None:
    systems = {"GOOD:practitioner": "https://good.example/doctors"}
    made = translate((HEAD, "PID|1||M1", "PD1||||D77^WELBY^MARCUS"), systems=systems)
    assert made.one("Practitioner")["identifier"][0]["system"] == "https://good.example/doctors"


SYSTEMS = {"KN": "https://kn.example/mrn", "KN|VN": "https://kn.example/visit", "KN|LANR": "https://kn.example/lanr"}


@pytest.mark.parametrize(
    ("type_", "authority", "system"),
    [("MR", "KN", SYSTEMS["KN"]), ("VN", "KN", SYSTEMS["KN|VN"]), ("VN", "KN&1.2.3&ISO", SYSTEMS["KN|VN"])],
)
def test_one_authority_that_numbers_several_things_is_told_apart_by_the_type(
    translate: Any, write: Any, type_: str, authority: str, system: str
) -> None:
    sent = write("PV1", f1="1", f2="I", f19=f"V1^^^{authority}^{type_}")
    made = translate((HEAD, "PID|1||M1^^^KN^MR", sent), systems=SYSTEMS)
    assert made.one("Patient")["identifier"][0]["system"] == SYSTEMS["KN"]
    assert made.one("Encounter")["identifier"][0]["system"] == system
    (url,) = (
        one["request"]["url"]
        for one in bundle(made.translation)["entry"]
        if "Encounter" in one["fullUrl"] or one.get("resource", {}).get("resourceType") == "Encounter"
    )
    assert url.startswith("Encounter?identifier=")


def test_people_and_organizations_are_told_apart_by_the_type_too(translate: Any, write: Any) -> None:
    doctor = "D1^A^B^^^^^^KN^^^^LANR"
    practice = "Praxis^^^^^KN^LANR^^^P1"
    made = translate((HEAD, "PID|1||M1^^^KN^MR", f"PD1|||{practice}|{doctor}"), systems=SYSTEMS)
    assert made.one("Practitioner")["identifier"][0]["system"] == SYSTEMS["KN|LANR"]
    found = [one for one in made.all("Organization") if one.get("name") == "Praxis"]
    assert found[0]["identifier"][0]["system"] == SYSTEMS["KN|LANR"]
