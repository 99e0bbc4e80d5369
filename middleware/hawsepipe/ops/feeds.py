"""`/feeds`: how each feed and each destination stands, as JSON. It names no patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.clock import Clock
from hawsepipe.errors import HawsepipeError, NotFound
from hawsepipe.intake.courier import Courier
from hawsepipe.meters import Meters
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded, near
from hawsepipe.store.answers import Queue
from hawsepipe.store.contract import Store, Waiting

_COUNTS = {
    "hawsepipe_feed_messages_received_total": "received",
    "hawsepipe_intake_applied_total": "applied",
    "hawsepipe_feed_duplicates_total": "duplicates",
    "hawsepipe_feed_keys_reused_total": "keys_reused",
    "hawsepipe_feed_connections": "connections",
}
_BY = {
    "hawsepipe_feed_acknowledgements_total": ("acknowledgements", "code"),
    "hawsepipe_intake_dead_letters_total": ("dead_letters", "cause"),
    "hawsepipe_feed_framing_events_total": ("framing", "event"),
}
_LATENCY = "hawsepipe_feed_acknowledge_seconds"
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Listed:
    """A configured feed: its kind, and where it listens or reads."""

    kind: str
    address: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Board:
    """What `/feeds` and the metrics tell of the feeds. Counts are those since the start of the process."""

    store: Store
    meters: Meters
    feeds: Mapping[str, Listed]
    couriers: Mapping[str, Courier]
    clock: Clock

    async def refresh(self) -> None:
        """Read into the gauges what nobody counts. Raises StoreError."""
        await self._waiting()
        await self._queues()

    async def sent(self) -> list[dict[str, Any]]:
        """Return how each destination stands. Raises StoreError."""
        queues, now = await self._queues(), self.clock()
        return [
            {
                "name": name,
                "address": courier.address,
                "state": courier.state.value,
                "waiting": queues[name].waiting if name in queues else 0,
                "set_aside": queues[name].set_aside if name in queues else 0,
                "oldest_seconds": _queued(queues.get(name), now),
            }
            for name, courier in self.couriers.items()
        ]

    async def _queues(self) -> Mapping[str, Queue]:
        queues, now = await self.store.queues(), self.clock()
        for name in self.couriers:
            queue = queues.get(name)
            self.meters.delivery_queue.labels(name).set(queue.waiting if queue else 0)
            self.meters.delivery_set_aside.labels(name).set(queue.set_aside if queue else 0)
            self.meters.delivery_oldest.labels(name).set(_queued(queue, now))
        return queues

    async def told(self) -> list[dict[str, Any]]:
        """Return how each feed stands, in the order of the configuration. Raises StoreError."""
        waiting, now = await self._waiting(), self.clock()
        entries = {name: _entry(name, listed, waiting.get(name), now) for name, listed in self.feeds.items()}
        buckets: dict[str, list[tuple[float, float]]] = {}
        for metric in self.meters.registry.collect():
            for sample in metric.samples:
                entry = entries.get(sample.labels.get("feed", ""))
                if entry is None:
                    continue
                if sample.name in _COUNTS:
                    entry[_COUNTS[sample.name]] = int(sample.value)
                elif sample.name in _BY:
                    group, label = _BY[sample.name]
                    entry[group][sample.labels[label]] = int(sample.value)
                elif sample.name == f"{_LATENCY}_bucket":
                    bound = float(sample.labels["le"])
                    buckets.setdefault(entry["name"], []).append((bound, sample.value))
        for name, counts in buckets.items():
            entries[name]["acknowledge_seconds"] = dict(_quantiles(sorted(counts)))
        return list(entries.values())

    async def _waiting(self) -> Mapping[str, Waiting]:
        waiting, now = await self.store.waiting(), self.clock()
        for name in self.feeds:
            here = waiting.get(name)
            self.meters.feed_backlog.labels(name).set(here.count if here else 0)
            self.meters.feed_held.labels(name).set(here.held if here else 0)
            self.meters.feed_oldest.labels(name).set(_age(here, now))
        self.meters.lanes.set(len(await self.store.lanes()))
        return waiting


def routes(board: Board, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return `/feeds`, for this machine and operators, and `/ops/destinations/{name}/again`, for operators."""

    async def again(request: web.Request, _operator: Principal) -> object:
        name = request.match_info["name"]
        courier = board.couriers.get(name)
        if courier is None:
            raise NotFound(f"there is no destination {name}")
        count = await board.store.deliver_again(name)
        courier.wake()
        return {"again": count}

    async def feeds(_request: web.Request) -> web.Response:
        try:
            told = {"feeds": await board.told(), "destinations": await board.sent()}
            return web.json_response(told, headers={"Cache-Control": "no-store"})
        except HawsepipeError as error:
            return web.json_response({"error": type(error).__name__}, status=503)

    return [
        web.get("/feeds", near(verifier, feeds), allow_head=False),
        web.post("/ops/destinations/{name}/again", guarded(verifier, again)),
    ]


def _entry(name: str, listed: Listed, waiting: Waiting | None, now: datetime) -> dict[str, Any]:
    return {
        "name": name,
        "kind": listed.kind,
        "address": listed.address(),
        "waiting": waiting.count if waiting else 0,
        "held": waiting.held if waiting else 0,
        "oldest_seconds": _age(waiting, now),
        **dict.fromkeys(_COUNTS.values(), 0),
        "acknowledgements": {},
        "dead_letters": {},
        "framing": {},
        "acknowledge_seconds": {},
    }


def _queued(queue: Queue | None, now: datetime) -> float:
    return max((now - queue.oldest).total_seconds(), 0.0) if queue and queue.oldest else 0.0


def _age(waiting: Waiting | None, now: datetime) -> float:
    return max((now - waiting.oldest).total_seconds(), 0.0) if waiting else 0.0


def _quantiles(buckets: list[tuple[float, float]]) -> Iterator[tuple[str, float | None]]:
    """Yield upper bounds of quantiles from a histogram's cumulative buckets; None for more than its last bound."""
    whole = buckets[-1][1]
    if not whole:
        return
    for name, share in _QUANTILES.items():
        bound = next(bound for bound, count in buckets if count >= share * whole)
        yield name, None if bound == float("inf") else bound
