"""What a message tells and R4 has no element for is kept once, where a reader finds it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

HEAD = "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M2|P|2.5.1"
PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"
PREFIX = "urn:hawsepipe:extension:"


def told(resource: dict[str, Any], name: str) -> list[Any]:
    """The values of an extension of ours."""
    found = [item for item in resource.get("extension", []) if item["url"] == PREFIX + name]
    return [value for item in found for key, value in item.items() if key.startswith("value")]


def test_the_header_tells_once_what_the_sender_calls_its_coding_systems(translate: Any, write: Any) -> None:
    person = write("PID", f3="MRN1^^^GOOD^MR", f5="DOE^JANE", f10="2106-3^White^HL70005~2028-9^Asian^HL70005")
    made = translate(
        (HEAD, person, "OBR|1|P1|F1|1234-5^Panel^LN", "OBX|1|NM|1-1^A^LN||5|mg/dL^^ISO+|||||F||||||2^Kit^NCIT")
    )
    systems = [coding["code"] for coding in told(made.translation.header, "coding-system")]
    assert sorted(systems) == ["HL70005", "ISO+", "LN", "NCIT"]
    assert all(coding["system"].endswith("/v2-0396") for coding in told(made.translation.header, "coding-system"))
    assert made.source("MessageHeader", "extension[3].valueCoding.code") <= {"PID-10.3", "OBX-3.3"}
    assert "HL70005" not in str(made.one("Patient"))


def test_a_name_that_its_uri_repeats_is_not_told_again(translate: Any) -> None:
    made = translate((HEAD, PID, "OBR|1|P1|F1|1234-5^Panel^99LOCAL"))
    assert told(made.translation.header, "coding-system") == []


def test_another_event_in_evn_is_kept_and_reported(translate: Any) -> None:
    head = "MSH|^~\\&|APP|GOOD|||20260301||ADT^A08|M1|P|2.5"
    made = translate((head, "EVN|A01|20260301", PID, "PV1|1|I"))
    assert told(made.translation.header, "event-type") == ["A01"]
    assert ("warning", "EVN-1") in [(issue.severity, issue.location) for issue in made.translation.issues]
    assert told(translate((head, "EVN|A08|20260301", PID, "PV1|1|I")).translation.header, "event-type") == []


@pytest.mark.parametrize(
    ("address", "name", "url"),
    [
        ("^2001:db8::9^IPv6", "APP - IPv6:2001:db8::9", None),
        ("NODE^10.0.0.9^L", "APP - NODE - L:10.0.0.9", None),
        ("^lab.example^DNS", "APP", "urn:dns:lab.example"),
        ("^https://lab.example/in^URI", "APP", "https://lab.example/in"),
    ],
)
def test_an_address_that_is_no_url_is_in_the_name_of_the_source(
    translate: Any, write: Any, address: str, name: str, url: str | None
) -> None:
    head = write("MSH", f1="^~\\&", f2="APP", f6="20260301", f8="ADT^A28", f9="M1", f10="P", f11="2.6", f23=address)
    source = (translate((head, PID)).translation.header or {})["source"]
    assert (source["name"], source.get("endpoint")) == (name, url)
    assert ("data-absent-reason" in str(source)) == (url is None)


@pytest.mark.parametrize(("type_", "value"), [("ST", "many"), ("CE", "A^Alpha^L"), ("TX", "about 5")])
def test_a_unit_stays_beside_a_value_that_has_no_place_for_it(translate: Any, type_: str, value: str) -> None:
    observation = translate((HEAD, PID, "OBR|1|P1|F1|1^A^L", f"OBX|1|{type_}|1-1^A^LN||{value}|/min||||||F")).one(
        "Observation"
    )
    assert told(observation, "unit") == [{"coding": [{"code": "/min"}]}]


def test_a_range_of_numbers_has_its_unit(translate: Any) -> None:
    observation = translate((HEAD, PID, "OBR|1|P1|F1|1^A^L", "OBX|1|NR|1-1^A^LN||2^4|mg^^UCUM|||||F")).one(
        "Observation"
    )
    assert observation["valueRange"]["high"]["code"] == "mg"
    assert told(observation, "unit") == []


def test_a_file_without_content_is_kept_with_its_observation(translate: Any) -> None:
    made = translate((HEAD, PID, "OBR|1|P1|F1|1^A^L", "OBX|1|ED|1-1^A^LN||SCANNER^IM^JPEG^Base64|||||F"))
    assert told(made.one("Observation"), "OBX-5") == ["SCANNER^IM^JPEG^Base64"]


def test_a_masked_name_is_anonymous_and_says_how(translate: Any) -> None:
    (name,) = translate((HEAD, "PID|1||MRN1^^^GOOD^MR||DOE^JANE^^^^^MSK")).one("Patient")["name"]
    assert name["use"] == "anonymous"
    assert name["_use"]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "MSK"


@pytest.mark.parametrize("relation", ["SEL", "Self", "01^Self"])
def test_whoever_is_insured_by_oneself_subscribes(translate: Any, write: Any, relation: str) -> None:
    made = translate(
        (
            "MSH|^~\\&|APP|GOOD|||20260301||ADT^A04|M1|P|2.5",
            "EVN|A04",
            PID,
            write("IN1", f1="1", f2="PPO", f3="INS1", f4="ACME", f16="DOE^JANE", f17=relation, f36="POL1"),
        )
    )
    patient = made.one("Patient")
    assert made.one("Coverage")["subscriber"] == {"reference": f"Patient/{patient['id']}"}
    assert not made.all("RelatedPerson")


def test_a_guarantor_by_oneself_under_another_name_is_not_lost(translate: Any, write: Any) -> None:
    head = "MSH|^~\\&|APP|GOOD|||20260301||ADT^A04|M1|P|2.5"
    guarantor = write("GT1", f1="1", f3="ROE^RICHARD", f11="SEL", f21="WORKS LTD")
    account = translate((head, "EVN|A04", PID, guarantor)).one("Account")
    assert told(account, "GT1-3") == ["ROE^RICHARD"]
    assert [one["party"].get("display") for one in account["guarantor"]] == ["WORKS LTD", None]


def test_a_credential_is_in_no_resource_and_not_in_the_copy_of_the_message(translate: Any) -> None:
    credential = "UAC|SAML^^HL70615|^application^xml^A^secret-token"
    made = translate(("MSH|^~\\&|APP|GOOD|||20260301||ADT^A28|M1|P|2.8", credential, PID))
    (document,) = made.envelope("DocumentReference")
    copy = base64.b64decode(document["content"][0]["attachment"]["data"])
    assert b"secret-token" not in copy
    assert b"\rUAC\rPID|1||MRN1" in copy
    assert "secret-token" not in str(made.translation)


def test_an_event_with_seconds_before_a_meal_is_not_at_the_meal(translate: Any, write: Any) -> None:
    def timing(pattern: str, **more: str) -> dict[str, Any]:
        head = "MSH|^~\\&|OE|GOOD|||20260301||OML^O21|M1|P|2.5"
        order = (head, PID, "ORC|NW|P1", write("TQ1", f1="1", f3=pattern, **more), "OBR|1|P1||1^Glucose^L")
        resource: dict[str, Any] = translate(order).one("ServiceRequest")["occurrenceTiming"]
        return resource

    assert timing("^^^^^^^PC^120^s")["repeat"]["offset"] == 2
    made = timing("^^^^^^^PC^90^s&Seconds&ANS+", f4="1130~1145", f13="2^hr&Hour&UCUM")
    assert "offset" not in made["repeat"]
    assert told(made, "offset") == ["90^s&Seconds&ANS+"]
    assert told(made, "explicit-time") == ["1130", "1145"]
    assert (made["repeat"]["duration"], told(made, "duration")) == (2, ["2^hr&Hour&UCUM"])


def test_the_issuer_of_a_device_identifier_is_named(translate: Any, write: Any) -> None:
    device = write("PRT", f2="AD", f4="EQUIP^Equipment^HL70912", f10="PUMP", f16="00643169001763^^2.51.1.1^ISO")
    made = translate((HEAD, PID, "OBR|1|P1|F1|1^A^L", "OBX|1|ST|1-1^A^LN||x||||||F", device))
    (found,) = (one for one in made.all("Device") if "udiCarrier" in one)
    assert found["udiCarrier"] == [{"deviceIdentifier": "00643169001763", "issuer": "urn:oid:2.51.1.1"}]


def test_addresses_of_nobody_stay_with_the_order(translate: Any, write: Any) -> None:
    order = write("ORC", f1="NW", f2="P1", f22="1 LAB ST^^TOWN", f23="^WPN^PH^^^555^1234567", f24="2 DOC ST^^TOWN")
    request = translate((HEAD, PID, order, "OBR|1|P1|F1|1^A^L")).one("ServiceRequest")
    assert told(request, "ordering-facility-address")[0]["line"] == ["1 LAB ST"]
    assert told(request, "ordering-facility-telecom")[0]["value"] == "555 1234567"
    assert told(request, "ordering-provider-address")[0]["line"] == ["2 DOC ST"]


def test_an_authority_without_an_order_number_stays(translate: Any) -> None:
    request = translate((HEAD, PID, "ORC|RE|^FORMS|F1", "OBR|1|^FORMS|F1|1^A^L")).one("ServiceRequest")
    assert told(request, "ORC-2") == ["^FORMS"]
    assert [one["value"] for one in request["identifier"]] == ["F1"]


def test_an_order_may_have_several_numbers_of_its_filler(translate: Any) -> None:
    made = translate((HEAD, PID, "OBR|1|P1|F1^LAB~M9^REFERENCE|1^A^L|||||||||||||||||||||F"))
    for resource in (made.one("ServiceRequest"), made.one("DiagnosticReport")):
        assert [one["value"] for one in resource["identifier"]] == ["P1", "F1", "M9"]


def test_a_diagnosis_of_an_ordered_drug_is_its_reason(translate: Any, write: Any) -> None:
    head = HEAD.replace("ORU^R01^ORU_R01", "ORM^O01")
    drug = write("RXO", f1="123^Ampicillin^NDC", f2="2")
    made = translate((head, PID, "ORC|NW|P1", drug, write("DG1", f1="1", f3="J13^Pneumonia^I10", f6="W")))
    condition = made.one("Condition")
    assert made.one("MedicationRequest")["reasonReference"] == [{"reference": f"Condition/{condition['id']}"}]


def test_an_unknown_order_status_stays_beside_that_of_the_control(translate: Any) -> None:
    made = translate((HEAD.replace("ORU^R01^ORU_R01", "ORM^O01"), PID, "ORC|NW|P1|||Ordered", "OBR|1|P1||1^A^L"))
    request = made.one("ServiceRequest")
    assert (request["status"], told(request, "ORC-5")) == ("active", ["Ordered"])


def test_an_impossible_date_stays_as_it_was_sent(translate: Any, write: Any) -> None:
    birth = translate((HEAD, write("PID", f3="M1", f5="DOE", f7="19801399"))).one("Patient")["_birthDate"]
    assert [next(iter(one.values())).rpartition("/")[2] for one in birth["extension"]] == [
        "data-absent-reason",
        "originalText",
    ]
    assert birth["extension"][1]["valueString"] == "19801399"


def test_a_visit_that_is_not_protected_says_so_without_a_label(translate: Any, write: Any) -> None:
    def visit(protected: str) -> dict[str, Any]:
        head = "MSH|^~\\&|APP|GOOD|||20260301||ADT^A01|M1|P|2.5"
        made = translate((head, "EVN|A01", PID, "PV1|1|I", write("PV2", f22=protected)))
        resource: dict[str, Any] = made.one("Encounter")
        return resource

    assert (told(visit("N"), "PV2-22"), "meta" in visit("N")) == (["N"], False)
    assert told(visit("Y"), "PV2-22") == []
    assert visit("Y")["meta"]["security"][0]["code"] == "R"


def test_what_obr_says_otherwise_of_a_specimen_stays_with_it(translate: Any, write: Any) -> None:
    request = write("OBR", f1="1", f2="P1", f3="F1", f4="1^A^L", f9="10^mL", f14="202603010800", f15="BLD")
    known = write("SPM", f1="1", f2="S1", f4="SER^Serum^HL70487", f12="7^mL", f18="202603010800")
    specimen = translate((HEAD, PID, request, "OBX|1|ST|1-1^A^L||x||||||F", known)).one("Specimen")
    assert specimen["collection"]["quantity"]["value"] == 7
    assert (told(specimen, "OBR-9"), told(specimen, "OBR-15"), told(specimen, "OBR-14")) == (["10^mL"], ["BLD"], [])


def test_an_area_without_a_number_is_a_part_without_a_value(translate: Any, write: Any) -> None:
    (telecom,) = translate(
        (HEAD, write("PID", f3="M1", f5="DOE", f13="^PRN^PH^^1^218")),
    ).one("Patient")["telecom"]
    assert "value" not in telecom
    assert sorted(one["valueString"] for one in telecom["extension"]) == ["1", "218"]


@pytest.mark.parametrize(("kind", "subtype", "type_"), [("IM", "MRXS", "image/mrxs"), ("NS", "Octet-stream", None)])
def test_a_kind_of_data_of_table_0191_makes_a_mime_type(
    translate: Any, kind: str, subtype: str, type_: str | None
) -> None:
    made = translate(
        (HEAD, PID, "OBR|1|P1|F1|1^A^L", f"OBX|1|RP|1-1^A^LN||https://x.example/1^^{kind}^{subtype}||||||F")
    )
    (attachment,) = (one["content"][0]["attachment"] for one in made.all("DocumentReference"))
    assert attachment["contentType"] == (type_ or "application/octet-stream")
    assert ("extension" in attachment) == (type_ is None)


def test_a_query_parameter_whose_name_is_an_escape_has_that_of_its_field(translate: Any) -> None:
    made = translate(("MSH|^~@&|APP|GOOD|||20260301||QBP^Q22|M1|P|2.5", "QPD|Q22^Find^HL70471|T1|@H@^DOE", "RCP|I"))
    assert made.one("Task")["input"][0]["type"]["text"] == "QPD-3"


def test_a_procedure_that_is_told_twice_has_one_time(translate: Any, write: Any) -> None:
    def procedure(**more: str) -> str:
        segment: str = write("PR1", f1="1", f3="76164006^Biopsy^SCT", f19="PR1006", **more)
        return segment

    head = "MSH|^~\\&|APP|GOOD|||20260301||ADT^A01|M1|P|2.5"
    made = translate(
        (head, "EVN|A01", PID, procedure(f5="202601251140+0100", f7="2"), procedure(f5="202602071122+0000"))
    )
    assert [key for key in made.one("Procedure") if key.startswith("performed")] == ["performedPeriod"]


def test_the_number_of_a_congregation_stays_beside_its_name(translate: Any, write: Any) -> None:
    patient = translate((HEAD, PID, write("PD1", f14="St Mary^L^^^^GOOD^XX^^^SM7"))).one("Patient")
    (found,) = [one for one in patient["extension"] if one["url"].endswith("patient-congregation")]
    assert found["valueString"] == "St Mary"
    assert found["_valueString"]["extension"][0]["valueString"] == "St Mary^L^^^^GOOD^XX^^^SM7"
    bare = translate((HEAD, PID, write("PD1", f14="St Mary"))).one("Patient")["extension"][0]
    assert "_valueString" not in bare


def test_a_responsible_organization_without_a_name_or_number_is_kept_as_sent(translate: Any) -> None:
    made = translate((HEAD + "||||||||||^^^^^^^West&1.2.3&ISO", PID))
    assert told(made.translation.header, "MSH-22") == ["^^^^^^^West&1.2.3&ISO"]
    named = translate((HEAD + "||||||||||West Hospital^L", PID)).translation.header
    assert (named["responsible"]["display"], told(named, "MSH-22")) == ("West Hospital", [])


def test_a_source_of_a_note_in_the_senders_own_words_stays_with_the_note(translate: Any) -> None:
    made = translate((HEAD, PID, "OBR|1|P1|F1|1234-5^Panel^LN", "OBX|1|NM|1-1^A^LN||5|||||F", "NTE|1|#9|Text"))
    (note,) = made.one("Observation")["note"]
    assert (note["text"], told(note, "note-source")) == ("Text", ["#9"])


def test_the_name_of_a_container_stays_beside_its_number(translate: Any) -> None:
    substance = translate((HEAD, PID, "INV|A^Agent^L|OK|RC|BOX1^Blue box")).one("Substance")
    identifier = substance["instance"][0]["identifier"]
    assert (identifier["value"], identifier["extension"][0]["valueString"]) == ("BOX1", "Blue box")
