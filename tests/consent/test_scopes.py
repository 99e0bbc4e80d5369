"""SMART scopes, both generations."""

from __future__ import annotations

import pytest

from hawsepipe.consent.scopes import parse, permits
from hawsepipe.model import Principal


def principal(*scopes: str, patient: str | None = None) -> Principal:
    return Principal("Practitioner/a", "ehr", "main", frozenset(scopes), patient=patient)


@pytest.mark.parametrize(
    ("scope", "type_", "interaction", "granted"),
    [
        ("user/Observation.rs", "Observation", "read", True),
        ("user/Observation.rs", "Observation", "search-type", True),
        ("user/Observation.r", "Observation", "search-type", False),
        ("user/Observation.rs", "Patient", "read", False),
        ("user/*.cruds", "Patient", "delete", True),
        ("system/*.c", "Patient", "create", True),
        ("system/*.c", "Patient", "update", False),
        ("user/Observation.read", "Observation", "history-instance", True),
        ("user/Observation.read", "Observation", "create", False),
        ("user/*.write", "Observation", "update", True),
        ("user/*.*", "Observation", "search-type", True),
        ("user/Observation.rs?category=laboratory", "Observation", "read", False),
        ("user/Observation.sr", "Observation", "read", False),
        ("user/Observation.", "Observation", "read", False),
        ("user/observation.rs", "observation", "read", False),
        ("openid", "Observation", "read", False),
        ("launch/patient", "Patient", "read", False),
        ("patient/Observation.rs", "Observation", "read", False),
        ("user/*.cruds", "Observation", "made-up", False),
    ],
)
def test_a_scope_grants_what_it_spells_and_nothing_else(
    scope: str, type_: str, interaction: str, granted: bool
) -> None:
    assert permits(principal(scope), type_, interaction) is granted


def test_a_scope_of_level_patient_counts_with_a_launch_patient() -> None:
    assert permits(principal("patient/*.rs", patient="p"), "Observation", "read")


def test_a_search_constraint_is_recognised_and_closes_the_scope() -> None:
    found = parse("patient/Observation.rs?category=laboratory")
    assert found is not None
    assert found.constraint == "?category=laboratory"
    assert not found.covers("read")
