"""Versions a second through commitment, log and signature, against bare hashing of the same bytes.

    python conformance/bench/ledger.py [--versions 5000] [--batch 1000]

The baseline is SHA-256 over the content, twice (an opening has two hashes of it), in the same process; read the
ratios. The disk is not in it, but for the last part: a real store whose outbox is brought into the log, with the map,
the fsync and the signed checkpoint of each batch; its CPU is that of all threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe.ledger import merkle, statemap, verify
from hawsepipe.ledger.audit import Audit
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.ledger.evidence import Evidence, LogKey, encoded
from hawsepipe.ledger.note import Cosigner, Signer
from hawsepipe.model import Draft, Operation, Seal, Transaction
from hawsepipe_conformance.tamper import ground as tampering

CHANNEL = "ledger.example/bench"
INSTANT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def content(number: int) -> bytes:
    """Return an Observation of about 1.2 kB."""
    resource = {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"versionId": "1", "lastUpdated": "2026-03-01T12:00:00.000Z", "source": f"#{number}"},
        "identifier": [{"system": "urn:oid:1.2.3.4", "value": f"A{number}"}],
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}],
            "text": "Kalium",
        },
        "subject": {"reference": f"Patient/p{number % 100}"},
        "effectiveDateTime": "2026-03-01T11:40:00+01:00",
        "valueQuantity": {"value": 4.125, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
        "referenceRange": [{"low": {"value": 3.5}, "high": {"value": 5.25}}] * 3,
        "note": [{"text": "Provet är hemolyserat; värdet kan vara för högt. " * 4}],
    }
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


def measured(name: str, count: int, work: Callable[[], object], baseline: float | None = None) -> float:
    """Run, print and return CPU microseconds for each of `count`."""
    begun = time.process_time()
    work()
    each = (time.process_time() - begun) / count * 1e6
    ratio = "" if baseline is None else f"{each / baseline:8.1f} x baseline"
    print(f"{name:<44}{each:10.1f} µs CPU {1e6 / each:12,.0f} /s{ratio}")
    return each


async def stored(count: int) -> None:
    """Measure what anchoring costs beside storing, evidence with the state, its verification, and an audit."""
    with tempfile.TemporaryDirectory() as name:
        ground = tampering.Ground(Path(name), tampering.LOG, tampering.Wall())
        async with ground.store() as store, ground.ledger() as ledger:
            begun = time.process_time()
            for first in range(0, count, 100):
                changes = [tampering.put(tampering.observation(number)) for number in range(first, first + 100)]
                await store.commit(Transaction(tuple(changes), None, "feed:bench", ground.wall()))
            storing = time.process_time() - begun
            begun = time.process_time()
            state = await ground.anchor(store, ledger)
            anchoring = time.process_time() - begun
            drafts = [
                Draft("Observation", f"o{number}", 1, Operation.CREATE, INSTANT, content(number), (), None)
                for number in range(count)
            ]
            maker = Commitments(CHANNEL, os.urandom)
            begun = time.process_time()
            maker.seal(drafts, None, None, None)
            sealing = time.process_time() - begun
            whole = (anchoring + sealing) / count
            share = (anchoring + sealing) / (storing + anchoring)
            print(f"\na real store, {count} versions, log {state.value}")
            print(f"{'canonical form and commitment':<44}{sealing / count * 1e6:10.1f} µs CPU")
            print(f"{'log, map, fsync, signed checkpoint, ledger':<44}{anchoring / count * 1e6:10.1f} µs CPU")
            print(f"{'both':<44}{whole * 1e6:10.1f} µs CPU {1 / whole:12,.0f} /s")
            print(f"{'storing, with the commitment':<44}{storing / count * 1e6:10.1f} µs CPU")
            print(f"{'share of anchoring in ingest':<44}{share:10.1%}")
            await _shown(ground, store, ledger, count)


async def _shown(ground: tampering.Ground, store: Any, ledger: Any, count: int) -> None:
    maker = Evidence(store, tampering.CHANNEL, ["log"])
    trust = encoded(await ground.trust())
    versions = [await store.read("Observation", f"o{number}") for number in range(0, count, max(count // 200, 1))]
    begun = time.process_time()
    documents = [encoded(await maker.of(version, state=True)) for version in versions]
    print(f"{'evidence with the state':<44}{(time.process_time() - begun) / len(versions) * 1e6:10.1f} µs CPU")
    begun = time.process_time()
    good = all(verify.verify(document, trust, verify.Asked(latest=True)).ok for document in documents)
    each = (time.process_time() - begun) / len(versions)
    print(f"{'its verification':<44}{each * 1e6:10.1f} µs CPU{'' if good else '  FAILED'}")
    for what in ("content", "state"):
        bare = [{key: part for key, part in json.loads(one).items() if key != what} for one in documents]
        sizes = [len(encoded(one)) for one in bare]
        print(f"{f'evidence without its {what}':<44}{sum(sizes) / len(sizes):10.0f} bytes")
    key = LogKey(str(Signer(tampering.CHANNEL, tampering.key("log")).vkey))
    begun = time.process_time()
    report = await Audit(store, tampering.CHANNEL, [key], {"log": ledger}).run()
    each = (time.process_time() - begun) / report.versions
    print(f"{'audit':<44}{each * 1e6:10.1f} µs CPU {1 / each:12,.0f} /s{'' if report.ok else '  FAILED'}")


def mapped(count: int, batch: int) -> None:
    """Measure the growth of the current-state map, and a way through it."""
    pages: dict[str, bytes] = {}
    places = [sha256(b"Observation/o%d" % number).digest() for number in range(count)]

    def grown() -> None:
        for first in range(0, count, batch):
            _, changed = statemap.grown(pages, dict.fromkeys(places[first : first + batch], bytes(32)))
            pages.update(changed)

    measured("current-state map, growth", count, grown)
    measured("current-state map, way", count, lambda: [statemap.way(pages, place) for place in places])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=1000)
    given = parser.parse_args()
    count, batch = given.versions, given.batch
    contents = [content(number) for number in range(count)]
    print(f"{count} versions of {len(contents[0])} bytes, batches of {batch}")
    drafts = [
        Draft("Observation", f"o{number}", 1, Operation.CREATE, INSTANT, body, (f"p{number % 100}",), None)
        for number, body in enumerate(contents)
    ]
    maker = Commitments(CHANNEL, os.urandom)
    signer = Signer(CHANNEL, Ed25519PrivateKey.generate())
    seals: list[Seal] = []
    nodes: dict[merkle.Coordinate, bytes] = {}
    frontier = merkle.Frontier()
    notes = []

    def hashed() -> None:
        for body in contents:
            sha256(body).digest()
            sha256(body).digest()

    def committed() -> None:
        for draft in drafts:
            seals.extend(maker.seal([draft], None, None, None)[0])

    def logged() -> None:
        for index, seal in enumerate(seals):
            leaf = merkle.leaf_hash(seal.commitment)
            nodes[0, index] = leaf
            nodes.update(frontier.append(leaf))
            if (index + 1) % batch == 0 or index + 1 == count:
                notes.append(signer.checkpoint(frontier.size, frontier.root()))

    def whole() -> None:
        committed()
        logged()

    baseline = measured("bare SHA-256, content twice", count, hashed)
    measured("commitment, log and signed checkpoints", count, whole, baseline)
    seals.clear()
    measured("  of that, commitment", count, committed, baseline)
    frontier = merkle.Frontier()
    nodes.clear()
    notes.clear()
    measured("  of that, log and signature", count, logged, baseline)

    size, checkpoint = frontier.size, notes[-1]
    proofs = []

    def proven() -> None:
        for index in range(count):
            proofs.append(merkle.proof(merkle.inclusion_spans(index, size), nodes))

    measured("inclusion proof", count, proven)
    cosigner = Cosigner("ledger.example/cosigner", Ed25519PrivateKey.generate())
    receipt = {
        "backend": "log",
        "channel": CHANNEL,
        "size": size,
        "root": checkpoint.root.hex(),
        "position": str(size),
        "proof": {"cosignature": cosigner.cosign(checkpoint, INSTANT).rstrip("\n")},
    }
    trust = encoded(
        {
            "format": "hawsepipe/trust/v1",
            "channel": CHANNEL,
            "log": [{"vkey": str(signer.vkey), "fromSize": 1, "toSize": None}],
            "backends": {"log": {"type": "cosignature/v1", "vkey": str(cosigner.vkey)}},
        }
    )
    some = min(count, 500)
    documents = [
        encoded(
            {
                "format": "hawsepipe/evidence/v1",
                "type": "Observation",
                "id": f"o{index}",
                "version": 1,
                "content": contents[index].decode(),
                "opening": seals[index].opening.decode(),
                "salt": seals[index].salt.hex(),
                "commitment": seals[index].commitment.hex(),
                "leafIndex": index,
                "inclusionProof": [value.hex() for value in proofs[index]],
                "rootHash": checkpoint.root.hex(),
                "checkpoint": checkpoint.note.decode(),
                "receipts": [receipt],
                "dependencies": [],
            }
        )
        for index in range(some)
    ]
    outcomes: list[bool] = []
    measured(
        "verification of evidence", some, lambda: outcomes.extend(verify.verify(one, trust).ok for one in documents)
    )
    if not all(outcomes):
        raise SystemExit("evidence that should verify did not")
    mapped(count, batch)
    asyncio.run(stored(count))


if __name__ == "__main__":
    main()
