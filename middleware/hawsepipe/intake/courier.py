"""Brings what feeds have taken on to a destination: one message at a time, in the order of their effects.

The queue is in the store: a message enters it in the transaction that applies it and leaves it when the destination has
it. A crash in between repeats the last one, which receivers know by its control id; a stop waits for its end. What
fails is tried again, ever more seldom and at moments that no two services share; after several failures in a row
nothing is tried for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import DeliveryFailed, DeliveryRefused, HawsepipeError
from hawsepipe.hooks import Destination, Refusal
from hawsepipe.intake.alerts import DELIVERY, Alerts
from hawsepipe.meters import Meters
from hawsepipe.store.answers import Delivery
from hawsepipe.store.contract import Store

_log = structlog.get_logger("hawsepipe.delivery")
_LOOK = 5.0
"""Seconds after which the queue is looked at, should nobody have said that there is something new."""
_LEAVING = 60.0
"""Seconds for which a stop waits for a delivery that is under way; a kind has a time of its own for an answer."""


class CourierState(StrEnum):
    """How a destination stands: it takes messages, was tried in vain, or is left alone for a while."""

    CLOSED = "closed"
    WAITING = "waiting"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Patience:
    """When a failed delivery is tried again, in seconds: after `first`, then twice as long each time up to `most`.

    After `failures` in a row nothing is tried for `pause`. `hold`: a message that the receiver refuses is tried again
    too, and what comes after it waits; else it is set aside.
    """

    first: float = 0.5
    most: float = 30.0
    failures: int = 5
    pause: float = 60.0
    hold: bool = True


class Courier:
    """One per destination."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        patience: Patience,
        store: Store,
        clock: Clock,
        meters: Meters,
        chance: random.Random,
        alerts: Alerts,
    ) -> None:
        self._name = name
        self._destination = destination
        self._patience = patience
        self._store = store
        self._clock = clock
        self._meters = meters
        self._chance = chance
        self._alerts = alerts
        self._refused = 0
        self._awake = asyncio.Event()
        self._leaving = False
        self._failures = 0
        self.state = CourierState.CLOSED

    @property
    def address(self) -> str:
        """Where it delivers to, for people."""
        return self._destination.address

    def wake(self) -> None:
        """Say that there may be something new in the queue."""
        self._awake.set()

    def leave(self) -> None:
        """Say that the service stops: what is under way is the last delivery."""
        self._leaving = True
        self._awake.set()

    async def run(self) -> None:
        """Deliver until cancelled, or told to leave. A delivery that is under way is ended and written down first."""
        while not self._leaving:
            self._awake.clear()
            try:
                delivery = await self._store.next_delivery(self._name)
                if delivery is None:
                    await self._news()
                    continue
                pause = await self._ended(delivery)
            except HawsepipeError as error:
                # The queue cannot be read or written now; what was delivered may be delivered again.
                _log.warning("the queue cannot be used", name=self._name, error=type(error).__name__)
                pause = self._patience.first
            if pause and not self._leaving:
                await asyncio.sleep(pause)

    async def _ended(self, delivery: Delivery) -> float:
        """Try once, whoever cancels meanwhile: the receiver may have the message already, and would get it again."""
        trying = asyncio.ensure_future(self._deliver(delivery))
        try:
            return await asyncio.shield(trying)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVING):
                    await asyncio.gather(trying, return_exceptions=True)
            raise

    async def _news(self) -> None:
        """Wait until there may be something in the queue."""
        try:
            async with asyncio.timeout(_LOOK):
                await self._awake.wait()
        except TimeoutError:
            pass

    async def _deliver(self, delivery: Delivery) -> float:
        """Try once and return for how many seconds to wait before the next try."""
        begun = perf_counter()
        try:
            await self._destination.deliver(delivery.message)
        except DeliveryRefused as error:
            self._meters.deliveries_refused.labels(self._name).inc()
            if delivery.sequence != self._refused:
                # Once, however often it is tried.
                self._refused = delivery.sequence
                _log.warning(
                    "a message was refused",
                    name=self._name,
                    sequence=delivery.sequence,
                    delivery=delivery.number,
                    code=error.answer,
                )
            if self._patience.hold:
                return self._failed(delivery, error)
            await self._store.set_aside(delivery.number, Refusal(error.cause, "", error.reason), self._clock())
        except DeliveryFailed as error:
            return self._failed(delivery, error)
        except Exception as error:
            # The seam to a stranger's code.
            return self._failed(delivery, error)
        else:
            await self._store.delivered(delivery.number)
            self._meters.delivered.labels(self._name).inc()
            self._meters.delivery_seconds.labels(self._name).observe(perf_counter() - begun)
        self._failures = 0
        self._enter(CourierState.CLOSED)
        return 0.0

    def _failed(self, delivery: Delivery, error: Exception) -> float:
        self._failures += 1
        self._meters.delivery_failures.labels(self._name, type(error).__name__).inc()
        if self._failures >= self._patience.failures:
            pause = self._patience.pause
            state = CourierState.OPEN
            self._alerts.raised(DELIVERY, self._name)
        else:
            pause = min(self._patience.first * 2 ** (self._failures - 1), self._patience.most)
            state = CourierState.WAITING
        if state is not self.state:
            _log.warning(
                "a delivery failed",
                name=self._name,
                sequence=delivery.sequence,
                state=state.value,
                error=type(error).__name__,
            )
        self._enter(state)
        # Between half of it and all of it, so that services that failed together do not come back together.
        return pause * (0.5 + self._chance.random() / 2)

    def _enter(self, state: CourierState) -> None:
        if state is CourierState.CLOSED:
            self._alerts.cleared(DELIVERY, self._name)
            if self.state is not state:
                _log.info("deliveries go on", name=self._name, state=state.value)
        self.state = state
        for one in CourierState:
            self._meters.delivery_state.labels(self._name, one.value).set(one is state)
