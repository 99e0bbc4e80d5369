"""FHIR over HTTP into a running service, and out again at its API under consent."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from tests.service.conftest import Installation

from tests.service.conftest import free_port

FEED = """
[[translators]]
name = "fhir"
kind = "fhir"
[[feeds]]
name = "clinic"
kind = "fhir-http"
translator = "fhir"
[feeds.settings]
port = {port}
tokens = "tokens.json"
"""
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
STU3 = {"Content-Type": "application/fhir+json; fhirVersion=3.0", "Authorization": "Bearer from-the-clinic"}


PERMIT = {
    "resourceType": "Consent",
    "id": "c1",
    "status": "active",
    "patient": {"reference": "Patient/p1"},
    "policyRule": "http://hl7.org/fhir/ConsentPolicy/opt-in",
}


def _bundle() -> bytes:
    observation = {
        "resourceType": "Observation",
        "id": "o1",
        "meta": {"versionId": "12", "lastUpdated": "2014-01-01T00:00:00Z"},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": "urn:uuid:7f1a1f6e-31f4-4f57-8c4c-1a6a2f1f0c01"},
        "context": {"reference": "Encounter/e9"},
        "valueQuantity": {"value": 71.0, "unit": "/min"},
    }
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"family": "Ekdahl"}], "animal": {"species": {}}}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:7f1a1f6e-31f4-4f57-8c4c-1a6a2f1f0c01",
                "resource": patient,
                "request": {"method": "PUT", "url": "Patient/p1"},
            },
            {"resource": observation, "request": {"method": "PUT", "url": "Observation/o1"}},
        ],
    }
    return json.dumps(bundle).encode()


async def test_a_bundle_of_stu3_is_readable_as_r4_once_the_patient_consents(installation: Installation) -> None:
    port = free_port()
    path = installation.config.path
    text = path.read_text(encoding="utf-8").replace('load = ["hl7v2",', 'load = ["fhir", "hl7v2",')
    path.write_text(text + FEED.format(port=port), encoding="utf-8")
    tokens = {"clinic": hashlib.sha256(b"from-the-clinic").hexdigest()}
    (path.parent / "tokens.json").write_text(json.dumps(tokens), encoding="utf-8")
    await installation.start()
    fhir = f"http://{installation.config.host}:{installation.config.port}/fhir"
    async with aiohttp.ClientSession() as session:

        async def get(place: str, role: str = "physician") -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {installation.token(role=role)}"}
            async with session.get(f"{fhir}/{place}", headers=headers) as response:
                return response.status, await response.json(content_type=None)

        body = _bundle()
        async with session.post(f"http://127.0.0.1:{port}/fhir", data=body, headers=STU3) as response:
            told = await response.json(content_type=None)
            assert (response.status, told["resourceType"]) == (200, "OperationOutcome"), told
        async with session.post(
            f"http://127.0.0.1:{port}/fhir", data=body, headers=STU3 | {"Authorization": "Bearer x"}
        ) as response:
            assert response.status == 401

        url = f"http://127.0.0.1:{port}/fhir/Consent"
        async with session.post(url, data=json.dumps(PERMIT), headers=STU3) as response:
            assert response.status == 200
        status, _ = await get("Observation/o1")
        assert status == 404, "a Consent that a feed brings opens nothing"

        consent = {
            "resourceType": "Consent",
            "status": "active",
            "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"reference": "Patient/p1"},
            "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        }
        headers = {
            "Authorization": f"Bearer {installation.token(role='privacy-officer')}",
            "Content-Type": "application/fhir+json",
        }
        async with session.post(f"{fhir}/Consent", data=json.dumps(consent), headers=headers) as response:
            assert response.status == 201

        assert (await get("Observation/o1"))[0] == 404, "the feed's goes on narrowing"
        status, found = await get("Consent?patient=Patient/p1&_sort=-_lastUpdated", "privacy-officer")
        (brought,) = [entry["resource"] for entry in found["entry"] if "extension" in entry["resource"]["scope"]]
        inactive = json.dumps(brought | {"status": "inactive"})
        version = {"If-Match": f'W/"{brought["meta"]["versionId"]}"'}
        async with session.put(f"{fhir}/Consent/{brought['id']}", data=inactive, headers=headers | version) as response:
            assert response.status == 200

        status, observation = await get("Observation/o1")
        assert (status, observation["resourceType"]) == (200, "Observation")
        assert observation["subject"] == {"reference": "Patient/p1"}
        assert observation["encounter"] == {"reference": "Encounter/e9"}
        assert observation["meta"]["versionId"] == "1"
        assert not observation["meta"]["lastUpdated"].startswith("2014")
        (extension,) = observation["meta"]["extension"]
        assert {part["url"]: part.get("valueInstant", part.get("valueString")) for part in extension["extension"]} == {
            "versionId": "12",
            "lastUpdated": "2014-01-01T00:00:00Z",
        }
        status, found = await get("Provenance?target=Observation/o1")
        (provenance,) = [entry["resource"] for entry in found["entry"]]
        assert provenance["entity"][0]["what"]["identifier"]["value"] == hashlib.sha256(body).hexdigest()
        assert provenance["agent"][0]["who"]["identifier"]["value"] == "clinic"

    await installation.kill()
    await installation.start()
    async with aiohttp.ClientSession() as session:
        async with session.post(f"http://127.0.0.1:{port}/fhir", data=body, headers=STU3) as response:
            assert response.status == 200
        status, observation = await get("Observation/o1")
        assert observation["meta"]["versionId"] == "1", "the same again changes nothing"
    ((reply,),) = installation.rows("SELECT reply FROM journal ORDER BY sequence LIMIT 1")
    assert isinstance(reply, bytes)
    assert json.loads(reply)["resourceType"] == "OperationOutcome"
