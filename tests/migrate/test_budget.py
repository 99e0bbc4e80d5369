"""The rate of a load, shared with live messages."""

from __future__ import annotations

import pytest

from hawsepipe.migrate.budget import Budget


class World:
    """Time that passes when somebody sleeps, and messages that wait."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waiting = 0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def backlog(self) -> int:
        return self.waiting

    def budget(self, rate: float | None) -> Budget:
        return Budget(rate, self.backlog, self.now, self.sleep)


async def test_a_rate_is_never_exceeded_and_idle_time_is_not_saved_up() -> None:
    world = World()
    budget = world.budget(200)
    for _ in range(5):
        await budget.take(64)
    assert world.time == pytest.approx(5 * 64 / 200)
    world.time += 100
    await budget.take(64)
    assert world.time == pytest.approx(100 + 6 * 64 / 200)


async def test_live_messages_have_their_share_of_it() -> None:
    world = World()
    budget = world.budget(100)
    budget.live(50)
    await budget.take(50)
    assert world.time == 1.0


async def test_a_load_waits_for_live_messages_but_not_for_ever() -> None:
    world = World()
    world.waiting = 1
    await world.budget(None).take(64)
    assert 1.0 <= world.time < 1.1
    world.waiting = 0
    before = world.time
    await world.budget(None).take(64)
    assert world.time == before
