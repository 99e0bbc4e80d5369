"""What two houses hold: the same consents, what the requester sees, and in one of them what she does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hawsepipe.model import Resource

_T: Final = "http://terminology.hl7.org/CodeSystem/"
_V: Final = {"security": [{"system": f"{_T}v3-Confidentiality", "code": "V"}]}
_HELD_BACK: Final = {"security": [{"system": f"{_T}v3-ActReason", "code": "HRESCH"}]}


def observation(identity: str, patient: str, code: str, value: float, **more: Any) -> Resource:
    """Return a result of a patient."""
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "category": [{"coding": [{"system": f"{_T}observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{patient}", "display": "Zebrasecret"},
        "effectiveDateTime": f"2026-02-{int(value) + 1:02}",
        "valueQuantity": {"value": value, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
        "identifier": [{"system": "urn:lab", "value": identity}],
        **more,
    }


def patient(identity: str, family: str, **more: Any) -> Resource:
    """Return a patient with a number made of the id."""
    number = [{"system": "urn:mrn", "value": f"MRN-{identity}"}]
    name = [{"family": family, "given": ["Ann"]}]
    return {
        "resourceType": "Patient",
        "id": identity,
        "identifier": number,
        "name": name,
        "birthDate": "1970-01-01",
        "gender": "female",
        **more,
    }


def _consent(identity: str, patient: str, **provision: Any) -> Resource:
    return {
        "resourceType": "Consent",
        "id": identity,
        "status": "active",
        "scope": {"coding": [{"system": f"{_T}consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": provision,
    }


def _said(target: str) -> Mapping[str, Any]:
    return {"reference": target, "display": "Zebrasecret", "identifier": {"system": "urn:mrn", "value": "MRN-q"}}


# The consents are policy and stand in both houses, though the requester sees neither of them.
CONSENTS: Final = (
    _consent("cq", "q", type="deny"),
    _consent("cp", "p", type="permit"),
)
SEEN: Final[Sequence[Resource]] = (
    patient("p", "Lindqvist", generalPractitioner=[_said("Practitioner/alice"), _said("Patient/q")][:1]),
    patient("r", "Lindgren"),
    {"resourceType": "Practitioner", "id": "alice", "name": [{"family": "Alm"}]},
    {"resourceType": "Location", "id": "ward", "name": "Ward"},
    observation("o1", "p", "2345-7", 5),
    observation("o2", "p", "2345-7", 6, derivedFrom=[_said("Observation/h1"), _said("Observation/o1")]),
    observation("o3", "r", "8480-6", 7, focus=[_said("Patient/q")]),
    {
        "resourceType": "DiagnosticReport",
        "id": "d1",
        "status": "final",
        "code": {"text": "panel"},
        "subject": {"reference": "Patient/p"},
        "result": [_said("Observation/h1"), _said("Observation/o1"), _said("Observation/none")],
    },
    {
        "resourceType": "Composition",
        "id": "k1",
        "status": "final",
        "type": {"text": "note"},
        "subject": {"reference": "Patient/p"},
        "date": "2026-02-01",
        "author": [{"reference": "Practitioner/alice"}],
        "title": "note",
        "section": [{"title": "results", "entry": [_said("Observation/o1"), _said("Observation/h1")]}],
    },
    {
        "resourceType": "List",
        "id": "l1",
        "status": "current",
        "mode": "working",
        "subject": {"reference": "Patient/p"},
        "entry": [{"item": _said("Observation/h1")}, {"item": _said("Observation/o2")}],
    },
    {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "YWJj"},
)
HIDDEN: Final[Sequence[Resource]] = (
    patient("q", "Zebrasecret"),
    patient("m", "Zebramother", meta=_V),
    {"resourceType": "Location", "id": "shelter", "name": "Zebra Street", "meta": _V},
    observation("h1", "p", "72133-2", 21, meta=_V),
    observation("h2", "q", "2345-7", 8),
    observation("h3", "r", "2345-7", 3, meta=_HELD_BACK, derivedFrom=[{"reference": "Observation/o1"}]),
    {
        "resourceType": "Condition",
        "id": "x1",
        "subject": {"reference": "Patient/q"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "86406008"}]},
    },
    {
        "resourceType": "DiagnosticReport",
        "id": "d2",
        "status": "final",
        "code": {"text": "hidden panel"},
        "subject": {"reference": "Patient/p"},
        "meta": _V,
        "result": [{"reference": "Observation/o1"}],
    },
    {
        "resourceType": "Composition",
        "id": "k2",
        "status": "final",
        "type": {"text": "note"},
        "subject": {"reference": "Patient/q"},
        "date": "2026-02-01",
        "author": [{"reference": "Practitioner/alice"}],
        "title": "note",
    },
    {
        "resourceType": "Group",
        "id": "g1",
        "type": "person",
        "actual": True,
        "member": [{"entity": {"reference": "Patient/q"}}],
    },
    {
        "resourceType": "Binary",
        "id": "b2",
        "contentType": "text/plain",
        "data": "YWJj",
        "securityContext": {"reference": "Patient/q"},
    },
    {
        "resourceType": "CodeSystem",
        "id": "cs2",
        "url": "http://example.org/secret",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "a"}],
        "meta": _HELD_BACK,
    },
)
GONE: Final[Sequence[Resource]] = (
    observation("h4", "p", "1-1", 1, meta=_V),
    patient("s", "Zebra", meta=_V),
)
"""Hidden resources that have been deleted."""

TYPES: Final = ("Patient", "Observation", "DiagnosticReport", "Condition", "Location", "Binary", "Composition", "List")
IDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Patient": ("p", "r", "q", "m", "s", "none"),
    "Observation": ("o1", "o2", "o3", "h1", "h2", "h3", "h4", "none"),
    "DiagnosticReport": ("d1", "d2", "none"),
    "Condition": ("x1", "none"),
    "Location": ("ward", "shelter", "none"),
    "Binary": ("b1", "b2", "none"),
    "Composition": ("k1", "k2", "none"),
    "List": ("l1", "none"),
    "Group": ("g1", "none"),
    "CodeSystem": ("cs2", "none"),
    "ValueSet": ("none",),
    "ConceptMap": ("none",),
    "Encounter": ("none",),
    "Device": ("none",),
    "Practitioner": ("alice", "none"),
    "RelatedPerson": ("none",),
}
SEARCHES: Final[Mapping[str, tuple[str, ...]]] = {
    "Patient": (
        "family=zebra",
        "family=lind",
        "identifier=urn:mrn|MRN-q",
        "identifier=urn:mrn|MRN-p",
        "birthdate=1970-01-01",
        "_has:Observation:patient:code=72133-2",
        "_has:Observation:patient:code=2345-7",
        "_has:Condition:patient:code=86406008",
        "general-practitioner:missing=true",
        "gender:not=male",
        "_revinclude=Observation:subject",
        "_content=zebrasecret",
    ),
    "Observation": (
        "code=72133-2",
        "code=2345-7",
        "code:not=2345-7",
        "subject=Patient/q",
        "patient=p",
        "subject:Patient.family=zebra",
        "subject:identifier=urn:mrn|MRN-q",
        "focus:identifier=urn:mrn|MRN-q",
        "derived-from=Observation/h1",
        "derived-from:identifier=urn:mrn|MRN-q",
        "derived-from:Observation.code=72133-2",
        "value-quantity=gt4",
        "date=ge2026-02-05",
        "_include=Observation:derived-from",
        "_include=Observation:subject",
        "_include:iterate=Observation:derived-from",
        "_revinclude=DiagnosticReport:result",
        "_list=l1",
        "_content=zebrasecret",
        "identifier=h1",
        "code-value-quantity=72133-2$gt1",
    ),
    "DiagnosticReport": (
        "result=Observation/h1",
        "result.code=72133-2",
        "_include=DiagnosticReport:result",
        "patient=p",
    ),
    "Condition": ("code=86406008", "patient=q", "subject:missing=false"),
    "Location": ("name=zebra", "name=ward", "near=10|10|100|km"),
    "Composition": ("entry=Observation/h1", "subject=Patient/q"),
    "List": ("item=Observation/h1", "item.code=72133-2"),
    "Binary": ("contenttype=text/plain",),
}
