"""Types that R4 calls otherwise, and the references that must follow them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hawsepipe_fhir.bench import Convert, Job, Json, Place

_LOCAL = re.compile(r"([A-Z][A-Za-z]+)(?=[/?]|$)")
_LAST = re.compile(r"(.*/)([A-Z][A-Za-z]+)(/[A-Za-z0-9.\-]{1,64}(?:/_history/[A-Za-z0-9.\-]{1,64})?)$")


class Names:
    """The renamed types of one version."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        """`homes` maps each resource type of the version to that of R4."""
        self._renamed = {old: new for old, new in homes.items() if old != new}

    def renaming(self, resource: Mapping[str, Any]) -> Callable[[str], str]:
        """Return the function that renames a reference inside one resource or Bundle.

        `MedicationOrder/1` and `ReferralRequest?identifier=7` are renamed; an address with a server is the name of
        something there and stays, unless the Bundle itself holds that resource under this address.
        """
        inside = frozenset(_addresses(resource))
        renamed = self._renamed

        def rename(reference: str) -> str:
            local = _LOCAL.match(reference)
            if local is not None:
                new = renamed.get(local[1])
                return reference if new is None else new + reference[local.end() :]
            if reference in inside and (match := _LAST.match(reference)) is not None and match[2] in renamed:
                return f"{match[1]}{renamed[match[2]]}{match[3]}"
            return reference

        return rename


_TYPED = re.compile(
    r"(?:https?://.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?$"
)


def bound(convert: Convert, targets: frozenset[str]) -> Convert:
    """Refuse references to a type that R4 does not take at a place; one that names no type may be to any."""

    def bound_(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        reference = value.get("reference") if type(value) is dict else None
        if type(reference) is str:
            match = _TYPED.match(job.rename(reference))
            if match is not None and match[1] not in targets:
                return NotImplemented, None
        return convert(value, twin, at, place, job, source)

    return bound_


def _addresses(resource: Mapping[str, Any]) -> Iterator[str]:
    entries = resource.get("entry")
    for entry in entries if type(entries) is list else ():
        if type(entry) is dict and type(entry.get("fullUrl")) is str and resource.get("resourceType") == "Bundle":
            yield entry["fullUrl"]
