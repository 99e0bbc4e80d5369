"""The named functions that tables call: identities of resources, decisions, predicates, converters of single families.

A module offers them as `IDENTITIES`, `DECISIONS`, `PREDICATES` and `CONVERTERS`; one place lists the modules.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from hawsepipe_hl7v2 import (
    allergies,
    authorship,
    charges,
    containers,
    documents,
    dosages,
    encounters,
    envelope,
    forecasts,
    insurance,
    merges,
    notes,
    orders,
    origin,
    participants,
    patients,
    performers,
    pharmacy,
    problems,
    procedures,
    products,
    queries,
    referrals,
    relatives,
    responses,
    results,
    scheduling,
    sites,
    slots,
    specimens,
    staff,
    supplies,
    teams,
    timing,
    vaccinations,
    values,
)
from hawsepipe_hl7v2.bench import Bench, Convert, Draft
from hawsepipe_hl7v2.message import Segment

_MODULES: tuple[ModuleType, ...] = (
    allergies,
    authorship,
    charges,
    containers,
    documents,
    dosages,
    encounters,
    envelope,
    forecasts,
    insurance,
    merges,
    notes,
    orders,
    origin,
    participants,
    patients,
    performers,
    pharmacy,
    problems,
    procedures,
    products,
    queries,
    referrals,
    relatives,
    responses,
    results,
    scheduling,
    sites,
    slots,
    specimens,
    staff,
    supplies,
    teams,
    timing,
    vaccinations,
    values,
)


def _named(kind: str) -> dict[str, Any]:
    """Gather what the modules offer under a name; a name that two of them give is a mistake."""
    found: dict[str, Any] = {}
    for module in _MODULES:
        for name, function in vars(module).get(kind, {}).items():
            if name in found:
                raise ValueError(f"{name} of {kind} is defined twice")
            found[name] = function
    return found


IDENTITIES: dict[str, Callable[[Bench, Segment], str | None]] = _named("IDENTITIES")
"""Business keys: (bench, segment) → key, None when the segment makes no resource."""
DECISIONS: dict[str, Callable[[Bench, Draft, Segment], None]] = _named("DECISIONS")
"""Functions that write by themselves: (bench, draft, segment)."""
PREDICATES: dict[str, Callable[[Bench, Segment], bool]] = _named("PREDICATES")
"""Conditions of `when`: (bench, segment) → bool."""
CONVERTERS: dict[str, Convert] = _named("CONVERTERS")
"""Converters of single families, by the name that `via` uses: (bench, raw, where) → value and leaves."""
