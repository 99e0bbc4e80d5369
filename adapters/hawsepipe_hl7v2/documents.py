"""Documents: TXA and the OBX behind it as one DocumentReference, and what it does to the document before it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import attachment, concept, pointer
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.notes import annotation
from hawsepipe_hl7v2.paths import Twinned
from hawsepipe_hl7v2.people import practitioner
from hawsepipe_hl7v2.primitives import ALTERNATE_CODES, PRIMITIVES, date_time_value
from hawsepipe_hl7v2.scheduling import entity_key

ATTESTER = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DocumentReference.attester"
_V2 = "http://terminology.hl7.org/CodeSystem/v2-"
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_RECIPIENT = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_CONCEPT = concept()
_MIME = re.compile(r"[A-Za-z]+/[\w.+-]+")
_TEXTS = frozenset({"TX", "FT", "ST", ""})
_DATA = frozenset({"ED", "RP"})
_PLAIN = frozenset({"TX", "FT", "TEXT"})
_AVAILABILITY = {"AV": "current", "CA": "entered-in-error", "OB": "superseded", "UN": "current"}
_COMPLETION = {
    "DI": "preliminary",
    "DO": "preliminary",
    "IN": "preliminary",
    "IP": "preliminary",
    "PA": "preliminary",
    "AU": "final",
    "LA": "final",
}
_RELATIONS = {"T05": "appends", "T06": "appends", "T07": "replaces", "T08": "replaces", "T09": "replaces"}
_RELATIONS["T10"] = "replaces"
_EDITS = frozenset({"T07", "T08"})
_CONTENT = frozenset({"T02", "T04", "T06", "T08", "T10"})
"""Events whose messages carry the document; the others tell of it."""


def document(bench: Bench, segment: Segment) -> str | None:
    """TXA-12, else the file's name in TXA-16, else the message."""
    for raw in segment.repetitions(12)[:1]:
        key = entity_key(bench, raw)
        if key is not None:
            return key
    if segment.text(16):
        return f"{bench.facility}|file|{segment.text(16)}"
    bench.warn("required", f"{segment.label}-12", "the document has no number: later messages cannot be joined to it")
    return f"{bench.control}|{segment.label}"


def _beside(system: str, code: str) -> dict[str, Any]:
    return {"url": ALTERNATE_CODES, "valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide DocumentReference.status: T11 entered in error; else TXA-19; else current.

    Unavailable (UN) is no status of R4: the document is current, and the code stays beside it. A notification without
    TXA-19 that is not of a new document leaves what is stored.
    """
    text = segment.text(19).upper()
    if bench.event.trigger == "T11":
        draft.put("status", "entered-in-error", "MSH-9.2")
        return
    mapped = _AVAILABILITY.get(text)
    source = f"{segment.label}-19"
    if not text:
        draft.put("status", "current")
        if bench.event.trigger not in ("T01", "T02"):
            draft.keep.add("status")
    elif mapped is not None and text == "AV":
        draft.put("status", mapped, source)
    else:
        if mapped is None:
            bench.warn("code", source, "no availability of table 0273; kept beside the element")
        value = Twinned(mapped or "current", _beside(f"{_V2}0273", segment.text(19)))
        draft.put_converted("status", (value, [("", source)]))


def doc_status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TXA-17 (table 0271) as docStatus, with the code beside it: authenticated is final, after an edit amended."""
    if bench.event.trigger == "T11":
        draft.put("docStatus", "entered-in-error", "MSH-9.2")
        return
    text = segment.text(17)
    if not text:
        return
    mapped = _COMPLETION.get(text.upper())
    if mapped == "final" and bench.event.trigger in _EDITS:
        mapped = "amended"
    if mapped is None:
        bench.warn("code", f"{segment.label}-17", "no completion status of table 0271; kept beside the element")
    value = Twinned(mapped, _beside(f"{_V2}0271", text))
    draft.put_converted("docStatus", (value, [("", f"{segment.label}-17")]))


def security(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TXA-18 (table 0272) as securityLabel, in its own system and in v3-Confidentiality.

    A restricted document is labelled in its meta as well, where access decisions look.
    """
    codes = bench.site.codes["Confidentiality"]["codes"]
    for index, raw in enumerate(segment.repetitions(18)):
        where = f"{segment.label}-18" + (f"[{index + 1}]" if index else "")
        made = _CONCEPT(bench, raw, where)
        if made is None:
            continue
        value, leaves = made
        for coding in value.get("coding", ()):
            coding.setdefault("system", f"{_V2}0272")
        told = value.get("coding", [{}])[0].get("code", "").upper()
        mapped = codes.get(told)
        if mapped:
            value["coding"].append({"system": _CONFIDENTIALITY, "code": mapped})
            leaves = [*leaves, (f".coding[{len(value['coding']) - 1}].code", where)]
        draft.put_converted("securityLabel[]", (value, leaves))
        if mapped in ("R", "V"):
            label = {"system": _CONFIDENTIALITY, "code": mapped}
            draft.put_converted("meta.security[]", (label, [(".code", where)]))


def dated(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TXA-6 as the date, which R4 wants as a point in time; a mere date goes into an extension."""
    raw, where = segment.field(6), f"{segment.label}-6"
    if not segment.text(6):
        return
    moment = bench.moment(segment.text(6))
    if moment.value and "T" in moment.value:
        draft.put_converted("date", PRIMITIVES["instant"](bench, raw, where))
        return
    draft.put_converted(f"extension[{PREFIX}origination-date].valueDateTime", date_time_value(bench, raw, where))


def authenticators(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TXA-22 (who authenticated, and when) as attesters, the first one as authenticator; else TXA-10, who is to."""
    legal = segment.text(17).upper() == "LA"
    mode = {"coding": [{"system": "http://hl7.org/fhir/composition-attestation-mode"}]}
    mode["coding"][0]["code"] = "legal" if legal else "professional"
    for index, raw in enumerate(segment.repetitions(22)):
        where = f"{segment.label}-22" + (f"[{index + 1}]" if index else "")
        parts = raw.split(bench.component)
        # PPN: the time is its last component; XCN has the name's context there.
        person = bench.component.join([*parts[:14], "", *parts[15:]])
        made = practitioner(bench, person, where)
        inner: list[dict[str, Any]] = [{"url": "mode", "valueCodeableConcept": mode}]
        leaves: list[Leaf] = []
        moment = bench.moment(bench.text(parts[14])).value if len(parts) > 14 and bench.text(parts[14]) else None
        if moment:
            leaves.append((f".extension[{len(inner)}].valueDateTime", f"{where}.15"))
            inner.append({"url": "time", "valueDateTime": moment})
        if made is not None:
            leaves.append((f".extension[{len(inner)}].valueReference.reference", where))
            inner.append({"url": "party", "valueReference": made[0]})
            draft.put_converted("authenticator", made)
        if leaves:
            draft.put_converted("extension[]", ({"url": ATTESTER, "extension": inner}, leaves))
    for index, raw in enumerate(segment.repetitions(10)):
        where = f"{segment.label}-10" + (f"[{index + 1}]" if index else "")
        made = practitioner(bench, raw, where)
        if made is None:
            continue
        if segment.field(22) or index:
            value = {"url": PREFIX + "assigned-authenticator", "valueReference": made[0]}
            draft.put_converted("extension[]", (value, [(".valueReference.reference", where)]))
        else:
            draft.put_converted("authenticator", made)


def relations(bench: Bench, draft: Draft, segment: Segment) -> None:
    """TXA-13: the document that this one belongs to. An addendum appends, an edit and a replacement replace.

    What is replaced (T09, T10) is superseded; of a document that is only named, nothing stored changes, and one that
    is not stored yet is of the same patient and orders.
    """
    for index, raw in enumerate(segment.repetitions(13)):
        where = f"{segment.label}-13" + (f"[{index + 1}]" if index else "")
        key = entity_key(bench, raw)
        if key is None:
            continue
        parent = bench.draft("DocumentReference", key)
        if parent is draft:
            bench.inform(where, "the document is its own parent; no relation is made")
            continue
        value: dict[str, Any] = {}
        leaves = bench.site.converts["EI"](bench, raw, where, value)
        parent.put_converted("masterIdentifier", (value, leaves))
        code = _RELATIONS.get(bench.event.trigger, "appends")
        replaced = bench.event.trigger in ("T09", "T10")
        parent.put("status", "superseded" if replaced else "current", "MSH-9.2" if replaced else "")
        parent.put("content", [{"attachment": {"extension": [_unknown()]}}])
        parent.keep |= {"masterIdentifier", "content", "subject", "context"} | (set() if replaced else {"status"})
        patient = bench.group.role("patient")
        if patient is not None:
            parent.put("subject", patient.reference)
        if orders := _orders(bench):
            parent.put("context", {"related": [one.reference for one in orders]})
        below = [(".target.reference", where)]
        draft.put_converted("relatesTo[]", ({"code": code, "target": parent.reference}, below))


def _unknown() -> dict[str, Any]:
    return {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}


def _orders(bench: Bench) -> list[Draft]:
    """The orders of the message, and the reports on them."""
    return [one for (type_, _), one in bench.drafts.items() if type_ in ("ServiceRequest", "DiagnosticReport")]


def related(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The orders that the document is of, and the reports on them: those of the message, and those that TXA-14 and
    TXA-15 name."""
    known = set()
    for one in _orders(bench):
        draft.put("context.related[]", one.reference, segment.label)
        known |= {item.get("value") for item in one.body.get("identifier", ())}
    for field in (14, 15):
        for index, raw in enumerate(segment.repetitions(field)):
            where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            value: dict[str, Any] = {}
            leaves = bench.site.converts["EI"](bench, raw, where, value)
            if "value" in value and value["value"] not in known:
                logical = {"type": "ServiceRequest", "identifier": value}
                below = [(f".identifier{path}", source) for path, source in leaves]
                draft.put_converted("context.related[]", (logical, below))


def is_content(bench: Bench, segment: Segment) -> bool:
    """The OBX holds the document: text or data, in a message about one."""
    return bench.event.type == "MDM" and segment.text(2).upper() in _TEXTS | _DATA


def content(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the document: all lines of text as one attachment, each piece of data and each pointer as its own.

    Where OBX-3 names several parts of the text, each begins with its name.

    Without any, TXA-3 tells the kind of content; what is stored stays, since the message only tells of the document.
    """
    found = _behind(bench, segment)
    lines: list[str] = []
    leaves: list[Leaf] = []
    plain: dict[str, Any] = {}
    texts = [one for one in found if one.text(2).upper() not in _DATA and one.field(5)]
    headings = [one.text(3, 2) or one.text(3) for one in texts]
    for place, one in enumerate(texts):
        if len(set(headings)) > 1 and headings[place] and headings[place : place + 1] != headings[place - 1 : place]:
            # Several parts are told apart by their headings, which are no part of OBX-5.
            lines.append(headings[place])
            leaves.append((".attachment.data", f"{one.label}-3"))
        for index, raw in enumerate(one.repetitions(5)):
            where = f"{one.label}-5" + (f"[{index + 1}]" if index else "")
            lines.append("" if raw == DELETE else bench.text(raw))
            leaves.append((".attachment.data", where))
    if any(lines):
        plain = {"contentType": "text/plain", "data": base64.b64encode("\n".join(lines).encode()).decode()}
        draft.put_converted("content[]", ({"attachment": plain}, leaves))
    for one in found:
        for index, raw in enumerate(one.repetitions(5) if one.text(2).upper() in _DATA else ()):
            where = f"{one.label}-5" + (f"[{index + 1}]" if index else "")
            made = (_data if one.text(2).upper() == "ED" else pointer)(bench, raw, where)
            if made is not None:
                below = [(f".attachment{path}", source) for path, source in made[1]]
                draft.put_converted("content[]", ({"attachment": made[0]}, below))
    if "content" not in draft.body or bench.event.trigger not in _CONTENT:
        draft.keep.add("content")
    _presentation(draft, segment)
    _titles(bench, draft, segment, found)


def _data(bench: Bench, raw: str, where: str) -> Converted | None:
    """ED to Attachment; one without data still tells what kind of data there would be."""
    parts = [*bench.parts(raw), "", "", "", "", ""]
    if parts[4] or not parts[2]:
        return attachment(bench, raw, where)
    mime = parts[2] if "/" in parts[2] else f"{parts[1]}/{parts[2]}"
    if not _MIME.fullmatch(mime):
        return None
    return {"contentType": mime.lower()}, [(".contentType", f"{where}.3")]


def _behind(bench: Bench, segment: Segment) -> list[Segment]:
    """The OBX of a TXA that hold the document: those up to the next TXA, and for the first one those before it."""
    found, at = [], 1
    for one in bench.message.segments:
        if one.name == "TXA":
            at = one.number
        elif one.name == "OBX" and at == segment.number and is_content(bench, one):
            found.append(one)
    return found


def _presentation(draft: Draft, segment: Segment) -> None:
    """TXA-3 beside the first attachment's type, or as it when it is text and nothing else tells."""
    told = segment.text(3)
    items = draft.body.setdefault("content", [{"attachment": {}}])
    first = items[0]["attachment"]
    if told:
        if "contentType" not in first and told.upper() in _PLAIN:
            first["contentType"] = "text/plain"
        first["_contentType"] = {"extension": [_beside(f"{_V2}0191", told)]}
        path = "content[0].attachment._contentType.extension[0].valueCodeableConcept.coding[0].code"
        draft.trail.append((path, [("", f"{segment.label}-3")]))
    if not first:
        first["extension"] = [_unknown()]


def _titles(bench: Bench, draft: Draft, segment: Segment, found: list[Segment]) -> None:
    """TXA-25, else TXA-16, as the first attachment's title; OBX-14 as the time it was made; OBX-3 as what it holds."""
    first = draft.body["content"][0]["attachment"]
    for field in (25, 16):
        if segment.text(field) and "title" not in first:
            first["title"] = segment.text(field)
            draft.trail.append(("content[0].attachment.title", [("", f"{segment.label}-{field}")]))
    for one in found:
        if "creation" not in first and (moment := bench.moment(one.text(14)).value if one.text(14) else None):
            first["creation"] = moment
            draft.trail.append(("content[0].attachment.creation", [("", f"{one.label}-14")]))
        for raw in one.repetitions(3)[:1]:
            made = _CONCEPT(bench, raw, f"{one.label}-3")
            if made is not None:
                value = {"url": PREFIX + "document-section", "valueCodeableConcept": made[0]}
                below = [(f".valueCodeableConcept{path}", source) for path, source in made[1]]
                draft.put_converted("extension[]", (value, below))
        for raw in one.repetitions(16):
            author = practitioner(bench, raw, f"{one.label}-16")
            if author is not None:
                draft.put_converted("author[]", author)


def edited(_bench: Bench, segment: Segment) -> bool:
    """TXA-8 tells when the document was edited, and TXA-9 or TXA-5 who speaks for it."""
    return bool(segment.text(8)) and bool(segment.field(9) or segment.field(5))


def edit(bench: Bench, segment: Segment) -> str | None:
    """A Provenance: one for each document and time of editing, whichever message repeats it."""
    key = document(bench, segment)
    return f"{key}|{segment.field(8)}" if key is not None else None


def provenance(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write the edit: the document, its last time (TXA-8), author (TXA-9, else TXA-5), recipients (TXA-23) and reason
    (TXA-21)."""
    home = bench.group.role("document")
    if home is not None:
        draft.put("target[]", home.reference, segment.label)
    repetitions = segment.repetitions(8)
    where = f"{segment.label}-8" + (f"[{len(repetitions)}]" if len(repetitions) > 1 else "")
    draft.put_converted("occurredDateTime", date_time_value(bench, repetitions[-1], where))
    draft.put_converted("recorded", PRIMITIVES["instant"](bench, repetitions[-1], where))
    draft.put("activity", {"coding": [{"system": _OPERATION, "code": "UPDATE"}]}, where)
    author = {"coding": [{"system": _PARTICIPANT, "code": "author"}]}
    recipient = {"coding": [{"system": _RECIPIENT, "code": "IRCP"}]}
    for field, kind in ((9 if segment.field(9) else 5, author), (23, recipient)):
        for index, raw in enumerate(segment.repetitions(field)):
            at = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
            made = practitioner(bench, raw, at)
            if made is not None:
                value = {"type": kind, "who": made[0]}
                draft.put_converted("agent[]", (value, [(f".who{below}", source) for below, source in made[1]]))
    if segment.text(21):
        draft.put_converted("reason[]", ({"text": segment.text(21)}, [(".text", f"{segment.label}-21")]))


def note(bench: Bench, draft: Draft, segment: Segment) -> None:
    """NTE as a note on the document, in an extension: it is no part of what the document says."""
    made = annotation(bench, segment)
    if made is not None:
        value = {"url": PREFIX + "note", "valueAnnotation": made[0]}
        draft.put_converted("extension[]", (value, [(f".valueAnnotation{below}", source) for below, source in made[1]]))


def note_of_document(bench: Bench, segment: Segment) -> bool:
    """The note is of the document: not of an Observation that an OBX before it made."""
    return bench.event.type == "MDM" and "observation" not in bench.group.roles


def part(_bench: Bench, _draft: Draft, _segment: Segment) -> None:
    """An OBX with a part of the document: written with its TXA, since all lines are one text."""


def file_name(bench: Bench, raw: str, where: str) -> Converted | None:
    """ST with the name of a file to Identifier: a name of the sending facility."""
    text = bench.text(raw)
    return ({"system": f"{bench.facility}:file", "value": text}, [(".value", where)]) if text else None


def absent_agent(_bench: Bench, _raw: str, where: str) -> Converted | None:
    """An agent of whom nothing is known: R4 wants one."""
    return {"who": {"extension": [_unknown()]}}, [(".who.extension[0].valueCode", where)]


CONVERTERS: dict[str, Convert] = {"FileName": file_name, "absent-agent": absent_agent}
"""Converters by the name that `via` uses."""
IDENTITIES = {"document": document, "document-edit": edit}
DECISIONS = {
    "document-status": status,
    "document-completion": doc_status,
    "document-security": security,
    "document-date": dated,
    "document-authenticators": authenticators,
    "document-relations": relations,
    "document-orders": related,
    "document-content": content,
    "document-note": note,
    "document-part": part,
    "document-provenance": provenance,
}
PREDICATES: dict[str, Callable[[Bench, Segment], bool]] = {
    "document-content": is_content,
    "note-of-document": note_of_document,
    "document-edited": edited,
}
