"""Converters to FHIR primitives. Each is a tested function that a mapping row names in `via`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from hawsepipe_hl7v2.bench import Bench, Convert, Converted
from hawsepipe_hl7v2.paths import Twinned

IMPRECISE = "urn:hawsepipe:extension:imprecise-instant"
"""A date, or a time without an offset cut to it, where FHIR wants a point in time."""
ORIGINAL_TEXT = "http://hl7.org/fhir/StructureDefinition/originalText"
ALTERNATE_CODES = "http://hl7.org/fhir/StructureDefinition/alternate-codes"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
SYSTEM_NAMES = ("coding systems", "")
"""Where the bench keeps the names of coding systems, with the place of the first use of each."""
_NUMBER = re.compile(r"([+-]?)0*([0-9]*)(\.[0-9]*)?")
_PADDED = re.compile(r"[0-9-]+T00:00:00(?:\.0+)?[-+:0-9]+")
_DIGITS = 500
"""Characters of a number; a longer one is none."""
_FAULTS = {
    "impossible": "not a possible date or time; kept as text beside the element",
    "zone": "a time without an offset and no known time zone; cut to its date",
    "offset": "a time with an offset that no place has; cut to its date",
    "precision": "hours without minutes; cut to its date",
    "gap": "a local time that daylight saving skips",
    "overlap": "a local time that daylight saving repeats; the earlier one is taken",
    "season": "a time without an offset, of another season than MSH-7, whose offset it has been given: where clocks"
    " change it is an hour off; the setting `timezone` of the translator or of an overlay makes it right",
}
UNSURE = _FAULTS["season"]


def absent(reason: str = "unknown") -> dict[str, Any]:
    """Return a data-absent-reason extension."""
    return {"url": ABSENT, "valueCode": reason}


def named(bench: Bench, names: Iterable[tuple[str, str]], where: str) -> None:
    """Note what the sender calls a coding system that is written with its URI; the header tells it once."""
    known: dict[str, str] = bench.cache.setdefault(SYSTEM_NAMES, {})
    for name, at in names:
        if name not in known:
            known[name] = where + at


def string(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return the value as text; delimiters inside are taken as text, since the type has no parts."""
    text = bench.text(raw)
    return (text, [("", where)]) if text else None


def first(bench: Bench, raw: str) -> str:
    """Return the first component and subcomponent as text."""
    if raw.isalnum():
        return raw
    if bench.component in raw:
        raw = raw[: raw.index(bench.component)]
    if bench.subcomponent in raw:
        raw = raw[: raw.index(bench.subcomponent)]
    return bench.text(raw)


@lru_cache(maxsize=4096)
def number(text: str) -> int | Decimal | msgspec.Raw | None:
    """Convert an NM exactly: the digits stay as written, so 1.00 is not 1.0. None when it is no number.

    What JSON does not allow is left out: a plus sign, zeros in front, a point without digits on a side. What is given
    is of the type that reading the JSON again would give, so that the same message again is no change. The same few
    thousand figures come again and again.
    """
    if len(text) > _DIGITS:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None or not text.strip("+-.") or not text.isascii():
        return None
    sign, whole, fraction = match.groups()
    fraction = fraction if fraction and len(fraction) > 1 else ""
    if not fraction:
        return int(f"{sign}{whole or '0'}")
    lexeme = f"{'-' if sign == '-' else ''}{whole or '0'}{fraction}"
    value = Decimal(lexeme)
    return value if str(value) == lexeme else msgspec.Raw(lexeme.encode())


def decimal(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return an exact decimal; anything else is left out and reported."""
    text = first(bench, raw)
    if not text:
        return None
    value = number(text)
    if value is None:
        bench.warn("parse", where, "not a number; left out")
        return None
    return value, [("", where)]


def told_decimal(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return an exact decimal; anything else is reported and kept as text beside the element."""
    text = first(bench, raw)
    if not text or number(text) is not None:
        return decimal(bench, raw, where)
    bench.warn("parse", where, "not a number; kept as text beside the element")
    return Twinned(None, absent("error"), ({"url": ORIGINAL_TEXT, "valueString": text},)), [("", where)]


def positive(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return an integer of at least 1; anything else is left out and reported."""
    text = first(bench, raw)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) < 2**31 or len(text) > 11:
        bench.warn("parse", where, "not a positive integer; left out")
        return None
    return int(text), [("", where)]


def boolean(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return Y or N (table 0136; some write true or false) as a boolean; anything else is left out and reported."""
    text = first(bench, raw).upper()
    if text in ("Y", "N", "YES", "NO", "TRUE", "FALSE"):
        return text[0] in "YT", [("", where)]
    if text:
        bench.warn("code", where, "neither Y nor N; left out")
    return None


def _moment(bench: Bench, raw: str, where: str, length: int | None) -> Converted | None:
    text = first(bench, raw)
    if not text:
        return None
    moment = bench.moment(text)
    if moment.fault and (not length or moment.fault in ("impossible", "offset")):
        bench.warn("parse", where, _FAULTS[moment.fault])
    bench.unsure.discard(text)
    if moment.value is None:
        # Whoever knows the sender may know what was meant.
        sent = {"url": ORIGINAL_TEXT, "valueString": text}
        return Twinned(None, absent("unknown" if moment.fault == "impossible" else "error"), (sent,)), [("", where)]
    value = moment.value[:length] if length else moment.value
    if moment.fault in ("zone", "offset", "precision") or (length and len(moment.value) > length):
        # What was cut stays readable beside the value.
        return Twinned(value, {"url": ORIGINAL_TEXT, "valueString": text}), [("", where)]
    return value, [("", where)]


def date_time_value(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return a dateTime in the precision sent; see `times` for the offset."""
    return _moment(bench, raw, where, None)


def date(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return a date; a time of day stays in an extension beside it."""
    return _moment(bench, raw, where, 10)


def before(one: str, other: str) -> bool:
    """Whether a day is before another, as far as both are told: in a month or year that has begun nothing is."""
    told = min(len(one), len(other), 10)
    return one[:told] < other[:told]


def sent_on(bench: Bench) -> str:
    """Return when the message was sent (MSH-7) as a FHIR date or dateTime; empty when it does not say."""
    return bench.moment(bench.message.segments[0].text(7)).value or ""


def not_yet(bench: Bench, raw: str, where: str, what: str) -> None:
    """Report a day after that on which the message was sent, of what nobody can tell before it happens."""
    moment = bench.moment(first(bench, raw)).value
    if moment and (now := sent_on(bench)) and before(now, moment):
        bench.warn("code", where, f"a {what} after the day on which the message was sent; kept as it is")


def birth_date(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return a birthDate, with the time of day in the standard extension when there is one."""
    converted = _moment(bench, raw, where, 10)
    not_yet(bench, raw, where, "birth")
    if converted is not None and type(converted[0]) is Twinned:
        moment = bench.moment(first(bench, raw))
        if moment.value and "T" in moment.value:
            if _PADDED.fullmatch(moment.value):
                # Nothing but zeros behind the date: how some systems write a date.
                return converted[0].value, converted[1]
            if moment.fault == "season":
                bench.warn("parse", where, UNSURE)
            url = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
            return Twinned(converted[0].value, {"url": url, "valueDateTime": moment.value}), converted[1]
    return converted


def instant(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return an instant: a full time with an offset; anything else is reported, and kept beside it as far as known."""
    text = first(bench, raw)
    if not text:
        return None
    moment = bench.moment(text)
    if moment.value is None or "T" not in moment.value:
        bench.warn(
            "parse", where, "no point in time; kept beside the element" if moment.value else _FAULTS["impossible"]
        )
        original = {"url": ORIGINAL_TEXT, "valueString": text}
        known = ({"url": IMPRECISE, "valueDateTime": moment.value},) if moment.value else ()
        return Twinned(None, original, known), [("", where)]
    if moment.fault:
        bench.warn("parse", where, _FAULTS[moment.fault])
        bench.unsure.discard(text)
    return moment.value, [("", where)]


def local(bench: Bench, entry: Mapping[str, Any], raw: str) -> str | None:
    """Return what an overlay makes of a CWE whose coding system it names, None if it says nothing."""
    if "local" not in entry:
        return None
    code, _, name, *_ = [*bench.parts(raw), "", "", ""]
    found: str | None = entry["local"].get(f"{bench.naming.coding_system(name)}|{code}") if name else None
    return found


def mapped_code(entry: Mapping[str, Any], text: str) -> Any:
    """Return what a code table maps a code to; a code that means more than its target stays in an extension beside."""
    mapped = entry["codes"][text]
    return Twinned(mapped, _alternate(entry, text)) if text in entry.get("coarse", ()) else mapped


def _alternate(entry: Mapping[str, Any], text: str) -> dict[str, Any]:
    coding = {"system": entry["source"], "code": text}
    return {"url": ALTERNATE_CODES, "valueCodeableConcept": {"coding": [coding]}}


def code(table: str) -> Convert:
    """Return a converter by a code table; an unmapped code stays in an extension and is reported."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        text = first(bench, raw)
        if not text:
            return None
        entry = bench.site.codes[table]
        if bench.component in raw:
            name = [*bench.parts(raw), "", ""][2]
            if name and name.casefold() not in entry["system"].casefold():
                named(bench, ((name, ".3"),), where)
        mapped = local(bench, entry, raw) or entry["codes"].get(text) or entry["codes"].get(text.upper())
        if mapped:
            kept = text in entry.get("coarse", ())
            return (Twinned(mapped, _alternate(entry, text)) if kept else mapped), [("", where)]
        if text not in entry.get("untranslated", ()):
            told = f"a code of {entry['source']} that table {table} does not map; kept beside the element"
            bench.warn("code", where, told)
        sent = bench.site.codings.of("", bench.parts(raw)).value()
        sent["coding"][0].setdefault("system", entry["source"])
        extension = {"url": ALTERNATE_CODES, "valueCodeableConcept": sent}
        return Twinned(entry.get("otherwise"), extension), [("", where)]

    return convert


def known(table: str) -> Convert:
    """Return a converter by a code table that passes over unmapped codes in silence: another row takes them."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        entry = bench.site.codes[table]
        mapped = local(bench, entry, raw) or entry["codes"].get(first(bench, raw).upper())
        return (mapped, [("", where)]) if mapped else None

    return convert


def constant(value: str) -> Convert:
    """Return a converter that gives one value whenever its field is valued."""
    fixed: Any = {"true": True, "false": False}.get(value, value)
    return lambda _bench, _raw, where: (fixed, [("", where)])


def status(value: str) -> Convert:
    """Return a converter that gives a CodeableConcept of a terminology.hl7.org code: `condition-clinical/active`."""
    system, _, told = value.partition("/")
    coding = {"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": told}
    return lambda _bench, _raw, where: ({"coding": [dict(coding)]}, [(".coding[0].code", where)])


def _absent_object(_bench: Bench, _raw: str, where: str) -> Converted | None:
    return {"extension": [absent()]}, [(".extension[0].valueCode", where)]


def _absent_primitive(_bench: Bench, _raw: str, where: str) -> Converted | None:
    return Twinned(None, absent()), [("", where)]


PRIMITIVES: dict[str, Convert] = {
    "string": string,
    "decimal": told_decimal,
    "positiveInt": positive,
    "boolean": boolean,
    "dateTime": date_time_value,
    "date": date,
    "birthDate": birth_date,
    "instant": instant,
    "absent-object": _absent_object,
    "absent-primitive": _absent_primitive,
}
"""Converters by the name that `via` uses."""
PARAMETERS: dict[str, Callable[[str], Convert]] = {"code": code, "known": known, "constant": constant, "status": status}
"""Converters that take a parameter: `code:AdministrativeSex`."""
