"""A small hospital's store with its ledger, in a directory: made once, and copied for each tampering."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe import LedgerBackend, Meters
from hawsepipe.consent.labels import Labels
from hawsepipe.fhir import codec, definitions, provenance
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.audit import Audit as Auditing
from hawsepipe.ledger.audit import Auditable, Report
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.ledger.evidence import Evidence, LogKey, encoded, trust_document
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.publisher import LedgerState
from hawsepipe.ledger.verify import Asked, Findings, verify
from hawsepipe.model import Change, Checkpoint, Method, RawMessage, Resource, Transaction, Version
from hawsepipe.store.contract import JournalEntry
from hawsepipe.store.sqlite import open_store
from hawsepipe_conformance import ledger as contract

CHANNEL = "ledger.example/tampering"
BASE = "https://fhir.example/fhir"
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
RULES = hashlib.sha256(b"rules").digest()


def key(name: str) -> Ed25519PrivateKey:
    """Return a signing key that is the same in each run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


class Wall:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.instant = START

    def __call__(self) -> datetime:
        return self.instant


@dataclass(frozen=True)
class Backend:
    """A kind of ledger: its plugin, its name, its settings for a ledger in a directory, and whether its receipts are
    cosignatures, which the verifier counts.
    """

    plugin: str
    kind: str
    settings: Callable[[Path], dict[str, Any]]
    cosigns: bool = False


LOG = Backend("hawsepipe_ledger_log.plugin", "log", lambda directory: {}, cosigns=True)


@dataclass
class Ground:
    """A directory with `store/` and `ledger/`. Whoever holds it may tamper with both."""

    path: Path
    backend: Backend
    wall: Wall

    @property
    def file(self) -> Path:
        """The store's file."""
        return self.path / "store" / "store.db"

    def sql(self, *statements: str, **values: Any) -> None:
        """Change rows, as somebody with the file in his hands does."""
        database = sqlite3.connect(self.file, isolation_level=None)
        try:
            for statement in statements:
                if not database.execute(statement, values).rowcount:
                    raise LookupError(f"nothing was tampered with: {statement}")
        finally:
            database.close()

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """Read rows."""
        database = sqlite3.connect(self.file)
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def copy(self, to: Path) -> Ground:
        """Return the same in another directory; a ledger elsewhere stays the same one."""
        shutil.copytree(self.path / "store", to / "store")
        if (self.path / "ledger").exists():
            shutil.copytree(self.path / "ledger", to / "ledger")
        wall = Wall()
        wall.instant = self.wall.instant
        return Ground(to, self.backend, wall)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Any]:
        """Open the store."""
        facts = definitions.load()
        async with open_store(
            self.path / "store",
            sealer=Commitments(CHANNEL, os.urandom),
            labeller=Labels(base_url=BASE),
            extractor=Extractor(facts, BASE),
            validator=Validator(facts),
            clock=self.wall,
            meters=Meters(),
            readers=1,
        ) as store:
            yield store

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[LedgerBackend]:
        """Open the ledger."""
        directory = self.path / "ledger"
        async with contract.opened(
            self.backend.plugin, self.backend.kind, directory, self.backend.settings(directory)
        ) as ledger:
            yield ledger

    async def write(self, store: Any, *changes: Change, message: bytes) -> tuple[Version, ...]:
        """Journal a message and commit what it changes."""
        self.wall.instant += timedelta(seconds=1)
        raw = RawMessage("adt", self.wall.instant, "application/hl7-v2", message)
        await store.append(JournalEntry(raw, message.decode(), b"AA"))
        name = hashlib.sha256(message).hexdigest()[:16]
        draft = provenance.draft("feed:adt", id=name, source=raw.digest)
        made = await store.commit(
            Transaction(changes, draft, "feed:adt", self.wall.instant, source=raw.digest, rules=RULES)
        )
        return tuple(made)

    async def anchor(self, store: Any, ledger: LedgerBackend | None, *, signer: str = "log") -> LedgerState:
        """Bring everything into the log and to the ledger; return how the log stands."""
        backends = {"log": ledger} if ledger is not None else {}
        anchorer = Anchorer(store, backends, Signer(CHANNEL, key(signer)), CHANNEL, self.wall, Meters())
        for _ in range(3):
            if await anchorer.once():
                break
        return anchorer.state

    async def state(self) -> LedgerState:
        """Return how the log stands when the service starts and something new comes."""
        async with self.store() as store, self.ledger() as ledger:
            await self.write(store, put(patient(900)), message=b"MSH|start")
            return await self.anchor(store, ledger)

    async def audit(self, *, seen: Checkpoint | None = None, keys: list[LogKey] | None = None) -> Report:
        """Audit the store against its ledger."""
        trusted = keys if keys is not None else [LogKey(str(Signer(CHANNEL, key("log")).vkey))]
        async with self.store() as store, self.ledger() as ledger:
            auditable: Auditable = store
            return await Auditing(auditable, CHANNEL, trusted, {"log": ledger}, seen=seen, now=self.wall.instant).run()

    async def evidence(self, reference: str, **options: Any) -> dict[str, Any]:
        """Return evidence of `Type/id/version`, or of the absence of `Type/id`."""
        type_, id_, *number = reference.split("/")
        async with self.store() as store:
            maker = Evidence(store, CHANNEL, ["log"])
            if not number:
                return await maker.absent(type_, id_)
            version = await store.vread(type_, id_, int(number[0]))
            if version is None:
                raise LookupError(reference)
            return await maker.of(version, **options)

    async def trust(self) -> dict[str, Any]:
        """Return the trust document."""
        async with self.ledger() as ledger:
            keys = [LogKey(str(Signer(CHANNEL, key("log")).vkey))]
            return trust_document(CHANNEL, keys, {"log": ledger}, quorum=int(self.backend.cosigns))

    async def verified(self, document: dict[str, Any], trust: dict[str, Any] | None = None, **asked: Any) -> Findings:
        """Verify a document."""
        return verify(encoded(document), encoded(trust if trust is not None else await self.trust()), Asked(**asked))


def put(resource: Resource) -> Change:
    """Return the change that stores a resource."""
    return Change(Method.PUT, resource["resourceType"], resource["id"], resource)


def patient(number: int, family: str = "Åkesson") -> Resource:
    """Return a Patient."""
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": family}]}


def observation(number: int, status: str = "final") -> Resource:
    """Return a potassium result of a patient, whose value is spelt 6.30."""
    text = {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": status,
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
        "subject": {"reference": f"Patient/p{number}"},
        "valueQuantity": {"value": 0, "unit": "mmol/L"},
    }
    return codec.decode(json.dumps(text).replace('"value": 0', '"value": 6.30').encode())


async def made(path: Path, backend: Backend = LOG, *, story: str = "true", patients: int = 4) -> Ground:
    """Make a store of a few patients with results, in three batches, each anchored; another `story`, other content."""
    ground = Ground(path, backend, Wall())
    async with ground.store() as store, ground.ledger() as ledger:
        for number in range(patients):
            changes = (put(patient(number, story.title())), put(observation(number)))
            await ground.write(store, *changes, message=f"MSH|{story} {number}".encode())
        await ground.anchor(store, ledger)
        await ground.write(store, put(observation(1, "amended")), message=f"MSH|{story} amended".encode())
        await ground.anchor(store, ledger)
        gone = Change(Method.DELETE, "Observation", "o2", None)
        await ground.write(store, gone, message=f"MSH|{story} deleted".encode())
        await ground.anchor(store, ledger)
    return ground


async def honest(path: Path, backend: Backend, versions: int, progress: Callable[[int], None]) -> list[str]:
    """Write this many versions with restarts between; return what was found though nothing was tampered with."""
    ground = Ground(path, backend, Wall())
    count, run, alarms = 0, 0, list[str]()
    while count < versions:
        run += 1
        async with ground.store() as store, ground.ledger() as ledger:
            state = LedgerState.GOOD
            for number in range(min(max(versions // 8, 5), 2000)):
                subject = (run * 7 + number) % max(versions // 3, 2)
                changes = (put(patient(subject, f"F{run}")), put(observation(subject)))
                made_now = await ground.write(store, *changes, message=f"MSH|{run}-{number}".encode())
                count += len(made_now)
                if number % 5 == 4:
                    # Every third anchorer is cut off somewhere, as a crash would.
                    anchoring = asyncio.ensure_future(ground.anchor(store, ledger))
                    if number % 3 == 0:
                        await asyncio.sleep(0)
                        anchoring.cancel()
                        await asyncio.gather(anchoring, return_exceptions=True)
                    else:
                        state = await anchoring
                if state in (LedgerState.BROKEN, LedgerState.FORKED, LedgerState.ROLLED_BACK):
                    alarms.append(state.value)
            state = await ground.anchor(store, ledger)
            if state is not LedgerState.GOOD:
                alarms.append(state.value)
        progress(min(count, versions))
    report = await ground.audit()
    alarms += [str(finding) for finding in report.findings]
    trust = await ground.trust()
    async with ground.store() as store:
        maker = Evidence(store, CHANNEL, ["log"])
        for subject in range(0, max(versions // 3, 2), max(versions // 60, 1)):
            version = await store.read("Patient", f"p{subject}")
            if version is not None:
                found = await ground.verified(await maker.of(version, state=True), trust, latest=True)
                alarms += [] if found.ok else [found.code]
    return alarms
