"""The private suite of `store.contract.Store`. Every implementation goes through it: add an opener to `OPENERS` in
the conftest.

The log, the access record and durability are in `test_contract_log.py`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest

from hawsepipe.errors import (
    Conflict,
    HawsepipeError,
    IdentityConflict,
    InvalidRequest,
    InvalidResource,
    NotFound,
    PreconditionFailed,
)
from hawsepipe.fhir import codec, contents, identity, provenance
from hawsepipe.fhir.index import Row, TokenRow
from hawsepipe.hooks import Refusal, Reuse
from hawsepipe.meters import Meters
from hawsepipe.model import (
    Change,
    Method,
    Operation,
    RawMessage,
    Resource,
    Trail,
    Transaction,
    Version,
)
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import Application, JournalEntry, JournalState, Letters, Replay, Store
from hawsepipe.visibility import Facets

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
REFUSAL = Refusal("structure", "PID-3", "no identifier")
Book = dict[str, tuple[Sequence[Row], Facets]]
Opener = Callable[..., AbstractAsyncContextManager[Store]]


def message(body: bytes = b"MSH|1", feed: str = "adt") -> RawMessage:
    return RawMessage(feed, NOW, "application/hl7-v2", body)


def entry(body: bytes = b"MSH|1", key: str = "1", refusal: Refusal | None = None) -> JournalEntry:
    return JournalEntry(message(body), key, b"AA " + body, refusal)


def change(type_: str, id_: str, method: Method = Method.PUT, if_match: int | None = None, **elements: Any) -> Change:
    resource: Resource | None = {"resourceType": type_, **elements}
    return Change(method, type_, id_, None if method is Method.DELETE else resource, if_match)


def transaction(*changes: Change, draft: Resource | None = None, instant: datetime = NOW, **more: Any) -> Transaction:
    return Transaction(changes, draft, "feed:adt", instant, **more)


def draft(id_: str = "p1") -> Resource:
    return provenance.draft("feed:adt", id=id_, source=sha256(b"source").digest(), label="ADT^A01")


def content(version: Version) -> Resource:
    assert version.content is not None
    return codec.decode(version.content)


class TestOrder:
    """An older event never overwrites a newer one, whichever comes first."""

    EARLY, LATE = NOW - timedelta(hours=2), NOW - timedelta(hours=1)

    @staticmethod
    def visit(status: str, **elements: Any) -> Change:
        body = {"resourceType": "Encounter", "status": status, "class": {"code": "IMP"}, **elements}
        return Change(Method.MERGE, "Encounter", "v1", body, union=frozenset({"period", "identifier"}) & body.keys())

    async def test_a_late_event_fills_in_what_is_missing_and_changes_nothing(self, store: Store) -> None:
        discharge = self.visit("finished", period={"end": "2026-03-03"}, identifier=[{"system": "s", "value": "1"}])
        admission = self.visit(
            "in-progress",
            period={"start": "2026-03-01", "end": "2026-03-09"},
            identifier=[{"system": "s", "value": "1", "use": "old"}, {"system": "s", "value": "2"}],
            type=[{"text": "planned"}],
        )
        await store.commit(transaction(discharge, draft=draft("p1"), event_time=self.LATE))
        version, provenance_ = await store.commit(transaction(admission, draft=draft("p2"), event_time=self.EARLY))
        found = content(version)
        assert found["status"] == "finished"
        assert found["period"] == {"start": "2026-03-01", "end": "2026-03-03"}
        assert found["identifier"] == [{"system": "s", "value": "1"}, {"system": "s", "value": "2"}]
        assert found["type"] == [{"text": "planned"}]
        (told,) = content(provenance_)["extension"]
        assert told == {"url": provenance.SUPERSEDED, "valueReference": {"reference": "Encounter/v1"}}

    async def test_of_two_events_of_one_time_the_later_commit_counts(self, store: Store) -> None:
        for status in ("planned", "in-progress"):
            await store.commit(transaction(self.visit(status), draft=draft(status), event_time=self.LATE))
        version = await store.read("Encounter", "v1")
        assert version is not None
        assert content(version)["status"] == "in-progress"

    async def test_an_event_that_had_nothing_new_to_tell_counts_as_well(self, store: Store) -> None:
        for number, (status, at) in enumerate(
            [("in-progress", self.EARLY), ("in-progress", self.LATE), ("planned", self.EARLY + timedelta(minutes=1))]
        ):
            await store.commit(transaction(self.visit(status), draft=draft(f"p{number}"), event_time=at))
        version = await store.read("Encounter", "v1")
        assert version is not None
        assert (version.version, content(version)["status"]) == (1, "in-progress")

    async def test_nothing_of_an_older_result_is_mixed_into_a_newer_one(self, store: Store) -> None:
        newer = change("Observation", "o1", status="corrected", code={"text": "K"}, valueString="5.0")
        older = change(
            "Observation", "o1", status="final", code={"text": "K"}, valueString="9.0", note=[{"text": "high"}]
        )
        await store.commit(transaction(newer, draft=draft("p1"), event_time=self.LATE))
        (version,) = await store.commit(transaction(older, draft=draft("p2"), event_time=self.EARLY))
        assert not version.changed
        assert content(version)["status"] == "corrected"

    async def test_a_mention_is_no_news_and_an_event_without_a_time_is_taken_as_it_comes(self, store: Store) -> None:
        mention = Change(
            Method.MERGE,
            "Encounter",
            "v1",
            {"resourceType": "Encounter", "status": "unknown"},
            keep=frozenset({"status"}),
        )
        await store.commit(transaction(self.visit("planned"), draft=draft("p1"), event_time=self.EARLY))
        await store.commit(transaction(mention, draft=draft("p2"), event_time=NOW))
        await store.commit(transaction(self.visit("in-progress"), draft=draft("p3"), event_time=self.LATE))
        await store.commit(transaction(self.visit("finished"), draft=draft("p4")))
        versions = await store.history("Encounter", "v1", None, 10)
        assert [content(version)["status"] for version in versions] == ["finished", "in-progress", "planned"]

    async def test_a_transaction_that_fails_leaves_no_time_behind(self, store: Store) -> None:
        await store.commit(transaction(self.visit("planned"), draft=draft("p1"), event_time=self.EARLY))
        twice = change("Encounter", "v1", Method.CREATE, status="planned")
        with pytest.raises(Conflict):
            await store.commit(transaction(self.visit("planned"), twice, event_time=NOW))
        await store.commit(transaction(self.visit("in-progress"), draft=draft("p2"), event_time=self.LATE))
        version = await store.read("Encounter", "v1")
        assert version is not None
        assert content(version)["status"] == "in-progress"


class TestJournal:
    async def test_a_message_comes_back_byte_for_byte_and_waits_to_be_applied(self, store: Store) -> None:
        accepted = await store.append(entry(b"MSH|\xff\x00"))
        (record,) = await store.received(0, 10)
        assert (accepted.sequence, accepted.duplicate, accepted.reply) == (record.sequence, False, b"AA MSH|\xff\x00")
        assert record.message == message(b"MSH|\xff\x00")
        assert (record.state, record.key, record.reply) == (JournalState.RECEIVED, "1", b"AA MSH|\xff\x00")
        assert await store.backlog() == 1
        assert await store.received(record.sequence, 10) == ()

    async def test_a_duplicate_is_answered_with_the_first_reply_and_writes_nothing(self, store: Store) -> None:
        first = await store.append(entry())
        again = await store.append(replace(entry(), reply=b"another reply"))
        assert (again.sequence, again.duplicate, again.reply) == (first.sequence, True, first.reply)
        assert await store.backlog() == 1

    async def test_two_equal_messages_at_the_same_moment_are_journalled_once(self, store: Store) -> None:
        answers = await asyncio.gather(*(store.append(entry()) for _ in range(20)))
        assert {answer.sequence for answer in answers} == {answers[0].sequence}
        assert sum(not answer.duplicate for answer in answers) == 1

    async def test_the_same_key_with_other_bytes_or_from_another_feed_is_another_message(self, store: Store) -> None:
        await store.append(entry(b"one"))
        assert not (await store.append(entry(b"two"))).duplicate
        assert not (await store.append(JournalEntry(message(b"one", "lab"), "1", b""))).duplicate
        assert not (await store.append(entry(b"one", "2"))).duplicate

    async def test_a_refused_message_is_a_dead_letter_at_once_and_its_repeat_is_accepted_anew(
        self, store: Store
    ) -> None:
        dead = await store.append(entry(refusal=REFUSAL))
        (letter,) = await store.dead_letters(0, 10)
        assert (letter.sequence, letter.refusal, letter.state) == (dead.sequence, REFUSAL, JournalState.DEAD)
        assert await store.backlog() == 0
        again = await store.append(entry())
        assert not again.duplicate
        assert again.sequence > dead.sequence

    async def test_a_key_that_is_used_again_is_told_and_refused_where_the_caller_wants_it(self, store: Store) -> None:
        assert not (await store.append(entry(b"one"))).reused
        assert not (await store.append(entry(b"other", "2"))).reused
        told = await store.append(entry(b"two"))
        assert (told.reused, told.duplicate, told.reply) == (True, False, b"AA two")
        again = Reuse(b"no", Refusal("structure", "MSH-10", "used again"))
        refused = await store.append(replace(entry(b"three"), reuse=again))
        assert (refused.reused, refused.reply) == (True, b"no")
        (letter,) = await store.dead_letters(0, 10)
        assert (letter.sequence, letter.refusal, letter.reply) == (refused.sequence, again.refusal, b"no")
        assert (await store.append(replace(entry(b"two"), reuse=again))).duplicate
        assert await store.backlog() == 3

    async def test_a_discarded_letter_keeps_its_bytes_and_is_discarded_once(self, store: Store) -> None:
        dead = await store.append(entry(refusal=REFUSAL))
        assert await store.discard(dead.sequence, NOW)
        assert not await store.discard(dead.sequence, NOW)
        record = await store.journal(dead.sequence)
        assert record is not None
        assert (record.state, record.settled_at, record.message) == (JournalState.DISCARDED, NOW, message())
        assert await store.dead_letters(0, 10) == ()
        assert not (await store.append(entry())).duplicate

    async def test_a_retry_links_to_its_original_and_two_retries_have_one_effect(self, store: Store) -> None:
        dead = await store.append(entry(refusal=REFUSAL))
        first, second = await asyncio.gather(store.retry(dead.sequence, NOW), store.retry(dead.sequence, NOW))
        made = first or second
        assert made is not None
        assert first is None or second is None
        assert (made.replay_of, made.state, made.refusal) == (dead.sequence, JournalState.RECEIVED, None)
        assert await store.backlog() == 1
        assert (await store.append(entry())).duplicate

    async def test_a_retry_gives_way_to_the_same_message_accepted_since(self, store: Store) -> None:
        dead = await store.append(entry(refusal=REFUSAL))
        resent = await store.append(entry())
        record = await store.retry(dead.sequence, NOW)
        assert record is not None
        assert record.sequence == resent.sequence
        assert await store.backlog() == 1
        assert await store.dead_letters(0, 10) == ()

    async def test_a_key_is_used_when_another_message_was_accepted_under_it(self, store: Store) -> None:
        first, other = message(), message(b"MSH|2")
        await store.append(entry(refusal=REFUSAL))
        assert not await store.key_used("adt", "1", first.digest)
        await store.append(entry(b"MSH|2"))
        assert await store.key_used("adt", "1", first.digest)
        assert not await store.key_used("adt", "1", other.digest), "it is a duplicate"
        assert not await store.key_used("lab", "1", first.digest)

    async def test_a_letter_tells_by_what_it_was_retried_and_whether_that_was_mended(self, store: Store) -> None:
        retried = await store.append(entry(refusal=REFUSAL))
        mended = await store.append(entry(b"MSH|2", "2", REFUSAL))
        gone = await store.append(entry(b"MSH|3", "3", REFUSAL))
        first = await store.retry(retried.sequence, NOW)
        second = await store.retry(mended.sequence, NOW, b"mended")
        await store.discard(gone.sequence, NOW)
        assert first is not None
        assert second is not None
        assert await store.replays([retried.sequence, mended.sequence, gone.sequence]) == {
            retried.sequence: Replay(first.sequence, mended=False),
            mended.sequence: Replay(second.sequence, mended=True),
        }

    async def test_a_retry_may_have_another_key(self, store: Store) -> None:
        dead = await store.append(entry(refusal=REFUSAL))
        made = await store.retry(dead.sequence, NOW, b"mended", key="2")
        assert made is not None
        assert made.key == "2"
        assert await store.key_used("adt", "2", message(b"MSH|3").digest)

    async def test_a_mended_copy_is_linked_to_the_letter_that_keeps_its_bytes(self, store: Store) -> None:
        dead = await store.append(entry(refusal=REFUSAL))
        made = await store.retry(dead.sequence, NOW, b"mended")
        assert made is not None
        assert (made.message.body, made.replay_of, made.state) == (b"mended", dead.sequence, JournalState.RECEIVED)
        original = await store.journal(dead.sequence)
        assert original is not None
        assert (original.message, original.state) == (message(), JournalState.DISCARDED)

    async def test_letters_are_chosen_by_feed_cause_place_and_time_and_grouped_by_all_but_time(
        self, store: Store
    ) -> None:
        other = Refusal("parse", "OBX-5", "not a number")
        early, late = NOW, NOW + timedelta(hours=1)
        for number, (feed, refusal, at) in enumerate(
            [("adt", REFUSAL, early), ("adt", other, early), ("lab", other, early), ("lab", other, late)]
        ):
            raw = RawMessage(feed, at, "text/plain", b"%d" % number)
            await store.append(JournalEntry(raw, str(number), b"", refusal))

        async def found(**only: Any) -> list[int]:
            return [letter.sequence for letter in await store.dead_letters(0, 10, Letters(**only))]

        assert await found() == [1, 2, 3, 4]
        assert await found(feed="lab") == [3, 4]
        assert await found(cause="parse", feed="adt") == [2]
        assert await found(location="OBX") == [2, 3, 4]
        assert await found(location="BX-5") == []
        assert await found(since=late) == [4]
        assert await found(until=late, cause="parse") == [2, 3]
        groups = await store.letter_groups()
        assert [(group.feed, group.refusal, group.count, group.first, group.last) for group in groups] == [
            ("lab", other, 2, 3, 4),
            ("adt", REFUSAL, 1, 1, 1),
            ("adt", other, 1, 2, 2),
        ]
        assert (groups[0].oldest, groups[0].newest) == (early, late)
        assert [group.count for group in await store.letter_groups(Letters(feed="adt"))] == [1, 1]

    async def test_what_is_not_there_is_none(self, store: Store) -> None:
        assert await store.journal(7) is None
        assert await store.retry(7, NOW) is None
        assert not await store.discard(7, NOW)


class TestApply:
    async def test_effect_provenance_outbox_and_journal_state_come_together(self, store: Store) -> None:
        accepted = await store.append(entry())
        effect = transaction(
            change("Patient", "1", active=True),
            draft=draft(),
            source=message().digest,
            trail=(Trail("Patient/1", "active", "PID-30"),),
        )
        ((patient, proof),) = await self._applied(store, Application(accepted.sequence, "ADT^A01 1", effect))
        assert (patient.reference, proof.reference) == ("Patient/1", "Provenance/p1")
        record = await store.journal(accepted.sequence)
        assert record is not None
        assert (record.state, record.label) == (JournalState.APPLIED, "ADT^A01 1")
        assert record.settled_at is not None
        assert [anchor.digest for anchor in await store.outbox(10)] == [proof.commitment, patient.commitment]
        assert await store.backlog() == 0
        assert (await store.append(entry())).duplicate

    async def test_one_that_fails_stays_received_and_the_others_are_committed(self, store: Store) -> None:
        sequences = [(await store.append(entry(b"%d" % number, str(number)))).sequence for number in range(3)]
        good, bad, last = await store.apply(
            [
                Application(sequences[0], "a", transaction(change("Patient", "1", active=True), draft=draft("p0"))),
                Application(
                    sequences[1],
                    "b",
                    transaction(change("Patient", "2"), change("Patient", "3", fault=1), draft=draft("p1")),
                ),
                Application(sequences[2], "c", transaction(change("Patient", "1", active=False), draft=draft("p2"))),
            ]
        )
        assert isinstance(bad, InvalidResource)
        assert isinstance(good, tuple)
        assert isinstance(last, tuple)
        assert [version.version for version in (good[0], last[0])] == [1, 2]
        assert await store.read("Patient", "2") is None
        assert [record.sequence for record in await store.received(0, 10)] == [sequences[1]]
        assert await store.outbox_depth() == 4

    async def test_messages_of_one_batch_build_on_each_other(self, store: Store, book: Book) -> None:
        first, second, third = [(await store.append(entry(b"%d" % n, str(n)))).sequence for n in range(3)]
        book["1"] = ([TokenRow("identifier", "", "only")], Facets())
        answers = await store.apply(
            [
                Application(first, "", transaction(change("Patient", "1", active=True))),
                Application(second, "", transaction(change("Patient", "1", active=False))),
                Application(third, "", transaction(change("Patient", "1", active=False))),
            ]
        )
        assert [[(it.version, it.changed) for it in answer] for answer in answers if isinstance(answer, tuple)] == [
            [(1, True)],
            [(2, True)],
            [(2, False)],
        ]
        assert [it.version for it in await store.history("Patient", "1", None, 9)] == [2, 1]
        kept = await store.read("Patient", "1")
        assert kept is not None
        assert content(kept)["active"] is False
        assert await store.backlog() == 0

    async def test_one_that_cannot_be_written_does_not_keep_the_others_back(self, store: Store, book: Book) -> None:
        sequences = [(await store.append(entry(b"%d" % n, str(n)))).sequence for n in range(3)]
        book["bad"] = ([TokenRow("identifier", "", 2**80)], Facets())  # type: ignore[arg-type]  # no table takes it
        answers = await store.apply(
            [
                Application(sequence, "", transaction(change("Patient", id_), change("Device", f"d-{id_}")))
                for sequence, id_ in zip(sequences, ("a", "bad", "c"), strict=True)
            ]
        )
        assert [isinstance(answer, HawsepipeError) for answer in answers] == [False, True, False]
        assert [record.sequence for record in await store.received(0, 9)] == [sequences[1]]
        assert await store.read("Device", "d-bad") is None
        assert await store.outbox_depth() == 4
        assert [anchor.sequence for anchor in await store.outbox(9)] == [1, 2, 3, 4]
        book["bad"] = ([], Facets())
        (again,) = await store.apply([Application(sequences[1], "", transaction(change("Patient", "bad")))])
        assert isinstance(again, tuple)
        assert [(it.version, it.changed) for it in again] == [(1, True)]

    async def test_what_was_refused_is_not_remembered(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1", n=1)))
        sequences = [(await store.append(entry(b"%d" % n, str(n)))).sequence for n in range(2)]
        answers = await store.apply(
            [
                Application(
                    sequences[0], "", transaction(change("Patient", "1", n=2), change("Patient", "2", fault=True))
                ),
                Application(sequences[1], "", transaction(change("Patient", "1", n=1))),
            ]
        )
        assert isinstance(answers[0], InvalidResource)
        assert isinstance(answers[1], tuple)
        assert [(it.version, it.changed) for it in answers[1]] == [(1, False)]

    async def test_a_message_is_applied_once(self, store: Store) -> None:
        accepted = await store.append(entry())
        application = Application(accepted.sequence, "a", transaction(change("Patient", "1", active=True)))
        first, second = await store.apply([application, application])
        assert isinstance(first, tuple)
        assert len(first) == 1
        assert second == ()
        assert await store.apply([application]) == [()]
        assert await store.apply([replace(application, sequence=99)]) == [()]

    async def test_no_effect_settles_and_a_refusal_makes_a_dead_letter(self, store: Store) -> None:
        one = await store.append(entry(b"1", "1"))
        two = await store.append(entry(b"2", "2"))
        answers = await store.apply(
            [Application(one.sequence, "a", None), Application(two.sequence, "b", None, REFUSAL)]
        )
        assert answers == [(), ()]
        states = [await store.journal(sequence) for sequence in (one.sequence, two.sequence)]
        assert [record.state for record in states if record] == [JournalState.APPLIED, JournalState.DEAD]
        (letter,) = await store.dead_letters(0, 10)
        assert (letter.refusal, letter.label) == (REFUSAL, "b")

    async def _applied(self, store: Store, *applications: Application) -> list[tuple[Version, ...]]:
        answers = await store.apply(applications)
        for answer in answers:
            assert not isinstance(answer, HawsepipeError), answer
        return [answer for answer in answers if isinstance(answer, tuple)]


class TestCommit:
    async def test_content_is_served_byte_for_byte_with_decimals_as_sent(self, store: Store) -> None:
        resource = codec.decode(b'{"resourceType":"Observation","valueQuantity":{"value":1.00,"x":1e2}}')
        (made,) = await store.commit(transaction(Change(Method.PUT, "Observation", "1", resource)))
        assert made.content is not None
        assert b'"value":1.00,"x":1e2' in made.content
        assert await store.read("Observation", "1") == made

    async def test_the_store_stamps_id_version_and_instant(self, store: Store) -> None:
        (made,) = await store.commit(transaction(change("Patient", "a-1", id="other", meta={"profile": ["urn:p"]})))
        resource = content(made)
        assert list(resource)[:3] == ["resourceType", "id", "meta"]
        assert resource["id"] == "a-1"
        assert resource["meta"] == {
            "profile": ["urn:p"],
            "versionId": "1",
            "lastUpdated": "2026-03-01T09:00:00.000000Z",
        }
        assert (made.last_updated, made.first_recorded, made.operation) == (NOW, NOW, Operation.CREATE)

    async def test_versions_have_numbers_without_a_gap_and_instants_that_only_grow(self, store: Store) -> None:
        for number in range(5):
            back = NOW - timedelta(seconds=number)
            await store.commit(transaction(change("Patient", "1", count=number), instant=back))
        found = await store.history("Patient", "1", None, 10)
        assert [version.version for version in found] == [5, 4, 3, 2, 1]
        assert [version.last_updated for version in reversed(found)] == [
            NOW + timedelta(microseconds=number) for number in range(5)
        ]
        assert {version.first_recorded for version in found} == {NOW}
        assert [version.version for version in await store.history("Patient", "1", 4, 2)] == [3, 2]
        third = await store.vread("Patient", "1", 3)
        assert third == found[2]
        assert content(found[2])["count"] == 2
        assert await store.vread("Patient", "1", 6) is None
        assert await store.vread("Patient", "1", 0) is None

    async def test_history_of_one_resource_holds_no_version_of_its_neighbours(self, store: Store) -> None:
        for id_ in ("a", "b", "c"):
            await store.commit(transaction(change("Patient", id_, n=1), change("Patient", id_, n=2)))
        assert [v.versioned_reference for v in await store.history("Patient", "b", None, 10)] == [
            "Patient/b/_history/2",
            "Patient/b/_history/1",
        ]

    async def test_equal_content_makes_no_version_and_no_provenance(self, store: Store) -> None:
        first = await store.commit(transaction(change("Patient", "1", a=1, b=[1, 2]), draft=draft()))
        again = await store.commit(transaction(change("Patient", "1", b=[1, 2], a=1), draft=draft("p2")))
        assert again == (replace(first[0], changed=False),)
        assert await store.read("Provenance", "p2") is None
        assert await store.outbox_depth() == 2

    @pytest.mark.parametrize("other", [b"1.0", b"1", b'"1.00"', b"true", b"1.000"])
    async def test_another_spelling_of_a_number_is_another_content(self, store: Store, other: bytes) -> None:
        def put(value: bytes) -> Transaction:
            resource = codec.decode(b'{"resourceType":"Basic","v":%s}' % value)
            return transaction(Change(Method.PUT, "Basic", "1", resource))

        await store.commit(put(b"1.00"))
        (made,) = await store.commit(put(other))
        assert made.version == 2

    async def test_if_match_holds_only_for_the_current_version(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1", if_match=0, n=1)))
        await store.commit(transaction(change("Patient", "1", if_match=1, n=2)))
        for wrong in (0, 1, 3):
            with pytest.raises(PreconditionFailed):
                await store.commit(transaction(change("Patient", "1", if_match=wrong, n=3)))
        with pytest.raises(PreconditionFailed):
            await store.commit(transaction(change("Patient", "2", if_match=1)))

    async def test_of_two_updates_from_the_same_version_one_wins(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1", n=0)))
        answers = await asyncio.gather(
            *(store.commit(transaction(change("Patient", "1", if_match=1, n=number))) for number in range(1, 9)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, PreconditionFailed) for answer in answers) == 7

    async def test_create_refuses_an_id_that_is_or_was_in_use(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1", Method.CREATE)))
        with pytest.raises(Conflict):
            await store.commit(transaction(change("Patient", "1", Method.CREATE)))
        await store.commit(transaction(change("Patient", "1", Method.DELETE)))
        with pytest.raises(Conflict):
            await store.commit(transaction(change("Patient", "1", Method.CREATE)))

    async def test_a_refused_transaction_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(InvalidResource) as caught:
            await store.commit(transaction(change("Patient", "1"), change("Patient", "2", fault=1), draft=draft()))
        assert [issue.location for issue in caught.value.issues] == ["Patient.fault"]
        assert await store.read("Patient", "1") is None
        assert await store.outbox_depth() == 0
        (made,) = await store.commit(transaction(change("Patient", "1", odd=1)))
        assert made.version == 1

    async def test_a_change_of_another_type_or_without_content_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidRequest):
            await store.commit(transaction(Change(Method.PUT, "Patient", "1", {"resourceType": "Basic"})))
        with pytest.raises(InvalidRequest):
            await store.commit(transaction(Change(Method.MERGE, "Patient", "1", None)))

    async def test_a_delete_leaves_a_tombstone_that_can_be_read_and_come_back_from(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1", n=1)))
        (gone,) = await store.commit(transaction(change("Patient", "1", Method.DELETE)))
        assert (gone.version, gone.operation, gone.content, gone.patients) == (2, Operation.DELETE, None, ("1",))
        assert await store.read("Patient", "1") == gone
        (still,) = await store.commit(transaction(change("Patient", "1", Method.DELETE)))
        assert still == replace(gone, changed=False)
        with pytest.raises(PreconditionFailed):
            await store.commit(transaction(change("Patient", "1", if_match=2)))
        (back,) = await store.commit(transaction(change("Patient", "1", if_match=0, n=1)))
        assert (back.version, back.operation, back.first_recorded) == (3, Operation.UPDATE, gone.first_recorded)
        with pytest.raises(NotFound):
            await store.commit(transaction(change("Patient", "2", Method.DELETE)))

    async def test_several_changes_of_one_resource_are_successive_versions(self, store: Store) -> None:
        made = await store.commit(
            transaction(
                change("Patient", "1", n=1),
                change("Patient", "1", Method.MERGE, m=1),
                change("Patient", "1", Method.MERGE, m=1),
                change("Patient", "1", Method.DELETE),
                change("Patient", "1", n=2),
                draft=draft(),
            )
        )
        assert [(version.version, version.changed) for version in made[:5]] == [
            (1, True),
            (2, True),
            (2, False),
            (3, True),
            (4, True),
        ]
        assert content(made[1])["n"] == content(made[1])["m"] == 1
        assert await store.read("Patient", "1") == made[4]
        targets = [target["reference"] for target in content(made[5])["target"]]
        assert targets == [f"Patient/1/_history/{number}" for number in (1, 2, 3, 4)]

    async def test_provenance_names_its_targets_and_their_patients_and_comes_first_in_the_outbox(
        self, store: Store
    ) -> None:
        made = await store.commit(
            transaction(
                change("Patient", "a"),
                change("Observation", "o", subject={"reference": "Patient/b"}),
                draft=draft(),
                trail=(Trail("Patient/a", "id", "PID-3"),),
            )
        )
        proof = made[-1]
        assert proof.patients == ("a", "b")
        assert [target["reference"] for target in content(proof)["target"]] == [
            "Patient/a/_history/1",
            "Observation/o/_history/1",
        ]
        anchors = await store.outbox(10)
        assert [anchor.digest for anchor in anchors] == [proof.commitment, made[0].commitment, made[1].commitment]
        assert [anchor.sequence for anchor in anchors] == sorted(anchor.sequence for anchor in anchors)

    async def test_a_provenance_of_a_known_id_becomes_its_next_version(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1", n=1), draft=draft()))
        made = await store.commit(transaction(change("Patient", "1", n=2), draft=draft()))
        assert made[-1].versioned_reference == "Provenance/p1/_history/2"

    async def test_a_version_is_linked_to_the_commitment_before_and_keeps_what_opens_it(self, store: Store) -> None:
        (one,) = await store.commit(transaction(change("Patient", "1", n=1), source=b"s" * 32, rules=b"r" * 32))
        (two,) = await store.commit(transaction(change("Patient", "1", n=2)))
        assert one.opening is not None
        assert two.opening is not None
        assert one.salt is not None
        assert one.commitment == sha256(one.salt + one.opening).digest()
        assert json.loads(one.opening)["source"] == (b"s" * 32).hex()
        assert json.loads(two.opening)["previous"] == one.commitment.hex()

    async def test_labels_come_from_the_labeller_and_see_what_was_there(self, store: Store) -> None:
        await store.commit(transaction(change("Patient", "1", restricted=True)))
        (made,) = await store.commit(transaction(change("Patient", "1")))
        assert content(made)["meta"]["security"] == [{"code": "R"}]

    async def test_the_epoch_grows_with_consents_and_actors_only(self, store: Store) -> None:
        epochs = [await store.consent_epoch()]
        for type_ in ("Patient", "Observation", "Consent", "PractitionerRole"):
            await store.commit(transaction(change(type_, "1")))
            epochs.append(await store.consent_epoch())
        await store.commit(transaction(change("Consent", "1")))
        epochs.append(await store.consent_epoch())
        assert [later - earlier for earlier, later in pairwise(epochs)] == [0, 0, 1, 1, 0]

    async def test_consents_are_the_current_ones_that_are_not_deleted(self, store: Store) -> None:
        for id_ in ("a", "b", "c"):
            await store.commit(transaction(change("Consent", id_, n=1)))
        await store.commit(transaction(change("Consent", "a", Method.DELETE), change("Consent", "b", n=2)))
        assert [version.versioned_reference for version in await store.consents()] == [
            "Consent/b/_history/2",
            "Consent/c/_history/1",
        ]

    async def test_a_cancelled_call_harms_no_other(self, store: Store) -> None:
        calls = [asyncio.ensure_future(store.commit(transaction(change("Patient", str(n))))) for n in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, tuple) for answer in answers[1::2])
        assert [version.version for version in await store.commit(transaction(change("Patient", "x")))] == [1]

    async def test_versions_are_counted_by_type(self, store: Store, meters: Meters) -> None:
        await store.commit(transaction(change("Patient", "1"), draft=draft()))
        with pytest.raises(InvalidResource):
            await store.commit(transaction(change("Patient", "2"), change("Patient", "3", fault=1)))
        read = meters.registry.get_sample_value
        assert read("hawsepipe_store_versions_total", {"type": "Patient"}) == 1
        assert read("hawsepipe_store_versions_total", {"type": "Provenance"}) == 1


class TestFinalResults:
    """A final result is changed by a correction only (HL7 v2, table 0085)."""

    @staticmethod
    def result(status: str, value: str, when: str = "2026-03-01") -> Change:
        return change("Observation", "o", status=status, valueString=value, effectiveDateTime=when)

    async def test_a_preliminary_result_that_comes_after_the_final_one_changes_nothing(self, store: Store) -> None:
        first, later = NOW, NOW + timedelta(minutes=5)
        await store.commit(transaction(self.result("final", "5.5"), draft=draft("p1"), event_time=first))
        source = sha256(b"source").digest()
        step = transaction(self.result("preliminary", "8.8"), draft=draft("p2"), event_time=later, source=source)
        await store.commit(step)
        found, proof = await store.read("Observation", "o"), await store.read("Provenance", "p2")
        assert found is not None
        assert proof is not None
        assert (found.version, content(found)["valueString"]) == (1, "5.5")
        (note,) = [one for one in content(proof)["extension"] if one["url"] == provenance.SUPERSEDED]
        assert note["valueReference"] == {"reference": "Observation/o"}

    @pytest.mark.parametrize(("status", "when"), [("corrected", "2026-03-01"), ("preliminary", "2026-03-02")])
    async def test_a_correction_and_a_result_of_another_time_do(self, store: Store, status: str, when: str) -> None:
        first, later = NOW, NOW + timedelta(minutes=5)
        await store.commit(transaction(self.result("final", "5.5"), draft=draft("p1"), event_time=first))
        await store.commit(transaction(self.result(status, "8.8", when), draft=draft("p2"), event_time=later))
        found = await store.read("Observation", "o")
        assert found is not None
        assert content(found)["valueString"] == "8.8"

    async def test_who_says_so_without_an_event_is_believed(self, store: Store) -> None:
        await store.commit(transaction(self.result("final", "5.5"), draft=draft("p1"), event_time=NOW))
        await store.commit(transaction(self.result("preliminary", "8.8"), draft=draft("p2")))
        found = await store.read("Observation", "o")
        assert found is not None
        assert content(found)["status"] == "preliminary"


class TestIdentity:
    """Messages meet people by any of their identifiers, and those who took others' places."""

    @staticmethod
    def person(id_: str, *numbers: str, **more: Any) -> Change:
        items = [{"system": "urn:s", "value": number} for number in numbers]
        return Change(
            Method.MERGE,
            "Patient",
            id_,
            {"resourceType": "Patient", "identifier": items, **more},
            union=frozenset({"identifier", "link"}),
        )

    @staticmethod
    def result(id_: str, patient: str) -> Change:
        return change("Observation", id_, subject={"reference": f"Patient/{patient}"})

    @staticmethod
    async def apply(store: Store, *transactions: Transaction) -> list[Any]:
        applications: list[Application] = []
        for one in transactions:
            body = str(len(applications)).encode() + (one.source or b"")
            found = await store.append(JournalEntry(message(body), body.hex(), b""))
            applications.append(Application(found.sequence, "", one))
        return list(await store.apply(applications))

    def sent(self, number: int, *changes: Change, **more: Any) -> Transaction:
        source = sha256(b"%d" % number).digest()
        return transaction(*changes, draft=provenance.draft("feed:adt", id=f"p{number}", source=source), source=source)

    def merge(self, number: int, winner: str, loser: str) -> Transaction:
        replaces = {"other": {"reference": f"Patient/{loser}"}, "type": "replaces"}
        replaced = {"other": {"reference": f"Patient/{winner}"}, "type": "replaced-by"}
        kept = self.person(winner, winner, link=[replaces])
        old = {"system": "urn:s", "value": loser, "use": "old"}
        assert kept.resource is not None
        kept.resource["identifier"].append(old)
        return self.sent(number, kept, self.person(loser, loser, active=False, link=[replaced]))

    @pytest.mark.parametrize("together", [True, False])
    async def test_a_patient_is_met_by_any_identifier(self, store: Store, together: bool) -> None:
        one = self.sent(1, self.person("a", "1", "2"))
        other = self.sent(2, self.person("b", "9", "2", birthDate="1980"), self.result("o", "b"))
        if together:
            await self.apply(store, one, other)
        else:
            await self.apply(store, one)
            await self.apply(store, other)
        assert await store.read("Patient", "b") is None
        met = await store.read("Patient", "a")
        assert met is not None
        assert content(met)["birthDate"] == "1980"
        assert [item["value"] for item in content(met)["identifier"]] == ["1", "2", "9"]
        found = await store.read("Observation", "o")
        assert found is not None
        assert (content(found)["subject"]["reference"], found.patients) == ("Patient/a", ("a",))
        proof = await store.read("Provenance", "p2")
        assert proof is not None
        (note,) = [it for it in content(proof)["extension"] if it["url"] == identity.KNOWN_AS]
        assert note["valueReference"] == {"reference": "Patient/b"}

    async def test_what_is_said_of_one_merged_away_is_said_of_the_survivor(self, store: Store) -> None:
        await self.apply(store, self.sent(1, self.person("a", "a")), self.sent(2, self.person("b", "b")))
        await self.apply(store, self.merge(3, "a", "b"))
        await self.apply(store, self.sent(4, self.person("b", "b", gender="female"), self.result("o", "b")))
        survivor, gone, found = [
            await store.read(*place) for place in (("Patient", "a"), ("Patient", "b"), ("Observation", "o"))
        ]
        assert survivor is not None
        assert gone is not None
        assert found is not None
        assert content(survivor)["gender"] == "female"
        assert (gone.version, content(gone)["active"]) == (2, False)
        assert found.patients == ("a",)

    async def test_a_merge_that_comes_again_changes_nothing(self, store: Store) -> None:
        await self.apply(store, self.sent(1, self.person("a", "a")), self.sent(2, self.person("b", "b")))
        await self.apply(store, self.merge(3, "a", "b"))
        (made,) = await self.apply(store, self.merge(4, "a", "b"))
        assert [version.changed for version in made[:-1]] == [False, False]

    async def test_a_merge_is_followed_through_a_chain(self, store: Store) -> None:
        await self.apply(store, *(self.sent(n, self.person(who, who)) for n, who in enumerate("abc")))
        await self.apply(store, self.merge(5, "b", "c"), self.merge(6, "a", "b"))
        await self.apply(store, self.sent(7, self.person("c", "c"), self.result("o", "c")))
        found = await store.read("Observation", "o")
        assert found is not None
        assert found.patients == ("a",)

    async def test_identifiers_of_two_people_are_nobodys_choice(self, store: Store) -> None:
        await self.apply(store, self.sent(1, self.person("a", "1")), self.sent(2, self.person("b", "2")))
        before = [await store.read("Patient", who) for who in "ab"]
        (answer,) = await self.apply(store, self.sent(3, self.person("c", "1", "2", active=True)))
        assert isinstance(answer, IdentityConflict)
        assert set(answer.patients) == {"a", "b"}
        assert [await store.read("Patient", who) for who in "ab"] == before
        assert await store.read("Patient", "c") is None

    async def test_a_merge_that_says_the_opposite_is_a_conflict(self, store: Store) -> None:
        await self.apply(store, self.sent(1, self.person("a", "a")), self.sent(2, self.person("b", "b")))
        await self.apply(store, self.merge(3, "a", "b"))
        (answer,) = await self.apply(store, self.merge(4, "b", "a"))
        assert isinstance(answer, IdentityConflict)

    @pytest.mark.parametrize("together", [True, False])
    async def test_a_number_that_was_valid_once_leads_to_nobody_by_itself(self, store: Store, together: bool) -> None:
        one = self.person("a", "2")
        assert one.resource is not None
        one.resource["identifier"].append({"system": "urn:s", "value": "1", "use": "old", "period": {"end": "2010"}})
        answer: Any
        if together:
            _, answer = await self.apply(store, self.sent(1, one), self.sent(2, self.person("b", "1")))
        else:
            await self.apply(store, self.sent(1, one))
            (answer,) = await self.apply(store, self.sent(2, self.person("b", "1")))
        assert isinstance(answer, IdentityConflict)
        assert answer.patients == ("a",)
        (made,) = await self.apply(store, self.sent(3, self.person("b", "1", "2", gender="female")))
        assert not isinstance(made, Exception), "by a valid number beside it the patient is met"

    async def test_a_number_that_has_ended_makes_nobody_new_while_it_is_anothers(self, store: Store) -> None:
        await self.apply(store, self.sent(1, self.person("a", "1")))
        one = self.person("b", "2")
        assert one.resource is not None
        one.resource["identifier"].append({"system": "urn:s", "value": "1", "use": "old", "period": {"end": "2010"}})
        (answer,) = await self.apply(store, self.sent(2, one))
        assert isinstance(answer, IdentityConflict)
        assert answer.patients == ("a",)

    async def test_shared_and_old_numbers_make_nobody_the_same(self, store: Store) -> None:
        ssn = {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SS"}]},
            "system": "urn:s",
            "value": "5",
        }
        for number, who in enumerate("ab"):
            one = self.person(who, who)
            assert one.resource is not None
            one.resource["identifier"].append(ssn)
            await self.apply(store, self.sent(number, one))
        assert [await store.read("Patient", who) is not None for who in "ab"] == [True, True]

    async def test_a_second_number_of_a_visit_stands_for_the_first(self, store: Store) -> None:
        await self.apply(store, self.sent(1, change("Encounter", "v", status="in-progress")))
        old = change("Encounter", "w", status="entered-in-error", partOf={"reference": "Encounter/v"})
        await self.apply(store, self.sent(2, old))
        later = change("Encounter", "w", Method.MERGE, status="finished")
        await self.apply(store, self.sent(3, later, change("Observation", "o", encounter={"reference": "Encounter/w"})))
        visit, found = await store.read("Encounter", "v"), await store.read("Observation", "o")
        assert visit is not None
        assert found is not None
        assert content(visit)["status"] == "finished"
        assert content(found)["encounter"] == {"reference": "Encounter/v"}

    @staticmethod
    def order(patient: str, type_: str = "ServiceRequest", **more: Any) -> Change:
        return change(type_, "n", Method.MERGE, subject={"reference": f"Patient/{patient}"}, **more)

    @staticmethod
    async def of(store: Store, proof: str, type_: str = "ServiceRequest") -> Version:
        """Return the resource of a type that a message has made, as it is now."""
        told = await store.read("Provenance", proof)
        assert told is not None
        (place,) = {it["reference"] for it in content(told)["target"] if it["reference"].startswith(type_)}
        found = await store.read(type_, place.split("/")[1])
        assert found is not None
        return found

    @pytest.mark.parametrize("together", [True, False])
    async def test_a_number_that_two_patients_share_takes_nothing_from_either(
        self, store: Store, together: bool
    ) -> None:
        first = self.sent(1, self.person("a", "a"), self.order("a", code={"text": "x"}))
        told = change(
            "Observation", "o", basedOn=[{"reference": "ServiceRequest/n"}], subject={"reference": "Patient/b"}
        )
        other = self.sent(2, self.person("b", "b"), self.order("b", status="active"), told)
        for batch in [(first, other)] if together else [(first,), (other,)]:
            await self.apply(store, *batch)
        theirs, own = await store.read("ServiceRequest", "n"), await self.of(store, "p2")
        assert theirs is not None
        assert (theirs.version, theirs.patients, own.patients) == (1, ("a",), ("b",))
        assert own.id != "n"
        assert "code" not in content(own)
        result = await store.read("Observation", "o")
        assert result is not None
        assert content(result)["basedOn"] == [{"reference": own.reference}]
        proof = await store.read("Provenance", "p2")
        assert proof is not None
        assert proof.patients == ("b",)
        (note,) = [it for it in content(proof)["extension"] if it["url"] == identity.KNOWN_AS]
        assert note["valueReference"] == {"reference": "ServiceRequest/n"}
        assert [it.reference for it in await store.spoken_of("ServiceRequest", "n")] == ["Provenance/p2"]
        assert await store.spoken_of("ServiceRequest", own.id) == ()
        # Whoever is spoken of again is so under the same two ids.
        await self.apply(
            store, self.sent(3, self.order("b", priority="stat")), self.sent(4, self.order("a", priority="asap"))
        )
        again, first_again = await self.of(store, "p3"), await self.of(store, "p4")
        assert [(again.id, again.version), (first_again.id, first_again.version)] == [(own.id, 2), ("n", 2)]

    async def test_messages_are_found_by_the_number_of_whom_they_are_about(self, store: Store) -> None:
        async def found(*asked: str) -> list[int]:
            return [it.sequence for it in await store.messages(Messages(10, identifier=("".join(asked[1:]), asked[0])))]

        one = self.sent(1, self.person("a", "a"), self.result("o", "a"))
        await self.apply(store, one, self.sent(2, self.person("b", "b")), self.sent(3, self.result("p", "b")))
        assert (await found("a"), await found("b"), await found("c")) == ([1], [3, 2], [])
        assert (await found("b", "urn:s"), await found("b", "urn:other")) == ([3, 2], [])
        await self.apply(store, self.merge(4, "a", "b"))
        await self.apply(store, self.sent(5, self.person("b", "b", gender="other")))
        assert await found("b") == [5, 4, 3, 2, 1], "who they were and who they are by now"
        letter = await store.append(JournalEntry(message(b"letter"), "letter", b""))
        named = identity.named([self.person("a", "a")])
        await store.apply([Application(letter.sequence, "", None, REFUSAL, named)])
        assert (await found("a"))[0] == letter.sequence
        same = await store.messages(Messages(10, digest=message(b"letter").digest))
        assert [it.sequence for it in same] == [letter.sequence]

    async def test_what_is_only_to_be_kept_changes_nothing_that_is_or_was_there(self, store: Store) -> None:
        body = {"resourceType": "Consent", "status": "active", "dateTime": "2026"}
        kept = Change(Method.MERGE, "Consent", "c", body, keep=frozenset(body))
        await self.apply(store, self.sent(1, kept))
        bare = Change(Method.PUT, "Consent", "c", {"resourceType": "Consent", "status": "inactive"})
        await store.commit(transaction(bare))
        await self.apply(store, self.sent(2, kept))
        found = await store.read("Consent", "c")
        assert found is not None
        assert (found.version, content(found)["status"], "dateTime" in content(found)) == (2, "inactive", False)
        await store.commit(transaction(Change(Method.DELETE, "Consent", "c", None)))
        await self.apply(store, self.sent(3, kept))
        gone = await store.read("Consent", "c")
        assert gone is not None
        assert (gone.version, gone.content) == (3, None)

    async def test_what_hangs_on_a_shared_number_goes_with_it(self, store: Store) -> None:
        def whole(patient: str) -> Change:
            return change("Observation", "w", Method.PUT, subject={"reference": f"Patient/{patient}"})

        await self.apply(store, self.sent(1, self.order("a"), whole("a")), self.sent(2, self.order("b"), whole("b")))
        theirs, own = await store.read("Observation", "w"), await self.of(store, "p2", "Observation")
        assert theirs is not None
        assert (theirs.patients, own.patients) == (("a",), ("b",))

    async def test_a_source_that_gives_ids_may_say_of_whom_it_speaks(self, store: Store) -> None:
        await self.apply(store, self.sent(1, self.result("o", "a")), self.sent(2, self.result("o", "b")))
        found = await store.read("Observation", "o")
        assert found is not None
        assert (found.version, found.patients) == (2, ("b",))

    async def test_what_passes_to_another_patient_by_the_messages_word_does(self, store: Store) -> None:
        moved = replace(self.order("b", "Encounter"), passes=True)
        await self.apply(store, self.sent(1, self.order("a", "Encounter")), self.sent(2, moved))
        # What belongs to that visit is the other patient's as well, though it was never told of him.
        visit = {"reference": "Encounter/n"}
        await self.apply(store, self.sent(3, self.order("a", encounter=visit)), self.sent(4, self.order("b")))
        found, order = await store.read("Encounter", "n"), await store.read("ServiceRequest", "n")
        assert found is not None
        assert order is not None
        assert (found.patients, order.version, order.patients) == (("b",), 2, ("b",))

    async def test_an_order_of_one_merged_away_is_the_survivors(self, store: Store) -> None:
        await self.apply(
            store, self.sent(1, self.person("a", "a")), self.sent(2, self.person("b", "b"), self.order("b"))
        )
        await self.apply(
            store, self.merge(3, "a", "b"), self.sent(4, self.person("a", "a"), self.order("a", status="done"))
        )
        order = await store.read("ServiceRequest", "n")
        assert order is not None
        assert (order.version, order.patients) == (2, ("a",))

    async def test_the_address_of_a_content_follows_its_order_to_another_name(self, store: Store) -> None:
        url = {"url": "urn:x", "valueAttachment": {"url": "ServiceRequest/n/$content?sha256=1"}}
        await self.apply(store, self.sent(1, self.person("a", "a"), self.order("a")))
        await self.apply(store, self.sent(2, self.person("b", "b"), self.order("b", extension=[url])))
        order = await self.of(store, "p2")
        (extension,) = content(order)["extension"]
        assert order.id != "n"
        assert extension["valueAttachment"]["url"] == f"ServiceRequest/{order.id}/$content?sha256=1"

    async def test_a_message_that_merges_takes_what_was_the_others(self, store: Store) -> None:
        await self.apply(
            store, self.sent(1, self.person("a", "a")), self.sent(2, self.person("b", "b"), self.order("b"))
        )
        merging = self.merge(3, "a", "b")
        await self.apply(store, replace(merging, changes=(*merging.changes, self.order("a"))))
        order = await store.read("ServiceRequest", "n")
        assert order is not None
        assert (order.version, order.patients) == (2, ("a",))

    async def test_a_message_that_changes_nothing_is_noted(self, store: Store) -> None:
        await self.apply(store, self.sent(1, self.person("a", "1")))
        (made,) = await self.apply(store, self.sent(2, self.person("a", "1")))
        assert [version.reference for version in made] == ["Patient/a", "Provenance/p2"]
        assert content(made[1])["target"] == [{"reference": "Patient/a/_history/1"}]
        assert made[1].patients == ("a",)

    async def test_only_the_store_says_that_something_stayed_as_it_was(self, store: Store) -> None:
        forged = change("Provenance", "x", extension=[{"url": provenance.UNCHANGED, "valueBoolean": True}])
        with pytest.raises(InvalidRequest):
            await store.commit(transaction(forged))


class TestContents:
    """Which contents that are kept beside the store are named by a version."""

    def named(self, digest: str, place: str = "d", **more: Any) -> Change:
        held = contents.Held(digest, 5, "proof")
        attachment = {"_data": contents.element_of(held), "url": f"Media/{place}/$content?sha256={digest}"}
        return change("Media", place, status="completed", content=attachment, **more)

    async def test_a_content_stays_named_as_long_as_a_version_of_the_past_names_it(self, store: Store) -> None:
        one, two, never = "1" * 64, "2" * 64, "3" * 64
        await store.commit(transaction(self.named(one)))
        await store.commit(transaction(self.named(two)))
        await store.commit(transaction(change("Media", "d", Method.DELETE)))
        assert await store.contents_named([one, two, never]) == {one, two}

    async def test_what_is_not_committed_names_nothing(self, store: Store) -> None:
        digest = "4" * 64
        with pytest.raises(PreconditionFailed):
            await store.commit(transaction(self.named(digest), change("Media", "other", if_match=3)))
        assert await store.contents_named([digest]) == frozenset()
        assert await store.contents_named([]) == frozenset()
