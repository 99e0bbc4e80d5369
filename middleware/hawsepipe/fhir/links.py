"""Links between the entries of a transaction: names and conditional references, replaced by what they stand for.

https://hl7.org/fhir/R4/http.html#trules: references, elements of the types uri, url, oid, uuid and canonical, and the
addresses in a narrative. An element of another type that holds the same text (an identifier's value) stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.definitions import Definitions, load
from hawsepipe.fhir.references import walk
from hawsepipe.model import Resource

_CONDITIONAL: Final = re.compile(r"[A-Z][A-Za-z]{1,63}\?.+", re.DOTALL)
_LOCATED: Final = re.compile(r"(?P<base>https?://.+)/[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_ADDRESS: Final = re.compile(r"""(?P<name>\b(?:href|src)\s*=\s*)(?P<quote>["'])(?P<target>.*?)(?P=quote)""", re.DOTALL)
_LINKS: Final = frozenset({"uri", "url", "oid", "uuid", "canonical"})


def conditional(resource: Resource) -> Iterator[tuple[str, str]]:
    """Yield (FHIRPath, literal) of each reference in the form `Type?criteria`."""
    kinds = load().resource_types
    for path, literal in walk(resource):
        if _CONDITIONAL.fullmatch(literal) and literal.partition("?")[0] in kinds:
            yield path, literal


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return the (name, value) pairs of criteria as they stand in a reference. Raises InvalidRequest."""
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
    except ValueError as error:
        raise InvalidRequest("the criteria are not UTF-8 in percent encoding, or too many") from error


def relinked(resource: Resource, targets: Mapping[str, str], name: str | None = None) -> Resource:
    """Return the resource with each link that is among `targets` replaced; it is not altered itself.

    `name` is the resource's own fullUrl: where that is an address, a relative reference stands for one below the same
    base, as https://hl7.org/fhir/R4/bundle.html#references says.
    """
    located = _LOCATED.fullmatch(name) if name is not None else None
    linked: Resource = _Relinking(load(), targets, located["base"] if located is not None else None).resource(resource)
    return linked


class _Relinking:
    def __init__(self, definitions: Definitions, targets: Mapping[str, str], base: str | None) -> None:
        self._definitions = definitions
        self._targets = targets
        self._base = base

    def resource(self, value: Any) -> Any:
        kind = value.get("resourceType") if isinstance(value, dict) else None
        return self._object(value, kind) if kind in self._definitions.resource_types else value

    def _object(self, value: dict[str, Any], shape: str) -> dict[str, Any]:
        fields = self._definitions.shape(shape)
        result: dict[str, Any] = {}
        for key, held in value.items():
            field = fields.get(key.removeprefix("_"))
            if field is None:
                result[key] = held
            elif isinstance(held, list):
                result[key] = [self._item(key, item, field.type, field.shape) for item in held]
            else:
                result[key] = self._item(key, held, field.type, field.shape)
        return result

    def _item(self, key: str, held: Any, kind: str, shape: str | None) -> Any:
        if isinstance(held, dict):
            if key.startswith("_"):
                return self._object(held, "Element")
            return self.resource(held) if shape is None else self._object(held, shape)
        if not isinstance(held, str):
            return held
        if key == "reference":
            return self._target(held)
        if kind in _LINKS:
            return self._targets.get(held, held)
        if kind == "xhtml":
            return _ADDRESS.sub(self._address, held)
        return held

    def _target(self, literal: str) -> str:
        plain, mark, fragment = literal.partition("#")
        if self._base is not None and _RELATIVE.fullmatch(plain):
            plain = f"{self._base}/{plain}"
        found = self._targets.get(literal) or self._targets.get(plain)
        return literal if found is None else found if literal in self._targets else found + mark + fragment

    def _address(self, match: re.Match[str]) -> str:
        target = self._targets.get(match["target"])
        return match[0] if target is None else f"{match['name']}{match['quote']}{target}{match['quote']}"
