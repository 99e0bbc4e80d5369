"""Visits: what each event makes of one, where the patient is, and what a delete takes away."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir.merge import merged

PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"


def adt(event: str, *segments: str) -> tuple[str, ...]:
    head = "20260301083000+0000"
    return (f"MSH|^~\\&|ADT1|GOOD|HP|HUB|{head}||ADT^{event}|M1|P|2.5.1", f"EVN|{event}|{head}", *segments)


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("A06", "in-progress"),
        ("A07", "in-progress"),
        ("A12", "in-progress"),
        ("A14", "planned"),
        ("A21", "onleave"),
        ("A22", "in-progress"),
        ("A23", "entered-in-error"),
        ("A27", "cancelled"),
        ("A38", "cancelled"),
        ("A52", "in-progress"),
        ("A53", "onleave"),
    ],
)
def test_every_event_says_what_it_makes_of_the_visit(translate: Any, write: Any, event: str, status: str) -> None:
    visit = write("PV1", f2="I", f19="V1^^^GOOD")
    assert translate(adt(event, PID, visit)).one("Encounter")["status"] == status


def test_tracking_and_pending_events_never_reopen_a_visit(translate: Any, write: Any) -> None:
    visit = write("PV1", f2="I", f19="V1^^^GOOD")
    stored = merged(None, translate(adt("A03", PID, visit)).change("Encounter"))
    for event in ("A09", "A10", "A15", "A16", "A25", "A54"):
        assert merged(stored, translate(adt(event, PID, visit)).change("Encounter"))["status"] == "finished"


def test_a_transfer_tells_where_the_patient_is_and_was(translate: Any, write: Any) -> None:
    places = {"f3": "W2^201^B^GOOD", "f6": "W1^101^A^GOOD", "f11": "XRAY", "f42": "W3", "f43": "OR1"}
    made = translate(adt("A02", PID, write("PV1", f2="I", f19="V1", **places)))
    names = {f"Location/{item['id']}": item["name"] for item in made.all("Location")}
    stays = [(names[one["location"]["reference"]], one["status"]) for one in made.one("Encounter")["location"]]
    assert stays == [
        ("W2 201 B", "active"),
        ("W1 101 A", "completed"),
        ("XRAY", "active"),
        ("W3", "reserved"),
        ("OR1", "completed"),
    ]
    temporary = [one for one in made.one("Encounter")["location"] if "extension" in one]
    assert [names[one["location"]["reference"]] for one in temporary] == ["XRAY", "OR1"]


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("INN1^203^B", ["INN1", "INN1 203", "INN1 203 B"]),
        ("INN1^^B", ["INN1", "INN1 B"]),
        ("^203", ["203"]),
        ("INN1^^^HOSP^^^MAIN^3", ["HOSP", "MAIN", "MAIN 3", "INN1"]),
    ],
)
def test_a_room_or_a_bed_is_called_by_what_is_around_it_too(
    translate: Any, write: Any, place: str, names: list[str]
) -> None:
    made = translate(adt("A01", PID, write("PV1", f2="I", f3=place, f19="V1")))
    assert [one["name"] for one in made.all("Location")] == names
    assert made.one("Encounter")["location"][0]["location"]["display"] == names[-1]
    inner = made.all("Location")[-1]["id"]
    sources = {one.source for one in made.translation.trail if one.resource.endswith(inner) and one.path == "name"}
    assert len(sources) == len(names[-1].split())


def test_two_patients_who_swap_beds_keep_their_own_visits(translate: Any, write: Any) -> None:
    made = translate(
        adt(
            "A17",
            PID,
            write("PV1", f2="I", f3="W1^1^A", f19="V1"),
            "PID|2||MRN2^^^GOOD^MR",
            write("PV1", f2="I", f3="W1^1^B", f19="V2"),
        )
    )
    first, second = made.all("Patient")
    assert [visit["subject"]["reference"] for visit in made.all("Encounter")] == [
        f"Patient/{first['id']}",
        f"Patient/{second['id']}",
    ]


def test_class_service_priority_and_arrival_use_the_codes_of_r4(translate: Any, write: Any) -> None:
    visit = write("PV1", f2="R", f4="E", f10="MED", f15="A2", f16="VIP", f19="V1")
    made = translate(adt("A01", PID, visit, write("PV2", f25="1", f38="A^Ambulance^HL70430")))
    encounter = made.one("Encounter")
    assert encounter["class"] == {"system": "http://terminology.hl7.org/CodeSystem/v2-0004", "code": "R"}
    assert encounter["serviceType"]["coding"][0] == {
        "system": "http://terminology.hl7.org/CodeSystem/service-type",
        "code": "382",
    }
    assert encounter["hospitalization"]["specialArrangement"][0]["coding"][0]["code"] == "wheel"
    assert encounter["priority"]["coding"][0]["code"] == "EM"
    (arrival,) = encounter["extension"]
    assert arrival["valueCoding"]["display"] == "Ambulance"
    importance = made.one("Patient")["extension"][0]
    assert importance["url"].endswith("patient-importance")


def test_a_visit_is_described_in_words_and_protected_by_a_label(translate: Any) -> None:
    visit = "PV1|1|I|||||||||||||||||V1"
    encounter = translate(adt("A01", PID, visit, "PV2||||||||||||Check <up>||||||||||Y")).one("Encounter")
    assert encounter["text"]["div"] == '<div xmlns="http://www.w3.org/1999/xhtml">Check &lt;up&gt;</div>'
    assert encounter["meta"]["security"][0]["code"] == "R"
    open_one = translate(adt("A01", PID, visit, "PV2||||||||||||||||||||||N")).one("Encounter")
    assert "meta" not in open_one


def test_a_bed_has_its_state_an_episode_its_visit_and_a_class_of_payment_its_coverage(
    translate: Any, write: Any
) -> None:
    visit = write("PV1", f2="I", f3="W1^1^A", f19="V1", f20="A&Aid^20260101", f40="O", f53="Hip", f54="E7^^^GOOD")
    made = translate(adt("A01", PID, visit, "DG1|1||I50^Failure^I10|||A"))
    bed = next(item for item in made.all("Location") if item["name"] == "W1 1 A")
    assert bed["operationalStatus"]["code"] == "O"
    episode, encounter = made.one("EpisodeOfCare"), made.one("Encounter")
    assert encounter["episodeOfCare"] == [{"reference": f"EpisodeOfCare/{episode['id']}"}]
    assert episode["diagnosis"][0]["role"]["coding"][0]["code"] == "AD"
    coverage = made.one("Coverage")
    assert (coverage["type"]["coding"][0]["code"], coverage["period"]) == ("A", {"start": "2026-01-01"})


def test_a_bed_status_message_is_about_no_patient(translate: Any) -> None:
    made = translate(adt("A20", "NPU|W1^1^A^GOOD|H"))
    assert made.all("Patient") == []
    changes = [
        change for change in made.translation.changes if change.resource and "operationalStatus" in change.resource
    ]
    assert [(change.resource or {})["name"] for change in changes] == ["W1 1 A"]
    assert "operationalStatus" not in changes[0].keep


def test_a_delete_takes_a_part_of_the_stay_or_the_period_and_leaves_the_rest(translate: Any, write: Any) -> None:
    told = {"f2": "I", "f14": "7", "f19": "V1", "f36": "01", "f44": "20260301", "f45": "20260304"}
    stored = merged(None, translate(adt("A03", PID, write("PV1", **told))).change("Encounter"))
    gone = translate(adt("A08", PID, write("PV1", f2="I", f19="V1", f36='""', f45='""')))
    assert gone.change("Encounter").remove == {"hospitalization.dischargeDisposition", "period.end"}
    after = merged(stored, gone.change("Encounter"))
    assert (after["hospitalization"].keys(), after["period"]) == ({"admitSource"}, {"start": "2026-03-01"})


def test_a_delete_takes_the_extension_of_its_field_and_no_other(translate: Any, write: Any) -> None:
    stored = merged(None, translate(adt("A08", write("PID", f3="M1", f17="CAT", f23="ROME"))).change("Patient"))
    gone = merged(stored, translate(adt("A08", write("PID", f3="M1", f17='""'))).change("Patient"))
    assert [item["url"].rpartition("/")[2] for item in gone["extension"]] == ["patient-birthPlace"]


def test_one_authority_in_two_spellings_is_reported_and_settled_by_the_settings(translate: Any) -> None:
    message = adt("A08", "PID|1||M1^^^HOSP&1.2.3&ISO^MR~M2^^^HOSP")
    made = translate(message)
    assert [item["system"] for item in made.one("Patient")["identifier"]] == [
        "urn:oid:1.2.3",
        "urn:hawsepipe:authority:HOSP",
    ]
    assert len(made.texts("PID-3[2].4")) == 1
    assert len(made.texts("PID-3.4")) == 1
    settled = translate(message, systems={"HOSP": "urn:oid:1.2.3"})
    assert {item["system"] for item in settled.one("Patient")["identifier"]} == {"urn:oid:1.2.3"}
    assert settled.texts("PID-3[2].4") == settled.texts("PID-3.4") == []
