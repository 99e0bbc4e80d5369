"""Every element of every resource type of every version is accounted for, and the result is R4."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.fhir_versions.full import Maker

from hawsepipe.fhir import definitions as core
from hawsepipe.fhir.validate import Validator
from hawsepipe_conformance.versions import account
from hawsepipe_fhir import convert, definitions

ABSTRACT = {"Resource", "DomainResource", "MetadataResource", "CanonicalResource"}
WAYS = [(0, False, False), (1, True, False), (2, False, True), (5, True, True)]


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(core.load())


@pytest.mark.parametrize("version", ["dstu2", "stu3", "r5"])
@pytest.mark.parametrize(("choice", "twins", "many"), WAYS)
def test_every_leaf_is_where_it_is_said_to_be_or_reported_lost(
    version: str, choice: int, twins: bool, many: bool, validator: Validator
) -> None:
    known = definitions.source(version)
    totals: Counter[str] = Counter()
    wrong = []
    for type_ in sorted(known.rows):
        if not known.resource(type_) or type_ in ABSTRACT:
            continue
        resource = Maker(known, choice, twins, many, depth=3 if many else 4).resource(type_)
        made = convert(resource, version)
        counted = account(resource, made)
        findings = validator.check(made.resource)
        totals.update(counted)
        if counted["unreported"] or counted["astray"] or findings:
            wrong.append((type_, dict(counted), [(it.location, it.text) for it in findings][:3]))
    assert wrong == []
    assert totals["leaves"] > 5_000
    assert totals["lost"] < totals["leaves"] / 300
