"""What the house decides: the settings of the consent layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hawsepipe.consent.redaction import Redaction, known, redaction
from hawsepipe.errors import ConfigError

SERVER_MADE: Final = frozenset({"AuditEvent", "Provenance"})
"""Types that the server alone writes, as the record of what others did."""

DENY: Final = "https://profiles.ihe.net/ITI/PCF/Policy-deny"
BASIC_NORMAL: Final = "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal"
ALL_NORMAL: Final = "https://profiles.ihe.net/ITI/PCF/Policy-all-normal"
BREAK_GLASS_ONLY: Final = "https://profiles.ihe.net/ITI/PCF/Policy-break-glass-only"

CLINICIANS: Final = frozenset(
    {"physician", "doctor", "nurse", "midwife", "pharmacist", "therapist", "clinician", "practitioner"}
)
"""Role codes that basic-normal takes for clinicians unless the settings name others."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The settings.

    `default_policy` is one of the four IHE PCF canonicals; an unknown one denies. `permit_ceiling` is the highest
    confidentiality that a permit without a label covers. `role_policy` names the types that a role may use (`*`: all
    of them; the role `*`: every role that is not named); None leaves every type to every role, and with a table a
    role that it does not cover may use nothing. `require_verification` leaves out consents without
    `verification.verified`. `tenant` is the tenant of the data behind this gate. `recheck` decides each search result
    once more before it leaves. `redactions` names the elements that a role does not get (`Patient.birthDate`; the
    role `*`: every role that is not named); who has several roles gets what none of them leaves out. `references` says
    what a client's resource may refer to: `visible` (what the client sees) or `any`.
    """

    default_policy: str = DENY
    permit_ceiling: str = "R"
    role_policy: Mapping[str, frozenset[str]] | None = None
    privacy_officer_roles: frozenset[str] = frozenset({"privacy-officer"})
    clinician_roles: frozenset[str] = CLINICIANS
    break_glass_roles: frozenset[str] = field(default_factory=frozenset)
    require_verification: bool = False
    tenant: str = "main"
    base_url: str = ""
    recheck: bool = True
    references: str = "visible"
    redactions: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ConfigError for a redaction that would leave out nothing."""
        for path in sorted(frozenset[str]().union(*self.redactions.values())):
            if not known(path):
                raise ConfigError("consent.redactions", f"R4 has no element {path} that could be left out")

    def types(self, roles: frozenset[str]) -> frozenset[str] | None:
        """Return the types that these roles may use together, None for all types."""
        if self.role_policy is None:
            return None
        allowed: set[str] = set()
        for role in roles:
            allowed |= self.role_policy.get(role, self.role_policy.get("*", frozenset()))
        return None if "*" in allowed else frozenset(allowed)

    def redaction(self, roles: frozenset[str]) -> Redaction:
        """Return what these roles do not get."""
        others = self.redactions.get("*", frozenset())
        found = [self.redactions.get(role, others) for role in roles] or [others]
        return redaction(frozenset[str]().union(*found))

    def officer(self, roles: frozenset[str]) -> bool:
        """Say whether one of these roles is a privacy officer's."""
        return not roles.isdisjoint(self.privacy_officer_roles)
