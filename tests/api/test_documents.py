"""$document: a Composition with what it refers to."""

from __future__ import annotations

from typing import Any

from hawsepipe.fhir import definitions
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Resource

HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
COMPOSITION = {
    "resourceType": "Composition",
    "id": "c",
    "status": "final",
    "type": {"text": "Letter"},
    "subject": {"reference": "Patient/ann"},
    "date": "2026-01-01",
    "author": [{"reference": "Practitioner/p"}],
    "title": "Letter",
    "section": [{"title": "s", "entry": [{"reference": "Observation/o"}, {"reference": "Observation/gone"}]}],
}


def observation(**more: Any) -> Resource:
    subject = {"reference": "Patient/ann"}
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "subject": subject,
        **more,
    }


async def test_a_document_begins_with_its_composition_and_holds_what_it_names(service: Any, ann: Resource) -> None:
    await service.put(ann, {"resourceType": "Practitioner", "id": "p"}, COMPOSITION, observation())
    answer = await service.ask("GET", "Composition/c/$document")
    assert answer.status == 200
    made = answer.json
    assert (made["resourceType"], made["type"]) == ("Bundle", "document")
    kinds = [it["resource"]["resourceType"] for it in made["entry"]]
    assert kinds == ["Composition", "Patient", "Practitioner", "Observation"]
    assert not Validator(definitions.load()).check(made)
    assert (await service.ask("GET", "Composition/c/$document")).body == answer.body
    assert (await service.ask("GET", "Composition/c/$document?persist=true")).status == 400


async def test_a_document_leaves_out_what_is_hidden_and_says_nothing_of_it(service: Any, ann: Resource) -> None:
    await service.put(ann, COMPOSITION)
    before = await service.ask("GET", "Composition/c/$document")
    await service.put(observation(meta={"security": [HIDDEN]}))
    after = await service.ask("GET", "Composition/c/$document")
    assert (before.status, before.body) == (after.status, after.body)
    await service.put({**COMPOSITION, "id": "hide", "meta": {"security": [HIDDEN]}})
    answers = [await service.ask("GET", f"Composition/{it}/$document") for it in ("hide", "lack")]
    assert answers[0].body.replace(b"hide", b"lack") == answers[1].body
