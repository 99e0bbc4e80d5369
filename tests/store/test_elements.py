"""What is put together from remembered elements is what the whole resource gives."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from hawsepipe.consent.labels import Labels
from hawsepipe.fhir import codec, definitions
from hawsepipe.fhir.canonical import forms
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.index import grouped
from hawsepipe.fhir.references import patients_of
from hawsepipe.fhir.rows import fold
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Resource
from hawsepipe.store import elements, outlines
from hawsepipe.store.elements import Elements
from hawsepipe.store.prepared import Sight
from hawsepipe.store.wholes import Whole

BASE = "http://test.example/fhir"
FACTS = definitions.load()
PARTS = (Labels(base_url=BASE), Extractor(FACTS, BASE), Validator(FACTS))
LABELLER, EXTRACTOR, VALIDATOR = PARTS
INSTANT = b"2026-11-02T08:00:00.000000Z"

_CODES = [
    {"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin"},
    {"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20"},
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"},
    {"code": "local"},
]
_LABELS = [
    {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"},
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"},
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"},
]


class _Drawing:
    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def some(self, *choices: Any) -> Any:
        return self._chance.choice(choices)

    def id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(4)))

    def reference(self, *types: str) -> Resource:
        type_ = self.some(*types)
        base = self.some("", "", "", f"{BASE}/", "https://elsewhere.example/")
        held: Resource = {"reference": f"{base}{type_}/{self.id()}{self.some('', '', '/_history/2')}"}
        more: Resource = self.some({}, {"type": type_}, {"display": self.id()})
        return held | more

    def text(self) -> str:
        odd = (
            "Hole-in-an-element-0.",
            "\ue0f1É  0\ue0f1",
            "\ue0f1e 1\ue0f1",
            "hole-in-an-element-0.",
            'a "b" \\ c',
            "x\ty",
        )
        return str(
            self.some("Åström", "ÅSTRÖM", "  two  spaces ", "ß", "İ", "a\u0301", "\u00a0", "東京", self.id(), *odd)
        )

    def concept(self) -> Resource:
        return {"coding": [self.some(*_CODES) for _ in range(self.some(1, 2))]}

    def resource(self) -> Resource:
        type_ = self.some(
            "Patient",
            "Encounter",
            "AllergyIntolerance",
            "Group",
            "MedicationRequest",
            "Provenance",
            "ImmunizationRecommendation",
        )
        body: Resource = getattr(self, type_.lower())()
        held: Resource = {"resourceType": type_, "id": self.id()}
        meta = {"meta": self.some({"security": [self.some(*_LABELS)]}, {"profile": ["http://p.example/a|1"]}, {})}
        body = {key: value for key, value in body.items() if self._chance.random() < 0.85}
        odd: Resource = self.some(*[{}] * 12, {"unknown": 1}, {"text": {"status": "generated", "div": "<p>x</p>"}})
        kept: Resource = self.some({}, {}, {}, {"contained": [{"resourceType": "Patient", "id": "c"}]})
        told: Resource = self.some({}, {}, meta)
        return held | told | body | odd | kept

    def patient(self) -> Resource:
        return {
            "identifier": [
                {"system": "urn:x", "value": self.id()},
                {"assigner": {"display": self.id()}, "value": self.some("a", self.id(), "Hole-in-an-element-1.")},
            ],
            "name": [
                {"family": self.text(), "given": [self.text(), *self.some([], [self.text(), self.text()])]}
                | self.some({}, {"text": self.text()}, {"_given": [{"id": "a"}]})
            ],
            "address": [{"line": [self.text()], "city": self.text(), "country": "SE", "text": self.text()}],
            "telecom": [{"system": "email", "value": self.some("Ida.A", "x-1", "Ida A", self.text())}],
            "photo": [{"data": self.some("QUJD", "QUJDRA==", "QUJ", "SG9sZUluQW5FbGVtZW500000"), "title": self.text()}],
            "generalPractitioner": [{"display": self.some("Dr Ö", "x")}],
            "gender": self.some("female", "unknown", "no gender"),
            "birthDate": self.some("1976-03-14", "1976"),
            "_birthDate": {"extension": [{"url": "urn:x", "valueCode": "x"}]},
            "multipleBirthInteger": 2,
            "deceasedBoolean": self.some(True, False),
            "link": [{"other": self.reference("Patient"), "type": "seealso"}],
            "managingOrganization": self.reference("Organization", "Patient"),
        }

    def encounter(self) -> Resource:
        return {
            "status": self.some("planned", "finished"),
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "type": [self.concept()],
            "subject": self.reference("Patient", "Group"),
            "participant": [{"individual": self.reference("Practitioner")} for _ in range(self.some(1, 2))],
            "period": {"start": self.some("2026-11-02T08:00:00+01:00", "2026")},
            "diagnosis": [{"condition": self.reference("Condition"), "use": self.concept()}],
            "serviceProvider": self.some(self.reference("Organization"), {"reference": "#inside"}),
        }

    def allergyintolerance(self) -> Resource:
        grade = {"extension": [{"url": "urn:x", "valueCodeableConcept": self.concept()}]}
        return {
            "category": self.some(["food"], [None]),
            "_category": self.some([grade], [None], [grade, grade]),
            "criticality": self.some("high", "low"),
            "_criticality": grade,
            "code": self.concept(),
            "patient": self.reference("Patient"),
            "recorder": self.reference("Practitioner", "Patient"),
            "onsetDateTime": "2026-01-02",
            "onsetString": "in youth",
            "recordedDate": self.some("2026-01-02", "2026-01"),
        }

    def group(self) -> Resource:
        return {
            "type": "person",
            "actual": True,
            "member": [{"entity": self.reference("Patient")} for _ in range(self.some(1, 3))],
        }

    def medicationrequest(self) -> Resource:
        return {
            "status": "active",
            "intent": "order",
            "medicationReference": self.some(self.reference("Medication"), {"reference": "#m"}, {"display": "x"}),
            "medicationCodeableConcept": self.concept(),
            "subject": self.reference("Patient"),
            "requester": self.reference("Practitioner"),
        }

    def immunizationrecommendation(self) -> Resource:
        criterion = {"code": self.concept(), "value": self.some("2026-01-02", "2026-03", "soon")}
        return {
            "patient": self.reference("Patient"),
            "date": "2026-01-02",
            "recommendation": [{"forecastStatus": self.concept(), "dateCriterion": [criterion]}],
        }

    def provenance(self) -> Resource:
        return {
            "target": [self.reference("Patient", "Encounter")],
            "recorded": "2026-11-02T08:00:00Z",
            "agent": [{"who": self.reference("Practitioner")}],
        }


def _agrees(whole: Whole, kind: str) -> None:
    content = INSTANT.join(whole.content)
    resource = codec.decode(content)
    assert codec.encode(resource) == content
    assert (INSTANT.join(whole.canonical), whole.static) == forms(content)
    assert whole.sight == Sight.of(grouped(EXTRACTOR.rows(resource)), LABELLER.facets(resource))
    assert whole.sight.facets == LABELLER.facets(resource)
    assert whole.patients == patients_of(resource, BASE)
    assert whole.linked == ("link" in resource)
    assert LABELLER.label(resource, None) == resource
    assert VALIDATOR.check(resource) == ()
    assert resource["resourceType"] == kind


@pytest.mark.parametrize("seed", range(3))
def test_elements_give_what_the_whole_gives(seed: int) -> None:
    drawing = _Drawing(seed)
    known = Elements(*PARTS, BASE)
    put_together = refused = 0
    for _ in range(1500):
        resource = drawing.resource()
        kind = resource["resourceType"]
        joined = drawing.some((), ("identifier", "participant", "link"))
        found = known.whole(kind, resource["id"], joined, codec.encode(resource))
        labelled = LABELLER.label(resource, None)
        if found is None:
            refused += 1
            continue
        put_together += 1
        _agrees(found, kind)
        assert VALIDATOR.check(labelled) == ()
    assert put_together > 300
    assert refused > 300


def test_an_element_is_worked_out_for_itself_and_for_an_outline_whatever_it_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    extractor = Extractor(FACTS, BASE)
    element = extractor.element

    def counted(kind: str, key: str, value: Any) -> Any:
        asked.append(key)
        return element(kind, key, value)

    monkeypatch.setattr(extractor, "element", counted)
    known = Elements(LABELLER, extractor, VALIDATOR, BASE)
    for number in "12345":
        written = codec.encode({"subject": {"reference": f"Patient/{number}"}, "code": {"text": "x"}})
        found = known.whole("Condition", "1", (), written)
        assert found is not None
        assert found.patients == (number,)
        assert ("subject", "Patient", number, "") in found.sight.rows.references
        assert found.sight.facets.values["ref"] == {f"Patient/{number}"}
    assert sorted(asked) == ["code", "code", "meta", "subject", "subject"]


def test_people_of_their_own_are_made_of_what_is_known_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    extractor = Extractor(FACTS, BASE)
    element = extractor.element

    def counted(kind: str, key: str, value: Any) -> Any:
        asked.append(key)
        return element(kind, key, value)

    monkeypatch.setattr(extractor, "element", counted)
    known = Elements(LABELLER, extractor, VALIDATOR, BASE)
    for name in ("Åsa", "Bo Ek", "C", "Dé", "E F"):
        body = {
            "name": [{"family": f"{name}son", "given": [name, "M"]}],
            "address": [{"line": [f"{name} 1"], "city": "Lund", "country": name}],
            "telecom": [{"system": "phone", "value": f"+46 {len(name)}"}],
            "photo": [{"data": "QUJD" * len(name)}],
        }
        found = known.whole("Patient", "1", (), codec.encode(body))
        assert found is not None
        _agrees(found, "Patient")
        assert ("family", f"{name}son", fold(f"{name}son")) in found.sight.rows.strings
    assert sorted(asked) == sorted(["meta", *["address", "name", "photo", "telecom"] * 2])


def test_a_day_or_a_second_is_worked_out_once_and_only_those_of_the_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    extractor = Extractor(FACTS, BASE)
    element = extractor.element

    def counted(kind: str, key: str, value: Any) -> Any:
        asked.append(key)
        return element(kind, key, value)

    monkeypatch.setattr(extractor, "element", counted)
    known = Elements(LABELLER, extractor, VALIDATOR, BASE)
    subject = {"subject": {"reference": "Patient/1"}}
    for day in range(1, 29):
        body = subject | {"onsetDateTime": f"2024-02-{day:02d}", "recordedDate": f"2024-02-{day:02d}T08:00:00+01:00"}
        found = known.whole("Condition", "1", (), codec.encode(body))
        assert found is not None
        _agrees(found, "Condition")
        assert found.sight.clinical_start is not None
    assert asked.count("onsetDateTime") < 4
    assert asked.count("recordedDate") < 4
    for odd in ("2024-02-29", "2023-02-29", "2024-13-01", "2024-02-30", "2024", "2024-02", "2024-02-01T24:00:00Z"):
        found = known.whole("Condition", "1", (), codec.encode(subject | {"onsetDateTime": odd}))
        alone = Elements(*PARTS, BASE).whole("Condition", "1", (), codec.encode(subject | {"onsetDateTime": odd}))
        assert (found is None) == (alone is None)
        if found is not None:
            _agrees(found, "Condition")


def test_elements_that_are_right_alone_are_not_taken_for_right_together() -> None:
    known = Elements(*PARTS, BASE)
    one = {"deceasedBoolean": True}
    other = {"deceasedDateTime": "2026-01-02"}
    assert known.whole("Patient", "1", (), codec.encode(one)) is not None
    assert known.whole("Patient", "1", (), codec.encode(other)) is not None
    assert known.whole("Patient", "1", (), codec.encode(one | other)) is None
    twin = [{"id": "a"}]
    assert known.whole("Patient", "1", (), codec.encode({"name": [{"given": ["A"], "_given": twin}]})) is not None
    allergy = {"patient": {"reference": "Patient/1"}}
    assert known.whole("AllergyIntolerance", "1", (), codec.encode(allergy | {"category": ["food"]})) is not None
    two = allergy | {"category": ["food"], "_category": [*twin, *twin]}
    assert known.whole("AllergyIntolerance", "1", (), codec.encode(two)) is None
    assert known.whole("AllergyIntolerance", "1", (), codec.encode(two | {"_category": twin})) is not None
    assert known.whole("AllergyIntolerance", "1", (), codec.encode({"category": ["food"]})) is None, "without a patient"


def test_resources_of_one_outline_are_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each drawing comes again with other names, in other places or in one, and at other times."""
    drawing = _Drawing(7)
    known = Elements(*PARTS, BASE)
    made: list[bool] = []
    at_once = 0
    outlined, cast = known._outlined, known._casting.whole

    def counted(*args: Any) -> Whole | None:
        found = outlined(*args)
        made.append(found is not None)
        return found

    def counted_casts(*args: Any) -> Whole | None:
        nonlocal at_once
        found = cast(*args)
        at_once += found is not None
        return found

    monkeypatch.setattr(known, "_outlined", counted)
    monkeypatch.setattr(known._casting, "whole", counted_casts)
    monkeypatch.setattr(outlines, "_TRIES", 10**9)
    for _ in range(400):
        resource = drawing.resource()
        written = codec.encode(resource)
        for number in range(9):
            other = _renamed(resource, number)
            joined = ("identifier", "link")
            found = known.whole(resource["resourceType"], other["id"], joined, codec.encode(other))
            fresh = Elements(*PARTS, BASE) if number == 8 else None
            if found is not None:
                _agrees(found, resource["resourceType"])
            if fresh is not None:
                alone = fresh.whole(resource["resourceType"], other["id"], joined, codec.encode(other))
                assert (alone is None) == (found is None), written
    assert sum(made) + at_once > 200
    assert at_once > 100, at_once


def _renamed(value: Any, number: int) -> Any:
    """Return a resource with other names in the place of its names; which of them are the same changes as well."""
    if isinstance(value, list):
        return [_renamed(item, number) for item in value]
    if not isinstance(value, dict):
        return value
    held = {}
    for name, item in value.items():
        if name in ("family", "city", "display", "text", "value") and isinstance(item, str) and number:
            item = "same" if number % 3 == 0 else f"{item} Ö{number}"
        elif name == "reference" and number:
            head, slash, rest = item.partition("/00000000")
            item = f"{head}/0000{number % 3}000{rest}" if slash else item
        elif name in ("birthDate", "start", "recordedDate") and isinstance(item, str) and len(item) > 7:
            item = f"{item[:9]}{number % 5 + 1}{item[10:]}"
        held[name] = _renamed(item, number)
    return held


def test_outlines_are_not_looked_for_where_there_are_none() -> None:
    luck = outlines.Luck()
    assert all(luck.worth() for _ in range(outlines._TRIES - 1))
    assert not luck.worth()
    assert sum(luck.worth() for _ in range(outlines._AGAIN)) > 0
    lucky = outlines.Luck()
    for _ in range(10_000):
        assert lucky.worth()
        lucky.found()


def test_what_is_remembered_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "_KEPT", 4)
    known = Elements(*PARTS, BASE)
    for number in range(40):
        written = codec.encode({"birthDate": f"19{number + 10}-01-01", "name": [{"text": "x" * 2000}]})
        assert known.whole("Patient", "1", (), written) is not None
    assert len(known._lately) + len(known._before) <= 10
    for number in range(1000):
        assert known.whole("Patient", "1", (), codec.encode({"gender": "male", "language": f"l{number}"})) is not None
    assert len(known._outlines) <= 513
