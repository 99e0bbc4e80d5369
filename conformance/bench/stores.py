"""Synthea's transaction bundles into SQLite and into PostgreSQL, and what reads and searches take then.

    python conformance/bench/stores.py FOLDER [--bundles 100] [--kind sqlite|postgres] [--url postgresql://…]

Each bundle is one transaction with a Provenance, prepared beforehand as a load of history does (its CPU is told
apart), eight to a commit: fully indexed, committed with fsync, commitments made. Without `--url` a PostgreSQL is
started for it. Wall times on a shared machine are noise; the CPU is this process's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hawsepipe.clock import system_clock
from hawsepipe.consent.labels import Labels
from hawsepipe.fhir import codec, definitions, provenance
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Resource, Transaction
from hawsepipe.store import postgres, sqlite
from hawsepipe.store.contract import Store
from hawsepipe.store.loads import Note, Outcome
from hawsepipe.store.preparation import Preparation
from hawsepipe.visibility import Constant, Visibility
from hawsepipe_conformance.servers import postgres as server

BASE = "https://fhir.example.org/fhir"
EVERYTHING = Visibility(Constant(True), (), Constant(True))
BATCH = 8
SHAPES = (
    ("code, 50", "Observation?code=http://loinc.org|8302-2"),
    ("patient, 50", "Observation?patient={patient}"),
    ("code AND date", "Observation?code=http://loinc.org|8302-2&date=ge2015"),
    ("newest 50 of a patient", "Observation?patient={patient}&_sort=-date"),
    ("chained", "Observation?patient.name={name}&code=http://loinc.org|8302-2"),
    ("name", "Patient?name={name}"),
    ("_include", "Encounter?patient={patient}&_include=Encounter:patient"),
)


def bundles(folder: Path, count: int) -> Iterator[list[Resource]]:
    """Yield the resources of each bundle, their references resolved."""
    for path in sorted(folder.rglob("*.json"))[:count]:
        text = path.read_bytes()
        entries = codec.decode(text)["entry"]
        made: list[Resource] = []
        names = {it["fullUrl"]: f"{it['resource']['resourceType']}/{it['resource']['id']}" for it in entries}
        for entry in entries:
            made.append(_resolved(entry["resource"], names))
        yield made


def _resolved(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_resolved(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) and value.startswith("urn:uuid:") else value


def cpu_of(server: int) -> float:
    """Return the CPU seconds of a process and of its children that live."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if server in (int(fields[1]), int(path.parent.name)):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def load(store: Store, folder: Path, count: int, server: int | None) -> tuple[list[str], list[str]]:
    """Load, tell what it took, and return ids and names of patients."""
    preparation = Preparation(
        Labels(base_url=BASE), Extractor(definitions.load(), BASE), Validator(definitions.load()), BASE
    )
    patients: list[str] = []
    names: list[str] = []
    preparing = writing = walls = 0.0
    served = 0.0 if server is None else cpu_of(server)
    loaded = refused = 0
    part = 0
    batch: list[Any] = []

    async def write() -> None:
        nonlocal writing, walls, loaded, refused, part
        part += 1
        begun, wall = time.process_time(), time.perf_counter()

        def told(outcomes: Sequence[Outcome]) -> Note:
            return Note("bench", f"{part:09d}", b"{}")

        for outcome in await store.load(batch, told):
            if isinstance(outcome, tuple):
                loaded += len(outcome)
            else:
                refused += 1
        writing += time.process_time() - begun
        walls += time.perf_counter() - wall
        batch.clear()

    for resources in bundles(folder, count):
        begun = time.process_time()
        changes = tuple(Change(Method.PUT, it["resourceType"], it["id"], it) for it in resources)
        source = secrets.token_bytes(32)
        draft = provenance.draft("feed:bench", id=str(uuid.uuid4()), source=source, label="bundle", rules=source)
        batch.append(
            preparation.transaction(
                Transaction(changes, draft, "feed:bench", system_clock(), source=source, rules=source)
            )
        )
        preparing += time.process_time() - begun
        person = next(it for it in resources if it["resourceType"] == "Patient")
        patients.append(person["id"])
        names.append(person["name"][0]["family"])
        if len(batch) == BATCH:
            await write()
    if batch:
        await write()
    print(
        f"loaded {loaded} resources ({refused} bundles refused): {loaded / walls:,.0f}/s in the store"
        f" ({loaded / writing:,.0f} per CPU second of this process), prepared {loaded / preparing:,.0f} per CPU second"
    )
    if server is not None:
        print(f"the server took {loaded / (cpu_of(server) - served):,.0f} resources per CPU second of its own")
    return patients, names


async def ask(store: Store, patients: list[str], names: list[str]) -> None:
    """Tell what reads and searches take."""
    parameters = Parameters(definitions.load(), BASE)

    async def told(name: str, works: Sequence[Any]) -> None:
        taken: list[float] = []
        for work in works:
            begun = time.perf_counter()
            await work()
            taken.append((time.perf_counter() - begun) * 1000)
        taken.sort()
        print(f"{name:<26} p50 {statistics.median(taken):7.2f} ms  p95 {taken[int(len(taken) * 0.95)]:7.2f} ms")

    chosen = [(patients[n % len(patients)], names[n % len(names)]) for n in range(60)]
    await told("read", [lambda p=p: store.read("Patient", p) for p, _ in chosen * 5])
    for name, text in SHAPES:
        works = []
        for patient, family in chosen:
            kind, _, query = text.format(patient=patient, name=family).partition("?")
            pairs = [(key, value) for key, _, value in (pair.partition("=") for pair in query.split("&"))]
            asked = parameters.parse(kind, pairs, strict=True).query
            works.append(lambda asked=asked: store.search(asked, EVERYTHING))
        await told(name, works)


async def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundles", type=int, default=100)
    parser.add_argument("--kind", choices=["sqlite", "postgres"], action="append")
    parser.add_argument("--url")
    options = parser.parse_args()
    for kind in options.kind or ["sqlite", "postgres"]:
        with tempfile.TemporaryDirectory(prefix="hawsepipe-bench-") as folder:
            how: dict[str, Any] = {
                "sealer": Commitments("bench.example/log", secrets.token_bytes), "labeller": Labels(base_url=BASE),
                "extractor": Extractor(definitions.load(), BASE), "validator": Validator(definitions.load()),
                "clock": system_clock, "meters": Meters(), "base_url": BASE,
            }  # fmt: skip
            print(f"-- {kind}")
            server_pid: int | None = None
            async with AsyncExitStack() as stack:
                if kind == "sqlite":
                    store = await stack.enter_async_context(sqlite.open_store(Path(folder), **how))
                else:
                    url = options.url
                    if url is None:
                        settings = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
                        running = stack.enter_context(server(Path(folder), settings=settings))
                        url = f"postgresql://postgres@127.0.0.1:{running.port}/postgres"
                        server_pid = running.pid
                    store = await stack.enter_async_context(postgres.open_store(postgres.Database(url), **how))
                await ask(store, *await load(store, options.folder, options.bundles, server_pid))


if __name__ == "__main__":
    asyncio.run(main())
