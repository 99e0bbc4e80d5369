"""Loads of history by `hawsepipe migrate` (MI): over real processes, which may be killed anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import signal
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from aiohttp import web

from hawsepipe_conformance.feeds.cases import Unclear
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.product import Local
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_LOINC = ("8867-4", "29463-7", "8302-2", "2339-0")
FOLDERS = '\n[migration]\nfolders = ["."]\n'
"""Lets the service load from its own folder."""
_KILLS = 50


def _archive(folder: Path, people: int, each: int, seed: int) -> Path:
    """Write an archive of so many people with so many observations each, in NDJSON by type as bulk exports have it."""
    chance = random.Random(seed)
    folder.mkdir()
    patients, observations = [], []
    for person in range(people):
        name = [{"family": f"Person{person}", "given": [chance.choice(("Ada", "Kim", "Noa"))]}]
        number = [{"system": "urn:old:mrn", "value": f"{seed}-{person}"}]
        patients.append({"resourceType": "Patient", "id": f"p{person}", "identifier": number, "name": name})
        for number_ in range(each):
            observations.append(
                {
                    "resourceType": "Observation",
                    "id": f"o{person}-{number_}",
                    "meta": {"versionId": "1", "lastUpdated": "2009-05-02T08:00:00Z"},
                    "status": "final",
                    "code": {"coding": [{"system": "http://loinc.org", "code": chance.choice(_LOINC)}]},
                    "subject": {"reference": f"Patient/p{person}"},
                    "effectiveDateTime": f"20{number_ % 20:02d}-03-01",
                    "valueQuantity": {"value": chance.randint(40, 200), "unit": "1"},
                }
            )
    for type_, resources in (("Patient", patients), ("Observation", observations)):
        lines = "".join(json.dumps(resource) + "\n" for resource in resources)
        (folder / f"{type_}.ndjson").write_text(lines, encoding="utf-8")
    return folder


async def migrate(product: Local, *words: str, until: float | None = None) -> tuple[int, str, str]:
    """Run `hawsepipe migrate`, and kill it after `until` seconds; return its exit status (-9: killed) and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *product.entry, "migrate", words[0], "-c", str(product.config), *words[1:]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    talking = asyncio.create_task(process.communicate())
    done, _ = await asyncio.wait([talking], timeout=until)
    if not done:
        process.send_signal(signal.SIGKILL)
    out, errors = await talking
    return process.returncode or 0, out.decode(), errors.decode()


def _store(product: Local) -> Path:
    return product.folder / "hawsepipe-data" / "store" / "store.db"


def _rows(product: Local, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{_store(product)}?mode=ro", uri=True)) as store:
        return store.execute(statement).fetchall()


def _state(product: Local) -> tuple[int, str]:
    """Return how many versions there are, and a digest over all of them but for the instants of the load."""
    digest, count = hashlib.sha256(), 0
    rows = _rows(
        product,
        "SELECT s.text, r.id, v.key & 0xffffff, v.operation, v.content FROM version v JOIN resource r"
        " ON r.key = v.key >> 24 JOIN symbol s ON s.key = r.type ORDER BY s.text, r.id, v.key",
    )
    for type_, id_, version, operation, content in rows:
        told = json.loads(content or b"{}")
        told.get("meta", {}).pop("lastUpdated", None)
        told.pop("recorded", None)
        digest.update(f"{type_}/{id_}/{version} {operation} {json.dumps(told, sort_keys=True)}\n".encode())
        count += 1
    return count, digest.hexdigest()


def _noted(product: Local) -> tuple[int, int]:
    """Return how many chunks are noted, and how many versions they say that they made."""
    values = [json.loads(value) for (value,) in _rows(product, "SELECT value FROM note WHERE part LIKE 'chunk/%'")]
    return len(values), sum(value["versions"] for value in values)


@CHECKS.case("MI-03", "resume; final counts and hashes equal those of an unbroken run; re-done work <= 1 chunk")
async def _killed(stage: Stage) -> None:
    chance = random.Random(20261121)
    states: list[tuple[int, str]] = []
    for broken in (False, True):
        async with stage.alone() as own:
            product = own.local()
            await product.end(signal.SIGTERM)
            archive = _archive(product.folder / "old", 40, 24, 3)
            words = ("load", str(archive), "--load-id", "old", "--chunk", "10", "--rate", "60" if broken else "9000")
            kills, chunks = 0, 0
            while broken and kills < _KILLS:
                status, _, errors = await migrate(product, *words, until=chance.uniform(0.5, 4.0))
                if status != -signal.SIGKILL:
                    raise Unclear(f"the load ends before it is killed often enough ({status}, {errors[-200:]})")
                kills += 1
                if not _store(product).exists():
                    continue
                noted, made = _noted(product)
                versions = _rows(product, "SELECT count(*) FROM version")[0][0]
                own.claim(f"kill {kills}: nothing is done that is not noted ({versions} of {made})", versions == made)
                own.claim(f"kill {kills}: no chunk is lost ({noted} after {chunks})", noted >= chunks)
                chunks = noted
            status, out, errors = await migrate(product, *words[:-1], "9000")
            own.claim(f"the load ends ({status}: {out[-200:]}{errors[-200:]})", status == 0)
            own.claim("no chunk was done twice", _noted(product)[1] + 2 == _state(product)[0])
            states.append(_state(product))
    stage.claim(f"equal counts and hashes (found {states})", states[0] == states[1])


@CHECKS.case("MI-05", "bad lines in error file with file:line:sha; rest loaded")
async def _bad_lines(stage: Stage) -> None:
    async with stage.alone() as own:
        product = own.local()
        await product.end(signal.SIGTERM)
        archive = _archive(product.folder / "old", 3, 3, 5)
        file = archive / "Observation.ndjson"
        lines = file.read_bytes().split(b"\n")[:-1]
        bad, cut = b"{ this is no JSON", lines[-1][:-9]
        file.write_bytes(b"\n".join([*lines[:4], b"", bad, b"  ", *lines[4:-1], cut]))
        status, out, _ = await migrate(product, "load", str(archive), "--load-id", "old")
        own.claim(f"the exit status tells of them (found {status})", status == 1)
        own.claim(f"the rest is loaded ({out})", "12 records" not in out and "11 loaded" in out and "2 dead" in out)
        found = (product.folder / "hawsepipe-data/loads/old/errors.txt").read_text(encoding="utf-8").splitlines()
        places = [line.split("\t")[0] for line in found]
        wanted = [
            f"Observation.ndjson:{number}:{hashlib.sha256(body).hexdigest()}"
            for number, body in ((6, bad), (len(lines) + 3, cut))
        ]
        own.claim(f"file, line and digest (found {places})", places == wanted)


@CHECKS.case(
    "MI-13", "load id -> all its resources inactivated/restored by new versions; ledger entry 'load withdrawn'"
)
async def _withdrawn(stage: Stage) -> None:
    async with stage.alone(further=FOLDERS) as own:
        product = own.local()
        archive = _archive(product.folder / "old", 5, 5, 13)
        status, out, errors = await migrate(product, "load", str(archive), "--load-id", "bad")
        own.claim(f"the running service loads ({status}: {out}{errors})", status == 0)
        before = dict(_rows(product, "SELECT commitment, key FROM version"))
        found = await own.product.search("Observation", _tag="urn:hawsepipe:load|bad")
        own.claim(f"its resources are found by its id (found {len(found)})", len(found) == 25)
        status, out, errors = await migrate(product, "withdraw", "bad")
        own.claim(f"it is withdrawn ({status}: {out}{errors})", status == 0)
        left = [await own.product.search(type_, _tag="urn:hawsepipe:load|bad") for type_ in ("Observation", "Patient")]
        own.claim("nothing of it is current", left == [[], []])
        after = dict(_rows(product, "SELECT commitment, key FROM version"))
        own.claim("nothing that was written is touched", before.items() <= after.items())
        tasks = _rows(
            product,
            "SELECT v.content, l.sequence FROM version v JOIN resource r ON r.key = v.key >> 24 JOIN symbol s"
            " ON s.key = r.type LEFT JOIN leaf l ON l.commitment = v.commitment WHERE s.text = 'Task' ORDER BY v.key",
        )
        words = [json.loads(content).get("statusReason", {}).get("text") for content, _ in tasks]
        own.claim(f"the log has an entry for it (found {words})", words == [None, "load withdrawn"] and tasks[1][1])


async def _latencies(own: Stage, count: int, name: str, pause: float = 0.0) -> list[float]:
    """Send so many messages one after the other; return the seconds until each acknowledgement, sorted."""
    found: list[float] = []
    async with own.line() as line:
        for number in range(count):
            begun = monotonic()
            await line.send(framed(own.admission(f"{name}{number}", f"{name}{number}").body()))
            await line.until(number + 1)
            found.append(monotonic() - begun)
            await asyncio.sleep(pause)
    return sorted(found)


async def _told(product: Local, load: str) -> dict[str, Any]:
    """Return how a load stands, nothing while there is none."""
    try:
        state: dict[str, Any] = await product.get(f"{product.origin}/ops/loads/{load}")
    except Unclear:
        return {}
    return state


async def _watched(own: Stage, load: str) -> list[tuple[float, dict[str, Any]]]:
    """Look at a load until it has ended; return what was told, each with its moment."""
    product, told = own.local(), list[tuple[float, dict[str, Any]]]()
    while not told or told[-1][1]["phase"] not in ("done", "failed", "stopped"):
        state = await _told(product, load)
        if "phase" in state:
            told.append((monotonic(), state))
        await asyncio.sleep(0.1)
    return told


@CHECKS.case("MI-14", "measured <= 205/s; live feeds keep p99")
async def _rate(stage: Stage) -> None:
    async with stage.alone(further=FOLDERS) as own:
        product = own.local()
        archive = _archive(product.folder / "old", 100, 19, 14)
        await _latencies(own, 20, "W")
        quiet = await _latencies(own, 200, "Q", 0.02)
        loading = asyncio.create_task(migrate(product, "load", str(archive), "--load-id", "old", "--rate", "200/s"))
        watching = asyncio.create_task(_begun(own, "old"))
        await watching
        busy = await _latencies(own, 200, "B", 0.02)
        told = [(at, state) for at, state in await _watched(own, "old")]
        status, out, errors = await loading
        own.claim(f"the load ends ({status}: {out}{errors})", status == 0)
        fastest = _fastest([(at, state["done"]) for at, state in told if state["phase"] == "loading"], 2.0, 32)
        own.claim(f"never faster than 205/s (found {fastest:.1f})", 0 < fastest <= 205)
        p99, p99_beside = quiet[-3], busy[-3]
        text = f"live p99 {1000 * p99:.0f} ms alone, {1000 * p99_beside:.0f} ms beside the load"
        own.claim(f"live feeds keep p99 ({text})", p99_beside < max(2 * p99, 0.1))


async def _begun(own: Stage, load: str) -> None:
    product = own.local()
    for _ in range(600):
        state = await _told(product, load)
        if state.get("done"):
            return
        await asyncio.sleep(0.1)
    raise Unclear("the load does not begin")


def _fastest(points: Sequence[tuple[float, int]], window: float, chunk: int) -> float:
    """Return the most records a second over any stretch of at least `window` seconds; a chunk comes at once."""
    found = 0.0
    for place, (since, before) in enumerate(points):
        for until, after in points[place + 1 :]:
            if until - since >= window:
                found = max(found, (after - before - chunk) / (until - since))
    whole = [point for point in points if point[1]]
    if len(whole) > 1:
        found = max(found, (whole[-1][1] - whole[0][1]) / (whole[-1][0] - whole[0][0]))
    return found


@CHECKS.case("MI-15", "percent, rate, ETA (within 20% after first 10%), per type, errors so far; machine readable too")
async def _progress(stage: Stage) -> None:
    async with stage.alone(further=FOLDERS) as own:
        product = own.local()
        archive = _archive(product.folder / "old", 200, 11, 15)
        with (archive / "Patient.ndjson").open("ab") as file:
            file.write(b"no record\n")
        words = ("load", str(archive), "--load-id", "old", "--rate", "200", "--chunk", "20")
        loading = asyncio.create_task(migrate(product, *words))
        await _begun(own, "old")
        told = await _watched(own, "old")
        status, _, lines = await loading
        own.claim(f"the load ends (status {status})", status == 1)
        end = next(at for at, state in told if state["done"] == state["records"] > 0)
        running = [(at, state) for at, state in told if state["phase"] == "loading" and state["percent"] >= 10]
        own.claim(f"it can be watched ({len(running)} states)", len(running) > 20)
        off = [
            max(0.0, abs(state["eta_seconds"] - (end - at)) - 0.2) / (end - at)
            for at, state in running
            if state["percent"] <= 90
        ]
        own.claim(f"the time that is left is right within 20 % (worst {max(off, default=1):.0%})", max(off) <= 0.2)
        state = running[-1][1]
        (first, before), (last, after) = running[0], running[-1]
        measured = (after["done"] - before["done"]) / (last - first)
        own.claim(f"rate (told {state['rate']}, measured {measured:.0f})", abs(state["rate"] / measured - 1) < 0.25)
        own.claim("per type", set(state["types"]) == {"Patient", "Observation", "unreadable"})
        own.claim("errors so far by cause", told[-1][1]["causes"] == {"parse": 1})
        own.claim(f"lines for people ({lines[-200:]!r})", "%), " in lines and "/s, " in lines and " left" in lines)
        own.claim("nobody without the scope is told", await product.status("/ops/loads/old") == 401)


class _Old:
    """A FHIR server of one type whose pages shift while they are read: after each page a patient is changed."""

    def __init__(self) -> None:
        self.patients = {f"p{number}": (1, number) for number in range(40)}
        self.changes = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/metadata"):
            return web.json_response({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
        if request.query.get("_summary") == "count":
            bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(self.patients)}
            return web.json_response(bundle)
        since = request.query.get("_lastUpdated", "").removeprefix("ge")
        found = [self._patient(id_) for id_ in sorted(self.patients, key=lambda it: self.patients[it][1])]
        found = [it for it in found if it["meta"]["lastUpdated"] >= since]
        offset, size = int(request.query.get("offset", "0")), 7
        links = []
        if offset + size < len(found):
            onward = request.url.update_query({"offset": str(offset + size)})
            links.append({"relation": "next", "url": str(onward)})
        entries = [
            {"fullUrl": f"{request.url.origin()}/fhir/Patient/{it['id']}", "resource": it}
            for it in found[offset : offset + size]
        ]
        if self.changes < 6:
            changed = f"p{self.changes}"
            self.changes += 1
            self.patients[changed] = (2, 100_000_000 + self.changes)
            self.patients[f"new{self.changes}"] = (1, 100_000_100 + self.changes)
        return web.json_response({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries})

    def _patient(self, id_: str) -> dict[str, Any]:
        version, second = self.patients[id_]
        moment = datetime(2023, 11, 21, tzinfo=UTC) + timedelta(seconds=second)
        meta = {"versionId": str(version), "lastUpdated": moment.isoformat().replace("+00:00", "Z")}
        return {"resourceType": "Patient", "id": id_, "meta": meta, "active": version == 1}


@CHECKS.case("MI-08", "_since catch-up pass closes the gap; report states window")
async def _changing(stage: Stage) -> None:
    old = _Old()
    app = web.Application()
    app.router.add_get("/fhir/{path:.*}", old.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/fhir"
        async with stage.alone() as own:
            product = own.local()
            await product.end(signal.SIGTERM)
            settings, report = product.folder / "old.toml", product.folder / "report.json"
            settings.write_text('mode = "search"\ntypes = ["Patient"]\n', encoding="utf-8")
            words = ("load", f"old={url}", "--server", str(settings), "--load-id", "old", "--report", str(report))
            status, out, errors = await migrate(product, *words)
            own.claim(f"the load ends ({status}: {out}{errors})", status == 0)
            if status:
                return
            rows = _rows(
                product,
                "SELECT v.content FROM version v JOIN resource r ON r.key = v.key >> 24"
                " AND r.version = v.key & 0xffffff JOIN symbol s ON s.key = r.type WHERE s.text = 'Patient'",
            )
            own.claim(f"nobody is missing ({len(rows)} of {len(old.patients)})", len(rows) == len(old.patients))
            changed = sum(json.loads(content)["active"] is False for (content,) in rows)
            own.claim(f"each as it is now (changed: {changed})", changed == old.changes == 6)
            window = json.loads(report.read_bytes())["windows"]["old"]
            own.claim(f"the report states the window ({window})", window["begun"] < window["ended"])
            own.claim("and that nothing is missing", window["missing"] == {} and len(window["passes"]) >= 2)
    finally:
        await runner.cleanup()
