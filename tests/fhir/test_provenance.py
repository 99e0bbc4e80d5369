"""provenance: who caused a transaction, from which message, field by field."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from hawsepipe.fhir import provenance
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Trail

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
