"""A bulk export of a service that is killed under way."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from tests.service.conftest import Installation

SCOPE = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
OPTIN = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}
EVA = "urn:uuid:0d1c6a2e-3a0e-4b1c-9d0f-5d8f8a8e2f01"


def _bundle(count: int) -> dict[str, Any]:
    about = {"reference": EVA}
    consent = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [SCOPE]},
        "category": [{"text": "privacy"}],
        "patient": about,
        "policyRule": {"coding": [OPTIN]},
    }
    seen = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": about}
    entries: list[dict[str, Any]] = [
        {"fullUrl": EVA, "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": consent, "request": {"method": "POST", "url": "Consent"}},
        *({"resource": seen, "request": {"method": "POST", "url": "Observation"}} for _ in range(count)),
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def test_an_export_outlives_a_kill(installation: Installation) -> None:
    await installation.start()
    base = installation.config.base_url
    headers = {"Authorization": f"Bearer {installation.token(role='privacy-officer')}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        body = json.dumps(_bundle(1_200))
        async with session.post(base, data=body, headers={"Content-Type": "application/fhir+json"}) as answer:
            assert answer.status == 200, await answer.text()
        asked = {"Prefer": "respond-async"}
        async with session.get(f"{base}/$export?_type=Observation,Patient", headers=asked) as answer:
            assert answer.status == 202
            status = answer.headers["Content-Location"]
        await installation.kill()
        await installation.start()
        async with asyncio.timeout(60):
            while True:
                async with session.get(status) as answer:
                    if answer.status == 200:
                        manifest = await answer.json()
                        break
                    assert answer.status == 202
                await asyncio.sleep(0.05)
        ids = []
        for output in manifest["output"]:
            async with session.get(output["url"]) as answer:
                ids += [json.loads(line)["id"] for line in (await answer.read()).splitlines()]
    assert len(ids) == len(set(ids)) == 1_201
    assert await installation.stop() == 0, installation.stderr()
