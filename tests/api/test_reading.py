"""read, vread and what must not be told apart (https://hl7.org/fhir/R4/http.html#read)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource


def excluding(practitioner: str) -> Resource:
    """A consent of Ann by which everybody may see her but one practitioner."""
    return {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/ann"},
        "dateTime": "2026-01-01",
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "provision": {
            "provision": [
                {
                    "type": "deny",
                    "actor": [
                        {
                            "role": {
                                "coding": [
                                    {
                                        "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                                        "code": "PRCP",
                                    }
                                ]
                            },
                            "reference": {"reference": practitioner},
                        }
                    ],
                }
            ]
        },
    }


async def test_a_read_gives_the_stored_bytes_with_their_validators(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = await service.ask("GET", "Patient/ann")
    stored = await service.store.read("Patient", "ann")
    assert answer.status == 200
    assert answer.body == stored.content
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == "Sun, 01 Mar 2026 12:00:00 GMT"
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Authorization" in answer.headers["Vary"]


async def test_decimals_come_back_as_they_were_sent_pretty_or_not(service: Any, ann: Resource) -> None:
    body = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"t"},"subject":{"reference":"Patient/ann"},'
        b'"valueQuantity":{"value":1.00},"component":[{"code":{"text":"c"},"valueQuantity":{"value":1e-7}}]}'
    )
    await service.put(ann)
    created = await service.ask("POST", "Observation", body, Content_Type="application/fhir+json")
    assert created.status == 201
    for suffix in ("", "?_pretty=true"):
        read = await service.ask("GET", f"Observation/{created.json['id']}{suffix}")
        assert b"1.00" in read.body
        assert b"1e-7" in read.body
    assert b"\n" in read.body
    found = await service.ask("GET", "Observation?_pretty=false")
    assert b'"value":1.00' in found.body
    assert b'"value":1e-7' in found.body


async def test_head_is_get_without_a_body(service: Any, ann: Resource) -> None:
    await service.put(ann)
    get, head = await service.ask("GET", "Patient/ann"), await service.ask("HEAD", "Patient/ann")
    assert head.body == b""
    assert head.status == 200
    assert int(head.headers["Content-Length"]) == len(get.body)
    assert head.headers["ETag"] == get.headers["ETag"]


async def test_a_version_stays_readable_after_the_next_one(service: Any, ann: Resource) -> None:
    await service.put(ann)
    await service.put({**ann, "gender": "unknown"})
    first, second = [await service.ask("GET", f"Patient/ann/_history/{number}") for number in (1, 2)]
    assert (first.json["gender"], second.json["gender"]) == ("female", "unknown")
    assert first.headers["ETag"] == 'W/"1"'
    for absent in ("3", "0", "01", "x", "1" * 30):
        assert (await service.ask("GET", f"Patient/ann/_history/{absent}")).status == 404


async def test_a_client_that_has_the_version_gets_304(service: Any, ann: Resource) -> None:
    await service.put(ann)
    same = await service.ask("GET", "Patient/ann", If_None_Match='W/"7", W/"1"')
    assert (same.status, same.body) == (304, b"")
    assert same.headers["ETag"] == 'W/"1"'
    assert (await service.ask("GET", "Patient/ann", If_None_Match='W/"2"')).status == 200
    assert (await service.ask("GET", "Patient/ann", If_Modified_Since="Sun, 01 Mar 2026 12:00:01 GMT")).status == 304
    # The version came within that second, after it began: nobody can say that the client has it.
    assert (await service.ask("GET", "Patient/ann", If_Modified_Since="Sun, 01 Mar 2026 12:00:00 GMT")).status == 200
    assert (await service.ask("GET", "Patient/ann", If_Modified_Since="yesterday")).status == 200


async def test_a_hidden_resource_cannot_be_told_from_an_absent_one(service: Any, ann: Resource) -> None:
    excluded = service.token(subject="Practitioner/2")
    paths = [
        "Patient/ann",
        "Patient/ann?_pretty=true",
        "Patient/ann/_history",
        "Patient/ann/_history/1",
        "Patient/ann/_history/1/$receipt",
    ]
    absent = [await service.ask("GET", path, token=excluded, If_None_Match='W/"1"') for path in paths]
    await service.put(ann)
    assert (await service.ask("GET", "Patient/ann", token=excluded)).status == 200
    await service.put(excluding("Practitioner/2"))
    hidden = [await service.ask("GET", path, token=excluded, If_None_Match='W/"1"') for path in paths]
    for before, after in zip(absent, hidden, strict=True):
        assert after.status == 404
        assert after.body == before.body
        assert {**after.headers, "Date": ""} == {**before.headers, "Date": ""}
    assert (await service.ask("GET", "Patient/ann")).status == 200


async def test_a_hidden_deletion_is_absent_and_a_visible_one_is_gone(service: Any, ann: Resource) -> None:
    await service.put(ann, excluding("Practitioner/2"))
    await service.delete("Patient", "ann")
    assert (await service.ask("GET", "Patient/ann", token=service.token(subject="Practitioner/2"))).status == 404
    assert (await service.ask("GET", "Patient/ann")).status == 410


async def test_a_scope_that_does_not_cover_the_type_is_forbidden(service: Any, ann: Resource) -> None:
    await service.put(ann)
    narrow = service.token(scopes=("user/Observation.rs",))
    assert (await service.ask("GET", "Patient/ann", token=narrow)).status == 403
    assert (await service.ask("GET", "Patient/nobody", token=narrow)).status == 403


@pytest.mark.parametrize("path", ["Patient/ann?x=1", "Patient/ann/_history/1?x=1", "Patient/ann/_history?x=1"])
async def test_an_unknown_parameter_is_refused_when_handling_is_strict(service: Any, ann: Resource, path: str) -> None:
    await service.put(ann)
    assert (await service.ask("GET", path)).status == 200
    strict = await service.ask("GET", path, Prefer="handling=strict")
    assert strict.status == 400
    assert strict.json["issue"][0]["location"] == ["x"]
