"""Checks of cases whose expectations are prose: what each promises, written out once by hand, by category."""

from __future__ import annotations

from collections.abc import Mapping

from hawsepipe_conformance.feeds.checks import acknowledging, bytes_and_text, framing, structure
from hawsepipe_conformance.feeds.checks.registry import Check

ALL: Mapping[str, Check] = {
    check.id: check for module in (framing, bytes_and_text, structure, acknowledging) for check in module.CHECKS
}
"""Every check by the id of its case."""
