"""Bulk data export over HTTP: kick-off, status, files, cancelling; durable, and under consent twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from hawsepipe.exports import files as on_disk
from hawsepipe.exports import jobs
from hawsepipe.exports.job import State
from hawsepipe.exports.jobs import Exports
from hawsepipe.model import Resource

V = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
ASYNC = {"Prefer": "respond-async"}


def observation(identity: str, about: str = "ann", code: str = "x", **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"coding": [{"system": "urn:c", "code": code}]},
        "subject": {"reference": f"Patient/{about}"},
        **more,
    }


def consent(about: str = "ann", code: str = "OPTIN") -> Resource:
    """Without one nothing leaves: no default of the house lets data be disclosed in bulk."""
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent",
        "id": f"of-{about}",
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"text": "privacy"}],
        "patient": {"reference": f"Patient/{about}"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]},
    }


@asynccontextmanager
async def working(exports: Exports) -> AsyncIterator[None]:
    task = asyncio.create_task(exports.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def begun(service: Any, path: str, **more: Any) -> str:
    answer = await service.ask("GET", path, **{**ASYNC, **more})
    assert answer.status == 202, answer.body
    return str(answer.headers["Content-Location"])


async def done(service: Any, status: str, **more: Any) -> Any:
    """Return the manifest."""
    async with asyncio.timeout(20), working(service.exports):
        while (answer := await service.ask("GET", status, **more)).status == 202:
            assert int(answer.headers["Retry-After"]) > 0
            assert len(answer.headers["X-Progress"]) <= 100
            await asyncio.sleep(0.01)
    assert answer.status == 200, answer.body
    assert "Expires" in answer.headers
    return answer.json


async def fetched(service: Any, manifest: Any, **more: Any) -> list[str]:
    found: list[str] = []
    for output in manifest["output"]:
        answer = await service.ask("GET", output["url"], **more)
        assert answer.status == 200, answer.body
        assert answer.headers["Content-Type"].startswith("application/fhir+ndjson")
        held = [json.loads(line) for line in answer.body.splitlines()]
        assert {it["resourceType"] for it in held} <= {output["type"]}
        found += [f"{it['resourceType']}/{it['id']}" for it in held]
    return found


async def exported(service: Any, path: str) -> list[str]:
    return await fetched(service, await done(service, await begun(service, path)))


async def test_an_export_of_the_system_has_everything_visible_once(service: Any, ann: Resource) -> None:
    clinic = {"resourceType": "Organization", "id": "clinic", "name": "Clinic"}
    await service.put(
        ann, consent(), clinic, observation("o1"), observation("o2"), observation("hide", meta={"security": [V]})
    )
    manifest = await done(service, await begun(service, "$export"))
    assert manifest["requiresAccessToken"] is True
    assert manifest["request"].endswith("/$export")
    assert manifest["error"] == []
    assert {it["type"]: it["count"] for it in manifest["output"]} == {"Patient": 1, "Organization": 1, "Observation": 2}
    found = await fetched(service, manifest)
    assert sorted(found) == ["Observation/o1", "Observation/o2", "Organization/clinic", "Patient/ann"]


async def test_content_is_exported_as_it_was_stored(service: Any, ann: Resource) -> None:
    await service.put(ann, consent())
    sent = b'{"resourceType":"Observation","status":"final","code":{"text":"a\\nb"},\n "valueQuantity":{"value":1.00},'
    sent += b'"subject":{"reference":"Patient/ann"}}'
    await service.ask("POST", "Observation", sent, Content_Type="application/fhir+json")
    manifest = await done(service, await begun(service, "$export?_type=Observation"))
    answer = await service.ask("GET", manifest["output"][0]["url"], Accept="application/fhir+ndjson")
    assert b'"value":1.00' in answer.body
    assert answer.body.count(b"\n") == 1


async def test_an_export_is_narrowed_by_type_since_and_filters(service: Any, ann: Resource) -> None:
    await service.put(
        ann, consent(), observation("a", code="a"), observation("b", code="b"), observation("c", code="c")
    )
    both = "_typeFilter=Observation%3Fcode%3Da&_typeFilter=Observation%3Fcode%3Da,b"
    assert sorted(await exported(service, f"$export?_type=Observation&{both}")) == ["Observation/a", "Observation/b"]
    assert await exported(service, "$export?_type=Patient") == ["Patient/ann"]
    assert sorted(await exported(service, "$export?_type=Patient,Observation&_typeFilter=Observation?code=c")) == [
        "Observation/c",
        "Patient/ann",
    ]
    version = await service.store.read("Observation", "c")
    await service.put(observation("d", code="d"))
    since = (await service.store.read("Observation", "d")).last_updated.isoformat().replace("+00:00", "Z")
    assert version is not None
    assert await exported(service, f"$export?_since={since}") == ["Observation/d"]


async def test_patients_and_groups_are_exported_with_their_compartments(service: Any, ann: Resource) -> None:
    people = [{**ann, "id": f"p{number}"} for number in range(60)]
    clinic = {"resourceType": "Organization", "id": "clinic"}
    loose: Resource = {"resourceType": "Observation", "id": "loose", "status": "final", "code": {"text": "x"}}
    await service.put(*people, clinic, *(consent(f"p{number}") for number in range(60)))
    await service.put(loose, *(observation(f"o{number}", f"p{number}") for number in range(60)))
    both = [{"reference": "Patient/p59"}, {"reference": "Patient/p3"}]
    await service.put(observation("shared", "p3", performer=both))
    everybody = await exported(service, "Patient/$export")
    assert len(everybody) == len(set(everybody)) == 121
    assert "Organization/clinic" not in everybody
    members: list[Resource] = [{"entity": {"reference": f"Patient/p{number}"}} for number in (*range(3, 55), 59)]
    members.append({"entity": {"reference": "Patient/p1"}, "inactive": True})
    await service.put({"resourceType": "Group", "id": "g", "type": "person", "actual": True, "member": members})
    found = await exported(service, "Group/g/$export")
    assert len(found) == len(set(found)) == 53 * 2 + 2
    assert {"Observation/shared", "Patient/p59"} <= set(found)
    assert {"Patient/p1", "Observation/o1"}.isdisjoint(found)
    narrowed = await exported(service, "Group/g/$export?_type=Observation&_typeFilter=Observation?code=x&_since=2020")
    assert len(narrowed) == 54
    await service.put({"resourceType": "Group", "id": "kind", "type": "person", "actual": False})
    assert (await service.ask("GET", "Group/kind/$export", **ASYNC)).status == 400
    assert (await service.ask("GET", "Group/none/$export", **ASYNC)).status == 404


async def test_an_export_may_be_asked_for_by_post(service: Any, ann: Resource) -> None:
    await service.put(ann, consent(), observation("o"))
    listed = [{"name": "_type", "valueString": "Patient"}]
    sent = {"resourceType": "Parameters", "parameter": listed}
    answer = await service.ask("POST", "$export", sent, **ASYNC)
    manifest = await done(service, answer.headers["Content-Location"])
    assert await fetched(service, manifest) == ["Patient/ann"]
    assert (await service.ask("POST", "Patient/$export", **ASYNC)).status == 202


@pytest.mark.parametrize(
    "path",
    [
        "$export?_outputFormat=text/csv",
        "$export?_type=Nothing",
        "$export?_since=May",
        "$export?_elements=id",
        "$export?_typeFilter=Observation",
        "$export?_typeFilter=Observation?nothing=1",
        "$export?_typeFilter=Observation?_include=x",
        "$export?_type=Patient&_typeFilter=Observation?code=a",
        "Patient/$export?_type=Organization",
    ],
)
async def test_what_cannot_be_exported_is_refused_at_once(service: Any, path: str) -> None:
    assert (await service.ask("GET", path, **ASYNC)).status == 400
    assert (await service.ask("GET", "$export")).status == 400


async def test_unknown_parameters_pass_where_the_client_is_lenient(service: Any, ann: Resource) -> None:
    await service.put(ann, consent())
    status = await begun(
        service, "$export?_elements=id&_type=Patient,Nothing", Prefer="respond-async, handling=lenient"
    )
    assert await fetched(service, await done(service, status)) == ["Patient/ann"]


async def test_an_export_needs_the_scope_for_each_type(service: Any, ann: Resource) -> None:
    await service.put(ann, consent(), observation("o"))
    some = service.token(scopes=("user/Patient.rs",))
    assert (await service.ask("GET", "$export?_type=Observation", token=some, **ASYNC)).status == 403
    status = await begun(service, "$export", token=some)
    assert await fetched(service, await done(service, status, token=some), token=some) == ["Patient/ann"]
    none = service.token(scopes=("user/Patient.c",))
    assert (await service.ask("GET", "$export", token=none, **ASYNC)).status == 403


async def test_an_export_is_its_owner_s_alone(service: Any, ann: Resource) -> None:
    await service.put(ann, consent())
    status = await begun(service, "$export")
    manifest = await done(service, status)
    for who in ({"subject": "Practitioner/2"}, {"client": "other"}, {"purpose": "HRESCH"}):
        other = service.token(**who)
        absent = await service.ask("GET", "$export/nothing", token=other)
        for address in (status, manifest["output"][0]["url"]):
            answer = await service.ask("GET", address, token=other)
            assert answer.status == absent.status == 404
        assert (await service.ask("DELETE", status, token=other)).status == 404
    assert (await service.ask("GET", status, token=None)).status == 401
    assert (await service.ask("GET", status)).status == 200


async def test_a_cancelled_export_is_gone_with_its_files(service: Any, ann: Resource) -> None:
    await service.put(ann, consent())
    for wait in (False, True):
        status = await begun(service, "$export")
        if wait:
            await done(service, status)
        assert (await service.ask("DELETE", status)).status == 202
        assert (await service.ask("GET", status)).status == 404
        assert (await service.ask("DELETE", status)).status == 404
    assert service.exports._folder.all() == []


async def test_what_is_hidden_before_the_download_is_not_in_it(service: Any, ann: Resource) -> None:
    kept, labelled, deleted, changed = (observation(name) for name in ("kept", "labelled", "deleted", "changed"))
    await service.put(ann, consent(), kept, labelled, deleted, changed)
    manifest = await done(service, await begun(service, "$export?_type=Observation"))
    assert len(await fetched(service, manifest)) == 4
    await service.put({**labelled, "meta": {"security": [V]}}, {**changed, "status": "amended"})
    await service.delete("Observation", "deleted")
    assert sorted(await fetched(service, manifest)) == ["Observation/changed", "Observation/kept"]


async def test_a_revoked_consent_closes_files_that_were_written(service: Any, ann: Resource) -> None:
    await service.put(ann, {**ann, "id": "bob"}, observation("o"), observation("b", "bob"), consent(), consent("bob"))
    manifest = await done(service, await begun(service, "$export?_type=Patient,Observation"))
    await service.put(consent(code="OPTOUT"))
    assert sorted(await fetched(service, manifest)) == ["Observation/b", "Patient/bob"]
    assert sorted(await exported(service, "$export?_type=Patient,Observation")) == ["Observation/b", "Patient/bob"]


async def test_a_restart_goes_on_where_the_export_was(
    service: Any, ann: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_BATCH", 7)
    await service.put(ann, consent())
    await service.put(*(observation(f"o{number}") for number in range(50)))
    status = await begun(service, "$export?_type=Observation,Patient")
    exports = service.exports
    identity = status.rpartition("/")[2]
    async with asyncio.timeout(20):
        async with working(exports):
            while exports._jobs[identity].count < 14:
                await asyncio.sleep(0)
        # Stopped in the middle; and as a crash would leave it, with bytes that the record does not count.
        folder = exports._folder._path / identity
        with (folder / "Observation-1.ndjson").open("ab") as sink:
            sink.write(b'{"half')
        again = Exports(on_disk.Folder(exports._folder._path), exports._sources, exports._filters, service.clock)
        assert 14 <= again._jobs[identity].count < 50
        async with working(again):
            while again._jobs[identity].state is not State.COMPLETE:
                await asyncio.sleep(0.01)
    exports._jobs.update(again._jobs)
    found = await fetched(service, (await service.ask("GET", status)).json)
    assert len(found) == len(set(found)) == 51


async def test_files_go_after_a_day(service: Any, ann: Resource) -> None:
    await service.put(ann, consent())
    status = await begun(service, "$export")
    await done(service, status)
    service.clock.now += jobs.KEPT
    assert (await service.ask("GET", status)).status == 404
    async with working(service.exports):
        await asyncio.sleep(0.05)
    assert service.exports._folder.all() == []


async def test_a_client_has_a_few_exports_under_way_at_most(service: Any) -> None:
    for _ in range(jobs._EACH):
        await begun(service, "$export")
    answer = await service.ask("GET", "$export", **ASYNC)
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0


async def test_each_access_of_an_export_is_recorded_when_written_and_when_fetched(service: Any, ann: Resource) -> None:
    await service.put(ann, consent())
    await exported(service, "$export?_type=Patient")
    recorded = [it for _, it in await service.store.accesses(0, 1000) if it.interaction == "export"]
    assert [(it.target, it.patients) for it in recorded] == [("Patient", ("ann",))] * 2


async def test_without_a_consent_to_disclosure_nothing_about_a_patient_is_exported(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("o"), {"resourceType": "Organization", "id": "clinic"})
    assert await exported(service, "$export") == ["Organization/clinic"]
    assert (await service.ask("GET", "Patient/ann")).status == 200


async def test_a_client_that_goes_away_leaves_no_file_open(service: Any, ann: Resource) -> None:
    await service.put(ann, consent(), *(observation(f"o{number}") for number in range(20)))
    manifest = await done(service, await begun(service, "$export?_type=Observation"))
    path = manifest["output"][0]["url"].rpartition("/fhir/")[2]
    head = await service.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    url = URL(f"{service.address}/{path}", encoded=True)
    headers = {"Authorization": f"Bearer {service.token()}"}
    async with service.session.get(url, headers=headers) as answer:
        assert answer.status == 200
        answer.close()
    async with asyncio.timeout(5):
        while any(name.endswith(".ndjson") for name in _open_files()):
            await asyncio.sleep(0.01)


def _open_files() -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed since
            found.append(link.readlink().name)
    return found
