"""Units of measure that a sender names without saying of which system: what they are in UCUM (https://ucum.org/ucum).

One rule for results, amounts and doses: a spelling counts only where it can mean one unit. Upper and lower case mean
different units in UCUM, and senders mix them; what a capital letter could turn into another unit that is in use
(`G/L` is giga per litre in many laboratories, `g/L` gram) counts only as it is written here. Anything else stays text.
"""

from __future__ import annotations

from itertools import product

UCUM = "http://unitsofmeasure.org"

_MASS = ("kg", "g", "mg", "ug", "ng", "pg", "fg")
_AMOUNT = ("mol", "mmol", "umol", "nmol", "pmol", "fmol")
_VOLUME = ("L", "dL", "cL", "mL", "uL", "nL", "fL", "pL")
_ACTIVITY = ("U", "kU", "mU", "uU", "[iU]", "k[iU]", "m[iU]", "u[iU]", "ukat", "nkat")
_TIME = ("s", "min", "h", "d")
_COUNTS = ("10*3", "10*6", "10*9", "10*12")
_CODES = (
    *_MASS,
    *_AMOUNT,
    *_VOLUME,
    *_ACTIVITY,
    *_TIME,
    *(f"{top}/{bottom}" for top, bottom in product((*_MASS, *_AMOUNT, *_ACTIVITY, "meq", "mosm"), _VOLUME)),
    *(f"{top}/{bottom}" for top, bottom in product((*_COUNTS, ""), ("L", "mL", "uL", "nL", "pL"))),
    *(f"{top}/{bottom}" for top, bottom in product((*_MASS, *_VOLUME, *_AMOUNT, "meq", "[iU]", ""), _TIME)),
    *(f"{top}/{bottom}" for top, bottom in product((*_MASS, *_AMOUNT, "mL", "meq", "[iU]", "mosm"), ("kg", "g"))),
    *("mg/mmol", "g/mol", "mg/m2", "kg/m2", "ug/kg/min", "ug/kg/h", "mg/kg/h", "mg/kg/d", "mL/kg/h"),
    *("mL/min/{1.73_m2}", "mm/h", "m2", "cm", "mm", "um", "m", "wk", "mo", "a", "%", "kcal", "kJ", "meq", "mosm"),
    *("mm[Hg]", "cm[H2O]", "kPa", "Cel", "[degF]", "[pH]", "mV", "Hz", "dB"),
)
_SPELLINGS = {
    "mcg": "ug",
    "gm": "g",
    "gm/dl": "g/dL",
    "gm/l": "g/L",
    "mcg/h": "ug/h",
    "mcg/min": "ug/min",
    "mcg/kg/min": "ug/kg/min",
    "mcg/l": "ug/L",
    "mcg/dl": "ug/dL",
    "mcg/ml": "ug/mL",
    "mmhg": "mm[Hg]",
    "mm(hg)": "mm[Hg]",
    "cmh2o": "cm[H2O]",
    "°c": "Cel",
    "°f": "[degF]",
    "ph": "[pH]",
    "kg/m²": "kg/m2",
    "mg/m²": "mg/m2",
    "m²": "m2",
    "ml/min/1.73m2": "mL/min/{1.73_m2}",
    "ml/min/1.73m²": "mL/min/{1.73_m2}",
    "ml/hr": "mL/h",
    "mg/hr": "mg/h",
    "mm/hr": "mm/h",
    "wks": "wk",
    "mins": "min",
    "hr": "h",
    "hrs": "h",
}
"""In lower case; what is written so in any case is the unit."""
_LITERAL = frozenset({"g", "g/L", "m", "a", "s", "h", "d", "U", "m2", "m[iU]", "mU", "Hz", "L"})
"""Codes that with other capitals are, or are taken for, other units. `M…` before a U or iU is a million."""
_MEGA = ("mU", "m[iU]")


def _literal(code: str) -> bool:
    return code in _LITERAL or code.startswith(_MEGA)


def _written(code: str) -> tuple[str, ...]:
    """Return how a code is written: as it is; IU or IE (German) for international units; ^ or E in powers of ten."""
    ways = [code]
    if "[iU]" in code:
        ways += [code.replace("[iU]", "IU"), code.replace("[iU]", "IE")]
    if code.startswith("10*"):
        ways += [code.replace("10*", sign) for sign in ("10^", "10E", "10e", "x10*", "x10^", "x10E")]
    return (*ways, *(way.replace("L", "l") for way in ways if "L" in way))


_AS_WRITTEN = {way: code for code in _CODES for way in _written(code)}
_ANY_CASE = {way.lower(): code for code in _CODES if not _literal(code) for way in _written(code)} | _SPELLINGS
_MICRO = str.maketrans({"µ": "u", "μ": "u"})


def ucum(text: str) -> str:
    """Return the UCUM code of a unit as senders write it (`mg/dl`, `MMOL/L`, `µg/l`, `10^9/l`), empty when it is not
    known or could mean another."""
    word = "".join(text.translate(_MICRO).split())
    return _AS_WRITTEN.get(word) or _ANY_CASE.get(word.lower(), "")
