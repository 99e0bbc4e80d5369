"""Imaging studies of a DICOM archive (DI), with a real Orthanc."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from hawsepipe_conformance.feeds.cases import Unclear
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.stage import Stage
from hawsepipe_conformance.feeds.studies import STUDY, instance, sent
from hawsepipe_conformance.servers import orthanc

CHECKS = Checks()
_VIEWER = "https://archive.example/dicom-web"
_SYSTEM = "urn:example:patients"
_PATIENCE = 60.0


@dataclass(slots=True)
class Archive:
    """An archive, and the service that follows it."""

    stage: Stage
    port: int

    async def store(self, instances: Sequence[Any]) -> None:
        """Send instances to the archive (C-STORE). Raises Unclear when it does not take one."""
        statuses = await asyncio.to_thread(sent, self.port, instances)
        if set(statuses) != {0}:
            raise Unclear(f"the archive does not take the instances ({statuses})")

    async def studies(self, version: int = 1) -> list[dict[str, Any]]:
        """Return the ImagingStudies, once there is one in that version."""
        end = monotonic() + _PATIENCE
        while True:
            found = await self.stage.product.search("ImagingStudy")
            if any(int(one["meta"]["versionId"]) >= version for one in found) or monotonic() > end:
                return found
            await asyncio.sleep(0.2)


@asynccontextmanager
async def _archive(stage: Stage) -> AsyncIterator[Archive]:
    translator = {"endpoint": _VIEWER, "issuers": {"GOOD": _SYSTEM}}
    with tempfile.TemporaryDirectory(prefix="hawsepipe-archive-") as folder, ExitStack() as stack:
        try:
            server, port = stack.enter_context(orthanc(Path(folder)))
        except RuntimeError as error:
            raise Unclear(str(error)) from error
        url = f"http://127.0.0.1:{server.port}"
        async with stage.alone(kind="dicom-changes", url=url, interval_seconds=0.3, translator=translator) as own:
            yield Archive(own, port)


@CHECKS.case(
    "DI-01",
    "one ImagingStudy, numberOfSeries 2, numberOfInstances 6, endpoint; pixel data not in FHIR store or ledger, only"
    " study manifest hash",
)
async def _study(stage: Stage) -> None:
    async with _archive(stage) as archive:
        own = archive.stage
        await archive.store([instance(series, number) for series in (1, 2) for number in (1, 2, 3)])
        found = await archive.studies()
        own.claim("one ImagingStudy", len(found) == 1)
        (one,) = found
        counts = (one["numberOfSeries"], one["numberOfInstances"])
        own.claim(f"of two series and six instances (found {counts})", counts == (2, 6))
        own.claim("with the study's UID", {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"} in one["identifier"])
        endpoint = await own.product.read(one["endpoint"][0]["reference"])
        own.claim("and its endpoint", endpoint["address"] == _VIEWER)
        patient = await own.product.read(one["subject"]["reference"])
        own.claim("about its patient", patient["identifier"][0] == {"system": _SYSTEM, "value": "P-DICOM"})
        own.claim("and its order", one["basedOn"][0]["identifier"]["value"] == "ACC-1")
        manifest = [it["valueString"] for it in one["extension"] if it["url"].endswith(":study-manifest")]
        own.claim("with the hash of its manifest", len(manifest) == 1 and len(manifest[0]) == len("sha256:") + 64)
        await archive.stage.settled()
        files = [path for path in own.local().folder.rglob("*") if path.is_file()]
        pixels = [path.name for path in files if b"PIXELS-OF-1.2" in path.read_bytes()]
        own.claim(f"no pixel is kept anywhere (found in {pixels})", not pixels)


@CHECKS.case("DI-02", "same ImagingStudy, new version, new anchor")
async def _late(stage: Stage) -> None:
    async with _archive(stage) as archive:
        own = archive.stage
        await archive.store([instance(series, number) for series in (1, 2) for number in (1, 2, 3)])
        (before,) = await archive.studies()
        size = await _anchored(own)
        await archive.store([instance(2, 4)])
        found = await archive.studies(2)
        own.claim("the same ImagingStudy", [one["id"] for one in found] == [before["id"]])
        own.claim("in a new version", found[0]["meta"]["versionId"] == "2")
        own.claim("of seven instances", found[0]["numberOfInstances"] == 7 and found[0]["numberOfSeries"] == 2)
        own.claim("with another manifest", json.dumps(found[0]["extension"]) != json.dumps(before["extension"]))
        after = await _anchored(own, size + 1)
        own.claim("which is anchored anew", after > size)
        # The same changes again, as after a lost checkpoint, are nothing new.
        (progress,) = own.local().folder.rglob("progress.json")
        await own.local().end(signal.SIGKILL)
        progress.unlink()
        await own.local().start()
        await asyncio.sleep(2)
        await own.settled()
        own.claim("told again it is nothing new", (await archive.studies(2))[0]["meta"]["versionId"] == "2")


async def _anchored(stage: Stage, least: float = 1) -> float:
    """Return the size of the log that the ledger holds, once it holds all of that many versions."""
    end = monotonic() + _PATIENCE
    while True:
        size = await stage.product.total("hawsepipe_ledger_anchored_size")
        if (size >= least and not await stage.product.total("hawsepipe_ledger_outbox")) or monotonic() > end:
            return size
        await asyncio.sleep(0.2)
