"""What the entries of a Bundle ask for (https://hl7.org/fhir/R4/bundle.html): changes, in an order that is safe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hawsepipe import Change, Issue, Method, Resource, Severity
from hawsepipe_fhir.caution import laid_beside, narrowed
from hawsepipe_fhir.identity import Identities

_URL = re.compile(
    r"(?:https?://[^?]*/|/)?(?P<type>[A-Z][A-Za-z]+)(?:/(?P<id>[A-Za-z0-9\-.]{1,64}))?(?:\?(?P<query>.*))?"
)
_WHOLE = frozenset({"searchset", "history"})

SOURCE_VERSION = "urn:hawsepipe:extension:source-version"
"""The extension of `meta` with the version (`versionId`) and the instant (`lastUpdated`) that the source gave."""

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9](\.[0-9]+)?(Z|[+-][0-9][0-9]:[0-9][0-9])"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One change, and the path of its resource in the message."""

    change: Change
    path: str


def resources(body: Resource) -> Iterator[tuple[str, Mapping[str, Any], Resource | None]]:
    """Yield (path, entry, resource) of each entry, or of the resource itself when it is no Bundle."""
    if body.get("resourceType") != "Bundle":
        yield "", {}, body
        return
    entries = body.get("entry")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping):
            resource = entry.get("resource")
            yield f"entry[{index}].resource", entry, resource if isinstance(resource, dict) else None


def asked(body: Resource, identities: Identities, issues: list[Issue], consents: str) -> list[Asked]:
    """Return the changes that a resource or Bundle of R4 asks for; what cannot be done is an issue.

    `consents` says what becomes of a Consent: `narrow`, `trust` or `refuse` (see the settings).
    """
    kind = body.get("type") if body.get("resourceType") == "Bundle" else None
    found: list[tuple[str, str, str, Resource | None]] = []
    entries = list(enumerate(resources(body)))
    if identities.shared:
        # Whose something is decides under which id it is: first the persons, then what has a name of its own.
        entries.sort(key=lambda it: _rank(it[1][2]))
    places: list[int] = []
    for place, (path, entry, resource) in entries:
        change = _one(path, entry, resource, identities, issues)
        if change is not None and change[0] == "Consent" and consents != "trust":
            change = _cautious(path, change[2], identities, issues, refused=consents == "refuse")
        if change is not None:
            found.append((path, *change))
            places.append(place)
    found = [it for _, it in sorted(zip(places, found, strict=True), key=lambda pair: pair[0])]
    result: list[Asked] = []
    seen: set[tuple[str, str]] = set()
    for path, type_, id_, resource in found:
        if (type_, id_) in seen:
            # A history and a search have the newest version first; elsewhere the second would undo the first.
            severity = Severity.INFORMATION if kind in _WHOLE else Severity.ERROR
            issues.append(Issue(severity, "structure", path, "the message has a newer version of this resource"))
            continue
        seen.add((type_, id_))
        if resource is None:
            result.append(Asked(Change(Method.DELETE, type_, id_, None), path))
        elif type_ == "Consent" and consents != "trust":
            result.append(Asked(laid_beside(id_, narrowed(_kept(resource, id_, identities))), path))
        elif identities.shared:
            for reference in references(resource):
                if identities.strange(reference):
                    text = "it leads to a patient whom the message does not hold, so that nobody knows which one here"
                    issues.append(Issue(Severity.ERROR, "structure", path or type_, text))
                    break
            kept = _kept(resource, id_, identities)
            result.append(Asked(Change(Method.MERGE, type_, id_, kept, union=frozenset({"identifier"})), path))
        else:
            result.append(Asked(Change(Method.PUT, type_, id_, _kept(resource, id_, identities)), path))
    return result


def _rank(resource: Resource | None) -> int:
    if resource is None:
        return 2
    return 0 if resource.get("resourceType") == "Patient" else 1 if "identifier" in resource else 2


def references(value: Any) -> Iterator[str]:
    """Yield the literal references in a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for held in value.values():
            yield from references(held)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def _one(
    path: str, entry: Mapping[str, Any], resource: Resource | None, identities: Identities, issues: list[Issue]
) -> tuple[str, str, Resource | None] | None:
    """Return (type, id, resource) of one entry, the resource None for a delete; None when it asks for nothing."""

    def refuse(text: str, severity: Severity = Severity.ERROR, cause: str = "structure") -> None:
        issues.append(Issue(severity, cause, path or "Resource", text))

    request = entry.get("request")
    request = request if isinstance(request, Mapping) else {}
    search = entry.get("search")
    method = request.get("method", "PUT" if resource is not None else None)
    url = _URL.fullmatch(str(request.get("url", "")))
    if isinstance(search, Mapping) and search.get("mode") == "outcome":
        refuse("an outcome of the search, which is no record", Severity.INFORMATION)
        return None
    if method == "DELETE":
        if url is None or not url["id"]:
            refuse("a delete that names no resource")
            return None
        return url["type"], identities.given(url["type"], url["id"]), None
    if method in ("GET", "HEAD"):
        refuse("a request that changes nothing", Severity.INFORMATION)
        return None
    if method not in ("PUT", "POST") or resource is None:
        refuse("an entry that is neither a resource nor a delete")
        return None
    type_ = resource.get("resourceType")
    if not isinstance(type_, str):
        refuse("a resource without a type")
        return None
    for condition in ("ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince"):
        if condition in request:
            refuse(f"{condition} is about the source's own record and is not applied here", Severity.WARNING)
    if method == "PUT" and url is not None and url["query"] is not None:
        refuse("a conditional update is kept under the id that its business identifier gives", Severity.WARNING)
    id_ = identities.identify(type_, resource)
    identities.locate(entry.get("fullUrl"), type_, id_)
    return type_, id_, resource


def _cautious(
    path: str, consent: Resource | None, identities: Identities, issues: list[Issue], *, refused: bool
) -> tuple[str, str, Resource | None] | None:
    """Return what a Consent asks for that may only narrow; None for what would take one away."""
    where = path or "Consent"
    if refused:
        issues.append(Issue(Severity.ERROR, "structure", where, "this feed takes no Consent"))
        return None
    if consent is None:
        text = "a feed withdraws no Consent; the patient or a privacy officer does"
        issues.append(Issue(Severity.WARNING, "structure", where, text))
        return None
    text = "it only narrows until the patient or a privacy officer takes it over; its scope is kept in an extension"
    issues.append(Issue(Severity.WARNING, "structure", f"{path}.scope" if path else "Consent.scope", text))
    return "Consent", identities.by_content("Consent", consent), consent


def _kept(resource: Resource, id: str, identities: Identities) -> Resource:
    """Return the resource as it is kept: its id here, references resolved, the version of the source beside."""
    held = identities.rewrite(resource)
    told = held.pop("meta", None) or {}
    meta = {key: value for key, value in told.items() if key not in _VERSIONED}
    version = list(_source_version(told))
    if version:
        others = [it for it in meta.get("extension", ()) if it.get("url") != SOURCE_VERSION]
        meta["extension"] = [*others, {"url": SOURCE_VERSION, "extension": version}]
    head = {"resourceType": held.pop("resourceType"), "id": id}
    held.pop("id", None)
    return {**head, **({"meta": meta} if meta else {}), **held}


_VERSIONED = frozenset({"versionId", "lastUpdated", "_versionId", "_lastUpdated"})


def _source_version(meta: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the parts of the extension SOURCE_VERSION for what the source says of its version."""
    for name in ("versionId", "lastUpdated"):
        told = meta.get(name)
        if isinstance(told, str) and told:
            instant = name == "lastUpdated" and _INSTANT.fullmatch(told)
            yield {"url": name, "valueInstant" if instant else "valueString": told}
