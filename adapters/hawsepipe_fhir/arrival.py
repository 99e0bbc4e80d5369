"""A body at the door of a feed: which version it is in, what its conversion loses, and what identifies it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

from hawsepipe import HawsepipeError, Issue, MessageError, RawMessage, Refusal, Resource, Severity, decode
from hawsepipe_fhir import detection
from hawsepipe_fhir.evidence import version_of
from hawsepipe_fhir.translator import FhirTranslator


@dataclass(frozen=True, slots=True)
class Arrival:
    """A body as its feed hands it over. `raw` names its version in its media type; `key` is what identifies it;
    `issues` is what the conversion to R4 reports (every loss, every note); `refusal` is set for what is no message.
    """

    raw: RawMessage
    key: str
    issues: tuple[Issue, ...]
    refusal: Refusal | None = None


def arrive(raw: RawMessage, fixed: str | None) -> Arrival:
    """Examine a body; never raises. `fixed` is the version of the feed, None when it takes any."""
    try:
        essence, told = detection.essence(raw.media_type)
        body = decode(raw.body)
        if not isinstance(body.get("resourceType"), str):
            raise MessageError("structure", "resourceType", "is missing")
        version = version_of(body, told, fixed)
        named = RawMessage(raw.feed, raw.received_at, f"{essence}; fhirVersion={detection.NUMBERED[version]}", raw.body)
        # What the settings of the feed's translator refuse is the translator's to say; here the report counts.
        issues = _reporter().read(named).issues
        issues = tuple(it for it in issues if it.severity is not Severity.ERROR)
        return Arrival(named, _key(body), issues)
    except MessageError as error:
        return _refused(raw, Refusal(error.cause, error.location, error.reason))
    except HawsepipeError as error:
        return _refused(raw, Refusal("parse", "", str(error)))
    except Exception as error:
        # A fault of ours stays with this message; its words may hold patient data, its class does not.
        return _refused(raw, Refusal("parse", "", f"the body could not be examined ({type(error).__name__})"))


@cache
def _reporter() -> FhirTranslator:
    """Return a translator that reports; made once, since its digest goes over all tables."""
    return FhirTranslator({"unreadable": "report", "consents": "trust"})


def _refused(raw: RawMessage, refusal: Refusal) -> Arrival:
    return Arrival(raw, f"unreadable|{uuid4()}", (), refusal)


def _key(body: Resource) -> str:
    """Return what identifies a message: a Bundle's identifier, a version of a resource; else it is like no other.

    The same bytes without any of these are no repetition: they may take back what came between.
    """
    meta: Any = body.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    identifier: Any = body.get("identifier")
    if body["resourceType"] == "Bundle" and isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
        return f"bundle|{identifier.get('system', '')}|{identifier['value']}"
    if isinstance(version, str) and isinstance(body.get("id"), str):
        return f"{body['resourceType']}/{body['id']}/_history/{version}"
    return f"unnamed|{uuid4()}"
