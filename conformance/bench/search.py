"""Searches of a generated store: p50 and p95 of each common shape, page 1 and a late page.

    python conformance/bench/search.py [--patients 1000] [--rounds 40] [--keep DIRECTORY]

A patient brings four Encounters and forty Observations (vital signs in components, laboratory values), every tenth
patient is hidden. Each search asks for 50 entries, through `Store.search` with its visibility, for values that change
with each round. Wall times on a shared machine are noise: milliseconds are CPU time of the process, and the last
column is the ratio to reading one resource, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from hawsepipe.clock import system_clock
from hawsepipe.consent.labels import Labels
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Resource, Transaction
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite import open_store
from hawsepipe.visibility import Constant, Visibility

BASE = "https://fhir.example.org/fhir"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
FAMILIES = [
    f"{first}{last}" for first in ("Lind", "Berg", "Sand", "Holm") for last in ("qvist", "man", "ström", "gren")
]
CODES = [f"{number}-{number % 9}" for number in range(1000, 1060)]
PAGE = 50


def resources(number: int, chance: random.Random) -> list[Resource]:
    """Return what one patient brings."""
    patient = f"p{number}"
    subject = {"reference": f"Patient/{patient}"}
    made: list[Resource] = [
        {
            "resourceType": "Patient",
            "id": patient,
            "identifier": [{"system": "urn:oid:1.2.3", "value": f"{number:07d}"}],
            "name": [{"family": chance.choice(FAMILIES), "given": [f"Given{number % 97}"]}],
            "gender": chance.choice(["female", "male"]),
            "birthDate": f"{1930 + number % 90}-{number % 12 + 1:02d}-{number % 28 + 1:02d}",
            "managingOrganization": {"reference": f"Organization/o{number % 20}"},
        }
    ]
    for visit in range(4):
        made.append(
            {
                "resourceType": "Encounter",
                "id": f"{patient}-e{visit}",
                "status": "finished",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": subject,
                "period": {
                    "start": f"20{10 + visit}-0{number % 9 + 1}-01",
                    "end": f"20{10 + visit}-0{number % 9 + 1}-02",
                },
            }
        )
    for place in range(40):
        quantity = {"value": chance.randrange(40, 2000) / 10, "unit": "mg/dL", "system": UCUM, "code": "mg/dL"}
        made.append(
            {
                "resourceType": "Observation",
                "id": f"{patient}-{place}",
                "status": "final",
                "category": [{"coding": [{"system": "http://cat", "code": "laboratory"}]}],
                "code": {"coding": [{"system": LOINC, "code": chance.choice(CODES)}]},
                "subject": subject,
                "encounter": {"reference": f"Encounter/{patient}-e{place % 4}"},
                "effectiveDateTime": f"20{10 + place % 16}-{place % 12 + 1:02d}-{number % 28 + 1:02d}T08:00:00Z",
                "valueQuantity": quantity,
            }
        )
    return made


def shapes(chance: random.Random, patients: int) -> dict[str, Callable[[], str]]:
    """Return each shape with what makes one search of it."""

    def some(prefix: str = "") -> str:
        return f"{prefix}p{chance.randrange(patients)}"

    def day() -> str:
        return f"20{10 + chance.randrange(16)}-{chance.randrange(12) + 1:02d}"

    code = f"code={LOINC}|"
    return {
        "by identifier": lambda: f"Patient?identifier=urn:oid:1.2.3|{chance.randrange(patients):07d}",
        "by name": lambda: f"Patient?family={chance.choice(FAMILIES)[:6]}",
        "by name, birth": lambda: f"Patient?family={chance.choice(FAMILIES)}&birthdate=19{chance.randrange(30, 99)}",
        "of a patient": lambda: f"Observation?patient={some('Patient/')}",
        "of a patient, newest": lambda: f"Observation?patient={some('Patient/')}&_sort=-date",
        "of a patient, code": lambda: f"Observation?patient={some('Patient/')}&{code}{chance.choice(CODES)}",
        "by code": lambda: f"Observation?{code}{chance.choice(CODES)}",
        "code and date": lambda: f"Observation?{code}{chance.choice(CODES)}&date={day()}",
        "by date": lambda: f"Observation?date=ge{day()}",
        "newest change": lambda: "Observation?_sort=-_lastUpdated",
        "quantity in another unit": lambda: f"Observation?value-quantity=gt{chance.randrange(15, 19) / 10}|{UCUM}|g/L",
        "code and value": lambda: f"Observation?code-value-quantity={chance.choice(CODES)}$gt{chance.randrange(150)}",
        "chain, few": lambda: f"Observation?patient.identifier=urn:oid:1.2.3|{chance.randrange(patients):07d}",
        "chain, many": lambda: f"Observation?patient.gender=female&{code}{chance.choice(CODES)}",
        "chain of two": lambda: f"Observation?patient.organization.name=ward {chance.randrange(20)}",
        "reverse chain": lambda: f"Patient?_has:Observation:patient:code={chance.choice(CODES)}&family=Lind",
        "with includes": lambda: f"Observation?{code}{chance.choice(CODES)}&_include=Observation:*",
        "with all that names it": lambda: f"Patient?_id={some()}&_revinclude=*",
        "missing": lambda: f"Observation?patient={some('Patient/')}&value-quantity:missing=true",
        "total": lambda: f"Observation?{code}{chance.choice(CODES)}&_total=accurate",
    }


async def filled(store: Store, patients: int) -> float:
    """Fill a store; return resources a second of CPU."""
    chance = random.Random(1)
    wards: list[Resource] = [{"resourceType": "Organization", "id": f"o{it}", "name": f"Ward {it}"} for it in range(20)]
    await store.commit(Transaction(tuple(_put(it) for it in wards), None, "feed:bench", system_clock()))
    started, count = time.process_time(), 0
    for first in range(0, patients, 10):
        made = [it for number in range(first, min(first + 10, patients)) for it in resources(number, chance)]
        await store.commit(Transaction(tuple(map(_put, made)), None, "feed:bench", system_clock()))
        count += len(made)
    return count / (time.process_time() - started)


def _put(resource: Resource) -> Change:
    return Change(Method.PUT, resource["resourceType"], resource["id"], resource)


async def measured(store: Store, patients: int, rounds: int) -> None:
    """Print the table."""
    hidden = frozenset(f"p{number}" for number in range(0, patients, 10))
    visibility = Visibility(Constant(True), ((hidden, Constant(False)),), Constant(True))
    parameters = Parameters(definitions.load(), BASE)
    chance = random.Random(2)
    reads = []
    for _ in range(rounds * 5):
        started = time.process_time()
        await store.read("Patient", f"p{chance.randrange(patients)}")
        reads.append(time.process_time() - started)
    one = statistics.median(reads)
    print(f"{'search':26}{'p50 ms':>9}{'p95 ms':>9}{'entries':>9}{'late p50':>10}{'x read':>8}")
    print(f"{'one read':26}{one * 1000:9.2f}{sorted(reads)[int(len(reads) * 0.95)] * 1000:9.2f}")
    for name, asked in shapes(chance, patients).items():
        times, late, entries = [], [], []
        for _ in range(rounds):
            kind, _, text = asked().partition("?")
            pairs = [(key, value) for key, _, value in (it.partition("=") for it in text.split("&"))]
            started = time.process_time()
            query = replace(parameters.parse(kind, pairs, strict=True).query, count=PAGE)
            page = await store.search(query, visibility)
            times.append(time.process_time() - started)
            entries.append(len(page.versions))
            for _ in range(8):
                if page.next is None:
                    break
                query = replace(query, cursor=page.next)
                started = time.process_time()
                page = await store.search(query, visibility)
                spent = time.process_time() - started
            else:
                late.append(spent)
        times.sort()
        p50, p95 = statistics.median(times), times[int(len(times) * 0.95)]
        last = f"{statistics.median(late) * 1000:10.2f}" if late else " " * 10
        print(f"{name:26}{p50 * 1000:9.2f}{p95 * 1000:9.2f}{statistics.mean(entries):9.1f}{last}{p50 / one:8.1f}")


async def main() -> None:
    """Fill a store, or take one that was kept, and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    known = definitions.load()
    async with AsyncExitStack() as stack:
        path = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        new = not (path / "store.db").exists()
        store = await stack.enter_async_context(
            open_store(
                path, sealer=Commitments("bench.example/search", os.urandom), labeller=Labels(base_url=BASE),
                extractor=Extractor(known, BASE), validator=Validator(known), clock=system_clock, meters=Meters(),
                base_url=BASE,
            )
        )  # fmt: skip
        if new:
            rate = await filled(store, given.patients)
            print(f"{given.patients * 45} resources, {rate:.0f} a second of CPU")
        await measured(store, given.patients, given.rounds)


if __name__ == "__main__":
    asyncio.run(main())
