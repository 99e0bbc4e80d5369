"""`/feeds`: how each feed stands, as JSON. It names no patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from hawsepipe.clock import Clock
from hawsepipe.errors import HawsepipeError
from hawsepipe.meters import Meters
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
    clock: Clock

    async def refresh(self) -> None:
        """Read into the gauges what nobody counts. Raises StoreError."""
        await self._waiting()

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
            self.meters.feed_oldest.labels(name).set(_age(here, now))
        return waiting


def routes(board: Board) -> list[web.RouteDef]:
    """Return the route `/feeds`."""

    async def feeds(_request: web.Request) -> web.Response:
        try:
            return web.json_response({"feeds": await board.told()}, headers={"Cache-Control": "no-store"})
        except HawsepipeError as error:
            return web.json_response({"error": type(error).__name__}, status=503)

    return [web.get("/feeds", feeds, allow_head=False)]


def _entry(name: str, listed: Listed, waiting: Waiting | None, now: datetime) -> dict[str, Any]:
    return {
        "name": name,
        "kind": listed.kind,
        "address": listed.address(),
        "waiting": waiting.count if waiting else 0,
        "oldest_seconds": _age(waiting, now),
        **dict.fromkeys(_COUNTS.values(), 0),
        "acknowledgements": {},
        "dead_letters": {},
        "framing": {},
        "acknowledge_seconds": {},
    }


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
