"""R4 as STU3 and R4 again, by the product's own command (FV-17)."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.product import command
from hawsepipe_conformance.feeds.stage import Stage
from hawsepipe_schemas import load

CHECKS = Checks()
_PATIENT = {"reference": "Patient/p1"}
_LOCAL = "http://hospital.example/codes"
_ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

PAIRS: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"system": _ACT, "code": "AMB"},
        "subject": _PATIENT,
        "reasonCode": [{"text": "Cough"}],
        "reasonReference": [{"reference": "Condition/c1"}],
        "basedOn": [{"reference": "ServiceRequest/s1"}],
        "diagnosis": [{"condition": {"reference": "Condition/c1"}, "use": {"text": "billing"}, "rank": 1}],
        "period": {"start": "2026-03-01T08:30:00+01:00"},
    },
    {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": "urn:mrn", "value": "1"}],
        "name": [{"family": "Doe", "given": ["Jane", "Q"], "_given": [None, {"id": "g2"}]}],
        "_birthDate": {"extension": [{"url": "urn:example:about", "valueString": "spring"}]},
        "maritalStatus": {"coding": [{"system": _ACT.replace("ActCode", "MaritalStatus"), "code": "M"}]},
        "deceasedBoolean": False,
    },
    {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]},
        "subject": _PATIENT,
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2026-03-01T10:15:00Z",
        "valueQuantity": {"value": 37.20, "unit": "Cel", "system": "http://unitsofmeasure.org", "code": "Cel"},
        "note": [{"text": "taken twice"}, {"text": "by mouth"}],
        "derivedFrom": [{"reference": "Observation/o0"}],
        "hasMember": [{"reference": "Observation/o2"}],
        "component": [{"code": {"text": "a"}, "valueInteger": 3}],
    },
    {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "on-hold",
        "statusReason": {"text": "surgery"},
        "intent": "order",
        "category": [{"text": "ward"}, {"text": "night"}],
        "medicationCodeableConcept": {"coding": [{"system": _LOCAL, "code": "W"}]},
        "subject": _PATIENT,
        "encounter": {"reference": "Encounter/e1"},
        "reportedBoolean": True,
        "dosageInstruction": [
            {
                "doseAndRate": [
                    {"type": {"text": "ordered"}, "doseQuantity": {"value": 2}},
                    {"rateQuantity": {"value": 3}},
                ]
            }
        ],
    },
    {
        "resourceType": "Immunization",
        "id": "i1",
        "status": "not-done",
        "statusReason": {"text": "refused"},
        "vaccineCode": {"text": "Influenza"},
        "patient": _PATIENT,
        "occurrenceDateTime": "2026-03-01",
        "protocolApplied": [{"series": "1", "doseNumberPositiveInt": 1}],
    },
    {
        "resourceType": "Invoice",
        "id": "v1",
        "status": "issued",
        "subject": _PATIENT,
        "lineItem": [{"sequence": 1, "chargeItemCodeableConcept": {"text": "bed"}}],
    },
    {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": "2026-03-01T10:00:00Z",
        "entry": [
            {
                "fullUrl": "http://hospital.example/fhir/ServiceRequest/s1",
                "resource": {
                    "resourceType": "ServiceRequest",
                    "id": "s1",
                    "status": "revoked",
                    "intent": "order",
                    "doNotPerform": True,
                    "subject": _PATIENT,
                    "replaces": [{"reference": "http://hospital.example/fhir/ServiceRequest/s0"}],
                },
            }
        ],
    },
)
"""R4 as others may send it: what STU3 has, has otherwise, and has not."""


def unlike(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the paths, without indices, at which two resources differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            if key in one and key in other:
                yield from unlike(one[key], other[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for before, after in zip(one, other, strict=True):
            yield from unlike(before, after, path)
    elif one != other:
        yield path


@CHECKS.case("FV-17", "equal except paths listed in the loss table")
async def _round_trip(stage: Stage) -> None:
    stage.local()  # a stranger's service has no command line here
    known = [re.compile(row["path"]) for row in load("fhir-round-trip.json")["stu3"]]
    older = await _converted("--to", "STU3", "--from", "R4", resources=PAIRS)
    stage.claim("each is written in STU3", len(older) == len(PAIRS))
    visit, *_, bundle = older
    stage.claim("in STU3's own words", visit.get("reason") == PAIRS[0]["reasonCode"] and "reasonCode" not in visit)
    stage.claim("by STU3's own types", bundle["entry"][0]["resource"]["resourceType"] == "ProcedureRequest")
    again = await _converted("--from", "STU3", resources=older)
    stage.claim("and each comes back", len(again) == len(PAIRS))
    for before, after in zip(PAIRS, again, strict=False):
        paths = {f"{before['resourceType']}{path}" for path in unlike(before, after)}
        others = sorted(path for path in paths if not any(pattern.fullmatch(path) for pattern in known))
        stage.claim(f"{before['resourceType']} is the same (found {others[:5]})", not others)


async def _converted(*words: str, resources: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what `hawsepipe convert` makes of resources."""
    with tempfile.TemporaryDirectory(prefix="hawsepipe-convert-") as folder:
        file = Path(folder) / "resources.ndjson"
        file.write_text("".join(json.dumps(one) + "\n" for one in resources), encoding="utf-8")
        printed = await command("convert", *words, str(file))
    return [json.loads(line) for line in printed.splitlines()]
