"""Studies of an archive: what is told of them, what is kept back, what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import Acceptance, ConfigError, MessageError, Meters, Opening, RawMessage, Refusal, Reuse
from hawsepipe_conformance.feeds.studies import STUDY, instance, sent
from hawsepipe_conformance.servers import Server, orthanc
from hawsepipe_dicom.feed import ChangesFeed
from hawsepipe_dicom.manifest import MEDIA_TYPE, Instance, Series, Study, body_of, study_of
from hawsepipe_dicom.settings import FEED_SCHEMA
from hawsepipe_dicom.translator import DicomTranslator

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = {"endpoint": "https://archive.example/dicom-web", "timezone": "Europe/Berlin"}
TAGS = {
    "PatientID": "P1",
    "IssuerOfPatientID": "GOOD",
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "20260301",
    "StudyTime": "101500.25",
    "AccessionNumber": "A1",
}
SOP = "1.2.840.10008.5.1.4.1.1.7"


def study(series: int = 1, instances: int = 1, **more: str | None) -> Study:
    tags = {name: value for name, value in (TAGS | more).items() if value is not None}
    return Study(
        tags,
        [
            Series(
                {"SeriesInstanceUID": f"1.2.3.{one}", "Modality": "CT", "SeriesNumber": str(one)},
                [Instance(f"1.2.3.{one}.{it}", SOP, str(it), f"sha256:{it}") for it in range(1, instances + 1)],
            )
            for one in range(1, series + 1)
        ],
    )


def made(told: Study, **settings: Any) -> dict[str, Any]:
    message = RawMessage("archive", NOW, MEDIA_TYPE, body_of(told))
    translation = DicomTranslator(SETTINGS | settings).translate(message)
    (change,) = [it for it in translation.changes if it.type == "ImagingStudy"]
    assert change.resource is not None
    return change.resource


def test_a_study_is_told_with_its_counts_its_time_and_its_order() -> None:
    one = made(study(2, 3), accession_system="urn:example:orders")
    assert (one["numberOfSeries"], one["numberOfInstances"]) == (2, 6)
    assert [len(it["instance"]) for it in one["series"]] == [3, 3]
    assert one["started"] == "2026-03-01T10:15:00.250+01:00"
    assert one["basedOn"][0]["identifier"]["system"] == "urn:example:orders"
    assert one["modality"] == [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]


def test_the_time_of_a_study_is_in_the_offset_that_it_tells_itself() -> None:
    assert made(study(TimezoneOffsetFromUTC="-0530"))["started"].endswith("-05:30")
    assert made(study(StudyTime=None))["started"] == "2026-03-01"
    assert made(study(StudyTime="1015"))["started"] == "2026-03-01T10:15:00+01:00"
    assert "started" not in made(study(StudyDate="20261301"))


def test_a_study_that_grows_keeps_its_id_and_gets_another_manifest() -> None:
    small, large = made(study(1, 1)), made(study(1, 2))
    assert small["id"] == large["id"]
    assert small["extension"] != large["extension"]


def test_the_manifest_can_be_made_again_from_the_files() -> None:
    lines = "1.2.3.1.1 sha256:1\n1.2.3.1.2 sha256:2\n"
    assert made(study(1, 2))["extension"][0]["valueString"] == f"sha256:{sha256(lines.encode()).hexdigest()}"


def test_whose_a_number_is_says_its_issuer() -> None:
    assert made(study())["subject"] != made(study(), issuers={"GOOD": "urn:example:good"})["subject"]
    with pytest.raises(MessageError) as caught:
        made(study(IssuerOfPatientID=None))
    assert (caught.value.cause, caught.value.location) == ("identity", "0010,0021")
    assert made(study(IssuerOfPatientID=None), patient_system="urn:example:good")


@pytest.mark.parametrize("uid", ["", "1.2.x", "1" * 65, "1..2"])
def test_what_is_no_uid_refuses_the_study(uid: str) -> None:
    with pytest.raises(MessageError) as caught:
        made(study(StudyInstanceUID=uid))
    assert caught.value.location == "0020,000D"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"form":1,"tags":{},"series":[[]]}', b"[" * 10000])
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(MessageError):
        study_of(body)


def test_an_unknown_zone_is_told_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="timezone"):
        DicomTranslator(SETTINGS | {"timezone": "Europe/Atlantis"})


@dataclass
class Notebook:
    """A journal in memory."""

    taken: list[tuple[str, RawMessage]] = field(default_factory=list)

    async def accept(
        self, message: RawMessage, *, key: str, reply: bytes, refusal: Refusal | None = None, reuse: Reuse | None = None
    ) -> Acceptance:
        known = (key, message.digest) in [(key, held.digest) for key, held in self.taken]
        if not known:
            self.taken.append((key, message))
        return Acceptance(len(self.taken), known, reply)

    async def outcome(self, sequence: int) -> Refusal | None:
        raise AssertionError

    async def mended(self, sequence: int) -> None:
        raise AssertionError

    async def set_aside(self, feed: str, location: str) -> Any:
        raise AssertionError

    async def taken_up(self, sequences: Any, instant: datetime) -> None:
        raise AssertionError


@pytest.fixture(name="archive", scope="module")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    with orthanc(tmp_path_factory.mktemp("archive")) as started:
        yield started


@asynccontextmanager
async def following(folder: Path, server: Server, notebook: Notebook, **more: Any) -> AsyncIterator[Meters]:
    defaults = {name: part["default"] for name, part in FEED_SCHEMA["properties"].items() if "default" in part}
    settings = {**defaults, "url": f"http://127.0.0.1:{server.port}", "interval_seconds": 0.1, **more}
    late = NOW

    def clock() -> datetime:
        nonlocal late
        late += timedelta(seconds=1)
        return late

    meters = Meters()
    feed = ChangesFeed(Opening("archive", settings, folder, clock, meters, folder))
    await feed.start(notebook)
    try:
        yield meters
    finally:
        await feed.stop()


async def until(notebook: Notebook, count: int) -> None:
    async with asyncio.timeout(30):
        while len(notebook.taken) < count:
            await asyncio.sleep(0.05)


async def test_an_archive_is_followed_from_where_the_feed_was(archive: tuple[Server, int], tmp_path: Path) -> None:
    server, port = archive
    notebook = Notebook()
    async with following(tmp_path, server, notebook):
        first = [instance(series, number) for series in (1, 2) for number in (1, 2, 3)]
        assert set(await asyncio.to_thread(sent, port, first)) == {0}
        await until(notebook, 1)
    told = study_of(notebook.taken[0][1].body)
    assert told.tags["StudyInstanceUID"] == STUDY
    assert [len(series.instances) for series in told.series] == [3, 3]
    assert b"PIXELS" not in notebook.taken[0][1].body
    assert b"DOE" not in notebook.taken[0][1].body
    async with following(tmp_path, server, notebook):
        assert set(await asyncio.to_thread(sent, port, [instance(2, 4)])) == {0}
        await until(notebook, 2)
    assert sum(len(series.instances) for series in study_of(notebook.taken[1][1].body).series) == 7
    # One that the archive does not call stable in time is taken all the same.
    patient = Notebook()
    (tmp_path / "progress.json").write_text(
        json.dumps({"form": 1, "url": f"http://127.0.0.1:{server.port}", "last": 0, "open": {}})
    )
    async with following(tmp_path, server, patient, settle_seconds=0.001, digest="md5"):
        await until(patient, 2)
    assert {one.digest[:4] for series in study_of(patient.taken[-1][1].body).series for one in series.instances} == {
        "md5:"
    }


async def test_an_archive_that_is_away_is_asked_again(tmp_path: Path, archive: tuple[Server, int]) -> None:
    server, _ = archive
    nobody = Server([], 1, tmp_path / "log")
    async with following(tmp_path, nobody, Notebook()) as meters:
        labels = {"feed": "archive", "event": "archive_unreachable"}
        async with asyncio.timeout(10):
            while not meters.registry.get_sample_value("hawsepipe_feed_framing_events_total", labels):
                await asyncio.sleep(0.05)
    (tmp_path / "progress.json").write_text('{"form": 1, "url": "http://other", "last": 1, "open": {}}')
    with pytest.raises(ConfigError, match="another archive"):
        async with following(tmp_path, server, Notebook()):
            pass
