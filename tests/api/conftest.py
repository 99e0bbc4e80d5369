"""The API as a client meets it: a real server on loopback over a real store, a real gate and real tokens."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web
from multidict import CIMultiDict
from yarl import URL

from hawsepipe.api import server
from hawsepipe.api.application import Application
from hawsepipe.api.export import filters
from hawsepipe.api.listening import Runner
from hawsepipe.auth.authorization import smart_configuration
from hawsepipe.auth.issuer import Issuer, make_key
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import ALL_NORMAL, PolicySettings
from hawsepipe.consent.view import Gate
from hawsepipe.contents.disk import DiskContents
from hawsepipe.contents.taking import Taking
from hawsepipe.exports.files import Folder
from hawsepipe.exports.jobs import Exports
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.ledger.evidence import Evidence, LogKey, encoded, trust_document
from hawsepipe.ledger.keys import signing_key
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.verdict import Verdicts
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Resource, Transaction
from hawsepipe.service.resthooks import RestHooks
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite import open_store
from hawsepipe.subscriptions.engine import Patience, Subscriptions
from hawsepipe.subscriptions.record import Folder as Subscribed
from hawsepipe.subscriptions.terms import Allowed
from hawsepipe.subscriptions.topics import topics

CHANNEL = "test.example/hawsepipe"
INLINE = 20_000
"""Bytes of a content that stays in its resource."""

MOST = 950_000
"""Bytes that a content may have."""

BASE = "https://fhir.example.org/fhir"
FHIR = "application/fhir+json; charset=utf-8"


class Ticking:
    """A clock that moves by a millisecond at each look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@dataclass(frozen=True)
class Answer:
    """What came back, with the body as bytes."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def told(self) -> list[str]:
        """Return the diagnostics of an OperationOutcome."""
        assert self.json["resourceType"] == "OperationOutcome"
        return [issue["diagnostics"] for issue in self.json["issue"]]


@dataclass
class Service:
    """The running server and what a test may turn."""

    address: str
    session: ClientSession
    issuer: Issuer
    clock: Ticking
    store: Store
    application: Application
    anchorer: Anchorer
    trust: bytes
    meters: Meters
    exports: Exports
    subscriptions: Subscriptions
    gate: Gate
    ids: Any = field(default_factory=lambda: itertools.count(1))

    def token(self, **who: Any) -> str:
        whole = {
            "subject": "Practitioner/1",
            "client": "app",
            "scopes": ("user/*.cruds",),
            "roles": ("physician",),
            "purpose": "TREAT",
            "tenant": "main",
            "now": self.clock.now,
            "token_id": f"t-{next(self.ids)}",
            **who,
        }
        return self.issuer.issue(**whole)

    async def ask(
        self,
        method: str,
        path: str,
        body: Resource | bytes | None = None,
        *,
        token: str | None = "",
        **headers: str,
    ) -> Answer:
        """Send a request below the base. `token` empty: a physician's; None: no token at all."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token()}")
        data = msgspec.json.encode(body) if isinstance(body, dict) else body
        if isinstance(body, dict):
            sent.setdefault("Content-Type", "application/fhir+json")
        path = path.removeprefix(BASE).removeprefix("/")
        url = URL(f"{self.address}/{path}" if path else self.address, encoded=True)
        async with self.session.request(
            method, url, data=data, headers=sent, skip_auto_headers=["Content-Type"]
        ) as answer:
            return Answer(answer.status, CIMultiDict(answer.headers), await answer.read())

    async def put(self, *resources: Resource) -> None:
        """Store resources as a feed would."""
        changes = tuple(Change(Method.PUT, it["resourceType"], it["id"], it) for it in resources)
        await self.store.commit(Transaction(changes, None, "feed:test", self.clock()))

    async def delete(self, type_name: str, identity: str) -> None:
        changes = (Change(Method.DELETE, type_name, identity, None),)
        await self.store.commit(Transaction(changes, None, "feed:test", self.clock()))


@pytest.fixture(scope="session")
def knowledge() -> tuple[Extractor, Validator, Parameters]:
    """What is made of the definitions, once: it is pure."""
    known = definitions.load()
    return Extractor(known, BASE), Validator(known), Parameters(known, BASE)


@pytest.fixture
async def endpoints() -> tuple[str, ...]:
    """Where notifications may go."""
    return ("http://127.0.0.1:9/",)


@pytest.fixture
async def service(
    tmp_path: Path, knowledge: tuple[Extractor, Validator, Parameters], endpoints: tuple[str, ...]
) -> AsyncIterator[Service]:
    clock, meters = Ticking(), Meters()
    extractor, validator, parameters = knowledge
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(
                tmp_path / "store",
                sealer=Commitments(CHANNEL, os.urandom),
                labeller=Labels(base_url=BASE),
                extractor=extractor,
                validator=validator,
                clock=clock,
                meters=meters,
                base_url=BASE,
            )
        )
        make_key(tmp_path / "issuer.jwk", os.urandom)
        issuer = Issuer.read(tmp_path / "issuer.jwk", "https://fhir.example.org/auth", BASE)
        taking = Taking(DiskContents(tmp_path / "contents"), bytes(32), INLINE)
        gate = Gate(store, clock, PolicySettings(default_policy=ALL_NORMAL, base_url=BASE), meters, taking=taking)
        exports = Exports(Folder(tmp_path / "exports"), gate, filters(parameters), clock)
        hooks = RestHooks(private=True)
        stack.push_async_callback(hooks.close)
        subscriptions = Subscriptions(
            Subscribed(tmp_path / "subscriptions"),
            gate,
            filters(parameters),
            topics(definitions.load().resource_types, None),
            Allowed(endpoints, 1),
            hooks,
            clock,
            BASE,
            Patience(0.05, 0.2),
        )
        signer = Signer(CHANNEL, signing_key(tmp_path / "log.key"))
        anchorer = Anchorer(store, {}, signer, CHANNEL, clock, meters)
        trust = encoded(trust_document(CHANNEL, [LogKey(str(signer.vkey))], {}, quorum=0))
        evidence = Evidence(store, CHANNEL, ())
        application = Application(
            gate=gate,
            subscriptions=subscriptions,
            exports=exports,
            verifier=TokenVerifier({issuer.url: issuer.keys()}, BASE, clock, tenants=frozenset({"main"})),
            parameters=parameters,
            evidence=evidence.of,
            verdict=Verdicts(evidence, trust, receipted=False).of,
            base_url=BASE,
            clock=clock,
            meters=meters,
            cursor_key=bytes(range(32)),
            version="0.1.0",
            smart_configuration=smart_configuration(
                issuer=issuer.url, jwks_url=f"{BASE}/../auth/jwks", token_url="https://fhir.example.org/auth/token"
            ),
            max_body=100_000,
            taking=taking,
            max_content=MOST,
        )
        app = web.Application()
        app.add_routes(server.routes(application, "/fhir"))
        runner = Runner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        session = await stack.enter_async_context(ClientSession(auto_decompress=False))
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/fhir"
        yield Service(
            address, session, issuer, clock, store, application, anchorer, trust, meters, exports, subscriptions, gate
        )


@pytest.fixture
def ann() -> Resource:
    return {
        "resourceType": "Patient",
        "id": "ann",
        "identifier": [{"system": "urn:oid:1.2.3", "value": "4711"}],
        "name": [{"family": "Lindqvist", "given": ["Ann"]}],
        "gender": "female",
        "birthDate": "1970-01-01",
    }
