"""CE, CWE, CNE, CF, IS and ID as parts of a CodeableConcept, without the place where they were found.

Messages repeat a few thousand codes, so what a code becomes is worked out once. Nothing here is ever changed: who
uses it copies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from hawsepipe import Severity
from hawsepipe_hl7v2.naming import Naming
from hawsepipe_hl7v2.units import UCUM, ucum

_KEYS = ("code", "display", "system", "version")
_POSITIONS = ((0, 1, 2, 6), (3, 4, 5, 7), (9, 10, 11, 12))
# Components 14 to 22: for each coding the OID of its system, the OID of a value set and the version of that.
_ORIGINS = ((13, 14, 15), (16, 17, 18), (19, 20, 21))
_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/valueset-reference"
_SYSTEM = "urn:hawsepipe:extension:coding-system-identifier"
# Longer ones are free text, which does not come again.
_LONGEST = 256


Finding = tuple[Severity, str, str, str]
"""Severity, cause, component and text of an issue."""


class Coded(NamedTuple):
    """The codings and the text; `leaves` as (path below, component); `findings` are unmapped codes and what has
    no place; `names` are what the sender calls the systems, where their URIs do not say it, with the component."""

    codings: tuple[dict[str, Any], ...]
    text: str
    leaves: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    names: tuple[tuple[str, str], ...] = ()

    def value(self) -> dict[str, Any]:
        """Return a new CodeableConcept; empty when nothing was told."""
        value: dict[str, Any] = {}
        if len(self.codings) == 1:
            # As most are, without the call for a list.
            value["coding"] = [_copied(self.codings[0])]
        elif self.codings:
            value["coding"] = [_copied(coding) for coding in self.codings]
        if self.text:
            value["text"] = self.text
        return value


class Unit(NamedTuple):
    """The unit parts of a Quantity, to be copied, and their leaves as (path below, component); `fault`: what is odd
    about it, empty when nothing is."""

    value: dict[str, str]
    leaves: tuple[tuple[str, str], ...]
    fault: str


_UNESCAPED = "a power of ten whose ^ is not escaped (10^3/uL is sent as 10\\S\\3/uL); read as one unit"
_TEN = re.compile(r"[x*]?\s*10", re.ASCII | re.IGNORECASE)
_POWER = re.compile(r"[+-]?[0-9]{1,2}(?:\s*[/.a-z\u00b5\u03bc].*)?", re.IGNORECASE)


def _cut(ten: str, power: str) -> bool:
    """Whether two components are one power of ten, cut in two by its own sign."""
    return bool(power) and _TEN.fullmatch(ten) is not None and _POWER.fullmatch(power) is not None


def _otherwise(code: str, text: str) -> bool:
    """Whether a code and a name are two units that are known, and not the same one."""
    one, other = ucum(code), ucum(text)
    return bool(one and other) and one.replace("[iU]", "U") != other.replace("[iU]", "U")


class Codings:
    """What codes become under one set of code tables and naming systems."""

    def __init__(self, naming: Naming, tables: Mapping[str, Any]) -> None:
        self._naming = naming
        self._tables = tables
        self._known = lru_cache(maxsize=4096)(self._make)
        self._units = lru_cache(maxsize=1024)(self._unit)

    def of(self, table: str, parts: list[str]) -> Coded:
        """Convert components as text, with up to three codings.

        With a table its target coding comes first and the sender's own coding stays; an unmapped code is a finding.
        """
        make = self._known if sum(map(len, parts)) <= _LONGEST else self._make
        return make(table, tuple(parts))

    def unit(self, parts: list[str]) -> Unit:
        """Return what components say of the unit of a Quantity.

        The unit as it was sent always; the code and system when both are told, or when the unit is known in UCUM.
        """
        unit = self._units if sum(map(len, parts)) <= _LONGEST else self._unit
        return unit(*[*parts, "", "", "", ""][:4])

    def _unit(self, code: str, text: str, name: str, beyond: str) -> Unit:
        value: dict[str, str] = {}
        leaves: list[tuple[str, str]] = []
        fault, at = "", ".2"
        if _cut(code, text):
            code, text, name = f"{code}^{text}", "", name or beyond
            fault, at = _UNESCAPED, ".2"
        elif _cut(text, name):
            text, name, fault, at = f"{text}^{name}", beyond, _UNESCAPED, ".3"
        elif text and code and _otherwise(code, text):
            fault = "the code and the name of the unit are two different units; both are kept"
        system = self._naming.coding_system(name)
        if unit := text or code:
            value["unit"] = unit
            leaves.append((".unit", ".2" if text else ".1"))
            leaves += [(".unit", at)] if fault is _UNESCAPED else []
        if code and system and " " not in code and "^" not in code:
            value["system"], value["code"] = system, code
            leaves += [(".system", ".3"), (".code", ".1")]
        elif (not system or (system == UCUM and "^" in code)) and (known := ucum(code or text)):
            value["system"], value["code"] = UCUM, known
            told = ".1" if code else ".2"
            leaves += [(".system", told), (".code", told)]
        return Unit(value, tuple(leaves), fault)

    def _make(self, table: str, parts: tuple[str, ...]) -> Coded:
        codings: list[dict[str, Any]] = []
        leaves: list[tuple[str, str]] = []
        findings: list[Finding] = []
        names: list[tuple[str, str]] = []
        tables = table.split("/") if table else []
        source = self._tables[tables[0]]["source"] if tables else ""
        count = len(parts)
        for order, positions in enumerate(_POSITIONS):
            if positions[0] >= count:
                break
            code, display = parts[positions[0]], parts[positions[1]] if positions[1] < count else ""
            if not code and not display:
                continue
            first_one = positions[0] == 0
            coding = self._coding(parts, positions, source if first_one and code else "")
            if (at := positions[2]) < count and (name := parts[at]) and name.casefold() not in _folded(coding):
                names.append((name, f".{at + 1}"))
            self._origin(parts, _ORIGINS[order], coding)
            if first_one and code and tables:
                self._map(tables, coding, codings, leaves, findings)
            home = f".coding[{_joined(codings, coding)}]."
            for key, position in zip(_KEYS, positions, strict=True):
                if position < count and parts[position] and key in coding:
                    leaves.append((home + key, f".{position + 1}"))
        text, text_at = _original(parts)
        if text:
            leaves.append((".text", f".{text_at + 1}"))
        for beyond, part in enumerate(parts[22:], 23):
            if part:
                text_ = "this component has no place in the target"
                findings.append((Severity.INFORMATION, "mapping", f".{beyond}", text_))
        return Coded(tuple(codings), text, tuple(leaves), tuple(findings), tuple(names))

    def _coding(self, parts: tuple[str, ...], at: tuple[int, int, int, int], source: str) -> dict[str, Any]:
        count = len(parts)
        code, display, system, version = (parts[index] if index < count else "" for index in at)
        coding: dict[str, Any] = {}
        if uri := self._naming.coding_system(system) or source:
            coding["system"] = uri
        if version:
            coding["version"] = version
        if code:
            coding["code"] = " ".join(code.split())  # FHIR allows only single white space in a code
        if display:
            coding["display"] = display
        return coding

    def _origin(self, parts: tuple[str, ...], at: tuple[int, int, int], coding: dict[str, Any]) -> None:
        """Write what components 14 to 22 tell: the system when nothing else names it, else beside it; the value set."""
        if len(parts) <= 13:
            return
        system, value_set, version = (parts[index] if index < len(parts) else "" for index in at)
        extensions: list[dict[str, str]] = []
        if system:
            uri = self._naming.coding_system(system) or ""
            if coding.setdefault("system", uri) != uri:
                extensions.append({"url": _SYSTEM, "valueUri": uri})
        if value_set:
            uri = self._naming.coding_system(value_set) or ""
            extensions.append({"url": _VALUE_SET, "valueUri": f"{uri}|{quote(version)}" if version else uri})
        if extensions:
            coding["extension"] = extensions

    def _map(
        self,
        tables: list[str],
        coding: dict[str, Any],
        codings: list[dict[str, Any]],
        leaves: list[tuple[str, str]],
        findings: list[Finding],
    ) -> None:
        """Put what the tables make of a code before it; a code of their own source that none maps is a finding."""
        entries = [self._tables[table] for table in tables]
        found = False
        for entry in entries:
            codes, local = entry["codes"], entry.get("local", {})
            # A sender's own codes (an overlay) go before the table's, and need not be of its source.
            own = local.get(f"{coding.get('system')}|{coding['code']}") or local.get(coding["code"])
            target = own or codes.get(coding["code"]) or codes.get(coding["code"].upper())
            if target is None:
                continue
            found = True
            if own or coding.get("system") in (entry["source"], entry["system"]):
                # A code of another system than the table's is written with it: `system|code`.
                system, _, code = target.rpartition("|")
                leaves.append((f".coding[{len(codings)}].code", ".1"))
                codings.append({"system": system or entry["system"], "code": code})
        if found or not any(entry["codes"] for entry in entries):
            return
        source, system = entries[0]["source"], coding.get("system")
        if not source and entries[0].get("local"):
            text = f"a code that table {tables[0]} does not map; kept as it is"
            findings.append((Severity.WARNING, "code", ".1", text))
        elif system == source and coding["code"] not in entries[0].get("untranslated", ()):
            text = f"a code of {source} that table {tables[0]} does not map; kept as it is"
            findings.append((Severity.WARNING, "code", ".1", text))
        elif system != source and system not in {entry["system"] for entry in entries}:
            text = f"a code of another system than table {tables[0]} maps; kept as it is"
            findings.append((Severity.INFORMATION, "code", ".1", text))


def _folded(coding: dict[str, Any]) -> str:
    return str(coding.get("system", "")).casefold()


def _joined(codings: list[dict[str, Any]], coding: dict[str, Any]) -> int:
    """Add a coding, or what it says besides to the one of the same system and code; return its index."""
    key = (coding.get("system"), coding.get("code"))
    for index, known in enumerate(codings):
        if known == coding:
            return index
        same = None not in key and (known.get("system"), known.get("code")) == key
        if same and all(known.get(name, value) == value for name, value in coding.items()):
            known.update(coding)
            return index
    codings.append(coding)
    return len(codings) - 1


def _copied(coding: dict[str, Any]) -> dict[str, Any]:
    copy = coding.copy()
    if "extension" in copy:
        copy["extension"] = [extension.copy() for extension in copy["extension"]]
    return copy


def _original(parts: tuple[str, ...]) -> tuple[str, int]:
    """CWE.9, or a display without a code."""
    if len(parts) > 8 and parts[8]:
        return parts[8], 8
    if not parts[0] and len(parts) > 1 and parts[1]:
        return parts[1], 1
    return ("", 0)
