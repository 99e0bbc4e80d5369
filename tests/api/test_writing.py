"""create and update (https://hl7.org/fhir/R4/http.html#create, #update, #concurrency)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource


async def test_a_created_resource_has_an_id_of_ours_and_a_location(service: Any, ann: Resource) -> None:
    answer = await service.ask("POST", "Patient", ann)
    assert answer.status == 201
    assert answer.json["id"] != "ann"
    assert answer.json["meta"]["versionId"] == "1"
    address = f"https://fhir.example.org/fhir/Patient/{answer.json['id']}/_history/1"
    assert answer.headers["Location"] == address
    assert answer.headers["ETag"] == 'W/"1"'
    again = await service.ask("GET", address)
    assert again.body == answer.body


async def test_prefer_says_what_a_write_answers_with(service: Any, ann: Resource) -> None:
    minimal = await service.ask("POST", "Patient", ann, Prefer="return=minimal")
    assert (minimal.status, minimal.body) == (201, b"")
    assert "Location" in minimal.headers
    outcome = await service.ask("POST", "Patient", ann, Prefer="return=OperationOutcome")
    assert (outcome.status, outcome.told()) == (201, ["created"])


async def test_an_update_with_if_match_needs_the_current_version(service: Any, ann: Resource) -> None:
    await service.put(ann)
    first = await service.ask("PUT", "Patient/ann", {**ann, "gender": "unknown"}, If_Match='W/"1"')
    assert (first.status, first.headers["ETag"]) == (200, 'W/"2"')
    stale = await service.ask("PUT", "Patient/ann", {**ann, "gender": "other"}, If_Match='W/"1"')
    assert stale.status == 412
    assert stale.json["issue"][0]["code"] == "conflict"
    assert (await service.ask("GET", "Patient/ann")).json["gender"] == "unknown"


@pytest.mark.parametrize("tag", ["1", '"1"', 'W/"0"', 'W/"x"', "*", 'W/"1", W/"2"', 'W/"99999999999"', ""])
async def test_a_malformed_if_match_is_an_invalid_request(service: Any, ann: Resource, tag: str) -> None:
    await service.put(ann)
    answer = await service.ask("PUT", "Patient/ann", {**ann, "gender": "other"}, If_Match=tag)
    assert answer.status == 400
    assert answer.json["issue"][0]["location"] == ["If-Match"]


async def test_an_update_with_the_same_content_makes_no_version(service: Any, ann: Resource) -> None:
    await service.put(ann)
    read = await service.ask("GET", "Patient/ann")
    answer = await service.ask("PUT", "Patient/ann", read.body, Content_Type="application/fhir+json")
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"1"')


async def test_the_id_must_be_the_one_in_the_address(service: Any, ann: Resource) -> None:
    await service.put(ann)
    for sent in ({**ann, "id": "bob"}, {name: value for name, value in ann.items() if name != "id"}):
        answer = await service.ask("PUT", "Patient/ann", sent)
        assert answer.status == 400
        assert answer.json["issue"][0]["expression"] == ["Patient.id"]


async def test_the_type_must_be_the_one_in_the_address(service: Any, ann: Resource) -> None:
    for path in ("Observation", "Practitioner"):
        assert (await service.ask("POST", path, ann)).status == 400
    assert (await service.ask("POST", "Patient", {})).status == 400
    assert (await service.ask("PUT", "Observation/ann", ann)).status == 400


async def test_every_finding_against_r4_is_named_by_its_place(service: Any) -> None:
    bad = {"resourceType": "Patient", "gender": "purple", "birthDate": "1970-13-01", "nonsense": True}
    answer = await service.ask("POST", "Patient", bad)
    assert answer.status == 422
    places = {place for issue in answer.json["issue"] for place in issue.get("expression", issue.get("location", []))}
    assert {"Patient.gender", "Patient.birthDate"} <= places
    assert b"purple" not in answer.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"resourceType":"Patient","resourceType":"Patient"}',
        b'{"resourceType":"Patient","multipleBirthInteger":NaN}',
        b'\xff{"resourceType":"Patient"}',
        b'{"resourceType":"Patient","contact":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
    ids=["empty", "cut", "list", "null", "doubled", "NaN", "not UTF-8", "deep"],
)
async def test_what_is_no_json_resource_is_an_invalid_request(service: Any, body: bytes) -> None:
    answer = await service.ask("POST", "Patient", body, Content_Type="application/fhir+json")
    assert answer.status == 400
    assert answer.json["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("text", [b"\\ud800", b"\\udc00 and more", b"\\ud800 and more"])
async def test_half_of_a_surrogate_pair_is_called_what_it_is(service: Any, text: bytes) -> None:
    body = b'{"resourceType":"Patient","name":[{"family":"' + text + b'"}]}'
    for sent in (body, b'{"resourceType":"Patient","language":"' + text + b'"}'):
        answer = await service.ask("POST", "Patient", sent, Content_Type="application/fhir+json")
        assert answer.status == 400
        assert answer.told() == ["a string in the JSON has half of a surrogate pair"]


@pytest.mark.parametrize("meta", [[1], "x", None, 5])
async def test_a_meta_that_is_none_is_named_and_not_replaced(service: Any, ann: Resource, meta: Any) -> None:
    await service.put(ann)
    for method, path in (("POST", "Patient"), ("PUT", "Patient/ann")):
        answer = await service.ask(method, path, {**ann, "meta": meta})
        assert answer.status == 422
        assert answer.json["issue"][0]["expression"] == ["Patient.meta"]


async def test_a_link_and_a_move_are_forbidden(service: Any, ann: Resource) -> None:
    await service.put(ann)
    link = [{"other": {"reference": "Patient/bob"}, "type": "replaces"}]
    assert (await service.ask("POST", "Patient", {**ann, "link": link})).status == 403
    assert (await service.ask("PUT", "Patient/ann", {**ann, "link": link})).status == 403
    encounter = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/ann"},
    }
    await service.put(encounter)
    moved = {**encounter, "subject": {"reference": "Patient/bob"}}
    assert (await service.ask("PUT", "Encounter/e", moved)).status == 403


async def test_a_body_in_another_form_is_an_unsupported_media_type(service: Any, ann: Resource) -> None:
    for content_type in ("application/fhir+turtle", "text/plain", "application/x-www-form-urlencoded"):
        answer = await service.ask("POST", "Patient", b"<Patient/>", Content_Type=content_type)
        assert answer.status == 415
    packed = await service.ask(
        "POST", "Patient", b"\x1f\x8b", Content_Type="application/fhir+json", Content_Encoding="gzip"
    )
    assert packed.status == 415


async def test_a_body_beyond_the_limit_is_refused_declared_or_not(service: Any) -> None:
    big = b'{"resourceType":"Patient","id":"' + b"a" * 100_000 + b'"}'
    declared = await service.ask("POST", "Patient", big, Content_Type="application/fhir+json")
    assert declared.status == 413
    assert declared.json["issue"][0]["code"] == "too-long"

    async def chunks() -> Any:
        for start in range(0, len(big), 10_000):
            yield big[start : start + 10_000]

    streamed = await service.ask("POST", "Patient", chunks(), Content_Type="application/fhir+json")
    assert streamed.status == 413


async def test_a_scope_without_the_right_to_write_is_forbidden(service: Any, ann: Resource) -> None:
    await service.put(ann)
    reader = service.token(scopes=("user/*.rs",))
    assert (await service.ask("POST", "Patient", ann, token=reader)).status == 403
    assert (await service.ask("PUT", "Patient/ann", ann, token=reader)).status == 403


async def test_an_update_never_creates(service: Any, ann: Resource) -> None:
    absent = await service.ask("PUT", "Patient/ann", ann)
    assert (absent.status, absent.headers["Allow"]) == (405, "GET, HEAD, PATCH, DELETE")


async def test_what_was_deleted_comes_back_by_an_update_with_its_labels(service: Any, ann: Resource) -> None:
    label = {"system": "urn:house:labels", "code": "kept"}
    await service.put({**ann, "meta": {"security": [label]}})
    assert (await service.ask("DELETE", "Patient/ann")).status == 204
    stale = await service.ask("PUT", "Patient/ann", ann, If_Match='W/"1"')
    assert stale.status == 412
    answer = await service.ask("PUT", "Patient/ann", ann)
    assert (answer.status, answer.headers["ETag"]) == (201, 'W/"3"')
    assert label in answer.json["meta"]["security"]
    assert (await service.ask("GET", "Patient/ann")).status == 200
    history = (await service.ask("GET", "Patient/ann/_history")).json
    assert [entry["request"]["method"] for entry in history["entry"]] == ["PUT", "DELETE", "PUT"]


async def test_what_comes_back_stays_the_same_persons(service: Any, ann: Resource) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/ann"},
    }
    await service.put(ann, encounter)
    assert (await service.ask("DELETE", "Encounter/e")).status == 204
    moved = {**encounter, "subject": {"reference": "Patient/bob"}}
    assert (await service.ask("PUT", "Encounter/e", moved)).status == 403
    assert (await service.ask("PUT", "Encounter/e", encounter)).status == 201
