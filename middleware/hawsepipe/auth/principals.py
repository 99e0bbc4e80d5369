"""From verified claims to a Principal; pure. Anything odd refuses the token: no claim is guessed, none that matters is
skipped.

Shapes: RFC 9068 (sub, client_id, scope, roles), SMART App Launch 2.2 (fhirUser, patient), IHE IUA
(`extensions.ihe_iua`), UDAP Security (`extensions.hl7-b2b`), and the same names at the top level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hawsepipe.auth.compact import refuse, text
from hawsepipe.auth.purposes import SYSTEMS, purposes
from hawsepipe.errors import Unauthorized
from hawsepipe.model import Principal

SUBJECTS: Final = frozenset({"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person", "Device"})
"""What a fhirUser can be (SMART App Launch, and Device for systems)."""

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9.\-]{1,64}")
"""A FHIR id."""

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_LONGEST: Final = 100
_PROFILES: Final = ("ihe_iua", "hl7-b2b")


def principal(claims: Mapping[str, Any], *, base_url: str, tenants: frozenset[str]) -> Principal:
    """Build the principal that the claims assert.

    `base_url` is the FHIR base: references under it count as local, others are refused. `tenants` are the tenants that
    this service has; a token without one gets the only one there is. Raises Unauthorized.
    """
    client = text(claims, "client_id")
    extensions = _extensions(claims)
    actors = {reference for reference in (f"Device/{client}",) if IDENTIFIER.fullmatch(client)}
    role = claims.get("practitioner_role")
    if role is not None:
        actors.add(_reference(role, {"PractitionerRole"}, base_url))
    organization = claims.get("organization")
    if organization is not None:
        actors.add(_reference(organization, {"Organization"}, base_url))
    return Principal(
        subject=_subject(claims, client, base_url),
        client=client,
        tenant=_tenant(claims, tenants),
        scopes=_scopes(claims),
        roles=frozenset(_codes([*_values(extensions, "subject_role"), *_values((claims,), "roles")])),
        purpose=purpose(claims),
        patient=_patient(claims, base_url),
        actors=frozenset(actors),
        token_id=text(claims, "jti"),
    )


def purpose(claims: Mapping[str, Any]) -> str | None:
    """Return the one purpose of use that the claims state, None without one. Raises Unauthorized for several or an
    unknown one.
    """
    stated = set()
    for value in _values(_extensions(claims), "purpose_of_use"):
        system, code = _coding(value)
        if system not in SYSTEMS | {""} or code not in purposes():
            raise refuse("the token's purpose of use is not known")
        stated.add(code)
    if len(stated) > 1:
        raise refuse("the token states more than one purpose of use")
    return stated.pop() if stated else None


def _subject(claims: Mapping[str, Any], client: str, base_url: str) -> str:
    subject = text(claims, "sub")
    if "fhirUser" in claims:
        user = _reference(claims["fhirUser"], SUBJECTS, base_url)
        if "/" in subject and subject != claims["fhirUser"] and _reference(subject, SUBJECTS, base_url) != user:
            raise refuse("the token's sub and fhirUser are not the same")
        return user
    if subject == client and IDENTIFIER.fullmatch(client):
        return f"Device/{client}"
    return _reference(subject, SUBJECTS, base_url)


def _tenant(claims: Mapping[str, Any], tenants: frozenset[str]) -> str:
    if "tenant" not in claims:
        if len(tenants) != 1:
            raise refuse("the token names no tenant")
        return next(iter(tenants))
    if claims["tenant"] not in tenants:
        raise refuse("the token is for another tenant")
    return text(claims, "tenant")


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("scope")
    scopes = value.split(" ") if isinstance(value, str) else []
    if not scopes or not all(_SCOPE.fullmatch(scope) for scope in scopes):
        raise refuse("the token's scope is missing or not usable")
    return frozenset(scopes)


def _patient(claims: Mapping[str, Any], base_url: str) -> str | None:
    value = claims.get("patient")
    if value is None:
        return None
    if isinstance(value, str) and IDENTIFIER.fullmatch(value):
        return value
    return _reference(value, {"Patient"}, base_url).removeprefix("Patient/")


def _reference(value: object, types: frozenset[str] | set[str], base_url: str) -> str:
    if isinstance(value, str):
        kind, _, identifier = value.removeprefix(f"{base_url}/").partition("/")
        if kind in types and IDENTIFIER.fullmatch(identifier):
            return f"{kind}/{identifier}"
    raise refuse("the token refers to somebody who cannot be resolved here")


def _extensions(claims: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the places where IUA and UDAP claims may be: the top level and each profile's extension object."""
    extensions = claims.get("extensions", {})
    if not isinstance(extensions, dict):
        raise refuse("the token's extensions are not an object")
    found: list[Mapping[str, Any]] = [claims]
    for name in _PROFILES:
        value = extensions.get(name, {})
        if not isinstance(value, dict):
            raise refuse("the token's extensions are not objects")
        found.append(value)
    return tuple(found)


def _values(places: tuple[Mapping[str, Any], ...], name: str) -> Iterator[object]:
    for place in places:
        value = place.get(name)
        if value is not None:
            yield from value if isinstance(value, list) else (value,)


def _codes(values: list[object]) -> Iterator[str]:
    for value in values:
        yield _coding(value)[1]


def _coding(value: object) -> tuple[str, str]:
    """Read `code`, `system#code` (UDAP) or `{"system", "code"}` (IUA) as (system, code); system empty when none is
    given.
    """
    if isinstance(value, dict):
        system, code = value.get("system", ""), value.get("code")
    elif isinstance(value, str):
        system, _, code = value.rpartition("#")
    else:
        raise _odd_code()
    if not isinstance(system, str) or not isinstance(code, str) or not 0 < len(code) <= _LONGEST or not code.isascii():
        raise _odd_code()
    if not code.isprintable() or " " in code:
        raise _odd_code()
    return system, code


def _odd_code() -> Unauthorized:
    return refuse("the token holds a code that cannot be read")
