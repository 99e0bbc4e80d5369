"""Bundles (https://hl7.org/fhir/R4/bundle.html). Stored content goes in byte for byte, as `msgspec.Raw`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hawsepipe.fhir.dates import instant_text
from hawsepipe.fhir.outcome import outcome
from hawsepipe.model import Change, Issue, Method, Operation, Resource, Version


def searchset(
    versions: Iterable[Version],
    *,
    base_url: str,
    links: Mapping[str, str],
    total: int | None = None,
    issues: Sequence[Issue] = (),
    included: Iterable[Version] = (),
) -> Resource:
    """Return one page of a search. `links` maps relations (self, next) to URLs; `issues` become an outcome entry."""
    entries: list[dict[str, Any]] = []
    for mode, found in (("match", versions), ("include", included)):
        for version in found:
            entry = _identified(version, base_url)
            entry["search"] = {"mode": mode}
            entries.append(entry)
    if issues:
        entries.append({"resource": outcome(issues), "search": {"mode": "outcome"}})
    return _bundle("searchset", links, total, entries)


def history(
    versions: Iterable[Version], *, base_url: str, links: Mapping[str, str], total: int | None = None
) -> Resource:
    """Return one page of a history, newest first as given. An entry without a resource is a delete."""
    entries: list[dict[str, Any]] = []
    for version in versions:
        entry = _identified(version, base_url)
        deleted = version.operation is Operation.DELETE
        entry["request"] = {"method": "DELETE" if deleted else "PUT", "url": version.reference}
        entry["response"] = {
            "status": {Operation.CREATE: "201", Operation.UPDATE: "200", Operation.DELETE: "204"}[version.operation],
            "etag": etag(version.version),
            "lastModified": instant_text(version.last_updated),
        }
        entries.append(entry)
    return _bundle("history", links, total, entries)


def transaction(changes: Iterable[Change], *, base_url: str | None = None) -> Resource:
    """Return changes as a transaction Bundle; a MERGE is a PUT of what it names, since FHIR has no word for it."""
    entries: list[dict[str, Any]] = []
    for change in changes:
        reference = f"{change.type}/{change.id}"
        entry: dict[str, Any] = {}
        if base_url is not None:
            entry["fullUrl"] = f"{base_url}/{reference}"
        if change.resource is not None:
            entry["resource"] = change.resource
        request = {"method": "DELETE" if change.method is Method.DELETE else "PUT", "url": reference}
        if change.method is Method.CREATE or change.if_match == 0:
            request["ifNoneMatch"] = "*"
        elif change.if_match is not None:
            request["ifMatch"] = etag(change.if_match)
        entry["request"] = request
        entries.append(entry)
    return _bundle("transaction", {}, None, entries)


def etag(version: int) -> str:
    """Return the weak ETag of a version number."""
    return f'W/"{version}"'


def _identified(version: Version, base_url: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"fullUrl": f"{base_url}/{version.reference}"}
    if version.content is not None and version.operation is not Operation.DELETE:
        entry["resource"] = msgspec.Raw(version.content)
    return entry


def _bundle(kind: str, links: Mapping[str, str], total: int | None, entries: list[dict[str, Any]]) -> Resource:
    bundle: Resource = {"resourceType": "Bundle", "type": kind}
    if total is not None:
        bundle["total"] = total
    if links:
        bundle["link"] = [{"relation": relation, "url": url} for relation, url in links.items()]
    if entries:
        bundle["entry"] = entries
    return bundle
