"""provenance: who caused a transaction, from which message, field by field."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from hawsepipe.fhir import provenance
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Resource, Trail

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
PLACE = provenance.Place("Patient", "1", 2)


def test_a_messages_provenance_names_the_feed_and_the_digest() -> None:
    made = provenance.draft(
        "feed:adt", id="p", source=bytes(32), label="ADT^A01 1 from ADT1|GOOD", rules=b"\x01" * 32, event_time=AT
    )
    assert made["agent"][0]["who"] == {
        "identifier": {"system": "urn:hawsepipe:feed", "value": "adt"},
        "display": "feed:adt",
    }
    assert made["entity"] == [
        {
            "role": "source",
            "what": {
                "identifier": {"system": "urn:hawsepipe:message", "value": "00" * 32},
                "display": "ADT^A01 1 from ADT1|GOOD",
            },
        }
    ]
    assert made["policy"] == ["urn:hawsepipe:rules:" + "01" * 32]
    assert made["activity"]["coding"][0]["code"] == "transform"
    assert made["occurredDateTime"] == "2026-03-01T08:00:00.000000Z"
    assert "target" not in made
    assert "recorded" not in made


def test_a_clients_provenance_names_the_user_and_the_client() -> None:
    made = provenance.draft("Practitioner/1", id="p", client="app", operation="CREATE")
    assert [agent["who"] for agent in made["agent"]] == [
        {"reference": "Practitioner/1"},
        {"identifier": {"system": "urn:hawsepipe:client", "value": "app"}},
    ]
    assert made["activity"]["coding"][0]["code"] == "CREATE"
    assert "entity" not in made


def test_completing_names_versions_with_the_trail_of_each() -> None:
    draft = provenance.draft("feed:adt", id="p", source=bytes(32))
    before = copy.deepcopy(draft)
    trail = (
        Trail("Patient/1", "name[0].family", "PID-5.1.1"),
        Trail("Encounter/2", "status", "PV1-2"),
        Trail("Patient/1", "birthDate", "PID-7"),
    )
    made = provenance.complete(draft, (PLACE,), AT, provenance.lines(trail))
    assert made["target"] == [
        {
            "reference": "Patient/1/_history/2",
            "extension": [{"url": provenance.TRAIL, "valueString": "name[0].family=PID-5.1.1\nbirthDate=PID-7"}],
        }
    ]
    assert made["recorded"] == "2026-03-01T08:00:00.000000Z"
    assert draft == before


def test_what_is_completed_is_valid_r4() -> None:
    validator = Validator(load())
    by_message = provenance.draft("feed:adt", id="p", source=bytes(32), label="ADT^A01", rules=bytes(32), event_time=AT)
    by_client = provenance.draft("Practitioner/1", id="p", client="app", operation="CREATE")
    for draft in (by_message, by_client):
        made = provenance.complete(draft, (PLACE,), AT, {"Patient/1": "birthDate=PID-7"})
        assert validator.check(made) == ()


TOLD: Resource = {
    "id": "not-hers-to-say",
    "target": [{"reference": "Patient/9"}],
    "recorded": "2026-03-01T07:59:00+00:00",
    "occurredDateTime": "2026-03-01",
    "reason": [{"text": "census"}],
    "activity": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0003", "code": "A01"}]},
    "agent": [{"who": {"reference": "Organization/good"}}],
    "entity": [{"role": "source", "what": {"reference": "DocumentReference/m"}}],
}


def test_the_senders_words_join_ours_and_her_time_goes_beside_the_records_own() -> None:
    draft = provenance.draft(
        "feed:adt", id="p", source=bytes(32), label="ADT^A01", event_time=AT, told=TOLD, trail="a=EVN-6"
    )
    document = provenance.Place("DocumentReference", "m", 1)
    made = provenance.complete(draft, provenance.subjects(draft, (PLACE, document)), AT, {})
    assert Validator(load()).check(made) == ()
    assert (made["id"], made["occurredDateTime"]) == ("p", "2026-03-01")
    assert made["recorded"] == "2026-03-01T08:00:00.000000Z"
    assert made["_recorded"]["extension"] == [
        {"url": provenance.SENDER_RECORDED, "valueInstant": "2026-03-01T07:59:00+00:00"}
    ]
    assert [target["reference"] for target in made["target"]] == ["Patient/1/_history/2"]
    assert [coding["code"] for coding in made["activity"]["coding"]] == ["transform", "A01"]
    assert [agent["who"].get("reference") for agent in made["agent"]] == [None, "Organization/good"]
    # Apart from the copy that is kept, which few may see: whoever sees the Provenance knows the message by its digest.
    assert [entity["what"] for entity in made["entity"]] == [
        {"identifier": {"system": "urn:hawsepipe:message", "value": "00" * 32}, "display": "ADT^A01"},
        {"reference": "DocumentReference/m"},
    ]
    assert {"url": provenance.TRAIL, "valueString": "a=EVN-6"} in made["extension"]


def test_a_message_that_changed_nothing_else_has_its_original_as_target() -> None:
    draft = provenance.draft("feed:adt", id="p", source=bytes(32), told=TOLD)
    document = provenance.Place("DocumentReference", "m", 1)
    assert provenance.subjects(draft, (document,)) == (document,)
