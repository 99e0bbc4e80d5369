"""delete (https://hl7.org/fhir/R4/http.html#delete)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

OFFICER = {"roles": ("privacy-officer",)}


async def test_a_deleted_resource_is_gone_and_its_history_stays(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = await service.ask("DELETE", "Patient/ann")
    assert (answer.status, answer.body, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    assert (await service.ask("GET", "Patient/ann")).status == 410
    assert (await service.ask("GET", "Patient/ann/_history/1")).json["gender"] == "female"
    assert (await service.ask("GET", "Patient/ann/_history/2")).status == 410
    history = (await service.ask("GET", "Patient/ann/_history")).json
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "PUT"]
    assert [entry["response"]["status"] for entry in history["entry"]] == ["204", "201"]
    assert "resource" not in history["entry"][0]
    assert "entry" not in (await service.ask("GET", "Patient?_id=ann")).json


async def test_a_deletion_is_anchored_and_told_by_a_provenance_like_any_version(service: Any, ann: Resource) -> None:
    await service.put(ann)
    await service.ask("DELETE", "Patient/ann")
    tombstone = await service.store.read("Patient", "ann")
    assert await service.store.in_outbox(tombstone.commitment)
    found = (await service.ask("GET", "Provenance?target=Patient/ann")).json["entry"][0]["resource"]
    assert found["target"][0]["reference"] == "Patient/ann/_history/2"
    assert found["activity"]["coding"][0]["code"] == "DELETE"


async def test_to_delete_what_never_was_is_not_found_and_what_is_gone_already_is_done(
    service: Any, ann: Resource
) -> None:
    absent = await service.ask("DELETE", "Patient/ann")
    assert absent.status == 404
    assert "ETag" not in absent.headers
    await service.put(ann)
    await service.ask("DELETE", "Patient/ann")
    again = await service.ask("DELETE", "Patient/ann")
    assert (again.status, again.body) == (204, b"")
    assert len((await service.ask("GET", "Patient/ann/_history")).json["entry"]) == 2


async def test_a_delete_with_if_match_needs_the_current_version(service: Any, ann: Resource) -> None:
    assert (await service.ask("DELETE", "Patient/ann", If_Match='W/"1"')).status == 412
    await service.put(ann)
    assert (await service.ask("DELETE", "Patient/ann", If_Match='W/"2"')).status == 412
    assert (await service.ask("DELETE", "Patient/ann", If_Match="1")).status == 400
    assert (await service.ask("DELETE", "Patient/ann", If_Match='W/"1"')).status == 204
    assert (await service.ask("DELETE", "Patient/ann", If_Match='W/"2"')).status == 412


async def test_prefer_asks_a_delete_for_an_outcome(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = await service.ask("DELETE", "Patient/ann", Prefer="return=OperationOutcome")
    assert (answer.status, answer.told()) == (200, ["deleted"])
    again = await service.ask("DELETE", "Patient/ann", Prefer="return=OperationOutcome")
    assert (again.status, again.told()) == (200, ["there is nothing to delete"])


async def test_a_delete_needs_its_own_scope_and_no_other(service: Any, ann: Resource) -> None:
    await service.put(ann)
    refused = await service.ask("DELETE", "Patient/ann", token=service.token(scopes=("user/*.crus",)))
    assert refused.status == 403
    assert (await service.ask("DELETE", "Patient/ann", token=service.token(scopes=("user/Patient.d",)))).status == 204


@pytest.mark.parametrize("kind", ["Provenance", "AuditEvent", "Practitioner", "CareTeam"])
async def test_what_a_client_may_not_write_it_may_not_delete(service: Any, kind: str) -> None:
    assert (await service.ask("DELETE", f"{kind}/x")).status == 403


async def test_a_linked_patient_is_deleted_by_a_privacy_officer_alone(service: Any, ann: Resource) -> None:
    await service.put({**ann, "link": [{"other": {"reference": "Patient/bob"}, "type": "replaces"}]})
    assert (await service.ask("DELETE", "Patient/ann")).status == 403
    assert (await service.ask("DELETE", "Patient/ann", token=service.token(**OFFICER))).status == 204


async def test_a_conditional_delete_takes_one_match_and_no_more(service: Any, ann: Resource) -> None:
    await service.put(ann, {**ann, "id": "bob"})
    assert (await service.ask("DELETE", "Patient?family=Lindqvist")).status == 412
    assert (await service.ask("DELETE", "Patient?_id=ann")).status == 204
    assert (await service.ask("GET", "Patient/ann")).status == 410
    assert (await service.ask("DELETE", "Patient?_id=ann")).status == 204
    assert (await service.ask("GET", "Patient/bob")).status == 200


@pytest.mark.parametrize("query", ["", "?_format=json", "?_count=1", "?nonsense=1", "?_sort=name&_id=ann"])
async def test_a_conditional_delete_without_a_criterion_deletes_nothing(
    service: Any, ann: Resource, query: str
) -> None:
    await service.put(ann)
    assert (await service.ask("DELETE", f"Patient{query}")).status == 400
    assert (await service.ask("GET", "Patient/ann")).status == 200
