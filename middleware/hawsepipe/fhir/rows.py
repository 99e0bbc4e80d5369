"""Index rows from elements: one function for each kind of search parameter and FHIR type.

https://hl7.org/fhir/R4/search.html#ptypes. Each takes the parameter's code, the element and the list to add to.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import number
from hawsepipe.fhir.dates import interval
from hawsepipe.fhir.index import (
    DATE_MAX,
    DATE_MIN,
    DateRow,
    NumberRow,
    QuantityRow,
    ReferenceRow,
    Row,
    StringRow,
    TokenRow,
    UriRow,
)
from hawsepipe.fhir.query import Kind
from hawsepipe.fhir.references import parse

SPECIAL_VALUES = "http://terminology.hl7.org/CodeSystem/special-values"
"""The system of `true` and `false`."""

CURRENCY = "urn:iso:std:iso:4217"

Emit = Callable[[Any, list[Row]], None]

_NAME_PARTS = ("text", "family", "given", "prefix", "suffix")
_ADDRESS_PARTS = ("text", "line", "city", "district", "state", "postalCode", "country")


@functools.lru_cache(maxsize=1024)
def fold(text: str) -> str:
    """Return a text as string searches compare it: lower case, no accents, single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).casefold()
        text = "".join(character for character in text if not unicodedata.combining(character))
    return " ".join(text.lower().split())


def maker(kind: Kind, code: str, type_name: str) -> Emit | None:
    """Return what makes string, date, number, quantity and URI rows of a type, None when the kind has none for it."""
    made = _MAKERS.get(kind, {}).get(type_name)
    return None if made is None else partial(made, code)


def token_maker(code: str, type_name: str, implied: Mapping[str, str]) -> Emit | None:
    """Return what makes token rows; `implied` gives the system of a code by its required binding."""
    if type_name == "code" and implied:
        return partial(_code, code, implied)
    made = _TOKENS.get(type_name)
    return None if made is None else partial(made, code)


def reference_maker(code: str, type_name: str, target: str | None, base: str) -> Emit | None:
    """Return what makes reference rows, of references to `target` only if it is given."""
    if type_name == "Reference":
        return partial(_reference, code, target, base)
    if type_name in ("canonical", "uri", "url"):
        return partial(_canonical, code, base)
    if type_name == "Resource":
        return partial(_resource, code)
    return None


def token(code: str, value: Any, rows: list[Row]) -> None:
    """A string, id, URI or code without a system."""
    if isinstance(value, str):
        rows.append(TokenRow(code, "", value))


def _code(code: str, implied: Mapping[str, str], value: Any, rows: list[Row]) -> None:
    if isinstance(value, str):
        rows.append(TokenRow(code, implied.get(value, ""), value))


def _boolean(code: str, value: Any, rows: list[Row]) -> None:
    rows.append(TokenRow(code, SPECIAL_VALUES, "true" if value is True else "false"))


def _coding(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, dict) and isinstance(value.get("code"), str):
        rows.append(TokenRow(code, value.get("system", ""), value["code"]))


def _concept(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, dict):
        for coding in value.get("coding", ()):
            _coding(code, coding, rows)


def _identifier(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, dict) and isinstance(value.get("value"), str):
        rows.append(TokenRow(code, value.get("system", ""), value["value"]))


def _contact(code: str, value: Any, rows: list[Row]) -> None:
    # R4's table of token types: the system of a ContactPoint is its use.
    if isinstance(value, dict) and isinstance(value.get("value"), str):
        rows.append(TokenRow(code, value.get("use", ""), value["value"]))


def _string(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, str):
        rows.append(StringRow(code, value, fold(value)))


def _parts(keys: tuple[str, ...], code: str, value: Any, rows: list[Row]) -> None:
    if not isinstance(value, dict):
        return
    for key in keys:
        held = value.get(key)
        for text in held if isinstance(held, list) else (held,):
            _string(code, text, rows)


def _reference(code: str, target: str | None, base: str, value: Any, rows: list[Row]) -> None:
    if not isinstance(value, dict):
        return
    literal = value.get("reference")
    if isinstance(literal, str) and not literal.startswith("#"):
        found = parse(literal, base)
        named = found.type or value.get("type") or _type_in(literal)
        if target is None or named == target:
            rows.append(ReferenceRow(code, found.type or "", found.id or "", found.url or ""))
    identifier = value.get("identifier")
    if isinstance(identifier, dict) and (target is None or value.get("type") == target):
        _identifier(f"{code}:identifier", identifier, rows)


def _type_in(url: str) -> str:
    """Return the next to last step of an address (`https://elsewhere/Patient/1`)."""
    steps = url.split("/")
    return steps[-2] if len(steps) > 2 else ""


def _canonical(code: str, base: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, str):
        for url in {value: None, value.partition("|")[0]: None}:
            found = parse(url, base)
            rows.append(ReferenceRow(code, found.type or "", found.id or "", found.url or ""))


def _resource(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, dict) and isinstance(value.get("id"), str):
        rows.append(ReferenceRow(code, value["resourceType"], value["id"], ""))


def _date(code: str, value: Any, rows: list[Row]) -> None:
    bounds = _interval(value)
    if bounds is not None:
        rows.append(DateRow(code, *bounds))


def _period(code: str, value: Any, rows: list[Row]) -> None:
    bounds = _period_bounds(value)
    if bounds is not None:
        rows.append(DateRow(code, *bounds))


def _timing(code: str, value: Any, rows: list[Row]) -> None:
    # "Only the outer limits matter" (R4 search, date).
    if not isinstance(value, dict):
        return
    found = [_interval(event) for event in value.get("event", ())]
    repeat = value.get("repeat")
    found.append(_period_bounds(repeat.get("boundsPeriod") if isinstance(repeat, dict) else None))
    bounds = [it for it in found if it is not None]
    if bounds:
        rows.append(DateRow(code, min(low for low, _ in bounds), max(high for _, high in bounds)))


def _interval(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, str):
        return None
    try:
        return interval(value)
    except ValueError:
        return None


def _period_bounds(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, dict):
        return None
    start, end = _interval(value.get("start")), _interval(value.get("end"))
    if start is None and end is None:
        return None
    return (DATE_MIN if start is None else start[0]), (DATE_MAX if end is None else end[1])


def _number(code: str, value: Any, rows: list[Row]) -> None:
    try:
        rows.append(NumberRow(code, number(value)))
    except InvalidRequest:
        return


def _quantity(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, dict) and "value" in value:
        parts = (value.get("system", ""), value.get("code", ""), value.get("unit", ""))
        rows.append(QuantityRow(code, number(value["value"]), *parts))


def _money(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, dict) and "value" in value:
        currency = value.get("currency", "")
        rows.append(QuantityRow(code, number(value["value"]), CURRENCY if currency else "", currency, currency))


def _range(code: str, value: Any, rows: list[Row]) -> None:
    # Both ends, so that comparisons find a range that reaches above or below the number asked for.
    if isinstance(value, dict):
        _quantity(code, value.get("low"), rows)
        _quantity(code, value.get("high"), rows)


def _uri(code: str, value: Any, rows: list[Row]) -> None:
    if isinstance(value, str):
        for uri in {value: None, value.partition("|")[0]: None}:
            rows.append(UriRow(code, uri))


_TOKENS: Mapping[str, Callable[[str, Any, list[Row]], None]] = {
    "CodeableConcept": _concept,
    "Coding": _coding,
    "ContactPoint": _contact,
    "Identifier": _identifier,
    "boolean": _boolean,
    **dict.fromkeys(("canonical", "code", "id", "oid", "string", "uri", "url", "uuid"), token),
}

_MAKERS: Mapping[Kind, Mapping[str, Callable[[str, Any, list[Row]], None]]] = {
    Kind.STRING: {
        "Address": partial(_parts, _ADDRESS_PARTS),
        "HumanName": partial(_parts, _NAME_PARTS),
        **dict.fromkeys(("code", "markdown", "string"), _string),
    },
    Kind.DATE: {"Period": _period, "Timing": _timing, **dict.fromkeys(("date", "dateTime", "instant"), _date)},
    Kind.NUMBER: dict.fromkeys(("decimal", "integer", "positiveInt", "unsignedInt"), _number),
    Kind.QUANTITY: {
        "Money": _money,
        "Range": _range,
        **dict.fromkeys(("Age", "Count", "Distance", "Duration", "Quantity"), _quantity),
    },
    Kind.URI: dict.fromkeys(("canonical", "oid", "uri", "url", "uuid"), _uri),
}
