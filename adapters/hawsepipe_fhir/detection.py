"""Which version of FHIR a body is written in.

https://hl7.org/fhir/R4/versioning.html#mt-version: the media type's parameter `fhirVersion` says it. Without it the
resource may say it itself (`fhirVersion` of a CapabilityStatement or StructureDefinition, a profile of a version).
Guessing by shape is for those who ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from hawsepipe import MessageError
from hawsepipe_fhir import definitions
from hawsepipe_fhir.conversion import NUMBERS
from hawsepipe_fhir.definitions import Definitions

R4 = "r4"
VERSIONS = (R4, *NUMBERS)
_NAMES = {"1.0": "dstu2", "3.0": "stu3", "4.0": R4, "4.3": R4, "5.0": "r5"}
"""Version numbers by their first two parts. R4B (4.3) is R4 for the types that the two share."""
NUMBERED = {R4: "4.0", **NUMBERS}
"""The number of each version, as the media type's parameter has it."""
_PROFILE = re.compile(r"http://hl7\.org/fhir/([0-9]\.[0-9])/StructureDefinition/")


def named(version: str) -> str:
    """Return the version for a name or number (`STU3`, `3.0`, `3.0.2`). Raises KeyError for an unknown one."""
    lowered = version.strip().lower()
    return lowered if lowered in VERSIONS else _NAMES[".".join(lowered.split(".")[:2])]


def essence(media_type: str) -> tuple[str, str | None]:
    """Return the media type without parameters, and the version that it names, None without one.

    Raises MessageError for a version that nobody knows.
    """
    header = EmailMessage()
    header["Content-Type"] = media_type or "application/fhir+json"
    told = header.get_param("fhirversion")
    if not isinstance(told, str):
        return header.get_content_type(), None
    try:
        return header.get_content_type(), named(told)
    except KeyError:
        raise MessageError("structure", "fhirVersion", "names a version of FHIR that is not read here") from None


def stated(resource: Mapping[str, Any]) -> str | None:
    """Return the version that a resource states of itself, None when it states none."""
    found = resource.get("fhirVersion")
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, Mapping) else None
    candidates = [found] if isinstance(found, str) else []
    for profile in profiles if isinstance(profiles, list) else ():
        match = _PROFILE.match(profile) if isinstance(profile, str) else None
        if match is not None:
            candidates.append(match[1])
    for candidate in candidates:
        try:
            return named(candidate)
        except KeyError:
            continue
    return None


def guessed(resource: Mapping[str, Any]) -> str:
    """Return the version that knows most of a resource's elements; of equals the first of R4, STU3, DSTU2, R5."""
    found = strangers(resource)
    return min(found, key=lambda version: found[version])


def strangers(resource: Mapping[str, Any]) -> dict[str, int]:
    """Return how many elements of a resource each version does not have: R4, STU3, DSTU2, R5."""
    known = {R4: definitions.r4()} | {version: definitions.source(version) for version in ("stu3", "dstu2", "r5")}
    return {version: _strange(resource, held) for version, held in known.items()}


def _strange(resource: Any, known: Definitions) -> int:
    """Count the elements that a version does not have; a type that it does not have counts as all of them."""
    kind = resource.get("resourceType") if isinstance(resource, Mapping) else None
    if not isinstance(kind, str) or not known.knows(kind):
        return 1000
    return _unknown(resource, kind, "", known)


def _unknown(value: Mapping[str, Any], type: str, below: str, known: Definitions) -> int:
    total = 0
    fields = known.children(type, below)
    for key, held in value.items():
        field = fields.get(key.removeprefix("_"))
        if field is None:
            total += key != "resourceType"
            continue
        many = isinstance(held, list)
        total += many != field.many
        for item in held if many else (held,):
            if field.primitive or not isinstance(item, Mapping):
                total += field.primitive == isinstance(item, Mapping) and not key.startswith("_")
            elif field.type == "Resource":
                total += _strange(item, known)
            else:
                inside = (field.type, "") if field.type else (field.owner, field.below)
                total += _unknown(item, *inside, known)
    return total
