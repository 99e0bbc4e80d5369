"""The code systems that consents, labels and purposes are written in, as far as decisions need them.

Facts come from `hawsepipe_schemas` (`consent/codes.json`): v3-ActReason, v3-ActCode, v3-Confidentiality,
v3-ParticipationType, consentaction, consentscope. A code that is not here is unknown, and unknown never opens
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import hawsepipe_schemas

ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
CONSENT_ACTION: Final = "http://terminology.hl7.org/CodeSystem/consentaction"
CONSENT_SCOPE: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
CONSENT_POLICY: Final = "http://terminology.hl7.org/CodeSystem/consentpolicycodes"
RESOURCE_TYPES: Final = "http://hl7.org/fhir/resource-types"
URI: Final = "urn:ietf:rfc:3986"

NORMAL: Final = 3
"""The rank of N."""
RESTRICTED: Final = 4
"""The rank of R."""
VERY_RESTRICTED: Final = 5
"""The rank of V."""

SIGHT: Final = "update-sight"
"""Seeing what is to be updated: the action is access, the scope that of update."""

ACTIONS: Final[Mapping[str, str]] = {
    "read": "access",
    "vread": "access",
    "history-instance": "access",
    "history-type": "access",
    "search-type": "access",
    SIGHT: "access",
    "export": "disclose",
    "subscribe": "disclose",
    "create": "collect",
    "update": "correct",
    "patch": "correct",
    "delete": "correct",
}
"""Which consentaction an interaction is."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The code systems. `purposes` and `sensitivities` give each code's ancestors, itself included;

    `below` each sensitivity's descendants.
    """

    systems: Mapping[str, str]
    ranks: Mapping[str, int]
    purposes: Mapping[str, frozenset[str]]
    sensitivities: Mapping[str, frozenset[str]]
    below: Mapping[str, frozenset[str]]
    duties: frozenset[str]
    policies: frozenset[str]
    recipients: frozenset[str]
    sources: frozenset[str]
    consent_policies: frozenset[str]
    types: frozenset[str]
    patientless: frozenset[str]

    def system(self, name: str) -> str:
        """Return the name of a code system that the others are aliases of."""
        return self.systems.get(name, name)

    def covered(self, purpose: str | None, listed: str) -> bool:
        """Say whether `purpose` is `listed` or below it."""
        return purpose is not None and listed in self.purposes.get(purpose, frozenset())


@cache
def terms() -> Terms:
    """Return the code systems as packaged."""
    facts: dict[str, Any] = hawsepipe_schemas.load("consent/codes.json")
    sensitivities = _ancestors(facts["sensitivities"])
    return Terms(
        systems={alias: names[0] for names in facts["systems"].values() for alias in names},
        ranks={code: rank for rank, code in enumerate(facts["confidentiality"])},
        purposes=_ancestors(facts["purposes"]),
        sensitivities=sensitivities,
        below={code: frozenset(low for low, high in sensitivities.items() if code in high) for code in sensitivities},
        duties=frozenset(facts["obligations"]) | frozenset(facts["refrains"]),
        policies=frozenset(facts["other_policies"]),
        recipients=frozenset(facts["recipients"]),
        sources=frozenset(facts["sources"]),
        consent_policies=frozenset(facts["consent_policies"]),
        types=frozenset(facts["types"]),
        patientless=frozenset(facts["patientless"]),
    )


def coded(system: str, code: str) -> str:
    """Spell a coding as facets do."""
    return f"{system}|{code}"


def _ancestors(parents: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    def of(code: str) -> frozenset[str]:
        return frozenset({code}).union(*(of(parent) for parent in parents[code]))

    return {code: of(code) for code in parents}
