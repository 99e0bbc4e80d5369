"""search by GET and POST, its links and its pages (https://hl7.org/fhir/R4/http.html#search)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hawsepipe.model import Resource


def link(bundle: Any, relation: str) -> str | None:
    return next((it["url"] for it in bundle["link"] if it["relation"] == relation), None)


def ids(bundle: Any) -> list[str]:
    return [it["resource"]["id"] for it in bundle.get("entry", []) if it["search"]["mode"] == "match"]


def people(count: int) -> list[Resource]:
    return [
        {
            "resourceType": "Patient",
            "id": f"p{number}",
            "name": [{"family": f"Öberg {number % 3}"}],
            "birthDate": f"19{50 + number}-01-01",
        }
        for number in range(count)
    ]


async def test_a_search_answers_with_a_searchset_of_stored_content(service: Any, ann: Resource) -> None:
    await service.put(ann, *people(2))
    answer = await service.ask("GET", "Patient?family=lind&birthdate=1970-01-01")
    assert answer.status == 200
    bundle = answer.json
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    assert ids(bundle) == ["ann"]
    assert bundle["entry"][0]["fullUrl"] == "https://fhir.example.org/fhir/Patient/ann"
    stored = await service.store.read("Patient", "ann")
    assert stored.content in answer.body
    assert link(bundle, "next") is None


async def test_the_self_link_shows_what_was_used_and_an_outcome_names_the_rest(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = await service.ask("GET", "Patient?family=Lindqvist&shoesize=42&_pretty=true")
    bundle = answer.json
    used = dict(parse_qsl(urlsplit(link(bundle, "self") or "").query))
    assert used["family"] == "Lindqvist"
    assert "shoesize" not in used
    told = [it for it in bundle["entry"] if it["search"]["mode"] == "outcome"]
    assert len(told) == 1
    assert "shoesize" in str(told[0]["resource"])
    assert "42" not in str(told[0]["resource"])
    strict = await service.ask("GET", "Patient?family=Lindqvist&shoesize=42", Prefer="handling=strict")
    assert strict.status == 400


async def test_post_search_is_the_same_search_and_merges_the_address(service: Any, ann: Resource) -> None:
    await service.put(ann, *people(3))
    form = "application/x-www-form-urlencoded"
    answer = await service.ask("POST", "Patient/_search", b"family=Lindqvist", Content_Type=form)
    assert ids(answer.json) == ["ann"]
    both = await service.ask("POST", "Patient/_search?birthdate=1970", b"family=%C3%96berg", Content_Type=form)
    assert ids(both.json) == []
    assert (await service.ask("POST", "Patient/_search", b"{}", Content_Type="application/json")).status == 415
    xml = await service.ask("POST", "Patient/_search", b"_format=xml", Content_Type=form)
    assert xml.body.startswith(b"<?xml")
    turtle = await service.ask("POST", "Patient/_search", b"_format=ttl", Content_Type=form)
    assert turtle.status == 406


async def test_pages_hold_every_entry_once(service: Any) -> None:
    await service.put(*people(7))
    for query in ("Patient?_count=3", "Patient?_count=3&_sort=family", "Patient?_count=2&_sort=-birthdate"):
        seen: list[str] = []
        address: str | None = query
        while address is not None:
            answer = await service.ask("GET", address)
            assert answer.status == 200
            seen += ids(answer.json)
            address = link(answer.json, "next")
        assert sorted(seen) == [f"p{number}" for number in range(7)]
        assert len(seen) == 7


async def test_a_next_link_shows_no_search_value_and_works_for_nobody_else(service: Any) -> None:
    await service.put(*people(4))
    form = "application/x-www-form-urlencoded"
    first = await service.ask("POST", "Patient/_search", b"family=%C3%96berg&_count=2", Content_Type=form)
    onward = link(first.json, "next")
    assert onward is not None
    assert "berg" not in onward
    second = await service.ask("GET", onward)
    assert len(ids(second.json)) == 2
    assert set(ids(first.json)).isdisjoint(ids(second.json))
    for token in (service.token(subject="Practitioner/2"), service.token(client="b"), service.token(purpose="HRESCH")):
        assert (await service.ask("GET", onward, token=token)).status == 400
    assert (await service.ask("GET", onward.replace("/Patient?", "/Observation?"))).status == 400
    assert (await service.ask("GET", onward + "&family=x")).status == 400
    assert (await service.ask("GET", "Patient?_cursor=AAAA")).status == 400


async def test_a_bad_value_is_an_invalid_request_that_names_the_parameter(service: Any) -> None:
    answer = await service.ask("GET", "Patient?birthdate=yesterday")
    assert answer.status == 400
    assert "birthdate" in str(answer.json)
    assert "yesterday" not in str(answer.json)


async def test_a_search_answers_as_if_the_hidden_did_not_exist(service: Any, ann: Resource) -> None:
    await service.put(*people(2))
    before = await service.ask(
        "GET", "Patient?_count=10&_total=accurate", token=service.token(subject="Practitioner/2")
    )
    consent = {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/ann"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]},
    }
    await service.put(ann, consent)
    after = await service.ask("GET", "Patient?_count=10&_total=accurate", token=service.token(subject="Practitioner/2"))
    assert after.body == before.body
    assert before.json["total"] == 2


@pytest.mark.parametrize(
    "name",
    ["_contained", "_filter", "_query", "_score", "nonsense", "_has:Observation:nonsense:code", "link.nonsense"],
)
async def test_what_a_search_does_not_do_is_told_in_the_answer(service: Any, ann: Resource, name: str) -> None:
    await service.put(ann)
    value = {"_contained": "true"}.get(name, "name")
    bundle = (await service.ask("GET", f"Patient?{name}={value}&gender=female")).json
    modes = [entry["search"]["mode"] for entry in bundle["entry"]]
    assert sorted(modes) == ["match", "outcome"]
    told = bundle["entry"][modes.index("outcome")]["resource"]["issue"]
    assert [(issue["severity"], issue["code"]) for issue in told] == [("warning", "not-supported")]
    assert name in told[0]["diagnostics"]
    assert bundle["link"][0]["url"].endswith("Patient?gender=female")
    strict = await service.ask("GET", f"Patient?{name}={value}", Prefer="handling=strict")
    assert strict.status == 400
