"""A whole installation in one process: a store, the gate, the FHIR API on a loopback port, and tokens for whoever asks.

Its clock stands at the instant that is given and moves by a millisecond at each look, and it makes ids by counting, so
that two houses that are asked the same answer the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, web
from yarl import URL

from hawsepipe.api import server
from hawsepipe.api.application import Application
from hawsepipe.api.export import filters
from hawsepipe.api.listening import Runner
from hawsepipe.auth.issuer import Issuer, make_key
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.view import Gate
from hawsepipe.exports.files import Folder
from hawsepipe.exports.jobs import Exports
from hawsepipe.fhir import codec, definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.ledger.evidence import Evidence
from hawsepipe.ledger.verdict import Verdicts
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Principal, Resource, Transaction, Version
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite import open_store
from hawsepipe.subscriptions.engine import Patience, Subscriptions
from hawsepipe.subscriptions.record import Folder as Subscribed
from hawsepipe.subscriptions.terms import Allowed
from hawsepipe.subscriptions.topics import topics

BASE: Final = "https://fhir.example.org/fhir"
ENDPOINT: Final = "https://listener.example.org/"
"""Where subscriptions may send."""

_CHANNEL: Final = "conformance.example/houses"
_TICK: Final = timedelta(milliseconds=1)


class Ticking:
    """A clock that moves by a millisecond at each look."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += _TICK
        return self.now


class Relabelling(Labels):
    """Labels a version by what it says itself, as if somebody who may had taken away those of the one before."""

    def label(self, resource: Resource, before: Resource | None) -> Resource:
        """Return the resource with its own labels."""
        return super().label(resource, None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def resource(self) -> Any:
        """The body, decoded; None when there is none or it is no JSON object."""
        return codec.decode(self.body) if self.body.startswith(b"{") else None


class Told:
    """A channel that keeps what would be sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, seconds: float) -> None:
        """Keep one."""
        self.bodies.append(body)


@dataclass(slots=True)
class House:
    """An installation. Who asks is a Principal, for whom a token is made each time."""

    address: str
    session: ClientSession
    issuer: Issuer
    clock: Ticking
    store: Store
    gate: Gate
    subscriptions: Subscriptions
    told: Told
    _tokens: Iterator[int] = field(default_factory=itertools.count)

    async def put(self, resources: Sequence[Resource], instant: datetime) -> None:
        """Store resources in one transaction, as a feed would."""
        changes = tuple(Change(Method.PUT, str(it["resourceType"]), str(it["id"]), it) for it in resources)
        await self.store.commit(Transaction(changes, None, "feed:conformance", instant))

    async def delete(self, kind: str, identity: str, instant: datetime) -> None:
        """Delete a resource, as a feed would."""
        changes = (Change(Method.DELETE, kind, identity, None),)
        await self.store.commit(Transaction(changes, None, "feed:conformance", instant))

    async def sees(self, principal: Principal, version: Version | None, interaction: str = "read") -> bool:
        """Say whether the evaluator of decisions lets a principal have a version."""
        sitting = await self.gate.judge.sit(principal, interaction, self.clock.now)
        return (await sitting.decide(version)).permit

    async def ask(
        self,
        principal: Principal,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; `path` is below the base and encoded."""
        token = self.issuer.issue(
            subject=principal.subject,
            client=principal.client,
            scopes=principal.scopes,
            roles=principal.roles,
            purpose=principal.purpose,
            patient=principal.patient,
            actors=_asserted(principal.actors),
            tenant=principal.tenant,
            now=self.clock.now,
            token_id=f"t-{next(self._tokens)}",
        )
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/fhir+json")
        url = URL(f"{self.address}/{path.lstrip('/')}", encoded=True)
        async with self.session.request(
            method, url, data=body, headers=sent, skip_auto_headers=["Content-Type"]
        ) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())


def _asserted(actors: Collection[str]) -> list[str]:
    return [actor for actor in actors if actor.partition("/")[0] in {"PractitionerRole", "Organization"}]


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@cache
def _knowledge() -> tuple[Extractor, Validator, Parameters]:
    known = definitions.load()
    return Extractor(known, BASE), Validator(known), Parameters(known, BASE)


@asynccontextmanager
async def house(
    folder: Path, settings: PolicySettings, now: datetime, *, labels: type[Labels] = Labels
) -> AsyncIterator[House]:
    """Open an installation with its files in `folder`."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    extractor, validator, parameters = _knowledge()
    clock, meters, labeller = Ticking(now), Meters(), labels(base_url=BASE)
    salts, ids = itertools.count(), itertools.count()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            open_store(
                folder / "store",
                sealer=Commitments(_CHANNEL, lambda size: next(salts).to_bytes(size, "big")),
                labeller=labeller,
                extractor=extractor,
                validator=validator,
                clock=clock,
                meters=meters,
                base_url=BASE,
            )
        )
        make_key(folder / "issuer.jwk", lambda size: bytes(range(size)))
        issuer = Issuer.read(folder / "issuer.jwk", "https://fhir.example.org/auth", BASE)
        gate = Gate(store, clock, settings, meters, labels=labeller, identity=lambda: f"made-{next(ids):08}")
        exports = Exports(Folder(folder / "exports"), gate, filters(parameters), clock)
        evidence = Evidence(store, _CHANNEL, ())
        told = Told()
        subscriptions = Subscriptions(
            Subscribed(folder / "subscriptions"),
            gate,
            filters(parameters),
            topics(definitions.load().resource_types, None),
            Allowed((ENDPOINT,), 1),
            told,
            clock,
            BASE,
            Patience(0.05, 0.2),
        )
        for job in (exports.run(), subscriptions.run()):
            stack.push_async_callback(_ended, asyncio.create_task(job))
        application = Application(
            gate=gate,
            exports=exports,
            subscriptions=subscriptions,
            verifier=TokenVerifier({issuer.url: issuer.keys()}, BASE, clock, tenants=frozenset({settings.tenant})),
            parameters=parameters,
            evidence=evidence.of,
            verdict=Verdicts(evidence, b"{}", receipted=False).of,
            base_url=BASE,
            clock=clock,
            meters=meters,
            cursor_key=bytes(range(32)),
            version="0",
        )
        app = web.Application()
        app.add_routes(server.routes(application, "/fhir"))
        runner = Runner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = await stack.enter_async_context(ClientSession(auto_decompress=False))
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/fhir"
        yield House(address, session, issuer, clock, store, gate, subscriptions, told)
