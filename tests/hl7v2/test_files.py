"""The feed of files: claimed once, streamed, put away with a report; nothing lost by a crash or a full store."""

from __future__ import annotations

import asyncio
import json
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import Acceptance, ConfigError, Meters, Opening, StoreFull
from hawsepipe_hl7v2.folder import KIND, opened

from .conftest import NOW, Journal, written

Watch = Callable[..., Any]
FAST = {"directory": "in", "interval_seconds": 0.01, "settle_seconds": 0}


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    (tmp_path / "in").mkdir()

    @asynccontextmanager
    async def run(journal: Journal, name: str = "files", **settings: Any) -> AsyncIterator[Meters]:
        meters = Meters()
        async with KIND.open(Opening(name, FAST | settings, tmp_path, lambda: NOW, meters, tmp_path)) as feed:
            await feed.start(journal)
            yield meters

    return run


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


def put(folder: Path, name: str, body: bytes) -> None:
    part = folder / f".{name}"
    part.write_bytes(body)
    part.rename(folder / name)


async def test_the_messages_of_a_batch_are_journalled_in_order_and_the_file_is_done(
    watch: Watch, tmp_path: Path
) -> None:
    folder, journal = tmp_path / "in", Journal()
    put(
        folder,
        "a.hl7",
        b"FHS|^~\\&\rBHS|^~\\&\r" + b"\r".join(written(f"C{n}") for n in range(200)) + b"\rBTS|200\rFTS|1",
    )
    put(folder, "not-mine.txt", b"hello")
    async with watch(journal):
        await until((folder / "done" / "a.hl7").exists)
    assert [key for _, key, _ in journal.messages] == [f"ADT1|GOOD|C{n}" for n in range(200)]
    assert [path.name for path in (folder / "done").iterdir()] == ["a.hl7"]
    assert (folder / "not-mine.txt").exists()


async def test_a_bad_message_among_good_ones_is_one_dead_letter_and_told_with_its_offset(
    watch: Watch, tmp_path: Path
) -> None:
    folder, journal = tmp_path / "in", Journal()
    good, bad = written("C1"), written("C2", pid="PID|1||")
    put(folder, "a.hl7", good + b"\r" + bad + b"\r" + written("C3"))
    async with watch(journal):
        await until((folder / "done" / "a.hl7").exists)
    assert [refusal is None for _, _, refusal in journal.messages] == [True, False, True]
    report = json.loads((folder / "done" / "a.hl7.report.json").read_text())
    assert (report["messages"], report["refused"]) == (3, 1)
    (found,) = report["findings"]
    assert (found["location"], found["dead_letter"]) == ("PID-3", 2)
    assert (good + b"\r" + bad)[found["offset"] :].startswith(b"MSH")


@pytest.mark.parametrize("body", [b"", b"\x89PNG\r\n\x1a\n\x00\x00", b"hello, world"])
async def test_a_file_without_a_message_goes_to_error_with_the_reason(
    watch: Watch, tmp_path: Path, body: bytes
) -> None:
    folder, journal = tmp_path / "in", Journal()
    put(folder, "a.hl7", body)
    async with watch(journal):
        await until((folder / "error" / "a.hl7").exists)
    report = json.loads((folder / "error" / "a.hl7.report.json").read_text())
    assert report["findings"][-1]["text"] == "there is no HL7 v2 message in the file"
    assert journal.messages == []


async def test_a_file_that_a_crash_left_is_read_again_and_doubles_nothing(watch: Watch, tmp_path: Path) -> None:
    folder, journal = tmp_path / "in", Journal()
    (folder / "working" / "files").mkdir(parents=True)
    (folder / "working" / "files" / "a.hl7").write_bytes(written("C1") + b"\r" + written("C2"))
    async with watch(journal):
        await until((folder / "done" / "a.hl7").exists)
    (folder / "working" / "files" / "a.hl7").write_bytes(written("C1") + b"\r" + written("C2"))
    async with watch(journal):
        await until((folder / "done" / "a.hl7.2").exists)
    assert [key for _, key, _ in journal.messages] == ["ADT1|GOOD|C1", "ADT1|GOOD|C2"]


async def test_of_two_files_of_one_name_each_is_read(watch: Watch, tmp_path: Path) -> None:
    folder, journal = tmp_path / "in", Journal(fault=StoreFull("there is no room on the disk"))
    working = folder / "working" / "files"
    async with watch(journal, others="error"):
        # Something of that name is there already, which this feed does not know of since it came after the start.
        await asyncio.sleep(0.05)
        working.joinpath("a.hl7").write_bytes(written("C1"))
        put(folder, "a.hl7", written("C2"))
        await until((working / "a.hl7.2").exists)
        journal.fault = None
        await until((folder / "done" / "a.hl7.2").exists)
        assert [key for _, key, _ in journal.messages] == ["ADT1|GOOD|C2"]
    async with watch(journal):
        await until((folder / "done" / "a.hl7").exists)
    assert [key for _, key, _ in journal.messages] == ["ADT1|GOOD|C2", "ADT1|GOOD|C1"]


async def test_a_link_in_the_place_of_a_file_is_not_followed(watch: Watch, tmp_path: Path) -> None:
    folder, journal = tmp_path / "in", Journal()
    secret = tmp_path / "secret.hl7"
    secret.write_bytes(written("C1"))
    (folder / "working" / "files").mkdir(parents=True)
    (folder / "working" / "files" / "a.hl7").symlink_to(secret)
    async with watch(journal):
        await until(lambda: (folder / "error" / "a.hl7").is_symlink())
    assert journal.messages == []
    assert secret.exists()
    report = json.loads((folder / "error" / "a.hl7.report.json").read_text())
    assert "link" in report["findings"][0]["text"]
    with pytest.raises(OSError, match="symbolic"):
        opened(folder / "error" / "a.hl7")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        opened(tmp_path / "pipe")


async def test_while_the_store_is_full_the_file_waits_and_then_comes_in_once(watch: Watch, tmp_path: Path) -> None:
    folder, journal = tmp_path / "in", Journal(fault=StoreFull("there is no room on the disk"))
    put(folder, "a.hl7", written("C1"))
    async with watch(journal):
        await until((folder / "working" / "files" / "a.hl7").exists)
        await asyncio.sleep(0.05)
        assert not (folder / "done" / "a.hl7").exists()
        journal.fault = None
        await until((folder / "done" / "a.hl7").exists)
    assert [key for _, key, _ in journal.messages] == ["ADT1|GOOD|C1"]


async def test_two_feeds_on_one_directory_take_each_file_once(watch: Watch, tmp_path: Path) -> None:
    folder, journals = tmp_path / "in", (Journal(), Journal())
    for number in range(60):
        put(folder, f"{number}.hl7", written(f"C{number}"))
    async with watch(journals[0], "one"), watch(journals[1], "two"):
        await until(lambda: len(list((folder / "done").iterdir())) == 60)
    keys = [key for journal in journals for _, key, _ in journal.messages]
    assert sorted(keys) == sorted(f"ADT1|GOOD|C{number}" for number in range(60))


async def test_a_file_that_still_grows_is_left_alone(watch: Watch, tmp_path: Path) -> None:
    folder, journal = tmp_path / "in", Journal()
    async with watch(journal, settle_seconds=3600):
        (folder / "a.hl7").write_bytes(written("C1"))
        await asyncio.sleep(0.1)
        assert (folder / "a.hl7").exists()
    assert journal.messages == []


async def test_a_large_file_streams(watch: Watch, tmp_path: Path) -> None:
    folder, journal = tmp_path / "in", Counting()
    message = written("C1", pid="PID|1||MRN1^^^GOOD^MR\rNTE|1||" + "x" * 100_000)
    with (folder / ".big").open("wb") as file:
        for _ in range(600):
            file.write(message + b"\r")
    (folder / ".big").rename(folder / "big.hl7")
    tracemalloc.start()
    try:
        async with watch(journal):
            await until((folder / "done" / "big.hl7").exists)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert journal.count == 600
    assert peak < 30_000_000, "60 MB of messages; no more than the window of them at a time"


class Counting(Journal):
    """An intake that keeps nothing."""

    count = 0

    async def accept(self, message: Any, **_: Any) -> Any:
        self.count += 1
        return Acceptance(self.count, False, b"")


async def test_a_directory_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    opening = Opening("files", FAST | {"directory": "nowhere"}, tmp_path, lambda: NOW, Meters(), tmp_path)
    with pytest.raises(ConfigError):
        async with KIND.open(opening) as feed:
            await feed.start(Journal())
