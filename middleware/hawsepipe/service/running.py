"""A running service: everything open, in one AsyncExitStack.

What is opened first is closed last: store, ledgers, translators, the anchorer and the pipeline, the API, and the feeds
at the very end, so that nothing is acknowledged before it can be kept, and closing stops the feeds first.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from hawsepipe import plugins as loader
from hawsepipe.api import server as api_server
from hawsepipe.api.application import Application
from hawsepipe.api.export import filters
from hawsepipe.api.listening import Runner
from hawsepipe.auth import clients as registered
from hawsepipe.auth import endpoint
from hawsepipe.auth.authorization import AuthorizationServer, smart_configuration
from hawsepipe.auth.replays import Replays
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.clock import Clock
from hawsepipe.config import Config
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.view import Gate
from hawsepipe.contents.sweeping import Sweeping
from hawsepipe.contents.taking import Taking
from hawsepipe.errors import HawsepipeError, PluginError
from hawsepipe.exports.files import Folder
from hawsepipe.exports.jobs import Exports
from hawsepipe.fhir import definitions
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.hooks import Feed, Translator
from hawsepipe.intake.alerts import Alerts, Watch
from hawsepipe.intake.archive import Archive
from hawsepipe.intake.courier import Courier, Patience
from hawsepipe.intake.dead_letters import DeadLetters
from hawsepipe.intake.effects import Desk, Effects
from hawsepipe.intake.journal import Journal
from hawsepipe.intake.merging import Merging
from hawsepipe.intake.outcomes import Outcomes
from hawsepipe.intake.pipeline import Pipeline
from hawsepipe.intake.refused import Refused
from hawsepipe.intake.retention import Retention, Terms
from hawsepipe.intake.workers import open_workers
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.evidence import Evidence, LogKey, trust_document
from hawsepipe.ledger.highwater import HighWater
from hawsepipe.ledger.keys import existing_key
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.verdict import Verdicts
from hawsepipe.meters import Meters
from hawsepipe.ops import accesses as ops_accesses
from hawsepipe.ops import alerts as ops_alerts
from hawsepipe.ops import configuration as ops_configuration
from hawsepipe.ops import dead_letters as ops_dead_letters
from hawsepipe.ops import deliveries as ops_deliveries
from hawsepipe.ops import feeds as ops_feeds
from hawsepipe.ops import health
from hawsepipe.ops import loads as ops_loads
from hawsepipe.ops import log as ops_log
from hawsepipe.ops import messages as ops_messages
from hawsepipe.ops import patients as ops_patients
from hawsepipe.ops.feeds import Board
from hawsepipe.plugins import Plugins
from hawsepipe.service import credentials, loading, preparing, stores, subscribing, trust, worker
from hawsepipe.service.history import START, Changes, History
from hawsepipe.service.kinds import Opener
from hawsepipe.service.listeners import Listeners, bound
from hawsepipe.store.contract import JournalState, Store
from hawsepipe.store.sqlite.store import FILE


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    config: Config
    store: Store
    store_path: Path
    feeds: Mapping[str, Feed]
    pipeline: Pipeline
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
        await self.pipeline.settled()

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
    keys = credentials.require_keys(config)
    issuer = credentials.issuer(config)
    signer = Signer(config.channel, existing_key(keys / "log.key"))
    facts = definitions.load()
    policy = PolicySettings(
        default_policy=config.default_policy,
        permit_ceiling=config.permit_ceiling,
        role_policy=config.role_policy,
        redactions=config.redactions,
        references=config.references,
        privacy_officer_roles=config.privacy_officer_roles,
        tenant=config.tenant,
        base_url=config.base_url,
    )
    async with AsyncExitStack() as stack:
        keeping = await stack.enter_async_context(stores.opened(config, clock, meters))
        store = keeping.store
        taking = preparing.taking(config)
        opener = Opener(stack, config, clock, meters)
        ledgers = await opener.all(loaded.ledgers, config.ledgers, "ledgers")
        translators = await opener.all(loaded.translators, config.translators, "translators")
        mark = HighWater(keys / "log.mark", config.channel)
        anchorer = Anchorer(
            store, ledgers, signer, config.channel, clock, meters,
            mark=mark, linger=config.anchor_seconds, batch=config.anchor_leaves,
        )  # fmt: skip
        await anchorer.resume()
        document = trust_document(config.channel, [LogKey(str(signer.vkey))], ledgers)
        await asyncio.to_thread(trust.keep, config.data / "trust.json", document)
        of_feeds = {feed.name: translators[feed.translator] for feed in config.feeds}
        outcomes = Outcomes(store)

        alerts = Alerts(clock, meters, timedelta(seconds=config.alerts.remind_seconds))
        couriers = await _couriers(stack, opener, loaded, config, store, clock, meters, alerts)

        told: list[Callable[[], None]] = [anchorer.notify, outcomes.look, *(it.wake for it in couriers.values())]

        def committed() -> None:
            for tell in told:
                tell()

        pipeline = Pipeline(
            store,
            await _desk(stack, config, of_feeds, taking),
            clock,
            meters,
            committed,
            passing=frozenset(feed.name for feed in config.feeds if feed.passing),
        )

        def stirred() -> None:
            committed()
            pipeline.wake()

        # What one process does at a time, of those that have the store open.
        alone: dict[str, stores.Chore] = {
            "anchorer": anchorer.run,
            "pipeline": pipeline.run,
            **_retention(config, store, ledgers, clock, meters),
            **{name: courier.run for name, courier in couriers.items()},
        }
        tasks = (
            *(_task(stack, chore(), name) for name, chore in keeping.work(anchorer.resume, alone, stirred).items()),
            _task(stack, _sweeping(config, store, taking, clock).run(), "sweeping"),
        )
        verifier = TokenVerifier(
            {issuer.url: issuer.keys()}, config.base_url, clock, tenants=frozenset({config.tenant})
        )
        rules = await opener.all(loaded.consent_rules, config.consent_rules, "consent_rules")
        gate = Gate(store, clock, policy, meters, rules=tuple(rules.values()), taking=taking)
        evidence = Evidence(store, config.channel, ledgers)
        trusted = await asyncio.to_thread((config.data / "trust.json").read_bytes)
        receipted = any(backend.trust().get("type") == "cosignature/v1" for backend in ledgers.values())
        origin = credentials.origin(config)
        parameters = Parameters(facts, config.base_url)
        exports = Exports(Folder(config.data / "exports"), gate, filters(parameters), clock)
        subscriptions = await subscribing.opened(stack, config, gate, filters(parameters), clock)
        application = Application(
            gate=gate,
            verifier=verifier,
            parameters=parameters,
            evidence=evidence.of,
            verdict=Verdicts(evidence, trusted, receipted=receipted).of,
            base_url=config.base_url,
            clock=clock,
            meters=meters,
            cursor_key=credentials.cursor_key(keys / "cursor.key"),
            exports=exports,
            version=version("hawsepipe"),
            smart_configuration=smart_configuration(
                issuer=issuer.url, jwks_url=f"{origin}/auth/jwks", token_url=f"{origin}/auth/token"
            ),
            page_size=config.page_size,
            max_body=config.max_body,
            taking=taking,
            max_content=config.contents.max_bytes,
            subscriptions=subscriptions,
        )
        authorization = AuthorizationServer(
            issuer,
            registered.read(config.clients) if config.clients else {},
            Replays(config.data / "keys" / "assertions"),
            token_url=f"{origin}/auth/token",
            clock=clock,
            token_ids=lambda: str(uuid.uuid4()),
            tenant=config.tenant,
        )
        app = web.Application()
        app.add_routes(api_server.routes(application, urlsplit(config.base_url).path))
        app.add_routes(endpoint.routes(authorization))
        app.add_routes(ops_patients.routes(Merging(store, clock), verifier))
        app.add_routes(ops_accesses.routes(store, verifier))
        app.add_routes(ops_log.routes(store, config.channel, verifier))
        refused = Refused(store, clock, lambda name: couriers[name].wake() if name in couriers else None, of_feeds)
        app.add_routes(ops_deliveries.routes(refused, verifier))
        app.add_routes(ops_alerts.routes(alerts, verifier))
        app.add_routes(ops_messages.routes(Archive(store, clock, of_feeds), verifier))
        listening = asyncio.Event()

        async def feeds_listen() -> None:
            if not listening.is_set():
                raise PluginError("not every feed listens yet")

        history_loads = loading.loads(config, store, clock, committed)
        stack.push_async_callback(history_loads.close)
        app.add_routes(ops_loads.routes(history_loads, (*config.load_folders, config.data / "copies"), verifier))

        def arrived() -> None:
            pipeline.wake()
            history_loads.live()

        journal = Journal(store, meters, arrived, outcomes)
        listeners = Listeners(opener, loaded.feeds, journal)
        letters = DeadLetters(store, of_feeds, clock, pipeline.wake, outcomes.replayed, listeners.feeds, outcomes.of)
        app.add_routes(ops_dead_letters.routes(letters, verifier))
        history = History(config.data / "config")
        await asyncio.to_thread(history.note, config.path.read_text(encoding="utf-8"), START, clock())
        app.add_routes(ops_configuration.routes(Changes(config, history, listeners, clock), verifier))
        board = Board(store, meters, listeners.listed, couriers, clock)
        app.add_routes(ops_feeds.routes(board, verifier))

        async def refresh() -> None:
            await board.refresh()
            meters.contradictions.set(await gate.judge.contradictions())

        app.add_routes(
            health.routes(
                meters,
                verifier,
                {"store": store.check, "feeds": feeds_listen},
                {"ledger": lambda: anchorer.state.value},
                refresh,
            )
        )
        runner = Runner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        with bound("api", f"{config.host}:{config.port}"):
            await web.TCPSite(runner, config.host, config.port).start()
        for instance in config.feeds:
            await listeners.open(instance)
        for instance in config.feeds:
            await listeners.start(instance)
        listening.set()
        for courier in couriers.values():
            # All at once, and before anything else is closed: each may have an acknowledgement to wait for.
            stack.callback(courier.leave)
        oldest = timedelta(seconds=config.alerts.oldest_seconds)
        watch = Watch(store, clock, alerts, oldest, lambda: listeners.feeds)
        tasks = (*tasks, _task(stack, exports.run(), "exports"), _task(stack, watch.run(), "watch"))
        if subscriptions is not None:
            told.append(subscriptions.wake)
            tasks = (*tasks, _task(stack, keeping.sole("subscriptions", subscriptions.run)(), "subscriptions"))
        yield Service(config, store, config.data / "store" / FILE, listeners.feeds, pipeline, tasks)


async def _desk(stack: AsyncExitStack, config: Config, translators: Mapping[str, Translator], taking: Taking) -> Desk:
    """Return where messages are translated: in workers if the configuration has any."""
    own = Effects(translators, preparing.preparation(config), taking)
    if not config.workers:
        return own
    rules = {name: translator.rules_digest for name, translator in translators.items()}
    return await stack.enter_async_context(open_workers(config.workers, worker.MODULE, config, rules, own))


async def _couriers(
    stack: AsyncExitStack,
    opener: Opener,
    loaded: Plugins,
    config: Config,
    store: Store,
    clock: Clock,
    meters: Meters,
    alerts: Alerts,
) -> Mapping[str, Courier]:
    """Open the destinations and say what goes to them."""
    opened = await opener.all(loaded.destinations, config.destinations, "destinations")
    await store.route({outlet.name: outlet.feeds for outlet in config.destinations})
    return {
        outlet.name: Courier(
            outlet.name,
            opened[outlet.name],
            Patience(
                first=outlet.retry["first_seconds"],
                most=outlet.retry["most_seconds"],
                failures=outlet.retry["failures"],
                pause=outlet.retry["pause_seconds"],
                hold=outlet.hold,
            ),
            store,
            clock,
            meters,
            random.Random(),  # noqa: S311  spreads retries, guards nothing
            alerts,
        )
        for outlet in config.destinations
    }


def _sweeping(config: Config, store: Store, taking: Taking, clock: Clock) -> Sweeping:
    """Return what takes away contents that nothing names."""
    terms = config.contents
    grace, interval = timedelta(hours=terms.grace_hours), timedelta(seconds=terms.sweep_seconds)
    return Sweeping(store, taking.contents, clock, grace, interval)


def _retention(
    config: Config, store: Store, ledgers: Mapping[str, Any], clock: Clock, meters: Meters
) -> Mapping[str, stores.Chore]:
    """Return what prunes the journal, if the configuration lets anything go."""
    days = {JournalState.APPLIED: config.journal.applied_days, JournalState.DISCARDED: config.journal.discarded_days}
    kept = {state: timedelta(days=length) for state, length in days.items() if length}
    if not kept:
        return {}
    terms = Terms(kept, timedelta(seconds=config.journal.prune_seconds))
    retention = Retention(store, terms, config.channel, tuple(ledgers), clock, meters)
    return {"retention": retention.run}


def _task(stack: AsyncExitStack, work: Any, name: str) -> asyncio.Task[None]:
    task: asyncio.Task[None] = asyncio.create_task(work, name=name)

    async def ended() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, HawsepipeError):
            await task

    stack.push_async_callback(ended)
    return task
