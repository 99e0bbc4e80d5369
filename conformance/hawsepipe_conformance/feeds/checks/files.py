"""Watched directories (FI)."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from hawsepipe_conformance.feeds.cases import Unclear
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_QUICK: Mapping[str, Any] = {"kind": "hl7v2-files", "interval_seconds": 0.1, "settle_seconds": 0.1}
_GIGABYTE = 1 << 30
_MEGABYTES = 1_000_000


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hawsepipe-files-", ignore_cleanup_errors=True) as name:
        yield Path(name)


async def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = monotonic() + seconds
    while not condition():
        if monotonic() > end:
            raise Unclear(f"{what} takes too long")
        await asyncio.sleep(0.05)


def _laid(folder: Path, name: str, body: bytes) -> None:
    """Lay a file into the folder at once, as somebody does who is careful."""
    draft = folder / f".{name}"
    draft.write_bytes(body)
    draft.rename(folder / name)


def _report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(f"{path.name}.report.json").read_text(encoding="utf-8"))
    return found


async def _effects(stage: Stage, body: bytes) -> int:
    """Return how many effects a message of a file has; the end of its last segment is the file's."""
    return len(await stage.provenances(body)) + len(await stage.provenances(body.rstrip(b"\r")))


@CHECKS.case("FI-02", "9,999 effects, 1 dead letter with file+offset; file marked done-with-errors")
async def _batch(stage: Stage) -> None:
    with _folder() as folder:
        async with stage.alone(directory=str(folder), **_QUICK) as own:
            drafts = [own.admission(f"FI02-{n}", f"FI02-{n % 500}") for n in range(1, 10_001)]
            drafts[5000].set("PID-3", "")
            messages = [draft.body() for draft in drafts]
            head, tail = b"FHS|^~\\&\rBHS|^~\\&\r", b"BTS|10000\rFTS|1\r"
            _laid(folder, "batch.hl7", head + b"".join(messages) + tail)
            await _until((folder / "done" / "batch.hl7").exists, 300, "the file")
            await own.product.settled(400)
            applied = await own.grown("hawsepipe_intake_applied_total")
            own.claim(f"9,999 effects (found {applied:.0f})", applied == 9999)
            letters = await own.letters()
            own.claim("one dead letter", len(letters) == 1)
            report = _report(folder / "done" / "batch.hl7")
            offset = len(head) + sum(map(len, messages[:5000]))
            told = [(entry["offset"], entry.get("dead_letter")) for entry in report["findings"]]
            own.claim(f"its offset is told with the file (found {told})", told == [(offset, letters[0]["sequence"])])
            own.claim("the file is marked", (report["messages"], report["refused"]) == (10_000, 1))


@CHECKS.case("FI-04", "moved to error folder with reason")
async def _odd(stage: Stage) -> None:
    with _folder() as folder:
        async with stage.alone(directory=str(folder), others="error", **_QUICK) as own:
            odd = {"empty.hl7": b"", "binary.hl7": bytes(range(256)) * 40, "letter.docx": b"PK\x03\x04", "none": b"x"}
            for name, body in odd.items():
                _laid(folder, name, body)
            body = own.admission("FI04").body()
            _laid(folder, "good.hl7", body)
            for name in odd:
                await _until((folder / "error" / name).exists, 30, name)
                texts = [entry["text"] for entry in _report(folder / "error" / name)["findings"]]
                own.claim(f"{name}: a reason", any(texts))
                own.claim(f"{name}: whole", (folder / "error" / name).read_bytes() == odd[name])
            await _until((folder / "done" / "good.hl7").exists, 30, "the good one")
            await own.settled()
            own.claim("the good one has its effect", await _effects(own, body) == 1)


@CHECKS.case("FI-05", "streamed; RSS < 200 MB")
async def _large(stage: Stage) -> None:
    with _folder() as folder:
        async with stage.alone(directory=str(folder), **_QUICK) as own:
            # Messages of 1 MB; some come again and again, so that two gigabytes need not be translated.
            notes = [f"NTE|{n}||{'x' * 50_000}" for n in range(1, 21)]
            drafts = [own.result(f"FI05-{n}", f"FI05-{n}").after("OBX", *notes) for n in range(8)]
            bodies = [draft.body() for draft in drafts]
            size = 0
            with (folder / ".large").open("wb") as file:
                while size < 2 * _GIGABYTE:
                    size += file.write(bodies[size // len(bodies[0]) % len(bodies)])
            (folder / ".large").rename(folder / "large.hl7")
            await _until((folder / "done" / "large.hl7").exists, 600, "the file")
            await own.settled()
            peak = own.local().peak() / _MEGABYTES
            own.claim(f"less than 200 MB resident (at most {peak:.0f} MB)", peak < 200)
            own.claim("each has its effect", [await _effects(own, body) for body in bodies] == [1] * 8)


@CHECKS.case("FI-06", "alert; retry; source untouched")
async def _obstructed(stage: Stage) -> None:
    with _folder() as folder:
        async with stage.alone(directory=str(folder), **_QUICK) as own:
            event = "hawsepipe_feed_framing_events_total"
            # Root may read everything, so what stands in the way is a file where a folder has to be.
            first, second = own.admission("FI06", "FI06-1").body(), own.admission("FI06b", "FI06-2").body()
            if os.geteuid() != 0:
                _laid(folder, "locked.hl7", first)
                (folder / "locked.hl7").chmod(0)
            working = folder / "working"
            working.rename(folder / ".away")
            working.write_bytes(b"")
            _laid(folder, "first.hl7", first)
            await _grown(own, event, "file_trouble")
            own.claim("untouched", (folder / "first.hl7").read_bytes() == first)
            working.unlink()
            (folder / ".away").rename(working)
            (folder / "done").rename(folder / ".full")
            (folder / "done").write_bytes(b"")
            _laid(folder, "second.hl7", second)
            await _grown(own, event, "file_waits")
            held = sorted(path.name for path in working.rglob("*.hl7"))
            own.claim(f"kept until there is room (found {held})", held in (["first.hl7"], ["second.hl7"]))
            (folder / "done").unlink()
            (folder / ".full").rename(folder / "done")
            for name in ("first.hl7", "second.hl7"):
                await _until((folder / "done" / name).exists, 30, name)
            await own.settled()
            effects = [await _effects(own, body) for body in (first, second)]
            own.claim(f"each has its effect, once (found {effects})", effects == [1, 1])


async def _grown(stage: Stage, name: str, event: str) -> None:
    """Wait until an alert is counted twice: it was tried again."""
    for _ in range(200):
        if await stage.grown(name, event=event) >= 2:
            return
        await asyncio.sleep(0.05)
    stage.claim(f"an alert of {event}, and another try", False)


@CHECKS.case("FI-08", "each file once (atomic claim)")
async def _two_workers(stage: Stage) -> None:
    with _folder() as folder:
        settings = {"directory": str(folder), **_QUICK}
        async with stage.alone({"second": settings}, **settings) as own:
            bodies = [own.admission(f"FI08-{n}", f"FI08-{n}").body() for n in range(100)]
            for number, body in enumerate(bodies):
                _laid(folder, f"{number}.hl7", body)
            await _until(lambda: len(list((folder / "done").glob("*.hl7"))) == 100, 60, "the hundred files")
            await own.product.settled(60)
            taken = await own.product.total("hawsepipe_feed_messages_received_total")
            own.claim(f"each is read once (found {taken:.0f})", taken == 100)
            effects = {await _effects(own, body) for body in bodies}
            own.claim("each has its effect, once", effects == {1})
            own.claim("nothing is left", not list(folder.glob("*.hl7")) and not list((folder / "error").iterdir()))
