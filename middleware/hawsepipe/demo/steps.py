"""The steps of the demo. Each one's first docstring line is its title; each fails unless it sees what it promises."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hawsepipe.clock import system_clock
from hawsepipe.demo.guide import STRANGER, Answer, Guide
from hawsepipe.demo.sender import Sender
from hawsepipe.model import RawMessage
from hawsepipe.service.kinds import translator

_PATIENCE = 20.0
"""Seconds that a receipt may take."""


async def send_messages(guide: Guide) -> None:
    """Six HL7 v2 messages go over MLLP, each acknowledged once it is safe on the disk."""
    host, port = guide.running.feed_endpoint("adt")
    files = sorted(guide.messages.glob("*.hl7"))
    guide.expect(len(files) == 6, f"there are six messages, not {len(files)}")
    async with Sender(host, port) as sender:
        for file in files:
            reply = await sender.exchange(_body(file))
            segments = reply.decode("utf-8").split("\r")
            answer = next((segment for segment in segments if segment.startswith("MSA|")), "no MSA")
            guide.tell(f"{file.name:<20} {_body(file).decode('utf-8').split('|')[8]:<16} -> {answer}")
            guide.expect(answer.startswith("MSA|AA|"), f"{file.name} is acknowledged with AA")
    await guide.running.settled()
    letters = await guide.running.dead_letter_count()
    guide.expect(letters == 0, f"no message is a dead letter ({letters} are; `hawsepipe dead-letters list` says why)")
    guide.run(f"send {files[0]} --to {host}:{port}")


async def ask_before_consent(guide: Guide) -> None:
    """Nobody has consented yet, so nobody sees anything."""
    first = sorted(guide.messages.glob("*.hl7"))[0]
    message = RawMessage("adt", system_clock(), "application/hl7-v2", _body(first))
    async with translator("hl7v2", guide.running.config, system_clock) as opened:
        translation = opened.translate(message)
    guide.patient = next(change.id for change in translation.changes if change.type == "Patient")
    answer = await guide.get(f"Patient/{guide.patient}")
    guide.tell(f"Dr Okafor reads Patient/{guide.patient}: {answer.status}")
    guide.expect(answer.status == 404, f"a read without consent answers 404, not {answer.status}")


async def consent(guide: Guide) -> None:
    """The patient consents: her record may be seen for treatment, but not by Dr Brandt."""
    answer = await guide.post("Consent", _consent(f"Patient/{guide.patient}", STRANGER))
    guide.expect(answer.status == 201, f"the Consent is created with 201, not {answer.status}")
    guide.tell(f"POST Consent (opt-in for TREAT, deny {STRANGER}): 201 {answer.headers.get('location', '')}")


async def read_as_two_people(guide: Guide) -> None:
    """Dr Okafor reads the patient; for Dr Brandt she does not exist."""
    path = f"Patient/{guide.patient}"
    seen = await guide.get(path)
    guide.expect(seen.status == 200, f"Dr Okafor's read answers 200, not {seen.status}")
    guide.tell(f"Dr Okafor: 200, {len(seen.body)} bytes, ETag {seen.headers['etag']}")
    guide.curl(path)
    hidden = await guide.get(path, STRANGER)
    guide.expect(hidden.status == 404, f"Dr Brandt's read answers 404, not {hidden.status}")
    absent_id = str(uuid.uuid4())
    absent = await guide.get(f"Patient/{absent_id}", STRANGER)
    guide.expect(
        _without(hidden, guide.patient) == _without(absent, absent_id),
        "the refusal is the same, byte for byte, as the answer for a patient who does not exist",
    )
    guide.tell("Dr Brandt: 404, byte for byte the answer for a patient who does not exist")
    guide.curl(path, STRANGER)


async def list_resources(guide: Guide) -> None:
    """The resources that came out."""
    patient = guide.patient
    results = 0
    for kind in ("Encounter", "Observation", "DiagnosticReport", "Immunization", "AllergyIntolerance", "Condition"):
        found = await guide.search(f"{kind}?patient={patient}")
        results += sum(len(resource.get("result", ())) for resource in found)
        guide.expect(bool(found), f"the messages made at least one {kind}")
        for resource in found:
            guide.tell(f"{kind}/{resource['id']}  {_said(resource)}")
    guide.expect(results >= 6, f"the laboratory report has six results, not {results}")
    guide.expect(not await guide.search(f"Observation?patient={patient}", STRANGER), "Dr Brandt's search finds nothing")
    guide.tell("Dr Brandt's search for her results finds nothing")
    guide.curl(f"Observation?patient={patient}&code=http://loinc.org|2345-7")
    glucose = await guide.search(f"Observation?patient={patient}&code=http://loinc.org|2345-7")
    guide.expect(len(glucose) == 1, "one glucose result is found by its LOINC code")
    guide.glucose = glucose[0]["id"]
    raw = await guide.get(f"Observation/{guide.glucose}")
    guide.expect(b'"value":6.30' in raw.body, "the laboratory's 6.30 is 6.30 still")
    guide.tell("the laboratory sent 6.30 and 6.30 it is")


async def history(guide: Guide) -> None:
    """The history of her record: a later message moved her, and what was before is kept."""
    answer = await guide.get(f"Patient/{guide.patient}/_history")
    guide.expect(answer.status == 200, f"the history answers 200, not {answer.status}")
    versions = [entry["resource"] for entry in answer.json["entry"] if "resource" in entry]
    for version in versions:
        lines = [line for address in version.get("address", []) for line in address.get("line", [])]
        guide.tell(f"version {version['meta']['versionId']}  {version['meta']['lastUpdated']}  {', '.join(lines)}")
    guide.expect(len(versions) >= 2, "the update made a second version")
    guide.expect(versions[-1].get("address") != versions[0].get("address"), "the address changed")
    guide.curl(f"Patient/{guide.patient}/_history")
    links = [link["type"] for link in versions[0].get("link", [])]
    guide.expect("replaces" in links, "the merge left a link of type replaces")
    guide.tell("the merge left: link.type replaces")


async def provenance(guide: Guide) -> None:
    """Where a value came from: the message, and the field in it."""
    path = f"Provenance?target=Observation/{guide.glucose}"
    found = await guide.search(path)
    guide.expect(len(found) == 1, f"one Provenance names the result, not {len(found)}")
    source = found[0]["entity"][0]["what"]
    guide.tell(f"message {source.get('display', '')}")
    guide.tell(f"SHA-256 {source['identifier']['value']}")
    trail = _trail(found[0], f"Observation/{guide.glucose}")
    written = {line.partition("=")[0]: line.partition("=")[2] for line in trail}
    guide.expect("valueQuantity.value" in written, "the trail names the field of the value")
    for element in ("valueQuantity.value", "code.coding[0].code", "status"):
        if element in written:
            guide.tell(f"{element} came from {written[element]}")
    guide.expect("OBX" in written["valueQuantity.value"], "the value came from OBX-5")
    guide.curl(path)


async def receipt(guide: Guide) -> None:
    """The receipt of that version, verified offline."""
    answer = await _receipt(guide)
    guide.evidence = guide.folder / "evidence.json"
    guide.evidence.write_bytes(answer.body)
    guide.curl(_receipt_path(guide) + "' -o 'evidence.json")
    status, output = await guide.verify(guide.evidence)
    for line in output.splitlines():
        guide.tell(f"  {line}")
    guide.expect(status == 0, f"the verification succeeds (exit status {status})")


async def tamper(guide: Guide) -> None:
    """One byte of the stored row is changed behind the service's back; the same verification finds it."""
    path = guide.running.store_path
    with sqlite3.connect(path) as database:
        before = _stored(database, guide.glucose)
        after = before.replace(b'"value":6.30', b'"value":6.80', 1)
        guide.expect(before != after, "the stored row holds the value")
        _overwrite(database, guide.glucose, after)
    database.close()
    guide.tell(f"UPDATE in {path}: 6.30 became 6.80")
    tampered = guide.folder / "evidence-tampered.json"
    try:
        tampered.write_bytes((await _receipt(guide)).body)
        status, output = await guide.verify(tampered)
    finally:
        with sqlite3.connect(path) as database:
            _overwrite(database, guide.glucose, before)
        database.close()
    for line in output.splitlines():
        guide.tell(f"  {line}")
    guide.expect(status == 1, f"the verification fails (exit status {status})")
    guide.expect("CONTENT_MISMATCH" in output, "the finding is CONTENT_MISMATCH")
    guide.tell("the byte is put back")


STEPS: tuple[Callable[[Guide], Awaitable[None]], ...] = (
    send_messages,
    ask_before_consent,
    consent,
    read_as_two_people,
    list_resources,
    history,
    provenance,
    receipt,
    tamper,
)


def _body(file: Path) -> bytes:
    return file.read_bytes().strip().replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r"


def _consent(patient: str, excluded: str) -> dict[str, Any]:
    """A patient-privacy Consent: opt-in for treatment, with one recipient excluded."""
    codes = "http://terminology.hl7.org/CodeSystem"
    recipient = {"coding": [{"system": f"{codes}/v3-ParticipationType", "code": "IRCP"}]}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": f"{codes}/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": patient},
        "dateTime": "2026-11-02",
        "policyRule": {"coding": [{"system": f"{codes}/v3-ActCode", "code": "OPTIN"}]},
        "provision": {
            "purpose": [{"system": f"{codes}/v3-ActReason", "code": "TREAT"}],
            "provision": [{"type": "deny", "actor": [{"role": recipient, "reference": {"reference": excluded}}]}],
        },
    }


def _without(answer: Answer, identity: str) -> tuple[int, dict[str, str], bytes]:
    """What an answer says apart from the id that was asked for."""
    return answer.status, answer.headers, answer.body.replace(identity.encode("ascii"), b"<id>")


def _said(resource: dict[str, Any]) -> str:
    concept = resource.get("code") or resource.get("vaccineCode") or {}
    coding = (concept.get("coding") or [{}])[0]
    words = [coding.get("display") or concept.get("text") or "", resource.get("status", "")]
    quantity = resource.get("valueQuantity")
    if quantity:
        words.append(f"{quantity.get('comparator', '')}{quantity.get('value')} {quantity.get('unit', '')}".strip())
    words.append(resource.get("valueString", ""))
    notes = [note["text"] for note in resource.get("note", [])]
    return "  ".join(word for word in [*words, *notes] if word)


def _trail(resource: dict[str, Any], target: str) -> list[str]:
    for entry in resource["target"]:
        if entry.get("reference", "").startswith(target):
            for extension in entry.get("extension", []):
                return str(extension.get("valueString", "")).splitlines()
    return []


def _receipt_path(guide: Guide) -> str:
    return f"Observation/{guide.glucose}/_history/1/$receipt"


async def _receipt(guide: Guide) -> Answer:
    """Ask for the receipt until the log and its backend have it."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            answer = await guide.get(_receipt_path(guide))
            if answer.status == 200 and json.loads(answer.body).get("receipts"):
                return answer
            guide.expect(answer.status in (200, 409, 503), f"the receipt answers 200, not {answer.status}")
            await asyncio.sleep(0.1)


_READ = (
    "SELECT content FROM version JOIN resource ON version.key >> 24 = resource.key"
    " WHERE resource.id = ? AND version.key & 0xffffff = 1"
)
_WRITE = (
    "UPDATE version SET content = ? WHERE key = (SELECT version.key FROM version"
    " JOIN resource ON version.key >> 24 = resource.key WHERE resource.id = ? AND version.key & 0xffffff = 1)"
)


def _stored(database: sqlite3.Connection, identity: str) -> bytes:
    return bytes(database.execute(_READ, (identity,)).fetchone()[0])


def _overwrite(database: sqlite3.Connection, identity: str, content: bytes) -> None:
    database.execute(_WRITE, (content, identity))
