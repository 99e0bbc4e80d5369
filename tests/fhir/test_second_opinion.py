"""fhir.resources as a second opinion: its R4B models take what we make and refuse what we refuse.

R4 and R4B have the same elements for the types here. The models only check; what is stored never goes through them.
"""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from hawsepipe.demo.tour import MESSAGES
from hawsepipe.fhir import codec, definitions
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import RawMessage, Resource
from hawsepipe.service.kinds import translator

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
SAME = {
    "AllergyIntolerance", "Condition", "DiagnosticReport", "Encounter", "Immunization", "Location", "Observation",
    "Organization", "Patient", "Practitioner", "RelatedPerson", "ServiceRequest", "Specimen",
}  # fmt: skip
"""Types whose elements R4 and R4B share."""


def _accepts(resource: Resource) -> bool:
    kind = resource["resourceType"]
    model: Any = getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    try:
        model.model_validate(json.loads(codec.encode(resource)))
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(file.name for file in MESSAGES.glob("*.hl7")))
async def test_both_take_what_a_message_becomes(name: str) -> None:
    body = (MESSAGES / name).read_bytes().replace(b"\n", b"\r")
    async with translator("hl7v2", None, lambda: NOW) as opened:
        translation = opened.translate(RawMessage("test", NOW, "application/hl7-v2", body))
    validator = Validator(definitions.load())
    seen = 0
    for change in translation.changes:
        assert change.resource is not None
        assert [issue for issue in validator.check(change.resource) if issue.severity.value in ("error", "fatal")] == []
        if change.type in SAME:
            assert _accepts(change.resource), change.type
            seen += 1
    assert seen


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "gender": ["female"]},
        {"resourceType": "Patient", "birthDate": "14.3.1976"},
        {"resourceType": "Patient", "unknown": 1},
        {"resourceType": "Observation", "code": {"text": "x"}},
        {"resourceType": "Observation", "status": "final"},
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "valueString": "a",
            "valueInteger": 1,
        },
        {"resourceType": "Encounter", "status": "finished"},
        {"resourceType": "Immunization", "status": "completed", "vaccineCode": {"text": "x"}},
    ],
)
def test_both_refuse_what_breaks_r4(resource: Resource) -> None:
    assert not _accepts(resource)
    assert Validator(definitions.load()).check(resource)
