"""Amounts of money, quantities, spans of time and durations: MO, CP, CQ, DR, and numbers with units of time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Leaf
from hawsepipe_hl7v2.extensions import note
from hawsepipe_hl7v2.paths import place
from hawsepipe_hl7v2.primitives import date_time_value, decimal, named, number
from hawsepipe_hl7v2.units import UCUM

_CURRENCY = re.compile(r"[A-Z]{3}")
_PRICE = ((1, "price-type"), (2, "price-from"), (3, "price-to"), (4, "price-range-units"), (5, "price-range-type"))
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "wk": 604800}
_UNITS = {
    "S": "s",
    "SEC": "s",
    "SECS": "s",
    "SECOND": "s",
    "SECONDS": "s",
    "MIN": "min",
    "MINS": "min",
    "MINUTE": "min",
    "MINUTES": "min",
    "M": "min",
    "H": "h",
    "HR": "h",
    "HRS": "h",
    "HOUR": "h",
    "HOURS": "h",
    "D": "d",
    "DAY": "d",
    "DAYS": "d",
    "W": "wk",
    "WK": "wk",
    "WEEK": "wk",
    "WEEKS": "wk",
}
"""Units of time as senders write them to UCUM. `M` is minutes, as in TQ.3; months are no fixed length."""
_TQ_DURATION = re.compile(r"([SMHDW])([0-9]+)|([0-9]+)\s*([A-Za-z]+)")
_LONGEST = timedelta(days=3660).total_seconds()


def money(bench: Bench, raw: str, where: str) -> Converted | None:
    """MO or CP to Money. The kind of price and its range (CP.2 to CP.6) stay in extensions.

    So does a currency that does not look like an ISO 4217 code; an amount that is no number is reported.
    """
    parts = raw.split(bench.component)
    inner = bench.subcomponent in parts[0]
    pieces = parts[0].split(bench.subcomponent) if inner else parts[:2]
    amount = bench.text(pieces[0])
    # In a CP the second component is the kind of price, in a MO the currency.
    is_price = inner or len(parts) > 2 or (len(parts) == 2 and not _CURRENCY.fullmatch(bench.text(parts[1])))
    currency = bench.text(pieces[1]) if len(pieces) > 1 and (inner or not is_price) else ""
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []
    if amount:
        figure = number(amount.replace("$", ""))
        if figure is None:
            bench.warn("parse", where, "not an amount; kept as text")
            at = note(value, "amount-text", "String", amount)
            leaves.append((f".extension[{at}].valueString", f"{where}.1"))
        else:
            value["value"] = figure
            leaves.append((".value", f"{where}.1"))
    if currency:
        source = f"{where}.1.2" if inner else f"{where}.2"
        if _CURRENCY.fullmatch(currency.upper()):
            value["currency"] = currency.upper()
            leaves.append((".currency", source))
        else:
            at = note(value, "currency-text", "String", currency)
            leaves.append((f".extension[{at}].valueString", source))
    for index, name in _PRICE if is_price else ():
        text = bench.text(parts[index]) if index < len(parts) else ""
        if text:
            at = note(value, name, "String", text)
            leaves.append((f".extension[{at}].valueString", f"{where}.{index + 1}"))
    return (value, leaves) if value else None


def span(bench: Bench, raw: str, where: str) -> Converted | None:
    """DR to Period; a single moment is its start."""
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []
    for index, part in enumerate(raw.split(bench.component)[:2]):
        name = ("start", "end")[index]
        put_moment(value, name, date_time_value(bench, part, f"{where}.{index + 1}"), leaves)
    return (value, leaves) if value else None


def put_moment(
    target: dict[str, Any], name: str, converted: Converted | None, leaves: list[Leaf], prefix: str = ""
) -> None:
    """Write a converted moment into an object, with its extension when it has one; add its leaves."""
    if converted is not None and (written := place(name)(target, converted[0])) is not None:
        leaves += [(f"{prefix}.{written}{below}", source) for below, source in converted[1]]


def unit_of_time(text: str) -> str | None:
    """Return the UCUM unit of a unit of time as senders write it; None for another one. Empty means minutes."""
    return _UNITS.get(text.strip().rstrip(".").upper()) if text.strip() else "min"


def duration(amount: str, unit: str) -> timedelta | None:
    """Return an amount in a UCUM unit of time as a duration; None when it is no number or longer than ten years."""
    figure = number(amount)
    if figure is None or unit not in _SECONDS:
        return None
    seconds = Decimal(amount) * _SECONDS[unit]
    return timedelta(seconds=float(seconds)) if abs(seconds) <= _LONGEST else None


def written_duration(text: str) -> timedelta | None:
    """Return TQ.3 (`M30`, `H2`, or in words `2 hours`) as a duration."""
    match = _TQ_DURATION.fullmatch(text.strip())
    if match is None:
        return None
    unit = unit_of_time(match[1] or match[4])
    return duration(match[2] or match[3], unit) if unit else None


def shifted(moment: str, by: timedelta) -> str | None:
    """Return a FHIR instant moved by a duration, in the same offset; None for what is no point in time."""
    if "T" not in moment:
        return None
    try:
        return (datetime.fromisoformat(moment) + by).isoformat()
    except (ValueError, OverflowError):
        return None


def quantity_of_time(amount: str, unit: str, told: str) -> dict[str, Any] | None:
    """Return a Quantity of an amount and a unit as sent (`told`), with the UCUM code when the unit is known."""
    figure = number(amount)
    if figure is None:
        return None
    value: dict[str, Any] = {"value": figure}
    if told or unit:
        value["unit"] = told or unit
    if unit:
        value |= {"system": UCUM, "code": unit}
    return value


def counted(bench: Bench, raw: str, where: str, target: dict[str, Any]) -> list[Leaf]:
    """CQ to Quantity: the unit of CQ.2 as written, with its code when CQ.2 names the system of that."""
    parts = [*raw.split(bench.component), ""]
    leaves: list[Leaf] = []
    amount = decimal(bench, parts[0], f"{where}.1") if parts[0] else None
    if amount is not None:
        target["value"] = amount[0]
        leaves.append((".value", f"{where}.1"))
    if parts[1]:
        told = bench.parts(bench.sub(parts[1]))
        unit, found, fault = bench.site.codings.unit(told)
        if fault:
            bench.warn("parse", f"{where}.2", fault)
        target |= unit
        if len(told) > 2 and told[2] and told[2].casefold() not in unit.get("system", ""):
            named(bench, ((told[2], ".2.3"),), where)
        divided = bench.subcomponent in parts[1]
        leaves += [(below, f"{where}.2{at}" if divided else f"{where}.2") for below, at in found]
    return leaves


FILLS = {"CQ": counted}
"""Data types that fill an object in code."""
AMOUNTS: dict[str, Convert] = {"Money": money, "Period": span}
"""Converters by the name that `via` uses."""
