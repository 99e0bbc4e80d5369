"""ADT to Patient, Encounter and what hangs on them."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe import MessageError, Method
from hawsepipe.fhir.merge import given_way, merged
from hawsepipe_hl7v2 import bundle
from hawsepipe_hl7v2 import translate as as_far_as_possible


def adt(event: str, *segments: str, head: str = "20260301083000+0000") -> tuple[str, ...]:
    return (f"MSH|^~\\&|ADT1|GOOD|HP|HUB|{head}||ADT^{event}|M1|P|2.5.1", f"EVN|{event}|{head}", *segments)


PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"


def test_the_identifiers_of_pid_form_one_list_and_the_first_type_in_the_settings_is_the_identity(
    translate: Any, samples: Any
) -> None:
    made = translate(samples["admission"])
    identifiers = [(item["system"], item["value"]) for item in made.one("Patient")["identifier"]]
    assert identifiers == [
        ("urn:hawsepipe:authority:GOOD", "MRN1"),
        ("urn:oid:2.16.840.1.113883.3.77", "4711"),
        ("urn:hawsepipe:authority:GOOD", "OLD7"),
    ]
    assert made.source("Patient", "identifier[1].value") == {"PID-3[2].1"}
    assert translate(adt("A28", PID)).one("Patient")["id"] == made.one("Patient")["id"]
    by_type = translate(samples["admission"], patient_identity=["PT"])
    assert by_type.one("Patient")["id"] != made.one("Patient")["id"]


def test_a_naming_system_of_the_settings_counts_first_and_no_authority_means_the_facility(translate: Any) -> None:
    made = translate(adt("A28", "PID|1||M1^^^GOOD~M2"), systems={"GOOD": "urn:oid:1.2.3"})
    systems = [item["system"] for item in made.one("Patient")["identifier"]]
    assert systems == ["urn:oid:1.2.3", "urn:oid:1.2.3"]
    assert translate(adt("A28", "PID|1||M2")).one("Patient")["identifier"][0]["system"] == (
        "urn:hawsepipe:facility:GOOD"
    )


def test_demographics_arrive_with_their_sources(translate: Any, samples: Any) -> None:
    made = translate(samples["admission"])
    patient = made.one("Patient")
    assert patient["name"][0] == {"family": "DOE", "given": ["JANE", "Q"], "prefix": ["MRS"], "use": "official"}
    assert (patient["gender"], patient["birthDate"], patient["deceasedBoolean"]) == ("female", "1980-01-01", False)
    assert patient["address"][0]["line"] == ["1 MAIN ST", "APT 2"]
    assert [(item["use"], item["value"]) for item in patient["telecom"]] == [
        ("home", "+1 555 5551212"),
        ("work", "555 5550000"),
    ]
    assert made.source("Patient", "name[0].family") == {"PID-5.1"}
    assert made.source("Patient", "name[1].family") == {"PID-5[2].1"}


def test_an_empty_field_changes_nothing_and_a_delete_removes_the_element(translate: Any, samples: Any) -> None:
    stored = merged(None, translate(samples["admission"]).change("Patient"))
    kept = merged(stored, translate(adt("A08", "PID|1||MRN1^^^GOOD^MR||DOE^JANET")).change("Patient"))
    assert kept["name"] == [{"family": "DOE", "given": ["JANET"]}]
    assert (kept["birthDate"], len(kept["identifier"])) == ("1980-01-01", 3)
    change = translate(adt("A08", 'PID|1||MRN1^^^GOOD^MR||DOE^JANE||""||||""')).change("Patient")
    assert change.remove == {"birthDate", "address"}
    assert "birthDate" not in merged(stored, change)


def test_a_delete_of_only_a_part_of_an_element_is_reported(translate: Any, write: Any) -> None:
    made = translate(adt("A08", write("PID", f3="MRN1^^^GOOD^MR", f40='""')))
    assert made.change("Patient").remove == frozenset()
    assert made.texts("PID-40") == ["a delete of a part of telecom cannot be applied"]


def test_a_delete_of_the_name_is_no_delete_of_a_part_of_it(translate: Any) -> None:
    made = translate(adt("A08", 'PID|1||MRN1^^^GOOD^MR||""'))
    assert "name" in made.change("Patient").remove
    assert made.texts("PID-5") == made.texts("PID-5.15") == []


def test_an_offset_that_no_place_has_is_reported_for_a_birth_too(translate: Any) -> None:
    made = translate(adt("A08", "PID|1||MRN1^^^GOOD^MR||DOE^JANE||20250101010101+9999"))
    assert made.one("Patient")["birthDate"] == "2025-01-01"
    assert made.texts("PID-7") == ["a time with an offset that no place has; cut to its date"]


PHONES = {"f3": "M1", "f13": "^PRN^PH^^^1^11~^PRN^CP^^^1^12~^NET^Internet^a@b.example", "f14": "^WPN^PH^^^2^22"}


def numbers(patient: dict[str, Any]) -> list[str]:
    return [item["value"] for item in patient.get("telecom", ())]


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"f13": '""'}, ["2 22"]),
        ({"f14": '""'}, ["1 11", "1 12", "a@b.example"]),
        ({"f13": '""', "f14": '""'}, []),
        ({"f13": "^PRN^PH^^^3^33"}, ["2 22", "3 33"]),
        ({"f14": "^WPN^PH^^^3^33"}, ["1 11", "1 12", "a@b.example", "3 33"]),
        ({"f13": '""', "f14": "^WPN^PH^^^3^33"}, ["3 33"]),
        ({"f13": "^PRN^PH"}, ["1 11", "1 12", "a@b.example", "2 22"]),
        ({"f40": "^PRN^PH^^^4^44"}, ["4 44"]),
        ({}, ["1 11", "1 12", "a@b.example", "2 22"]),
    ],
)
def test_what_a_field_tells_of_a_list_leaves_what_the_others_told(
    translate: Any, write: Any, fields: dict[str, str], left: list[str]
) -> None:
    stored = merged(None, translate(adt("A08", write("PID", **PHONES))).change("Patient"))
    change = translate(adt("A31", write("PID", f3="M1", **fields))).change("Patient")
    after = merged(stored, change)
    assert numbers(after) == left
    assert numbers(merged(after, change)) == left


def test_an_older_message_adds_no_number_to_a_list_that_something_newer_told(translate: Any, write: Any) -> None:
    newer = merged(None, translate(adt("A08", write("PID", f3="M1", f13="^PRN^PH^^^1^11"))).change("Patient"))
    older = given_way(translate(adt("A08", write("PID", f3="M1", f13="^PRN^PH^^^0^99"))).change("Patient"))
    assert older is not None
    assert numbers(merged(newer, older)) == ["1 11"]


def test_a_result_adds_no_number_to_those_of_the_patient(translate: Any, write: Any) -> None:
    stored = merged(None, translate(adt("A08", write("PID", **PHONES))).change("Patient"))
    result = (
        "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M2|P|2.5.1",
        write("PID", f3="M1", f13="^PRN^PH^^^0^99"),
        "OBR|1|P1|F1|1234-5^Panel^LN",
    )
    assert numbers(merged(stored, translate(result).change("Patient"))) == numbers(stored)


def test_deletes_of_race_and_of_the_family_doctor_leave_the_rest(translate: Any, write: Any) -> None:
    pid = write("PID", f3="M1", f6="SMITH^ANN", f10="R1^Race^L", f22="E1^Ethnic^L", f28="DEU")
    stored = merged(None, translate(adt("A08", pid, "PD1|||PRAXIS^^77|D1^WELBY^MARCUS")).change("Patient"))
    gone = translate(adt("A08", write("PID", f3="M1", f6='""', f10='""', f28='""'), 'PD1||||""')).change("Patient")
    after = merged(stored, gone)
    assert [item["url"].rpartition(":")[2] for item in after["extension"]] == ["ethnicity"]
    assert [item["reference"].partition("/")[0] for item in after["generalPractitioner"]] == ["Organization"]
    other = merged(stored, translate(adt("A08", write("PID", f3="M1"), "PD1||||D2^HOUSE")).change("Patient"))
    kinds = [(one["reference"].partition("/")[0]) for one in other["generalPractitioner"]]
    assert sorted(kinds) == ["Organization", "Practitioner"]
    assert other["generalPractitioner"] != stored["generalPractitioner"]


def test_a_delete_of_one_doctor_of_a_visit_leaves_the_others(translate: Any, write: Any) -> None:
    visit = write("PV1", f2="I", f3="W1", f7="D1^A", f8="D2^B", f9="D3^C", f19="V1", f42="W2")
    stored = merged(None, translate(adt("A01", write("PID", f3="M1"), visit)).change("Encounter"))
    sent = write("PV1", f2="I", f3="W1", f8='""', f19="V1")
    after = merged(stored, translate(adt("A08", write("PID", f3="M1"), sent)).change("Encounter"))
    assert [one["type"][0]["coding"][0]["code"] for one in after["participant"]] == ["ATND", "CON"]


def test_a_message_that_only_deletes_is_an_update_in_a_bundle(translate: Any) -> None:
    made = translate(adt("A08", 'PID|1||MRN1^^^GOOD^MR||""||""|""'))
    requests = [entry["request"] for entry in bundle(made.translation)["entry"]]
    (sent,) = (one for one in requests if one["url"].startswith("Patient"))
    assert sent["method"] == "PUT"


def test_religion_changes_alone_and_other_extensions_stay(translate: Any, samples: Any, write: Any) -> None:
    stored = merged(None, translate(samples["admission"]).change("Patient"))
    update = write("PID", f3="MRN1^^^GOOD^MR", f6="SMITH^ANN", f17="LUT")
    after = merged(stored, translate(adt("A08", update)).change("Patient"))
    urls = [item["url"].rpartition("/")[2] for item in after["extension"]]
    assert sorted(urls) == ["patient-mothersMaidenName", "patient-religion", "urn:hawsepipe:extension:mothers-name"]


def test_death_by_time_takes_the_place_of_the_indicator(translate: Any, samples: Any, write: Any) -> None:
    stored = merged(None, translate(samples["admission"]).change("Patient"))
    died = write("PID", f3="MRN1^^^GOOD^MR", f29="20260302110000+0000", f30="Y")
    after = merged(stored, translate(adt("A08", died)).change("Patient"))
    assert after["deceasedDateTime"] == "2026-03-02T11:00:00+00:00"
    assert "deceasedBoolean" not in after


def test_a_visit_has_class_status_period_places_and_people(translate: Any, samples: Any) -> None:
    made = translate(samples["admission"])
    visit = made.one("Encounter")
    assert (visit["status"], visit["class"]["code"]) == ("in-progress", "IMP")
    assert visit["period"] == {"start": "2026-03-01T08:25:00+00:00"}
    assert [item["type"][0]["coding"][0]["code"] for item in visit["participant"]] == ["ATND", "REF"]
    places = {f"Location/{item['id']}": item for item in made.all("Location")}
    bed = places[visit["location"][0]["location"]["reference"]]
    names = [bed["name"]]
    while "partOf" in bed:
        bed = places[bed["partOf"]["reference"]]
        names.append(bed["name"])
    assert names == ["W1 101 A", "W1 101", "W1", "HOSP"]
    assert visit["diagnosis"][0]["rank"] == 1


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("A01", "in-progress"),
        ("A02", "in-progress"),
        ("A03", "finished"),
        ("A04", "in-progress"),
        ("A05", "planned"),
        ("A08", "in-progress"),
        ("A11", "cancelled"),
        ("A13", "in-progress"),
    ],
)
def test_the_event_decides_the_status_of_the_visit(translate: Any, write: Any, event: str, status: str) -> None:
    visit = write("PV1", f2="I", f19="V1^^^GOOD")
    assert translate(adt(event, PID, visit)).one("Encounter")["status"] == status


def test_an_update_after_the_discharge_does_not_reopen_the_visit(translate: Any, write: Any) -> None:
    ended = write("PV1", f2="I", f19="V1^^^GOOD", f44="20260301", f45="20260304")
    stored = merged(None, translate(adt("A03", PID, ended)).change("Encounter"))
    update = translate(adt("A08", PID, write("PV1", f2="I", f10="CAR", f19="V1^^^GOOD"))).change("Encounter")
    after = merged(stored, update)
    assert after["status"] == "finished"
    assert after["period"] == {"start": "2026-03-01", "end": "2026-03-04"}
    cancelled = translate(adt("A13", PID, write("PV1", f2="I", f19="V1^^^GOOD", f44="20260301"))).change("Encounter")
    reopened = merged(after, cancelled)
    assert (reopened["status"], reopened["period"]) == ("in-progress", {"start": "2026-03-01"})


def test_a_discharge_that_tells_only_its_end_keeps_the_stored_start(translate: Any, write: Any) -> None:
    begun = translate(adt("A01", PID, write("PV1", f2="I", f19="V1", f44="20260301"))).change("Encounter")
    ended = translate(adt("A03", PID, write("PV1", f2="I", f19="V1", f45="20260304"))).change("Encounter")
    assert merged(merged(None, begun), ended)["period"] == {"start": "2026-03-01", "end": "2026-03-04"}


def test_a_person_level_event_makes_no_visit(translate: Any) -> None:
    assert translate(adt("A31", PID, "PV1|1|N")).all("Encounter") == []


def test_relatives_allergies_diagnoses_and_insurance_refer_to_the_patient(translate: Any, samples: Any) -> None:
    made = translate(samples["admission"])
    patient = {"reference": f"Patient/{made.one('Patient')['id']}"}
    assert made.one("RelatedPerson")["patient"] == patient
    assert made.one("AllergyIntolerance")["reaction"][0]["severity"] == "severe"
    assert made.one("Condition")["code"]["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-10-cm"
    coverage = made.one("Coverage")
    assert (coverage["beneficiary"], coverage["subscriberId"]) == (patient, "POL123")
    assert made.one("Account")["subject"] == [patient]


def test_a_merge_retires_one_patient_and_links_both(translate: Any, samples: Any) -> None:
    made = translate(samples["merge"])
    survivor, retired = made.all("Patient")
    assert (retired["active"], retired["link"]) == (
        False,
        [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}],
    )
    assert survivor["link"] == [{"other": {"reference": f"Patient/{retired['id']}"}, "type": "replaces"}]
    assert [(item["value"], item.get("use")) for item in survivor["identifier"]] == [("MRN1", None), ("MRN2", "old")]
    change = made.change("Patient", 1)
    assert (change.method, change.union) == (Method.MERGE, {"identifier", "link"})
    assert merged(merged(None, change), change) == merged(None, change)


@pytest.mark.parametrize("event", ["A18", "A34", "A39"])
def test_the_old_merges_do_the_same(translate: Any, event: str) -> None:
    assert len(translate(adt(event, PID, "MRG|MRN2^^^GOOD^MR")).all("Patient")) == 2


def test_a_merge_into_itself_changes_no_link(translate: Any) -> None:
    made = translate(adt("A40", PID, "MRG|MRN1^^^GOOD^MR"))
    assert "link" not in made.one("Patient")
    assert made.one("Patient").get("active") is None


def test_a_wrong_segment_order_gives_the_same_resources(translate: Any, write: Any) -> None:
    visit = write("PV1", f2="I", f19="V1^^^GOOD")
    right, wrong = (translate(adt("A01", *segments), original="none") for segments in ((PID, visit), (visit, PID)))
    assert {change.id: change.resource for change in right.translation.changes} == {
        change.id: change.resource for change in wrong.translation.changes
    }
    assert wrong.texts("PV1") == ["the segment is out of order"]


def test_times_without_an_offset_are_cut_and_keep_their_text(translate: Any, write: Any) -> None:
    visit = write("PV1", f2="I", f19="V1", f44="20260301082500")
    cut = translate(adt("A01", PID, visit, head="20260301083000")).one("Encounter")["period"]
    assert cut["start"] == "2026-03-01"
    assert cut["_start"]["extension"][0]["valueString"] == "20260301082500"
    zoned = translate(adt("A01", PID, visit, head="20260301083000"), timezone="America/New_York")
    assert zoned.one("Encounter")["period"] == {"start": "2026-03-01T08:25:00-05:00"}
    header = translate(adt("A01", PID, visit, head="20260301083000+0200"), timezone="America/New_York")
    assert header.one("Encounter")["period"] == {"start": "2026-03-01T08:25:00-05:00"}
    alone = translate(adt("A01", PID, visit, head="20260301083000+0200"))
    assert alone.one("Encounter")["period"] == {"start": "2026-03-01T08:25:00+02:00"}


def test_an_impossible_date_is_text_with_a_reason_and_the_message_lives(translate: Any) -> None:
    made = translate(adt("A28", "PID|1||MRN1||DOE^JANE||19800230"))
    assert "birthDate" not in made.one("Patient")
    assert made.one("Patient")["_birthDate"]["extension"][0]["valueCode"] == "unknown"
    assert made.one("Patient")["_birthDate"]["extension"][1]["valueString"] == "19800230"
    assert made.texts("PID-7") == ["not a possible date or time; kept as text beside the element"]


def test_an_unmapped_code_stays_beside_the_element_and_is_reported(translate: Any) -> None:
    made = translate(adt("A28", "PID|1||MRN1||DOE^JANE|||Q7"))
    coding = made.one("Patient")["_gender"]["extension"][0]["valueCodeableConcept"]["coding"][0]
    assert coding == {"system": "http://terminology.hl7.org/CodeSystem/v2-0001", "code": "Q7"}
    assert len(made.texts("PID-8")) == 1


def test_segments_and_fields_without_a_map_are_reported(translate: Any) -> None:
    made = translate(adt("A28", "PID|1||MRN1||DOE^JANE||||ALIAS^A", "ZPD|1|x", "PD1||||||||||||Y"))
    assert made.texts("ZPD") == ["this segment has no map; kept as it is in a Basic"]
    assert made.texts("PD1-12") == ["this field has no map; kept as it is in an extension"]


@pytest.mark.parametrize("trigger", ["A19", "A56", "A99", "Z01", ""])
def test_an_event_without_a_map_is_no_update(translate: Any, trigger: str) -> None:
    with pytest.raises(MessageError) as caught:
        translate(adt(trigger, PID, "AL1|1|DA|PEN^Penicillin^L"))
    assert (caught.value.cause, caught.value.location) == ("mapping", "MSH-9")


@pytest.mark.parametrize("allowed", ["ADT^Z01", "ADT^*"])
def test_an_allowed_event_without_a_map_is_translated_segment_by_segment_and_says_so(
    translate: Any, allowed: str
) -> None:
    made = translate(adt("Z01", PID, "AL1|1|DA|PEN^Penicillin^L"), unmapped_events=[allowed])
    assert made.one("AllergyIntolerance")["type"] == "allergy"
    assert len(made.texts("MSH-9")) == 1


@pytest.mark.parametrize(
    ("segments", "location"),
    [
        (("EVN|A40",), "PID"),
        (("EVN|A40", "PID|1||^^^GOOD"), "PID-3"),
        (("PID|1||MRN1^^^GOOD",), "MRG"),
        (("PID|1||MRN1^^^GOOD", "MRG|^^^GOOD"), "MRG-1"),
        (("PID|1||MRN1^^^GOOD", "MRG|MRN2^^^GOOD", "PID|2", "MRG|MRN3^^^GOOD"), "PID[2]-3"),
    ],
)
def test_a_message_that_does_not_say_whom_it_is_about_is_refused_however_it_came(
    translate: Any, segments: tuple[str, ...], location: str
) -> None:
    with pytest.raises(MessageError) as caught:
        translate(adt("A40", *segments))
    assert (caught.value.cause, caught.value.location) == ("required", location)


def test_the_label_names_the_message_and_nothing_of_the_patient(translate: Any, samples: Any) -> None:
    translation = translate(samples["admission"]).translation
    assert translation.label == "ADT^A01 M0001 from ADT1|GOOD"
    assert str(translation.event_time) == "2026-03-01 08:25:00+00:00"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("NKDA", "409137002"),
        ("^No known  drug allergies", "409137002"),
        ("NKA^NKA^L", "716186003"),
        ("^No Known Allergies", "716186003"),
        ("716186003^No known allergy^SCT", "716186003"),
        ("^NONE", "409137002"),
        ("^keine bekannt", "409137002"),
        ("^Keine Allergien bekannt", "716186003"),
    ],
)
def test_that_no_allergy_is_known_is_a_code_and_no_substance(translate: Any, sent: str, code: str) -> None:
    allergy = translate(adt("A08", PID, f"AL1|1|DA|{sent}")).one("AllergyIntolerance")
    assert [one["code"] for one in allergy["code"]["coding"] if one.get("system") == "http://snomed.info/sct"] == [code]
    assert allergy["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert "verificationStatus" not in translate(adt("A08", PID, "AL1|1|DA|PEN")).one("AllergyIntolerance")


def diagnosis(type_: str, action: str = "") -> str:
    return f"DG1|1||I50.9^Heart failure^I10|||{type_}|||||||||||||||{action}"


VISIT = "PV1|1|I|W1^101||||||||||||||||V1"


def certainty(condition: dict[str, Any]) -> str | None:
    code: str | None = condition.get("verificationStatus", {}).get("coding", [{}])[0].get("code")
    return code


@pytest.mark.parametrize(
    ("types", "told"),
    [("A", None), ("W", "provisional"), ("F", "confirmed"), ("AWF", "confirmed"), ("FWA", "confirmed")],
)
def test_a_diagnosis_is_one_condition_whatever_its_role(translate: Any, types: str, told: str | None) -> None:
    made = translate(adt("A08", PID, VISIT, *map(diagnosis, types)))
    assert certainty(made.one("Condition")) == told
    reference = {"reference": f"Condition/{made.one('Condition')['id']}"}
    assert [item["condition"] for item in made.one("Encounter")["diagnosis"]] == [reference] * len(types)


def test_a_later_role_of_a_diagnosis_joins_the_earlier_ones(translate: Any) -> None:
    first, second = (translate(adt("A08", PID, VISIT, diagnosis(type_))) for type_ in "AF")
    assert first.one("Condition")["id"] == second.one("Condition")["id"]
    visit = merged(merged(None, first.change("Encounter")), second.change("Encounter"))
    assert len(visit["diagnosis"]) == 2
    assert merged(visit, second.change("Encounter")) == visit
    condition = merged(merged(None, second.change("Condition")), first.change("Condition"))
    assert certainty(condition) == "confirmed"


def test_a_removed_diagnosis_is_entered_in_error_until_it_is_added_again(translate: Any) -> None:
    removed = merged(None, translate(adt("A08", PID, VISIT, diagnosis("A", "D"))).change("Condition"))
    assert certainty(removed) == "entered-in-error"
    added = translate(adt("A08", PID, VISIT, diagnosis("A", "A"))).change("Condition")
    assert certainty(merged(removed, added)) is None
    moved = translate(adt("A08", PID, VISIT, diagnosis("W", "D"), diagnosis("F", "A"))).one("Condition")
    assert certainty(moved) == "confirmed"


def test_a_discharge_ends_the_stay_and_its_cancellation_reopens_it(translate: Any, write: Any) -> None:
    told = {
        "f2": "I",
        "f3": "W1^101",
        "f14": "7",
        "f19": "V1",
        "f36": "01",
        "f37": "HOME",
        "f44": "20260301082500+0000",
    }
    end = {"f45": "20260302082500+0000"}
    visit = merged(None, translate(adt("A03", PID, write("PV1", **told, **end))).change("Encounter"))
    assert [place["status"] for place in visit["location"]] == ["completed"]
    assert {"dischargeDisposition", "destination", "admitSource"} <= visit["hospitalization"].keys()
    cancelled = translate(adt("A13", PID, write("PV1", **told, **end)))
    again = merged(visit, cancelled.change("Encounter"))
    assert (again["status"], [place["status"] for place in again["location"]]) == ("in-progress", ["active"])
    assert again["hospitalization"].keys() == {"admitSource"}
    assert again["period"].keys() == {"start"}
    assert len(cancelled.texts("PV1-36")) == 1
    bare = merged(visit, translate(adt("A13", PID, "PV1|1|I|||||||||||||||||V1")).change("Encounter"))
    assert not {"hospitalization", "period"} & bare.keys()


def test_an_identifier_in_any_repetition_is_enough(translate: Any) -> None:
    assert translate(adt("A08", "PID|1||^^^GOOD~MRN1^^^GOOD")).one("Patient")["identifier"][0]["value"] == "MRN1"
    with pytest.raises(MessageError, match="no patient identifier"):
        translate(adt("A08", 'PID|1||""~^^^GOOD~ ^^^GOOD'))


def test_characters_that_nobody_sees_make_no_other_patient(translate: Any) -> None:
    def patient(number: str) -> Any:
        return translate(
            (
                "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A08|M1|P|2.5.1||||||UNICODE UTF-8",
                "EVN|A08|20260301083000+0000",
                f"PID|1||{number}^^^GOOD^MR||DOE^JANE",
            )
        )

    plain, marked = patient("MRN1"), patient("MRN\u200b1\ufeff")
    assert plain.one("Patient") == marked.one("Patient")
    assert any("nobody sees" in issue.text for issue in marked.translation.issues)


def test_the_second_writing_of_a_number_is_the_source_of_what_it_tells_besides_and_of_nothing_else(
    translate: Any,
) -> None:
    """However alike the values are: the same text may be one object or two."""
    made = translate(adt("A08", "PID|1|MRN1^^^GOOD^PI|MRN1^^^GOOD^MR||DOE^JANE", "PV1|1|O"))
    assert made.source("Patient", "identifier[0].system") == {"PID-3.4"}
    assert made.source("Patient", "identifier[0].value") == {"PID-3.1"}
    assert made.source("Patient", "identifier[0].type.coding[1].code") == {"PID-2.5"}


def test_a_visit_is_nobodys_where_an_event_of_one_patient_names_two(translate: Any, write: Any) -> None:
    head = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A08^ADT_A01|M1|P|2.5.1"
    visit = write("PV1", f1="1", f2="I", f19="TV1^^^GOOD^VN")
    message = (head, "PID|1||A2^^^GOOD^MR||TWIN^A", "PID|2||A3^^^GOOD^MR||TWIN^B", visit)
    with pytest.raises(MessageError) as caught:
        translate(message)
    assert (caught.value.cause, caught.value.location) == ("structure", "PID[2]")
    read = {change.id: change.resource or {} for change in as_far_as_possible("\r".join(message).encode()).changes}
    stay = next(one for one in read.values() if one["resourceType"] == "Encounter")
    whose = read[stay["subject"]["reference"].removeprefix("Patient/")]
    assert whose["identifier"][0]["value"] == "A2"
    again = (head, "PID|1||A2^^^GOOD^MR||TWIN^A", "PID|2||A2^^^GOOD^MR||TWIN^A", visit)
    assert len(translate(again).all("Patient")) == 1


@pytest.mark.parametrize("given", ["Z1^^^GOOD^MR^^^20100101~Z2^^^GOOD^MR", "Z2^^^GOOD^MR~Z1^^^GOOD^MR^^^20100101"])
def test_a_number_that_is_no_longer_valid_does_not_identify_where_another_is_there(translate: Any, given: str) -> None:
    head = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A28^ADT_A05|M1|P|2.5.1"
    made = translate((head, f"PID|1||{given}||ZET^Z"))
    assert made.one("Patient")["id"] == translate((head, "PID|1||Z2^^^GOOD^MR")).one("Patient")["id"]
    assert {one["value"]: one.get("use") for one in made.one("Patient")["identifier"]} == {"Z1": "old", "Z2": None}
    alone = translate((head, "PID|1||Z1^^^GOOD^MR^^^20100101||ZET^Z"))
    assert "use" not in alone.one("Patient")["identifier"][0]
    assert alone.texts("PID-3") == ["the patient is known by a number alone that is no longer valid"]
    valid = translate((head, "PID|1||Z1^^^GOOD^MR^^^2026~Z2^^^GOOD^MR"))
    assert "use" not in valid.one("Patient")["identifier"][0], "valid until the year is over"


def test_a_number_that_identifies_nobody_gives_way_to_one_that_does(translate: Any) -> None:
    head = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A28^ADT_A05|M1|P|2.5.1"
    made = translate((head, "PID|1||123-45-6789^^^SSA^SS~E1^^^GOOD^PT"))
    assert made.one("Patient")["id"] == translate((head, "PID|1||E1^^^GOOD^PT")).one("Patient")["id"]


def test_a_death_that_is_told_and_denied_is_reported_and_both_are_kept(translate: Any, write: Any) -> None:
    made = translate(adt("A01", write("PID", f3="MRN1^^^GOOD^MR", f5="DOE^JANE", f29="20260228", f30="N")))
    patient = made.one("Patient")
    assert patient["deceasedDateTime"] == "2026-02-28"
    (beside,) = patient["_deceasedDateTime"]["extension"]
    assert (beside["url"], beside["valueString"]) == ("urn:hawsepipe:extension:PID-30", "N")
    assert made.texts("PID-30") == ["a time of death, and that there was none: both are kept"]
    agreed = translate(adt("A01", write("PID", f3="MRN1^^^GOOD^MR", f29="20260228", f30="Y")))
    assert "_deceasedDateTime" not in agreed.one("Patient")


@pytest.mark.parametrize("indicator", ["", "Y", "N"])
def test_a_time_of_death_that_is_none_is_kept_beside(translate: Any, write: Any, indicator: str) -> None:
    patient = translate(adt("A01", write("PID", f3="MRN1^^^GOOD^MR", f29="20269999", f30=indicator))).one("Patient")
    name = "_deceasedBoolean" if indicator else "_deceasedDateTime"
    assert "20269999" in [one.get("valueString") for one in patient[name]["extension"]]
    assert patient.get("deceasedBoolean") == {"": None, "Y": True, "N": False}[indicator]


def test_births_and_deaths_to_come_are_reported_and_kept(translate: Any, write: Any) -> None:
    made = translate(adt("A01", write("PID", f3="MRN1^^^GOOD^MR", f7="20990101", f29="20990202")))
    patient = made.one("Patient")
    assert (patient["birthDate"], patient["deceasedDateTime"]) == ("2099-01-01", "2099-02-02")
    for place, what in (("PID-7", "birth"), ("PID-29", "death")):
        assert made.texts(place) == [f"a {what} after the day on which the message was sent; kept as it is"]
    today = translate(adt("A01", write("PID", f3="MRN1^^^GOOD^MR", f7="20260301", f29="2026")))
    assert (today.texts("PID-7"), today.texts("PID-29")) == ([], [])


@pytest.mark.parametrize("sent", ["^Patient denies penicillin allergy", "UNK^Unknown", "NONE^Penicillin"])
def test_words_that_may_deny_an_allergy_are_reported_and_not_understood(translate: Any, sent: str) -> None:
    made = translate(adt("A08", PID, f"AL1|1|DA|{sent}"))
    told = "the words may say that there is no such allergy, or that none is known; kept as an allergy"
    assert made.texts("AL1-3") == [told]
    assert "verificationStatus" not in made.one("AllergyIntolerance")
    plain = translate(adt("A08", PID, "AL1|1|DA|NSAID^Nonsteroidal^L"))
    assert plain.texts("AL1-3") == []


def test_none_is_of_the_kind_that_was_asked_for(translate: Any) -> None:
    for kind, code in (("FA", "429625007"), ("EA", "428607008"), ("", "716186003")):
        allergy = translate(adt("A08", PID, f"AL1|1|{kind}|^None")).one("AllergyIntolerance")
        assert allergy["code"]["coding"][-1]["code"] == code


def test_an_unknown_action_on_an_allergy_is_reported(translate: Any) -> None:
    assert translate(adt("A60", PID, "IAM|1|DA|PEN|SV||ZZ|A1^GOOD")).texts("IAM-6") == [
        "an unknown action; taken for one that adds"
    ]


def test_a_discharge_before_the_admission_is_reported_and_both_are_kept(translate: Any, write: Any) -> None:
    visit = write("PV1", f2="I", f19="V1^^^GOOD", f44="20260301080000+0000", f45="20260228")
    made = translate(adt("A03", PID, visit))
    assert made.texts("PV1-45") == ["the discharge is before the admission; both are kept"]
    assert made.one("Encounter")["period"] == {"start": "2026-03-01T08:00:00+00:00", "end": "2026-02-28"}
    same = write("PV1", f2="I", f19="V1^^^GOOD", f44="20260301080000+0000", f45="20260301")
    assert translate(adt("A03", PID, same)).texts("PV1-45") == []


@pytest.mark.parametrize("event", ["A17", "A24", "A37"])
def test_an_event_of_two_patients_with_one_is_refused(translate: Any, event: str) -> None:
    with pytest.raises(MessageError) as caught:
        translate(adt(event, PID))
    assert (caught.value.cause, caught.value.location) == ("required", "PID[2]")
