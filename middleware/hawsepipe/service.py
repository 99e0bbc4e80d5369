"""The composition root: from a configuration to everything open, in one AsyncExitStack.

What is opened first is closed last: store, ledgers, translators, the anchorer and the pipeline, the API, and the feeds
at the very end, so that nothing is acknowledged before it can be kept, and closing stops the feeds first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
from aiohttp import web

from hawsepipe import config as configuration
from hawsepipe import plugins as loader
from hawsepipe.api import server as api_server
from hawsepipe.api.application import Application
from hawsepipe.auth import clients as registered_clients
from hawsepipe.auth import endpoint
from hawsepipe.auth.authorization import AuthorizationServer
from hawsepipe.auth.issuer import Issuer, make_key
from hawsepipe.auth.replays import Replays
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.clock import Clock, system_clock
from hawsepipe.config import Config, Instance
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.view import Gate
from hawsepipe.errors import ConfigError, HawsepipeError, PluginError
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.validate import Validator
from hawsepipe.hooks import Feed, Kind, LedgerBackend, Opening, Translator
from hawsepipe.intake.dead_letters import DeadLetters
from hawsepipe.intake.journal import Journal
from hawsepipe.intake.pipeline import Pipeline
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.ledger.evidence import Evidence, trust_document
from hawsepipe.ledger.keys import signing_key
from hawsepipe.ledger.note import Signer
from hawsepipe.meters import Meters
from hawsepipe.model import RawMessage, Translation
from hawsepipe.ops import dead_letters as ops_dead_letters
from hawsepipe.ops import health
from hawsepipe.plugins import Plugins
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite import open_store

_log = structlog.get_logger("hawsepipe.service")
T = TypeVar("T")
_ISSUER = "urn:hawsepipe:issuer"


def check(path: Path) -> tuple[ConfigError, ...]:
    """Return everything that is wrong with a configuration file, its plugins and their settings. Nothing is opened."""
    found = configuration.check(path)
    if found:
        return found
    config = configuration.read(path)
    try:
        loaded = loader.load(config.plugins)
    except PluginError as error:
        return (ConfigError("plugins.load", str(error)),)
    return tuple(_setting_problems(config, loaded))


def _setting_problems(config: Config, loaded: Plugins) -> Iterable[ConfigError]:
    families: tuple[tuple[Sequence[Instance], Mapping[str, Kind[Any]]], ...] = (
        (config.translators, loaded.translators),
        (config.feeds, loaded.feeds),
        (config.ledgers, loaded.ledgers),
    )
    for instances, kinds in families:
        for instance in instances:
            kind = kinds.get(instance.kind)
            if kind is None:
                known = ", ".join(sorted(kinds)) or "none"
                yield ConfigError(f"{instance.key}.kind", f"no loaded plugin offers {instance.kind} (known: {known})")
            else:
                yield from configuration.violations(instance.settings, kind.config_schema, f"{instance.key}.settings")


# -- keys and tokens ---------------------------------------------------------------------------------------------------


def make_keys(config: Config) -> None:
    """Make the keys that do not exist yet, each in a file of its own that only its owner can read."""
    folder = config.data / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    signing_key(folder / "log.key")
    if not (folder / "issuer.key").exists():
        make_key(folder / "issuer.key", secrets.token_bytes)
    _cursor_key(folder / "cursor.key")


def _cursor_key(path: Path) -> bytes:
    with contextlib.suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def _issuer(config: Config) -> Issuer:
    return Issuer.read(config.data / "keys" / "issuer.key", _ISSUER, config.base_url)


def issued_token(
    config: Config, *, subject: str, scope: str, purpose: str | None, roles: Sequence[str], patient: str | None
) -> str:
    """Return an access token signed with the issuer key of the data directory; it holds for five minutes."""
    return _issuer(config).issue(
        subject=subject,
        client="hawsepipe-cli",
        scopes=scope.split(),
        token_id=str(uuid.uuid4()),
        now=system_clock(),
        roles=roles,
        purpose=purpose,
        patient=patient,
        tenant=config.tenant,
    )


def operator_token(config: Config) -> str:
    """Return a token for the operations routes."""
    return issued_token(
        config, subject="Device/hawsepipe-cli", scope=ops_dead_letters.SCOPE, purpose=None, roles=(), patient=None
    )


# -- opening -----------------------------------------------------------------------------------------------------------


def _opening(config: Config, kinds: Mapping[str, Kind[T]], instance: Instance, room: str, meters: Meters) -> tuple[
    Kind[T], Opening
]:
    """Return a kind and what to open it with. Raises ConfigError naming the key."""
    kind = kinds.get(instance.kind)
    if kind is None:
        known = ", ".join(sorted(kinds)) or "none"
        raise ConfigError(f"{instance.key}.kind", f"no loaded plugin offers {instance.kind} (known: {known})")
    for problem in configuration.violations(instance.settings, kind.config_schema, f"{instance.key}.settings"):
        raise problem
    directory = config.data / room / instance.name
    directory.mkdir(parents=True, exist_ok=True)
    settings = configuration.filled(instance.settings, kind.config_schema)
    return kind, Opening(instance.name, settings, directory, system_clock, meters)


async def translated(message: RawMessage, name: str, config: Config | None) -> Translation:
    """Translate one message with a translator of the configuration, or with the bundled kind of that name by default."""
    if config is None:
        loaded = loader.load(["hl7v2"])
        kind = loaded.translators.get(name)
        if kind is None:
            raise ConfigError("translator", f"there is no translator {name} without a configuration")
        settings = configuration.filled({}, kind.config_schema)
        opening = Opening(name, settings, Path(), system_clock, Meters())
    else:
        loaded = loader.load(config.plugins)
        instance = next((entry for entry in config.translators if entry.name == name), None)
        if instance is None:
            raise ConfigError("translators", f"no translator has the name {name}")
        kind, opening = _opening(config, loaded.translators, instance, "translators", Meters())
    async with kind.open(opening) as translator:
        return translator.translate(message)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    config: Config
    store: Store
    store_path: Path
    feeds: Mapping[str, Feed]
    tasks: tuple[asyncio.Task[None], ...]

    def addresses(self) -> list[str]:
        """Return where it can be reached, for people."""
        return [f"FHIR R4      {self.config.base_url}"] + [
            f"feed {name:<7} {feed.address}" for name, feed in self.feeds.items()
        ]

    def feed_endpoint(self, name: str) -> tuple[str, int]:
        """Return host and port of a listening feed."""
        host, _, port = self.feeds[name].address.rpartition("/")[2].rpartition(":")
        return host, int(port)

    async def settled(self) -> None:
        """Return when every journalled message is applied or set aside."""
        while await self.store.backlog():
            await asyncio.sleep(0.01)

    async def dead_letter_count(self) -> int:
        """Return how many dead letters there are, up to a thousand."""
        return len(await self.store.dead_letters(0, 1000))

    async def until(self, stop: asyncio.Event) -> None:
        """Return when the event is set. Raises what ended a background task."""
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopping, *self.tasks], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in done - {stopping}:
            task.result()


@asynccontextmanager
async def opened(config: Config, clock: Clock) -> AsyncIterator[Service]:
    """Open everything that the configuration names; on leaving, close it in the opposite order."""
    loaded = loader.load(config.plugins)
    meters = Meters()
    keys = config.data / "keys"
    if not keys.is_dir():
        raise ConfigError("service.data", f"{keys} does not exist; `hawsepipe init` makes the keys")
    issuer = _issuer(config)
    signer = Signer(config.channel, signing_key(keys / "log.key"))
    facts = definitions.load()
    policy = PolicySettings(
        default_policy=config.default_policy,
        permit_ceiling=config.permit_ceiling,
        role_policy=config.role_policy,
        privacy_officer_roles=config.privacy_officer_roles,
        tenant=config.tenant,
        base_url=config.base_url,
    )
    async with AsyncExitStack() as stack:
        store_path = config.data / "store" / "hawsepipe.sqlite"
        store_path.parent.mkdir(parents=True, exist_ok=True)
        store = await stack.enter_async_context(
            open_store(
                store_path,
                sealer=Commitments(config.channel, secrets.token_bytes),
                labeller=Labels(),
                extractor=Extractor(facts, config.base_url),
                validator=Validator(facts),
                clock=clock,
                meters=meters,
            )
        )
        ledgers: dict[str, LedgerBackend] = {}
        for instance in config.ledgers:
            kind, opening = _opening(config, loaded.ledgers, instance, "ledgers", meters)
            ledgers[instance.name] = await stack.enter_async_context(kind.open(opening))
        translators: dict[str, Translator] = {}
        for instance in config.translators:
            kind_, opening = _opening(config, loaded.translators, instance, "translators", meters)
            translators[instance.name] = await stack.enter_async_context(kind_.open(opening))
        (config.data / "trust.json").write_text(
            json.dumps(trust_document(config.channel, signer, ledgers), indent=2), encoding="utf-8"
        )
        anchorer = Anchorer(store, ledgers, signer, config.channel, clock, meters)
        pipeline = Pipeline(
            store,
            {feed.name: translators[feed.translator] for feed in config.feeds},
            clock,
            meters,
            anchorer.notify,
        )
        tasks = (_task(stack, anchorer.run(), "anchorer"), _task(stack, pipeline.run(), "pipeline"))
        verifier = TokenVerifier({issuer.url: issuer.keys()}, config.base_url, clock, tenants=frozenset({config.tenant}))
        gate = Gate(store, clock, policy, meters)
        evidence = Evidence(store, config.channel, ledgers)
        application = Application(
            gate=gate,
            verifier=verifier,
            parameters=Parameters(facts, config.base_url),
            evidence=evidence.of,
            base_url=config.base_url,
            clock=clock,
            meters=meters,
        )
        app = web.Application()
        app.add_routes(api_server.routes(application))
        app.add_routes(endpoint.routes(AuthorizationServer(issuer)))
        app.add_routes(ops_dead_letters.routes(DeadLetters(store, clock, pipeline.wake), verifier))
        app.add_routes(health.routes(meters, {"store": store.check}))
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, config.host, config.port).start()
        journal = Journal(store, meters, pipeline.wake)
        feeds: dict[str, Feed] = {}
        for instance in config.feeds:
            kind__, opening = _opening(config, loaded.feeds, instance, "feeds", meters)
            feeds[instance.name] = await stack.enter_async_context(kind__.open(opening))
            await feeds[instance.name].start(journal)
        yield Service(config, store, store_path, feeds, tasks)


def _task(stack: AsyncExitStack, work: Any, name: str) -> asyncio.Task[None]:
    task: asyncio.Task[None] = asyncio.create_task(work, name=name)

    async def ended() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, HawsepipeError):
            await task

    stack.push_async_callback(ended)
    return task


def free_port(port: int) -> int:
    """Return `port`, or for 0 one that is free now."""
    if port:
        return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
