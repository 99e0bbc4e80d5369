"""Checks of cases whose expectations are prose: what each promises, written out once by hand, by category."""

from __future__ import annotations

from collections.abc import Mapping

from hawsepipe_conformance.feeds.checks import (
    acknowledging,
    bytes_and_text,
    devices,
    duplicates,
    durability,
    files,
    framing,
    http,
    imaging,
    lanes,
    linking,
    load,
    loading,
    merging,
    migration,
    operations,
    ordering,
    recovery,
    round_trip,
    security,
    soak,
    structure,
    versions,
)
from hawsepipe_conformance.feeds.checks.registry import Check

_MODULES = (
    framing,
    bytes_and_text,
    structure,
    acknowledging,
    duplicates,
    ordering,
    recovery,
    lanes,
    merging,
    durability,
    load,
    operations,
    soak,
    security,
    files,
    http,
    versions,
    migration,
    loading,
    linking,
    devices,
    imaging,
    round_trip,
)

ALL: Mapping[str, Check] = {check.id: check for module in _MODULES for check in module.CHECKS}
"""Every check by the id of its case."""
