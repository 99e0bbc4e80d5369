"""A real store with real commitments, and a real embedded ledger, for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe import Kind, LedgerBackend, Opening
from hawsepipe.consent.labels import Labels
from hawsepipe.fhir import codec, definitions, provenance
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.ledger.note import Signer
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Resource, Transaction, Version
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite import open_store
from hawsepipe_ledger_log.plugin import register_ledgers

CHANNEL = "ledger.example/ward"
BASE = "https://fhir.example/fhir"
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

Stores = Callable[[Path], AbstractAsyncContextManager[Store]]
Ledgers = Callable[..., AbstractAsyncContextManager[LedgerBackend]]
Writer = Callable[..., Awaitable[tuple[Version, ...]]]


class Wall:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.instant = START

    def __call__(self) -> datetime:
        return self.instant

    def forward(self, seconds: float) -> None:
        """Move on."""
        self.instant += timedelta(seconds=seconds)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def channel() -> str:
    return CHANNEL


@pytest.fixture
def log_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(b"log").digest())


@pytest.fixture
def signer(log_key: Ed25519PrivateKey) -> Signer:
    return Signer(CHANNEL, log_key)


@pytest.fixture
def salts() -> Callable[[int], bytes]:
    """Bytes that never come twice, and are the same in each run."""
    count = 0

    def random(size: int) -> bytes:
        nonlocal count
        count += 1
        return sha256(b"salt %d" % count).digest()[:size]

    return random


@pytest.fixture
def stores(wall: Wall, meters: Meters, salts: Callable[[int], bytes]) -> Stores:
    """Opens the store in a directory; the same directory again is the same store."""
    facts = definitions.load()

    def opened(path: Path) -> AbstractAsyncContextManager[Store]:
        return open_store(
            path,
            sealer=Commitments(CHANNEL, salts),
            labeller=Labels(base_url=BASE),
            extractor=Extractor(facts, BASE),
            validator=Validator(facts),
            clock=wall,
            meters=meters,
            readers=1,
        )

    return opened


@pytest.fixture
async def store(stores: Stores, tmp_path: Path) -> AsyncIterator[Store]:
    async with stores(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def ledgers(wall: Wall, meters: Meters) -> Ledgers:
    """Opens an embedded ledger in a directory."""
    kind: Kind[LedgerBackend] = register_ledgers()[0]

    def opened(directory: Path, name: str = "log") -> AbstractAsyncContextManager[LedgerBackend]:
        directory.mkdir(parents=True, exist_ok=True)
        return kind.open(Opening(name, {}, directory, wall, meters))

    return opened


@pytest.fixture
async def ledger(ledgers: Ledgers, tmp_path: Path) -> AsyncIterator[LedgerBackend]:
    async with ledgers(tmp_path / "ledger") as opened:
        yield opened


def patient(number: int, family: str = "Lindqvist") -> Resource:
    """Return a Patient."""
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": family}]}


def observation(number: int, value: str = "6.30") -> Resource:
    """Return a potassium result of the patient with this number; `value` is kept as it is spelt."""
    text = {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
        "subject": {"reference": f"Patient/p{number}"},
        "valueQuantity": {"value": 0, "unit": "mmol/L"},
    }
    return codec.decode(json.dumps(text).replace('"value": 0', f'"value": {value}').encode())


def _parts(reference: str) -> tuple[str, str]:
    kind, _, identifier = reference.partition("/")
    return kind, identifier


@pytest.fixture
def write(wall: Wall) -> Writer:
    """Commits resources in one transaction, with a Provenance unless told otherwise; None stands for a delete."""

    async def written(
        store: Store, *resources: Resource, delete: tuple[str, ...] = (), message: bytes | None = b"MSH|message"
    ) -> tuple[Version, ...]:
        changes = [Change(Method.PUT, item["resourceType"], item["id"], item) for item in resources]
        changes += [Change(Method.DELETE, *_parts(reference), None) for reference in delete]
        source = sha256(message).digest() if message is not None else None
        draft: dict[str, Any] | None = None
        if message is not None:
            number = sha256(repr((message, wall.instant, [change.id for change in changes])).encode()).hexdigest()[:16]
            draft = provenance.draft("feed:adt", id=f"prov-{number}", source=source)
        wall.forward(1)
        transaction = Transaction(
            tuple(changes),
            draft,
            "feed:adt",
            wall.instant,
            source=source,
            rules=sha256(b"rules").digest() if message is not None else None,
        )
        return await store.commit(transaction)

    return written
