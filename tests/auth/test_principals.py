"""What a token asserts becomes a Principal, in each of the shapes that the profiles use."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.auth.principals import principal
from hawsepipe.errors import Unauthorized
from hawsepipe.model import Principal

BASE = "https://fhir.example.org/fhir"
CLAIMS = {"sub": "Practitioner/1", "client_id": "app", "scope": "user/*.rs launch/patient", "jti": "t-1"}


def of(tenants: frozenset[str] = frozenset({"main"}), **claims: Any) -> Principal:
    return principal({**CLAIMS, **claims}, base_url=BASE, tenants=tenants)


def test_a_person_is_who_fhiruser_says() -> None:
    who = of(sub="248289761001", fhirUser=f"{BASE}/Practitioner/7")
    assert who.subject == "Practitioner/7"
    assert who.scopes == {"user/*.rs", "launch/patient"}
    assert (who.client, who.tenant, who.token_id) == ("app", "main", "t-1")
    assert who.actors == {"Device/app"}
    assert who.purpose is None


def test_a_system_is_a_device_with_its_client_id() -> None:
    assert of(sub="app").subject == "Device/app"


@pytest.mark.parametrize(
    "claims",
    [
        {"purpose_of_use": "TREAT"},
        {"purpose_of_use": ["TREAT"]},
        {"purpose_of_use": "urn:oid:2.16.840.1.113883.5.8#TREAT"},
        {"purpose_of_use": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}},
        {"extensions": {"ihe_iua": {"purpose_of_use": [{"system": "urn:oid:2.16.840.1.113883.5.8", "code": "TREAT"}]}}},
        {"extensions": {"hl7-b2b": {"purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#TREAT"]}}},
        {"purpose_of_use": "TREAT", "extensions": {"hl7-b2b": {"purpose_of_use": ["TREAT"]}}},
    ],
)
def test_the_purpose_is_read_in_each_shape(claims: dict[str, Any]) -> None:
    assert of(**claims).purpose == "TREAT"


def test_roles_are_codes_from_every_place() -> None:
    who = of(
        roles=["privacy-officer"],
        subject_role="nurse",
        extensions={
            "ihe_iua": {"subject_role": [{"system": "urn:oid:2.16.840.1.113883.6.96", "code": "106289002"}]},
            "hl7-b2b": {"subject_role": "urn:oid:2.16.840.1.113883.6.101#207SG0202X"},
        },
    )
    assert who.roles == {"privacy-officer", "nurse", "106289002", "207SG0202X"}


def test_the_one_asserted_role_and_organization_are_actors() -> None:
    who = of(practitioner_role=f"{BASE}/PractitionerRole/3", organization="Organization/9")
    assert who.actors == {"PractitionerRole/3", "Organization/9", "Device/app"}


@pytest.mark.parametrize("value", ["55", "Patient/55", f"{BASE}/Patient/55"])
def test_the_launch_context_is_the_patients_id(value: str) -> None:
    assert of(patient=value).patient == "55"


def test_a_token_without_a_tenant_is_refused_where_there_are_several() -> None:
    with pytest.raises(Unauthorized, match="tenant"):
        of(tenants=frozenset({"a", "b"}))
    assert of(tenants=frozenset({"a", "b"}), tenant="b").tenant == "b"
