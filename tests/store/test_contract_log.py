"""The private suite of `store.contract.Store`, second part: the log, the access record, durability."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.errors import (
    Conflict,
)
from hawsepipe.fhir import provenance
from hawsepipe.model import (
    Access,
    Change,
    Checkpoint,
    Method,
    RawMessage,
    Receipt,
    Resource,
    Transaction,
)
from hawsepipe.store.contract import JournalEntry, Sequenced, StateLeaf, Store

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
Opener = Callable[..., AbstractAsyncContextManager[Store]]


def entry() -> JournalEntry:
    return JournalEntry(RawMessage("adt", NOW, "application/hl7-v2", b"MSH|1"), "1", b"AA")


def change(type_: str, id_: str, **elements: Any) -> Change:
    return Change(Method.PUT, type_, id_, {"resourceType": type_, **elements})


def transaction(*changes: Change, draft: Resource | None = None, instant: datetime = NOW) -> Transaction:
    return Transaction(changes, draft, "feed:adt", instant)


class TestLog:
    CHANNEL = "example.org/log"

    def head(self, size: int) -> Checkpoint:
        return Checkpoint(self.CHANNEL, size, sha256(b"root %d" % size).digest(), b"note %d" % size)

    async def logged(self, store: Store, patients: int, batch: int) -> None:
        for number in range(patients):
            await store.commit(transaction(change("Patient", str(number))))
        start = 0
        while anchors := tuple(await store.outbox(batch)):
            nodes = (((1, start), sha256(b"node %d" % start).digest()),)
            await store.sequence(Sequenced(start, anchors, nodes, self.head(start + len(anchors))))
            start += len(anchors)

    async def test_an_empty_log_has_no_checkpoint(self, store: Store) -> None:
        assert await store.checkpoint(self.CHANNEL) is None
        assert await store.checkpoint_covering(self.CHANNEL, 0, None) is None
        assert await store.outbox(10) == ()
        assert await store.nodes([(0, 0), (1, 0)]) == {}

    async def test_leaves_get_the_places_of_their_commits(self, store: Store) -> None:
        await self.logged(store, 5, 2)
        assert await store.outbox_depth() == 0
        for number in range(5):
            version = await store.read("Patient", str(number))
            assert version is not None
            assert await store.leaf_index(version.commitment) == number
            assert await store.in_outbox(version.commitment) is False
            leaf = sha256(b"\x00" + version.commitment).digest()
            assert await store.nodes([(0, number)]) == {(0, number): leaf}
        assert await store.nodes([(1, 2), (1, 3)]) == {(1, 2): sha256(b"node 2").digest()}
        assert await store.checkpoint(self.CHANNEL) == self.head(5)
        assert await store.checkpoint("elsewhere") is None

    async def test_a_commitment_outside_the_log_has_no_place(self, store: Store) -> None:
        (made,) = await store.commit(transaction(change("Patient", "1")))
        assert await store.leaf_index(made.commitment) is None
        assert await store.leaf_index(b"x" * 32) is None
        assert await store.in_outbox(made.commitment) is True
        assert await store.in_outbox(b"x" * 32) is False
        assert await store.outbox_depth() == 1

    async def test_a_batch_that_does_not_continue_the_log_is_refused(self, store: Store) -> None:
        for number in range(3):
            await store.commit(transaction(change("Patient", str(number))))
        anchors = tuple(await store.outbox(3))
        forged = (replace(anchors[0], digest=b"x" * 32), *anchors[1:])
        for batch in (
            Sequenced(1, anchors, (), self.head(4)),
            Sequenced(0, anchors[1:], (), self.head(2)),
            Sequenced(0, anchors[::-1], (), self.head(3)),
            Sequenced(0, forged, (), self.head(3)),
            Sequenced(0, anchors, (), self.head(2)),
        ):
            with pytest.raises(Conflict):
                await store.sequence(batch)
        assert await store.checkpoint(self.CHANNEL) is None
        answers = await asyncio.gather(
            *(store.sequence(Sequenced(0, anchors, (), self.head(3))) for _ in range(2)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [type(None), Conflict]

    def state(self, number: int) -> StateLeaf:
        return StateLeaf(*(sha256(b"%d %d" % (number, part)).digest() for part in range(4)))

    async def sealed(self, store: Store, patients: Sequence[str], pages: dict[str, bytes], since: int = 0) -> int:
        """Log these patients in one batch with a state leaf; return the log's size."""
        head = await store.checkpoint(self.CHANNEL)
        start = 0 if head is None else head.size
        for id_ in patients:
            await store.commit(transaction(change("Patient", id_, n=start)))
        anchors = tuple(await store.outbox(100))
        size = start + len(anchors) + 1
        await store.sequence(
            Sequenced(start, anchors, (), self.head(size), self.state(size), tuple(pages.items()), since)
        )
        return size

    async def test_a_state_leaf_is_the_last_one_of_its_batch(self, store: Store) -> None:
        assert await self.sealed(store, ("a", "b"), {}) == 3
        assert await self.sealed(store, ("c",), {}) == 5
        assert [await store.state_leaf(size) for size in range(6)] == [
            None, None, None, self.state(3), None, self.state(5),
        ]  # fmt: skip
        places = []
        for id_ in "abc":
            version = await store.read("Patient", id_)
            assert version is not None
            places.append(await store.leaf_index(version.commitment))
            leaf = sha256(b"\x00" + version.commitment).digest()
            assert await store.nodes([(0, places[-1] or 0)]) == {(0, places[-1]): leaf}
        assert places == [0, 1, 3]
        leaf = sha256(b"\x00" + self.state(5).commitment).digest()
        assert await store.nodes([(0, 4), (0, 5), (0, -1)]) == {(0, 4): leaf}
        assert await store.outbox_depth() == 0
        assert await store.checkpoint(self.CHANNEL) == self.head(5)

    async def test_an_anchor_tells_the_place_of_its_resource(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1")))
        await store.commit(transaction(Change(Method.DELETE, "Patient", "1", None)))
        assert [anchor.place for anchor in await store.outbox(9)] == [sha256(b"Patient/1").digest()] * 2

    async def test_pages_are_given_as_of_each_size_until_they_are_forgotten(self, store: Store) -> None:
        place = bytes.fromhex("ab" * 32)
        one = await self.sealed(store, ("a",), {"": b"1", "a": b"2", "ab": b"3"})
        two = await self.sealed(store, ("a",), {"": b"4", "ab": b"5"})
        assert await store.pages((place,), None) == {"": b"4", "a": b"2", "ab": b"5"}
        assert await store.pages((place,), two) == await store.pages((place,), None)
        assert await store.pages((place, bytes(32)), one) == {"": b"1", "a": b"2", "ab": b"3"}
        assert await store.pages((bytes(32),), None) == {"": b"4"}
        assert await store.pages((place,), one - 1) == {}
        three = await self.sealed(store, ("a",), {"": b"6"}, since=two)
        assert await store.pages((place,), two) == {"": b"4", "a": b"2", "ab": b"5"}
        assert await store.pages((place,), one) == {}
        assert await store.pages((place,), three) == {"": b"6", "a": b"2", "ab": b"5"}

    async def test_a_map_that_is_behind_the_log_is_not_sealed(self, store: Store) -> None:
        await self.logged(store, 3, 2)
        with pytest.raises(Conflict):
            await self.sealed(store, ("x",), {})
        behind = await store.uncharted(2)
        assert [(one.sequence, one.place) for one in behind] == [
            (number + 1, sha256(b"Patient/%d" % number).digest()) for number in range(2)
        ]
        await store.chart(2, (("", b"1"),))
        assert [one.sequence for one in await store.uncharted(9)] == [3]
        await store.chart(3, (("", b"2"),))
        assert await store.uncharted(9) == ()
        assert await store.pages((bytes(32),), None) == {"": b"2"}
        assert await self.sealed(store, (), {"": b"3"}) == 5
        with pytest.raises(Conflict):
            await store.chart(4, ())

    async def test_an_auditor_reads_everything_in_the_order_of_the_log(self, store: Store) -> None:
        await store.append(entry())
        size = await self.sealed(store, ("a", "b"), {})
        await store.commit(transaction(change("Patient", "a", n=7)))
        await store.put_leaf(b"k" * 32)
        rows = await store.logged(0, 10)
        assert [(row.sequence, row.type, row.id, row.version, row.current) for row in rows] == [
            (1, "Patient", "a", 1, False),
            (2, "Patient", "b", 1, True),
            (3, "Patient", "a", 2, True),
            (4, None, None, None, False),
        ]
        version = await store.vread("Patient", "b", 1)
        assert version is not None
        row = rows[1]
        assert (row.leaf, row.commitment, row.opening, row.salt, row.content, row.operation) == (
            version.commitment, version.commitment, version.opening, version.salt, version.content, version.operation,
        )  # fmt: skip
        assert rows[3].leaf == b"k" * 32
        assert [anchor.place for anchor in await store.outbox(9)][1:] == [b""]
        assert await store.logged(3, 10) == rows[3:]
        assert await store.logged(0, 2) == rows[:2]
        assert await store.state_leaves(0, 9) == ((size, 2, self.state(size)),)
        assert await store.state_leaves(size, 9) == ()
        assert await store.checkpoints(self.CHANNEL, 0, 9) == (self.head(size),)
        assert await store.leafless() == 0
        (raw,) = await store.journalled(0, 9)
        assert (raw.digest, raw.body) == (sha256(b"MSH|1").digest(), b"MSH|1")

    async def test_a_state_leaf_alone_is_no_batch(self, store: Store) -> None:
        size = await self.sealed(store, ("a",), {})
        with pytest.raises(Conflict):
            await store.sequence(Sequenced(size, (), (), self.head(size + 1), self.state(size + 1)))

    async def test_what_is_anchored_is_told_by_places_of_the_outbox(self, store: Store) -> None:
        for id_ in "ab":
            size = await self.sealed(store, (id_, f"{id_}2"), {})
            if id_ == "a":
                await store.put_receipt(Receipt("log", self.CHANNEL, size, self.head(size).root, "", {}))
                held = self.head(size)
        assert await store.anchored(self.CHANNEL, ()) == 4
        assert await store.anchored(self.CHANNEL, ("log",)) == 2
        assert await store.anchored(self.CHANNEL, ("log", "other")) == 0
        assert await store.checkpoint(self.CHANNEL, "log") == held
        assert await store.checkpoint(self.CHANNEL, "other") is None

    async def test_the_smallest_checkpoint_over_a_leaf_is_found_and_by_receipt(self, store: Store) -> None:
        await self.logged(store, 6, 2)
        receipt = Receipt("log", self.CHANNEL, 6, self.head(6).root, "at 3", {"a": [1, "é"]})
        await store.put_receipt(receipt)
        await store.put_receipt(receipt)
        assert await store.checkpoint_covering(self.CHANNEL, 1, None) == self.head(2)
        assert await store.checkpoint_covering(self.CHANNEL, 2, None) == self.head(4)
        assert await store.checkpoint_covering(self.CHANNEL, 2, "log") == self.head(6)
        assert await store.checkpoint_covering(self.CHANNEL, 2, "other") is None
        assert await store.checkpoint_covering(self.CHANNEL, 6, None) is None
        assert await store.receipts(self.CHANNEL, 6) == (receipt,)
        assert await store.receipts(self.CHANNEL, 4) == ()


class TestAccessRecord:
    async def test_entries_come_back_in_order_as_they_were(self, store: Store) -> None:
        def access(number: int) -> Access:
            return Access(
                NOW + timedelta(microseconds=number),
                "Practitioner/1",
                "app",
                None if number % 2 else "TREAT",
                "read",
                f"Patient/{number}",
                ("1", "2"),
                bool(number % 2),
                ("reason",),
                ("Consent/1/_history/1",),
                "Observation?code",
            )

        await asyncio.gather(*(store.record([access(n), access(n + 1)]) for n in range(0, 10, 2)))
        found = await store.accesses(0, 100)
        assert [entry for _, entry in found] == [access(number) for number in range(10)]
        assert await store.accesses(found[7][0], 100) == found[8:]
        assert await store.accesses(0, 3) == found[:3]
        await store.record([])


class TestDurability:
    async def test_everything_is_there_after_closing_and_opening(self, opener: Opener, tmp_path: Path) -> None:
        async with opener(tmp_path / "s") as store:
            await store.append(entry())
            made = await store.commit(
                transaction(change("Consent", "1", n=1), draft=provenance.draft("feed:adt", id="p1"), instant=NOW)
            )
            epoch = await store.consent_epoch()
        async with opener(tmp_path / "s") as store:
            assert await store.read("Consent", "1") == made[0]
            assert (await store.backlog(), await store.outbox_depth(), await store.consent_epoch()) == (1, 2, epoch)
            assert (await store.append(entry())).duplicate
            (later,) = await store.commit(transaction(change("Consent", "1", n=2), instant=NOW - timedelta(days=1)))
            assert later.last_updated > made[0].last_updated
            await store.check()
