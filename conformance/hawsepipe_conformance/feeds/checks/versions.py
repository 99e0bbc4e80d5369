"""Other versions of FHIR at a feed (FV)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_OPEN: dict[str, Any] = {"kind": "fhir-http", "unauthenticated": True}
_DSTU2, _STU3, _R4, _R5 = "1.0", "3.0", "4.0", "5.0"


def _patient(stage: Stage, **more: Any) -> dict[str, Any]:
    person = stage.person
    return {"resourceType": "Patient", "id": person, "identifier": [{"system": "urn:mrn", "value": person}], **more}


async def post(stage: Stage, body: Mapping[str, Any] | bytes, version: str = "", feed: str = "") -> tuple[int, str]:
    """Send a resource; return the status and the words of the outcome."""
    address = await stage.product.feed(feed or stage.feed)
    type_ = "application/fhir+json" + (f"; fhirVersion={version}" if version else "")
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://{address.host}:{address.port}/fhir"
    headers = {"Content-Type": type_}
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as response:
        outcome = json.loads(await response.read())
        words = [str(issue.get("diagnostics")) for issue in outcome.get("issue", [])]
        return response.status, "; ".join(words)


async def _taken(stage: Stage, version: str, *resources: Mapping[str, Any], feed: str = "") -> None:
    """Send resources, each for itself, which must be taken."""
    for resource in resources:
        status, words = await post(stage, resource, version, feed)
        stage.claim(f"{resource['resourceType']} is taken ({status}: {words})", status == 200)


def _bundle(*resources: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": it} for it in resources], **more}


@CHECKS.case("FV-01", "converted as STU3; contradiction with feed setting -> 415/AE", version="STU3", **_OPEN)
async def _parameter(stage: Stage) -> None:
    visit = {"resourceType": "Encounter", "id": "FV01", "status": "finished", "class": {"code": "AMB"}}
    reason = {"reason": [{"text": "fever"}], "subject": {"reference": f"Patient/{stage.person}"}}
    await _taken(stage, _STU3, _patient(stage), visit | reason)
    read = await stage.product.read("Encounter/FV01")
    stage.claim("converted as STU3", read.get("reasonCode") == [{"text": "fever"}] and "reason" not in read)
    status, _ = await post(stage, _patient(stage, gender="male"), _R4)
    stage.claim(f"415 for a contradiction (found {status})", status == 415)
    stage.claim("without effect", "gender" not in await stage.product.read(f"Patient/{stage.person}"))
    stage.claim("kept as a dead letter", len(await stage.letters()) == 1)


@CHECKS.case("FV-02", "ServiceRequest with intent/status mapped", **_OPEN)
async def _requests(stage: Stage) -> None:
    subject = {"subject": {"reference": f"Patient/{stage.person}"}}
    code = {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "80146002"}]}}
    procedure = {"resourceType": "ProcedureRequest", "id": "FV02p", "status": "suspended", "intent": "order"}
    referral = {"resourceType": "ReferralRequest", "id": "FV02r", "status": "active", "intent": "plan"}
    await _taken(stage, _STU3, _patient(stage), procedure | subject | code, referral | subject)
    for id_, status, intent in (("FV02p", "on-hold", "order"), ("FV02r", "active", "plan")):
        read = await stage.product.read(f"ServiceRequest/{id_}")
        stage.claim(f"status and intent of {id_}", (read.get("status"), read.get("intent")) == (status, intent))
        stage.claim(f"the subject of {id_}", read.get("subject") == subject["subject"])


@CHECKS.case("FV-03", "MedicationRequest; dispenseRequest kept", **_OPEN)
async def _order(stage: Stage) -> None:
    order = {
        "resourceType": "MedicationOrder",
        "id": "FV03",
        "status": "active",
        "dateWritten": "2015-02-03",
        "patient": {"reference": f"Patient/{stage.person}"},
        "medicationCodeableConcept": {"text": "aspirin"},
        "dispenseRequest": {"numberOfRepeatsAllowed": 3, "quantity": {"value": 90}},
    }
    await _taken(stage, _DSTU2, _patient(stage), order)
    read = await stage.product.read("MedicationRequest/FV03")
    dispense = read.get("dispenseRequest", {})
    stage.claim("dispenseRequest is kept", (dispense.get("numberOfRepeatsAllowed"), dispense.get("quantity")) == (
        3, {"value": 90}))  # fmt: skip
    stage.claim("the date of writing", read.get("authoredOn") == "2015-02-03")


@CHECKS.case("FV-04", "status not-done", **_OPEN)
async def _not_given(stage: Stage) -> None:
    given = {
        "resourceType": "Immunization",
        "id": "FV04",
        "status": "completed",
        "notGiven": True,
        "vaccineCode": {"text": "measles"},
        "patient": {"reference": f"Patient/{stage.person}"},
        "date": "2016-01-01",
        "primarySource": True,
    }
    await _taken(stage, _STU3, _patient(stage), given, given | {"id": "FV04b", "notGiven": False})
    stage.claim("not done", (await stage.product.read("Immunization/FV04")).get("status") == "not-done")
    stage.claim("done", (await stage.product.read("Immunization/FV04b")).get("status") == "completed")


@CHECKS.case("FV-09", "Basic/other by rule or dead letter 'no R4 form'; never dropped", **_OPEN)
async def _no_counterpart(stage: Stage) -> None:
    intake = {
        "resourceType": "NutritionIntake",
        "id": "FV09n",
        "status": "completed",
        "subject": {"reference": f"Patient/{stage.person}"},
        "consumedItem": [{"type": {"text": "porridge"}, "nutritionProduct": {"concept": {"text": "oats"}}}],
    }
    component = {
        "resourceType": "DeviceComponent",
        "id": "FV09d",
        "type": {"text": "channel"},
        "identifier": {"value": "D-7"},
        "lastSystemChange": "2015-01-01T00:00:00Z",
    }
    await _taken(stage, _R4, _patient(stage))
    sent: tuple[tuple[Mapping[str, Any], str], ...] = ((intake, _R5), (component, _DSTU2))
    for number, (resource, version) in enumerate(sent, 2):
        before = len(await stage.letters())
        status, words = await post(stage, resource, version)
        if status == 422:
            stage.claim("a dead letter", len(await stage.letters()) == before + 1)
            continue
        stage.claim(f"{resource['resourceType']} is taken ({status})", status == 200)
        stage.claim("the answer says what it is now", f"R4 has no {resource['resourceType']}" in words)
        stage.claim("it has an effect", await stage.grown("hawsepipe_intake_applied_total") == number)
    # A component of a device is nobody's, so that nobody may read it; the intake is a patient's.
    text = await _kept(stage, "FV09n")
    stage.claim("nothing of it is dropped", all(word in text for word in ("porridge", "oats", "completed")))


async def _kept(stage: Stage, id_: str) -> str:
    """Return a resource of this id, of whatever type it has become, as text."""
    for type_ in ("Basic", "DeviceMetric", "Device", "NutritionOrder"):
        found = await stage.product.search(type_, _id=id_)
        if found:
            return json.dumps(found[0])
    return ""


@CHECKS.case("FV-10", "dead letter (must not be ignored)", **_OPEN)
async def _modifier(stage: Stage) -> None:
    extension = [{"url": "http://example.org/not-at-all", "valueBoolean": True}]
    for number, version in enumerate((_DSTU2, _STU3, _R4, _R5), 1):
        person = f"{stage.person}-{number}"
        status, _ = await post(stage, _patient(stage, id=person, modifierExtension=extension), version)
        stage.claim(f"refused in {version} (found {status})", 400 <= status < 500)
        stage.claim("no effect", not await stage.product.search("Patient", _id=person))
        stage.claim("a dead letter", len(await stage.letters()) == number)


@CHECKS.case("FV-13", "references still resolve", **_OPEN)
async def _references(stage: Stage) -> None:
    urn = "urn:uuid:3c9a7b1e-0d52-4a55-8d1b-70c8f2f6d013"
    patient = {key: value for key, value in _patient(stage).items() if key != "id"}
    order = {
        "resourceType": "MedicationOrder",
        "id": "FV13",
        "status": "active",
        "contained": [{"resourceType": "Medication", "id": "drug", "code": {"text": "aspirin"}}],
        "medicationReference": {"reference": "#drug"},
        "patient": {"reference": urn},
    }
    given = {
        "resourceType": "MedicationAdministration",
        "id": "FV13a",
        "status": "completed",
        "patient": {"reference": urn},
        "prescription": {"reference": "http://old.example/fhir/MedicationOrder/FV13"},
        "medicationCodeableConcept": {"text": "aspirin"},
        "effectiveTimeDateTime": "2015-02-03",
    }
    entries = [
        {"resource": given, "request": {"method": "PUT", "url": "MedicationAdministration/FV13a"}},
        {"fullUrl": "http://old.example/fhir/MedicationOrder/FV13", "resource": order,
         "request": {"method": "PUT", "url": "MedicationOrder/FV13"}},
        {"fullUrl": urn, "resource": patient, "request": {"method": "POST", "url": "Patient"}},
    ]  # fmt: skip
    await _taken(stage, _DSTU2, {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    (known,) = await stage.product.search("Patient", identifier=f"urn:mrn|{stage.person}")
    whose = {"reference": f"Patient/{known['id']}"}
    request = await stage.product.read("MedicationRequest/FV13")
    administration = await stage.product.read("MedicationAdministration/FV13a")
    stage.claim("urn:uuid", request.get("subject") == whose == administration.get("subject"))
    stage.claim("inside the Bundle", administration.get("request") == {"reference": "MedicationRequest/FV13"})
    contained = [it["id"] for it in request.get("contained", ())]
    stage.claim("contained", contained == ["drug"] and request.get("medicationReference") == {"reference": "#drug"})


@CHECKS.case("FV-15", "byte-equal canonical form after idempotent pass (R4->R4 no-op)", **_OPEN)
async def _no_op(stage: Stage) -> None:
    resource = _patient(stage, birthDate="1970", multipleBirthInteger=2, name=[{"family": "A", "_given": None}])
    resource |= {"name": [{"family": "Åse", "given": ["B"], "_given": [{"id": "x"}]}], "contact": [{"gender": "male"}]}
    await _taken(stage, _R4, resource)
    first = await stage.product.read(f"Patient/{stage.person}")
    plain = {key: value for key, value in first.items() if key != "meta"}
    stage.claim("nothing is altered", _canonical(plain) == _canonical(resource))
    await _taken(stage, _R4, plain)
    again = await stage.product.read(f"Patient/{stage.person}")
    stage.claim("a second pass changes nothing", again["meta"]["versionId"] == first["meta"]["versionId"] == "1")


def _canonical(resource: Mapping[str, Any]) -> bytes:
    return json.dumps(resource, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@CHECKS.case("FV-16", "kept in Provenance/extension; server's lastUpdated = now", **_OPEN)
async def _last_updated(stage: Stage) -> None:
    await _taken(stage, _R4, _patient(stage, meta={"lastUpdated": "2014-01-01T00:00:00Z", "versionId": "31"}))
    read = await stage.product.read(f"Patient/{stage.person}")
    found = await stage.product.search("Provenance", target=f"Patient/{stage.person}")
    stage.claim("the server's own", read["meta"]["lastUpdated"] > "2026" and read["meta"]["versionId"] == "1")
    stage.claim("the source's is kept", "2014-01-01T00:00:00Z" in json.dumps([read, found]))


@CHECKS.case("FV-18", "one Patient, no doubled Conditions/Observations after canonicalisation")
async def _two_servers(stage: Stage) -> None:
    feeds: dict[str, Mapping[str, Any]] = {
        name: {**_OPEN, "translator": {"source": name, "identity": "shared"}} for name in ("old", "new")
    }
    async with stage.alone(feeds, **_OPEN) as own:
        for name, version, whose in (("old", _DSTU2, "patient"), ("new", _STU3, "subject")):
            patient = _patient(own, id=f"{name}-1")
            subject = {"reference": f"Patient/{name}-1"}
            asthma = {"coding": [{"system": "http://snomed.info/sct", "code": "195967001"}]}
            onset = "2011-05-06T07:08:09+02:00" if name == "old" else "2011-05-06T05:08:09Z"
            condition = {
                "resourceType": "Condition",
                "id": f"{name}-2",
                whose: subject,
                "code": asthma,
                "clinicalStatus": "active",
                "verificationStatus": "confirmed",
                "onsetDateTime": onset,
            }
            observation = {
                "resourceType": "Observation",
                "id": f"{name}-3",
                "status": "final",
                "subject": subject,
                "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
                "effectiveDateTime": "2012-01-01",
                "valueQuantity": {"value": 61},
            }
            await _taken(own, version, _bundle(observation, condition, patient), feed=name)
        (known,) = await own.product.search("Patient", identifier=f"urn:mrn|{own.person}")
        for type_ in ("Condition", "Observation"):
            found = await own.product.search(type_, patient=f"Patient/{known['id']}")
            own.claim(f"one {type_} (found {len(found)})", len(found) == 1)
