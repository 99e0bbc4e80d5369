"""The code systems that consents, labels and purposes are written in, as far as decisions need them.

v3-ActReason, v3-ActCode, v3-Confidentiality and v3-ParticipationType come from the R4 definitions; what is our own
judgement (bridges, other names of a system, types without a patient) from `consent/codes.json`. A code that is not
here is unknown, and unknown never opens anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import hawsepipe_schemas
from hawsepipe.fhir import definitions

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

SIGHT_OF_DELETED: Final = "delete-sight"
"""Seeing what is to be deleted: the action is access, the scope that of delete."""

ACTIONS: Final[Mapping[str, str]] = {
    "read": "access",
    "vread": "access",
    "history-instance": "access",
    "history-type": "access",
    "history-system": "access",
    "search-type": "access",
    SIGHT: "access",
    SIGHT_OF_DELETED: "access",
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
    own: dict[str, Any] = hawsepipe_schemas.load("consent/codes.json")
    known = definitions.load()

    def concrete(system: str, root: str) -> frozenset[str]:
        return frozenset(code for code in known.descendants(system, root) if not code.startswith("_")) - {root}

    purposes, sensitivities = concrete(ACT_REASON, "PurposeOfUse"), concrete(ACT_CODE, "_InformationSensitivityPolicy")
    above = {code: known.ancestors(ACT_CODE, code) & sensitivities for code in sensitivities}
    bridged = {
        code: found.union(*(own["bridges"].get(higher, ()) for higher in found)) for code, found in above.items()
    }
    duties = concrete(ACT_CODE, "ObligationPolicy") | concrete(ACT_CODE, "RefrainPolicy")
    return Terms(
        systems={alias: names[0] for names in own["systems"].values() for alias in names},
        ranks={code: rank for rank, code in enumerate(known.order(CONFIDENTIALITY))},
        purposes={code: known.ancestors(ACT_REASON, code) & purposes for code in purposes},
        sensitivities=bridged,
        below={code: frozenset(low for low, high in bridged.items() if code in high) for code in sensitivities},
        duties=duties,
        policies=concrete(ACT_CODE, "_ActPolicyType") - sensitivities - duties,
        recipients=known.descendants(PARTICIPATION, "IRCP"),
        sources=frozenset(own["sources"]),
        consent_policies=frozenset(known.hierarchies[CONSENT_POLICY]),
        types=known.resource_types,
        patientless=frozenset(own["patientless"]),
    )


def coded(system: str, code: str) -> str:
    """Spell a coding as facets do."""
    return f"{system}|{code}"
