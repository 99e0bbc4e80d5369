"""Purposes of use as tokens spell them: codes of v3-ActReason (R4 value set v3-PurposeOfUse)."""

from __future__ import annotations

import functools
from typing import Final

from hawsepipe.fhir import definitions

_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_TOP: Final = "PurposeOfUse"

SYSTEMS: Final = frozenset({_SYSTEM, "urn:oid:2.16.840.1.113883.5.8", "2.16.840.1.113883.5.8"})
"""The names that the code system goes by."""


@functools.cache
def purposes() -> frozenset[str]:
    """Return the codes that are known; any other refuses the token."""
    return definitions.load().descendants(_SYSTEM, _TOP) - {_TOP}
