"""Brings commitments from the outbox into the log, signs its head, and keeps the backends at that head.

Ingest never waits for any of this. Sequencing and each backend run on their own: with a backend away the log goes
on, and when it is back one publish catches up.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from random import SystemRandom

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import ConfigError, Conflict, VerificationError
from hawsepipe.hooks import LedgerBackend
from hawsepipe.ledger import merkle, note
from hawsepipe.ledger.chart import Chart
from hawsepipe.ledger.highwater import HighWater
from hawsepipe.ledger.log import Log
from hawsepipe.ledger.publisher import HALTED, LedgerState, Publisher
from hawsepipe.meters import Meters
from hawsepipe.model import Anchor, Checkpoint
from hawsepipe.store.sequencing import Sequenced

_log = structlog.get_logger("hawsepipe.ledger")

_REMINDER = timedelta(seconds=60)


class Anchorer:
    """The single sequencer of a channel's log, with a publisher for each backend.

    `interval` is how often it looks without being told, `linger` how long it lets a batch gather, `patience` how
    long a backend may take for one call (all in seconds); `batch` is the most leaves that one checkpoint adds;
    `random` gives floats in [0, 1) for the jitter of retries, `salts(n)` n unpredictable bytes; `mark` is where it is
    noted how far the log has come.
    """

    def __init__(
        self,
        store: Log,
        backends: Mapping[str, LedgerBackend],
        signer: note.Signer,
        channel: str,
        clock: Clock,
        meters: Meters,
        *,
        random: Callable[[], float] | None = None,
        salts: Callable[[int], bytes] = secrets.token_bytes,
        mark: HighWater | None = None,
        interval: float = 1.0,
        linger: float = 0.1,
        batch: int = 1000,
        patience: float = 30.0,
    ) -> None:
        self._store = store
        self._signer = signer
        self._channel = channel
        self._clock = clock
        self._meters = meters
        self._interval = interval
        self._linger = linger
        self._batch = batch
        self._patience = patience
        self._chart = Chart(store, channel, salts)
        self._mark = mark
        self._marked = LedgerState.GOOD  # what the mark says of the log
        self._broken = False
        self._refused: int | None = None  # the size at which the store refused the last batch
        self._reminded: datetime | None = None
        self._sequencing = asyncio.Lock()
        self._outbox_grew = asyncio.Event()
        chance = random if random is not None else SystemRandom().random
        self._publishers = tuple(
            Publisher(name, backend, store, channel, clock, meters, random=chance, patience=patience)
            for name, backend in backends.items()
        )
        for state in LedgerState:
            meters.log_state.labels(state.value).set_function(partial(self._stands, state))
        self._log_grew = {publisher.name: asyncio.Event() for publisher in self._publishers}

    @property
    def states(self) -> Mapping[str, LedgerState]:
        """How each backend stands."""
        return {publisher.name: publisher.state for publisher in self._publishers}

    @property
    def state(self) -> LedgerState:
        """How the log stands: the worst of what it and its backends report, GOOD when nothing is wrong."""
        found = {*self.states.values(), self._marked} | ({LedgerState.BROKEN} if self._broken else set())
        worst = (
            LedgerState.BROKEN,
            LedgerState.FORKED,
            LedgerState.ROLLED_BACK,
            LedgerState.UNREACHABLE,
            LedgerState.UNKNOWN,
        )
        return next((state for state in worst if state in found), LedgerState.GOOD)

    def _stands(self, state: LedgerState) -> float:
        return float(self.state is state)

    async def resume(self) -> None:
        """Take up the store's log before anything else: see that it is this channel's and this key's, set the gauges.

        Raises ConfigError when it is not, StoreError.
        """
        head = await self._store.checkpoint(self._channel)
        if head is None and await self._store.nodes([(0, 0)]):
            raise ConfigError(
                "service.channel",
                f"the store's log has no checkpoint of {self._channel}; name the channel under which it was begun",
            )
        if head is not None and not self._signed(head):
            raise ConfigError(
                "service.data",
                "the last checkpoint of the store's log is not signed by keys/log.key; put back the key that signed it",
            )
        size = head.size if head is not None else 0
        self._meters.log_size.set(size)
        await self._compare_mark(size)
        for publisher in self._publishers:
            await publisher.resume(size)

    async def _compare_mark(self, size: int) -> None:
        """See that the log is not behind what was noted apart from it, nor another one."""
        mark = await asyncio.to_thread(self._mark.read) if self._mark is not None else None
        if mark is None:
            return
        if mark.size > size:
            self._marked = LedgerState.ROLLED_BACK
        elif await self._root_at(mark.size) != mark.root:
            self._marked = LedgerState.FORKED
        if self._marked is not LedgerState.GOOD:
            _log.critical(
                "the high-water mark contradicts our log",
                channel=self._channel,
                state=self._marked.value,
                size=size,
                mark=mark.size,
            )

    async def _root_at(self, size: int) -> bytes | None:
        try:
            return merkle.root_of(size, await self._store.nodes(merkle.peaks(size)))
        except KeyError:
            return None

    async def _note_mark(self, head: Checkpoint) -> None:
        if self._mark is None:
            return
        try:
            await asyncio.to_thread(self._mark.note, head.size, head.root)
        except OSError as error:
            _log.error("the high-water mark was not written", channel=self._channel, error=type(error).__name__)

    def notify(self) -> None:
        """Say that the outbox has grown."""
        self._outbox_grew.set()

    async def once(self) -> bool:
        """Compare, sequence the whole outbox and publish. True when every backend holds all of it.

        Raises StoreError when the store fails; a backend that is away, or whose next attempt is not due, gives False.
        """
        await asyncio.gather(
            *(publisher.advance() for publisher in self._publishers if publisher.state is LedgerState.UNKNOWN)
        )
        await self._sequence()
        done = await asyncio.gather(*(publisher.advance() for publisher in self._publishers))
        return all(done) and self.state not in HALTED

    async def run(self) -> None:
        """Do so until cancelled. No failure of a backend or of the store ends it."""
        async with asyncio.TaskGroup() as group:
            for publisher in self._publishers:
                group.create_task(self._run_publisher(publisher), name=f"ledger {publisher.name}")
            group.create_task(self._run_log(), name="ledger log")

    async def _run_log(self) -> None:
        # Each backend is asked once before the first new checkpoint: a log that was restored from a backup must not
        # sign new roots for sizes that are out already. One that does not answer in time is taken as away, and the
        # log goes on.
        try:
            async with asyncio.timeout(self._patience * 2):
                for publisher in self._publishers:
                    await publisher.met.wait()
        except TimeoutError:
            _log.warning("a ledger did not answer at the start", channel=self._channel)
        while True:
            self._outbox_grew.clear()
            try:
                await self._sequence()
            except Exception as error:
                # A failing store must not end anchoring for good; it is tried again and the ingest path tells of it
                # too.
                _log.error("sequencing failed", channel=self._channel, error=type(error).__name__)
            if await _woken(self._outbox_grew, self._interval):
                await asyncio.sleep(self._linger)

    async def _run_publisher(self, publisher: Publisher) -> None:
        grew = self._log_grew[publisher.name]
        while True:
            grew.clear()
            try:
                await publisher.advance()
            except Exception as error:
                _log.error("publishing failed", backend=publisher.name, error=type(error).__name__)
            publisher.met.set()
            waiting = publisher.delay()
            if waiting > 0.0:
                await asyncio.sleep(waiting)
            else:
                await _woken(grew, self._interval)

    async def _sequence(self) -> None:
        async with self._sequencing:
            self._remind()
            while self.state not in HALTED:
                anchors = await self._store.outbox(self._batch)
                if not anchors:
                    break
                batch = await self._grown(tuple(anchors))
                if batch is None:
                    break
                try:
                    await self._store.sequence(batch)
                except Conflict:
                    # The outbox or the log is not what was just read, and nothing was written. It is read again; nobody
                    # else sequences, so the same refusal at the same size says that outbox and log contradict another.
                    if self._refused == batch.start:
                        self._break("the store's outbox does not continue its log", batch.start)
                        break
                    self._refused = batch.start
                    _log.warning("the log moved under the sequencer", channel=self._channel)
                    continue
                self._refused = None
                self._meters.checkpoints.inc()
                self._meters.log_size.set(batch.checkpoint.size)
                await self._note_mark(batch.checkpoint)
                for event in self._log_grew.values():
                    event.set()
                if len(anchors) < self._batch:
                    break
            self._meters.outbox.set(await self._store.outbox_depth())

    async def _grown(self, anchors: tuple[Anchor, ...]) -> Sequenced | None:
        """Return the batch that appends these anchors, None (and halt) when the log is not what we signed."""
        head = await self._store.checkpoint(self._channel)
        size = head.size if head is not None else 0
        # The first place after the log, and the last two in it (a version's and its state leaf), tell whether the store
        # means the size that was signed.
        edge = ((0, size), *((0, place) for place in range(max(size - 2, 0), size)))
        found = await self._store.nodes((*merkle.peaks(size), *edge))
        try:
            frontier: merkle.Frontier | None = merkle.Frontier(size, [found[place] for place in merkle.peaks(size)])
        except KeyError:
            frontier = None
        whole = (0, size) not in found and all(place in found for place in edge[1:])
        if (
            frontier is None
            or not whole
            or (head is not None and (head.root != frontier.root() or not self._signed(head)))
        ):
            self._break("the log is not what its last checkpoint signed", size)
            return None
        try:
            await self._chart.catch_up(self._batch)
            state, pages = await self._chart.sealed(size, anchors)
        except VerificationError:
            self._break("the current-state map is not what was sealed", size)
            return None
        nodes: list[tuple[merkle.Coordinate, bytes]] = []
        for digest in (*(anchor.digest for anchor in anchors), state.commitment):
            nodes.extend(frontier.append(merkle.leaf_hash(digest)))
        since = self._chart.since(frontier.size, min((it.receipted for it in self._publishers), default=0))
        checkpoint = self._signer.checkpoint(frontier.size, frontier.root())
        return Sequenced(size, anchors, tuple(nodes), checkpoint, state, pages, since)

    def _signed(self, head: Checkpoint) -> bool:
        try:
            note.verify_checkpoint(head, self._signer.vkey)
        except VerificationError:
            return False
        return True

    def _break(self, text: str, size: int) -> None:
        self._broken = True
        _log.critical(text, channel=self._channel, size=size)

    def _remind(self) -> None:
        """Say again, once a minute, that the log stands still: one line of last night is not seen."""
        now = self._clock()
        if self.state not in HALTED:
            self._reminded = None
        elif self._reminded is None:
            self._reminded = now
        elif now - self._reminded >= _REMINDER:
            self._reminded = now
            _log.error(
                "nothing is logged or anchored until somebody has looked and the service is started anew",
                channel=self._channel,
                state=self.state.value,
                backends={name: state.value for name, state in self.states.items()},
            )


async def _woken(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most so many seconds; False when the time was up."""
    try:
        # Not asyncio.wait_for: before Python 3.12 it may lose a cancellation that comes as the event does.
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
