"""Amounts in one UCUM unit as amounts in another, exactly. Pure.

A unit that is not known is never taken for another: what cannot be converted is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from hawsepipe import MessageError
from hawsepipe_schemas import load

_ANNOTATION = re.compile(r"\{[^{}]*\}")
_MASS, _SUBSTANCE = "mass concentration", "substance concentration"
_LEAST_DIGITS = 3


class _Unit(NamedTuple):
    kind: str
    factor: Fraction
    offset: Fraction


@cache
def _units() -> Mapping[str, _Unit]:
    kinds = load("iomt/units.json")["kinds"]
    return {
        name: _Unit(kind, Fraction(factor), Fraction(offset))
        for kind, units in kinds.items()
        for name, (factor, offset) in units.items()
    }


@cache
def _synonyms() -> Mapping[str, str]:
    found: Mapping[str, str] = load("iomt/units.json")["synonyms"]
    return found


def ucum(text: str) -> str:
    """Return a unit as UCUM spells it: what devices write (`bpm`, `degF`) is known, annotations (`{beats}/min`) go."""
    plain = _ANNOTATION.sub("", text.strip())
    return _synonyms().get(plain, plain)


def known(unit: str) -> bool:
    """Say whether amounts in a unit can be converted at all."""
    return ucum(unit) in _units()


def converted(value: Decimal, unit: str, wanted: str, molar_mass: Decimal | None, where: str) -> Decimal:
    """Return an amount in another unit, with one significant digit more than it came with.

    `molar_mass`, in g/mol, is what makes amounts of substance of masses. Raises MessageError where nothing does.
    """
    source, target = ucum(unit), ucum(wanted)
    if source == target:
        return value
    units = _units()
    one, other = units.get(source), units.get(target)
    if one is None or other is None:
        raise MessageError("code", where, "the unit is not known, and not the one that is expected")
    base = Fraction(value) * one.factor + one.offset
    if one.kind != other.kind:
        if {one.kind, other.kind} != {_MASS, _SUBSTANCE} or molar_mass is None:
            raise MessageError("code", where, f"a {one.kind} is no {other.kind}")
        base = base / Fraction(molar_mass) if one.kind == _MASS else base * Fraction(molar_mass)
    exact = (base - other.offset) / other.factor
    return _rounded(exact, max(len(value.as_tuple().digits) + 1, _LEAST_DIGITS))


def _rounded(exact: Fraction, digits: int) -> Decimal:
    """Return a fraction with so many significant digits, halves to even; never in the form with an exponent."""
    if not exact:
        return Decimal(0)
    size = len(str(abs(int(exact)))) if abs(exact) >= 1 else 0
    places = max(digits - size, 0)
    scaled = round(exact * 10**places)
    return Decimal(scaled).scaleb(-places)
