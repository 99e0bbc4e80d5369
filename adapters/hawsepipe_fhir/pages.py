"""Pages of a remote server's history or search as single messages: one version of one resource each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from hawsepipe import Resource, encode

_PLACE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([^/?#]+))?(?:\?.*)?")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry as a message: a Bundle of type history with this entry alone. `key` names the version; `instant` is
    when the server stored it, None when it does not say.
    """

    body: bytes
    key: str
    instant: datetime | None

    @property
    def mark(self) -> str:
        """What it is recognised by: the SHA-256 (hex) of its key and its bytes."""
        return sha256(self.key.encode() + b"\0" + self.body).hexdigest()


def items(page: Resource) -> Iterator[Item]:
    """Yield the entries of a page in its order; outcomes of a search are none."""
    entries = page.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and _part(entry.get("search"), "mode") != "outcome":
            yield _item(entry)


def next_link(page: Resource) -> str | None:
    """Return the address of the next page, None on the last one."""
    links = page.get("link")
    for link in links if isinstance(links, list) else ():
        if _part(link, "relation") == "next" and isinstance(_part(link, "url"), str):
            return str(link["url"])
    return None


def _item(entry: Resource) -> Item:
    resource = entry.get("resource")
    request, response = entry.get("request"), entry.get("response")
    meta = _part(resource, "meta")
    modified = _part(response, "lastModified")
    kept: Resource = {}
    if isinstance(entry.get("fullUrl"), str):
        kept["fullUrl"] = entry["fullUrl"]
    type_, id_, version = _place(entry)
    if _part(request, "method") == "DELETE":
        kept["request"] = {"method": "DELETE", "url": f"{type_}/{id_}"}
    elif resource is not None:
        kept["resource"] = resource
        kept["request"] = {"method": "PUT", "url": f"{type_}/{id_}"}
    if isinstance(modified, str):
        kept["response"] = {"status": str(_part(response, "status") or "200"), "lastModified": modified}
    instant = _instant(modified if _part(request, "method") == "DELETE" else _part(meta, "lastUpdated") or modified)
    version = _part(meta, "versionId") or version or _etag(_part(response, "etag")) or ""
    body = encode({"resourceType": "Bundle", "type": "history", "entry": [kept]})
    return Item(body, f"{type_}/{id_}/_history/{version}", instant)


def _place(entry: Resource) -> tuple[str, str, str]:
    """Return type, id and version of what an entry is about."""
    resource = entry.get("resource")
    type_, id_ = _part(resource, "resourceType"), _part(resource, "id")
    if isinstance(type_, str) and isinstance(id_, str):
        return type_, id_, ""
    for address in (_part(entry.get("request"), "url"), entry.get("fullUrl")):
        match = _PLACE.fullmatch(address) if isinstance(address, str) else None
        if match is not None:
            return match[1], match[2], match[3] or ""
    return type_ if isinstance(type_, str) else "", "", ""


def _etag(value: Any) -> str:
    return value.removeprefix("W/").strip('"') if isinstance(value, str) else ""


def _instant(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None


def _part(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
