"""What a client may ask for, read from its Subscription: https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/

Anything that is not kept here is refused, not left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from hawsepipe.errors import InvalidResource
from hawsepipe.fhir import links
from hawsepipe.model import Issue, Resource, Severity
from hawsepipe.subscriptions.topics import Topic

_BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
_KNOWN: Final = frozenset({"filter-criteria", "payload-content", "heartbeat-period", "timeout", "max-count"})
_JSON: Final = frozenset({"application/fhir+json", "application/json"})
_HEADER: Final = re.compile(r"([A-Za-z0-9-]{1,64}): ?([\x20-\x7e\x80-\xff]{0,4096})")
_RESERVED: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
)
_PATIENCE: Final = 30
"""Seconds for an answer, at most."""

_MOST: Final = 20
"""Events in one notification, at most."""


_CROOKED: Final = re.compile(r"\\|/\.\.?(/|\Z|\?)|%2e|%2f|%5c|[\x00-\x20\x7f]", re.IGNORECASE)
"""What may make an address another one than it seems."""


class Content(StrEnum):
    """How much of an event is told."""

    EMPTY = "empty"
    ID_ONLY = "id-only"
    FULL = "full-resource"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the house allows: prefixes of addresses, websockets, the shortest heartbeat in seconds."""

    endpoints: tuple[str, ...] = ()
    heartbeat: int = 10

    def endpoint(self, url: str) -> bool:
        """Say whether an address is below one of the prefixes: scheme, host and port the same, the path below it."""
        asked = urlsplit(url)
        if "@" in asked.netloc or asked.fragment or _CROOKED.search(url):
            return False
        for prefix in self.endpoints:
            allowed = urlsplit(prefix)
            path = allowed.path.rstrip("/")
            same = (asked.scheme, asked.netloc.lower()) == (allowed.scheme, allowed.netloc.lower())
            if same and (asked.path == path or asked.path.startswith(f"{path}/")):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Asked:
    """A Subscription as it is kept: filters are (type, query string), of which one must hold for its type."""

    topic: Topic
    filters: tuple[tuple[str, str], ...]
    endpoint: str
    headers: tuple[tuple[str, str], ...]
    content: Content
    heartbeat: timedelta | None
    patience: float
    most: int
    end: str | None

    def filters_of(self, kind: str) -> tuple[str, ...]:
        """Return the filters of a type."""
        return tuple(text for of, text in self.filters if of == kind)


def topic_of(resource: Resource) -> str:
    """Return the url of the topic."""
    return str(resource.get("criteria", ""))


def read(resource: Resource, topics: Mapping[str, Topic], allowed: Allowed) -> Asked:
    """Read what a client wrote. Raises InvalidResource for what is not allowed, or not kept here."""
    topic = topics.get(topic_of(resource))
    if topic is None:
        _refuse("criteria", "this is no topic here; a CapabilityStatement tells which there are", "not-found")
    if resource.get("status", "requested") not in {"requested", "active", "off"}:
        _refuse("status", "a client says requested, or off", "value")
    channel = resource.get("channel")
    if not isinstance(channel, dict) or channel.get("type") != "rest-hook":
        _refuse("channel.type", "channels are rest-hook", "not-supported")
    endpoint = channel.get("endpoint")
    if not isinstance(endpoint, str) or not allowed.endpoint(endpoint):
        _refuse("channel.endpoint", "this address is not among those that the service may call", "forbidden")
    if channel.get("payload", "application/fhir+json") not in _JSON:
        _refuse("channel.payload", "notifications are JSON", "not-supported")
    told = _extensions(channel, "channel")
    content = _one(_extensions(channel.get("_payload"), "channel.payload"), "payload-content")
    if content is not None and content not in set(Content):
        _refuse("channel.payload", "the content is empty, id-only or full-resource", "value")
    heartbeat, most = _number(told, "heartbeat-period"), _number(told, "max-count")
    if heartbeat is not None and heartbeat < allowed.heartbeat:
        _refuse("channel", f"a heartbeat comes every {allowed.heartbeat} seconds at most", "value")
    end = resource.get("end")
    return Asked(
        topic=topic,
        filters=tuple(_filters(resource, topic)),
        endpoint=endpoint,
        headers=tuple(_headers(channel)),
        content=Content(content or "empty"),
        heartbeat=None if heartbeat is None else timedelta(seconds=heartbeat),
        patience=float(min(_number(told, "timeout") or _PATIENCE, _PATIENCE)),
        most=min(most or _MOST, _MOST),
        end=end if isinstance(end, str) else None,
    )


def _filters(resource: Resource, topic: Topic) -> Sequence[tuple[str, str]]:
    found = []
    for value in _extensions(resource.get("_criteria"), "criteria").get("filter-criteria", ()):
        kind, mark, query = str(value).partition("?")
        if not mark or kind not in topic.triggers:
            _refuse("criteria", "a filter is a search of a type that the topic is about", "value")
        for name, _ in links.pairs(query):
            if not topic.filterable(kind, name.partition(":")[0].partition(".")[0]):
                _refuse("criteria", "the topic cannot be filtered by this parameter", "not-supported")
        found.append((kind, query))
    return found


def _headers(channel: Resource) -> Sequence[tuple[str, str]]:
    found = []
    listed = channel.get("header", [])
    for text in listed if isinstance(listed, list) else ():
        match = _HEADER.fullmatch(text) if isinstance(text, str) else None
        if match is None or match[1].lower() in _RESERVED:
            _refuse("channel.header", "this is no header that can be sent", "value")
        found.append((match[1], match[2].strip()))
    return found


def _extensions(element: Any, where: str) -> dict[str, list[Any]]:
    """Return the values of the guide's extensions on an element by their names; modifiers and others are refused."""
    found: dict[str, list[Any]] = {}
    listed = element.get("extension", []) if isinstance(element, dict) else []
    for one in listed if isinstance(listed, list) else ():
        name = str(one.get("url", "")).removeprefix(_BACKPORT) if isinstance(one, dict) else ""
        value = next((value for key, value in one.items() if key.startswith("value")), None) if name else None
        if name not in _KNOWN:
            _refuse(where, "this extension is not kept here", "not-supported")
        found.setdefault(name, []).append(value)
    return found


def _one(told: Mapping[str, list[Any]], name: str) -> Any:
    values = told.get(name, [])
    return values[0] if values else None


def _number(told: Mapping[str, list[Any]], name: str) -> int | None:
    value = _one(told, name)
    if value is not None and (type(value) is not int or value < 1):
        _refuse("channel", f"{name} is a whole number from 1 on", "value")
    return value


def _refuse(path: str, text: str, code: str) -> NoReturn:
    raise InvalidResource((Issue(Severity.ERROR, code, f"Subscription.{path}", text),))
