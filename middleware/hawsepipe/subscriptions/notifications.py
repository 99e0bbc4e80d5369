"""Notifications as Bundles: https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/notifications.html (R4)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from hawsepipe.fhir.dates import instant_text
from hawsepipe.model import Resource, Version
from hawsepipe.subscriptions.record import Event, Record
from hawsepipe.subscriptions.terms import Content, topic_of

_STATUS: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4"
_NOTIFICATION: Final = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification-r4"
)


@dataclass(frozen=True, slots=True)
class Told:
    """An event as its subscriber may see it now; without a version when that is nothing any more."""

    event: Event
    version: Version | None


def status(record: Record, kind: str, base_url: str, told: Sequence[Told] = ()) -> Resource:
    """Return a SubscriptionStatus as the Parameters that R4 has for it."""
    parts: list[Resource] = [
        {"name": "subscription", "valueReference": {"reference": f"{base_url}/Subscription/{record.id}"}},
        {"name": "topic", "valueCanonical": topic_of(record.resource)},
        {"name": "status", "valueCode": record.state.value},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(record.count)},
    ]
    parts += [_event(one, base_url) for one in told]
    if record.error:
        parts.append({"name": "error", "valueCodeableConcept": {"text": record.error}})
    return {"resourceType": "Parameters", "id": record.id, "meta": {"profile": [_STATUS]}, "parameter": parts}


def bundle(record: Record, kind: str, content: Content, base_url: str, told: Sequence[Told] = ()) -> bytes:
    """Return a notification: the status, and of each event as much as its content says."""
    shown = told if content is not Content.EMPTY else [Told(one.event, None) for one in told]
    request = {"method": "GET", "url": f"{base_url}/Subscription/{record.id}/$status"}
    entries: list[dict[str, Any]] = [
        {
            "fullUrl": f"urn:uuid:{record.id}",
            "resource": status(record, kind, base_url, shown),
            "request": request,
            "response": {"status": "200"},
        }
    ]
    for one in shown:
        if one.version is None:
            continue
        created = one.version.version == 1
        entry: dict[str, Any] = {"fullUrl": f"{base_url}/{one.version.reference}"}
        if content is Content.FULL:
            entry["resource"] = msgspec.Raw(one.version.content or b"{}")
        entry["request"] = {
            "method": "POST" if created else "PUT",
            "url": one.version.type if created else one.version.reference,
        }
        entry["response"] = {"status": "201" if created else "200"}
        entries.append(entry)
    made: Resource = {
        "resourceType": "Bundle",
        "meta": {"profile": [_NOTIFICATION]},
        "type": "history",
        "timestamp": instant_text(told[-1].event.instant if told else record.updated),
        "entry": entries,
    }
    return msgspec.json.encode(made)


def _event(told: Told, base_url: str) -> Resource:
    parts: list[Resource] = [
        {"name": "event-number", "valueString": str(told.event.number)},
        {"name": "timestamp", "valueInstant": instant_text(told.event.instant)},
    ]
    if told.version is not None:
        parts.append({"name": "focus", "valueReference": {"reference": f"{base_url}/{told.version.reference}"}})
    return {"name": "notification-event", "part": parts}
