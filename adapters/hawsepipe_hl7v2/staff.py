"""Master files of staff (MFN M02): STF, PRA, ORG, AFF, LAN, EDU and CER as Practitioner and PractitionerRole.

A master file is the authority on whom it lists: what it sends replaces what messages have mentioned by the way.
"""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.amounts import put_moment, span
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX, note
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.patients import identifier_key
from hawsepipe_hl7v2.people import organization
from hawsepipe_hl7v2.primitives import date_time_value

_CONCEPT = concept()
_DIPLOMAS = "http://terminology.hl7.org/CodeSystem/v2-0360"
_ACTIONS = {"MAD": True, "MUP": None, "MAC": True, "MDC": False, "MDL": False}
"""Table 0180: whether a record is in use after the action; an update says nothing of that."""


def staff(bench: Bench, segment: Segment) -> str | None:
    """STF-2 (the first number), else the record's own key in STF-1: the identity that XCN gives."""
    for raw in segment.repetitions(2)[:1]:
        if (key := identifier_key(bench, raw, "practitioner")) is not None:
            return key
    return f"{bench.owned('practitioner')}|{segment.text(1)}" if segment.text(1) else None


def role(bench: Bench, segment: Segment) -> str | None:
    """What a member of staff does: one role of STF and PRA, one of each ORG and AFF by its organization."""
    member = bench.group.role("staff")
    if member is None:
        return None
    if segment.name in ("STF", "PRA"):
        return f"{member.id}|staff"
    named = segment.text(2, 10) or segment.text(2, 3) or segment.text(2) or segment.text(2, 2)
    return bench.distinct("PractitionerRole", f"{member.id}|{segment.name}|{named.casefold()}")


def action(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MFE-1 and STF-7 (LDP-6): whether the record is in use. One that is deleted stays, since others refer to it."""
    record = bench.group.segment("MFE")
    code = record.text(1).upper() if record is not None else ""
    used = _ACTIONS.get(code)
    flag = segment.text(7 if segment.name == "STF" else 6) if segment.name in ("STF", "LDP") else ""
    told = {"A": True, "I": False}.get(flag.upper())
    if record is not None and code not in _ACTIONS:
        bench.warn("code", f"{record.label}-1", "no action of table 0180; the record is taken as an update")
    if used is False and record is not None:
        draft.put("active", False, f"{record.label}-1")
    elif told is not None:
        draft.put("active", told, f"{segment.label}-{7 if segment.name == 'STF' else 6}")
    elif used is not None and record is not None:
        draft.put("active", used, f"{record.label}-1")


def effective(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MFE-3: when the record takes effect, in an extension."""
    record = bench.group.segment("MFE")
    if record is None or not record.text(3):
        return
    made = date_time_value(bench, record.field(3), f"{record.label}-3")
    draft.put_converted(f"extension[{PREFIX}effective-date].valueDateTime", made)


def authoritative(_bench: Bench, draft: Draft, _segment: Segment) -> None:
    """A master file overwrites what was only mentioned, also in the same message."""
    draft.keep.clear()


def identifiers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """STF-2, each of its sender unless it names an authority; without any the record's own key in STF-1."""
    for index, raw in enumerate(segment.repetitions(2)):
        value: dict[str, Any] = {}
        leaves = bench.site.converts["CX"](
            bench, raw, f"{segment.label}-2" + (f"[{index + 1}]" if index else ""), value
        )
        if "value" in value:
            value.setdefault("system", bench.owned("practitioner"))
            draft.put_converted("identifier[]", (value, leaves))
    if "identifier" not in draft.body and segment.text(1):
        own = {"system": bench.owned("practitioner"), "value": segment.text(1)}
        draft.put_converted("identifier[]", (own, [(".value", f"{segment.label}-1")]))
    elif segment.text(1):
        made = _CONCEPT(bench, segment.field(1), f"{segment.label}-1")
        if made is not None:
            value = {"url": PREFIX + "master-file-key", "valueCodeableConcept": made[0]}
            leaves = [(f".valueCodeableConcept{below}", source) for below, source in made[1]]
            draft.put_converted("extension[]", (value, leaves))


def email(bench: Bench, draft: Draft, segment: Segment) -> None:
    """STF-15, which STF-10 can hold as well."""
    for index, raw in enumerate(segment.repetitions(15)):
        text = bench.text(raw.split(bench.component)[0])
        known = any(one.get("value") == text for one in draft.body.get("telecom", ()))
        if text and not known:
            where = f"{segment.label}-15" + (f"[{index + 1}]" if index else "")
            draft.put_converted("telecom[]", ({"system": "email", "value": text}, [(".value", where)]))


def employed(bench: Bench, draft: Draft, segment: Segment) -> None:
    """STF-12 and STF-13 (DIN: date and institution): when the role began and ended, and where."""
    for field, name in ((12, "start"), (13, "end")):
        for raw in segment.repetitions(field)[:1]:
            parts = [*raw.split(bench.component), ""]
            moment = bench.moment(bench.text(parts[0])).value if parts[0] else None
            if moment:
                draft.put(f"period.{name}", moment, f"{segment.label}-{field}.1")
            if parts[1]:
                made = _CONCEPT(bench, bench.sub(parts[1]), f"{segment.label}-{field}.2")
                if made is not None:
                    value = {"url": PREFIX + "institution", "valueCodeableConcept": made[0]}
                    draft.put_converted(
                        "extension[]", (value, [(".valueCodeableConcept", f"{segment.label}-{field}.2")])
                    )


def job(bench: Bench, draft: Draft, segment: Segment) -> None:
    """STF-18 (title) and STF-19 (JCC: job code, class, description) as codes of the role."""
    if segment.text(18):
        draft.put_converted("code[]", ({"text": segment.text(18)}, [(".text", f"{segment.label}-18")]))
    raw = segment.field(19)
    if not raw:
        return
    parts = [*raw.split(bench.component), "", ""]
    for at in (0, 1):
        made = _CONCEPT(bench, bench.sub(parts[at]), f"{segment.label}-19.{at + 1}") if parts[at] else None
        if made is not None:
            if at == 0 and (text := bench.text(parts[2])):
                made[0].setdefault("text", text)
            draft.put_converted("code[]", made)


def specialty(bench: Bench, raw: str, where: str) -> Converted | None:
    """SPD to a qualification: the specialty, the board that governs it, since when, and whether it is certified."""
    parts = [*bench.parts(raw), "", "", "", ""]
    if not parts[0]:
        return None
    value: dict[str, Any] = {"code": {"text": parts[0]}}
    leaves: list[Leaf] = [(".code.text", f"{where}.1")]
    if parts[1]:
        value["issuer"] = {"display": parts[1]}
        leaves.append((".issuer.display", f"{where}.2"))
    if parts[2]:
        at = note(value, "certification", "String", parts[2])
        leaves.append((f".extension[{at}].valueString", f"{where}.3"))
    held: dict[str, Any] = {}
    put_moment(held, "start", date_time_value(bench, parts[3], f"{where}.4"), leaves, ".period")
    if held:
        value["period"] = held
    return value, leaves


def specialty_name(bench: Bench, raw: str, where: str) -> Converted | None:
    """SPD to the specialty of a role."""
    text = bench.text(raw.split(bench.component)[0])
    return ({"text": text}, [(".text", f"{where}.1")]) if text else None


def privilege(bench: Bench, raw: str, where: str) -> Converted | None:
    """PIP to a code: the privilege and its class; PIP.3 to PIP.5 stay beside it."""
    parts = [*raw.split(bench.component), *[""] * 5]
    made = _CONCEPT(bench, bench.sub(parts[0]), f"{where}.1") if parts[0] else None
    value, leaves = made if made is not None else ({}, [])
    leaves = list(leaves)
    kind = _CONCEPT(bench, bench.sub(parts[1]), f"{where}.2") if parts[1] else None
    if kind is not None:
        at = note(value, "privilege-class", "CodeableConcept", kind[0])
        leaves += [(f".extension[{at}].valueCodeableConcept{below}", source) for below, source in kind[1]]
    for index, name in ((2, "expires"), (3, "activated")):
        moment = bench.moment(bench.text(parts[index])).value if parts[index] else None
        if moment:
            at = note(value, name, "DateTime", moment)
            leaves.append((f".extension[{at}].valueDateTime", f"{where}.{index + 1}"))
    if parts[4] and (text := bench.text(bench.sub(parts[4]).replace(bench.component, " "))):
        at = note(value, "facility", "String", text)
        leaves.append((f".extension[{at}].valueString", f"{where}.5"))
    return (value, leaves) if value else None


def degree(bench: Bench, draft: Draft, segment: Segment) -> None:
    """EDU: an academic degree as a qualification, with the school as its issuer."""
    label = segment.label
    made = _CONCEPT(bench, segment.field(2), f"{label}-2") if segment.field(2) else None
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []
    if made is not None:
        for coding in made[0].get("coding", ()):
            coding.setdefault("system", _DIPLOMAS)
        value["code"] = made[0]
        leaves += [(f".code{below}", source) for below, source in made[1]]
    _period(bench, value, leaves, segment, (3, 4))
    _issuer(bench, value, leaves, segment, 6)
    granted = date_time_value(bench, segment.field(5), f"{label}-5")
    if granted is not None and isinstance(granted[0], str):
        at = note(value, "granted", "DateTime", granted[0])
        leaves.append((f".extension[{at}].valueDateTime", f"{label}-5"))
    _concepts(bench, value, leaves, segment, ((7, "school-type"), (9, "major-field")))
    for raw in segment.repetitions(8)[:1]:
        address: dict[str, Any] = {}
        found = bench.site.converts["XAD"](bench, raw, f"{label}-8", address)
        if address:
            at = note(value, "school-address", "Address", address)
            leaves += [(f".extension[{at}].valueAddress{below}", source) for below, source in found]
    if value:
        value.setdefault("code", {"text": "degree"})
        draft.put_converted("qualification[]", (value, leaves))


def certificate(bench: Bench, draft: Draft, segment: Segment) -> None:
    """CER: a certificate as a qualification, by its serial number, with who granted it and how long it holds."""
    label = segment.label
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []
    if segment.text(2):
        value["identifier"] = [{"system": f"{bench.facility}:certificate", "value": segment.text(2)}]
        leaves.append((".identifier[0].value", f"{label}-2"))
    made = _CONCEPT(bench, segment.field(10), f"{label}-10") if segment.field(10) else None
    if made is not None:
        value["code"] = made[0]
        leaves += [(f".code{below}", source) for below, source in made[1]]
    _issuer(bench, value, leaves, segment, 4)
    held: dict[str, Any] = {}
    for name, fields in (("start", (25, 23)), ("end", (29, 26, 27))):
        for field in fields:
            if segment.text(field) and name not in held:
                moment = date_time_value(bench, segment.field(field), f"{label}-{field}")
                put_moment(held, name, moment, leaves, ".period")
    if held:
        value["period"] = held
    _concepts(
        bench,
        value,
        leaves,
        segment,
        (
            (8, "granting-state"),
            (9, "granting-county"),
            (11, "certificate-domain"),
            (20, "jurisdiction-state"),
            (21, "jurisdiction-county"),
            (22, "jurisdiction-breadth"),
            (30, "revocation-reason"),
            (31, "certificate-status"),
        ),
    )
    texts = ((3, "version"), (7, "granting-country"), (13, "subject-name"), (19, "jurisdiction-country"))
    for field, name in (*texts, (23, "granted"), (24, "issued"), (27, "expires"), (28, "renewed")):
        text = segment.text(field)
        if text:
            at = note(value, name, "String", text)
            leaves.append((f".extension[{at}].valueString", f"{label}-{field}"))
    if value:
        value.setdefault("code", {"text": "certificate"})
        draft.put_converted("qualification[]", (value, leaves))


def _period(bench: Bench, value: dict[str, Any], leaves: list[Leaf], segment: Segment, fields: tuple[int, ...]) -> None:
    for field in fields:
        for raw in segment.repetitions(field)[:1]:
            made = span(bench, raw, f"{segment.label}-{field}")
            if made is not None and "period" not in value:
                value["period"] = made[0]
                leaves += [(f".period{below}", source) for below, source in made[1]]


def _issuer(bench: Bench, value: dict[str, Any], leaves: list[Leaf], segment: Segment, field: int) -> None:
    for raw in segment.repetitions(field)[:1]:
        made = organization(bench, raw, f"{segment.label}-{field}")
        if made is not None:
            value["issuer"] = made[0]
            leaves += [(f".issuer{below}", source) for below, source in made[1]]


def _concepts(
    bench: Bench, value: dict[str, Any], leaves: list[Leaf], segment: Segment, fields: tuple[tuple[int, str], ...]
) -> None:
    for field, name in fields:
        for raw in segment.repetitions(field):
            made = _CONCEPT(bench, raw, f"{segment.label}-{field}")
            if made is not None:
                at = note(value, name, "CodeableConcept", made[0])
                leaves += [(f".extension[{at}].valueCodeableConcept{below}", source) for below, source in made[1]]


def language(bench: Bench, draft: Draft, segment: Segment) -> None:
    """LAN: a language, with how it is used (LAN-3) and how well (LAN-4)."""
    made = _CONCEPT(bench, segment.field(2), f"{segment.label}-2") if segment.field(2) else None
    if made is None:
        return
    value, leaves = made[0], list(made[1])
    _concepts(bench, value, leaves, segment, ((3, "language-ability"), (4, "language-proficiency")))
    draft.put_converted("communication[]", (value, leaves))


def affiliated(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AFF: the professional organization, its address, and since when."""
    draft.put_converted("code[]", ({"text": "professional affiliation"}, [(".text", segment.label)]))
    home = bench.mentioned.get(draft.body.get("organization", {}).get("reference", ""))
    for raw in segment.repetitions(3) if home is not None else ():
        address: dict[str, Any] = {}
        leaves = bench.site.converts["XAD"](bench, raw, f"{segment.label}-3", address)
        if address and home is not None:
            home.put_converted("address[]", (address, leaves))


IDENTITIES = {"staff": staff, "staff-role": role}
DECISIONS = {
    "master-action": action,
    "master-effective": effective,
    "authoritative": authoritative,
    "staff-identifiers": identifiers,
    "staff-email": email,
    "staff-employed": employed,
    "staff-job": job,
    "staff-degree": degree,
    "staff-certificate": certificate,
    "staff-language": language,
    "staff-affiliated": affiliated,
}
CONVERTERS: dict[str, Convert] = {
    "Specialty": specialty,
    "SpecialtyName": specialty_name,
    "Privilege": privilege,
}
"""Converters by the name that `via` uses."""
