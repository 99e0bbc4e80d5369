"""Subscriptions under way: each on its own, each step kept, so that a restart goes on where it was.

For each subscription, in this order and over again: what happened since is looked at as its subscriber may see it, and
what matches gets the next numbers; that is kept. Then what waits is delivered in the order of its numbers, each event
decided about once more; that it was delivered is kept. A crash in between repeats a notification, with its old number.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import uuid4

import structlog

from hawsepipe.clock import Clock
from hawsepipe.consent.news import News
from hawsepipe.errors import Forbidden, Gone, HawsepipeError, InvalidResource, NotFound, TooManyRequests
from hawsepipe.exports.jobs import Filters
from hawsepipe.fhir.query import Clause, Kind, Page, Query, TokenValue
from hawsepipe.model import Operation, Principal, Resource, Version
from hawsepipe.subscriptions.notifications import Told, bundle
from hawsepipe.subscriptions.record import KEPT, Event, Folder, Record, State
from hawsepipe.subscriptions.terms import Allowed, Asked, Content, read
from hawsepipe.subscriptions.topics import Topic

_log = structlog.get_logger("hawsepipe.subscriptions")
_BATCH: Final = 100
_EACH: Final = 20
"""Subscriptions that one principal may have."""

_LOOK: Final = 5.0
"""Seconds after which everything is looked at, should nobody have said that there is something new."""

_HANDSHAKES: Final = 5
"""Failed handshakes after which a subscription is in error."""


class Failed(Exception):
    """A notification did not get there; its text may be shown to the subscriber. Never leaves the room."""


class Channel(Protocol):
    """Delivers notifications (implemented by the service, which has the network)."""

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, seconds: float) -> None:
        """Deliver one. Raises Failed."""
        ...


class Source(Protocol):
    """What one principal may see (implemented by `consent.view`)."""

    async def news(self, kinds: frozenset[str], after: tuple[int, int], count: int) -> News:
        """Return what was made since. Raises Forbidden."""
        ...

    async def search(self, query: Query) -> Page:
        """Return one page. Raises Forbidden."""
        ...

    async def vread(self, type: str, id: str, version: int) -> Version:
        """Return one version. Raises NotFound, Gone or Forbidden."""
        ...


class Sources(Protocol):
    """Gives each principal its view (implemented by `consent.view`)."""

    def view(self, principal: Principal) -> Source:
        """Return the view of a principal."""
        ...

    async def newest(self) -> tuple[int, int]:
        """Return the place after everything that there is."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """When a delivery is tried again: after `first` seconds, twice as long each time up to `most`; after `enough` of
    failures the subscription is in error, and goes on when its client asks for it.
    """

    first: float = 1.0
    most: float = 300.0
    enough: timedelta = timedelta(days=1)


class Subscriptions:
    """The subscriptions of one service. `run` must be running for them to go on."""

    def __init__(
        self,
        folder: Folder,
        sources: Sources,
        filters: Filters,
        topics: Mapping[str, Topic],
        allowed: Allowed,
        channel: Channel,
        clock: Clock,
        base_url: str,
        patience: Patience,
    ) -> None:
        self._folder = folder
        self._sources = sources
        self._filters = filters
        self._allowed = allowed
        self._channel = channel
        self._clock = clock
        self._base = base_url
        self._patience = patience
        self._records = {record.id: record for record in folder.all()}
        self._awake: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self.topics = topics

    # what clients ask

    def of(self, principal: Principal) -> Sequence[Record]:
        """Return the subscriptions of a principal."""
        return [record for record in self._records.values() if record.belongs_to(principal)]

    def find(self, id: str, principal: Principal) -> Record:
        """Return a subscription of this principal. Raises NotFound: also for somebody else's."""
        record = self._records.get(id)
        if record is None or not record.belongs_to(principal):
            raise NotFound("there is no such subscription")
        return record

    async def create(self, resource: Resource, principal: Principal) -> Record:
        """Keep a new subscription to what happens from now on. Raises InvalidResource, TooManyRequests, StoreError."""
        self._read(resource)
        if len(self.of(principal)) >= _EACH:
            raise TooManyRequests(f"you have {_EACH} subscriptions", 60.0)
        place = await self._sources.newest()
        state = State.OFF if resource.get("status") == "off" else State.REQUESTED
        record = Record(str(uuid4()), principal, _own(resource), 1, self._clock(), state, place=place)
        await self._keep(record)
        return record

    async def update(self, id: str, resource: Resource, principal: Principal) -> Record:
        """Keep what a client changed. One that was in error or off goes on where it was, after a handshake; so does one
        whose channel changed. Raises NotFound, InvalidResource, StoreError.
        """
        before = self.find(id, principal)
        self._read(resource)
        own = _own(resource)
        headers = before.resource["channel"].get("header")
        if headers and "header" not in own["channel"]:  # they are not shown, so a client may not have them to send back
            own["channel"] = {**own["channel"], "header": headers}
        state = State.OFF if resource.get("status") == "off" else State.REQUESTED
        if state is State.REQUESTED and before.state is State.ACTIVE and own == before.resource:
            return before
        record = replace(
            self._records[id],
            principal=principal,
            resource=own,
            version=before.version + 1,
            updated=self._clock(),
            state=state,
            error="",
            failing=None,
            failures=0,
        )
        await self._keep(record)
        return record

    async def delete(self, id: str, principal: Principal) -> None:
        """Take a subscription away, if there is one."""
        with contextlib.suppress(NotFound):
            self.find(id, principal)
            del self._records[id]
            await asyncio.to_thread(self._folder.remove, id)
            self._changed.set()

    async def events(
        self, record: Record, first: int | None, last: int | None, content: str | None
    ) -> tuple[Sequence[Told], Content]:
        """Return kept events by their numbers as their subscriber may see them now, and how much is told of them."""
        asked = self._read(record.resource)
        chosen = [it for it in record.events if (first or 0) <= it.number <= (record.count if last is None else last)]
        wanted = Content(content) if content in set(Content) else asked.content
        return await self._told(record, chosen, wanted), wanted

    # what happens

    def wake(self) -> None:
        """Say that something was committed."""
        for awake in self._awake.values():
            awake.set()

    async def run(self) -> None:
        """Serve every subscription until cancelled."""
        try:
            while True:
                self._changed.clear()
                for id_ in set(self._tasks) - set(self._records):
                    self._tasks.pop(id_).cancel()
                    self._awake.pop(id_, None)
                for id_ in self._records:
                    task = self._tasks.get(id_)
                    if task is None or task.done():
                        self._awake[id_] = asyncio.Event()
                        self._tasks[id_] = asyncio.create_task(self._serve(id_), name=f"subscription {id_}")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(60.0):
                        await self._changed.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _serve(self, id_: str) -> None:
        while id_ in self._records:
            awake = self._awake[id_]
            awake.clear()
            try:
                pause = await self._step(id_)
            except HawsepipeError as error:
                _log.warning("a subscription waits", subscription=id_, error=type(error).__name__)
                pause = _LOOK
            except Exception as error:
                # Nobody foresaw it: its class is told, and the others go on.
                _log.error("a subscription failed", subscription=id_, error=type(error).__name__)
                pause = 60.0
            if pause > 0:
                await asyncio.sleep(pause)
            elif pause < 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(-pause):
                        await awake.wait()

    async def _step(self, id_: str) -> float:
        """Do what is next. Return for how long to do nothing; negative: unless something happens."""
        record = self._records[id_]
        if record.state in {State.OFF, State.ERROR}:
            return -60.0
        try:
            asked = self._read(record.resource)
        except InvalidResource:
            # The house has closed what it once allowed.
            await self._keep(_ended(record, "what this asks for is not allowed here any more"))
            return 0.0
        if asked.end is not None and datetime.fromisoformat(asked.end.replace("Z", "+00:00")) <= self._clock():
            await self._keep(replace(record, state=State.OFF, version=record.version + 1, updated=self._clock()))
            return 0.0
        if record.state is State.REQUESTED:
            return await self._shaken(record, asked)
        if len(record.waiting()) < KEPT - _BATCH:
            more = await self._looked(record, asked)
            record = self._records.get(id_, record)
        else:
            more = False
        waiting = record.waiting()[: asked.most]
        if waiting:
            return await self._delivered(record, asked, waiting)
        if more:
            return 0.0
        quiet = None if record.heard is None else self._clock() - record.heard
        if asked.heartbeat is not None and quiet is not None and quiet >= asked.heartbeat:
            return await self._sent(record, asked, "heartbeat", ())
        return -min(_LOOK, asked.heartbeat.total_seconds() if asked.heartbeat is not None else _LOOK)

    async def _shaken(self, record: Record, asked: Asked) -> float:
        pause = await self._sent(record, asked, "handshake", ())
        now = self._records.get(record.id)
        if now is not None and pause and now.failures >= _HANDSHAKES:
            await self._keep(_ended(now, "the endpoint does not answer the handshake"))
        return pause

    async def _looked(self, record: Record, asked: Asked) -> bool:
        """Give numbers to what happened since. Return whether there is more."""
        view = self._sources.view(record.principal)
        try:
            news = await view.news(frozenset(asked.topic.triggers), record.place, _BATCH)
        except Forbidden:
            await self._keep(_ended(record, "the subscriber may not ask for these resources any more"))
            return False
        found = [it for it in news.versions if _operation(it) in asked.topic.triggers[it.type]]
        matching = await self._matching(view, asked, found)
        if matching or news.place != record.place:
            told = [(it.last_updated, it.type, it.id, it.version) for it in matching]
            now = self._records.get(record.id)
            if now is not None and now.version == record.version:
                await self._keep(now.with_events(told, news.place), durable=bool(matching) or news.more)
        return news.more

    async def _matching(self, view: Source, asked: Asked, found: Sequence[Version]) -> Sequence[Version]:
        """Return those that a filter of their type matches now; a type without filters is wanted whole."""
        kept: set[str] = set()
        for kind in {version.type for version in found}:
            texts = asked.filters_of(kind)
            ids = sorted({version.id for version in found if version.type == kind})
            if not asked.filters:
                kept |= {f"{kind}/{id_}" for id_ in ids}
            named = Clause("_id", Kind.TOKEN, None, tuple(TokenValue(None, id_) for id_ in ids))
            for text in texts:
                query = self._filters(kind, text)
                page = await view.search(replace(query, clauses=(*query.clauses, named), count=len(ids)))
                kept |= {version.reference for version in page.versions}
        return [version for version in found if version.reference in kept]

    async def _delivered(self, record: Record, asked: Asked, waiting: Sequence[Event]) -> float:
        told = await self._told(record, waiting, asked.content)
        return await self._sent(record, asked, "event-notification", told)

    async def _told(self, record: Record, events: Sequence[Event], content: Content) -> Sequence[Told]:
        if content is Content.EMPTY:
            return [Told(event, None) for event in events]
        view = self._sources.view(record.principal)
        found: list[Told] = []
        for event in events:
            try:
                found.append(Told(event, await view.vread(event.type, event.id, event.version)))
            except (NotFound, Gone, Forbidden):
                found.append(Told(event, None))
        return found

    async def _sent(self, record: Record, asked: Asked, kind: str, told: Sequence[Told]) -> float:
        """Deliver a notification and keep what became of it; return for how long to do nothing."""
        active = replace(record, state=State.ACTIVE)
        body = bundle(active if kind != "handshake" else record, kind, asked.content, self._base, told)
        try:
            await self._channel.send(asked.endpoint, asked.headers, body, asked.patience)
        except Failed as error:
            return await self._again(record, str(error))
        now = self._records.get(record.id)
        if now is None or now.version != record.version:
            return 0.0
        sent = told[-1].event.number if told else now.sent
        done = replace(now, sent=sent, failing=None, failures=0, error="", heard=self._clock())
        if kind == "handshake":
            done = replace(done, state=State.ACTIVE, version=now.version + 1, updated=self._clock())
        await self._keep(done, durable=kind != "heartbeat")
        return 0.0

    async def _again(self, record: Record, text: str) -> float:
        now = self._records.get(record.id)
        if now is None or now.version != record.version:
            return 0.0
        failed = replace(now, failures=now.failures + 1, failing=now.failing or self._clock(), error=text)
        if failed.failing is not None and self._clock() - failed.failing > self._patience.enough:
            failed = _ended(failed, text)
        await self._keep(failed)
        _log.warning("a notification was not delivered", subscription=record.id, failures=failed.failures)
        return float(min(self._patience.first * 2 ** min(failed.failures - 1, 20), self._patience.most))

    async def _keep(self, record: Record, *, durable: bool = True) -> None:
        known = record.id in self._records
        if not known and record.version > 1:
            return  # taken away meanwhile
        if durable:
            await asyncio.to_thread(self._folder.keep, record)
        if known and record.id not in self._records:
            await asyncio.to_thread(self._folder.remove, record.id)
            return
        self._records[record.id] = record
        self._changed.set()
        if record.id in self._awake and record.state is State.REQUESTED:
            self._awake[record.id].set()

    def _read(self, resource: Resource) -> Asked:
        asked = read(resource, self.topics, self._allowed)
        for kind, text in asked.filters:
            self._filters(kind, text)
        return asked


def _ended(record: Record, text: str) -> Record:
    return replace(record, state=State.ERROR, error=text, version=record.version + 1)


def _own(resource: Resource) -> Resource:
    """Return what is the client's of a Subscription."""
    own = {name: value for name, value in resource.items() if name not in {"id", "status", "error", "text"}}
    meta = {name: v for name, v in dict(own.get("meta", {})).items() if name not in {"versionId", "lastUpdated"}}
    return {**own, "meta": meta}


def _operation(version: Version) -> Operation:
    return Operation.CREATE if version.version == 1 else Operation.UPDATE
