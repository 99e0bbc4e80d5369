"""search beyond one type: chains, includes, compartments, the system; hidden is hidden at every hop."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

CLOSED: Resource = {
    "resourceType": "Consent",
    "id": "closed",
    "status": "active",
    "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
    "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
    "patient": {"reference": "Patient/eve"},
    "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]},
}


def observation(id_: str, patient: str, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1"}]},
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


def patient(id_: str, family: str, **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": id_, "name": [{"family": family}], **more}


@pytest.fixture
async def ward(service: Any) -> Any:
    """Ann and Eve, with what belongs to them; Eve wants nobody to see hers."""
    await service.put(
        {"resourceType": "Organization", "id": "north", "name": "North"},
        {"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Who"}]},
    )
    await service.put(
        patient("ann", "Lind", managingOrganization={"reference": "Organization/north"}),
        patient("eve", "Lund", managingOrganization={"reference": "Organization/north"}),
    )
    encounter = {"resourceType": "Encounter", "id": "visit", "status": "finished", "class": {"code": "AMB"},
                 "subject": {"reference": "Patient/ann"}}  # fmt: skip
    await service.put(encounter)
    await service.put(
        observation("a1", "ann", encounter={"reference": "Encounter/visit"}),
        observation("a2", "ann", performer=[{"reference": "Practitioner/dr"}]),
        observation("e1", "eve"),
        {"resourceType": "Device", "id": "pump", "patient": {"reference": "Patient/ann"}},
    )
    return service


async def found(service: Any, query: str, **headers: str) -> dict[str, list[str]]:
    answer = await service.ask("GET", query, **headers)
    assert answer.status == 200, answer.body
    modes: dict[str, list[str]] = {"match": [], "include": [], "outcome": []}
    for entry in answer.json.get("entry", []):
        resource = entry["resource"]
        modes[entry["search"]["mode"]].append(f"{resource['resourceType']}/{resource.get('id')}")
    return modes


async def test_a_hidden_intermediate_gives_no_match(ward: Any) -> None:
    ways = (
        "Observation?patient.name=lund",
        "Organization?_has:Patient:organization:name=lund",
        "Organization?_has:Patient:organization:_has:Observation:patient:_id=e1",
        "Observation?subject:Patient.organization.name=north&_id=e1",
    )
    before = [len((await found(ward, way))["match"]) for way in ways]
    assert before == [1, 1, 1, 1]
    await ward.put(CLOSED)
    for way in ways:
        answer = await ward.ask("GET", way + "&_total=accurate")
        assert (answer.json["total"], answer.json.get("entry")) == (0, None), way


async def test_what_is_included_is_told_apart_not_counted_and_seen_by_consent(ward: Any) -> None:
    query = "Organization?_id=north&_revinclude=Patient:organization&_revinclude:iterate=Observation:patient"
    answer = await ward.ask("GET", query + "&_total=accurate&_count=1")
    assert answer.json["total"] == 1
    assert (await found(ward, query))["include"] == [
        "Observation/a1", "Observation/a2", "Observation/e1", "Patient/ann", "Patient/eve"
    ]  # fmt: skip
    await ward.put(CLOSED)
    modes = await found(ward, query)
    assert modes["match"] == ["Organization/north"]
    assert modes["include"] == ["Observation/a1", "Observation/a2", "Patient/ann"]


async def test_an_include_does_not_iterate_unless_it_is_told_to(ward: Any) -> None:
    once = await found(ward, "Observation?_id=a1&_include=Observation:subject&_include=Patient:organization")
    assert once["include"] == ["Patient/ann"]
    again = await found(ward, "Observation?_id=a1&_include=Observation:subject&_include:iterate=Patient:organization")
    assert again["include"] == ["Organization/north", "Patient/ann"]


async def test_includes_come_with_every_page_and_survive_sorting(ward: Any) -> None:
    query = "Observation?_sort=-_lastUpdated&_count=1&_include=Observation:patient&_include=Observation:encounter"
    seen: list[str] = []
    address: str | None = query
    while address is not None:
        answer = await ward.ask("GET", address)
        modes = await found(ward, address)
        assert len(modes["match"]) == 1
        assert "Patient/ann" in modes["include"] or "Patient/eve" in modes["include"]
        seen += modes["match"]
        address = next((it["url"] for it in answer.json["link"] if it["relation"] == "next"), None)
    assert sorted(seen) == ["Observation/a1", "Observation/a2", "Observation/e1"]


async def test_a_type_narrows_an_include_and_a_wildcard_widens_it(ward: Any) -> None:
    typed = await found(ward, "Observation?patient=ann&_include=Observation:performer:Practitioner")
    assert typed["include"] == ["Practitioner/dr"]
    none = await found(ward, "Observation?patient=ann&_include=Observation:performer:Organization")
    assert none["include"] == []
    wild = await found(ward, "Observation?patient=ann&_include=*")
    assert wild["include"] == ["Encounter/visit", "Patient/ann", "Practitioner/dr"]
    back = await found(ward, "Patient?_id=ann&_revinclude=*")
    assert set(back["include"]) >= {"Observation/a1", "Observation/a2", "Encounter/visit", "Device/pump"}


async def test_an_include_that_is_none_is_refused_or_told(ward: Any) -> None:
    lenient = await found(ward, "Observation?_include=Observation:nonsense&_id=a1")
    assert lenient["outcome"] == ["OperationOutcome/None"]
    strict = await ward.ask("GET", "Observation?_include=Observation:nonsense", Prefer="handling=strict")
    assert strict.status == 400
    assert (await ward.ask("GET", "Observation?_include=Observation:code")).status == 400


async def test_a_compartment_is_searched_by_all_its_ways(ward: Any) -> None:
    assert (await found(ward, "Patient/ann/Observation"))["match"] == ["Observation/a1", "Observation/a2"]
    assert (await found(ward, "Patient/ann/Observation?_id=a2"))["match"] == ["Observation/a2"]
    assert (await found(ward, "Practitioner/dr/Observation"))["match"] == ["Observation/a2"]
    assert (await found(ward, "Encounter/visit/Observation"))["match"] == ["Observation/a1"]
    assert (await found(ward, "Patient/nobody/Observation"))["match"] == []
    everything = (await found(ward, "Patient/ann/*"))["match"]
    assert set(everything) >= {"Encounter/visit", "Observation/a1", "Observation/a2"}
    assert not any(name.startswith("Organization/") for name in everything)
    assert (await ward.ask("GET", "Patient/ann/Organization")).status == 400
    assert (await ward.ask("GET", "Organization/north/Patient")).status == 404
    await ward.put(CLOSED)
    assert (await found(ward, "Patient/eve/Observation"))["match"] == []


async def test_a_search_of_the_system_pages_through_types(ward: Any) -> None:
    for count in (1, 3, 50):
        seen: list[str] = []
        address: str | None = f"?_type=Patient,Observation,Organization&_count={count}&_total=accurate"
        while address is not None:
            answer = await ward.ask("GET", address)
            assert answer.status == 200, answer.body
            assert answer.json["total"] == 6
            assert 0 < len(answer.json["entry"]) <= count
            seen += [it["resource"]["id"] for it in answer.json["entry"]]
            address = next((it["url"] for it in answer.json["link"] if it["relation"] == "next"), None)
        assert sorted(seen) == ["a1", "a2", "ann", "e1", "eve", "north"]
    assert (await found(ward, "?_id=ann,a1"))["match"] == ["Observation/a1", "Patient/ann"]
    answer = await ward.ask("POST", "_search", b"_type=Patient&family=lind",
                            Content_Type="application/x-www-form-urlencoded")  # fmt: skip
    assert [it["resource"]["id"] for it in answer.json["entry"]] == ["ann"]


async def test_the_system_takes_the_parameters_that_all_types_have(ward: Any) -> None:
    both = await found(ward, "?_type=Patient,Observation&family=lind&_id=ann,a1")
    assert both["match"] == ["Patient/ann", "Observation/a1"]
    assert both["outcome"] == ["OperationOutcome/None"]
    strict = await ward.ask("GET", "?_type=Patient,Observation&family=lind", Prefer="handling=strict")
    assert strict.status == 400
    assert (await ward.ask("GET", "?_type=Nothing")).status == 400
    sorted_ = await ward.ask("GET", "?_type=Patient,Observation&_sort=_lastUpdated", Prefer="handling=strict")
    assert sorted_.status == 400


async def test_the_system_is_searched_within_the_scopes(ward: Any) -> None:
    narrow = ward.token(scopes=("user/Patient.rs",))
    answer = await ward.ask("GET", "?_id=ann,a1", token=narrow)
    assert [it["resource"]["id"] for it in answer.json["entry"]] == ["ann"]
    chained = await ward.ask("GET", "Patient?_has:Observation:patient:code=1", token=narrow)
    assert chained.json.get("entry") is None


async def test_a_list_gives_what_it_holds_if_it_is_seen(ward: Any) -> None:
    entry = [{"item": {"reference": f"Patient/{name}"}} for name in ("ann", "eve")]
    for name in ("ann", "eve"):
        listed = {"resourceType": "List", "id": f"of-{name}", "status": "current", "mode": "working",
                  "subject": {"reference": f"Patient/{name}"}, "entry": entry}  # fmt: skip
        await ward.put(listed)
        assert (await found(ward, f"Patient?_list=of-{name}"))["match"] == ["Patient/ann", "Patient/eve"]
    await ward.put(CLOSED)
    assert (await found(ward, "Patient?_list=of-ann"))["match"] == ["Patient/ann"]
    assert (await found(ward, "Patient?_list=of-eve"))["match"] == []
