"""Alerts: told once, again while they last, and once more when they are over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from hawsepipe.errors import StoreError
from hawsepipe.hooks import Intake, Refusal
from hawsepipe.intake.alerts import BACKLOG, DELIVERY, LETTERS, QUEUE, REFUSED, SOURCE, Alerts, Watch
from hawsepipe.meters import Meters
from hawsepipe.store.answers import Queue
from hawsepipe.store.contract import LetterGroup, Waiting

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


class Scene:
    """Alerts under a clock that the test moves, over queues that it sets."""

    def __init__(self) -> None:
        self.now = START
        self.meters = Meters()
        self.alerts = Alerts(lambda: self.now, self.meters, timedelta(minutes=30))
        self.watch = Watch(cast("Any", self), lambda: self.now, self.alerts, timedelta(minutes=10))
        self.feeds: dict[str, Waiting] = {}
        self.destinations: dict[str, Queue] = {}
        self.letters: list[LetterGroup] = []
        self.broken = False

    async def letter_groups(self) -> list[LetterGroup]:
        if self.broken:
            raise StoreError("the disk")
        return self.letters

    async def waiting(self) -> Mapping[str, Waiting]:
        if self.broken:
            raise StoreError("the disk")
        return self.feeds

    async def queues(self) -> Mapping[str, Queue]:
        return self.destinations

    def notices(self, kind: str, about: str) -> tuple[float, ...]:
        labels = {"kind": kind, "about": about}
        read = self.meters.registry.get_sample_value
        names = ("opened", "reminder", "closed")
        return tuple(read("hawsepipe_alert_notices_total", labels | {"notice": name}) or 0.0 for name in names)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_hour_of_failures_is_one_alert_with_reminders_and_an_end(scene: Scene) -> None:
    for _ in range(3600):
        scene.alerts.raised(DELIVERY, "lab")
        scene.now += timedelta(seconds=1)
    assert scene.notices(DELIVERY, "lab") == (1, 1, 0)
    scene.alerts.cleared(DELIVERY, "lab")
    scene.alerts.cleared(DELIVERY, "lab")
    assert scene.notices(DELIVERY, "lab") == (1, 1, 1)
    (told,) = scene.alerts.list()
    assert (told["found"], told["notices"], told["closed"]) == (3600, 2, "2026-03-01T09:00:00+00:00")
    assert scene.meters.registry.get_sample_value("hawsepipe_alerts_open", {"kind": DELIVERY, "about": "lab"}) == 0


def test_what_begins_again_is_another_alert(scene: Scene) -> None:
    scene.alerts.raised(DELIVERY, "lab")
    scene.alerts.cleared(DELIVERY, "lab")
    scene.alerts.raised(DELIVERY, "lab")
    assert scene.notices(DELIVERY, "lab") == (2, 0, 1)
    assert [alert["closed"] is None for alert in scene.alerts.list()] == [True, False]


async def test_the_age_of_the_oldest_message_is_an_alert_whatever_their_number(scene: Scene) -> None:
    scene.feeds = {"adt": Waiting(1, START), "lab": Waiting(9999, START + timedelta(minutes=9))}
    scene.destinations = {"archive": Queue(3, 0, START), "quiet": Queue(0, 2, None)}
    scene.now += timedelta(minutes=11)
    await scene.watch.look()
    assert scene.alerts.open(BACKLOG, QUEUE) == {(BACKLOG, "adt"), (QUEUE, "archive")}
    scene.feeds, scene.destinations = {}, {}
    await scene.watch.look()
    assert scene.alerts.open(BACKLOG, QUEUE) == set()


async def test_what_a_destination_would_not_have_is_an_alert_until_somebody_has_decided(scene: Scene) -> None:
    scene.destinations = {"lab": Queue(0, 2, None), "quiet": Queue(3, 0, None)}
    await scene.watch.look()
    await scene.watch.look()
    assert scene.alerts.open(REFUSED) == {(REFUSED, "lab")}
    assert scene.notices(REFUSED, "lab") == (1, 0, 0)
    scene.destinations = {}
    await scene.watch.look()
    assert scene.notices(REFUSED, "lab") == (1, 0, 1)


async def test_dead_letters_are_an_alert_for_each_feed_and_cause_and_parts_that_wait_for_their_rest_are_none(
    scene: Scene,
) -> None:
    def group(feed: str, cause: str, location: str) -> LetterGroup:
        return LetterGroup(feed, Refusal(cause, location, "why"), 9, 1, 9, START, START)

    scene.letters = [group("lab", "code", "OBX-5"), group("lab", "code", "OBX-3"), group("adt", "structure", "DSC-1")]
    await scene.watch.look_at_letters()
    assert scene.alerts.open(LETTERS) == {(LETTERS, "lab/code")}
    assert scene.notices(LETTERS, "lab/code") == (1, 0, 0)
    scene.broken = True
    await scene.watch.look_at_letters()
    assert scene.alerts.open(LETTERS) == {(LETTERS, "lab/code")}, "nothing is known"
    scene.broken, scene.letters = False, []
    await scene.watch.look_at_letters()
    assert scene.alerts.open(LETTERS) == set()


class Source:
    """A feed that asks for its messages."""

    address = "http://north.example/fhir"

    def __init__(self, failing_since: datetime | None) -> None:
        self.failing_since = failing_since

    async def start(self, intake: Intake) -> None:
        """It has begun."""


async def test_a_source_that_cannot_be_read_for_long_is_an_alert_until_it_can(scene: Scene) -> None:
    north, south = Source(START), Source(START + timedelta(minutes=9))
    watch = replace(scene.watch, feeds=lambda: {"north": north, "south": south, "good": Source(None)})
    await watch.look()
    assert scene.alerts.open(SOURCE) == set()
    scene.now += timedelta(minutes=11)
    await watch.look()
    assert scene.alerts.open(SOURCE) == {(SOURCE, "north")}
    north.failing_since = None
    await watch.look()
    assert scene.notices(SOURCE, "north") == (1, 0, 1)


async def test_a_store_that_cannot_be_read_is_an_alert_until_it_can(scene: Scene) -> None:
    scene.broken = True
    await scene.watch.look()
    assert [alert["kind"] for alert in scene.alerts.list()] == ["store"]
    scene.broken = False
    await scene.watch.look()
    assert scene.alerts.list()[0]["closed"] is not None
