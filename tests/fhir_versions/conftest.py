"""A conversion that is always accounted for and always valid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hawsepipe.fhir import definitions
from hawsepipe.fhir.validate import Validator
from hawsepipe_conformance.versions import account
from hawsepipe_fhir import Conversion, convert

Converting = Callable[[str, dict[str, Any]], Conversion]
VALIDATOR = Validator(definitions.load())


@pytest.fixture
def converted() -> Converting:
    """Return a function (version, resource) -> Conversion that checks what holds for every conversion."""

    def converting(version: str, resource: dict[str, Any]) -> Conversion:
        made = convert(resource, version)
        counted = account(resource, made)
        assert (counted["unreported"], counted["astray"]) == (0, 0)
        assert [(it.location, it.text) for it in VALIDATOR.check(made.resource)] == []
        return made

    return converting
