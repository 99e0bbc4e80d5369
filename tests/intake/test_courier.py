"""The courier: order, retries, the breaker, and what a receiver refuses."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from hawsepipe.errors import DeliveryFailed, DeliveryRefused, StoreError
from hawsepipe.hooks import Refusal
from hawsepipe.intake.alerts import Alerts
from hawsepipe.intake.courier import Courier, CourierState, Patience
from hawsepipe.meters import Meters
from hawsepipe.model import RawMessage
from hawsepipe.store.answers import Delivery

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PATIENCE = Patience(first=1.0, most=4.0, failures=4, pause=60.0)


class Queue:
    """The store's queue, in memory."""

    def __init__(self, count: int) -> None:
        self.waiting = deque(
            Delivery(number, number, RawMessage("adt", NOW, "application/hl7-v2", f"M{number}".encode()))
            for number in range(count)
        )
        self.aside: list[tuple[int, Refusal]] = []
        self.faults = 0

    async def next_delivery(self, destination: str) -> Delivery | None:
        if self.faults:
            self.faults -= 1
            raise StoreError("not now")
        return self.waiting[0] if self.waiting else None

    async def delivered(self, number: int) -> None:
        assert self.waiting.popleft().number == number

    async def set_aside(self, number: int, refusal: Refusal, instant: datetime) -> None:
        assert self.waiting.popleft().number == number
        self.aside.append((number, refusal))


class Receiver:
    """A destination that fails as it is told, then takes what comes."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = deque(faults)
        self.taken: list[bytes] = []
        self.tries = 0

    @property
    def address(self) -> str:
        return "test://"

    async def deliver(self, message: RawMessage) -> None:
        self.tries += 1
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            raise fault
        self.taken.append(message.body)


class Bed:
    def __init__(self, queue: Queue, receiver: Receiver, patience: Patience, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        self.states: list[CourierState] = []
        self.meters = Meters()
        self.courier = Courier(
            *("lab", receiver, patience, cast("Any", queue), lambda: NOW, self.meters, random.Random(7)),
            Alerts(lambda: NOW, self.meters, timedelta(hours=1)),
        )
        self._queue = queue
        real = asyncio.sleep

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            self.states.append(self.courier.state)
            await real(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        self._sleep = real

    async def run(self) -> None:
        """Run until nothing waits."""
        task = asyncio.create_task(self.courier.run())
        async with asyncio.timeout(5):
            while self._queue.waiting:
                await self._sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def total(self, name: str, **labels: str) -> float:
        return self.meters.registry.get_sample_value(name, {"destination": "lab"} | labels) or 0.0


async def test_messages_are_delivered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, receiver = Queue(20), Receiver()
    bed = Bed(queue, receiver, PATIENCE, monkeypatch)
    await bed.run()
    assert receiver.taken == [f"M{number}".encode() for number in range(20)]
    assert bed.total("hawsepipe_delivery_delivered_total") == 20
    assert bed.pauses == []


async def test_a_failure_is_tried_again_ever_more_seldom_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, receiver = Queue(3), Receiver(*[DeliveryFailed("away")] * 3)
    bed = Bed(queue, receiver, PATIENCE, monkeypatch)
    await bed.run()
    assert receiver.taken == [b"M0", b"M1", b"M2"]
    for pause, most in zip(bed.pauses, (1.0, 2.0, 4.0), strict=True):
        assert most / 2 <= pause <= most
    assert bed.courier.state is CourierState.CLOSED
    assert bed.total("hawsepipe_delivery_failures_total", error="DeliveryFailed") == 3


async def test_after_several_failures_it_is_left_alone_and_tried_once_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue, receiver = Queue(1), Receiver(*[DeliveryFailed("away")] * 6)
    bed = Bed(queue, receiver, PATIENCE, monkeypatch)
    await bed.run()
    assert [pause >= 30 for pause in bed.pauses] == [False, False, False, True, True, True]
    assert bed.states[-1] is CourierState.OPEN
    assert bed.total("hawsepipe_delivery_state", state="closed") == 1
    assert bed.total("hawsepipe_delivery_state", state="open") == 0


async def test_a_refused_message_holds_the_others_or_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = DeliveryRefused("delivery", "the receiver answers AE", "AE")
    queue, receiver = Queue(2), Receiver(refused, refused)
    await Bed(queue, receiver, PATIENCE, monkeypatch).run()
    assert (receiver.taken, queue.aside) == ([b"M0", b"M1"], [])
    queue, receiver = Queue(2), Receiver(refused)
    bed = Bed(queue, receiver, Patience(hold=False), monkeypatch)
    await bed.run()
    assert receiver.taken == [b"M1"]
    assert queue.aside == [(0, Refusal("delivery", "", "the receiver answers AE"))]
    assert bed.total("hawsepipe_delivery_refused_total") == 1


async def test_what_a_stranger_s_code_raises_and_a_store_that_cannot_be_read_end_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue, receiver = Queue(2), Receiver(RuntimeError("secret words"))
    queue.faults = 2
    bed = Bed(queue, receiver, PATIENCE, monkeypatch)
    await bed.run()
    assert receiver.taken == [b"M0", b"M1"]
    assert bed.total("hawsepipe_delivery_failures_total", error="RuntimeError") == 1


class Slow(Receiver):
    """Has the message at once and says so when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.given = asyncio.Event()

    async def deliver(self, message: RawMessage) -> None:
        await super().deliver(message)
        await self.given.wait()


@pytest.mark.parametrize("told", [True, False])
async def test_a_stop_waits_for_the_acknowledgement_that_is_open_and_begins_nothing_more(
    told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, receiver = Queue(3), Slow()
    bed = Bed(queue, receiver, PATIENCE, monkeypatch)
    running = asyncio.create_task(bed.courier.run())
    async with asyncio.timeout(5):
        while not receiver.taken:
            await bed._sleep(0)
        if told:
            bed.courier.leave()
        running.cancel()
        for _ in range(5):
            await bed._sleep(0)
        assert not running.done()
        receiver.given.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert receiver.taken == [b"M0"]
    assert [delivery.number for delivery in queue.waiting] == [1, 2]


async def test_who_is_told_to_leave_while_nothing_is_under_way_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    bed = Bed(Queue(0), Receiver(), PATIENCE, monkeypatch)
    running = asyncio.create_task(bed.courier.run())
    await bed._sleep(0)
    bed.courier.leave()
    async with asyncio.timeout(5):
        await running


async def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hawsepipe.intake.courier._LEAVING", 0.01)
    queue, receiver = Queue(1), Slow()
    bed = Bed(queue, receiver, PATIENCE, monkeypatch)
    running = asyncio.create_task(bed.courier.run())
    async with asyncio.timeout(5):
        while not receiver.taken:
            await bed._sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert len(queue.waiting) == 1
