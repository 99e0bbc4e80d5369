"""Whose a resource is that a message names by a number: one that two patients share takes nothing from either.

Senders number orders, visits and accounts, and use numbers again. An id that was made from such a number may so be
another patient's already. What the message tells is then of a resource of its own, under an id that is made from the
number's and the patient's, and its Provenance names the one that the number spoke of (`identity.KNOWN_AS`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.identity import MARKS
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Method, Resource, Version
from hawsepipe.store.prepared import PreparedChange

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:hawsepipe:shared-number")

Found = Callable[[str, str], Version | None]
"""Gives the current version of a resource by type and id, None when there is none or it is deleted."""

Last = Callable[[str, str], str]
"""Gives the id of whoever or whatever took the place of a resource, else its own."""


def strangers(changes: Sequence[PreparedChange], found: Found, last: Last, base: str) -> dict[tuple[str, str], str]:
    """Return which resources of a transaction are another patient's: (type, id) to the id of the patient's own.

    A change that tells some of a resource (MERGE) is asked, unless it says that the resource passes to another patient.
    A whole resource (PUT) has the id that its source gave it; it goes along when something else of its message does.
    """
    # What belonged to a patient who gives way to another in this very message is the other's.
    gone = {it.id for it in changes if it.type == "Patient" and MARKS["Patient"] in it.effect[1]}
    taken = _taken((it for it in changes if it.effect[0] is Method.MERGE and not it.passes), gone, found, last, base)
    if taken:
        taken |= _taken((it for it in changes if it.effect[0] is Method.PUT), gone, found, last, base)
    return taken


def _taken(
    changes: Iterable[PreparedChange], gone: Set[str], found: Found, last: Last, base: str
) -> dict[tuple[str, str], str]:
    result: dict[tuple[str, str], str] = {}
    for change in changes:
        stored = found(change.type, change.id)
        if stored is None or change.type == "Patient" or _names(change.effect[1], stored.patients):
            continue
        if not gone.isdisjoint(stored.patients):
            continue
        patients = {last("Patient", id_) for id_ in patients_of(decode(change.effect[1]), base)}
        if not patients:
            continue
        own = _own(change, sorted(patients))
        if found(change.type, own) is not None or patients.isdisjoint(_owners(stored, found, last)):
            result[change.type, change.id] = last(change.type, own) if change.type in MARKS else own
    return result


def _names(content: bytes, patients: Sequence[str]) -> bool:
    """Say whether a content refers to one of these patients, or there are none."""
    return not patients or any(f'"Patient/{id_}"'.encode() in content for id_ in patients)


def _owners(stored: Version, found: Found, last: Last) -> set[str]:
    """Return whose a resource is: the patients whom it names, and those whose its visit is by now."""
    owners = {last("Patient", id_) for id_ in stored.patients}
    for visit in _visits(decode(stored.content or b"{}")):
        version = found("Encounter", last("Encounter", visit))
        if version is not None:
            owners |= {last("Patient", id_) for id_ in version.patients}
    return owners


def _visits(resource: Resource) -> Iterator[str]:
    context: Any = resource.get("context")
    for reference in (resource.get("encounter"), context):
        literal = reference.get("reference") if isinstance(reference, Mapping) else None
        type_, _, id_ = literal.partition("/") if isinstance(literal, str) else ("", "", "")
        if type_ == "Encounter" and id_ and "/" not in id_:
            yield id_


def _own(change: PreparedChange, patients: Sequence[str]) -> str:
    return str(uuid.uuid5(_NAMESPACE, "|".join((change.type, change.id, *patients))))
