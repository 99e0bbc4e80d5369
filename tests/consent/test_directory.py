"""Who stands for a principal at an instant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hawsepipe.consent.directory import Circle, Directory, circle
from hawsepipe.consent.truth import Truth
from hawsepipe.fhir.dates import microseconds
from hawsepipe.model import Principal

Json = dict[str, Any]
NOW = microseconds(datetime(2026, 3, 1, 12, tzinfo=UTC))
WARD: Json = {"resourceType": "Organization", "id": "ward", "partOf": {"reference": "Organization/hosp"}}
HOSPITAL: Json = {"resourceType": "Organization", "id": "hosp"}
ROLE: Json = {
    "resourceType": "PractitionerRole",
    "id": "r",
    "active": True,
    "practitioner": {"reference": "Practitioner/alice"},
    "organization": {"reference": "Organization/ward"},
}


def around(*resources: Json, who: str = "Practitioner/alice", actors: set[str] | None = None) -> Circle:
    directory = Directory({f"{one['resourceType']}/{one['id']}": one for one in resources})
    principal = Principal(who, "ehr", "main", frozenset(), actors=frozenset(actors or set()))
    return circle(principal, directory, NOW)


def test_an_asserted_role_brings_its_organization_and_those_above() -> None:
    found = around(ROLE, WARD, HOSPITAL, actors={"PractitionerRole/r", "Device/ehr"})
    wanted = {"Practitioner/alice", "PractitionerRole/r", "Organization/ward", "Organization/hosp", "Device/ehr"}
    assert found.sure == wanted
    assert found.holds("Organization/elsewhere") is Truth.FALSE


def test_a_role_that_is_not_asserted_is_not_the_principals() -> None:
    found = around(ROLE, WARD, HOSPITAL)
    assert found.holds("PractitionerRole/r") is Truth.FALSE
    assert found.holds("Organization/ward") is Truth.FALSE


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"period": {"end": "2026-02"}},
        {"period": {"start": "2027", "end": "2026"}},
        {"practitioner": {"reference": "Practitioner/bob"}},
    ],
)
def test_a_role_that_ended_or_is_another_persons_brings_nothing(change: Json) -> None:
    found = around(ROLE | change, WARD, HOSPITAL, actors={"PractitionerRole/r"})
    assert found.sure == {"Practitioner/alice"}


def test_what_cannot_be_resolved_is_unknown() -> None:
    found = around(actors={"PractitionerRole/gone"})
    references = (
        "PractitionerRole/gone",
        "Organization/any",
        "CareTeam/gone",
        "Group/gone",
        "https://other/Practitioner/1",
    )
    assert {found.holds(one) for one in references} == {Truth.UNKNOWN}
    assert found.holds("Practitioner/bob") is Truth.FALSE
    odd = ("Practitioner/bob/", "Practitioner/bob?x=y", "Practitioner/bob#a", "practitioner/bob", "Practitioner/")
    assert {found.holds(one) for one in odd} == {Truth.UNKNOWN}
    broken = around(ROLE, WARD, actors={"PractitionerRole/r"})
    assert broken.holds("Organization/top") is Truth.UNKNOWN


@pytest.mark.parametrize(
    ("team", "held"),
    [
        ({"status": "active"}, Truth.TRUE),
        ({"status": "inactive"}, Truth.FALSE),
        ({"status": "active", "period": {"end": "2020"}}, Truth.FALSE),
        ({"status": "active", "participant": [{"member": {"reference": "Practitioner/bob"}}]}, Truth.FALSE),
        ({"status": "active", "participant": [{"member": {"display": "Alice?"}}]}, Truth.UNKNOWN),
        (
            {
                "status": "active",
                "participant": [{"member": {"reference": "Practitioner/alice"}, "period": {"end": "2020"}}],
            },
            Truth.FALSE,
        ),
    ],
)
def test_a_care_team_holds_its_present_members(team: Json, held: Truth) -> None:
    member = {"participant": [{"member": {"reference": "Practitioner/alice"}}]}
    found = around({"resourceType": "CareTeam", "id": "ct"} | member | team)
    assert found.holds("CareTeam/ct") is held


@pytest.mark.parametrize(
    ("group", "held"),
    [
        ({"actual": True}, Truth.TRUE),
        ({"actual": False}, Truth.UNKNOWN),
        ({"actual": True, "active": False}, Truth.FALSE),
        ({"actual": True, "member": [{"entity": {"reference": "Practitioner/alice"}, "inactive": True}]}, Truth.FALSE),
        ({"actual": True, "member": [{"entity": {"reference": "Group/g"}}]}, Truth.UNKNOWN),
    ],
)
def test_an_actual_group_holds_its_present_members(group: Json, held: Truth) -> None:
    member = {"member": [{"entity": {"reference": "Practitioner/alice"}}]}
    assert around({"resourceType": "Group", "id": "g"} | member | group).holds("Group/g") is held


def test_a_user_who_is_a_role_is_also_its_practitioner() -> None:
    found = around(ROLE, WARD, HOSPITAL, who="PractitionerRole/r")
    assert found.holds("Practitioner/alice") is Truth.TRUE
    assert around(who="PractitionerRole/r").holds("Practitioner/alice") is Truth.UNKNOWN
    assert around(who="Person/1").holds("Practitioner/alice") is Truth.UNKNOWN
