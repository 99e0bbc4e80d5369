"""Where a message's resources come from: the words of its sender for the Provenance, and the message itself.

What is told here is the sender's: when it happened and was recorded, by whom, why and where. Who translated it, and
when the record took it, is known elsewhere and added there.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from hawsepipe import Method, RawMessage, visibility
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Draft
from hawsepipe_hl7v2.envelope import EXTENSION, facility, systems
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.paths import Twinned
from hawsepipe_hl7v2.people import organization, practitioner
from hawsepipe_hl7v2.primitives import ORIGINAL_TEXT, absent, first

MEDIA_TYPE = "application/hl7-v2"
RECORDED = f"{EXTENSION}sender-recorded"
"""The extension for a time of recording that is no instant: known to the day, or in an unknown zone."""
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
ORIGINAL = {"coding": [{"system": "urn:hawsepipe:codes:document", "code": "hl7v2", "display": "HL7 v2 message"}]}
_CREDENTIAL = re.compile(rb"((?:\A|[\r\n])UAC)[^\r\n]+")


def moment_recorded(bench: Bench, raw: str, where: str) -> Converted | None:
    """DTM to an instant; a time that is none is kept beside it, with the precision that it has."""
    text = first(bench, raw)
    if not text:
        return None
    moment = bench.moment(text)
    if moment.value is not None and "T" in moment.value:
        return moment.value, [("", where)]
    told: dict[str, Any] = {"url": RECORDED}
    if moment.value is None:
        bench.warn("parse", where, "not a possible date or time; left out")
        told["valueString"] = text
        return Twinned(None, told), [("", where)]
    told["valueDateTime"] = moment.value
    told["_valueDateTime"] = {"extension": [{"url": ORIGINAL_TEXT, "valueString": text}]}
    return Twinned(None, told), [("", where)]


def _agent(role: str) -> dict[str, Any]:
    return {"type": {"coding": [{"system": _PARTICIPANT, "code": role}]}}


def operator(bench: Bench, raw: str, where: str) -> Converted | None:
    """XCN to the agent who entered the event."""
    made = practitioner(bench, raw, where)
    if made is None:
        return None
    return _agent("enterer") | {"who": made[0]}, [(".who" + below, of) for below, of in made[1]]


def updater(bench: Bench, raw: str, where: str) -> Converted | None:
    """HD to the agent that performed an update."""
    made = facility(bench, raw, where)
    if made is None:
        return None
    return _agent("performer") | {"who": made[0]}, [(".who" + below, of) for below, of in made[1]]


def unknown_agent(_bench: Bench, _raw: str, where: str) -> Converted | None:
    """An agent that nobody names."""
    agent = _agent("performer") | {"who": {"extension": [absent()]}}
    return [agent], [("[0].who.extension[0].valueCode", where)]


def author(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSH-22, else MSH-4, to the agent that speaks."""
    raws = segment.repetitions(22)
    made = organization(bench, raws[0], "MSH-22") if raws else None
    if made is None:
        raws = segment.repetitions(4)
        made = facility(bench, raws[0], "MSH-4") if raws else None
    if made is not None:
        leaves = [(".who" + below, of) for below, of in made[1]]
        draft.put_converted("agent[]", (_agent("author") | {"who": made[0]}, leaves))


def update_key(bench: Bench, segment: Segment) -> str | None:
    """PID-33 and PID-34: an update of a patient at a time by a facility, told once however often it is sent."""
    patient = bench.group.role("patient")
    told = f"{segment.text(33)}|{segment.text(34)}|{segment.text(34, 2)}"
    return f"{patient.id}|{told}" if patient is not None and told != "||" else None


def detached(bench: Bench) -> tuple[Draft, Draft]:
    """Take the header and the sender's words out of the resources that the message makes."""
    key = bench.control
    return bench.drafts.pop(("MessageHeader", key)), bench.drafts.pop(("Provenance", key))


def aim(bench: Bench) -> None:
    """Let a Provenance that found nothing to speak of (an order event without its order) speak of the patient."""
    for draft in [draft for draft in bench.drafts.values() if draft.type == "Provenance"]:
        if "target" not in draft.body:
            patient = next((other for other in bench.drafts.values() if other.type == "Patient"), None)
            draft.body["target"] = [patient.reference if patient is not None else {"extension": [absent()]}]


def finish(bench: Bench, header: Draft, told: Draft) -> None:
    """Complete the sender's words from what other segments did not say: MSH-7 for the times, the event, the source."""
    segment = bench.message.segments[0]
    time = segment.field(7)
    trigger = bench.message.first("EVN")
    recorded = trigger.field(2) if trigger is not None else ""
    if "recorded" not in told.body and "_recorded" not in told.body:
        told.put_converted("recorded", moment_recorded(bench, time, "MSH-7"))
    if "occurredDateTime" not in told.body and "_occurredDateTime" not in told.body:
        for raw, where in ((recorded, "EVN-2"), (time, "MSH-7")):
            text = first(bench, raw)
            moment = bench.moment(text) if text else None
            if moment is not None and moment.value is not None:
                told.put("occurredDateTime", moment.value, where)
                break
    systems(bench, header)
    if "eventCoding" in header.body:
        told.put("activity", {"coding": [dict(header.body["eventCoding"])]})
        told.trail += [
            ("activity.coding[0]", [(below, of)])
            for path, leaves in header.trail
            if path == "eventCoding"
            for below, of in leaves
        ]


def original(bench: Bench, message: RawMessage, told: Draft) -> None:
    """Keep the message as a DocumentReference: sealed, since it says all that is made of it and more."""
    segment, body = bench.message.segments[0], message.body
    draft = bench.draft("DocumentReference", f"message|{message.digest.hex()}", Method.PUT)
    draft.body["meta"] = {"security": [{"system": visibility.SEALED[0], "code": visibility.SEALED[1]}]}
    if control := segment.text(10):
        identifier = {"system": bench.owned("message"), "value": control}
        draft.put_converted("masterIdentifier", (identifier, [(".value", "MSH-10")]))
    draft.put("status", "current")
    draft.put("docStatus", "final")
    draft.put("type", ORIGINAL)
    patients = [other for other in bench.drafts.values() if other.type == "Patient"]
    if patients:
        draft.put("subject", patients[0].reference)
    text = segment.text(7)
    moment = bench.moment(text) if text else None
    if moment is not None and moment.value is not None and "T" in moment.value:
        draft.put("date", moment.value, "MSH-7")
    attachment: dict[str, Any] = {"contentType": MEDIA_TYPE}
    if (copy := _without_credentials(bench, body)) is not None:
        attachment["data"] = b64encode(copy).decode()
    draft.body["content"] = [{"attachment": attachment}]
    if len(patients) > 1:
        draft.body["context"] = {"related": [other.reference for other in patients[1:]]}
    told.body["entity"] = [{"role": "source", "what": draft.reference}]


def _without_credentials(bench: Bench, body: bytes) -> bytes | None:
    """Return the message without what its UAC segments tell; None where they cannot be found among its bytes.

    A credential let its sender in; in a resource it would let in whoever may read that.
    """
    credentials = sum(one.name == "UAC" for one in bench.message.segments)
    if not credentials:
        return body
    copy, emptied = _CREDENTIAL.subn(rb"\1", body)
    return copy if emptied >= credentials else None


DECISIONS = {"message-author": author}
IDENTITIES = {"patient-update": update_key}
CONVERTERS: dict[str, Convert] = {
    "recorded": moment_recorded,
    "Operator": operator,
    "Updater": updater,
    "unknown-agent": unknown_agent,
}
"""Converters by the name that `via` uses."""
