"""FHIR over HTTP: versions, outcomes, identity, tokens, overload; over real sockets, before a journal in memory."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.hl7v2.conftest import Journal

from hawsepipe import ConfigError, Meters, Opening, Refusal, StoreFull
from hawsepipe_fhir.web import KIND

NOW = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)
PATIENT = {"resourceType": "Patient", "id": "p1", "birthDate": "1970-01-01"}
VISIT = {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}}


@dataclass
class Bed:
    journal: Journal
    url: str
    session: aiohttp.ClientSession

    async def post(self, body: Any, type_: str = "application/fhir+json", **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = headers | {"Content-Type": type_}
        async with self.session.post(self.url, data=data, headers=told) as response:
            outcome = json.loads(await response.read())
            assert outcome["resourceType"] == "OperationOutcome"
            return response.status, outcome["issue"]


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Bed]:
        journal = Journal()
        journal.effect.set()
        opening = Opening(
            "clinic", {"port": 0, "unauthenticated": True} | settings, tmp_path, lambda: NOW, Meters(), tmp_path
        )
        async with KIND.open(opening) as feed, aiohttp.ClientSession() as session:
            await feed.start(journal)
            yield Bed(journal, feed.address + "/fhir", session)

    return run


async def test_a_resource_is_answered_once_it_has_had_its_effect(serve: Any) -> None:
    async with serve() as bed:
        status, issues = await bed.post(PATIENT)
        assert (status, issues[0]["severity"]) == (200, "information")
        ((raw, _, refusal),) = bed.journal.messages
        assert (json.loads(raw.body), raw.media_type, refusal) == (
            PATIENT,
            "application/fhir+json; fhirVersion=4.0",
            None,
        )


@pytest.mark.parametrize(
    ("body", "type_", "settings", "number"),
    [
        (VISIT, "application/fhir+json; fhirVersion=3.0", {}, "3.0"),
        (PATIENT, "application/fhir+json; fhirVersion=1.0", {"version": "DSTU2"}, "1.0"),
        (PATIENT, "application/json", {"version": "STU3"}, "3.0"),
        ({**VISIT, "actualPeriod": {"start": "2026"}, "class": [{"text": "x"}]}, "application/fhir+json", {}, "5.0"),
        ({**VISIT, "reason": [{"text": "x"}]}, "application/fhir+json", {}, "3.0"),
        ({**VISIT, "class": "outpatient"}, "application/fhir+json", {}, "1.0"),
        (
            {**PATIENT, "meta": {"profile": ["http://hl7.org/fhir/3.0/StructureDefinition/Patient"]}},
            "application/fhir+json",
            {},
            "3.0",
        ),
    ],
)
async def test_the_version_is_told_by_the_media_type_the_feed_or_the_body(
    serve: Any, body: Any, type_: str, settings: Any, number: str
) -> None:
    async with serve(**settings) as bed:
        assert (await bed.post(body, type_))[0] == 200
        assert bed.journal.messages[0][0].media_type.endswith(f"; fhirVersion={number}")


@pytest.mark.parametrize(
    ("body", "type_", "settings", "status"),
    [
        (PATIENT, "application/fhir+json; fhirVersion=3.0", {"version": "R4"}, 415),
        (PATIENT, "application/fhir+json; fhirVersion=9.0", {}, 415),
        ({**PATIENT, "meta": {"profile": ["http://hl7.org/fhir/5.0/StructureDefinition/Patient"]}},
         "application/fhir+json; fhirVersion=4.0", {}, 415),
        # A code system that was called so in STU3 and has no meaning in R4: only its sender can tell.
        ({**PATIENT, "maritalStatus": {"coding": [{"system": "http://hl7.org/fhir/v3/MaritalStatus", "code": "M"}]}},
         "application/fhir+json", {}, 415),
        (b"{", "application/fhir+json", {}, 400),
        ({"id": "1"}, "application/fhir+json", {}, 422),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused_and_kept(
    serve: Any, body: Any, type_: str, settings: Any, status: int
) -> None:
    async with serve(**settings) as bed:
        found, issues = await bed.post(body, type_)
        assert (found, issues[0]["severity"]) == (status, "error")
        ((_, _, refusal),) = bed.journal.messages
        assert refusal is not None


async def test_the_answer_lists_what_the_conversion_lost_and_the_journal_keeps_it(serve: Any) -> None:
    body = {"resourceType": "MedicationOrder", "id": "m1", "patient": {"reference": "Patient/p1"}, "status": "active"}
    async with serve() as bed:
        status, issues = await bed.post(body, "application/json+fhir; fhirVersion=1.0")
        assert status == 200
        told = [issue["diagnostics"] for issue in issues]
        assert "R4 requires it and the source does not say it" in told
        (reply,) = bed.journal.replies.values()
        assert [issue["diagnostics"] for issue in json.loads(reply)["issue"]] == told[1:]


async def test_a_message_that_is_set_aside_is_told_so(serve: Any) -> None:
    async with serve() as bed:
        bed.journal.failure = Refusal("mapping", "Patient.birthDate", "the result breaks R4")
        status, issues = await bed.post(PATIENT)
        assert (status, issues[0]["code"], issues[0]["expression"]) == (422, "processing", ["Patient.birthDate"])


async def test_who_does_not_wait_is_told_that_it_is_stored(serve: Any) -> None:
    async with serve(limits={"outcome_seconds": 0.01}) as bed:
        bed.journal.effect.clear()
        assert (await bed.post(PATIENT))[0] == 202
        assert (await bed.post(PATIENT, Prefer="respond-async"))[0] == 202
        assert len(bed.journal.messages) == 2


async def test_what_identifies_a_message_makes_it_a_repetition_and_nothing_else_does(serve: Any) -> None:
    async with serve() as bed:
        version = {**PATIENT, "meta": {"versionId": "3"}}
        listed = {"resourceType": "Bundle", "type": "collection", "identifier": {"value": "7"}, "entry": []}
        for body in (version, listed):
            for _ in range(2):
                assert (await bed.post(body))[0] == 200
        assert len(bed.journal.messages) == 2
        for _ in range(2):  # between the two somebody may have changed it: the second is no repetition
            assert (await bed.post(PATIENT))[0] == 200
        assert len(bed.journal.messages) == 4


async def test_an_idempotency_key_has_one_effect_and_belongs_to_one_body(serve: Any) -> None:
    async with serve() as bed:
        headers = {"Idempotency-Key": "k1"}
        assert (await bed.post(PATIENT, **headers))[0] == 200
        assert (await bed.post(PATIENT, **headers))[0] == 200
        kept = len(bed.journal.messages)
        status, issues = await bed.post(VISIT | {"subject": {"reference": "Patient/p1"}}, **headers)
        assert (status, issues[0]["diagnostics"]) == (422, "the idempotency key belongs to another message")
        assert len(bed.journal.messages) == kept + 1
        assert (await bed.post(PATIENT, **{"Idempotency-Key": "a b"}))[0] == 400


async def test_nothing_is_answered_with_2xx_that_is_not_stored(serve: Any) -> None:
    async with serve(limits={"waiting": 1, "body_bytes": 1024}) as bed:
        bed.journal.fault = StoreFull("there is no room on the disk")
        assert (await bed.post(PATIENT))[0] == 503
        bed.journal.fault, bed.journal.gate = None, asyncio.Event()
        held = asyncio.create_task(bed.post(PATIENT))
        async with asyncio.timeout(5):
            while not bed.journal.waiting:
                await asyncio.sleep(0)
        assert (await bed.post(PATIENT))[0] == 503
        bed.journal.gate.set()
        assert (await held)[0] == 200
        assert (await bed.post({**PATIENT, "text": "x" * 2000}))[0] == 413
        packed = gzip.compress(json.dumps({**PATIENT, "text": "x" * 200_000}).encode())
        assert (await bed.post(packed, **{"Content-Encoding": "gzip"}))[0] == 413, "the limit is for what is unpacked"
        assert len(bed.journal.messages) == 1


async def test_only_json_is_taken_and_only_from_who_may_send(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps({"lab": sha256(b"s3cret").hexdigest()}))
    async with serve(tokens="tokens.json", unauthenticated=False) as bed:
        assert (await bed.post(PATIENT))[0] == 401
        allowed = {"Authorization": "Bearer s3cret"}
        assert (await bed.post(b"<Patient/>", "application/fhir+xml", **allowed))[0] == 415
        assert (await bed.post(PATIENT, "application/fhir+json; charset=latin-1", **allowed))[0] == 415
        assert bed.journal.messages == []
        async with bed.session.put(
            f"{bed.url}/Patient/p1", json=PATIENT, headers=allowed | {"Content-Type": "application/fhir+json"}
        ) as response:
            assert response.status == 200


async def test_a_feed_that_would_know_no_sender_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name a file of tokens"):
        async with KIND.open(Opening("clinic", {}, tmp_path, lambda: NOW, Meters(), tmp_path)):
            pass
