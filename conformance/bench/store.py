"""Resources a second through the whole of `Store.apply`, and what that is of a bare SQLite insert of the same bytes.

    python conformance/bench/store.py [--messages 2000] [--batch 64] [--profile]

A message makes a Patient, an Encounter, two Observations and their Provenance: merged, labelled, validated, sealed,
indexed and queued for anchoring, `--batch` messages to a commit, in a fresh directory. The second round changes each
resource. The baseline writes the same contents into one table, as many to a commit. Then the searches of a filled
store, each 200 times. Wall times on a shared machine are noise; read CPU and the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import secrets
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import apsw

from hawsepipe.clock import system_clock
from hawsepipe.consent.labels import Labels
from hawsepipe.errors import HawsepipeError
from hawsepipe.fhir import definitions, provenance
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, RawMessage, Resource, Transaction, Version
from hawsepipe.store.answers import Held
from hawsepipe.store.contract import Application, JournalEntry, Store
from hawsepipe.store.sqlite import open_store
from hawsepipe.visibility import Constant, Has, Lacks, Not, Visibility

BASE = "https://fhir.example.org/r4"
EVERYTHING = Visibility(Constant(True), (), Constant(True))


def resources(number: int, turn: int) -> list[Resource]:
    """Return what one message makes; `turn` changes each of them."""

    def identity(kind: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}{number}"))

    patient, encounter = identity("p"), identity("e")
    day = f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
    subject = {"reference": f"Patient/{patient}", "type": "Patient"}
    made: list[Resource] = [
        {
            "resourceType": "Patient",
            "identifier": [
                {"use": "official", "system": "urn:oid:1.2.752.129", "value": f"MR{number}"},
                {"system": "urn:oid:1.2.752.129.2.1.3.1", "value": f"19760314{number:04d}"},
            ],
            "active": turn == 0,
            "name": [{"use": "official", "family": f"Lindqvist{number % 500}", "given": ["Maria", "Elisabet"]}],
            "telecom": [{"system": "phone", "value": f"+46 31 {number}", "use": "home"}],
            "gender": "female",
            "birthDate": f"19{number % 90 + 10}-03-14",
            "address": [{"line": [f"Sjögatan {number}"], "city": "Göteborg", "postalCode": "41115", "country": "SE"}],
        },
        {
            "resourceType": "Encounter",
            "identifier": [{"system": "urn:oid:1.2.752.129.7", "value": f"V{number}"}],
            "status": "finished" if turn else "in-progress",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": subject,
            "period": {"start": f"{day}T08:15:00+01:00"},
        },
    ]
    for place, code in enumerate(("718-7", "2345-7")):
        made.append(
            {
                "resourceType": "Observation",
                "identifier": [{"system": "urn:oid:1.2.752.129.9", "value": f"F{number}-{place}"}],
                "status": "amended" if turn else "final",
                "category": [
                    {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                "code": "laboratory",
                            }
                        ]
                    }
                ],
                "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": "Measured"}], "text": "x"},
                "subject": subject,
                "encounter": {"reference": f"Encounter/{encounter}"},
                "effectiveDateTime": f"{day}T09:{number % 60:02d}:00+01:00",
                "valueQuantity": {
                    "value": number % 200,
                    "unit": "g/L",
                    "system": "http://unitsofmeasure.org",
                    "code": "g/L",
                },
                "interpretation": [{"text": "within the reference range of the laboratory"}],
            }
        )
    for resource, kind in zip(made, ("p", "e", "o0", "o1"), strict=True):
        resource["id"] = identity(kind)
    return made


def application(sequence: int, number: int, turn: int, instant_offset: int) -> Application:
    """Return the effect of one message."""
    made = resources(number, turn)
    source = number.to_bytes(32, "big")
    draft = provenance.draft("feed:bench", id=str(uuid.uuid4()), source=source, label=f"ADT^A01 {number}", rules=source)
    return Application(
        sequence,
        f"ADT^A01 {number}",
        Transaction(
            tuple(Change(Method.PUT, resource["resourceType"], resource["id"], resource) for resource in made),
            draft,
            "feed:bench",
            system_clock() + timedelta(microseconds=instant_offset),
            source=source,
            rules=source,
        ),
    )


async def journalled(store: Store, messages: int, turn: int) -> list[int]:
    """Journal the messages, many at a time; return their sequences."""
    entries = [
        JournalEntry(
            RawMessage("bench", system_clock(), "text/plain", b"%d %d" % (turn, number)), f"{turn} {number}", b""
        )
        for number in range(messages)
    ]
    begun, cpu = time.perf_counter(), time.process_time()
    answers = await asyncio.gather(*(store.append(entry) for entry in entries))
    told(f"journal, turn {turn}", messages, time.perf_counter() - begun, time.process_time() - cpu, "message")
    return [answer.sequence for answer in answers]


async def applied(store: Store, sequences: Sequence[int], turn: int, batch: int) -> tuple[list[Version], float]:
    """Apply the messages in batches; return what they made and the CPU seconds."""
    made: list[Version] = []
    wall = cpu = 0.0
    for start in range(0, len(sequences), batch):
        group = [
            application(sequence, start + place, turn, place)
            for place, sequence in enumerate(sequences[start : start + batch])
        ]
        begun, spent = time.perf_counter(), time.process_time()
        answers = await store.apply(group)
        wall += time.perf_counter() - begun
        cpu += time.process_time() - spent
        for answer in answers:
            if isinstance(answer, HawsepipeError):
                raise answer
            assert not isinstance(answer, Held), "nothing is held"
            made += answer
    told(f"apply, turn {turn}, {batch} a commit", len(made), wall, cpu, "resource")
    return made, cpu


def baseline(directory: Path, versions: Sequence[Version], commit: int) -> float:
    """Insert the same contents into one table of a bare database; return the CPU seconds."""
    connection = apsw.Connection(str(directory / "baseline.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.execute(
        "CREATE TABLE t (type TEXT, id TEXT, version INT, content BLOB, PRIMARY KEY (type, id, version))"
    )
    begun, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(versions), commit):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?)",
            [
                (version.type, version.id, version.version, version.content)
                for version in versions[start : start + commit]
            ],
        )
        connection.execute("COMMIT")
    spent = time.process_time() - cpu
    told("bare insert", len(versions), time.perf_counter() - begun, spent, "resource")
    connection.close()
    return spent


async def searched(store: Store, parameters: Parameters) -> None:
    """Print the median of common searches."""
    patient = str(uuid.uuid5(uuid.NAMESPACE_URL, "p17"))
    narrow = Visibility(Constant(True), (), Not(Has("label", frozenset({"x"}))))
    groups = tuple((frozenset(str(uuid.uuid4()) for _ in range(500)), Lacks(f"k{place}")) for place in range(40))
    crowd = Visibility(Constant(True), groups, Constant(True))
    for name, type_, pairs in (
        ("one patient's observations", "Observation", [("patient", patient)]),
        ("one patient and code", "Observation", [("patient", patient), ("code", "http://loinc.org|718-7")]),
        ("a common code", "Observation", [("code", "http://loinc.org|718-7")]),
        ("a common code and a date", "Observation", [("code", "http://loinc.org|718-7"), ("date", "ge2026-12-20")]),
        ("an identifier", "Patient", [("identifier", "urn:oid:1.2.752.129|MR17")]),
        ("a name", "Patient", [("family", "lindqvist1")]),
        ("everything", "Observation", []),
        ("one patient, newest first", "Observation", [("patient", patient), ("_sort", "-date")]),
        ("the newest of all", "Observation", [("_sort", "-_lastUpdated")]),
    ):
        query = parameters.parse(type_, pairs, True).query
        for label, visibility in (("all", EVERYTHING), ("one formula", narrow), ("40 groups of 500", crowd)):
            seconds = [await _timed(lambda q=query, v=visibility: store.search(q, v)) for _ in range(50)]  # type: ignore[misc]  # defaults bind the loop's values
            print(f"search  {name:28} visible: {label:18} {statistics.median(seconds) * 1000:8.2f} ms")


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


def told(name: str, count: int, wall: float, cpu: float, unit: str) -> None:
    """Print one line."""
    print(
        f"{name:32} {count / wall:9.0f} {unit}s/s wall {count / cpu:9.0f} {unit}s/s CPU"
        f" {cpu / count * 1e6:7.1f} µs CPU a {unit}"
    )


async def measured(messages: int, batch: int, directory: Path) -> None:
    """Run everything in a directory."""
    known = definitions.load()
    async with open_store(
        directory,
        sealer=Commitments("bench", secrets.token_bytes),
        labeller=Labels(base_url=BASE),
        extractor=Extractor(known, BASE),
        validator=Validator(known),
        clock=system_clock,
        meters=Meters(),
        base_url=BASE,
    ) as store:
        warm = await journalled(store, 8, 9)
        await applied(store, warm, 9, 8)
        made: list[Version] = []
        spent = 0.0
        for turn in (0, 1):
            sequences = await journalled(store, messages, turn)
            versions, cpu = await applied(store, sequences, turn, batch)
            made += versions
            spent += cpu
        size = await asyncio.to_thread(os.path.getsize, directory / "store.db")
        content = sum(len(version.content or b"") for version in made)
        opening = sum(len(version.opening or b"") for version in made)
        print(
            f"disk {size / len(made):.0f} bytes a version: content {content / len(made):.0f},"
            f" opening {opening / len(made):.0f}"
        )
        await searched(store, Parameters(known, BASE))
    bare = baseline(directory, made, batch * 5)
    print(f"a resource costs {spent / bare:.0f} times a bare insert")


def main() -> None:
    """Read the arguments and run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=2000)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--profile", action="store_true", help="profile the writer's thread")
    given = arguments.parse_args()
    print(f"{os.cpu_count()} cores, SQLite {apsw.sqlite_lib_version()}")
    profiler = cProfile.Profile()
    if given.profile:
        threading.setprofile(
            lambda *_: profiler.enable() if threading.current_thread().name.endswith("writer") else None
        )
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measured(given.messages, given.batch, Path(directory)))
    if given.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
