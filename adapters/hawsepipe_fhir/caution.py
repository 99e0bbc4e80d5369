"""What a feed's resources may not do by themselves: grant access, or turn the meaning of what nobody here understands.

A Consent decides who sees what, and here it is the patient or a privacy officer who may write one. So of a Consent that
a feed brings only what narrows holds, until one of them takes it over: its scope is withheld, without which a Consent
here only narrows. It is kept under an id made of its content and never replaces or withdraws another, so that what once
narrowed goes on narrowing; and it never overwrites what a person has made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hawsepipe import Change, Method, Resource

SCOPE = "urn:hawsepipe:extension:consent-scope"
"""The extension beside a scope that is withheld: the scope that the Consent came with."""

_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}


def narrowed(consent: Resource) -> Resource:
    """Return a Consent of which only what narrows has an effect."""
    scope = consent.get("scope")
    kept = [{"url": SCOPE, "valueCodeableConcept": scope}] if isinstance(scope, dict) else []
    return consent | {"scope": {"extension": [*kept, _ABSENT]}}


def laid_beside(id: str, consent: Resource) -> Change:
    """Return the change that keeps a Consent where there never was one of this id, and else changes nothing: neither
    what a person has written into it nor what a person has taken out of it, the whole of it included.
    """
    return Change(Method.MERGE, "Consent", id, consent, keep=frozenset(consent) - {"id"})


def modifiers(value: Any, known: frozenset[str], path: str = "") -> Iterator[str]:
    """Yield the paths of modifier extensions and implicit rules that are not among those understood.

    What holds one that is not understood must not be used:
    https://hl7.org/fhir/R4/extensibility.html#modifierExtension
    """
    if isinstance(value, Mapping):
        for key, held in value.items():
            below = f"{path}.{key}" if path else key
            if key == "implicitRules" and held not in known:
                yield below
            elif key == "modifierExtension":
                for place, extension in enumerate(held if isinstance(held, list) else [held]):
                    if not isinstance(extension, Mapping) or extension.get("url") not in known:
                        yield f"{below}[{place}]"
            else:
                yield from modifiers(held, known, below)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from modifiers(item, known, f"{path}[{place}]")
