"""$validate, $meta, $meta-add, $meta-delete, $everything."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
TAG = {"system": "urn:tags", "code": "a"}


def observation(identity: str, about: str = "ann", **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{about}"},
        **more,
    }


def parameters(**given: Any) -> Resource:
    listed = [
        {"name": name, "resource" if name == "resource" else "valueMeta" if name == "meta" else "valueCode": value}
        for name, value in given.items()
    ]
    return {"resourceType": "Parameters", "parameter": listed}


def severities(answer: Any) -> list[str]:
    assert answer.status == 200
    return [issue["severity"] for issue in answer.json["issue"]]


async def test_validate_answers_with_findings_and_stores_nothing(service: Any, ann: Resource) -> None:
    assert severities(await service.ask("POST", "Patient/$validate", ann)) == ["information"]
    bad = {**ann, "gender": "purple", "birthDate": "x"}
    answer = await service.ask("POST", "Patient/$validate", parameters(resource=bad, mode="create"))
    assert severities(answer) == ["error", "error"]
    assert {issue["expression"][0] for issue in answer.json["issue"]} == {"Patient.gender", "Patient.birthDate"}
    assert severities(await service.ask("POST", "Observation/$validate", ann)) == ["error"]
    assert (await service.ask("GET", "Patient?_total=accurate")).json["total"] == 0


async def test_validate_of_what_is_stored_and_of_a_profile_that_is_not_known(service: Any, ann: Resource) -> None:
    await service.put(ann)
    assert severities(await service.ask("GET", "Patient/ann/$validate")) == ["information"]
    assert severities(await service.ask("POST", "Patient/ann/$validate?profile=http://x", ann)) == ["warning"]
    assert (await service.ask("GET", "Patient/bob/$validate")).status == 404
    assert severities(await service.ask("POST", "Patient/ann/$validate?mode=update", {**ann, "id": "b"})) == ["error"]


@pytest.mark.parametrize("sent", [parameters(mode="create"), parameters(mode="brew"), parameters(other="x")])
async def test_a_validation_without_sense_is_an_invalid_request(service: Any, sent: Resource) -> None:
    assert (await service.ask("POST", "Patient/$validate", sent)).status == 400


async def test_meta_is_read_added_to_and_taken_from(service: Any, ann: Resource) -> None:
    await service.put(ann)
    added = await service.ask("POST", "Patient/ann/$meta-add", parameters(meta={"tag": [TAG], "profile": ["urn:p"]}))
    assert (added.status, added.headers["ETag"]) == (200, 'W/"2"')
    assert added.json["parameter"][0]["valueMeta"]["tag"] == [TAG]
    again = await service.ask("POST", "Patient/ann/$meta-add", parameters(meta={"tag": [TAG]}))
    assert again.headers["ETag"] == 'W/"2"'
    assert (await service.ask("GET", "Patient/ann/$meta")).json["parameter"][0]["valueMeta"]["profile"] == ["urn:p"]
    taken = await service.ask("POST", "Patient/ann/$meta-delete", parameters(meta={"tag": [TAG]}))
    assert "tag" not in taken.json["parameter"][0]["valueMeta"]
    assert (await service.ask("GET", "Patient/ann")).json["name"] == ann["name"]


async def test_a_label_is_added_and_never_taken_away(service: Any, ann: Resource) -> None:
    await service.put(ann)
    label = {"system": "urn:house:labels", "code": "kept"}
    added = await service.ask("POST", "Patient/ann/$meta-add", parameters(meta={"security": [label]}))
    assert label in added.json["parameter"][0]["valueMeta"]["security"]
    taken = await service.ask("POST", "Patient/ann/$meta-delete", parameters(meta={"security": [label]}))
    assert taken.status == 422
    assert label in (await service.ask("GET", "Patient/ann/$meta")).json["parameter"][0]["valueMeta"]["security"]


async def test_operations_on_meta_of_the_hidden_and_of_the_absent_are_one(service: Any, ann: Resource) -> None:
    await service.put({**ann, "id": "hide", "meta": {"security": [HIDDEN]}})
    for method, path in (
        ("GET", "Patient/{}/$meta"),
        ("GET", "Patient/{}/$validate"),
        ("GET", "Patient/{}/$everything"),
        ("POST", "Patient/{}/$meta-add"),
        ("POST", "Patient/{}/$meta-delete"),
    ):
        sent = parameters(meta={"tag": [TAG]}) if method == "POST" else None
        answers = [await service.ask(method, path.format(it), sent) for it in ("hide", "lack")]
        assert answers[0].status == answers[1].status == 404
        assert answers[0].body.replace(b"hide", b"lack") == answers[1].body


async def everything(service: Any, path: str) -> list[str]:
    seen: list[str] = []
    answer = await service.ask("GET", path)
    while True:
        assert answer.status == 200, answer.body
        entries = answer.json.get("entry", [])
        seen += [f"{it['resource']['resourceType']}/{it['resource']['id']}" for it in entries]
        links = {link["relation"]: link["url"] for link in answer.json["link"]}
        if "next" not in links:
            return seen
        assert entries
        answer = await service.ask("GET", links["next"])


async def test_everything_gives_the_whole_compartment_once_whatever_the_page(service: Any, ann: Resource) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/ann"},
    }
    twice = observation("twice", performer=[{"reference": "Patient/ann"}], encounter={"reference": "Encounter/e"})
    others = [observation(f"o{number}") for number in range(4)]
    await service.put(ann, {**ann, "id": "bob"}, encounter, twice, *others, observation("b", "bob"))
    expected = {"Patient/ann", "Encounter/e", "Observation/twice", *(f"Observation/o{number}" for number in range(4))}
    for count in (1, 2, 3, 7, 50):
        seen = await everything(service, f"Patient/ann/$everything?_count={count}")
        assert seen[0] == "Patient/ann"
        assert sorted(seen) == sorted(expected), count
    assert await everything(service, "Encounter/e/$everything") == ["Encounter/e", "Observation/twice", "Patient/ann"]
    assert await everything(service, "Patient/ann/$everything?_type=Encounter") == ["Encounter/e"]
    assert (await service.ask("GET", "Patient/ann/$everything?start=May")).status == 400


async def test_everything_since_an_instant_gives_what_is_newer(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("o1"))
    version = await service.store.read("Observation", "o1")
    await service.put(observation("o2"))
    later = (await service.store.read("Observation", "o2")).last_updated.isoformat().replace("+00:00", "Z")
    assert version is not None
    assert await everything(service, f"Patient/ann/$everything?_since={later}") == ["Observation/o2"]


async def test_everything_answers_as_if_the_hidden_did_not_exist(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("o1"), observation("o3"))
    before = [await service.ask("GET", f"Patient/ann/$everything?_count={count}") for count in (1, 3, 50)]
    await service.put(observation("o2", meta={"security": [HIDDEN]}))
    after = [await service.ask("GET", f"Patient/ann/$everything?_count={count}") for count in (1, 3, 50)]
    for one, other in zip(before, after, strict=True):
        assert one.json["entry"] == other.json["entry"]
        assert len(one.json["link"]) == len(other.json["link"])
        assert one.json.get("total") == other.json.get("total")


async def test_operations_exist_for_the_types_that_have_them(service: Any) -> None:
    assert (await service.ask("GET", "Observation/o/$everything")).status == 404
