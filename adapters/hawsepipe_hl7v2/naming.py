"""Names of things outside the message: naming systems, coding systems, resource ids.

An assigning authority (HD) becomes a URI by the first of: the `systems` setting for its namespace or universal id;
its OID or UUID as a URN; a URI or DNS name as it stands; `urn:hawsepipe:authority:<namespace>`. A namespace without
a universal id is taken to mean the same in every message of one installation, because HL7 table 0363 is one per
site; where two senders use one namespace for different things the setting must tell them apart. Where one namespace
numbers patients and visits alike, `systems` tells them apart by the type (CX.5): `"KN|VN"`. An identifier without any
authority belongs to the sending facility: `urn:hawsepipe:facility:<MSH-4>` for patients, with `:practitioner`,
`:organization`, `:insurer` and so on for others (`KINDS`), so that equal numbers of different things stay apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha1
from urllib.parse import quote
from uuid import UUID

NAMESPACE = UUID("6f1c2a52-7a0e-5d0b-9d8e-4c5b2f0e7a11")
"""The namespace of ids made from business identifiers. It must never change: ids would."""
_PREFIX = NAMESPACE.bytes
# RFC 9562: version 5 in bits 48 to 51, variant 10 in bits 64 and 65. uuid.uuid5 does the same at three times the cost.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*)){1,}")
_TABLE = re.compile(r"(?:HL7|L7)?-?0*([0-9]{1,4})", re.IGNORECASE)


KINDS = frozenset(
    {
        *("account", "employer", "insurer", "message", "organization", "organization-code", "plan", "practitioner"),
        "visit",
    }
)
"""What a facility numbers besides its patients, each in a system of its own."""


def _quoted(name: str) -> str:
    return name if name.isalnum() and name.isascii() else quote(name, safe="")


class Naming:
    """Naming for one installation. `systems` is the setting, `coding` the known coding systems (table 0396)."""

    def __init__(self, systems: Mapping[str, str], coding: Mapping[str, str]) -> None:
        self._systems = dict(systems)
        self.typed = any("|" in name for name in systems)
        """Whether the setting tells types of one authority apart."""
        self._coding = {key.upper(): value for key, value in coding.items()}
        # The same few names come in every message. The caches live and die with this object.
        self.authority = lru_cache(maxsize=4096)(self._authority)
        self.coding_system = lru_cache(maxsize=4096)(self._coding_system)
        self._known_id = lru_cache(maxsize=4096)(resource_id)

    def _authority(self, namespace: str, universal: str, kind: str) -> str:
        """Return the URI of an HD's values; empty when all of them are."""
        for name in (namespace, universal):
            if name in self._systems:
                return self._systems[name]
        if universal:
            if kind in ("ISO", "") and _OID.fullmatch(universal):
                return f"urn:oid:{universal}"
            if kind in ("UUID", "GUID") and re.fullmatch(r"[0-9a-fA-F-]{36}", universal):
                return f"urn:uuid:{universal.lower()}"
            if kind in ("URI", "URL") and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", universal):
                return universal
            if not namespace:
                return f"urn:hawsepipe:authority:{quote(universal, safe='')}"
        return f"urn:hawsepipe:authority:{quote(namespace, safe='')}" if namespace else ""

    def numbers(self, namespace: str, universal: str, kind: str, type_: str) -> str:
        """Return the URI of an HD's values of one identifier type (CX.5); empty when the HD is."""
        if self.typed and (found := self.of_type(namespace, universal, type_)):
            return found
        return self.authority(namespace, universal, kind)

    def of_type(self, namespace: str, universal: str, type_: str) -> str:
        """Return what the `systems` setting says of one type of an authority's values, empty when it says nothing."""
        return self._systems.get(f"{namespace}|{type_}") or self._systems.get(f"{universal}|{type_}") or ""

    def settled(self, namespace: str) -> bool:
        """Whether the `systems` setting says what a namespace means."""
        return namespace in self._systems

    def known_id(self, type_: str, key: str) -> str:
        """Return `resource_id(type_, key)`, remembered: for people and places that come in every message."""
        return self._known_id(type_, key) if len(key) <= 256 else resource_id(type_, key)

    def facility(self, sender: str, kind: str = "") -> str:
        """Return the URI for identifiers that only their sender can tell apart: its patients', or those of a kind."""
        if kind:
            return self._systems.get(f"{sender}:{kind}") or f"{self.facility(sender)}:{kind}"
        return self._systems.get(sender) or f"urn:hawsepipe:facility:{_quoted(sender)}"

    def _coding_system(self, name: str) -> str | None:
        """Return the URI of a coding system as v2 names it (`LN`, `HL70001`, an OID), None for an empty name."""
        if not name:
            return None
        known = self._systems.get(name) or self._coding.get(name.upper())
        if known:
            return known
        if _OID.fullmatch(name):
            return f"urn:oid:{name}"
        if (table := _TABLE.fullmatch(name)) and name[0] in "Hh0123456789":
            return f"http://terminology.hl7.org/CodeSystem/v2-{int(table[1]):04}"
        return f"urn:hawsepipe:codes:{quote(name, safe='')}"


def resource_id(type_: str, key: str) -> str:
    """Return the id of a resource: a name-based UUID (version 5) over its type and business key."""
    text = sha1(_PREFIX + f"{type_}|{key}".encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"
