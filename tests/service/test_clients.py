"""Clients that others wrote, unmodified, against the service in a process of its own, with a token that it issued."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fhirclient import client as fhirclient  # type: ignore[import-untyped]  # it has no types
from fhirclient.models import observation, patient  # type: ignore[import-untyped]  # it has no types
from fhirclient.server import FHIRNotFoundException  # type: ignore[import-untyped]  # it has no types
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound
from joserfc.jwk import ECKey

from hawsepipe_conformance.servers import npm_packages, program

if TYPE_CHECKING:
    from tests.service.conftest import Installation

NODE = Path(__file__).with_name("node")
DENY, NORMAL = "https://profiles.ihe.net/ITI/PCF/Policy-deny", "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal"


@pytest.fixture
async def served(installation: Installation) -> AsyncIterator[Installation]:
    """A running service that shows clinicians what nobody has spoken about, and knows one system, `bulk`."""
    path = installation.config.path
    text = path.read_text(encoding="utf-8").replace(f'# default_policy = "{DENY}"', f'default_policy = "{NORMAL}"')
    path.write_text(text.replace('# clients = "clients.json"', 'clients = "clients.json"'), encoding="utf-8")
    key = ECKey.generate_key("P-384", {"kid": "k1", "alg": "ES384"})
    own, public = key.as_dict(private=True), key.as_dict(private=False)
    keys = [{**own, "key_ops": ["sign"]}, {**public, "key_ops": ["verify"]}]
    path.with_name("bulk.jwks").write_text(json.dumps({"keys": keys}), encoding="utf-8")
    bulk = {"id": "bulk", "name": "Bulk", "scopes": ["system/*.rs"], "purposes": ["TREAT"], "roles": ["physician"]}
    clients = [{**bulk, "jwks": {"keys": [public]}}]
    path.with_name("clients.json").write_text(json.dumps(clients), encoding="utf-8")
    await installation.start()
    yield installation
    assert await installation.stop() == 0, installation.stderr()


@pytest.mark.filterwarnings("ignore:The first arg of method patch:DeprecationWarning")  # it says so of every call
async def test_fhirpy_works(served: Installation) -> None:
    client = AsyncFHIRClient(served.config.base_url, authorization=f"Bearer {served.token()}")
    eva = client.resource("Patient", name=[{"family": "Berg"}], identifier=[{"system": "urn:x", "value": "1"}])
    await eva.save()
    eva["gender"] = "female"
    await eva.save()
    assert eva["meta"]["versionId"] == "2"
    eva["active"] = True
    await eva.save(fields=["active"])
    await eva.patch(birthDate="1981-01-01")
    assert (eva["gender"], eva["active"], eva["birthDate"]) == ("female", True, "1981-01-01")
    for day in range(1, 26):
        about = {"status": "final", "code": {"text": "x"}, "subject": eva.to_reference()}
        await client.resource("Observation", effectiveDateTime=f"2026-01-{day:02}", **about).create()
    search = client.resources("Observation").search(subject=eva.to_reference()).sort("-date").limit(10)
    assert [it["effectiveDateTime"][-2:] for it in await search.fetch()][:3] == ["25", "24", "23"]
    assert len(await search.fetch_all()) == 25
    assert await client.resources("Observation").search(patient=eva.id).count() == 25
    later = client.resources("Observation").search(date__ge="2026-01-10").limit(4)
    assert len([it async for it in later]) == 16
    assert (await client.resources("Patient").search(identifier="urn:x|1").get()).id == eva.id
    second = client.resource("Patient", identifier=[{"system": "urn:x", "value": "2"}])
    found = client.resources("Patient").search(identifier="urn:x|2")
    assert [(await found.get_or_create(second))[1] for _ in range(2)] == [True, False]
    second["gender"] = "other"
    _, created = await found.update(second)
    assert created is False
    assert (await found.patch(gender="male"))["gender"] == "male"
    assert await eva.is_valid()
    asked = {"_type": "Patient,Observation"}
    everything = await eva.execute("$everything", method="GET", params=asked)
    assert len(everything["entry"]) == 26
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    bundle = client.resource("Bundle", type="transaction", entry=[entry])
    await bundle.save()
    assert bundle["entry"][0]["response"]["status"].startswith("201")
    await found.delete()
    with pytest.raises(ResourceNotFound):
        await client.reference("Patient", "absent").to_resource()
    with pytest.raises(OperationOutcome):
        await client.resource("Patient", gender="purple").save()


async def test_fhirclient_works(served: Installation) -> None:
    await asyncio.to_thread(_with_fhirclient, served.config.base_url, served.token())


def _with_fhirclient(base: str, token: str) -> None:
    anonymous = fhirclient.FHIRClient(settings={"app_id": "test", "api_base": base})
    anonymous.prepare()
    assert anonymous.server.capabilityStatement.fhirVersion == "4.0.1"
    auth = {"app_id": "test", "access_token": token}
    state = {"app_id": "test", "server": {"base_uri": f"{base}/", "auth_type": "oauth2", "auth": auth}}
    smart = fhirclient.FHIRClient(state=state)
    assert smart.ready
    made = patient.Patient({"name": [{"family": "Kit"}], "birthDate": "1980-02-03"}).create(smart.server)
    kit = patient.Patient.read(made["id"], smart.server)
    assert kit.birthDate.isostring == "1980-02-03"
    kit.gender = "female"
    assert kit.update(smart.server)["meta"]["versionId"] == "2"
    about = {"status": "final", "code": {"text": "x"}, "subject": {"reference": f"Patient/{kit.id}"}}
    for _ in range(25):
        observation.Observation(about).create(smart.server)
    search = observation.Observation.where({"subject": f"Patient/{kit.id}", "_count": "10"})
    assert [len(page.entry) for page in search.perform_iter(smart.server)] == [10, 10, 5]
    assert sum(1 for _ in search.perform_resources_iter(smart.server)) == 25
    kit.delete(smart.server)
    with pytest.raises(FHIRNotFoundException):
        patient.Patient.read("absent", smart.server)


async def test_fhir_kit_client_works(served: Installation) -> None:
    node = program("node", "apt-get install nodejs npm")
    await asyncio.to_thread(npm_packages, NODE)
    process = await asyncio.create_subprocess_exec(
        node,
        str(NODE / "fhir_kit_client.mjs"),
        env={**os.environ, "BASE": served.config.base_url, "TOKEN": served.token()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(output)
    assert told == {
        "version": "4.0.1",
        "token": f"{served.config.base_url.removesuffix('/fhir')}/auth/token",
        "versions": ["1", "1", "2", "2", "3"],
        "found": 1,
        "posted": 1,
        "paged": 5,
        "history": 3,
        "everything": 6,
        "valid": "information",
        "batch": "200 OK",
        "transaction": "200 OK",
        "resolved": True,
        "gone": 410,
    }


async def test_smart_fetch_exports_in_bulk(served: Installation, tmp_path: Path) -> None:
    """Backend services authorization, kick-off, status, files and cancelling, by the SMART team's own client."""
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    client = AsyncFHIRClient(served.config.base_url, authorization=f"Bearer {served.token(role='privacy-officer')}")
    for opted in (True, False):
        eva = client.resource("Patient", active=opted)
        await eva.save()
        for _ in range(3):
            about = {"status": "final", "code": {"text": "x"}, "subject": eva.to_reference()}
            await client.resource("Observation", **about).create()
        rule = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}
        stated = {"status": "active", "scope": {"coding": [scope]}, "category": [{"text": "privacy"}]}
        stated |= {"patient": eva.to_reference(), "policyRule": {"coding": [rule]}}
        if opted:
            await client.resource("Consent", **stated).create()
    out = tmp_path / "out"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("smart-fetch")),
        *("bulk", str(out), "--fhir-url", served.config.base_url, "--smart-client-id", "bulk"),
        *("--smart-key", str(served.config.path.with_name("bulk.jwks"))),
        *("--type", "Patient,Observation", "--no-default-filters", "--no-compression"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    lines = {path.name.partition(".")[0]: path.read_bytes().splitlines() for path in out.glob("*.*.ndjson")}
    assert {name: len(held) for name, held in lines.items()} == {"Patient": 1, "Observation": 3}
    assert json.loads(lines["Patient"][0])["active"] is True


async def test_schemathesis_finds_nothing(served: Installation, tmp_path: Path) -> None:
    """Requests made from our own description: no failure of ours, no answer that the description does not tell."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{served.config.base_url}/openapi.json",
        *("--header", f"Authorization: Bearer {served.token()}"),
        *("--checks", f"{checks},ignored_auth,unsupported_method"),
        *("--max-examples", "5", "--seed", "7", "--no-color"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]


async def test_resources_come_back_as_they_were_sent_in_json_and_xml(served: Installation, tmp_path: Path) -> None:
    """The script that sends the specification's examples, on a package of our own."""
    number = b'{"url":"urn:n","valueDecimal":%s}'
    numbers = b",".join(number % it for it in (b"1.00", b"0.1e2", b"1e-7", b"12345678901234567890.5"))
    patient = b'{"resourceType":"Patient","extension":[%s],"name":[{"given":["b","a"],"family":"x"}]}' % numbers
    package = tmp_path / "package.tgz"
    held = {"good.json": patient, "bad.json": b'{"resourceType":"Patient","gender":"purple"}', "package.json": b"{}"}
    with tarfile.open(package, "w:gz") as archive:
        for name, content in held.items():
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    script = Path(__file__).parents[2] / "conformance" / "bench" / "examples.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(package),
        served.config.base_url,
        served.token(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert "bad.json: refused: 422" in output.decode()
    assert output.decode().splitlines()[-1] in ("{'same': 1, 'refused': 1}", "{'refused': 1, 'same': 1}")
