"""Whom and what a message names, and under which identifiers it may be known already.

A resource of a message has an id that was made from one identifier. The same patient may be known by another one of
those that the message gives, and a number may have passed to another record since (a merge): the store looks both up
(`store.contract`). What is decided here depends on the message alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from hawsepipe.model import Change, Method, Resource

KNOWN_AS: Final = "urn:hawsepipe:extension:named-as"
"""The extension of a Provenance that names a resource which its message spoke of and which is another one's by now."""

MARKS: Final = {"Patient": b'"replaced-by"', "Encounter": b'"partOf"', "Account": b'"partOf"'}
"""The types of what may have a successor, and what is in the content of those that have one."""

_NOT_PERSONAL: Final = frozenset({"AN", "ANC", "AND", "ANT", "VN", "SS", "DL", "BA", "BC", "BCT", "CC", "CCT"})
"""Types of identifier (table 0203) that name no person, or that people share and mistype."""
_TYPES: Final = "/v2-0203"


class Named(NamedTuple):
    """A patient, visit or account that a message names.

    `identifiers` are (system, value) by which a patient may be known; `gone`: the message itself says that another took
    its place, so nobody else is looked for behind it. `former` are numbers that were the patient's until some day.
    """

    type: str
    id: str
    identifiers: tuple[tuple[str, str], ...]
    gone: bool
    former: tuple[tuple[str, str], ...] = ()

    @property
    def reference(self) -> str:
        """`Patient/1`."""
        return f"{self.type}/{self.id}"


def named(changes: Iterable[Change]) -> tuple[Named, ...]:
    """Return whom and what these changes name, in their order."""
    found: dict[tuple[str, str], Named] = {}
    for change in changes:
        if change.type in MARKS and change.resource is not None and change.method is not Method.DELETE:
            place = (change.type, change.id)
            before = found.get(place)
            own = personal(change.resource) if change.type == "Patient" else ()
            former = lapsed(change.resource) if change.type == "Patient" else ()
            gone = successor(change.type, change.resource) is not None
            if before is not None:
                own = tuple(dict.fromkeys((*before.identifiers, *own)))
                former = tuple(dict.fromkeys((*before.former, *former)))
                gone |= before.gone
            found[place] = Named(*place, own, gone, former)
    return tuple(found.values())


def personal(patient: Resource) -> tuple[tuple[str, str], ...]:
    """Return system and value of the identifiers by which a patient is met: neither old ones, nor numbers that name no
    person, nor values without a system.
    """
    return _numbers(item for item in _identifiers(patient) if item.get("use") != "old")


def lapsed(patient: Resource) -> tuple[tuple[str, str], ...]:
    """Return system and value of a patient's old numbers that have an end: somebody else may have been given them
    since. The old numbers of a merge have none.
    """
    items = [item for item in _identifiers(patient) if item.get("use") == "old"]
    return _numbers(item for item in items if isinstance(item.get("period"), dict) and "end" in item["period"])


def _identifiers(patient: Resource) -> list[dict[str, Any]]:
    items = patient.get("identifier")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _numbers(items: Iterable[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    found: dict[tuple[str, str], None] = {}
    for item in items:
        system, value = item.get("system"), item.get("value")
        if isinstance(system, str) and isinstance(value, str) and system and value and not _NOT_PERSONAL & _types(item):
            found[system, value] = None
    return tuple(found)


def successor(type_: str, resource: Mapping[str, Any]) -> str | None:
    """Return the id of what took the place of a resource: of a patient that was merged away, of a second number of one
    visit or account; None when it stands for itself.
    """
    if type_ == "Patient":
        links = resource.get("link")
        for link in links if isinstance(links, list) else ():
            if isinstance(link, dict) and link.get("type") == "replaced-by":
                return _id_of(link.get("other"), type_)
        return None
    ended = {"Encounter": "entered-in-error", "Account": "inactive"}
    return _id_of(resource.get("partOf"), type_) if resource.get("status") == ended.get(type_, "") else None


def _id_of(reference: Any, type_: str) -> str | None:
    literal = reference.get("reference") if isinstance(reference, dict) else None
    kind, _, id_ = literal.partition("/") if isinstance(literal, str) else ("", "", "")
    return id_ if kind == type_ and id_ and "/" not in id_ else None


def _types(identifier: Mapping[str, Any]) -> set[str]:
    concept = identifier.get("type")
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return {
        str(coding.get("code"))
        for coding in (codings if isinstance(codings, list) else ())
        if isinstance(coding, dict) and str(coding.get("system", "")).endswith(_TYPES)
    }
