"""References say nothing of what is hidden, and what a client writes refers to nothing that it does not see."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.consent.naming import unnamed
from hawsepipe.consent.orders import Order
from hawsepipe.errors import InvalidResource
from hawsepipe.fhir import codec, mentions
from hawsepipe.fhir.query import Clause, Kind, Modifier, Query, TokenValue

T = "http://terminology.hl7.org/CodeSystem/"
HIDDEN = {"security": [{"system": T + "v3-Confidentiality", "code": "V"}]}


def patient(identity: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": identity}


def observation(identity: str, about: str = "p", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
        "subject": {"reference": f"Patient/{about}"},
        **more,
    }


def consent(identity: str, about: str = "p", **provision: Any) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": identity,
        "status": "active",
        "scope": {"coding": [{"system": T + "consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{about}"},
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": {"type": "permit", **provision},
    }


def report(**more: Any) -> dict[str, Any]:
    said = {"display": "severe depression", "identifier": {"system": "urn:lab", "value": "77"}}
    return {
        "resourceType": "DiagnosticReport",
        "id": "d",
        "status": "final",
        "code": {"text": "panel"},
        "subject": {"reference": "Patient/p"},
        "result": [{"reference": f"Observation/{it}", **said} for it in ("o", "h", "absent")],
        **more,
    }


async def test_a_reference_keeps_its_words_only_where_its_target_is_seen(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"), observation("h", meta=HIDDEN), report())
    shown = codec.decode((await hospital.view().read("DiagnosticReport", "d")).content)
    whole, bare = {"reference", "display", "identifier"}, {"reference"}
    assert [set(it) for it in shown["result"]] == [whole, bare, bare]


async def test_what_references_say_of_the_hidden_is_not_searched_by(hospital: Any) -> None:
    clause = Clause("result", Kind.REFERENCE, Modifier.IDENTIFIER, (TokenValue("urn:lab", "77"),))
    only = report(result=report()["result"][1:2])
    await hospital.put(patient("p"), consent("c"), observation("o"), observation("h", meta=HIDDEN), only)
    assert not (await hospital.view().search(Query("DiagnosticReport", (clause,)))).versions
    await hospital.put(report(result=report()["result"][:1]))
    assert (await hospital.view().search(Query("DiagnosticReport", (clause,)))).versions


async def test_who_writes_back_bare_references_loses_nothing(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"), observation("h", meta=HIDDEN), report())
    view = hospital.view()
    shown = codec.decode((await view.read("DiagnosticReport", "d")).content)
    await view.write([Order("update", "DiagnosticReport", "d", {**shown, "conclusion": "new"})])
    stored = codec.decode((await hospital.store.read("DiagnosticReport", "d")).content)
    assert (stored["conclusion"], stored["result"]) == ("new", report()["result"])


async def test_a_patch_works_on_what_is_shown(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"), observation("h", meta=HIDDEN), report())
    seen: list[Any] = []

    def alter(resource: Any) -> Any:
        seen.append(resource)
        return {**resource, "conclusion": "new"}

    await hospital.view().write([Order("patch", "DiagnosticReport", "d", alter=alter)])
    assert "display" not in seen[0]["result"][1]
    stored = codec.decode((await hospital.store.read("DiagnosticReport", "d")).content)
    assert (stored["conclusion"], stored["result"]) == ("new", report()["result"])


@pytest.mark.parametrize("target", ["Observation/h", "Observation/absent"])
async def test_what_refers_to_the_hidden_is_refused_like_what_refers_to_the_absent(hospital: Any, target: str) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"), observation("h", meta=HIDDEN))
    sent = observation("new", derivedFrom=[{"reference": target}])
    with pytest.raises(InvalidResource) as caught:
        await hospital.view().write([Order("create", "Observation", resource=sent)])
    assert [it.location for it in caught.value.issues] == ["Observation.derivedFrom[0]"]


@pytest.mark.parametrize("who", ["q", "nobody"])
async def test_who_writes_about_a_patient_that_has_barred_him_is_told_as_of_nobody(hospital: Any, who: str) -> None:
    await hospital.put(patient("p"), consent("c"), patient("q"), consent("k", "q", type="deny"))
    for scopes in (frozenset({"user/*.cruds"}), frozenset({"user/Observation.crs"})):
        order = Order("create", "Observation", resource=observation("n", who))
        with pytest.raises(InvalidResource):
            await hospital.view(scopes=scopes).write([order])


async def test_who_can_only_write_writes_about_anybody(hospital: Any) -> None:
    await hospital.put(patient("q"), consent("k", "q", type="deny"))
    for who in ("q", "nobody"):
        (written,) = await hospital.view(scopes=frozenset({"user/Observation.c"})).write(
            [Order("create", "Observation", resource=observation("n", who))]
        )
        assert written.created


async def test_what_was_referred_to_before_may_stay(hospital: Any) -> None:
    held = observation("o", derivedFrom=[{"reference": "Observation/h"}])
    await hospital.put(patient("p"), consent("c"), observation("h", meta=HIDDEN), held)
    (written,) = await hospital.view().write([Order("update", "Observation", "o", {**held, "status": "amended"})])
    assert written.version.version == 2


def test_the_quick_look_misses_no_reference_that_says_something() -> None:
    base = {"reference": "Patient/1"}
    for said in (
        {**base, "display": 'a "brace" {'},
        {"display": "x", **base},
        {"identifier": {"value": "}"}, **base},
        {**base, "identifier": {"value": "1"}},
        {"type": "Patient", "_display": {"extension": []}, **base},
        {"extension": [{"url": "u", "valueString": "{"}], "display": "y", **base},
        {"identifier": {"value": "1"}, "extension": [{"url": "u"}], **base},
    ):
        resource = {"resourceType": "Slot", "extension": [{"url": "urn:x", "valueReference": said}]}
        assert mentions.likely(codec.encode(resource)), said
    plain = {"resourceType": "Slot", "schedule": base, "code": {"coding": [{"code": "x", "display": "y"}]}}
    assert not mentions.mentioned(plain, "")


async def test_news_say_nothing_of_what_is_hidden_either(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"), observation("h", meta=HIDDEN))
    place = await hospital.gate.newest()
    await hospital.put(report())
    news = await hospital.view().news({"DiagnosticReport"}, place, 10)
    shown = codec.decode(news.versions[0].content)
    assert ["display" in it for it in shown["result"]] == [True, False, False]


def test_a_provenance_is_found_by_its_message_whatever_is_kept_of_it() -> None:
    def asked(kind: str, parameter: str, system: str) -> Query:
        value = TokenValue(system, "00")
        return Query(kind, (Clause(parameter, Kind.REFERENCE, Modifier.IDENTIFIER, (value,)),))

    own = asked("Provenance", "entity", "urn:hawsepipe:message")
    assert unnamed(own) == own
    for other in (
        asked("Provenance", "entity", "urn:other"),
        asked("Provenance", "agent", "urn:hawsepipe:message"),
        asked("Observation", "focus", "urn:hawsepipe:message"),
    ):
        assert unnamed(other) != other
