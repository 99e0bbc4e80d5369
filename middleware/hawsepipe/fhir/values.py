"""One value of a search parameter, from its text.

https://hl7.org/fhir/R4/search.html#ptypes. Every function raises ValueError with the end of a sentence ("is not a
date") that holds nothing of the value. `\\,` `\\|` `\\$` and `\\\\` are escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal

from hawsepipe.fhir import references, units
from hawsepipe.fhir.dates import interval
from hawsepipe.fhir.query import (
    DateValue,
    Kind,
    NumberValue,
    PlaceValue,
    Prefix,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    TypedValue,
    UriValue,
    Value,
)
from hawsepipe.fhir.rows import fold

_METRES: Mapping[str, float] = {"km": 1000.0, "m": 1.0, "[mi_i]": 1609.344, "mi": 1609.344, "[ft_i]": 0.3048}
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_EXACT = Context(prec=1200)  # enough for every number that _NUMBER takes


def split(text: str, separator: str) -> list[str]:
    """Split at separators that are not escaped; escapes stay. Raises ValueError for an empty part."""
    parts = _split(text, separator)
    if not all(parts):
        raise ValueError("is empty or has an empty part")
    return parts


def plain(text: str) -> str:
    """Return the text with its escapes resolved."""

    def character(match: re.Match[str]) -> str:
        if match[1] not in (",", "|", "$", "\\"):
            raise ValueError("has an escape that is none")
        return match[1]

    return _ESCAPE.sub(character, text) if "\\" in text else text


def token(text: str) -> TokenValue:
    """`code`, `system|code`, `|code` or `system|`."""
    parts = [plain(part) for part in _split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise ValueError("is not a token (code, system|code, |code or system|)")
    if len(parts) == 1:
        return TokenValue(None, parts[0])
    return TokenValue(parts[0], parts[1] or None)


def string(text: str) -> StringValue:
    """Any text."""
    exact = plain(text)
    return StringValue(exact, fold(exact))


def uri(text: str) -> UriValue:
    """Any URI."""
    return UriValue(plain(text))


def url(text: str) -> UriValue:
    """A URI that is a path of steps; a URN has none."""
    found = plain(text)
    if found.startswith("urn:") or not found.strip("/"):
        raise ValueError("is not a URL, which this modifier needs")
    return UriValue(found)


def uris_above(text: str) -> tuple[UriValue, ...]:
    """A URL and every one that it is below of, up to the server."""
    path = url(text).uri.rstrip("/")
    start = path.find("://")
    first = start + 3 if start >= 0 else 0
    ends = [place for place in range(first + 1, len(path)) if path[place] == "/"]
    return tuple(UriValue(it) for end in (len(path), *reversed(ends)) for it in (path[:end], f"{path[:end]}/"))


def reference(text: str, base: str, target: str | None, types: frozenset[str]) -> ReferenceValue:
    """`id`, `Type/id` or a URL; an id alone is one of `target`, if that is given."""
    literal = plain(text)
    if _ID.fullmatch(literal):
        return ReferenceValue(target, literal, None)
    found = references.parse(literal, base)
    if found.type is not None and found.type not in types:
        raise ValueError("names no type of R4")
    return found


def date(text: str) -> DateValue:
    """A date at any precision, with a prefix; a zone's plus sign may have become a space."""
    prefix, rest = _prefix(plain(text))
    try:
        low, high = interval(rest.replace(" ", "+"))
    except ValueError:
        raise ValueError("is not a date") from None
    return DateValue(prefix, low, high)


def number(text: str) -> NumberValue:
    """A number with a prefix, and the interval of its implicit precision.

    100 is [99.5, 100.5), 100.00 is [99.995, 100.005), and 1e2, by the specification's table, [95, 105).
    """
    prefix, rest = _prefix(plain(text))
    if _NUMBER.fullmatch(rest) is None:
        raise ValueError("is not a number")
    value = Decimal(rest)
    exponent = int(value.as_tuple().exponent)
    half = Decimal(5).scaleb(exponent - 2 if exponent > 0 else exponent - 1, _EXACT)
    return NumberValue(prefix, value, _EXACT.subtract(value, half), _EXACT.add(value, half))


def of_type(text: str) -> TypedValue:
    """`system|code|value` of an identifier's type and value."""
    parts = [plain(part) for part in _split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise ValueError("is not system|code|value")
    return TypedValue(*parts)


def near(text: str) -> PlaceValue:
    """`latitude|longitude`, and `|distance|unit` (km, m, [mi_i], mi, [ft_i]); within 50 km without a distance."""
    parts = [plain(part) for part in _split(text, "|")]
    if len(parts) not in (2, 3, 4) or not all(_NUMBER.fullmatch(part) for part in parts[:3]):
        raise ValueError("is not latitude|longitude|distance|unit")
    latitude, longitude = float(parts[0]), float(parts[1])
    distance = float(parts[2]) if len(parts) > 2 else 50.0
    unit = _METRES.get(parts[3] if len(parts) > 3 else "km")
    if unit is None or abs(latitude) > 90 or abs(longitude) > 180 or distance < 0:
        raise ValueError("is not a place on the Earth and a distance in km, m, [mi_i] or [ft_i]")
    return PlaceValue(latitude, longitude, distance * unit)


def quantity(text: str) -> QuantityValue:
    """`number`, `number|system|code` or `number||code`."""
    parts = _split(text, "|")
    if len(parts) not in (1, 3):
        raise ValueError("is not a quantity (number, number|system|code or number||code)")
    system, code = (plain(parts[1]), plain(parts[2])) if len(parts) == 3 else ("", "")
    return QuantityValue(number(parts[0]), system or None, code or None)


def quantities(text: str) -> tuple[QuantityValue, ...]:
    """A quantity and, for a UCUM unit that is known, the same in every unit of its dimension that is in use."""
    asked = quantity(text)
    if asked.system != units.UCUM or asked.code is None:
        return (asked,)
    if asked.number.prefix is Prefix.AP and units.shifted(asked.code):
        return (asked,)  # a tenth of what: degrees have no zero of their own
    return (asked, *(_in_unit(asked, factor, unit) for unit, factor in units.commensurable(asked.code)))


def _in_unit(asked: QuantityValue, scale: units.Scale, unit: str) -> QuantityValue:
    held = asked.number
    number = NumberValue(held.prefix, scale(held.value), scale(held.low), scale(held.high))
    return QuantityValue(number, asked.system, unit)


READERS: Mapping[Kind, Callable[[str], Value]] = {
    Kind.DATE: date,
    Kind.NUMBER: number,
    Kind.QUANTITY: quantity,
    Kind.STRING: string,
    Kind.TOKEN: token,
    Kind.SPECIAL: near,
    Kind.URI: uri,
}


def _prefix(text: str) -> tuple[Prefix, str]:
    if text[:2] in set(Prefix):
        return Prefix(text[:2]), text[2:]
    return Prefix.EQ, text


def _split(text: str, separator: str) -> list[str]:
    parts = [""]
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            parts[-1] += text[position : position + 2]
            position += 2
            continue
        if character == separator:
            parts.append("")
        else:
            parts[-1] += character
        position += 1
    return parts
