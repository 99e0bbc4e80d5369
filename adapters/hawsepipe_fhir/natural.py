"""What makes a resource the same one in the records of two sources: a business identifier, else who, what and when.

An id is a source's own; the same person and the same diagnosis have another one in each. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

IDENTIFIED = UUID("6f1c2a52-7a0e-5d0b-9d8e-4c5b2f0e7a11")
"""The namespace of ids made from business identifiers; that of messages of HL7 v2, so that persons meet."""

_PREFERRED = ("MR", "PI")
"""Types of identifiers that are looked for first, as for messages of HL7 v2."""

_WHO = ("subject", "patient")
_WHAT = ("code", "vaccineCode", "medicationCodeableConcept", "type", "class")
_WHEN = (
    "effectiveDateTime", "effectivePeriod", "effectiveInstant", "onsetDateTime", "onsetPeriod", "performedDateTime",
    "performedPeriod", "occurrenceDateTime", "occurrencePeriod", "authoredOn", "period", "recordedDate", "created",
    "date", "issued",
)  # fmt: skip


def identified(type: str, resource: Mapping[str, Any]) -> str | None:
    """Return the id that a resource's business identifier gives it, None when it has none with a system."""
    held = resource.get("identifier")
    found = [
        (str(identifier["system"]), str(identifier["value"]), {code for _, code in _codings(identifier.get("type"))})
        for identifier in (held if isinstance(held, list) else [held])
        if isinstance(identifier, Mapping) and identifier.get("use") != "old"
        if isinstance(identifier.get("system"), str) and isinstance(identifier.get("value"), str)
    ]
    if not found:
        return None
    system, value, _ = next((one for wanted in _PREFERRED for one in found if wanted in one[2]), found[0])
    return str(uuid5(IDENTIFIED, f"{type}|{system}|{value}"))


def event(type: str, resource: Mapping[str, Any], resolve: Callable[[str], str]) -> str | None:
    """Return what says which event of whose life a resource is; None when it does not say whose, what and when."""
    who = next((_reference(resource.get(name)) for name in _WHO if resource.get(name)), None)
    what = next((coding for name in _WHAT for coding in _codings(resource.get(name))), None)
    when = next((moment for name in _WHEN if (moment := _moment(resource.get(name)))), None)
    if who is None or what is None or when is None:
        return None
    return "|".join((type, resolve(who), *what, when))


def _reference(value: Any) -> str | None:
    literal = value.get("reference") if isinstance(value, Mapping) else None
    return literal if isinstance(literal, str) and literal else None


def _codings(value: Any) -> Iterator[tuple[str, str]]:
    for concept in value if isinstance(value, list) else [value]:
        if not isinstance(concept, Mapping):
            continue
        codings = concept.get("coding", [concept] if "code" in concept else [])
        for coding in codings if isinstance(codings, list) else ():
            if isinstance(coding, Mapping) and isinstance(coding.get("code"), str):
                yield str(coding.get("system", "")), coding["code"]


def _moment(value: Any) -> str:
    """Return a time with its offset taken out, a date as it is; of a period the beginning."""
    text = value.get("start") if isinstance(value, Mapping) else value
    if not isinstance(text, str):
        return ""
    try:
        moment = datetime.fromisoformat(text) if "T" in text else None
    except ValueError:
        return text
    return text if moment is None or moment.tzinfo is None else moment.astimezone(UTC).isoformat()
