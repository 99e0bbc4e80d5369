"""$everything: time of care, what a compartment refers to, and how it is asked."""

from __future__ import annotations

from typing import Any

from hawsepipe.model import Resource

HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}


def observation(identity: str, about: str = "ann", **more: Any) -> Resource:
    subject = {"reference": f"Patient/{about}"}
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"text": "x"},
        "subject": subject,
    } | more


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


async def test_start_and_end_bound_the_time_of_care(service: Any, ann: Resource) -> None:
    allergy = {"resourceType": "AllergyIntolerance", "id": "al", "patient": {"reference": "Patient/ann"}}
    dated = [observation(f"y{year}", effectiveDateTime=f"{year}-05-06") for year in (2019, 2020, 2021)]
    long = observation("long", effectivePeriod={"start": "2018", "end": "2020-01-01"})
    await service.put(ann, allergy, long, *dated)
    always = {"Patient/ann", "AllergyIntolerance/al"}
    for asked, ids in {
        "start=2020": {"y2020", "y2021", "long"},
        "end=2019": {"y2019", "long"},
        "start=2020-05-06&end=2020-05-06": {"y2020"},
        "start=2020-01-02&end=2020": {"y2020"},
        "start=2022": set(),
    }.items():
        for count in (1, 3, 50):
            seen = await everything(service, f"Patient/ann/$everything?{asked}&_count={count}")
            assert set(seen) == always | {f"Observation/{it}" for it in ids}, asked
            assert len(seen) == len(set(seen))


async def test_everything_brings_what_the_compartment_refers_to_once(service: Any, ann: Resource) -> None:
    clinic = {"resourceType": "Organization", "id": "clinic", "name": "Clinic"}
    nurse = {"resourceType": "Practitioner", "id": "nurse"}
    other = {"resourceType": "Practitioner", "id": "other"}
    binary: Resource = {"resourceType": "Binary", "id": "bin", "contentType": "text/plain", "data": "aGVq"}
    binary["securityContext"] = {"reference": "Patient/ann"}
    letter = {
        "resourceType": "DocumentReference",
        "id": "letter",
        "status": "current",
        "subject": {"reference": "Patient/ann"},
        "content": [{"attachment": {"url": "Binary/bin"}}],
    }
    bob = {**ann, "id": "bob", "generalPractitioner": [{"reference": "Practitioner/other"}]}
    seen_by = [{"reference": "Practitioner/nurse"}, {"reference": "Organization/clinic"}]
    await service.put(clinic, nurse, other, {**ann, "managingOrganization": {"reference": "Organization/clinic"}}, bob)
    await service.put(binary, letter, *(observation(f"o{number}", performer=seen_by) for number in range(3)))
    await service.put(observation("focus", focus=[{"reference": "Patient/bob"}, {"reference": "Observation/gone"}]))
    expected = {"Patient/ann", "Organization/clinic", "Practitioner/nurse", "Binary/bin", "DocumentReference/letter"}
    expected |= {"Observation/focus", *(f"Observation/o{number}" for number in range(3))}
    for count in (1, 2, 4, 50):
        seen = await everything(service, f"Patient/ann/$everything?_count={count}")
        assert sorted(seen) == sorted(expected), count
    assert await everything(service, "Patient/ann/$everything?_type=Practitioner") == ["Practitioner/nurse"]
    assert await everything(service, "Patient/ann/$everything?_type=Practitioner&_type=Organization&_count=1") == [
        "Organization/clinic",
        "Practitioner/nurse",
    ]


async def test_what_is_referred_to_and_hidden_is_as_if_it_were_not_there(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("o", derivedFrom=[{"reference": "Observation/b"}]), {**ann, "id": "bob"})
    media = {
        "resourceType": "Media",
        "id": "m",
        "status": "completed",
        "content": {"title": "x"},
        "subject": {"reference": "Patient/ann"},
    }
    before = await service.ask("GET", "Patient/ann/$everything")
    await service.put(observation("b", "bob"), {**media, "meta": {"security": [HIDDEN]}})
    after = await service.ask("GET", "Patient/ann/$everything")
    assert (before.status, before.body) == (after.status, after.body)


async def test_everything_takes_parameters_by_post_too(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("o"))
    sent = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueCode": "Observation"}]}
    answer = await service.ask("POST", "Patient/ann/$everything", sent)
    assert [it["resource"]["id"] for it in answer.json["entry"]] == ["o"]
    assert answer.json["link"][0]["url"].endswith("/Patient/ann/$everything?_type=Observation")
    number = {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 1}]}
    assert len((await service.ask("POST", "Patient/ann/$everything", number)).json["entry"]) == 1
    wrong = {"resourceType": "Parameters", "parameter": [{"name": "_count"}]}
    assert (await service.ask("POST", "Patient/ann/$everything", wrong)).status == 400
