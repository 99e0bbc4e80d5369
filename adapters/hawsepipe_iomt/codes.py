"""Codes of measurements: IEEE 11073-10101 with the LOINC codes that mean the same. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hawsepipe_schemas import load

MDC = "urn:iso:std:iso:11073:10101"
LOINC = "http://loinc.org"


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = load("iomt/mdc.json")["codes"]
    return found


def concept(code: str | Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return a CodeableConcept: of a reference id its MDC coding, and LOINC's where one is mapped.

    Raises KeyError for a reference id that the table does not have.
    """
    if not isinstance(code, str):
        return {"coding": [dict(coding) for coding in code]}
    row = _table()[code]
    codings = [{"system": LOINC, "code": loinc} for loinc in row["loinc"]]
    return {"coding": [*codings, {"system": MDC, "code": row["code"], "display": code}], "text": row["display"]}


def usual_unit(code: str | Sequence[Mapping[str, str]]) -> str | None:
    """Return the unit that the table has for a reference id."""
    return _table()[code]["unit"] if isinstance(code, str) and code in _table() else None
