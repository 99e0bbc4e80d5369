"""batch and transaction (https://hl7.org/fhir/R4/http.html#transaction)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hawsepipe.api import bundles
from hawsepipe.model import Resource

A, B = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", "urn:uuid:88f151c0-a954-468a-88bd-5ae15c08e059"
HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}


def entry(method: str, url: str, resource: Resource | None = None, name: str | None = None, **more: Any) -> Any:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **more}}
    if resource is not None:
        made["resource"] = resource
    if name is not None:
        made["fullUrl"] = name
    return made


def bundle(kind: str, *entries: Any) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def observation(subject: str, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **more,
    }


def statuses(answer: Any) -> list[str]:
    return [it["response"]["status"].partition(" ")[0] for it in answer.json["entry"]]


async def test_a_transaction_links_its_entries_and_answers_in_their_order(service: Any, ann: Resource) -> None:
    answer = await service.ask(
        "POST",
        "",
        bundle(
            "transaction",
            entry("POST", "Observation", observation(A), B),
            entry("POST", "Patient", ann, A),
            entry("GET", "Patient?identifier=4711"),
        ),
    )
    assert answer.status == 200, answer.body
    assert answer.json["type"] == "transaction-response"
    assert statuses(answer) == ["201", "201", "200"]
    made, patient, found = answer.json["entry"]
    assert patient["response"]["etag"] == 'W/"1"'
    assert patient["response"]["lastModified"].startswith("2026-")
    assert "resource" not in patient
    assert len(found["resource"]["entry"]) == 1
    read = await service.ask("GET", made["response"]["location"])
    reference = read.json["subject"]["reference"]
    assert patient["response"]["location"].endswith(f"{reference}/_history/1")


async def test_links_are_replaced_by_the_type_of_their_element_and_in_narratives(service: Any, ann: Resource) -> None:
    ann = {**ann, "identifier": [{"system": "urn:ietf:rfc:3986", "value": A}]}
    document = {
        "resourceType": "Basic",
        "code": {"text": "x"},
        "subject": {"reference": A},
        "extension": [{"url": "urn:x", "valueUri": A}, {"url": "urn:y", "valueString": A}],
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{A}">she</a> {A}</div>',
        },
    }
    sent = bundle("transaction", entry("POST", "Patient", ann, A), entry("POST", "Basic", document, B))
    answer = await service.ask("POST", "", sent, Prefer="return=representation")
    patient, basic = (it["resource"] for it in answer.json["entry"])
    reference = f"Patient/{patient['id']}"
    assert patient["identifier"][0]["value"] == A
    assert basic["subject"]["reference"] == reference
    assert [it.get("valueUri", it.get("valueString")) for it in basic["extension"]] == [reference, A]
    assert f'<a href="{reference}">she</a> {A}' in basic["text"]["div"]


async def test_relative_references_are_read_beside_the_fullurl(service: Any, ann: Resource) -> None:
    there = "http://elsewhere.example/fhir"
    sent = bundle(
        "transaction",
        entry("POST", "Patient", ann, f"{there}/Patient/7"),
        entry("POST", "Observation", observation("Patient/7"), f"{there}/Observation/8"),
    )
    answer = await service.ask("POST", "", sent, Prefer="return=representation")
    patient, made = (it["resource"] for it in answer.json["entry"])
    assert made["subject"]["reference"] == f"Patient/{patient['id']}"


async def test_a_transaction_is_all_or_nothing_and_names_the_entry(service: Any, ann: Resource) -> None:
    await service.put({**ann, "id": "bob"})
    bad = observation(A, status="purple")
    sent = bundle(
        "transaction",
        entry("DELETE", "Patient/bob"),
        entry("POST", "Patient", ann, A),
        entry("POST", "Observation", bad, B),
    )
    answer = await service.ask("POST", "", sent)
    assert answer.status == 422
    assert answer.json["issue"][0]["expression"] == ["Bundle.entry[2].resource.status"]
    assert (await service.ask("GET", "Patient/bob")).status == 200
    assert (await service.ask("GET", "Patient?identifier=4711&_total=accurate")).json["total"] == 1


async def test_a_transaction_is_one_commit_with_one_provenance(service: Any, ann: Resource) -> None:
    sent = bundle("transaction", entry("POST", "Patient", ann, A), entry("POST", "Observation", observation(A), B))
    answer = await service.ask("POST", "", sent)
    assert len({it["response"]["lastModified"] for it in answer.json["entry"]}) == 1
    found = (await service.ask("GET", "Provenance")).json["entry"]
    assert len(found) == 1
    assert len(found[0]["resource"]["target"]) == 2


async def test_deletes_go_before_creates_and_updates(service: Any, ann: Resource) -> None:
    await service.put(ann, {**ann, "id": "bob"})
    sent = bundle(
        "transaction",
        entry("PUT", "Patient/bob", {**ann, "id": "bob", "gender": "other"}),
        entry("POST", "Patient", ann),
        entry("DELETE", "Patient/ann"),
    )
    answer = await service.ask("POST", "", sent)
    assert statuses(answer) == ["200", "201", "204"]
    target = (await service.ask("GET", "Provenance")).json["entry"][0]["resource"]["target"]
    assert target[0]["reference"] == "Patient/ann/_history/2"
    assert target[2]["reference"] == "Patient/bob/_history/2"


async def test_two_entries_about_one_resource_are_an_error(service: Any, ann: Resource) -> None:
    await service.put(ann)
    for second in (
        entry("DELETE", "Patient/ann"),
        entry("DELETE", "Patient?identifier=4711"),
        entry("PUT", "Patient?identifier=4711", {**ann, "gender": "male"}),
        entry("POST", "Patient", ann, ifNoneExist="identifier=4711"),
    ):
        sent = bundle("transaction", entry("PUT", "Patient/ann", {**ann, "gender": "other"}), second)
        answer = await service.ask("POST", "", sent)
        assert answer.status == 400, second
        assert answer.json["issue"][0]["expression"][0].startswith("Bundle.entry["), answer.body
    same = entry("POST", "Patient", ann, ifNoneExist="identifier=4712")
    assert (await service.ask("POST", "", bundle("transaction", same, same))).status == 400
    assert (await service.ask("GET", "Patient/ann")).headers["ETag"] == 'W/"1"'


async def test_two_entries_with_one_fullurl_are_an_error(service: Any, ann: Resource) -> None:
    sent = bundle("transaction", entry("POST", "Patient", ann, A), entry("POST", "Observation", observation(A), A))
    answer = await service.ask("POST", "", sent)
    assert (answer.status, answer.json["issue"][0]["expression"]) == (400, ["Bundle.entry[1].fullUrl"])


async def test_conditional_references_are_resolved_over_the_state_before(service: Any, ann: Resource) -> None:
    await service.put(ann)
    sent = bundle("transaction", entry("POST", "Observation", observation("Patient?identifier=urn:oid:1.2.3%7C4711")))
    answer = await service.ask("POST", "", sent, Prefer="return=representation")
    assert answer.json["entry"][0]["resource"]["subject"]["reference"] == "Patient/ann"
    for criteria in ("Patient?identifier=nobody", "Patient?nonsense=1"):
        sent = bundle("transaction", entry("POST", "Observation", observation(criteria)))
        failed = await service.ask("POST", "", sent)
        assert failed.status in {400, 412}
        assert failed.json["issue"][0]["expression"][0].startswith("Bundle.entry[0]")


async def test_an_unresolved_name_is_an_error(service: Any) -> None:
    answer = await service.ask("POST", "", bundle("transaction", entry("POST", "Observation", observation(A))))
    assert answer.status == 400
    assert answer.json["issue"][0]["expression"] == ["Bundle.entry[0].resource.subject"]


async def test_a_conditional_create_in_a_transaction_links_to_what_it_finds(service: Any, ann: Resource) -> None:
    sent = bundle(
        "transaction",
        entry("POST", "Patient", ann, A, ifNoneExist="identifier=4711"),
        entry("POST", "Observation", observation(A), B, ifNoneExist=f"subject={A}"),
    )
    first = await service.ask("POST", "", sent)
    assert statuses(first) == ["201", "201"]
    second = await service.ask("POST", "", sent)
    assert statuses(second) == ["200", "200"]
    assert [it["response"]["location"] for it in second.json["entry"]] == [
        it["response"]["location"] for it in first.json["entry"]
    ]


async def test_parallel_transactions_with_one_condition_make_one_resource(service: Any, ann: Resource) -> None:
    sent = bundle(
        "transaction",
        entry("POST", "Patient", ann, A, ifNoneExist="identifier=4711"),
        entry("POST", "Observation", observation(A), B),
    )
    answers = await asyncio.gather(*(service.ask("POST", "", sent) for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    assert (await service.ask("GET", "Patient?_total=accurate")).json["total"] == 1
    found = (await service.ask("GET", "Observation")).json["entry"]
    assert len({it["resource"]["subject"]["reference"] for it in found}) == 1
    assert len(found) == 5


async def test_patches_in_a_transaction(service: Any, ann: Resource) -> None:
    await service.put(ann)
    patch = base64.b64encode(b'[{"op":"replace","path":"/gender","value":"other"}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    answer = await service.ask("POST", "", bundle("transaction", entry("PATCH", "Patient/ann", binary)))
    assert statuses(answer) == ["200"]
    part = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.gender"},
        {"name": "value", "valueCode": "male"},
    ]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    sent = bundle("transaction", entry("PATCH", "Patient/ann", parameters, ifMatch='W/"2"'))
    assert statuses(await service.ask("POST", "", sent)) == ["200"]
    assert (await service.ask("GET", "Patient/ann")).json["gender"] == "male"


async def test_a_batch_answers_each_entry_alone(service: Any, ann: Resource) -> None:
    await service.put(ann)
    sent = bundle(
        "batch",
        entry("GET", "Patient/ann"),
        entry("GET", "Patient/nobody"),
        entry("POST", "Patient", {**ann, "gender": "purple"}),
        entry("PUT", "Patient/ann", {**ann, "gender": "other"}, ifMatch='W/"9"'),
        entry("DELETE", "Patient/ann"),
        entry("GET", "https://fhir.example.org/fhir/Patient/ann"),
        {"request": {"method": "GET"}},
        entry("POST", "", bundle("batch")),
        entry("GET", "Patient?_id=ann"),
    )
    answer = await service.ask("POST", "", sent)
    assert answer.json["type"] == "batch-response"
    assert statuses(answer) == ["200", "404", "422", "412", "204", "410", "400", "400", "200"]
    assert answer.json["entry"][0]["resource"]["id"] == "ann"
    assert answer.json["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert "resource" not in answer.json["entry"][1]


async def test_decimals_survive_a_transaction(service: Any, ann: Resource) -> None:
    body = (
        b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Observation","status":'
        b'"final","code":{"text":"x"},"subject":{"reference":"Patient/ann"},"valueQuantity":{"value":1.00}},'
        b'"request":{"method":"POST","url":"Observation"}}]}'
    )
    await service.put(ann)
    answer = await service.ask("POST", "", body, Content_Type="application/fhir+json", Prefer="return=representation")
    assert b'"value":1.00}' in answer.body


@pytest.mark.parametrize(
    "sent",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle", "type": "transaction", "entry": {}},
        bundle("transaction", {}),
        bundle("transaction", entry("BREW", "Patient")),
        bundle("transaction", entry("POST", "Patient")),
        bundle("transaction", entry("POST", "http://elsewhere.example/Patient", {"resourceType": "Patient"})),
        bundle("transaction", entry("GET", "Patient?a=%ff")),
    ],
)
async def test_what_is_no_bundle_to_process_is_an_invalid_request(service: Any, sent: Resource) -> None:
    answer = await service.ask("POST", "", sent)
    assert answer.status == 400, answer.body


async def test_each_entry_needs_its_own_scope(service: Any, ann: Resource) -> None:
    token = service.token(scopes=("user/Patient.cruds",))
    sent = bundle("transaction", entry("POST", "Patient", ann, A), entry("POST", "Observation", observation(A), B))
    answer = await service.ask("POST", "", sent, token=token)
    assert answer.status == 403
    assert answer.json["issue"][0]["expression"] == ["Bundle.entry[1]"]
    assert (await service.ask("GET", "Patient?_total=accurate")).json["total"] == 0
    apart = bundle("batch", entry("POST", "Patient", ann, A), entry("POST", "Observation", observation("Patient/x"), B))
    assert statuses(await service.ask("POST", "", apart, token=token)) == ["201", "403"]


async def test_hidden_and_absent_are_one_in_every_entry(service: Any, ann: Resource) -> None:
    await service.put({**ann, "id": "hide", "identifier": [{"value": "hide"}], "meta": {"security": [HIDDEN]}})
    makers: list[Callable[[str], Any]] = [
        lambda it: entry("GET", f"Patient/{it}"),
        lambda it: entry("DELETE", f"Patient/{it}"),
        lambda it: entry("DELETE", f"Patient?identifier={it}"),
        lambda it: entry("DELETE", f"Patient/{it}", ifMatch='W/"1"'),
        lambda it: entry("PUT", f"Patient/{it}", {**ann, "id": it}),
        lambda it: entry("PATCH", f"Patient/{it}", {"resourceType": "Parameters", "parameter": []}),
    ]
    linked = bundle("transaction", entry("POST", "Observation", observation("Patient?identifier=ID")))
    asked = [bundle("batch", *(make("ID") for make in makers)), linked]
    asked += [bundle("transaction", make("ID")) for make in makers]
    for sent in asked:
        texts = []
        for identity in ("hide", "lack"):
            body = msgspec.json.encode(sent).replace(b"ID", identity.encode())
            answer = await service.ask("POST", "", body, Content_Type="application/fhir+json")
            texts.append(f"{answer.status} {answer.body!r}".replace(identity, "ID"))
        assert texts[0] == texts[1]
    assert (await service.store.read("Patient", "hide")).version == 1


async def test_the_entries_of_a_batch_do_not_refer_to_each_other(service: Any, ann: Resource) -> None:
    name = "urn:uuid:0d1c6a2e-3a0e-4b1c-9d0f-5d8f8a8e2f01"
    seen = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": name},
    }
    entries: list[dict[str, Any]] = [
        {"fullUrl": name, "resource": {**ann}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": seen, "request": {"method": "POST", "url": "Observation"}},
    ]
    for listed in (entries, entries[::-1]):
        answer = await service.ask("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": listed})
        told = {it["request"]["url"]: got["response"] for it, got in zip(listed, answer.json["entry"], strict=True)}
        assert told["Patient"]["status"] == "201 Created"
        assert told["Observation"]["status"] == "400 Bad Request"
        place = listed.index(entries[1])
        assert told["Observation"]["outcome"]["issue"][0]["expression"] == [f"Bundle.entry[{place}].resource.subject"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_bundle_has_a_bound_of_searches(service: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(bundles, "MOST_SEARCHES", 2)
    urls = ("Patient?name=a", "Patient", "Patient/1/$everything")
    asked = [{"request": {"method": "GET", "url": url}} for url in urls]
    reads = [{"request": {"method": "GET", "url": f"Patient/{number}"}} for number in range(5)]
    sent = {"resourceType": "Bundle", "type": kind}
    assert (await service.ask("POST", "", {**sent, "entry": [*asked, *reads]})).status == 413
    if kind == "batch":
        assert (await service.ask("POST", "", {**sent, "entry": [*asked[:2], *reads]})).status == 200
