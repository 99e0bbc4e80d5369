"""The envelope of a message (MSH, SFT, MSA, ERR): who sent what to whom, as a MessageHeader.

A header is no part of a record (https://hl7.org/fhir/R4/messageheader.html): it goes with a Bundle, not into the
store. Applications are Devices and facilities Organizations, which the Provenance names too; these are mentions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft, Leaf
from hawsepipe_hl7v2.leftovers import repetition
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.paths import Twinned
from hawsepipe_hl7v2.people import organization
from hawsepipe_hl7v2.primitives import SYSTEM_NAMES, absent, first

EXTENSION = "urn:hawsepipe:extension:"
CONTROL_ID = f"{EXTENSION}message-control-id"
MESSAGE_TIME = f"{EXTENSION}message-time"
_UNIVERSAL = "http://terminology.hl7.org/CodeSystem/v2-0301"
_APPLICATIONS = "http://terminology.hl7.org/CodeSystem/v2-0361"
_FACILITIES = "http://terminology.hl7.org/CodeSystem/v2-0362"
_CODING_SYSTEM = f"{EXTENSION}coding-system"
_CODING_SYSTEMS = "http://terminology.hl7.org/CodeSystem/v2-0396"
_CONFIDENTIALITY = frozenset("ULMNRV")
_EVENTS = "http://terminology.hl7.org/CodeSystem/v2-0003"
_PREFIXES = {"ISO": "urn:oid:", "UUID": "urn:uuid:", "GUID": "urn:uuid:", "DNS": "urn:dns:"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def message_key(bench: Bench, _segment: Segment) -> str | None:
    """One header and one Provenance a message: by its sender and control id."""
    return bench.control


def endpoint(universal: str, kind: str) -> str:
    """Return the universal id of an HD as a URL; empty when there is none."""
    text = "".join(universal.split())
    if not text or _URI.fullmatch(text):
        return text
    return _PREFIXES.get(kind.upper(), "") + text


def names(
    system: str, namespace: str, universal: str, kind: str, where: str
) -> list[tuple[dict[str, Any], list[Leaf]]]:
    """Return an HD as Identifiers: its namespace in a table, and its universal id with the type of that."""
    made: list[tuple[dict[str, Any], list[Leaf]]] = []
    if namespace:
        made.append(({"system": system, "value": namespace}, [(".value", f"{where}.1")]))
    if universal or kind:
        told: dict[str, Any] = {}
        leaves: list[Leaf] = []
        if kind:
            told["type"] = {"coding": [{"system": _UNIVERSAL, "code": " ".join(kind.split())}]}
            leaves.append((".type.coding[0].code", f"{where}.3"))
        if universal:
            if kind.upper() in ("ISO", "UUID", "GUID"):
                told["system"] = "urn:ietf:rfc:3986"
            told["value"] = endpoint(universal, kind)
            leaves.append((".value", f"{where}.2"))
        made.append((told, leaves))
    return made


def facility(bench: Bench, raw: str, where: str) -> Converted | None:
    """HD to an Organization: a sending or receiving facility."""
    parts = _parts(bench, raw)
    if not any(parts):
        return None
    draft = bench.mention("Organization", _key(bench, _FACILITIES, parts))
    if "identifier" not in draft.body:
        _named(draft, _FACILITIES, parts, where)
        if parts[0]:
            draft.put("name", parts[0], f"{where}.1")
    return draft.reference | {"display": parts[0] or parts[1] or parts[2]}, [(".reference", where)]


def application(bench: Bench, raw: str, where: str) -> Converted | None:
    """HD to a Device: a sending or receiving application."""
    parts = _parts(bench, raw)
    if not any(parts):
        return None
    draft = bench.mention("Device", _key(bench, _APPLICATIONS, parts))
    if "identifier" not in draft.body:
        _named(draft, _APPLICATIONS, parts, where)
    return draft.reference | {"display": parts[0] or parts[1] or parts[2]}, [(".reference", where)]


def place(bench: Bench, raw: str, where: str) -> Converted | None:
    """HD to a Location: the facility where an event happened."""
    parts = _parts(bench, raw)
    if not any(parts):
        return None
    draft = bench.mention("Location", _key(bench, _FACILITIES, parts))
    if "identifier" not in draft.body:
        _named(draft, _FACILITIES, parts, where)
        draft.put("name", parts[0] or parts[1] or parts[2], f"{where}.1")
        system = "http://terminology.hl7.org/CodeSystem/location-physical-type"
        draft.put("physicalType", {"coding": [{"system": system, "code": "si"}]})
    return draft.reference | {"display": draft.body["name"]}, [(".reference", where)]


def endpoints(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSH-3 and 24, MSH-5 and 25 to the endpoints of source and destination: the network address is the better one.

    An application without a universal id has no endpoint, which R4 wants: the reason is unknown.
    """
    if any(segment.field(number) for number in (5, 6, 23, 25)):
        _endpoint(draft, "destination[0]", segment, 5, 25)
    _endpoint(draft, "source", segment, 3, 24)
    if segment.text(24) or segment.text(24, 2):
        # The guide puts the application's universal id here, and as the endpoint only without MSH-24.
        draft.put("source.software", segment.text(3, 2), "MSH-3.2") if segment.text(3, 2) else None


def _endpoint(draft: Draft, element: str, segment: Segment, application_: int, address: int) -> None:
    number = address if segment.text(address) or segment.text(address, 2) else application_
    namespace, universal, kind = (segment.text(number, part) for part in (1, 2, 3))
    where = f"MSH-{number}"
    url = endpoint(universal or (namespace if number == address else ""), kind)
    if url and element == "source" and universal and not _URI.fullmatch(url):
        told = [namespace if number == address else "", f"{kind}:{universal}" if kind else universal]
        _addressed(draft, " - ".join(filter(None, told)), where)
        return
    if url:
        draft.put(f"{element}.endpoint", url, f"{where}.{2 if universal else 1}")
    else:
        draft.put(f"{element}._endpoint", {"extension": [absent()]})
    # What the endpoint does not say stays beside it.
    if number == address == 24 and namespace and universal:
        draft.put(f"{element}._endpoint.extension[{EXTENSION}namespace].valueString", namespace, f"{where}.1")
    if kind:
        draft.put(f"{element}._endpoint.extension[{EXTENSION}universal-id-type].valueString", kind, f"{where}.3")


def _addressed(draft: Draft, address: str, where: str) -> None:
    """Tell an address that is no URL (IPv6, a local name) in the name of the source: R4's endpoint wants a URL."""
    source = draft.body.setdefault("source", {})
    source["name"] = f"{source['name']} - {address}" if "name" in source else address
    draft.trail.append(("source.name", [("", f"{where}.2")]))
    source["_endpoint"] = {"extension": [absent()]}


def responsible(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSH-22 to the organization that answers for the message; without a name or number it is kept as sent."""
    for index, raw in enumerate(segment.repetitions(22)):
        where = "MSH-22" + (f"[{index + 1}]" if index else "")
        made = organization(bench, raw, where) if index == 0 else None
        if made is not None:
            draft.put_converted("responsible", made)
        else:
            repetition(bench, draft, "MSH-22", raw, where)


def country(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSH-17 to the address of the sending facility, else of the responsible organization, else with the header."""
    text = segment.text(17)
    if not text:
        return
    told = draft.body.get("sender") or draft.body.get("responsible") or {}
    known = next((one for one in bench.drafts.values() if one.url == told.get("reference")), None)
    if known is not None:
        known.put("address[0].country", text, "MSH-17")
    else:
        draft.put("extension[]", {"url": f"{EXTENSION}country", "valueString": text}, "MSH-17")


def event(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSH-9 (or EVN-1) to MessageHeader.eventCoding; a message without a trigger says its type alone."""
    message = bench.message
    trigger = bench.event.trigger or message.event
    parts = [segment.text(9, part) for part in (1, 2, 3)]
    display = "^".join(parts).rstrip("^")
    coding: dict[str, Any] = {"system": _EVENTS}
    leaves: list[Leaf] = []
    if trigger:
        coding["code"] = " ".join(trigger.split())
        leaves.append((".code", "MSH-9.2" if parts[1] else "EVN-1" if message.event else "MSH-9.1"))
    else:
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0076", "code": " ".join(parts[0].split()) or "?"}
        leaves.append((".code", "MSH-9.1"))
    if display:
        coding["display"] = display
        leaves.append((".display", "MSH-9"))
    draft.put_converted("eventCoding", (coding, leaves))


def other_event(bench: Bench, draft: Draft, segment: Segment) -> None:
    """EVN-1 where it is another event than MSH-9 tells, which is the one that counts: kept, and reported."""
    text = segment.text(1)
    if text and text != (bench.event.trigger or bench.message.event):
        bench.warn("structure", "EVN-1", "another event than that of MSH-9, which is the one that counts")
        draft.put("extension[]", {"url": f"{EXTENSION}event-type", "valueString": text}, "EVN-1")


def focus(bench: Bench, header: Draft, types: Sequence[str]) -> None:
    """Point to what the message is about: all resources of the first of these types that there is, else the patient."""
    for type_ in (*types, "Patient"):
        found = [draft.reference for draft in bench.drafts.values() if draft.type == type_ and "*" not in draft.keep]
        if found:
            header.body["focus"] = found
            return
    patients = [draft.reference for draft in bench.drafts.values() if draft.type == "Patient"]
    if patients:
        header.body["focus"] = patients


def processing(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSH-11 to tags: what the message is for (production, training), and its mode."""
    for part, table in ((1, "0103"), (2, "0207")):
        code = " ".join(segment.text(11, part).split())
        if code:
            tag = {"system": f"http://terminology.hl7.org/CodeSystem/v2-{table}", "code": code}
            draft.put_converted("meta.tag[]", (tag, [(".code", f"MSH-11.{part}")]))


def version(bench: Bench, raw: str, where: str) -> Converted | None:
    """VID to a CodeableConcept: the version, and the codes of its country and its own version, if told."""
    parts = [*raw.split(bench.component), "", ""]
    number = bench.text(parts[0])
    codings: list[dict[str, Any]] = []
    leaves: list[Leaf] = []
    if number:
        codings.append({"system": "http://terminology.hl7.org/CodeSystem/v2-0104", "code": " ".join(number.split())})
        leaves.append((".coding[0].code", f"{where}.1"))
    for at in (1, 2):
        told = bench.site.codings.of("", bench.parts(bench.sub(parts[at])))
        leaves += [
            (re.sub(r"\[0\]", f"[{len(codings)}]", below, count=1), f"{where}.{at + 1}{source}")
            for below, source in told.leaves
            if below.startswith(".coding[0]")
        ]
        codings += [coding.copy() for coding in told.codings[:1]]
    return ({"coding": codings}, leaves) if codings else None


def language(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE to a language tag (BCP 47); anything else is left out and reported."""
    text = first(bench, raw)
    if not text:
        return None
    if _LANGUAGE.fullmatch(text):
        main, _, rest = text.partition("-")
        return main.lower() + (f"-{rest}" if rest else ""), [("", where)]
    bench.warn("code", where, "not a language tag; left out")
    return None


def security(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE to a security label; free text becomes its display."""
    told = bench.site.codings.of("", bench.parts(raw))
    if told.codings:
        begin = ".coding[0]"
        leaves = [(below.removeprefix(begin), where + at) for below, at in told.leaves if below.startswith(begin)]
        return told.codings[0].copy(), leaves
    return ({"display": told.text}, [(".display", where)]) if told.text else None


def classification(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE of MSH-26 to a security label: without a coding system one of table 0952, which are those of version 3."""
    made = security(bench, raw, where)
    if made is not None and made[0].get("code", "").upper() in _CONFIDENTIALITY and "system" not in made[0]:
        made[0]["system"] = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
        made[0]["code"] = made[0]["code"].upper()
    return made


def classify(bench: Bench, header: Draft) -> None:
    """Label all that the message tells as the message is (MSH-26, MSH-27); whom it mentions stays as it was."""
    labels: list[Converted] = []
    for path, leaves in header.trail:
        if path.startswith("meta.security[") and leaves[0][1].partition(".")[0] in ("MSH-26", "MSH-27"):
            label = header.body["meta"]["security"][int(path.removeprefix("meta.security[")[:-1])]
            if "code" in label and "system" in label:
                labels.append((label, leaves))
    for draft in bench.drafts.values() if labels else ():
        if "*" not in draft.keep:
            for label, leaves in labels:
                draft.put_converted("meta.security[]", (dict(label), leaves))


def security_text(bench: Bench, raw: str, where: str) -> Converted | None:
    """ST to a security label that has only a display."""
    text = bench.text(raw)
    return ({"display": text}, [(".display", where)]) if text else None


def software(_bench: Bench, segment: Segment) -> str | None:
    """SFT: a product of a vendor in one version."""
    parts = [segment.text(1), segment.text(3), segment.text(2), segment.text(4)]
    return "software|" + "|".join(parts) if any(parts) else None


def vendor(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SFT-1 to the manufacturer by name; a vendor known by more than its name is an Organization besides."""
    at = next((part for part in (1, 10, 3) if segment.text(1, part)), 0)
    if at:
        draft.put("manufacturer", segment.text(1, at), f"{segment.label}-1.{at}")
    if segment.delimiters.component in segment.field(1):
        made = organization(bench, segment.repetitions(1)[0], f"{segment.label}-1")
        draft.put_converted(f"extension[{EXTENSION}manufacturer].valueReference", made)


def control_id(bench: Bench, raw: str, where: str) -> Converted | None:
    """MSH-10 to an Identifier: its sender tells messages apart by it."""
    text = bench.text(raw)
    return ({"system": bench.owned("message"), "value": text}, [(".value", where)]) if text else None


def response_identifier(bench: Bench, raw: str, where: str) -> Converted | None:
    """MSA-2 to the id of the message that is answered; what is no FHIR id goes beside it."""
    text = bench.text(raw)
    if not text:
        return None
    if _ID.fullmatch(text):
        return text, [("", where)]
    return Twinned(None, {"url": f"{EXTENSION}message-control-id", "valueString": text}), [("", where)]


def _parts(bench: Bench, raw: str) -> tuple[str, str, str]:
    namespace, universal, kind = [*bench.parts(raw), "", "", ""][:3]
    return namespace, universal, kind


def _key(bench: Bench, system: str, parts: tuple[str, str, str]) -> str:
    """Return what an HD is known by: its universal id, which is worldwide, else its namespace in a table."""
    return f"authority|{bench.naming.authority(*parts)}" if parts[1] else f"{system}|{parts[0]}"


def _named(draft: Draft, system: str, parts: tuple[str, str, str], where: str) -> None:
    for identifier in names(system, *parts, where):
        draft.put_converted("identifier[]", identifier)


def systems(bench: Bench, header: Draft) -> None:
    """Tell once what the sender calls the coding systems (table 0396) that the resources name by their URIs."""
    known: dict[str, str] = bench.cache.get(SYSTEM_NAMES, {})
    if not known:
        return
    items = header.body.setdefault("extension", [])
    for name, where in known.items():
        header.trail.append((f"extension[{len(items)}].valueCoding.code", [("", where)]))
        coding = {"system": _CODING_SYSTEMS, "code": " ".join(name.split())}
        items.append({"url": _CODING_SYSTEM, "valueCoding": coding})


def versioned(_bench: Bench, segment: Segment) -> bool:
    """SFT-2 tells a version, which the day of its installation can stand beside."""
    return bool(segment.text(2))


def unversioned(bench: Bench, segment: Segment) -> bool:
    """The opposite of `versioned`."""
    return not versioned(bench, segment)


PREDICATES = {"software-versioned": versioned, "software-unversioned": unversioned}
IDENTITIES = {"message": message_key, "software": software}
DECISIONS = {
    "message-endpoints": endpoints,
    "message-country": country,
    "message-responsible": responsible,
    "message-event": event,
    "message-other-event": other_event,
    "message-processing": processing,
    "software-vendor": vendor,
}
CONVERTERS: dict[str, Convert] = {
    "Facility": facility,
    "Application": application,
    "Site": place,
    "VersionId": version,
    "language": language,
    "SecurityLabel": security,
    "SecurityText": security_text,
    "Classification": classification,
    "ControlId": control_id,
    "messageId": response_identifier,
}
"""Converters by the name that `via` uses."""
