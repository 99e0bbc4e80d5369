"""$validate against profiles that are loaded."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir import conformance
from hawsepipe.model import Resource

BASE = "http://hl7.org/fhir/StructureDefinition"
URL = "http://example.org/profile"
LOINC = "http://loinc.org"
HRESCH = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}
MARRIED: Resource = {"patternCodeableConcept": {"coding": [{"code": "M"}]}}


def structure(kind: str, *elements: Resource, url: str = URL, snapshot: bool = False, **more: Any) -> Resource:
    return {
        "resourceType": "StructureDefinition",
        "id": url.rpartition("/")[2],
        "url": url,
        "name": "Test",
        "status": "active",
        "kind": "complex-type" if kind == "Extension" else "resource",
        "abstract": False,
        "type": kind,
        "baseDefinition": f"{BASE}/{kind}",
        "derivation": "constraint",
        "snapshot" if snapshot else "differential": {"element": list(elements)},
        **more,
    }


def element(path: str, slice: str | None = None, **more: Any) -> Resource:
    named = {"sliceName": slice} if slice else {}
    return {"id": f"{path}:{slice}" if slice else path, "path": path, **named, **more}


def observation(**more: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **more}


def component(code: str, **more: Any) -> Resource:
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, **more}


async def findings(service: Any, sent: Resource, query: str = f"?profile={URL}") -> list[tuple[str, str, str]]:
    """Return (severity, cause, place) of each finding."""
    answer = await service.ask("POST", f"{sent['resourceType']}/$validate{query}", sent)
    assert answer.status == 200, answer.body
    told = [it for it in answer.json["issue"] if it["diagnostics"] != "No issues"]
    return [(it["severity"], it["code"], (it.get("expression") or it.get("location") or [""])[0]) for it in told]


@pytest.mark.parametrize(
    ("stated", "held", "expected"),
    [
        (element("Patient.birthDate", min=1), {}, ("required", "Patient.birthDate")),
        (element("Patient.birthDate", min=1), {"birthDate": "1980"}, None),
        (element("Patient.birthDate", min=1), {"_birthDate": {"id": "a"}}, None),
        (element("Patient.photo", max="0"), {"photo": [{"url": "x"}]}, ("structure", "Patient.photo")),
        (element("Patient.name", max="1"), {"name": [{"text": "a"}, {"text": "b"}]}, ("structure", "Patient.name")),
        (
            element("Patient.name.family", min=1),
            {"name": [{"family": "a"}, {"text": "b"}]},
            ("required", "Patient.name[1].family"),
        ),
        (element("Patient.name.family", min=1), {}, None),
        (element("Patient.gender", fixedCode="female"), {"gender": "male"}, ("value", "Patient.gender")),
        (element("Patient.active", fixedBoolean=True), {"active": True}, None),
        (
            element("Patient.maritalStatus", **MARRIED),
            {"maritalStatus": {"coding": [{"code": "S"}, {"code": "M", "display": "x"}]}},
            None,
        ),
        (
            element("Patient.maritalStatus", **MARRIED),
            {"maritalStatus": {"text": "M"}},
            ("value", "Patient.maritalStatus"),
        ),
        (
            element("Patient.deceased[x]", type=[{"code": "dateTime"}]),
            {"deceasedBoolean": True},
            ("structure", "Patient.deceased"),
        ),
        (element("Patient.deceased[x]", type=[{"code": "dateTime"}]), {"deceasedDateTime": "2020"}, None),
        (element("Patient.deceased[x]", min=1), {}, ("required", "Patient.deceased")),
    ],
)
async def test_cardinalities_values_and_types_are_held(
    service: Any, stated: Resource, held: Resource, expected: tuple[str, str] | None
) -> None:
    for snapshot in (False, True):
        await service.put(structure("Patient", element("Patient"), stated, snapshot=snapshot))
        found = await findings(service, {"resourceType": "Patient", **held})
        assert found == ([] if expected is None else [("error", *expected)])


async def test_required_bindings_are_held_by_value_sets_that_are_known(service: Any) -> None:
    compose = {"include": [{"system": "urn:s", "concept": [{"code": "A"}, {"code": "B"}]}]}
    known = {"resourceType": "ValueSet", "id": "v", "url": "urn:v", "status": "active", "compose": compose}
    binding = {"strength": "required", "valueSet": "urn:v|1"}
    loose = {"strength": "required", "valueSet": "urn:nowhere"}
    preferred = {"strength": "preferred", "valueSet": "urn:v"}
    rows = [element("Observation.code", binding=binding), element("Observation.method", binding=loose)]
    await service.put(known, structure("Observation", *rows, element("Observation.bodySite", binding=preferred)))
    good = observation(code={"coding": [{"system": "urn:s", "code": "A"}]})
    assert await findings(service, good) == []
    bad = observation(code={"coding": [{"system": "urn:other", "code": "A"}]}, bodySite={"coding": [{"code": "x"}]})
    assert await findings(service, bad) == [("error", "code-invalid", "Observation.code")]
    assert await findings(service, observation()) == []
    unknown = {**good, "method": {"coding": [{"code": "x"}]}}
    assert await findings(service, unknown) == [("warning", "not-supported", "Observation.method")]


def slicing(kind: str, path: str = "code", rules: str = "open", **more: Any) -> Resource:
    return {"slicing": {"discriminator": [{"type": kind, "path": path}], "rules": rules, **more}}


def pattern(code: str) -> Resource:
    return {"patternCodeableConcept": {"coding": [{"system": LOINC, "code": code}]}}


@pytest.mark.parametrize(
    "rows",
    [
        [
            element("Observation.component", **slicing("pattern")),
            element("Observation.component", "sys", min=1, max="1"),
            element("Observation.component.code", **pattern("1")),
            element("Observation.component.valueQuantity", min=1),
            element("Observation.component", "dia", max="1"),
            element("Observation.component.code", **pattern("2")),
        ],
        [
            element("Observation.component", **slicing("value", "code.coding.code")),
            element("Observation.component", "sys", min=1, max="1"),
            element("Observation.component.code.coding.code", min=1, fixedCode="1"),
            element("Observation.component.valueQuantity", min=1),
            element("Observation.component", "dia", max="1"),
            element("Observation.component.code.coding.code", min=1, fixedCode="2"),
        ],
    ],
    ids=["by pattern", "by value"],
)
async def test_slices_are_told_apart_and_counted(service: Any, rows: list[Resource]) -> None:
    await service.put(structure("Observation", element("Observation"), *rows))
    quantity = {"valueQuantity": {"value": 1}}
    good = [component("1", **quantity), component("2"), component("9")]
    assert await findings(service, observation(component=good)) == []
    missing = await findings(service, observation(component=[component("2")]))
    assert missing == [("error", "required", "Observation.component")]
    twice = [component("2"), component("1", **quantity), component("2")]
    assert await findings(service, observation(component=twice)) == [("error", "structure", "Observation.component")]
    bare = await findings(service, observation(component=[component("9"), component("1")]))
    assert bare == [("error", "required", "Observation.component[1].valueQuantity")]


async def test_closed_and_ordered_slicings_are_held(service: Any) -> None:
    rows = [
        element("Observation.component", **slicing("pattern", rules="closed", ordered=True)),
        element("Observation.component", "one"),
        element("Observation.component.code", **pattern("1")),
        element("Observation.component", "two"),
        element("Observation.component.code", **pattern("2")),
    ]
    await service.put(structure("Observation", *rows))
    for codes, expected in (
        (("1", "2"), []),
        (("1", "3"), [("error", "structure", "Observation.component[1]")]),
        (("2", "1"), [("error", "structure", "Observation.component")]),
    ):
        assert await findings(service, observation(component=[component(it) for it in codes])) == expected


async def test_slices_by_existence_and_type_are_told_apart(service: Any) -> None:
    rows = [
        element("Patient.name", **slicing("exists", "period")),
        element("Patient.name", "former", max="1"),
        element("Patient.name.period", min=1),
        element("Patient.name", "present", min=1),
        element("Patient.name.period", max="0"),
        element("Patient.name.family", min=1),
    ]
    await service.put(structure("Patient", *rows))
    old = {"text": "old", "period": {"end": "2000"}}
    assert await findings(service, {"resourceType": "Patient", "name": [old, {"family": "x"}]}) == []
    found = await findings(service, {"resourceType": "Patient", "name": [old]})
    assert found == [("error", "required", "Patient.name")]
    choice = [
        element("Observation.value[x]", **slicing("type", "$this")),
        element("Observation.value[x]", "valueQuantity", type=[{"code": "Quantity"}]),
        element("Observation.value[x].unit", min=1),
    ]
    await service.put(structure("Observation", *choice))
    assert await findings(service, observation(valueString="x")) == []
    found = await findings(service, observation(valueQuantity={"value": 1}))
    assert found == [("error", "required", "Observation.value.unit")]


async def test_extensions_are_held_against_their_own_profiles(service: Any) -> None:
    other = "http://example.org/extension"
    own = structure(
        "Extension",
        element("Extension.url", fixedUri=other),
        element("Extension.value[x]", min=1, type=[{"code": "string"}]),
        url=other,
    )
    rows = [
        element("Patient.extension", **slicing("value", "url")),
        element("Patient.extension", "mine", min=1, max="1", type=[{"code": "Extension", "profile": [other]}]),
    ]
    await service.put(own, structure("Patient", *rows))
    there = {"url": other, "valueString": "x"}
    elsewhere = {"url": "urn:e", "valueInteger": 1}
    for extensions, expected in (
        ([elsewhere, there], []),
        ([elsewhere], [("error", "required", "Patient.extension")]),
        ([{"url": other, "valueInteger": 1}], [("error", "structure", "Patient.extension[0].value")]),
    ):
        assert await findings(service, {"resourceType": "Patient", "extension": extensions}) == expected


def rule(key: str, expression: str, severity: str = "error") -> Resource:
    return {"key": key, "severity": severity, "human": "x", "expression": expression}


async def test_invariants_are_evaluated_where_that_is_safe(service: Any) -> None:
    rows = [
        element("Patient", constraint=[rule("t-1", "name.exists() or identifier.exists()")]),
        element("Patient.name", constraint=[rule("t-2", "family.exists()", "warning")]),
    ]
    await service.put(structure("Patient", *rows))
    assert await findings(service, {"resourceType": "Patient", "name": [{"family": "x"}]}) == []
    assert await findings(service, {"resourceType": "Patient"}) == [("error", "invariant", "Patient")]
    found = await findings(service, {"resourceType": "Patient", "name": [{"text": "x"}]})
    assert found == [("warning", "invariant", "Patient.name[0]")]
    unsafe = [rule("t-3", "name.family.matches('(a+)+b')"), rule("t-4", "name.where(")]
    await service.put(structure("Patient", element("Patient", constraint=unsafe)))
    found = await findings(service, {"resourceType": "Patient", "name": [{"family": "a" * 40}]})
    assert [it[:2] for it in found] == [("information", "not-supported")] * 2


async def test_a_validation_evaluates_so_many_invariants_and_no_more(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "MOST_EVALUATED", 3)
    await service.put(structure("Patient", element("Patient.name", constraint=[rule("t-1", "family.exists()")])))
    named = [{"family": "x"}] * 3
    assert await findings(service, {"resourceType": "Patient", "name": named}) == []
    found = await findings(service, {"resourceType": "Patient", "name": [*named, {"text": "y"}]})
    assert [it[:2] for it in found] == [("information", "not-supported")]


async def test_a_claimed_profile_is_held_and_so_is_what_it_was_derived_from(service: Any) -> None:
    parent = structure("Patient", element("Patient.birthDate", min=1), url="http://example.org/parent")
    child = structure("Patient", element("Patient.gender", min=1), baseDefinition="http://example.org/parent")
    await service.put(parent, child)
    claimed: Resource = {"resourceType": "Patient", "meta": {"profile": [URL, "http://example.org/unknown"]}}
    assert await findings(service, claimed, "") == [
        ("error", "required", "Patient.gender"),
        ("error", "required", "Patient.birthDate"),
        ("warning", "not-supported", "meta.profile"),
    ]
    assert [it[:2] for it in await findings(service, observation())] == [("error", "structure")]


async def test_profiles_that_are_derived_from_each_other_come_to_an_end(service: Any) -> None:
    one, two = "http://example.org/one", "http://example.org/two"
    await service.put(
        structure("Patient", element("Patient.name", min=1), url=one, baseDefinition=two),
        structure("Patient", element("Patient.gender", min=1), url=two, baseDefinition=one),
    )
    found = await findings(service, {"resourceType": "Patient"}, f"?profile={one}")
    assert {("error", "required", "Patient.name"), ("error", "required", "Patient.gender")} <= set(found)


async def test_a_hidden_profile_is_not_known(service: Any) -> None:
    sent: Resource = {"resourceType": "Patient"}
    before = await service.ask("POST", f"Patient/$validate?profile={URL}", sent)
    await service.put(structure("Patient", element("Patient.name", min=1), meta={"security": [HRESCH]}))
    after = await service.ask("POST", f"Patient/$validate?profile={URL}", sent)
    assert (before.status, before.body) == (after.status, after.body)


async def test_validate_for_a_delete_asks_whether_the_resource_is_there(service: Any, ann: Resource) -> None:
    await service.put(ann)
    assert (await service.ask("POST", "Patient/ann/$validate?mode=delete")).status == 200
    assert (await service.ask("POST", "Patient/none/$validate?mode=delete")).status == 404
