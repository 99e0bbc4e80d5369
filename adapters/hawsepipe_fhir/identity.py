"""Under which id a resource of a source is kept here, and where its references lead.

An id that the source gives stays; with a name for the source it becomes one made of the name, the type and the id, so
that two sources cannot meet by accident. A resource without an id has one made of its first business identifier, else
of its content: the same message gives the same ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import hawsepipe
from hawsepipe_fhir.natural import event, identified

NAMESPACE = uuid5(NAMESPACE_URL, "urn:hawsepipe:fhir")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_REFERENCE = re.compile(
    r"(?P<base>https?://.*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?P<version>/_history/[^/#]+)?(?P<part>#.*)?"
)


class Identities:
    """The ids of one message's resources."""

    def __init__(self, source: str, *, shared: bool = False) -> None:
        """`source` is the name of the sending system, empty when its ids are kept as they are. `shared`: what another
        source tells of the same (see `natural`) is kept under the same id.
        """
        self._source = source
        self.shared = shared
        self._places: dict[str, str] = {}
        self._bases: set[str] = set()
        self._taken: dict[str, int] = {}

    def given(self, type: str, id: str) -> str:
        """Return the id here of a resource that has one in its source."""
        if not self._source:
            return id
        return str(uuid5(NAMESPACE, f"{_length(self._source)}{self._source}{type}/{id}"))

    def made(self, type: str, resource: Mapping[str, Any]) -> str:
        """Return the id of a resource without one. Equal resources of one message are told apart by their order."""
        key = next(_business(resource), None)
        if key is None:
            content = {name: held for name, held in resource.items() if name not in ("id", "meta", "text")}
            key = f"content|{hawsepipe.encode(content).decode('utf-8')}"
        key = f"{_length(self._source)}{self._source}{type}|{key}"
        count = self._taken[key] = self._taken.get(key, 0) + 1
        return str(uuid5(NAMESPACE, key if count == 1 else f"{key}|{count}"))

    def by_content(self, type: str, resource: Mapping[str, Any]) -> str:
        """Return an id that changes with the content, whatever id the source gives; `meta` and `text` do not count."""
        content = {name: held for name, held in resource.items() if name not in ("meta", "text")}
        key = f"{_length(self._source)}{self._source}{type}|exact|{hawsepipe.encode(content).decode('utf-8')}"
        return str(uuid5(NAMESPACE, key))

    def identify(self, type: str, resource: Mapping[str, Any]) -> str:
        """Return the id of a resource: the source's if it has a valid one. Shared ones go before."""
        id_ = resource.get("id")
        if self.shared:
            found = identified(type, resource)
            key = None if found is not None else event(type, resource, self.resolve)
            if key is not None:
                count = self._taken[key] = self._taken.get(key, 0) + 1
                found = str(uuid5(NAMESPACE, f"event|{key}" if count == 1 else f"event|{key}|{count}"))
            if found is not None:
                if isinstance(id_, str):
                    self._places[f"{type}/{id_}"] = f"{type}/{found}"
                return found
        if isinstance(id_, str) and _ID.fullmatch(id_):
            return self.given(type, id_)
        return self.made(type, resource)

    def locate(self, address: Any, type: str, id: str) -> None:
        """Remember under which address (`fullUrl`) the message has a resource."""
        if isinstance(address, str):
            self._places[address] = f"{type}/{id}"
            match = _REFERENCE.fullmatch(address)
            if match is not None and match["base"]:
                self._bases.add(match["base"])

    def resolve(self, reference: str) -> str:
        """Return a reference as it is here; one that leads elsewhere stays."""
        known = self._places.get(reference) or self._places.get(reference.partition("/_history/")[0])
        if known is not None:
            return known
        match = _REFERENCE.fullmatch(reference)
        if match is None or (match["base"] and match["base"] not in self._bases):
            return reference
        # A version number of the source is none of ours.
        return f"{match['type']}/{self.given(match['type'], match['id'])}{match['part'] or ''}"

    def strange(self, reference: str) -> bool:
        """Say whether a reference leads to a person whom the message does not hold: under which id is not known."""
        match = _REFERENCE.fullmatch(reference)
        plain = reference.partition("/_history/")[0]
        return match is not None and match["type"] == "Patient" and plain not in self._places

    def rewrite(self, value: Any) -> Any:
        """Return a resource with every reference resolved; what has none is not copied."""
        if isinstance(value, dict):
            changed = {key: self.rewrite(held) for key, held in value.items()}
            if isinstance(value.get("reference"), str):
                changed["reference"] = self.resolve(value["reference"])
            return changed
        if isinstance(value, list):
            return [self.rewrite(item) for item in value]
        return value


def _length(name: str) -> str:
    """Mark where a name ends, so that no two pairs of names and ids are spelt alike."""
    return f"{len(name)}|"


def _business(resource: Mapping[str, Any]) -> Iterator[str]:
    """Yield the business identifiers, those with a system first come first."""
    held = resource.get("identifier")
    for identifier in held if isinstance(held, list) else [held]:
        if isinstance(identifier, Mapping):
            system, value = identifier.get("system"), identifier.get("value")
            if isinstance(system, str) and isinstance(value, str) and identifier.get("use") != "old":
                yield f"identifier|{_length(system)}{system}{value}"
