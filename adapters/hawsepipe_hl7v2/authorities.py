"""Assigning authorities (HD): the URI of their values, and the organization behind them.

A namespace alone is told whole by the URI and a display. What has a universal id or its type besides, or a name that
no URI can hold as it is, becomes an Organization that every identifier of that authority refers to.
"""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_letters, digits
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Converted, Leaf

Fill = Callable[[Bench, str, str, dict[str, Any]], list[Leaf]]
"""Fills an object from a repetition as sent, found at a location."""
_UNIVERSAL = "http://terminology.hl7.org/CodeSystem/v2-0301"
_URIS = "urn:ietf:rfc:3986"
_PLAIN = frozenset(ascii_letters + digits + "-._~")
TWO_SPELLINGS = (
    "this authority is written with and without its universal id, or with two: equal numbers of it are taken for "
    "different ones until the `systems` setting names its namespace"
)
_PREFIXES = {"ISO": "urn:oid:", "UUID": "urn:uuid:", "GUID": "urn:uuid:"}


def authority(bench: Bench, raw: str, where: str) -> Converted | None:
    """HD to the URI of a naming system."""
    if raw.isalnum():
        _spelled(bench, raw, "", where)
        return bench.naming.authority(raw, "", ""), [("", where)]
    parts = [*bench.parts(raw), "", "", ""]
    uri = bench.naming.authority(parts[0], parts[1], parts[2])
    if parts[0]:
        _spelled(bench, parts[0], parts[1], where)
    return (uri, [("", where)]) if uri else None


TYPED = {"CX": (3, 4), "XCN": (8, 12), "XON": (5, 6)}
"""Data types with an authority and an identifier type: the indices of the two components."""


def typed(fill: Fill, authority_at: int, type_at: int) -> Fill:
    """Return the function that fills an object of a data type, with the `systems` setting for single types of an
    authority (`KN|VN`) followed."""

    def filled(bench: Bench, raw: str, where: str, target: dict[str, Any]) -> list[Leaf]:
        leaves = fill(bench, raw, where, target)
        if not bench.naming.typed:
            return leaves
        parts = raw.split(bench.component)
        if len(parts) > type_at and parts[authority_at] and parts[type_at]:
            namespace, universal = [*bench.parts(bench.sub(parts[authority_at])), ""][:2]
            type_ = bench.text(parts[type_at].split(bench.subcomponent)[0])
            found = bench.naming.of_type(namespace, universal, type_)
            homes = target.get("identifier", [target])
            if found and homes:
                homes[0]["system"] = found
        return leaves

    return filled


def _spelled(bench: Bench, namespace: str, universal: str, where: str) -> None:
    """Warn of an authority that a message writes in two ways: what it numbers would be two things."""
    known = bench.cache.setdefault(("spelled", namespace), universal)
    if known != universal and not bench.naming.settled(namespace):
        bench.warn("mapping", where, TWO_SPELLINGS)


def assigner(bench: Bench, raw: str, where: str) -> Converted | None:
    """HD to a Reference: to its Organization when it has a universal id or type, else only to its name."""
    if raw.isalnum():
        return {"display": raw}, [(".display", where)]
    namespace, universal, kind = [*bench.parts(raw), "", "", ""][:3]
    if not universal and not kind and namespace.isascii() and not set(namespace) - _PLAIN:
        return ({"display": namespace}, [(".display", where)]) if namespace else None
    known = bench.cache.get(("authority", raw))
    if known is None:
        known = bench.cache["authority", raw] = _organization(bench, namespace, universal, kind, where)
    return dict(known), [(".reference", where)]


def facility(bench: Bench, raw: str, where: str) -> Converted | None:
    """HD to an Organization, whatever it tells: a facility or an application's owner."""
    namespace, universal, kind = [*bench.parts(raw), "", "", ""][:3]
    if not namespace and not universal and not kind:
        return None
    return _organization(bench, namespace, universal, kind, where), [(".reference", where)]


def _organization(bench: Bench, namespace: str, universal: str, kind: str, where: str) -> dict[str, Any]:
    uri = bench.naming.authority(namespace, universal, kind)
    draft = bench.mention("Organization", f"authority|{uri or f'{bench.facility}|{kind}'}")
    for identifier, leaves in identifiers(namespace, universal, kind, where):
        draft.put_converted("identifier[]", (identifier, leaves))
    if namespace:
        draft.put("name", namespace, f"{where}.1")
    return draft.reference | {"display": namespace or universal or kind}


def identifiers(namespace: str, universal: str, kind: str, where: str) -> list[tuple[dict[str, Any], list[Leaf]]]:
    """Return the parts of an HD as Identifiers with their leaves: the namespace, and the universal id with its type.

    An OID or UUID is written as the URN that it is.
    """
    made: list[tuple[dict[str, Any], list[Leaf]]] = []
    if namespace:
        made.append(({"value": namespace}, [(".value", f"{where}.1")]))
    if universal or kind:
        second: dict[str, Any] = {}
        leaves: list[Leaf] = []
        if kind:
            second["type"] = {"coding": [{"system": _UNIVERSAL, "code": " ".join(kind.split())}]}
            leaves.append((".type.coding[0].code", f"{where}.3"))
        if universal:
            prefix = _PREFIXES.get(kind.upper(), "")
            if prefix:
                second["system"] = _URIS
            second["value"] = universal if universal.lower().startswith(prefix or "urn:") else prefix + universal
            leaves.append((".value", f"{where}.2"))
        made.append((second, leaves))
    return made
