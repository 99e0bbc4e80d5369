"""Appointments: SIU, SRM and SRR, with their times, statuses, participants and orders."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hawsepipe import RawMessage
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator
from hawsepipe_hl7v2.translator import Hl7v2Translator

VALIDATOR = Validator(load())
RECEIVED = datetime(2026, 3, 1, 8, 31, tzinfo=UTC)
PID = "PID|1||P1^^^GOOD^MR||DOE^JANE||19800101|F"


def message(trigger: str, *segments: str, type_: str = "SIU") -> tuple[str, ...]:
    head = f"MSH|^~\\&|SCHED|GOOD|HP|HUB|20260301083000+0100||{type_}^{trigger}|S0001|P|2.5.1"
    return (head, *segments)


@pytest.fixture
def made(translate: Any, write: Any) -> Any:
    """The appointment of a message: SCH with the given fields, TQ1 by itself, PID and what follows."""

    def run(trigger: str, *others: str, timing: str = "", **fields: str) -> Any:
        schedule = write("SCH", **({"f1": "PL1^CLINIC", "f2": "FL1^SCHED"} | fields))
        found = translate(message(trigger, *[one for one in (schedule, timing, PID) if one], *others))
        for change in found.translation.changes:
            assert VALIDATOR.check(decode(encode(change.resource))) == ()
        return found

    return run


@pytest.mark.parametrize(
    ("trigger", "told", "status"),
    [
        ("S12", "", "booked"),
        ("S12", "Pending", "pending"),
        ("S13", "", "booked"),
        ("S14", "Complete", "fulfilled"),
        ("S15", "", "cancelled"),
        ("S15", "Booked", "cancelled"),
        ("S16", "Started", "cancelled"),
        ("S17", "Booked", "entered-in-error"),
        ("S26", "Booked", "noshow"),
    ],
)
def test_the_event_decides_how_an_appointment_ends_and_the_filler_what_it_is_before(
    made: Any, trigger: str, told: str, status: str
) -> None:
    appointment = made(trigger, f25=told).one("Appointment")
    assert appointment["status"] == status


def test_a_status_that_the_event_overrules_stays_beside_the_element(made: Any) -> None:
    appointment = made("S15", f25="Booked").one("Appointment")
    (beside,) = appointment["_status"]["extension"]
    assert beside["valueCodeableConcept"]["coding"] == [
        {"system": "http://terminology.hl7.org/CodeSystem/v2-0278", "code": "Booked"}
    ]


def test_a_status_in_other_words_stays_beside_what_it_becomes(made: Any) -> None:
    assert "_status" not in made("S12", f25="Booked").one("Appointment")
    complete = made("S14", f25="Complete").one("Appointment")
    assert complete["status"] == "fulfilled"
    assert complete["_status"]["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "Complete"


def test_a_change_without_a_status_leaves_the_stored_one(made: Any) -> None:
    assert made("S14").change("Appointment").keep == {"status"}
    assert made("S13").change("Appointment").keep == set()


def test_start_and_end_come_from_tq1_and_the_older_field_is_what_was_asked_for(made: Any) -> None:
    appointment = made(
        "S13",
        timing="TQ1|1||||||20260310090000+0100|20260310093000+0100",
        f11="^^^20260308090000+0100^20260308093000+0100",
    ).one("Appointment")
    assert (appointment["start"], appointment["end"]) == ("2026-03-10T09:00:00+01:00", "2026-03-10T09:30:00+01:00")
    assert appointment["requestedPeriod"] == [
        {"start": "2026-03-08T09:00:00+01:00", "end": "2026-03-08T09:30:00+01:00"}
    ]


@pytest.mark.parametrize(
    ("amount", "unit", "minutes", "end"),
    [
        ("45", "", 45, "2026-03-10T09:45:00+01:00"),
        ("45", "min", 45, "2026-03-10T09:45:00+01:00"),
        ("2", "hr", 120, "2026-03-10T11:00:00+01:00"),
        ("90", "s", 2, "2026-03-10T09:01:30+01:00"),
        ("1", "D", 1440, "2026-03-11T09:00:00+01:00"),
    ],
)
def test_the_end_is_the_start_and_the_duration_in_its_units(
    made: Any, amount: str, unit: str, minutes: int, end: str
) -> None:
    appointment = made("S12", f9=amount, f10=unit, f11="^^^20260310090000+0100").one("Appointment")
    assert (appointment["minutesDuration"], appointment["end"]) == (minutes, end)
    if unit not in ("", "min"):
        (beside,) = appointment["_minutesDuration"]["extension"]
        assert str(beside["valueQuantity"]["value"]) == amount


def test_an_appointment_of_no_known_time_says_so(made: Any) -> None:
    appointment = made("S12").one("Appointment")
    for name in ("_start", "_end"):
        assert appointment[name]["extension"][0]["valueCode"] == "unknown"


def test_a_start_without_an_end_is_no_half_appointment(made: Any) -> None:
    appointment = made("S12", f11="^^^20260310090000+0100").one("Appointment")
    assert appointment["start"] == "2026-03-10T09:00:00+01:00"
    assert appointment["_end"]["extension"][0]["valueCode"] == "unknown"


GROUPS = (
    "RGS|1|A|SURG^Surgery",
    "AIS|1|A|BX^Biopsy^L|20260310090000+0100|||50|min|||PS1^Prepared^L",
    "NTE|1||Nothing to eat",
    "AIG|1|A|E7^Colonoscope^L|EQ^Equipment^L||||20260310090000+0100|||50|min||Booked",
    "AIL|1|A|OR^7^^GOOD|C^Clinic||20260310085000+0100|||1|h||Booked",
    "AIP|1|A|D9^HOUSE^GREG|SUR^Surgeon^L||20260310090000+0100|10|min|40|min||Pending",
    "RGS|2|A|REC^Recovery",
    "AIG|1|A|R3^Bay 3^L|RM^Recovery room^L||||20260310100000+0100|||2|h",
)


def test_each_service_and_resource_has_its_time_and_its_group(made: Any) -> None:
    found = made("S12", *GROUPS, f9="90", f10="min", f11="^^^20260310090000+0100")
    appointment = found.one("Appointment")
    patient, scope, room, surgeon, bay = appointment["participant"]
    assert patient["actor"]["reference"] == f"Patient/{found.one('Patient')['id']}"
    assert patient["period"]["end"] == "2026-03-10T09:50:00+01:00"
    assert scope["actor"] == {"reference": f"Device/{found.one('Device')['id']}", "display": "Colonoscope"}
    assert (scope["period"]["start"], scope["period"]["end"]) == (
        "2026-03-10T09:00:00+01:00",
        "2026-03-10T09:50:00+01:00",
    )
    assert (room["actor"]["reference"].split("/")[0], room["period"]["end"]) == (
        "Location",
        "2026-03-10T09:50:00+01:00",
    )
    assert surgeon["type"] == [{"coding": [{"system": "urn:hawsepipe:codes:L", "code": "SUR", "display": "Surgeon"}]}]
    assert (scope["status"], surgeon["status"]) == ("accepted", "needs-action")
    assert bay["actor"]["reference"].startswith("Location/")
    groups = [
        [one["valueString"] for one in each["extension"] if one["url"].endswith(":group")] for each in (scope, bay)
    ]
    assert groups == [["Surgery"], ["Recovery"]]
    assert appointment["serviceType"][0]["coding"][0]["code"] == "BX"
    assert appointment["comment"] == "Nothing to eat"
    assert found.source("Appointment", "participant[0].period.start") == {"AIS-4"}


def test_a_duration_is_told_once_as_the_end_and_stays_beside_when_it_gives_none(made: Any) -> None:
    scope = "AIG|1||E7^Scope^L|||||20260310090000+0100|||{}"
    spans = [
        made("S12", "RGS|1", scope.format(told)).one("Appointment")["participant"][1]["period"]
        for told in ("50|min", "2|sessions")
    ]
    assert spans[0] == {"start": "2026-03-10T09:00:00+01:00", "end": "2026-03-10T09:50:00+01:00"}
    (beside,) = spans[1]["_end"]["extension"]
    assert (beside["url"], beside["valueQuantity"]["unit"]) == ("urn:hawsepipe:extension:duration", "sessions")


def test_an_offset_counts_from_the_start_of_the_appointment(made: Any) -> None:
    nurse = "AIP|1||D9^HOUSE^GREG|||| 15|min|30|min".replace(" ", "")
    appointment = made("S12", "RGS|1", nurse, f11="^^^20260310090000+0100^20260310100000+0100").one("Appointment")
    span = appointment["participant"][1]["period"]
    assert (span["start"], span["end"]) == ("2026-03-10T09:15:00+01:00", "2026-03-10T09:45:00+01:00")


def test_several_services_keep_their_own_times_and_the_patient_stays_for_all(made: Any) -> None:
    found = made(
        "S12",
        "RGS|1",
        "AIS|1||A^First^L|20260310090000+0100|||30|min",
        "AIS|2||B^Second^L|20260310100000+0100|||30|min",
    )
    appointment = found.one("Appointment")
    assert appointment["participant"][0]["period"] == {
        "start": "2026-03-10T09:00:00+01:00",
        "end": "2026-03-10T10:30:00+01:00",
    }
    starts = [one["extension"][0]["valuePeriod"]["start"] for one in appointment["serviceType"]]
    assert starts == ["2026-03-10T09:00:00+01:00", "2026-03-10T10:00:00+01:00"]


def test_a_service_that_is_cancelled_is_no_service_of_the_appointment(made: Any) -> None:
    found = made("S20", "RGS|1", "AIS|1|D|A^First^L", "AIP|1|D|D9^HOUSE^GREG")
    appointment = found.one("Appointment")
    assert "serviceType" not in appointment
    assert [one["status"] for one in appointment["participant"]] == ["accepted", "declined"]
    assert found.change("Appointment").keep == {"status"}


@pytest.mark.parametrize(("trigger", "joined"), [("S14", False), ("S18", True), ("S19", True), ("S22", True)])
def test_an_event_of_single_resources_leaves_the_others(made: Any, trigger: str, joined: bool) -> None:
    change = made(trigger, "RGS|1", "AIP|1|U|D9^HOUSE^GREG").change("Appointment")
    assert ("participant" in change.union) is joined


def test_contacts_take_part_with_how_they_are_reached(made: Any) -> None:
    found = made("S12", f12="D1^ASKS^ANN", f13="^WPN^PH^^^555^1234", f20="D2^TYPES^TOM", f22="DESK^1")
    asks, types, _ = found.one("Appointment")["participant"]
    assert (asks["actor"]["display"], types["actor"]["display"]) == ("ANN ASKS", "TOM TYPES")
    assert asks["type"] == [{"text": "placer contact"}]
    assert asks["extension"][0]["valueContactPoint"]["value"] == "555 1234"


def test_the_orders_of_an_appointment_are_known_by_the_way(made: Any) -> None:
    found = made("S15", "RGS|1", "AIS|1||BX^Biopsy^L|20260310090000+0100|||30|min", f26="O1^CLINIC", f27="F1^LAB")
    order = found.one("ServiceRequest")
    assert [one["value"] for one in order["identifier"]] == ["O1", "F1"]
    assert (order["status"], order["code"]["coding"][0]["code"]) == ("active", "BX")
    assert order["occurrencePeriod"]["end"] == "2026-03-10T09:30:00+01:00"
    assert found.one("Appointment")["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    assert found.change("ServiceRequest").keep >= {"status", "code", "subject"}


def test_an_order_of_nobody_says_so() -> None:
    schedule = "SCH|PL1|FL1" + "|" * 24 + "O1^CLINIC"
    body = "\r".join(message("S12", schedule)).encode()
    read = Hl7v2Translator({}).read(RawMessage("adt", RECEIVED, "application/hl7-v2", body))
    (order,) = [change.resource for change in read.changes if change.type == "ServiceRequest" and change.resource]
    assert order["subject"]["extension"][0]["valueCode"] == "unknown"
    assert VALIDATOR.check(decode(encode(order))) == ()


def test_reasons_say_why_it_is_held_and_why_it_is_not(made: Any) -> None:
    appointment = made("S15", f6="SICK^Patient is ill^L", f7="CHECKUP", f8="Normal").one("Appointment")
    assert appointment["cancelationReason"]["coding"][0]["code"] == "SICK"
    assert appointment["reasonCode"][0]["coding"][0] == {"system": "http://snomed.info/sct", "code": "866149003"}
    assert appointment["appointmentType"]["coding"][0]["code"] == "Normal"
    assert "cancelationReason" not in made("S12", f6="Add").one("Appointment")


def test_notes_keep_their_author_and_are_readable_in_r4(made: Any) -> None:
    found = made("S12", "RGS|1", "NTE|1||Bring the card||D9^HOUSE^GREG|20260301080000+0100", "NTE|2||Come early")
    appointment = found.one("Appointment")
    assert appointment["comment"] == "Bring the card\nCome early"
    notes = [one["valueAnnotation"] for one in appointment["extension"] if "valueAnnotation" in one]
    assert notes[0]["authorReference"]["display"] == "GREG HOUSE"
    assert notes[0]["time"] == "2026-03-01T08:00:00+01:00"


def test_the_same_appointment_has_the_same_id_whatever_the_event(made: Any) -> None:
    ids = {made(trigger).one("Appointment")["id"] for trigger in ("S12", "S13", "S15")}
    assert len(ids) == 1
    assert made("S12", f3="2").one("Appointment")["id"] not in ids


def test_an_appointment_of_nobody_has_an_absent_participant() -> None:
    body = "\r".join(message("S12", "SCH|PL1|FL1")).encode()
    read = Hl7v2Translator({}).read(RawMessage("adt", RECEIVED, "application/hl7-v2", body))
    (appointment,) = [change.resource for change in read.changes if change.resource and change.type == "Appointment"]
    assert appointment["participant"][0]["actor"]["extension"][0]["valueCode"] == "unknown"
    assert [issue.location for issue in read.issues if issue.severity == "error"] == ["PID"]


def test_a_request_proposes_and_a_request_to_cancel_cancels_nothing(translate: Any) -> None:
    ask = "ARQ|PL1^CLINIC||||||CHECKUP|Normal|30|min|20260310080000+0100^20260310120000+0100||||D1^ASKS^ANN"
    found = translate(message("S01", ask, PID, "RGS|1", "AIS|1||BX^Biopsy^L", type_="SRM"))
    appointment, task = found.one("Appointment"), found.one("Task")
    assert appointment["status"] == "proposed"
    assert appointment["requestedPeriod"] == [
        {"start": "2026-03-10T08:00:00+01:00", "end": "2026-03-10T12:00:00+01:00"}
    ]
    assert (task["status"], task["focus"]) == ("requested", {"reference": f"Appointment/{appointment['id']}"})
    for change in found.translation.changes:
        assert VALIDATOR.check(decode(encode(change.resource))) == ()
    cancel = translate(message("S04", ask, PID, type_="SRM"))
    assert cancel.one("Task")["code"] == {"text": "cancel appointment"}
    assert "status" in cancel.change("Appointment").keep


@pytest.mark.parametrize(("answer", "status"), [("AA", "cancelled"), ("AE", "proposed")])
def test_an_answer_that_accepts_a_cancellation_cancels(translate: Any, answer: str, status: str) -> None:
    found = translate(message("S04", f"MSA|{answer}|X1", "SCH|PL1^CLINIC|FL1^SCHED", PID, type_="SRR"))
    assert found.one("Appointment")["status"] == status


@pytest.mark.parametrize(("trigger", "status"), [("S23", "busy-unavailable"), ("S24", "free")])
def test_a_blocked_time_is_a_slot_of_a_schedule_and_no_appointment(translate: Any, trigger: str, status: str) -> None:
    schedule = "SCH|PL1^CLINIC|FL1^SCHED|||DRH^Clinic of Dr House^L|LEAVE^On leave^L|||60|min|^^^20260310090000+0100"
    found = translate(message(trigger, schedule, "RGS|1", "AIP|1||D9^HOUSE^GREG", "AIL|1||W1^101^^GOOD"))
    slot, kept = found.one("Slot"), found.one("Schedule")
    assert found.all("Appointment") == []
    assert (slot["status"], slot["comment"]) == (status, "On leave")
    assert (slot["start"], slot["end"]) == ("2026-03-10T09:00:00+01:00", "2026-03-10T10:00:00+01:00")
    assert slot["schedule"] == {"reference": f"Schedule/{kept['id']}"}
    assert [one["reference"].split("/")[0] for one in kept["actor"]] == ["Practitioner", "Location"]
    for change in found.translation.changes:
        assert VALIDATOR.check(decode(encode(change.resource))) == ()


def test_a_blocked_time_of_nothing_has_an_absent_actor(translate: Any) -> None:
    found = translate(message("S23", "SCH|PL1|FL1|||DRH||||||^^^20260310090000+0100^20260310100000+0100"))
    assert found.one("Schedule")["actor"][0]["extension"][0]["valueCode"] == "unknown"
    for change in found.translation.changes:
        assert VALIDATOR.check(decode(encode(change.resource))) == ()
