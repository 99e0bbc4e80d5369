"""Conditional create and update (https://hl7.org/fhir/R4/http.html#ccreate, #cond-update)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hawsepipe.consent import matches
from hawsepipe.model import Resource


async def test_a_conditional_create_makes_one_resource_and_finds_it_again(service: Any, ann: Resource) -> None:
    first = await service.ask("POST", "Patient", ann, If_None_Exist="identifier=urn:oid:1.2.3|4711")
    assert first.status == 201
    second = await service.ask("POST", "Patient", ann, If_None_Exist="identifier=urn:oid:1.2.3|4711")
    assert (second.status, second.body) == (200, first.body)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["ETag"] == 'W/"1"'
    whole = await service.ask("POST", "Patient", ann, If_None_Exist="Patient?identifier=urn:oid:1.2.3%7C4711")
    assert whole.status == 200


async def test_a_conditional_create_with_several_matches_fails(service: Any, ann: Resource) -> None:
    await service.put(ann, {**ann, "id": "bob"})
    answer = await service.ask("POST", "Patient", ann, If_None_Exist="family=Lindqvist")
    assert answer.status == 412


async def test_parallel_conditional_creates_make_one_resource(service: Any, ann: Resource) -> None:
    answers = await asyncio.gather(
        *(service.ask("POST", "Patient", ann, If_None_Exist="identifier=4711") for _ in range(12))
    )
    assert sorted(answer.status for answer in answers) == [200] * 11 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert (await service.ask("GET", "Patient?identifier=4711&_total=accurate")).json["total"] == 1


@pytest.mark.parametrize("criteria", ["", "nonsense=1", "_count=1", "identifier=%ff", "family=a&_sort=family"])
async def test_criteria_that_cannot_be_kept_are_refused(service: Any, ann: Resource, criteria: str) -> None:
    assert (await service.ask("POST", "Patient", ann, If_None_Exist=criteria)).status == 400
    if criteria:
        sent = {name: value for name, value in ann.items() if name != "id"}
        assert (await service.ask("PUT", f"Patient?{criteria}", sent)).status == 400


async def test_a_condition_needs_the_scope_to_search(service: Any, ann: Resource) -> None:
    token = service.token(scopes=("user/Patient.cru",))
    assert (await service.ask("POST", "Patient", ann, token=token, If_None_Exist="identifier=4711")).status == 403


async def test_a_conditional_update_updates_the_match_or_creates(service: Any, ann: Resource) -> None:
    sent = {name: value for name, value in ann.items() if name != "id"}
    made = await service.ask("PUT", "Patient?identifier=4711", sent)
    assert (made.status, made.headers["ETag"]) == (201, 'W/"1"')
    changed = await service.ask("PUT", "Patient?identifier=4711", {**sent, "gender": "other"})
    assert (changed.status, changed.headers["ETag"]) == (200, 'W/"2"')
    assert changed.json["id"] == made.json["id"]
    named = await service.ask("PUT", "Patient?identifier=4711", {**sent, "id": made.json["id"], "gender": "male"})
    assert (named.status, named.headers["ETag"]) == (200, 'W/"3"')


async def test_a_conditional_update_refuses_another_id_several_matches_and_an_id_of_the_clients(
    service: Any, ann: Resource
) -> None:
    absent = await service.ask("PUT", "Patient?identifier=4711", ann)
    assert absent.status == 405
    await service.put({**ann, "id": "bob"})
    assert (await service.ask("PUT", "Patient?identifier=4711", ann)).status == 400
    await service.put(ann)
    sent = {name: value for name, value in ann.items() if name != "id"}
    assert (await service.ask("PUT", "Patient?identifier=4711", sent)).status == 412


async def test_parallel_conditional_updates_lose_nothing(service: Any, ann: Resource) -> None:
    sent = {name: value for name, value in ann.items() if name != "id"}
    answers = await asyncio.gather(
        *(
            service.ask("PUT", "Patient?identifier=4711", {**sent, "name": [{"family": f"L{number}"}]})
            for number in range(4)
        )
    )
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json["id"] for answer in answers}) == 1
    history = (await service.ask("GET", f"Patient/{answers[0].json['id']}/_history")).json
    assert {entry["resource"]["name"][0]["family"] for entry in history["entry"]} == {"L0", "L1", "L2", "L3"}


async def test_if_none_match_keeps_an_update_from_what_is_there(service: Any, ann: Resource) -> None:
    await service.put(ann)
    assert (await service.ask("PUT", "Patient/ann", ann, If_None_Match="*")).status == 412
    assert (await service.ask("PUT", "Patient/ann", ann, If_None_Match='W/"1"')).status == 400
    await service.ask("DELETE", "Patient/ann")
    assert (await service.ask("PUT", "Patient/ann", ann, If_None_Match="*")).status == 201
    assert (await service.ask("POST", "Patient", ann, If_None_Match="*")).status == 201


async def test_a_transaction_has_a_bound_of_criteria(
    service: Any, ann: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matches, "MOST", 2)
    entries = [
        {"resource": ann, "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier={number}"}}
        for number in range(3)
    ]
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await service.ask("POST", "", sent)
    assert (answer.status, answer.json["issue"][0]["expression"]) == (413, ["Bundle.entry[2]"])
    assert (await service.ask("POST", "", {**sent, "entry": entries[:2]})).status == 200


async def test_the_officer_finds_what_was_made_beside_a_hidden_match(service: Any, ann: Resource) -> None:
    hidden = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
    await service.put({**ann, "meta": {"security": [hidden]}})
    made = await service.ask("POST", "Patient", ann, If_None_Exist="identifier=4711")
    assert made.status == 201
    query = "Task?code=urn:hawsepipe:codes:task|possible-duplicate"
    assert "entry" not in (await service.ask("GET", query)).json
    found = (await service.ask("GET", query, token=service.token(roles=("privacy-officer",)))).json["entry"]
    assert found[0]["resource"]["focus"]["reference"] == f"Patient/{made.json['id']}"
    assert found[0]["resource"]["input"][0]["valueReference"]["reference"] == "Patient/ann"


async def test_as_much_is_written_whether_something_hidden_matches_or_not(service: Any, ann: Resource) -> None:
    # A receipt tells how large the log is: with a note about hidden matches alone, criteria would ask anything.
    hidden = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
    await service.put({**ann, "meta": {"security": [hidden]}})
    grown = []
    for interaction, criteria in (("create", "4711"), ("create", "4712"), ("update", "4711"), ("update", "4713")):
        before = await service.store.outbox_depth()
        other = {"resourceType": "Patient", "name": [{"family": criteria}]}
        if interaction == "create":
            answer = await service.ask("POST", "Patient", other, If_None_Exist=f"identifier={criteria}")
        else:
            answer = await service.ask("PUT", f"Patient?identifier={criteria}", other)
        assert answer.status == 201
        grown.append(await service.store.outbox_depth() - before)
    assert len(set(grown)) == 1
    officer = service.token(roles=("privacy-officer",))
    query = "Task?code=urn:hawsepipe:codes:task|possible-duplicate"
    assert len((await service.ask("GET", f"{query}&status=requested", token=officer)).json["entry"]) == 2
    assert all(
        "input" not in it["resource"]
        for it in (await service.ask("GET", f"{query}&status=completed", token=officer)).json["entry"]
    )


async def test_criteria_in_the_address_of_a_create_keep_it_from_making_a_second_one(
    service: Any, ann: Resource
) -> None:
    statuses = [(await service.ask("POST", "Patient?identifier=4711", ann)).status for _ in range(2)]
    assert statuses == [201, 200]
    assert (await service.ask("POST", "Patient?nothing=1", ann)).status == 400
    assert (await service.ask("POST", "Patient?_pretty=true", ann)).status == 201
    both = await service.ask(
        "POST", "Patient?identifier=4711", ann, If_None_Exist="identifier=9", Prefer="handling=strict"
    )
    assert both.status == 400
