"""patch (https://hl7.org/fhir/R4/http.html#patch), by JSON Patch and by FHIRPath Patch."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hawsepipe.model import Resource

JSON_PATCH = "application/json-patch+json"
CONTACT = {"part": [{"name": "name", "valueHumanName": {"text": "a"}}, {"name": "gender", "valueCode": "male"}]}
FAMILY = [{"op": "replace", "path": "/name/0/family", "value": "Berg"}]


def fhirpath(**parts: Any) -> Resource:
    """A FHIRPath Patch of one operation; texts are codes or strings, numbers integers, parts what they are."""
    made: list[dict[str, Any]] = []
    for name, value in parts.items():
        if name == "type":
            made.append({"name": name, "valueCode": value})
        elif isinstance(value, dict):
            made.append({"name": name, **value})
        else:
            made.append({"name": name, "valueInteger" if isinstance(value, int) else "valueString": value})
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": made}]}


async def sent(service: Any, path: str, operations: Any, **headers: str) -> Any:
    body = msgspec.json.encode(operations)
    return await service.ask("PATCH", path, body, Content_Type=JSON_PATCH, **headers)


async def test_a_json_patch_makes_a_version_and_leaves_everything_else_as_it_was_spelt(service: Any) -> None:
    body = (
        b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":'
        b'"Patient/ann"},"valueQuantity":{"value":1.00,"unit":"mg"},"referenceRange":[{"low":{"value":1e2}}]}'
    )
    await service.put({"resourceType": "Patient", "id": "ann"})
    made = await service.ask("POST", "Observation", body, Content_Type="application/fhir+json")
    path = f"Observation/{made.json['id']}"
    answer = await sent(service, path, [{"op": "replace", "path": "/status", "value": "amended"}])
    assert (answer.status, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.json["status"] == "amended"
    assert b'"value":1.00,' in answer.body
    assert b'"value":1e2}' in answer.body


async def test_a_patch_with_if_match_needs_the_current_version(service: Any, ann: Resource) -> None:
    await service.put(ann)
    assert (await sent(service, "Patient/ann", FAMILY, If_Match='W/"2"')).status == 412
    assert (await sent(service, "Patient/ann", FAMILY, If_Match='W/"1"')).status == 200
    assert (await service.ask("GET", "Patient/ann")).json["name"][0]["family"] == "Berg"


async def test_prefer_says_what_a_patch_answers_with(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = await sent(service, "Patient/ann", FAMILY, Prefer="return=minimal")
    assert (answer.status, answer.body, answer.headers["ETag"]) == (200, b"", 'W/"2"')


async def test_parallel_patches_lose_nothing(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answers = await asyncio.gather(
        *(
            sent(service, "Patient/ann", [{"op": "add", "path": "/name/-", "value": {"family": f"L{number}"}}])
            for number in range(5)
        )
    )
    assert [answer.status for answer in answers] == [200] * 5
    names = {name["family"] for name in (await service.ask("GET", "Patient/ann")).json["name"]}
    assert names == {"Lindqvist", "L0", "L1", "L2", "L3", "L4"}


async def test_what_cannot_be_applied_changes_nothing(service: Any, ann: Resource) -> None:
    await service.put(ann)
    for operations in (
        [*FAMILY, {"op": "remove", "path": "/contact"}],
        [*FAMILY, {"op": "test", "path": "/gender", "value": "male"}],
        [*FAMILY, {"op": "add", "path": "/gender", "value": "purple"}],
        [{"op": "add", "path": "/name/7", "value": {}}],
    ):
        answer = await sent(service, "Patient/ann", operations)
        assert answer.status == 422
        assert b"female" not in answer.body
    assert (await service.ask("GET", "Patient/ann")).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize(
    "operations",
    [{}, ["x"], [{"op": "put", "path": "/a"}], [{"op": "add", "path": "/a"}], [{"op": "move", "path": "/a"}], "x"],
)
async def test_what_is_no_patch_is_an_invalid_request(service: Any, ann: Resource, operations: Any) -> None:
    await service.put(ann)
    assert (await sent(service, "Patient/ann", operations)).status == 400


async def test_a_patch_cannot_nest_deeper_than_json_may(service: Any, ann: Resource) -> None:
    await service.put(ann)
    grow: list[dict[str, Any]] = [{"op": "add", "path": "/extension", "value": [{"url": "urn:x", "extension": []}]}]
    for depth in range(1, 60):
        path = "/extension/0" * depth + "/extension/0"
        grow.append({"op": "add", "path": path, "value": {"url": "urn:x", "extension": []}})
    assert (await sent(service, "Patient/ann", grow)).status == 422  # a path beyond the bound
    assert (await sent(service, "Patient/ann", grow[:50])).status == 400  # what would be stored is
    assert (await service.ask("GET", "Patient/ann")).headers["ETag"] == 'W/"1"'


async def test_id_and_type_stay(service: Any, ann: Resource) -> None:
    await service.put(ann)
    for path, value in (("/id", "bob"), ("/resourceType", "Person")):
        assert (await sent(service, "Patient/ann", [{"op": "replace", "path": path, "value": value}])).status == 400


async def test_a_patch_cannot_join_or_move_patients(service: Any, ann: Resource) -> None:
    await service.put(ann)
    link = [{"op": "add", "path": "/link", "value": [{"other": {"reference": "Patient/bob"}, "type": "replaces"}]}]
    assert (await sent(service, "Patient/ann", link)).status == 403


async def test_a_patch_of_what_is_absent_is_not_found_and_of_what_is_deleted_gone(service: Any, ann: Resource) -> None:
    assert (await sent(service, "Patient/ann", FAMILY)).status == 404
    await service.put(ann)
    await service.ask("DELETE", "Patient/ann")
    assert (await sent(service, "Patient/ann", FAMILY)).status == 410


async def test_a_conditional_patch_takes_one_match(service: Any, ann: Resource) -> None:
    assert (await sent(service, "Patient?identifier=4711", FAMILY)).status == 404
    await service.put(ann)
    assert (await sent(service, "Patient?identifier=4711", FAMILY)).status == 200
    await service.put({**ann, "id": "bob"})
    assert (await sent(service, "Patient?identifier=4711", FAMILY)).status == 412
    assert (await sent(service, "Patient", FAMILY)).status == 400


async def test_another_form_of_patch_is_not_supported(service: Any, ann: Resource) -> None:
    await service.put(ann)
    for kind in ("application/xml-patch+xml", "text/plain"):
        assert (await service.ask("PATCH", "Patient/ann", b"[]", Content_Type=kind)).status == 415


@pytest.mark.parametrize(
    ("operation", "element", "value"),
    [
        (fhirpath(type="replace", path="Patient.gender", value={"valueCode": "other"}), "gender", "other"),
        (fhirpath(type="add", path="Patient", name="deceased", value={"valueBoolean": True}), "deceasedBoolean", True),
        (fhirpath(type="delete", path="Patient.name.given"), "name", [{"family": "Lindqvist"}]),
        (fhirpath(type="delete", path="Patient.photo"), "photo", None),
        (fhirpath(type="delete", path="Patient.name"), "name", None),
        (
            fhirpath(type="insert", path="Patient.name[0].given", index=0, value={"valueString": "Eva"}),
            "name",
            [{"family": "Lindqvist", "given": ["Eva", "Ann"]}],
        ),
        (
            fhirpath(
                type="replace",
                path="Patient.identifier.where(system = 'urn:oid:1.2.3').value",
                value={"valueString": "4712"},
            ),
            "identifier",
            [{"system": "urn:oid:1.2.3", "value": "4712"}],
        ),
        (
            fhirpath(
                type="add",
                path="Patient",
                name="contact",
                value={
                    "part": [{"name": "name", "valueHumanName": {"text": "a"}}, {"name": "gender", "valueCode": "male"}]
                },
            ),
            "contact",
            [{"name": {"text": "a"}, "gender": "male"}],
        ),
    ],
)
async def test_a_fhirpath_patch_does_what_its_operation_says(
    service: Any, ann: Resource, operation: Resource, element: str, value: Any
) -> None:
    await service.put(ann)
    answer = await service.ask("PATCH", "Patient/ann", operation)
    assert answer.status == 200, answer.body
    assert answer.json.get(element) == value


async def test_a_fhirpath_patch_moves_in_a_list_and_changes_a_choice(service: Any, ann: Resource) -> None:
    await service.put({**ann, "name": [{"text": "a"}, {"text": "b"}, {"text": "c"}], "deceasedBoolean": False})
    moved = await service.ask(
        "PATCH", "Patient/ann", fhirpath(type="move", path="Patient.name", source=0, destination=2)
    )
    assert [name["text"] for name in moved.json["name"]] == ["b", "c", "a"]
    dated = fhirpath(type="replace", path="Patient.deceased", value={"valueDateTime": "2026-01-01"})
    answer = await service.ask("PATCH", "Patient/ann", dated)
    assert answer.json["deceasedDateTime"] == "2026-01-01"
    assert "deceasedBoolean" not in answer.json


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (fhirpath(type="replace", path="Patient.photo", value={"valueString": "x"}), 422),
        (fhirpath(type="add", path="Patient", name="gender", value={"valueCode": "male"}), 422),
        (fhirpath(type="add", path="Patient", name="nonsense", value={"valueCode": "male"}), 422),
        (fhirpath(type="insert", path="Patient.name", index=5, value={"valueHumanName": {"text": "x"}}), 422),
        (fhirpath(type="move", path="Patient.name", source=0, destination=3), 422),
        (fhirpath(type="delete", path="Patient"), 422),
        (fhirpath(type="add", path="Patient", name="gender"), 400),
        (fhirpath(type="merge", path="Patient"), 400),
        (fhirpath(type="delete", path="Patient.name.matches('(a+)+')"), 400),
        (fhirpath(type="delete", path="Patient.name["), 400),
        ({"resourceType": "Parameters"}, 400),
        ({"resourceType": "Patient", "id": "ann"}, 400),
    ],
)
async def test_a_fhirpath_patch_that_cannot_be_applied_is_refused(
    service: Any, ann: Resource, operation: Resource, status: int
) -> None:
    await service.put(ann)
    answer = await service.ask("PATCH", "Patient/ann", operation)
    assert answer.status == status, answer.body
    assert (await service.ask("GET", "Patient/ann")).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize("kind", ["application/merge-patch+json", "application/json"])
async def test_a_merge_patch_changes_what_it_names(service: Any, ann: Resource, kind: str) -> None:
    await service.put({**ann, "multipleBirthInteger": 2})
    answer = await service.ask("PATCH", "Patient/ann", b'{"gender":null,"multipleBirthInteger":3}', Content_Type=kind)
    assert answer.status == 200, answer.body
    assert "gender" not in answer.json
    assert (answer.json["multipleBirthInteger"], answer.json["name"]) == (3, ann["name"])
    refused = await service.ask("PATCH", "Patient/ann", b'{"id":"bob"}', Content_Type=kind)
    assert refused.status == 400
    assert (await service.ask("PATCH", "Patient/ann", b'"x"', Content_Type=kind)).status == 400


async def test_plain_json_may_be_any_patch(service: Any, ann: Resource) -> None:
    await service.put(ann)
    operations = b'[{"op":"replace","path":"/gender","value":"other"}]'
    answer = await service.ask("PATCH", "Patient/ann", operations, Content_Type="application/json")
    assert answer.json["gender"] == "other"
