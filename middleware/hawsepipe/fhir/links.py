"""Links between the entries of a transaction: names and conditional references, replaced by what they stand for.

https://hl7.org/fhir/R4/http.html#trules: references, elements of the types uri, url, oid, uuid and canonical, and the
addresses in a narrative. An element of another type that holds the same text (an identifier's value) stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.definitions import Definitions, load
from hawsepipe.model import Resource

_CONDITIONAL: Final = re.compile(r"[A-Z][A-Za-z]{1,63}\?.+", re.DOTALL)
_LOCATED: Final = re.compile(r"(?P<base>https?://.+)/[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_ADDRESS: Final = re.compile(r"""(?P<name>\b(?:href|src)\s*=\s*)(?P<quote>["'])(?P<target>.*?)(?P=quote)""", re.DOTALL)
_LINKS: Final = frozenset({"uri", "url", "oid", "uuid", "canonical"})


def conditional(literal: str) -> bool:
    """Say whether a reference is of the form `Type?criteria`."""
    return "?" in literal and _CONDITIONAL.fullmatch(literal) is not None and _kind(literal) in load().resource_types


def _kind(literal: str) -> str:
    return literal.partition("?")[0]


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
    base = located["base"] if located is not None else None
    linked: Resource = _Relinking(load(), targets, base).below(resource, "", ())
    return linked


class _Relinking:
    """Replaces links. Most texts are none: what an element is of is asked only where a text is a target."""

    def __init__(self, definitions: Definitions, targets: Mapping[str, str], base: str | None) -> None:
        self._definitions = definitions
        self._targets = targets
        self._base = base

    def below(self, value: Any, kind: str, trail: tuple[str, ...]) -> Any:
        """Return an object or list with its links replaced; itself if there are none. `trail` leads there from the
        resource of type `kind` that it is in.
        """
        if type(value) is dict:
            if type(value.get("resourceType")) is str:
                kind, trail = value["resourceType"], ()
            pairs: Iterable[tuple[Any, Any]] = value.items()
        else:
            pairs = enumerate(value)
        changed: Any = None
        for key, held in pairs:
            here = (*trail, key) if type(key) is str else trail
            if type(held) is str:
                new = self._text(held, kind, here)
            elif type(held) is dict or type(held) is list:
                new = self.below(held, kind, here)
            else:
                continue
            if new is not held:
                if changed is None:
                    changed = value.copy()
                changed[key] = new
        return value if changed is None else changed

    def _text(self, text: str, kind: str, trail: tuple[str, ...]) -> str:
        name = trail[-1]
        if name == "reference":
            return self._target(text)
        if text in self._targets and self._type(kind, trail) in _LINKS:
            return self._targets[text]
        if name == "div" and ("href" in text or "src" in text) and self._type(kind, trail) == "xhtml":
            return _ADDRESS.sub(self._address, text)
        return text

    def _type(self, kind: str, trail: tuple[str, ...]) -> str | None:
        """Return the type of an element; None for one that R4 does not know."""
        shape: str | None = kind if kind in self._definitions.resource_types else None
        found: str | None = None
        for key in trail:
            field = None if shape is None else self._definitions.shape(shape).get(key.removeprefix("_"))
            if field is None:
                return None
            found, shape = field.type, "Element" if key.startswith("_") else field.shape
        return found

    def _target(self, literal: str) -> str:
        plain, mark, fragment = literal.partition("#")
        if self._base is not None and _RELATIVE.fullmatch(plain):
            plain = f"{self._base}/{plain}"
        found = self._targets.get(literal) or self._targets.get(plain)
        return literal if found is None else found if literal in self._targets else found + mark + fragment

    def _address(self, match: re.Match[str]) -> str:
        target = self._targets.get(match["target"])
        return match[0] if target is None else f"{match['name']}{match['quote']}{target}{match['quote']}"
