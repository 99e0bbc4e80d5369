"""Observations, and the devices and people that they are about. Pure: the same reading gives the same resources.

Ids are made of what is known at the source (device, template, time), so that a reading that comes twice is one
Observation, and a window that is gathered anew a version of the one that it was before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from hawsepipe import Change, Method, Resource
from hawsepipe_iomt.devices import Assignment

NAMESPACE: Final = UUID("6f1c2a52-7a0e-5d0b-9d8e-4c5b2f0e7a11")
"""The namespace of ids made from business identifiers; that of messages of HL7 v2, so that persons meet."""
UCUM: Final = "http://unitsofmeasure.org"
ORIGINAL: Final = "http://hl7.org/fhir/StructureDefinition/iso21090-PQ-translation"
"""The extension of a Quantity that has the same amount as it was sent, in the device's own unit."""
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_AGENT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def id_of(type: str, *key: str) -> str:
    """Return an id made from a business key."""
    return str(uuid5(NAMESPACE, "|".join((type, *key))))


def patient(whom: Assignment) -> Change:
    """Return the change that makes a patient known by an identifier, and leaves one that is known as it is."""
    resource = {
        "resourceType": "Patient",
        "id": id_of("Patient", whom.system, whom.value),
        "identifier": [{"system": whom.system, "value": whom.value}],
    }
    return _known(resource)


def device(system: str, id: str) -> Change:
    """Return the change that makes a device known."""
    resource = {
        "resourceType": "Device",
        "id": id_of("Device", system, id),
        "identifier": [{"system": system, "value": id}],
    }
    return _known(resource)


def _known(resource: Resource) -> Change:
    everything = frozenset(resource) - {"id"}
    return Change(Method.MERGE, resource["resourceType"], resource["id"], resource, keep=everything)


def observation(
    id: str,
    concept: Mapping[str, Any],
    category: str | None,
    subject: Change,
    source: Change,
    effective: Mapping[str, Any],
) -> Resource:
    """Return an Observation without its value. `effective` is its time element."""
    result: Resource = {"resourceType": "Observation", "id": id, "status": "final"}
    if category is not None:
        result["category"] = [{"coding": [{"system": _CATEGORY, "code": category}]}]
    result["code"] = concept
    result["subject"] = {"reference": f"Patient/{subject.id}"}
    result.update(effective)
    result["device"] = {"reference": f"Device/{source.id}"}
    return result


def quantity(value: Decimal, unit: str, original: tuple[Decimal, str] | None = None) -> dict[str, Any]:
    """Return a Quantity in a UCUM unit; `original` is what it was converted from."""
    result: dict[str, Any] = {}
    if original is not None:
        result["extension"] = [{"url": ORIGINAL, "valueQuantity": quantity(*original)}]
    return result | {"value": value, "unit": unit, "system": UCUM, "code": unit}


def provenance(source: Change, effective: Mapping[str, Any]) -> Resource:
    """Return the words of the device for a Provenance: that it has measured, and when."""
    who = {
        "type": {"coding": [{"system": _AGENT, "code": "author"}]},
        "who": {"reference": f"Device/{source.id}"},
    }
    told: Resource = {"agent": [who]}
    if "effectivePeriod" in effective:
        told["occurredPeriod"] = effective["effectivePeriod"]
    return told


def instant_text(moment: datetime) -> str:
    """Return an instant in UTC, to the millisecond where it has any."""
    spec = "microseconds" if moment.microsecond % 1000 else "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")
