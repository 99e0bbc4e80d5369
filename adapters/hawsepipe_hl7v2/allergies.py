"""Allergies: AL1, IAM with its reactions in IAR, and that none are known."""

from __future__ import annotations

import re
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.patients import identifier_key
from hawsepipe_hl7v2.people import practitioner

_CONCEPT = concept()
_RELATIONSHIP = concept("Relationship")
_STATUS = concept("AllergyClinicalStatus")
_SYSTEM = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
_VERIFIED = {"C": "confirmed", "I": "confirmed", "U": "unconfirmed", "P": "unconfirmed", "S": "unconfirmed"} | {
    "D": "unconfirmed",
    "E": "entered-in-error",
}
"""Table 0438: the clinical status of v2 is mostly about how sure it is."""
_BARE = frozenset({"NONE", "NONE KNOWN", "KEINE", "KEINE BEKANNT"})
"""Words that do not say of what there is none: AL1-2 does."""
_NONE_OF = {"DA": "409137002", "FA": "429625007", "EA": "428607008"}
"""Table 0127 to what of that kind is not known, in SNOMED CT."""
_DENIAL = re.compile(
    r"\b(?:NO|NOT|NONE|NIL|DENY|DENIES|DENIED|NEGATIVE|UNKNOWN|UNK|KEINE?|NICHT|VERNEINT|UNBEKANNT)\b", re.ASCII
)
_ACTIONS = frozenset({"A", "D", "U", "X"})
"""Table 0323."""


def allergy(bench: Bench, segment: Segment) -> str | None:
    """IAM-7 when it is valued; else what the patient is allergic to."""
    if segment.name == "IAM" and segment.text(7):
        return f"{bench.subject()}|{identifier_key(bench, _authorized(bench, segment.field(7)))}"
    substance = segment.text(3) or segment.text(3, 2)
    return bench.distinct("AllergyIntolerance", f"{bench.subject()}|{substance.casefold()}") if substance else None


def _authorized(bench: Bench, raw: str) -> str:
    """Return an EI as a CX: its components 2 to 4 as the authority."""
    parts = [*raw.split(bench.component), "", "", ""]
    return bench.component.join((parts[0], "", "", bench.subcomponent.join(parts[1:4])))


def none_known(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AL1-3 says that no allergy is known (NKA, NKDA or in words): add the SNOMED CT code, as a fact that was asked.

    FHIR asks for such a code instead of a coded absence; the sender's own code stays. Words that deny something in a
    sentence are not understood: what is told stays an allergy, and is reported.
    """
    entry = bench.site.codes["NoKnownAllergy"]
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
    snomed = entry["system"]
    texts = [" ".join(segment.text(3, part).upper().replace(".", "").split()) for part in (1, 2)]
    texts = [text for text in texts if text]
    codes = [entry["codes"].get(text, "") for text in texts]
    found = next((code for code in codes if code), "")
    if found and not all(codes) and all(text in _BARE for text, code in zip(texts, codes, strict=True) if code):
        found = ""  # "none" beside the name of something is not plain
    elif found and all(text in _BARE for text in texts):
        found = _NONE_OF.get(segment.text(2).upper(), found)
    if not found:
        if any(_DENIAL.search(text) for text in texts):
            text = "the words may say that there is no such allergy, or that none is known; kept as an allergy"
            bench.warn("code", f"{segment.label}-3", text)
        return
    code = draft.body.setdefault("code", {})
    codings = code.setdefault("coding", [])
    if not any(one.get("system") == snomed and one.get("code") == found for one in codings):
        draft.trail.append((f"code.coding[{len(codings)}].code", [("", f"{segment.label}-3")]))
        codings.append({"system": snomed, "code": found})
    verified = {"coding": [{"system": system, "code": "confirmed"}]}
    draft.put_converted("verificationStatus", (verified, [(".coding[0].code", f"{segment.label}-3")]))


def reactions(bench: Bench, draft: Draft, segment: Segment) -> None:
    """AL1-5 and IAM-5: the reactions as manifestations of one reaction, with field 4 as its severity (a reaction
    needs a manifestation)."""
    found = [(raw, index) for index, raw in enumerate(segment.repetitions(5)) if bench.text(raw)]
    if not found:
        return
    reaction: dict[str, Any] = {"manifestation": []}
    leaves: list[Leaf] = []
    for raw, index in found:
        where = f"{segment.label}-5" + (f"[{index + 1}]" if index else "")
        at = f".manifestation[{len(reaction['manifestation'])}]"
        coded = _CONCEPT(bench, raw, where) if segment.name == "IAM" else None
        if coded is not None:
            made = {
                "text": coded[0].get("text") or segment.text(5, 2, 1, index + 1) or segment.text(5, 1, 1, index + 1)
            }
            reaction["manifestation"].append(made | coded[0])
            leaves += [(at + below, source) for below, source in coded[1]]
        else:
            text = " ".join(part for part in bench.parts(raw) if part)
            if text:
                reaction["manifestation"].append({"text": text})
                leaves.append((at + ".text", where))
    if not reaction["manifestation"]:
        return
    if severity := bench.site.codes["AllergySeverity"]["codes"].get(segment.text(4).upper()):
        reaction["severity"] = severity
        leaves.append((".severity", f"{segment.label}-4"))
    draft.put_converted("reaction[]", (reaction, leaves))


def reaction(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IAR: one more reaction of the allergy before it, with its own severity and treatment."""
    manifestation = _CONCEPT(bench, segment.field(1), f"{segment.label}-1")
    if manifestation is None:
        return
    value: dict[str, Any] = {"manifestation": [manifestation[0]]}
    leaves = [(f".manifestation[0]{below}", source) for below, source in manifestation[1]]
    if severity := bench.site.codes["AllergySeverity"]["codes"].get(segment.text(2).upper()):
        value["severity"] = severity
        leaves.append((".severity", f"{segment.label}-2"))
    for field, name in ((3, "sensitivity"), (4, "management")):
        text = segment.text(field, 2) or segment.text(field)
        if text:
            extensions = value.setdefault("extension", [])
            leaves.append((f".extension[{len(extensions)}].valueString", f"{segment.label}-{field}"))
            extensions.append({"url": f"urn:hawsepipe:extension:reaction-{name}", "valueString": text})
    draft.put_converted("reaction[]", (value, leaves))


def standing(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide clinicalStatus and verificationStatus of an IAM by IAM-6 and IAM-17.

    A deleted or erroneous one is entered in error and has no clinical status; I is inactive; any other is active.
    """
    told = segment.text(17).upper()
    action = segment.text(6).upper()
    removed = action == "D"
    if action and action not in _ACTIONS:
        bench.warn("code", f"{segment.label}-6", "an unknown action; taken for one that adds")
    verified = "entered-in-error" if removed else _VERIFIED.get(told)
    if verified:
        source = f"{segment.label}-{6 if removed else 17}"
        coding = {"system": _SYSTEM + "verification", "code": verified}
        draft.put_converted("verificationStatus", ({"coding": [coding]}, [(".coding[0].code", source)]))
    if verified == "entered-in-error":
        return
    sent = _STATUS(bench, segment.field(17), f"{segment.label}-17") if told else None
    codings = [{"system": _SYSTEM + "clinical", "code": "inactive" if told == "I" else "active"}]
    leaves: list[Leaf] = []
    if sent is not None:
        codings += [coding for coding in sent[0].get("coding", ()) if coding not in codings]
        leaves = [(f".coding[{index}].code", f"{segment.label}-17") for index in range(1, len(codings))]
    draft.put_converted("clinicalStatus", ({"coding": codings}, leaves))


def reporter(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IAM-14 and IAM-15: who reported the allergy: the patient (SEL), a relative, or a practitioner."""
    name: dict[str, Any] = {}
    where = f"{segment.label}-14"
    leaves = bench.site.converts["XPN"](bench, segment.repetitions(14)[0], where, name) if segment.field(14) else []
    relation = segment.text(15).upper()
    patient = bench.group.role("patient")
    if relation == "SEL" and patient is not None:
        draft.put("asserter", patient.reference, f"{segment.label}-15")
        return
    if not name:
        return
    key = f"{bench.subject()}|{name.get('family', '')}|{'|'.join(name.get('given', ()))}".casefold()
    if not relation:
        person = bench.mention("Practitioner", key)
    else:
        person = bench.mention("RelatedPerson", f"{key}|{relation}")
        if patient is not None:
            person.put("patient", patient.reference)
        person.put_converted("relationship[]", _RELATIONSHIP(bench, segment.field(15), f"{segment.label}-15"))
    person.put_converted("name[]", (name, leaves))
    draft.put("asserter", person.reference, where)


def recorder(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IAM-23: who recorded it first."""
    if segment.field(23):
        draft.put_converted("recorder", practitioner(bench, segment.repetitions(23)[0], f"{segment.label}-23"))


def further_codes(bench: Bench, draft: Draft, segment: Segment) -> None:
    """IAM-27: the clinician's code for the substance, as further codings."""
    converted = _CONCEPT(bench, segment.field(27), f"{segment.label}-27") if segment.field(27) else None
    if converted is None:
        return
    code = draft.body.setdefault("code", {})
    for index, coding in enumerate(converted[0].get("coding", ())):
        start = f".coding[{index}]"
        codings = code.setdefault("coding", [])
        if coding not in codings:
            at = f"code.coding[{len(codings)}]"
            leaves = [(below[len(start) :], source) for below, source in converted[1] if below.startswith(start)]
            draft.trail.append((at, leaves))
            codings.append(coding)


def no_onset_date(_bench: Bench, segment: Segment) -> bool:
    """IAM-11 is empty."""
    return not segment.text(11)


IDENTITIES = {"allergy": allergy}
DECISIONS = {
    "no-known-allergy": none_known,
    "reactions": reactions,
    "reaction": reaction,
    "allergy-standing": standing,
    "allergy-reporter": reporter,
    "allergy-recorder": recorder,
    "allergy-further-codes": further_codes,
}
PREDICATES = {"no-onset-date": no_onset_date}
