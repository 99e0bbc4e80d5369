"""Decisions that a row names with `via` and no `to`: one element of the source that several of R4 are made from.

Each is made once with a kit (the compiled moves that it may use) and gives a step. What a decision does not move is
counted lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from hawsepipe import ConfigError
from hawsepipe_fhir import parties, rearrangements, statuses
from hawsepipe_fhir.kit import Decision

DECISIONS: Mapping[str, Decision] = {**statuses.DECISIONS, **parties.DECISIONS, **rearrangements.DECISIONS}


def named(name: str) -> Decision:
    """Return a decision by its name. Raises ConfigError when nothing is called so."""
    try:
        return DECISIONS[name]
    except KeyError as error:
        raise ConfigError("via", f"nothing is called {name}") from error
