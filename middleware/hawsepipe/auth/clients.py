"""The clients that the embedded authorization server knows: systems, each with its keys and what it may ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hawsepipe.auth.keys import VerificationKeys
from hawsepipe.auth.principals import IDENTIFIER
from hawsepipe.auth.purposes import purposes
from hawsepipe.errors import ConfigError

_SCOPE: Final = re.compile(
    r"system/(?P<type>\*|[A-Z][A-Za-z]{1,63})\."
    r"(?P<rights>c?r?u?d?s?|\*|read|write)"
    r"(?P<filter>\?[\x21\x23-\x5b\x5d-\x7e]+)?"
)
_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
_MEMBERS: Final = frozenset({"id", "name", "jwks", "scopes", "purposes", "roles", "organization"})


@dataclass(frozen=True, slots=True)
class Client:
    """A registered system. Its tokens speak for `Device/<id>`. `scopes` are SMART system scopes, `organization` a
    reference.
    """

    id: str
    name: str
    keys: VerificationKeys
    scopes: tuple[str, ...]
    purposes: frozenset[str]
    roles: frozenset[str] = frozenset()
    organization: str | None = None

    @property
    def subject(self) -> str:
        """`Device/<id>`."""
        return f"Device/{self.id}"

    def granted(self, requested: Iterable[str]) -> tuple[str, ...]:
        """Return those requested scopes that lie wholly inside a registered one, in the order asked, each once."""
        return tuple(dict.fromkeys(scope for scope in requested if any(_inside(scope, own) for own in self.scopes)))


def read(path: Path) -> dict[str, Client]:
    """Read the file of registered clients: a JSON list of objects (docs/access.md). Raises ConfigError naming the
    entry.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("auth.clients", "the file is missing or is not JSON") from error
    return registered(value, setting="auth.clients")


def registered(value: object, *, setting: str) -> dict[str, Client]:
    """Check a list of clients and return them by id. Raises ConfigError; `setting` is the place that it names."""
    if not isinstance(value, list):
        raise ConfigError(setting, "expected a list of clients")
    clients: dict[str, Client] = {}
    for position, entry in enumerate(value):
        place = f"{setting}[{position}]"
        if not isinstance(entry, dict):
            raise ConfigError(place, "expected an object")
        client = _client(entry, place)
        if client.id in clients:
            raise ConfigError(f"{place}.id", "the client is there twice")
        clients[client.id] = client
    return clients


def _client(entry: Mapping[str, Any], place: str) -> Client:
    unknown = sorted(set(entry) - _MEMBERS)
    if unknown:
        raise ConfigError(f"{place}.{unknown[0]}", "not a member of a client")
    identifier = entry.get("id")
    if not isinstance(identifier, str) or not IDENTIFIER.fullmatch(identifier):
        raise ConfigError(f"{place}.id", "expected 1 to 64 letters, digits, dots and hyphens")
    jwks = entry.get("jwks")
    if not isinstance(jwks, dict):
        raise ConfigError(f"{place}.jwks", "expected a JWK Set")
    scopes = _strings(entry, "scopes", place)
    for position, scope in enumerate(scopes):
        if _rights(scope) is None:
            raise ConfigError(
                f"{place}.scopes[{position}]", "expected a SMART system scope such as system/Observation.rs"
            )
    allowed = _strings(entry, "purposes", place)
    for position, purpose in enumerate(allowed):
        if purpose not in purposes():
            raise ConfigError(f"{place}.purposes[{position}]", "not a purpose of use")
    if not scopes or not allowed:
        raise ConfigError(place, "a client needs at least one scope and one purpose")
    organization = entry.get("organization")
    if organization is not None:
        kind, _, target = organization.partition("/") if isinstance(organization, str) else ("", "", "")
        if kind != "Organization" or not IDENTIFIER.fullmatch(target):
            raise ConfigError(f"{place}.organization", "expected a reference such as Organization/1")
    name = entry.get("name", identifier)
    if not isinstance(name, str):
        raise ConfigError(f"{place}.name", "expected a text")
    return Client(
        id=identifier,
        name=name,
        keys=VerificationKeys(jwks, setting=f"{place}.jwks"),
        scopes=scopes,
        purposes=frozenset(allowed),
        roles=frozenset(_strings(entry, "roles", place)),
        organization=organization,
    )


def _strings(entry: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    value = entry.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item.isprintable() and item for item in value):
        raise ConfigError(f"{place}.{name}", "expected a list of texts")
    return tuple(value)


def _rights(scope: str) -> tuple[str, frozenset[str], str] | None:
    """Take a SMART scope of v1 or v2 apart: type, rights, filter; None for anything else."""
    match = _SCOPE.fullmatch(scope)
    if match is None or not match["rights"]:
        return None
    return match["type"], frozenset(_V1.get(match["rights"], match["rights"])), match["filter"] or ""


def _inside(scope: str, own: str) -> bool:
    asked, held = _rights(scope), _rights(own)
    if asked is None or held is None:
        return False
    # A filter narrows; whether one filter is narrower than another is not judged: the same one, or none on the
    # registered scope.
    return held[0] in {"*", asked[0]} and asked[1] <= held[1] and held[2] in {"", asked[2]}
