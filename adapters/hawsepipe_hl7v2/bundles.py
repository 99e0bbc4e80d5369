"""A translation as a transaction Bundle for any FHIR server (https://hl7.org/fhir/R4/http.html#transaction).

Whoever is known by an identifier is met by it: what the message speaks for is a conditional update, what it only
mentions a conditional create. Everything else has its own id. Resources refer to each other by `urn:uuid`, which the
server replaces, so nothing depends on the ids that it gives.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from hawsepipe import Change, Method, Resource, Severity, Translation
from hawsepipe_hl7v2.envelope import CONTROL_ID, MESSAGE_TIME
from hawsepipe_hl7v2.naming import resource_id
from hawsepipe_hl7v2.primitives import absent

_LIFECYCLE = {"system": "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "code": "transform"}
_ASSEMBLER = {
    "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "code": "assembler",
}
_FIXED = frozenset({"resourceType", "id"})
REFUSED = {
    "system": "urn:hawsepipe:translation",
    "code": "refused",
    "display": "an error was found: the record would refuse this message",
}
"""The tag of a Bundle whose translation has an issue at error level."""


def bundle(translation: Translation) -> Resource:
    """Return the Bundle: the header, the changes, and one Provenance of all that they make.

    The same translation gives the same Bundle. A MERGE becomes an update of what it names, since FHIR has no word for
    it: elements that it removes are left out, and those it would join are those of the message alone.
    """
    urls = {f"{change.type}/{change.id}": f"urn:uuid:{change.id}" for change in translation.changes}
    header = translation.header
    entries: list[dict[str, Any]] = []
    if header is not None:
        urls[f"MessageHeader/{header['id']}"] = f"urn:uuid:{header['id']}"
        entries.append(_entry(header, urls, {"method": "PUT", "url": f"MessageHeader/{header['id']}"}))
    for change in translation.changes:
        if change.resource is not None:
            entries.append(_entry(change.resource, urls, _request(change)))
        else:
            entries.append({"fullUrl": f"urn:uuid:{change.id}", "request": _request(change)})
    if translation.provenance is not None:
        provenance = _provenance(translation)
        request = {"method": "PUT", "url": f"Provenance/{provenance['id']}"}
        entries.append(_entry(provenance, urls, request))
    refused = any(issue.severity in (Severity.ERROR, Severity.FATAL) for issue in translation.issues)
    return _head(header, refused=refused) | {"entry": entries}


def _head(header: Resource | None, *, refused: bool) -> Resource:
    head: Resource = {"resourceType": "Bundle"}
    if refused:
        head["meta"] = {"tag": [dict(REFUSED)]}
    told = {item["url"]: item for item in (header or {}).get("extension", ())}
    if CONTROL_ID in told:
        head["identifier"] = told[CONTROL_ID]["valueIdentifier"]
    head["type"] = "transaction"
    time = told.get(MESSAGE_TIME, {}).get("valueDateTime", "")
    if "T" in time:
        head["timestamp"] = time
    return head


def _entry(resource: Resource, urls: dict[str, str], request: dict[str, str]) -> dict[str, Any]:
    made = _linked(resource, urls)
    if "?" in request["url"] or "ifNoneExist" in request:
        # The server's id of whoever is met may be another, and R4 refuses an update whose body says so.
        del made["id"]
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": made, "request": request}


def _linked(node: Any, urls: dict[str, str]) -> Any:
    """Return the object or list with its references to resources of the Bundle replaced."""
    if type(node) is list:
        return [_linked(item, urls) if type(item) is dict or type(item) is list else item for item in node]
    made = {}
    for key, value in node.items():
        kind = type(value)
        if kind is dict or kind is list:
            value = _linked(value, urls)
        elif key == "reference":
            value = urls.get(value, value)
        made[key] = value
    return made


def _request(change: Change) -> dict[str, str]:
    place = f"{change.type}/{change.id}"
    if change.method is Method.DELETE or change.resource is None:
        return {"method": "DELETE", "url": place}
    if change.method is not Method.MERGE:
        return {"method": "PUT", "url": place}
    known = _identity(change)
    if known is None:
        return {"method": "PUT", "url": place}
    if not change.remove and change.resource.keys() - _FIXED - change.union <= change.keep:
        return {"method": "POST", "url": change.type, "ifNoneExist": known}
    return {"method": "PUT", "url": f"{change.type}?{known}"}


def _identity(change: Change) -> str | None:
    """Return the search for the identifier that the resource is known by: the one that its id was made from."""
    identifiers = (change.resource or {}).get("identifier")
    for identifier in identifiers if isinstance(identifiers, list) else ():
        system, value = identifier.get("system"), identifier.get("value")
        if system and value and resource_id(change.type, f"{system}|{value}") == change.id:
            return f"identifier={_token(system)}|{_token(value)}"
    return None


def _token(text: str) -> str:
    for mark in ("\\", "$", ",", "|"):
        text = text.replace(mark, "\\" + mark)
    return quote(text, safe=":/.-_~")


def _provenance(translation: Translation) -> Resource:
    """Complete the sender's words: of what, by whom it was translated, and why something required is missing."""
    told = translation.provenance or {}
    header = translation.header
    sources = {entity["what"].get("reference") for entity in told.get("entity", ())}
    places = [f"{change.type}/{change.id}" for change in translation.changes]
    targets = [place for place in places if place not in sources] or places
    if header is not None and not targets:
        targets = [f"MessageHeader/{header['id']}"]
    made: Resource = {
        "resourceType": "Provenance",
        "id": resource_id("Provenance", f"message|{header['id'] if header is not None else translation.label}"),
        "target": [{"reference": place} for place in targets],
    }
    made |= told
    if "recorded" not in made and "_recorded" not in made:
        made["_recorded"] = {"extension": [absent()]}
    activity = told.get("activity", {}).get("coding", ())
    made["activity"] = {"coding": [dict(_LIFECYCLE), *activity]}
    assembler = {"type": {"coding": [dict(_ASSEMBLER)]}, "who": {"display": "hawsepipe"}}
    made["agent"] = [assembler, *told.get("agent", ())]
    return made
