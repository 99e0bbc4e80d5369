"""The queues of destinations: part of the private suite of `store.contract.Store`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import apsw

from hawsepipe.hooks import Refusal
from hawsepipe.model import RawMessage
from hawsepipe.store.answers import Aside
from hawsepipe.store.contract import Application, JournalEntry, Store
from hawsepipe.store.sqlite import schema

from .conftest import SINCE_3

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
REFUSAL = Refusal("delivery", "", "the receiver answers AE")
Opener = Callable[..., AbstractAsyncContextManager[Store]]


async def taken(store: Store, *numbers: int, feed: str = "adt") -> None:
    """Journal messages and apply them."""
    for number in numbers:
        message = RawMessage(feed, NOW, "application/hl7-v2", f"MSH|{number}".encode())
        acceptance = await store.append(JournalEntry(message, str(number), b""))
        await store.apply([Application(acceptance.sequence, "", None)])


async def emptied(store: Store, destination: str = "lab") -> list[bytes]:
    """Deliver everything that waits."""
    found = []
    while (delivery := await store.next_delivery(destination)) is not None:
        found.append(delivery.message.body)
        await store.delivered(delivery.number)
    return found


async def test_what_is_applied_is_on_its_way_to_the_destinations_of_its_feed_in_order(store: Store) -> None:
    await store.route({"lab": ["adt", "oru"], "other": ["oru"]})
    await taken(store, 1, 2)
    await taken(store, 3, feed="oru")
    await taken(store, 4, feed="none")
    assert await emptied(store) == [b"MSH|1", b"MSH|2", b"MSH|3"]
    assert await emptied(store, "other") == [b"MSH|3"]
    assert await store.queues() == {}


async def test_what_is_refused_or_waits_is_not_on_its_way_and_a_retry_is_once(store: Store) -> None:
    await store.route({"lab": ["adt"]})
    message = RawMessage("adt", NOW, "application/hl7-v2", b"MSH|1")
    dead = await store.append(JournalEntry(message, "1", b"", REFUSAL))
    await store.append(JournalEntry(RawMessage("adt", NOW, "application/hl7-v2", b"MSH|2"), "2", b""))
    assert await store.next_delivery("lab") is None
    again = await store.retry(dead.sequence, NOW)
    assert again is not None
    await store.apply([Application(again.sequence, "", None)])
    await store.apply([Application(again.sequence, "", None)])
    assert await emptied(store) == [b"MSH|1"]


async def test_an_entry_comes_again_until_it_is_delivered_also_after_a_restart(opener: Opener, tmp_path: Path) -> None:
    async with opener(tmp_path / "store") as store:
        await store.route({"lab": ["adt"]})
        await taken(store, 1, 2)
        assert (await store.next_delivery("lab")) == (await store.next_delivery("lab"))
    async with opener(tmp_path / "store") as store:
        # A feed that goes there no more: what waits goes on waiting.
        await store.route({})
        await taken(store, 3)
        assert await emptied(store) == [b"MSH|1", b"MSH|2"]


async def test_what_is_set_aside_lets_the_next_pass_and_may_be_delivered_again_in_its_place(store: Store) -> None:
    await store.route({"lab": ["adt"]})
    await taken(store, 1, 2)
    first = await store.next_delivery("lab")
    assert first is not None
    await store.set_aside(first.number, REFUSAL, NOW)
    second = await store.next_delivery("lab")
    assert second is not None
    assert second.message.body == b"MSH|2"
    queue = (await store.queues())["lab"]
    assert (queue.waiting, queue.set_aside, queue.oldest is not None) == (1, 1, True)
    assert await store.deliver_again("lab") == 1
    assert await emptied(store) == [b"MSH|1", b"MSH|2"]


async def test_what_was_set_aside_is_listed_and_waits_again_one_by_one(store: Store) -> None:
    await store.route({"lab": ["adt"], "other": ["adt"]})
    await taken(store, 1, 2)
    numbers = []
    while (delivery := await store.next_delivery("lab")) is not None:
        numbers.append(delivery.number)
        assert await store.entry(delivery.number) == Aside(delivery.number, "lab", delivery.sequence, "", None, None)
        await store.set_aside(delivery.number, REFUSAL, NOW)
    found = await store.asides("lab", 0, 10)
    assert [(one.number, one.sequence, one.refusal, one.settled_at) for one in found] == [
        (numbers[0], 1, REFUSAL, NOW),
        (numbers[1], 2, REFUSAL, NOW),
    ]
    assert await store.asides(None, 0, 10) == found
    assert await store.asides("other", 0, 10) == ()
    assert await store.asides("lab", numbers[0], 10) == found[1:]
    assert await store.deliver_one_again(numbers[1])
    assert not await store.deliver_one_again(numbers[1]), "it waits already"
    assert await emptied(store) == [b"MSH|2"]
    assert await store.entry(numbers[1]) is None
    assert [one.number for one in await store.asides("lab", 0, 10)] == numbers[:1]


async def test_a_store_without_queues_gets_them_when_it_is_opened(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path / "store") as store:
        await taken(store, 1)
    file = apsw.Connection(str(tmp_path / "store" / "store.db"))
    file.execute(SINCE_3)
    file.execute("DROP TRIGGER journal_applied; DROP TABLE delivery; DROP TABLE route; PRAGMA user_version = 1")
    file.execute("ALTER TABLE resource DROP COLUMN event")
    file.close()
    async with open_at(tmp_path / "store") as store:
        await store.route({"lab": ["adt"]})
        await taken(store, 2)
        assert await emptied(store) == [b"MSH|2"]
    file = apsw.Connection(str(tmp_path / "store" / "store.db"))
    assert file.pragma("user_version") == schema.VERSION
    file.close()
