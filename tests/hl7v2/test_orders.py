"""ORC and OBR to ServiceRequest and DiagnosticReport: numbers, status, who ordered, parents, prior results, timing."""

from __future__ import annotations

from typing import Any

import pytest

PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"
PLACER = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]}
FILLER = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "FILL"}]}


def sent(kind: str, *segments: str, version: str = "2.5.1") -> tuple[str, ...]:
    head = f"MSH|^~\\&|OE|GOOD|HP|HUB|20260301101500+0000||{kind}|M2|P|{version}"
    return (head, PID, *segments)


def extension(resource: dict[str, Any], name: str) -> Any:
    url = name if ":" in name else f"urn:hawsepipe:extension:{name}"
    for one in resource.get("extension", ()):
        if one["url"] == url:
            return next((value for key, value in one.items() if key.startswith("value")), one.get("extension"))
    return None


def test_order_and_filler_numbers_of_both_segments_are_written_once_each(translate: Any) -> None:
    made = translate(sent("ORU^R01", "ORC|RE|P1^OE|F1^LAB", "OBR|1|P1^OE|F1^LAB|1-8^Panel^LN", "OBX|1|NM|1-1^A^LN||1"))
    system = "urn:hawsepipe:authority:"
    expected = [
        {"system": f"{system}OE", "value": "P1", "type": PLACER},
        {"system": f"{system}LAB", "value": "F1", "type": FILLER},
    ]
    for type_ in ("ServiceRequest", "DiagnosticReport"):
        found = made.one(type_)["identifier"]
        assert [{key: one[key] for key in ("system", "value", "type")} for one in found] == expected


def test_numbers_that_differ_between_orc_and_obr_are_all_kept(translate: Any) -> None:
    order = translate(sent("ORM^O01", "ORC|NW|P1|F1", "OBR|1|P2|F2|1-8^Panel^LN")).one("ServiceRequest")
    assert [(one["value"], one["type"]) for one in order["identifier"]] == [
        ("P1", PLACER),
        ("F1", FILLER),
        ("P2", PLACER),
        ("F2", FILLER),
    ]


@pytest.mark.parametrize(
    ("control", "reported", "status"),
    [
        ("NW|P1|||", "", "active"),
        ("NW|P1|||CM", "", "completed"),
        ("CA|P1|||", "", "revoked"),
        ("CA|P1|||IP", "F", "active"),
        ("RE|P1|||", "F", "completed"),
        ("RE|P1|||", "X", "revoked"),
        ("ZZ|P1|||", "", "unknown"),
    ],
)
def test_a_status_comes_from_orc_5_else_orc_1_else_obr_25(
    translate: Any, control: str, reported: str, status: str
) -> None:
    made = translate(sent("ORM^O01", f"ORC|{control}", f"OBR|1|P1||1-8^Panel^LN{'|' * 21}{reported}"))
    assert made.one("ServiceRequest")["status"] == status


def test_the_control_of_an_order_and_its_time_are_kept_as_an_event(translate: Any) -> None:
    order = translate(sent("ORM^O01", "ORC|CA|P1||||||20260301090000+0000", "OBR|1|P1||1-8^P^LN")).one("ServiceRequest")
    assert "authoredOn" not in order
    assert extension(order, "http://hl7.org/fhir/StructureDefinition/businessEvent") == [
        {
            "url": "value",
            "valueCodeableConcept": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0119", "code": "CA"}]
            },
        },
    ]


def test_a_new_order_was_written_at_orc_9(translate: Any, write: Any) -> None:
    orc = write("ORC", f1="NW", f2="P1", f9="20260301090000+0000")
    order = translate(sent("ORM^O01", orc, "OBR|1|P1||1-8^P^LN")).one("ServiceRequest")
    assert order["authoredOn"] == "2026-03-01T09:00:00+00:00"


def test_who_ordered_in_which_facility_is_a_role_and_further_ones_stay_beside(translate: Any, write: Any) -> None:
    orc = write(
        "ORC",
        f1="NW",
        f2="P1",
        f12="D1^WELBY^MARCUS~D2^HOUSE^GREG",
        f21="WARD NINE^^9",
        f22="1 MAIN ST^^TOWN^ST",
        f23="^WPN^PH^^^555^5550000",
        f24="2 SIDE ST^^TOWN^ST",
    )
    made = translate(sent("ORM^O01", orc, write("OBR", f2="P1", f4="1-8^P^LN", f16="D1^WELBY^MARCUS~D3^ROE^ANN")))
    order, role = made.one("ServiceRequest"), made.one("PractitionerRole")
    people = {one["identifier"][0]["value"]: one for one in made.all("Practitioner")}
    facility = made.one("Organization")
    assert order["requester"]["reference"] == f"PractitionerRole/{role['id']}"
    assert role["practitioner"]["reference"] == f"Practitioner/{people['D1']['id']}"
    assert role["organization"]["reference"] == f"Organization/{facility['id']}"
    assert facility["address"][0]["city"] == "TOWN"
    assert facility["telecom"][0]["system"] == "phone"
    assert people["D1"]["address"][0]["line"] == ["2 SIDE ST"]
    further = [one["valueReference"]["reference"] for one in order["extension"] if one["url"].endswith("requester")]
    assert further == [f"Practitioner/{people['D2']['id']}", f"Practitioner/{people['D3']['id']}"]


def test_obr_16_alone_is_the_requester(translate: Any, write: Any) -> None:
    made = translate(sent("ORU^R01", write("OBR", f2="P1", f4="1-8^P^LN", f16="D1^WELBY^MARCUS")))
    assert made.one("ServiceRequest")["requester"]["display"] == "MARCUS WELBY"


def test_who_entered_and_verified_an_order_is_its_provenance(translate: Any, write: Any) -> None:
    orc = write("ORC", f1="NW", f2="P1", f9="20260301090000+0000", f10="E1^CLERK^ANN", f11="V1^CHECK^BOB", f18="PC7")
    made = translate(sent("ORM^O01", orc, "OBR|1|P1||1-8^P^LN"))
    provenance = made.one("Provenance")
    assert provenance["target"] == [{"reference": f"ServiceRequest/{made.one('ServiceRequest')['id']}"}]
    assert provenance["recorded"] == "2026-03-01T09:00:00+00:00"
    assert provenance["activity"]["coding"][0]["code"] == "CREATE"
    roles = [(one["who"]["reference"].split("/")[0], one.get("type", {})) for one in provenance["agent"]]
    assert [(kind, told["coding"][0]["code"] if told else "") for kind, told in roles] == [
        ("Practitioner", "enterer"),
        ("Practitioner", "verifier"),
        ("Device", ""),
    ]


def test_a_child_order_names_its_parent_and_refers_to_it_when_it_is_there(translate: Any, write: Any) -> None:
    made = translate(
        sent(
            "ORU^R01",
            write("OBR", f1="1", f2="P1^OE", f3="F1^LAB", f4="600-7^Culture^LN", f25="F"),
            "OBX|1|CE|600-7^Organism^LN|1|112283007^E. coli^SCT||||||F",
            write(
                "OBR",
                f1="2",
                f3="F2^LAB",
                f4="50545-3^Susceptibility^LN",
                f25="F",
                f26="600-7&Organism&LN^1^E. coli",
                f29="P1&OE^F1&LAB",
            ),
            "OBX|1|ST|18862-3^Amoxicillin^LN||R||||||F",
        )
    )
    first, second = made.all("ServiceRequest")
    url = f"ServiceRequest/{first['id']}"
    assert [(one["reference"], one["type"], one["identifier"]["value"]) for one in second["basedOn"]] == [
        (url, "ServiceRequest", "P1"),
        (url, "ServiceRequest", "F1"),
    ]
    organism, drug = made.all("Observation")
    assert organism["hasMember"] == [{"reference": f"Observation/{drug['id']}"}]
    told = {one["url"]: one for one in extension(made.all("DiagnosticReport")[1], "parent-result")}
    assert told["sub-id"]["valueString"] == "1"
    assert told["value"]["valueString"] == "E. coli"


def test_a_parent_that_the_message_does_not_have_is_named(translate: Any, write: Any) -> None:
    orc = write("ORC", f1="CH", f2="P2", f8="P1&OE^F1&LAB")
    (placer, filler) = translate(sent("ORM^O01", orc, "OBR|1|P2||1-8^P^LN")).one("ServiceRequest")["basedOn"]
    assert "reference" not in placer
    assert (placer["identifier"]["value"], filler["identifier"]["value"]) == ("P1", "F1")


def test_prior_results_are_reports_of_their_own_behind_the_new_order(translate: Any, write: Any) -> None:
    made = translate(
        sent(
            "OML^O21",
            "ORC|NW|P9^OE",
            "OBR|1|P9^OE||2345-7^Glucose^LN",
            "OBX|1|ST|8665-2^Last menstrual period^LN||unknown||||||F",
            "PID|1||MRN1^^^GOOD^MR||DOE^JANE",
            "ORC|RE|P1^OE|F1^LAB",
            write("OBR", f1="1", f2="P1^OE", f3="F1^LAB", f4="2345-7^Glucose^LN", f7="20250301", f25="F"),
            "OBX|1|NM|2345-7^Glucose^LN||5.4|mmol/L|||||F",
        )
    )
    new, prior = made.all("ServiceRequest")
    report = made.one("DiagnosticReport")
    asked, result = made.all("Observation")
    assert new["supportingInfo"] == [
        {"reference": f"Observation/{asked['id']}"},
        {"reference": f"DiagnosticReport/{report['id']}"},
    ]
    assert report["result"] == [{"reference": f"Observation/{result['id']}"}]
    assert report["basedOn"] == result["basedOn"] == [{"reference": f"ServiceRequest/{prior['id']}"}]
    assert (new["status"], prior["status"]) == ("active", "completed")
    assert "basedOn" not in asked


@pytest.mark.parametrize("kind", ["ORM^O01", "OML^O21", "OMG^O19", "OMI^O23"])
def test_observations_that_come_with_an_order_are_its_supporting_information(translate: Any, kind: str) -> None:
    made = translate(sent(kind, "ORC|NW|P1", "OBR|1|P1||1-8^P^LN", "OBX|1|NM|3141-9^Weight^LN||70|kg|||||F"))
    weight = made.one("Observation")
    assert made.one("ServiceRequest")["supportingInfo"] == [{"reference": f"Observation/{weight['id']}"}]
    assert made.all("DiagnosticReport") == []


def test_an_order_without_obr_is_an_order(translate: Any) -> None:
    made = translate(sent("OML^O21", "ORC|CA|P1^OE|F1^LAB"))
    assert made.one("ServiceRequest")["status"] == "revoked"


def test_results_of_2_2_without_an_event_or_an_orc(translate: Any, write: Any) -> None:
    obr = write("OBR", f1="1", f3="F1", f4="GLU^Glucose^L", f7="199603011000", f25="F", f27="1^^^^^S")
    made = translate(sent("ORU", obr, "OBX|1|NM|GLU||5.4|mmol/l|3.9-5.6|N|||F", version="2.2"))
    assert made.one("DiagnosticReport")["status"] == "final"
    assert made.one("ServiceRequest")["priority"] == "stat"
    assert made.one("Observation")["valueQuantity"]["unit"] == "mmol/l"


TIMING = "http://terminology.hl7.org/CodeSystem/v2-0335"


def test_tq1_is_when_and_how_often(translate: Any, write: Any) -> None:
    tq1 = write(
        "TQ1",
        f1="1",
        f2="2^mL",
        f3="BID",
        f4="0800~2000",
        f7="20260301080000+0000",
        f8="20260305080000+0000",
        f9="S^Stat^HL70485",
        f10="if in pain",
        f11="before meals",
        f14="8",
    )
    order = translate(sent("OML^O21", "ORC|NW|P1", tq1, "OBR|1|P1||1-8^P^LN||20260301")).one("ServiceRequest")
    ucum = {"system": "http://unitsofmeasure.org", "code": "mL"}
    assert order["quantityQuantity"] == {"value": 2, "unit": "mL"} | ucum
    assert order["priority"] == "stat"
    timing = order["occurrenceTiming"]
    assert timing["code"]["coding"][-1] == {"system": TIMING, "code": "BID"}
    assert timing["event"] == ["2026-03-01"]
    assert timing["repeat"] == {
        "timeOfDay": ["08:00:00", "20:00:00"],
        "boundsPeriod": {"start": "2026-03-01T08:00:00+00:00", "end": "2026-03-05T08:00:00+00:00"},
        "count": 8,
        "countMax": 8,
    }
    assert order["asNeededCodeableConcept"] == {"text": "if in pain"}
    assert order["note"] == [{"text": "before meals"}]


def test_the_end_of_a_timing_follows_from_its_start_and_duration(translate: Any) -> None:
    tq1 = "TQ1|1|||||2^h|20260301080000+0000"
    order = translate(sent("OML^O21", "ORC|NW|P1", tq1, "OBR|1|P1||1-8^P^LN")).one("ServiceRequest")
    period = order["occurrenceTiming"]["repeat"]["boundsPeriod"]
    assert period == {"start": "2026-03-01T08:00:00+00:00", "end": "2026-03-01T10:00:00+00:00"}


def test_tq_of_older_versions_says_the_same(translate: Any) -> None:
    orc = "ORC|NW|P1|||||1^QOD&0900^^20260301^20260310^R^if fever^with water^^^^5"
    order = translate(sent("ORM^O01", orc, "OBR|1|P1||1-8^P^LN", version="2.3")).one("ServiceRequest")
    assert order["occurrenceTiming"]["code"]["coding"][0]["code"] == "QOD"
    assert order["occurrenceTiming"]["repeat"] == {
        "timeOfDay": ["09:00:00"],
        "boundsPeriod": {"start": "2026-03-01", "end": "2026-03-10"},
        "count": 5,
    }
    assert order["priority"] == "routine"
    assert order["asNeededCodeableConcept"] == {"text": "if fever"}


def test_an_order_without_timing_is_wanted_at_a_moment(translate: Any) -> None:
    order = translate(sent("ORM^O01", "ORC|NW|P1", "OBR|1|P1||1-8^P^LN|R|20260301")).one("ServiceRequest")
    assert order["occurrenceDateTime"] == "2026-03-01"
    assert order["priority"] == "routine"


def test_copies_reasons_and_confidentiality_of_an_order(translate: Any, write: Any) -> None:
    orc = write("ORC", f1="CA", f2="P1", f16="DUP^Duplicate^L", f28="HIV")
    obr = write("OBR", f2="P1", f4="1-8^P^LN", f28="D1^WELBY~D2^HOUSE", f31="R05^Cough^I10")
    order = translate(sent("OML^O21", orc, obr)).one("ServiceRequest")
    reason = extension(order, "http://hl7.org/fhir/StructureDefinition/request-statusReason")
    assert reason["coding"][0]["code"] == "DUP"
    assert order["reasonCode"][0]["coding"][0]["code"] == "R05"
    assert [one["code"] for one in order["meta"]["security"]] == ["R", "HIV"]
    assert len([one for one in order["extension"] if one["url"].endswith("result-copies-to")]) == 2
