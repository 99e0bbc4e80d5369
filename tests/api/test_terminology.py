"""$expand, $validate-code, $lookup, $subsumes, $translate over HTTP, on what is loaded and on R4's tables."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hawsepipe.api import shelved, terminology
from hawsepipe.fhir import code_systems, definitions, value_sets
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Resource

FOOD = "http://example.org/food"
GENDER = "http://hl7.org/fhir/administrative-gender"
NO_PURPOSE = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}


def concept(code: str, display: str, *below: Resource, **more: Any) -> Resource:
    return {"code": code, "display": display, **({"concept": list(below)} if below else {}), **more}


def flag(name: str) -> list[Resource]:
    return [{"code": name, "valueBoolean": True}]


SYSTEM: Resource = {
    "resourceType": "CodeSystem",
    "id": "food",
    "url": FOOD,
    "version": "2",
    "name": "Food",
    "status": "active",
    "caseSensitive": False,
    "content": "complete",
    "concept": [
        concept(
            "fruit",
            "Fruit",
            concept(
                "apple",
                "Apple",
                concept("boskoop", "Apple, Boskoop"),
                designation=[{"language": "de", "value": "Apfel"}],
                property=[{"code": "colour", "valueString": "red"}],
            ),
            concept("pear", "Pear", property=flag("inactive")),
            property=flag("notSelectable"),
        ),
        concept("bread", "Bread"),
    ],
}


def value_set(identity: str = "some", exclude: list[Resource] | None = None, **include: Any) -> Resource:
    compose = {"include": [include], **({"exclude": exclude} if exclude else {})}
    url = f"http://example.org/vs/{identity}"
    return {"resourceType": "ValueSet", "id": identity, "url": url, "status": "active", "compose": compose}


def filtered(property: str, op: str, value: str) -> Resource:
    return value_set(system=FOOD, filter=[{"property": property, "op": op, "value": value}])


def parameters(**given: Any) -> Resource:
    keys = {dict: "valueCoding", bool: "valueBoolean", str: "valueString"}
    listed = [
        {"name": name, "resource" if isinstance(it, dict) and "resourceType" in it else keys[type(it)]: it}
        for name, it in given.items()
    ]
    return {"resourceType": "Parameters", "parameter": listed}


async def told(service: Any, path: str, sent: Resource | None = None) -> dict[str, Any]:
    """Return the parameters of an answer."""
    answer = await service.ask("GET" if sent is None else "POST", path, sent)
    assert answer.status == 200, answer.body
    assert not Validator(definitions.load()).check(answer.json)
    return {
        it["name"]: next(value for key, value in it.items() if key.startswith(("value", "part")))
        for it in answer.json["parameter"]
    }


def codes(expansion: Any) -> list[str]:
    return [it["code"] for it in expansion.get("contains", ())]


async def expanded(service: Any, query: str = "", sent: Resource | None = None) -> Any:
    path = f"ValueSet/$expand{query}"
    answer = await service.ask("GET" if sent is None else "POST", path, sent)
    assert answer.status == 200, answer.body
    assert not Validator(definitions.load()).check(answer.json)
    return answer.json["expansion"]


async def test_an_expansion_stands_in_the_hierarchy_of_its_codes(service: Any) -> None:
    await service.put(SYSTEM, value_set(system=FOOD))
    found = await expanded(service, "?url=http://example.org/vs/some")
    assert (found["total"], codes(found)) == (5, ["fruit", "bread"])
    fruit = found["contains"][0]
    assert fruit["abstract"] is True
    assert [it["code"] for it in fruit["contains"]] == ["apple", "pear"]
    assert fruit["contains"][1]["inactive"] is True
    assert fruit["contains"][0]["contains"] == [
        {"system": FOOD, "version": "2", "code": "boskoop", "display": "Apple, Boskoop"}
    ]
    flat = await expanded(service, "?url=http://example.org/vs/some&excludeNested=true&activeOnly=true")
    assert codes(flat) == ["fruit", "apple", "boskoop", "bread"]
    assert (await service.ask("GET", "ValueSet/some/$expand")).json["expansion"]["total"] == 5
    assert (await service.ask("GET", "ValueSet/$expand?url=http://nowhere")).status == 404


async def test_an_expansion_is_filtered_and_paged(service: Any) -> None:
    await service.put(SYSTEM, value_set(system=FOOD))
    base = "?url=http://example.org/vs/some"
    assert codes(await expanded(service, f"{base}&filter=app")) == ["apple", "boskoop"]
    assert codes(await expanded(service, f"{base}&filter=bosk%20app")) == ["boskoop"]
    pages = [codes(await expanded(service, f"{base}&count=2&offset={offset}")) for offset in (0, 2, 4, 6)]
    assert pages == [["fruit", "apple"], ["boskoop", "pear"], ["bread"], []]
    nothing = await expanded(service, f"{base}&count=0")
    assert (nothing["total"], "contains" in nothing) == (5, False)
    german = await expanded(service, f"{base}&count=2&displayLanguage=de&includeDesignations=true")
    assert german["contains"][1]["display"] == "Apfel"
    assert german["contains"][1]["designation"] == [{"language": "de", "value": "Apfel"}]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (filtered("concept", "is-a", "apple"), ["apple", "boskoop"]),
        (filtered("concept", "descendent-of", "fruit"), ["apple", "boskoop", "pear"]),
        (filtered("concept", "is-not-a", "fruit"), ["bread"]),
        (filtered("concept", "generalizes", "boskoop"), ["fruit", "apple", "boskoop"]),
        (filtered("colour", "=", "red"), ["apple"]),
        (filtered("colour", "in", "green, red"), ["apple"]),
        (filtered("colour", "exists", "false"), ["fruit", "boskoop", "pear", "bread"]),
        (filtered("code", "not-in", "fruit,bread"), ["apple", "boskoop", "pear"]),
        (filtered("parent", "=", "fruit"), ["apple", "pear"]),
        (value_set(system=FOOD, concept=[{"code": "bread", "display": "Loaf"}, {"code": "cake"}]), ["bread", "cake"]),
        (
            value_set(exclude=[{"system": FOOD, "concept": [{"code": "bread"}]}], system=FOOD),
            ["fruit", "apple", "boskoop", "pear"],
        ),
        (value_set(valueSet=[f"{FOOD}?fhir_vs=isa/apple"]), ["apple", "boskoop"]),
        (value_set(system=FOOD, valueSet=[f"{FOOD}?fhir_vs", f"{FOOD}?fhir_vs=isa/apple"]), ["apple", "boskoop"]),
    ],
)
async def test_a_value_set_is_what_its_definition_says(service: Any, sent: Resource, expected: list[str]) -> None:
    await service.put(SYSTEM)
    assert codes(await expanded(service, "?excludeNested=true", parameters(valueSet=sent))) == expected
    assert codes(await expanded(service, "?excludeNested=true", sent)) == expected


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (value_set(system="http://nowhere"), "not-found"),
        (value_set(valueSet=["http://nowhere"]), "not-found"),
        (filtered("code", "regex", "(a+)+b"), "not-supported"),
        (value_set(valueSet=["http://example.org/vs/circle"]), "processing"),
        (value_set(system="http://hl7.org/fhir/account-status"), "too-costly"),
    ],
)
async def test_what_cannot_be_expanded_is_said_to_be_so(service: Any, sent: Resource, cause: str) -> None:
    await service.put(SYSTEM, value_set("circle", valueSet=["http://example.org/vs/circle"]))
    answer = await service.ask("POST", "ValueSet/$expand", sent)
    assert (answer.status, answer.json["issue"][0]["code"]) == (422, cause)


async def test_an_expansion_does_not_take_any_amount_of_work(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # A client writes the value set that it has expanded: each filter looks at every code of the system.
    monkeypatch.setattr(value_sets, "_MOST_LOOKS", 50)
    await service.put(SYSTEM)
    filters = [{"property": "concept", "op": "is-a", "value": "fruit"}]
    assert (await service.ask("POST", "ValueSet/$expand", value_set(system=FOOD, filter=filters))).status == 200
    answer = await service.ask("POST", "ValueSet/$expand", value_set(system=FOOD, filter=filters * 20))
    assert (answer.status, answer.json["issue"][0]["code"]) == (422, "too-costly")


async def test_the_value_sets_of_r4_are_there(service: Any) -> None:
    found = await expanded(service, "?url=http://hl7.org/fhir/ValueSet/administrative-gender")
    assert sorted(codes(found)) == ["female", "male", "other", "unknown"]
    base = "ValueSet/$validate-code?url=http://hl7.org/fhir/ValueSet/administrative-gender"
    assert (await told(service, f"{base}&code=male&system={GENDER}"))["result"] is True
    assert (await told(service, f"{base}&code=male"))["result"] is True
    assert (await told(service, f"{base}&code=man&system={GENDER}"))["result"] is False
    act = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
    assert await told(service, f"CodeSystem/$subsumes?system={act}&codeA=TREAT&codeB=ETREAT") == {"outcome": "subsumes"}


async def test_a_code_is_validated_in_a_value_set(service: Any) -> None:
    await service.put(SYSTEM, filtered("concept", "is-a", "fruit"))
    base = f"ValueSet/some/$validate-code?system={FOOD}"
    assert await told(service, f"{base}&code=apple") == {"result": True, "display": "Apple"}
    assert (await told(service, f"{base}&code=apple&display=apfel"))["result"] is True
    wrong = await told(service, f"{base}&code=apple&display=Cake")
    assert (wrong["result"], wrong["display"]) == (False, "Apple")
    assert (await told(service, f"{base}&code=bread"))["result"] is False
    assert (await told(service, f"{base}&code=fruit"))["result"] is False
    assert (await told(service, f"{base}&code=fruit&abstract=true"))["result"] is True
    assert "inactive" in (await told(service, f"{base}&code=pear"))["message"]
    coded = {"coding": [{"system": FOOD, "code": "bread"}, {"system": FOOD, "code": "apple"}]}
    listed = [{"name": "codeableConcept", "valueCodeableConcept": coded}]
    sent = {"resourceType": "Parameters", "parameter": listed}
    assert (await told(service, "ValueSet/some/$validate-code", sent))["result"] is True
    assert (await service.ask("GET", "ValueSet/some/$validate-code")).status == 400


async def test_a_code_is_validated_in_a_code_system(service: Any) -> None:
    await service.put(SYSTEM)
    base = f"CodeSystem/$validate-code?url={FOOD}"
    assert await told(service, f"{base}&code=APPLE") == {"result": True, "display": "Apple"}
    assert (await told(service, f"{base}&code=cake"))["result"] is False
    sent = parameters(coding={"system": FOOD, "code": "pear", "display": "Pear"})
    assert (await told(service, "CodeSystem/$validate-code", sent))["result"] is True
    assert (await told(service, "CodeSystem/food/$validate-code?code=bread"))["result"] is True
    assert (await service.ask("GET", "CodeSystem/$validate-code?url=http://nowhere&code=x")).status == 404


async def test_lookup_tells_what_is_known_of_a_code(service: Any) -> None:
    await service.put(SYSTEM)
    answer = await service.ask("GET", f"CodeSystem/$lookup?system={FOOD}&code=apple")
    held = answer.json["parameter"]
    plain = {it["name"]: it.get("valueString") for it in held if "part" not in it}
    assert plain == {"name": "Food", "version": "2", "display": "Apple"}
    properties = [
        tuple(next(value for key, value in part.items() if key != "name") for part in it["part"])
        for it in held
        if it["name"] == "property"
    ]
    assert properties == [("inactive", False), ("parent", "fruit"), ("child", "boskoop"), ("colour", "red")]
    some = await service.ask("GET", f"CodeSystem/$lookup?system={FOOD}&code=apple&property=child&displayLanguage=de")
    assert [it["name"] for it in some.json["parameter"]] == ["name", "version", "display", "property"]
    assert some.json["parameter"][2]["valueString"] == "Apfel"
    sent = parameters(coding={"system": FOOD, "code": "bread"})
    assert (await told(service, "CodeSystem/$lookup", sent))["display"] == "Bread"
    for query in (f"system={FOOD}&code=cake", "system=http://nowhere&code=a"):
        assert (await service.ask("GET", f"CodeSystem/$lookup?{query}")).status == 404
    assert (await service.ask("GET", "CodeSystem/$lookup?code=a")).status == 400


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        ("apple", "APPLE", "equivalent"),
        ("fruit", "boskoop", "subsumes"),
        ("boskoop", "fruit", "subsumed-by"),
        ("apple", "bread", "not-subsumed"),
    ],
)
async def test_subsumes_tells_which_code_is_a_kind_of_which(service: Any, one: str, other: str, outcome: str) -> None:
    await service.put(SYSTEM)
    assert await told(service, f"CodeSystem/$subsumes?system={FOOD}&codeA={one}&codeB={other}") == {"outcome": outcome}
    sent = parameters(codingA={"system": FOOD, "code": one}, codingB={"system": FOOD, "code": other})
    assert await told(service, "CodeSystem/food/$subsumes", sent) == {"outcome": outcome}


async def test_a_code_is_translated_forth_and_back(service: Any) -> None:
    targets = [{"code": "F1", "display": "Apples", "equivalence": "wider"}]
    elements = [{"code": "apple", "target": targets}, {"code": "bread", "target": [{"equivalence": "unmatched"}]}]
    group = {"source": FOOD, "target": "urn:shop", "element": elements}
    concept_map = {"resourceType": "ConceptMap", "id": "m", "url": "urn:map", "status": "active", "group": [group]}
    await service.put(concept_map)
    for path in ("ConceptMap/m/$translate?", "ConceptMap/$translate?url=urn:map&", "ConceptMap/$translate?"):
        found = await told(service, f"{path}system={FOOD}&code=apple")
        assert found["result"] is True
        assert found["match"][1]["valueCoding"] == {"system": "urn:shop", "code": "F1", "display": "Apples"}
    back = await told(service, "ConceptMap/$translate?system=urn:shop&code=F1&reverse=true")
    assert [next(iter(list(it.values())[1:])) for it in back["match"]][:2] == [
        "narrower",
        {"system": FOOD, "code": "apple"},
    ]
    for query in ("code=bread", "code=cake", "code=apple&targetsystem=urn:other"):
        assert (await told(service, f"ConceptMap/$translate?system={FOOD}&{query}"))["result"] is False
    assert (await service.ask("GET", "ConceptMap/$translate?url=urn:none&code=a")).status == 404


async def test_of_several_versions_the_newest_active_one_is_meant(service: Any) -> None:
    older = {**SYSTEM, "id": "older", "version": "1.9", "concept": [concept("old", "Old")]}
    newer = {**SYSTEM, "id": "newer", "version": "1.10", "concept": [concept("new", "New")]}
    draft = {**SYSTEM, "id": "draft", "version": "3", "status": "draft", "concept": [concept("draft", "Draft")]}
    await service.put(older, newer, draft)
    base = f"CodeSystem/$validate-code?url={FOOD}"
    assert (await told(service, f"{base}&code=new"))["result"] is True
    assert (await told(service, f"{base}&code=old"))["result"] is False
    assert (await told(service, f"{base}&code=old&version=1.9"))["result"] is True


async def test_what_is_hidden_of_terminology_is_not_there(service: Any) -> None:
    requests = [
        "CodeSystem/$validate-code?url={url}&code=apple",
        "CodeSystem/$lookup?system={url}&code=apple",
        "CodeSystem/$subsumes?system={url}&codeA=apple&codeB=bread",
        "ValueSet/$expand?url={url}?fhir_vs",
        "ValueSet/$expand?url={url}",
        "ValueSet/$validate-code?url={url}&code=apple",
        "ConceptMap/$translate?url={url}&code=apple",
        "ConceptMap/$translate?code=apple",
    ]
    meta = {"security": [NO_PURPOSE]}
    before = [await service.ask("GET", it.format(url=FOOD)) for it in requests]
    hidden_set = {**value_set("food", system=FOOD), "url": FOOD, "meta": meta}
    group = {"source": FOOD, "element": [{"code": "apple", "target": [{"code": "x", "equivalence": "equal"}]}]}
    hidden_map = {
        "resourceType": "ConceptMap",
        "id": "m",
        "url": FOOD,
        "status": "active",
        "group": [group],
        "meta": meta,
    }
    await service.put({**SYSTEM, "meta": meta}, hidden_set, hidden_map)
    after = [await service.ask("GET", it.format(url=FOOD)) for it in requests]
    assert [(it.status, it.body) for it in before] == [(it.status, it.body) for it in after]


async def test_searches_know_the_value_sets_and_hierarchies_that_are_loaded(service: Any) -> None:
    def eaten(code: str) -> Resource:
        concept = {"coding": [{"system": FOOD, "code": code}]}
        about = {"reference": "Patient/ann"}
        return {"resourceType": "Observation", "id": code, "status": "final", "code": concept, "subject": about}

    ann = {"resourceType": "Patient", "id": "ann"}
    apples = filtered("concept", "is-a", "apple")
    await service.put(ann, SYSTEM, apples, *(eaten(code) for code in ("apple", "boskoop", "bread")))

    async def found(query: str) -> set[str]:
        answer = await service.ask("GET", f"Observation?{query}", Prefer="handling=strict")
        assert answer.status == 200, answer.body
        return {it["resource"]["id"] for it in answer.json.get("entry", ())}

    assert await found("code:in=http://example.org/vs/some") == {"apple", "boskoop"}
    assert await found("code:not-in=http://example.org/vs/some") == {"bread"}
    assert await found(f"code:below={FOOD}|apple") == {"apple", "boskoop"}
    assert await found(f"code:above={FOOD}|boskoop") == {"apple", "boskoop"}
    first = await service.ask("GET", f"Observation?code:below={FOOD}|apple&_count=1")
    following = next(it["url"] for it in first.json["link"] if it["relation"] == "next")
    assert len((await service.ask("GET", following)).json["entry"]) == 1
    answer = await service.ask("GET", "Observation?code:in=http://nowhere", Prefer="handling=strict")
    assert answer.status == 400


async def test_every_map_is_asked_however_many_there_are(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminology, "_MOST", 2)
    for number in range(5):
        target = [{"code": f"T{number}", "equivalence": "equal"}]
        group = {"source": FOOD, "target": f"urn:{number}", "element": [{"code": "apple", "target": target}]}
        await service.put({"resourceType": "ConceptMap", "id": f"m{number}", "status": "active", "group": [group]})
    answer = await service.ask("GET", f"ConceptMap/$translate?system={FOOD}&code=apple")
    assert len([it for it in answer.json["parameter"] if it["name"] == "match"]) == 5
    monkeypatch.setattr(terminology, "_RESOURCES", 2)
    assert (await service.ask("GET", f"ConceptMap/$translate?system={FOOD}&code=apple")).status == 413


async def test_a_large_code_system_is_gone_through_once_and_beside_the_event_loop(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [{"code": f"c{number}", "display": f"code {number}"} for number in range(2_000)]
    large = {"resourceType": "CodeSystem", "id": "cs", "url": "http://example.org/large", "status": "active"}
    await service.put({**large, "content": "complete", "concept": codes})
    threads: list[threading.Thread] = []

    def read(resource: Resource) -> code_systems.CodeSystem:
        threads.append(threading.current_thread())
        return code_systems.code_system(resource)

    monkeypatch.setattr(shelved, "code_system", read)
    for _ in range(2):
        answer = await service.ask("GET", "CodeSystem/$lookup?system=http://example.org/large&code=c1999")
        assert answer.json["parameter"][1]["valueString"] == "code 1999"
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
