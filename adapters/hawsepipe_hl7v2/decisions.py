"""The named functions that tables call: identities of resources, decisions, predicates. One place lists them all."""

from __future__ import annotations

from hawsepipe_hl7v2 import (
    authorship,
    charges,
    documents,
    encounters,
    forecasts,
    notes,
    orders,
    participants,
    patients,
    performers,
    referrals,
    results,
    scheduling,
    sites,
    specimens,
    staff,
    timing,
    vaccinations,
    values,
)

IDENTITIES = {
    **patients.IDENTITIES,
    **encounters.IDENTITIES,
    **results.IDENTITIES,
    **orders.IDENTITIES,
    **specimens.IDENTITIES,
    **vaccinations.IDENTITIES,
    **forecasts.IDENTITIES,
    **authorship.IDENTITIES,
    **scheduling.IDENTITIES,
    **documents.IDENTITIES,
    **charges.IDENTITIES,
    **referrals.IDENTITIES,
    **staff.IDENTITIES,
    **sites.IDENTITIES,
}
"""Business keys: (bench, segment) → key, None when the segment makes no resource."""
DECISIONS = {
    **patients.DECISIONS,
    **encounters.DECISIONS,
    **results.DECISIONS,
    **orders.DECISIONS,
    **specimens.DECISIONS,
    **performers.DECISIONS,
    **timing.DECISIONS,
    **values.DECISIONS,
    **vaccinations.DECISIONS,
    **forecasts.DECISIONS,
    **authorship.DECISIONS,
    **scheduling.DECISIONS,
    **participants.DECISIONS,
    **documents.DECISIONS,
    **charges.DECISIONS,
    **notes.DECISIONS,
    **referrals.DECISIONS,
    **staff.DECISIONS,
    **sites.DECISIONS,
}
"""Functions that write by themselves: (bench, draft, segment)."""
PREDICATES = {
    **patients.PREDICATES,
    **encounters.PREDICATES,
    **results.PREDICATES,
    **orders.PREDICATES,
    **specimens.PREDICATES,
    **vaccinations.PREDICATES,
    **documents.PREDICATES,
    **referrals.PREDICATES,
    **sites.PREDICATES,
    **forecasts.PREDICATES,
    **authorship.PREDICATES,
}
"""Conditions of `when`: (bench, segment) → bool."""
CONVERTERS = {
    **participants.CONVERTERS,
    **documents.CONVERTERS,
    **charges.CONVERTERS,
    **referrals.CONVERTERS,
    **staff.CONVERTERS,
    **vaccinations.CONVERTERS,
    **orders.CONVERTERS,
    **specimens.CONVERTERS,
    **performers.CONVERTERS,
}
"""Converters of single families, by the name that `via` uses: (bench, raw, where) → value and leaves."""
