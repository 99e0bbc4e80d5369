"""UCUM units that mean the same (https://ucum.org/ucum): exact factors between those of one dimension.

A compact table of what medicine uses, read by UCUM's grammar (prefixes, products, quotients, powers, annotations). A
unit that is not known here is only ever equal to itself. Amount of substance is a dimension of its own, which it is
not in UCUM, so that `mmol/L` is never taken for a count.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Final, NamedTuple

UCUM: Final = "http://unitsofmeasure.org"

Scale = Callable[[Decimal], Decimal]


class _Unit(NamedTuple):
    """What one of it is: a factor, the powers of the dimensions, and where its zero is (of temperatures alone)."""

    factor: Fraction
    powers: tuple[tuple[str, int], ...]
    zero: Fraction = Fraction(0)


_PREFIXES: Final = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
    "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip

_METRIC: Final[dict[str, tuple[int | str | Fraction, str]]] = {
    "m": (1, "m"), "s": (1, "s"), "g": (1, "g"), "K": (1, "K"), "C": (1, "C"), "mol": (1, "mol"), "cd": (1, "cd"),
    "rad": (1, "rad"), "[IU]": (1, "[IU]"), "[iU]": (1, "[IU]"), "L": ("0.001", "m3"), "l": ("0.001", "m3"),
    "Hz": (1, "s-1"), "N": (1000, "m.g.s-2"), "Pa": (1000, "g.m-1.s-2"), "J": (1000, "m2.g.s-2"),
    "W": (1000, "m2.g.s-3"), "V": (1000, "m2.g.s-2.C-1"), "A": (1, "C.s-1"), "bar": (100000000, "g.m-1.s-2"),
    "cal": (4184, "m2.g.s-2"), "eq": (1, "mol"), "osm": (1, "mol"), "kat": (1, "mol.s-1"),
    "U": (Fraction(1, 60_000_000), "mol.s-1"), "m[Hg]": (133322000, "g.m-1.s-2"), "m[H2O]": (9806650, "g.m-1.s-2"),
    "Gy": (1, "m2.s-2"), "Sv": (1, "m2.s-2"), "Bq": (1, "s-1"), "Ci": (37_000_000_000, "s-1"), "t": (1_000_000, "g"),
    "Ohm": (1000, "m2.g.s-1.C-2"),
}  # fmt: skip
"""Units that take prefixes: so much of that."""

_OTHERS: Final[dict[str, tuple[int | str, str]]] = {
    "10*": (10, ""), "10^": (10, ""), "%": ("0.01", ""), "[ppm]": ("0.000001", ""), "[ppth]": ("0.001", ""),
    "min": (60, "s"), "h": (3600, "s"), "d": (86400, "s"), "wk": (604800, "s"), "mo": (2629800, "s"),
    "a": (31557600, "s"), "[in_i]": ("0.0254", "m"), "[ft_i]": ("0.3048", "m"), "[yd_i]": ("0.9144", "m"),
    "[mi_i]": ("1609.344", "m"), "[lb_av]": ("453.59237", "g"), "[oz_av]": ("28.349523125", "g"),
    "[gr]": ("0.06479891", "g"), "[stone_av]": ("6350.29318", "g"), "[gal_us]": ("0.003785411784", "m3"),
    "[foz_us]": ("0.0000295735295625", "m3"), "[pt_us]": ("0.000473176473", "m3"), "[drp]": ("0.00000005", "m3"),
    "[cup_us]": ("0.0002365882365", "m3"), "[tbs_us]": ("0.00001478676478125", "m3"),
    "[tsp_us]": ("0.00000492892159375", "m3"), "atm": (101325000, "g.m-1.s-2"), "[Cal]": (4184000, "m2.g.s-2"),
    "deg": (1, "deg"), "[diop]": (1, "m-1"),
}  # fmt: skip

_TEMPERATURES: Final = {
    "Cel": _Unit(Fraction(1), (("K", 1),), Fraction("273.15")),
    "[degF]": _Unit(Fraction(5, 9), (("K", 1),), Fraction("459.67") * Fraction(5, 9)),
}

IN_USE: Final = tuple(
    """
    % [ppm] [ppth] 10*-3 10*-6 g/g mg/g mg/mg ug/g ug/mg ng/g ng/mg pg/mg mg/kg ug/kg g/kg
    kg g mg ug ng pg fg t [lb_av] [oz_av] [gr] [stone_av]
    m dm cm mm um nm km [in_i] [ft_i] [yd_i] [mi_i]
    m2 cm2 mm2 [in_i]2 L l dL dl cL cl mL ml uL ul nL nl pL pl fL fl m3 dm3 cm3 mm3 um3
    [gal_us] [foz_us] [pt_us] [cup_us] [tbs_us] [tsp_us] [drp]
    a mo wk d h min s ms us ns /s /min /h /d /wk Hz kHz MHz {beats}/min {Beats}/min {breaths}/min {counts}/min
    K Cel [degF] Pa kPa hPa mm[Hg] cm[H2O] mbar bar atm
    g/L g/l g/dL g/dl g/mL g/ml mg/L mg/l mg/dL mg/dl mg/mL mg/ml ug/L ug/l ug/dL ug/dl ug/mL ug/ml
    ng/L ng/l ng/dL ng/dl ng/mL ng/ml pg/mL pg/ml pg/dL pg/dl pg/L pg/l kg/m3 g/m3 mg/m3 ug/m3 kg/L g/cm3
    mol mmol umol nmol pmol eq meq ueq osm mosm
    mol/L mol/l mmol/L mmol/l mmol/dL mmol/dl umol/L umol/l umol/dL umol/dl nmol/L nmol/l nmol/dL nmol/dl nmol/mL
    nmol/ml pmol/L pmol/l pmol/mL pmol/ml fmol/L eq/L meq/L meq/l meq/dL ueq/L mosm/L mol/m3
    mol/kg mmol/kg osm/kg mosm/kg mmol/mol umol/mol mmol/g umol/g nmol/g nmol/mg umol/mmol mg/mmol g/mol mg/umol
    kat/L ukat/L nkat/L U/L U/l mU/L mU/mL U/mL U/ml kU/L U/dL U/g U/kg ukat kat U kU mU
    [IU] m[IU] k[IU] u[IU] [IU]/L [IU]/l [IU]/mL [IU]/ml [IU]/dL m[IU]/L m[IU]/l m[IU]/mL m[IU]/ml u[IU]/mL u[IU]/ml
    u[IU]/L k[IU]/L k[IU]/mL [IU]/h [IU]/kg [IU]/kg/h
    /L /l /mL /ml /uL /ul /mm3 /dL /nL /pL 10*3/uL 10*3/ul 10*3/mm3 10*3/mL 10*6/uL 10*6/ul 10*6/mL 10*6/L 10*9/L
    10*9/l 10*12/L 10*12/l {cells}/uL {#}/uL 10*3.{cells}/uL
    L/min l/min mL/min ml/min mL/h ml/h L/h L/s mL/s mL/d L/d L/(24.h) mL/(24.h) mL/min/{1.73_m2} mL/kg mL/kg/h
    mL/kg/min L/min/m2 mL/m2 mL/min/m2
    kg/m2 g/m2 mg/m2 kg/cm2 [lb_av]/[in_i]2
    mg/d g/d ug/d mg/h g/h ug/h ug/min mg/min g/(24.h) mg/(24.h) ug/(24.h) mmol/d mmol/(24.h) umol/d umol/(24.h)
    nmol/d mg/kg/d mg/kg/h mg/kg/min ug/kg/min ug/kg/h ng/kg/min mmol/h meq/h
    J kJ cal kcal [Cal] kcal/d kJ/d W kW mW V mV uV A mA N
    m/s cm/s mm/s km/h m/min mm/h cm/h mm/min m/s2 Gy cGy mGy Sv mSv uSv Bq kBq MBq GBq Ci mCi uCi
    deg rad mrad [diop] cd s/{total} {score} 1
    """.split()  # noqa: SIM905  a table to read
)
"""Codes that stored quantities have, as far as a search for one looks for the others."""

_ATOM: Final = re.compile(r"(\[[^\]]*\]|%|10[*^]|[A-Za-z]+(?:\[[^\]]*\])?)([+-]?[0-9]{1,3})?\Z")
_ANNOTATION: Final = re.compile(r"\{[^{}]*\}")
_EXACT: Final = Context(prec=80)


@functools.lru_cache(maxsize=2048)
def commensurable(code: str) -> tuple[tuple[str, Scale], ...]:
    """Return each other unit in use of the dimension of `code`, and what makes a number of `code` one of it."""
    own = _read(code)
    if own is None:
        return ()
    known = ((unit, _read(unit)) for unit in IN_USE if unit != code)
    return tuple(
        (unit, functools.partial(_scaled, own, other))
        for unit, other in known
        if other is not None and other.powers == own.powers
    )


def shifted(code: str) -> bool:
    """Say whether a unit's zero is not that of its dimension (Cel)."""
    return code in _TEMPERATURES


def _scaled(own: _Unit, other: _Unit, number: Decimal) -> Decimal:
    exact = (Fraction(number) * own.factor + own.zero - other.zero) / other.factor
    with localcontext(_EXACT):
        return Decimal(exact.numerator) / Decimal(exact.denominator)


@functools.lru_cache(maxsize=2048)
def _read(code: str) -> _Unit | None:
    """Return what a code means, None when it is not known here."""
    if code in _TEMPERATURES:
        return _TEMPERATURES[code]
    try:
        text = _ANNOTATION.sub("1", code) if code else ""
        found = _term(text) if text and len(text) <= 64 else None
    except (ValueError, KeyError):
        return None
    return found


def _term(text: str) -> _Unit:
    factor, powers, sign = Fraction(1), dict[str, int](), 1
    if text.startswith("/"):
        text, sign = text[1:], -1
    for part in re.split(r"([./])(?![^(]*\))", text):
        if part in (".", "/"):
            sign = 1 if part == "." else -1
            continue
        one = _component(part)
        factor *= one.factor**sign
        for name, power in one.powers:
            powers[name] = powers.get(name, 0) + sign * power
    return _Unit(factor, tuple(sorted((name, power) for name, power in powers.items() if power)))


def _component(text: str) -> _Unit:
    if text.startswith("(") and text.endswith(")"):
        return _term(text[1:-1])
    if text.isdecimal() and int(text):
        return _Unit(Fraction(int(text)), ())
    text = text.removesuffix("1") if text.endswith(("]1", "%1")) or text[-2:-1].isalpha() else text
    match = _ATOM.fullmatch(text)
    if match is None:
        raise ValueError("not a unit")
    one, power = _atom(match[1]), int(match[2] or 1)
    return _Unit(one.factor**power, tuple((name, held * power) for name, held in one.powers))


@functools.lru_cache(maxsize=512)
def _atom(name: str) -> _Unit:
    if name in _OTHERS:
        return _defined(*_OTHERS[name])
    if name in _METRIC:
        return _defined(*_METRIC[name])
    for prefix in sorted(_PREFIXES, key=len, reverse=True):
        rest = name.removeprefix(prefix)
        if rest != name and rest in _METRIC:
            one = _defined(*_METRIC[rest])
            return one._replace(factor=one.factor * Fraction(10) ** _PREFIXES[prefix])
    raise KeyError(name)


def _defined(factor: int | str | Fraction, powers: str) -> _Unit:
    found: dict[str, int] = {}
    for part in powers.split(".") if powers else ():
        match = re.fullmatch(r"([A-Za-z]+|\[[A-Za-z]+\])(-?[0-9])?", part)
        assert match is not None, "the table is ours"
        found[match[1]] = int(match[2] or 1)
    return _Unit(Fraction(factor), tuple(sorted(found.items())))
