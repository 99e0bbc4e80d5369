"""Who a message is about: patients, their identifiers and what only they have."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.leftovers import EXTENSION, component
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import ALTERNATE_CODES, ORIGINAL_TEXT, PRIMITIVES, before, first, not_yet, sent_on
from hawsepipe_hl7v2.requirements import personal

_CONCEPT = concept()
_COUNTIES = "http://terminology.hl7.org/CodeSystem/v2-0289"
_US_SSN = "http://hl7.org/fhir/sid/us-ssn"
_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
# Person-level events: their PV1 is there because the structure wants one, not because of a visit.
_PERSON_EVENTS = frozenset({"A18", "A24", "A28", "A29", "A30", "A31", "A34", "A37", "A39", "A40", "A43", "A46", "A47"})


_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)


def visible(text: str) -> str:
    """Return a number without characters that nobody sees (zero-width spaces and joiners, marks of direction): whoever
    types or reads it means the same number.
    """
    return text if text.isascii() else _INVISIBLE.sub("", text).strip()


def identifier_key(bench: Bench, raw: str, kind: str = "") -> str | None:
    """Return system and value of a CX, None without a value; `kind`: whose number it is (`naming.KINDS`)."""
    parts = raw.split(bench.component)
    value = visible(bench.text(parts[0]))
    if not value:
        return None
    system = ""
    if len(parts) > 3 and parts[3]:
        hd = [parts[3], "", ""] if parts[3].isalnum() else [*bench.parts(bench.sub(parts[3])), "", ""]
        type_ = bench.text(parts[4]) if bench.naming.typed and len(parts) > 4 else ""
        system = bench.naming.numbers(hd[0], hd[1], hd[2], type_)
    return f"{system or bench.owned(kind)}|{value}"


def expired(bench: Bench, parts: Sequence[str]) -> bool:
    """Whether a CX was no longer valid (CX.8) on the day on which its message was sent."""
    if len(parts) < 8 or not (end := bench.moment(bench.text(parts[7])).value):
        return False
    return before(end, sent_on(bench))


def chosen(bench: Bench, segment: Segment, *fields: int, unlike: Collection[str] = ()) -> str | None:
    """Return the CX that makes a patient's identity: by the order of types in the settings, else the first one.

    One that has expired, or whose type names no person, is taken only where there is no other; one whose
    `identifier_key` is in `unlike` never.
    """
    spare: str | None = None
    for number in fields:
        good: list[tuple[str, list[str]]] = []
        for raw in segment.repetitions(number):
            parts = raw.split(bench.component)
            if not bench.text(parts[0]) or (unlike and identifier_key(bench, raw) in unlike):
                continue
            if personal(parts) and not expired(bench, parts):
                good.append((raw, parts))
            else:
                spare = spare or raw
        if not good:
            continue
        types = [bench.text(parts[4]) if len(parts) > 4 else "" for _, parts in good]
        for wanted in bench.site.patient_identity:
            if wanted in types:
                return good[types.index(wanted)][0]
        return good[0][0]
    return spare


def patient(bench: Bench, segment: Segment) -> str | None:
    """PID-3 in the order of the `patient_identity` setting, else PID-2, else PID-4; without any the message itself.

    Who has no identifier is nobody else: the key is the message's, and the record refuses the message.
    """
    found = chosen(bench, segment, 3, 2, 4)
    if found is not None:
        _universal(bench, segment, found)
        if expired(bench, found.split(bench.component)):
            bench.warn("code", f"{segment.label}-3", "the patient is known by a number alone that is no longer valid")
    return (identifier_key(bench, found) if found is not None else None) or f"{bench.control}|{segment.label}"


def identifiers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write PID-2, PID-3, PID-4 (MRG-1, MRG-2 and MRG-4 of a merge) into one identifier list, each once.

    An identifier without an authority gets the sending facility's system, so that a value alone is never an identity.
    """
    numbers = (3, 2, 4) if segment.name == "PID" else (1, 2, 4)
    others = () if segment.name == "PID" else taken(bench, draft)
    for number in numbers:
        for index, raw in enumerate(segment.repetitions(number)):
            if others and (key := identifier_key(bench, raw)) in others and key != draft.key:
                continue
            add_identifier(bench, draft, raw, f"{segment.label}-{number}" + (f"[{index + 1}]" if index else ""))


def taken(bench: Bench, draft: Draft | None = None) -> frozenset[str]:
    """Return the numbers that are the patient's of PID now, unless the patient is `draft`: MRG may tell them again."""
    patient = bench.group.role("patient")
    if patient is None or patient is draft:
        return frozenset()
    items = patient.body.get("identifier", ())
    return frozenset(f"{item.get('system')}|{item.get('value')}" for item in items if item.get("use") != "old")


def _universal(bench: Bench, segment: Segment, raw: str) -> None:
    """Tell of an identity whose authority has a namespace and a universal id: by the namespace alone it is another."""
    parts = raw.split(bench.component)
    if len(parts) < 4 or bench.subcomponent not in parts[3]:
        return
    namespace, universal = [*bench.parts(bench.sub(parts[3])), ""][:2]
    if namespace and universal and not bench.naming.settled(namespace):
        text = (
            "the patient is known by the universal id of this authority; by its namespace alone it would be another, "
        )
        bench.inform(f"{segment.label}-3.4", text + "unless the `systems` setting names the namespace")


def add_identifier(bench: Bench, draft: Draft, raw: str, where: str, use: str = "", kind: str = "") -> None:
    """Add a CX to the identifiers of a resource, unless it is there; without an authority it is the facility's, for
    what is numbered (`kind`)."""
    value: dict[str, Any] = {}
    leaves = bench.site.converts["CX"](bench, raw, where, value)
    if "value" not in value:
        return
    number = visible(value["value"])
    if number != value["value"]:
        bench.warn("parse", where, "characters that nobody sees were taken out of the identifier")
        value["value"] = number
        if not number:
            return
    value.setdefault("system", bench.owned(kind))
    if use:
        value["use"] = use
    elif expired(bench, raw.split(bench.component)) and f"{value['system']}|{number}" != draft.key:
        value["use"] = "old"
    items: list[dict[str, Any]] = draft.body.setdefault("identifier", [])
    if (value["system"], value["value"]) in _identified(bench, draft, items):
        if not use:
            _again(draft, items, value, leaves)
        return
    draft.trail.append((f"identifier[{len(items)}]", leaves))
    items.append(value)


def _again(draft: Draft, items: list[dict[str, Any]], value: dict[str, Any], leaves: list[Leaf]) -> None:
    """Add what a second writing of a number tells besides: another type, a period."""
    number = (value["system"], value["value"])
    index = next(at for at, item in enumerate(items) if (item.get("system"), item.get("value")) == number)
    known, told = items[index], []
    for name in value.keys() - {"type"}:
        if name not in known:
            known[name] = value[name]
            told += [(below, source) for below, source in leaves if below.startswith(f".{name}")]
    for coding in value.get("type", {}).get("coding", ()):
        codings = known.setdefault("type", {}).setdefault("coding", [])
        if coding not in codings:
            source = next(source for below, source in leaves if below.startswith(".type"))
            told.append((f".type.coding[{len(codings)}].code", source))
            codings.append(coding)
    draft.trail.append((f"identifier[{index}]", sorted(told)))


def _identified(bench: Bench, draft: Draft, items: list[dict[str, Any]]) -> set[tuple[Any, Any]]:
    """Return system and value of the identifiers that a resource has now; others may have written since."""
    known, count = bench.cache.get(("identifiers", draft.url), (set(), 0))
    known.update((item.get("system"), item.get("value")) for item in items[count:])
    bench.cache["identifiers", draft.url] = known, len(items)
    return known  # type: ignore[no-any-return]  # the cache holds what each function puts there


def social_security(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PID-19 or NK1-37: a social security number; only one that looks American gets the American system, and is then
    written without dashes, as it was sent beside it."""
    number = 19 if segment.name == "PID" else 37
    where = f"{segment.label}-{number}"
    converted = social_security_number(bench, segment.text(number), where)
    if converted is None:
        return
    items = draft.body.setdefault("identifier", [])
    value = converted[0]
    if (value["system"], value["value"]) in _identified(bench, draft, items):
        return
    draft.trail.append((f"identifier[{len(items)}]", converted[1]))
    items.append(value)


def social_security_number(bench: Bench, text: str, where: str) -> Converted | None:
    """Return a social security number as an Identifier of type SS; None for no text."""
    if not text:
        return None
    digits = text.replace("-", "")
    american = len(digits) == 9 and digits.isascii() and digits.isdigit()
    value: dict[str, Any] = {
        "type": {"coding": [{"system": _TYPES, "code": "SS"}]},
        "system": _US_SSN if american else bench.facility + ":ssn",
        "value": digits if american else text,
    }
    leaves = [(".value", where)]
    if american and digits != text:
        value["_value"] = {"extension": [{"url": ORIGINAL_TEXT, "valueString": text}]}
        leaves.append(("._value.extension[0].valueString", where))
    return value, leaves


def deceased(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PID-29 is the time of death, PID-30 the indicator; the time wins, and what contradicts it stays beside it."""
    if not segment.field(29) and not segment.field(30):
        return
    if any(name.lstrip("_").startswith("deceased") for name in draft.body):
        return  # an earlier PID of the same patient told it
    where = f"{segment.label}-29"
    at = PRIMITIVES["dateTime"](bench, segment.field(29), where) if segment.text(29) else None
    known = at is not None and bench.moment(first(bench, segment.field(29))).value
    told = PRIMITIVES["boolean"](bench, segment.field(30), f"{segment.label}-30")
    if known or (at is not None and told is None):
        not_yet(bench, segment.field(29), where, "death")
        draft.put_converted("deceasedDateTime", at)
        if told is not None and told[0] is False:
            bench.warn("code", f"{segment.label}-30", "a time of death, and that there was none: both are kept")
            kept = f"_deceasedDateTime.extension[{EXTENSION}PID-30].valueString"
            draft.put(kept, segment.text(30), f"{segment.label}-30")
        return
    draft.put_converted("deceasedBoolean", told)
    if at is not None:
        draft.put(f"_deceasedBoolean.extension[{ORIGINAL_TEXT}].valueString", segment.text(29), where)
    if segment.field(30) == '""' and bench.event.snapshot:
        draft.cleared |= {"deceasedBoolean", "deceasedDateTime"}


def multiple_birth(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PID-25 is the order of birth, PID-24 the indicator; the order wins. An order of 0 is none: it stays beside."""
    if not segment.field(24) and not segment.field(25):
        return
    if any(name.lstrip("_").startswith("multipleBirth") for name in draft.body):
        return  # an earlier PID of the same patient told it
    where = f"{segment.label}-25"
    text = segment.text(25)
    order = None if text.strip("0") == "" else PRIMITIVES["positiveInt"](bench, segment.field(25), where)
    if order is not None:
        draft.put_converted("multipleBirthInteger", order)
        return
    told = PRIMITIVES["boolean"](bench, segment.field(24), f"{segment.label}-24")
    if told is None and text:
        told = False, [("", where)]
    draft.put_converted("multipleBirthBoolean", told)
    if text:
        draft.put(f"_multipleBirthBoolean.extension[{ORIGINAL_TEXT}].valueString", text, where)


def county(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PID-12: the county of the patient's address, as a code beside the district of the first one."""
    text = segment.text(12)
    if not text:
        return
    where = f"{segment.label}-12"
    if "address" not in draft.body:
        # A county alone must not take the place of an address.
        draft.keep.add("address")
    addresses: list[dict[str, Any]] = draft.body.setdefault("address", [{}])
    district = addresses[0].get("district")
    if district is None and "_district" not in addresses[0]:
        addresses[0]["district"] = text
        draft.trail.append(("address[0].district", [("", where)]))
    elif district != text:
        coding = {"system": _COUNTIES, "code": " ".join(text.split())}
        extensions = addresses[0].setdefault("_district", {}).setdefault("extension", [])
        at = f"address[0]._district.extension[{len(extensions)}].valueCodeableConcept.coding[0].code"
        draft.trail.append((at, [("", where)]))
        extensions.append({"url": ALTERNATE_CODES, "valueCodeableConcept": {"coding": [coding]}})


def first_part(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return the first part of a value alone: the family name of an FN, the number of an EI."""
    text = first(bench, raw)
    return (text, [("", where)]) if text else None


def organization_name(bench: Bench, raw: str, where: str) -> Converted | None:
    """XON to its name, without one to its number."""
    parts = [*bench.parts(raw), *[""] * 10]
    text = parts[0] or parts[9] or parts[2]
    return (text, [("", where)]) if text else None


def living_will_code(_bench: Bench, _raw: str, _where: str) -> Converted | None:
    """Return what PD1-7 answers: whether there is a living will."""
    return {"coding": [{"system": "http://loinc.org", "code": "75320-2", "display": "Advance directive"}]}, []


def living_will(bench: Bench, segment: Segment) -> str | None:
    """PD1-7: one answer for the patient."""
    return f"{bench.subject()}|living-will" if segment.text(7) or segment.text(7, 2) else None


def no_visit(bench: Bench, _segment: Segment) -> bool:
    """The message tells of no visit."""
    return bench.group.role("encounter") is None


def congregation(bench: Bench, raw: str, where: str) -> Converted | None:
    """XON to the extension for the patient's congregation: its name; what else was sent (numbers) stays beside it."""
    named = organization_name(bench, raw, where)
    if named is None:
        return None
    url = "http://hl7.org/fhir/StructureDefinition/patient-congregation"
    made: dict[str, Any] = {"url": url, "valueString": named[0]}
    leaves = [(".valueString", where)]
    if bench.component in raw:
        twin: dict[str, Any] = {}
        written = component(bench, "PD1-14", raw, twin)
        made["_valueString"] = twin
        leaves.append((f"._valueString.{written}", where))
    return made, leaves


def mothers_name(bench: Bench, raw: str, where: str) -> Converted | None:
    """PID-6, when it tells more than a family name, to an extension with the whole name."""
    if bench.component not in raw.strip(bench.component):
        return None
    name: dict[str, Any] = {}
    leaves = bench.site.converts["XPN"](bench, raw, where, name)
    called = raw.split(bench.component)[14:15]
    if called and (text := bench.text(called[0])):
        name.setdefault("given", []).append(text)
        leaves.append((f".given[{len(name['given']) - 1}]", f"{where}.15"))
    extension = {"url": "urn:hawsepipe:extension:mothers-name", "valueHumanName": name}
    return extension, [(f".valueHumanName{below}", source) for below, source in leaves]


def _belonging(url: str) -> Convert:
    """CWE to one of the standard extensions that hold a `code`: citizenship, nationality."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        converted = _CONCEPT(bench, raw, where)
        if converted is None:
            return None
        value = {"url": url, "extension": [{"url": "code", "valueCodeableConcept": converted[0]}]}
        return value, [(f".extension[0].valueCodeableConcept{below}", source) for below, source in converted[1]]

    return convert


def owned(kind: str) -> Convert:
    """Return a converter of CX to an Identifier; one without an authority belongs to the sending facility, for what is
    numbered (`kind`)."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        value: dict[str, Any] = {}
        leaves = bench.site.converts["CX"](bench, raw, where, value)
        if "value" not in value:
            return None
        value.setdefault("system", bench.owned(kind))
        return value, leaves

    return convert


def mother(bench: Bench, segment: Segment) -> str | None:
    """PID-21: the patient's mother, by her first identifier."""
    if not segment.text(21):
        return None
    return f"{bench.subject()}|mother|{identifier_key(bench, segment.repetitions(21)[0])}"


def account(bench: Bench, segment: Segment) -> str | None:
    """PID-18."""
    return identifier_key(bench, segment.repetitions(18)[0], "account") if segment.text(18) else None


def has_account(_bench: Bench, segment: Segment) -> bool:
    """PID-18 is valued."""
    return bool(segment.text(18))


def visit_told(bench: Bench, segment: Segment) -> bool:
    """PV1 tells of a visit: not the empty one of a person-level event, not class N without a number."""
    if bench.event.trigger in _PERSON_EVENTS or segment.text(2) == "N":
        return bool(segment.text(19))
    return any(raw for number, raw in enumerate(segment.fields) if number > 1)


IDENTITIES = {
    "patient": patient,
    "account": account,
    "mother": mother,
    "living-will": living_will,
}
DECISIONS = {
    "identifiers": identifiers,
    "social-security": social_security,
    "deceased": deceased,
    "multiple-birth": multiple_birth,
    "county": county,
}
PREDICATES = {"has-account": has_account, "visit-told": visit_told, "no-visit": no_visit}
CONVERTERS: dict[str, Convert] = {
    "FirstPart": first_part,
    "Congregation": congregation,
    "living-will-code": living_will_code,
    "MothersName": mothers_name,
    "Citizenship": _belonging("http://hl7.org/fhir/StructureDefinition/patient-citizenship"),
    "Nationality": _belonging("http://hl7.org/fhir/StructureDefinition/patient-nationality"),
    "OwnedCX": owned(""),
}
"""Converters by the name that `via` uses."""
PARAMETERS: dict[str, Callable[[str], Convert]] = {"OwnedCX": owned}
"""Converters that take a parameter: `OwnedCX:account`."""
