"""CE, CWE, CNE, CF, IS and ID as parts of a CodeableConcept, without the place where they were found.

Messages repeat a few thousand codes, so what a code becomes is worked out once. Nothing here is ever changed: who
uses it copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from hawsepipe_hl7v2.naming import Naming

_KEYS = ("code", "display", "system", "version")
_POSITIONS = ((0, 1, 2, 6), (3, 4, 5, 7), (9, 10, 11, 12))
# Longer ones are free text, which does not come again.
_LONGEST = 256


class Coded(NamedTuple):
    """The codings and the text; `leaves` as (path below, component); `findings` as (unmapped code or not, component,
    text)."""

    codings: tuple[dict[str, str], ...]
    text: str
    leaves: tuple[tuple[str, str], ...]
    findings: tuple[tuple[bool, str, str], ...]

    def value(self) -> dict[str, Any]:
        """Return a new CodeableConcept; empty when nothing was told."""
        value: dict[str, Any] = {"coding": [coding.copy() for coding in self.codings]} if self.codings else {}
        if self.text:
            value["text"] = self.text
        return value


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

    def unit(self, parts: list[str]) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
        """Return the unit parts of a Quantity, to be copied, and their leaves as (path below, component).

        The code and system when both are told, the unit always.
        """
        unit = self._units if sum(map(len, parts)) <= _LONGEST else self._unit
        return unit(*[*parts, "", "", ""][:3])

    def _unit(self, code: str, text: str, name: str) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
        system = self._naming.coding_system(name)
        value: dict[str, str] = {}
        leaves: list[tuple[str, str]] = []
        if unit := text or code:
            value["unit"] = unit
            leaves.append((".unit", ".2" if text else ".1"))
        if code and system and " " not in code:
            value["system"], value["code"] = system, code
            leaves += [(".system", ".3"), (".code", ".1")]
        return value, tuple(leaves)

    def _make(self, table: str, parts: tuple[str, ...]) -> Coded:
        codings: list[dict[str, str]] = []
        leaves: list[tuple[str, str]] = []
        findings: list[tuple[bool, str, str]] = []
        source = self._tables[table]["source"] if table else ""
        count = len(parts)
        for positions in _POSITIONS:
            if positions[0] >= count:
                break
            if not parts[positions[0]]:
                continue
            first_one = positions[0] == 0
            coding = self._coding(parts, positions, source if first_one else "")
            if first_one and table:
                self._map(table, coding, codings, leaves, findings)
            if coding not in codings:
                codings.append(coding)
            at = f".coding[{codings.index(coding)}]."
            for key, position in zip(_KEYS, positions, strict=True):
                if position < count and parts[position] and key in coding:
                    leaves.append((at + key, f".{position + 1}"))
        text, text_at = _original(parts)
        if text:
            leaves.append((".text", f".{text_at + 1}"))
        # Components 14 to 22 are OIDs and value sets of the same codings.
        for beyond, part in enumerate(parts[22:], 23):
            if part:
                findings.append((False, f".{beyond}", "this component has no place in the target"))
        return Coded(tuple(codings), text, tuple(leaves), tuple(findings))

    def _coding(self, parts: tuple[str, ...], at: tuple[int, int, int, int], source: str) -> dict[str, str]:
        count = len(parts)
        code, display, system, version = (parts[index] if index < count else "" for index in at)
        coding: dict[str, str] = {}
        if uri := self._naming.coding_system(system) or source:
            coding["system"] = uri
        if version:
            coding["version"] = version
        coding["code"] = " ".join(code.split())  # FHIR allows only single white space in a code
        if display:
            coding["display"] = display
        return coding

    def _map(
        self,
        table: str,
        coding: dict[str, str],
        codings: list[dict[str, str]],
        leaves: list[tuple[str, str]],
        findings: list[tuple[bool, str, str]],
    ) -> None:
        entry = self._tables[table]
        target = entry["codes"].get(coding["code"]) or entry["codes"].get(coding["code"].upper())
        if target is None:
            if coding.get("system") == entry["source"] and entry["codes"]:
                findings.append((True, ".1", f"a code that table {table} does not map; kept as it is"))
            return
        if coding.get("system") in (entry["source"], entry["system"]):
            leaves.append((".coding[0].code", ".1"))
            codings.append({"system": entry["system"], "code": target})


def _original(parts: tuple[str, ...]) -> tuple[str, int]:
    """CWE.9, or a display without a code."""
    if len(parts) > 8 and parts[8]:
        return parts[8], 8
    if not parts[0] and len(parts) > 1 and parts[1]:
        return parts[1], 1
    return ("", 0)
