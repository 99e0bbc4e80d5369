"""Damaged resources: whatever is in a place, a conversion ends, and accounts for every leaf."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from tests.fhir_versions.full import Maker

from hawsepipe_conformance.versions import account
from hawsepipe_fhir import convert, definitions

ODD: list[Any] = [None, "", 7, True, [], {}, "text", ["x"], [{}], {"a": 1}, [None], {"reference": 7}, {"coding": "x"}]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        if key != "resourceType":
            yield value, key
            yield from _places(value[key])


@pytest.mark.parametrize("version", ["dstu2", "stu3", "r5"])
@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_resource_is_converted_and_accounted_for(version: str, seed: int) -> None:
    chance = random.Random(f"{version} {seed}")
    known = definitions.source(version)
    types = [it for it in sorted(known.rows) if known.resource(it)]
    for _ in range(60):
        type_ = chance.choice(types)
        resource = Maker(known, chance.randrange(6), chance.random() < 0.5, chance.random() < 0.3, depth=3).resource(
            type_
        )
        for _ in range(chance.choice((1, 2, 4))):
            holder, key = chance.choice(list(_places(resource)))
            holder[key] = copy.deepcopy(chance.choice(ODD))
        before = copy.deepcopy(resource)
        counted = account(resource, convert(resource, version))
        assert (type_, counted["unreported"], counted["astray"]) == (type_, 0, 0)
        assert resource == before
