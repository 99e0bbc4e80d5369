"""Lanes: what comes after a letter about the same patient waits, everything else goes on, and order is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.consent.labels import Labels
from hawsepipe.errors import Conflict, MessageError
from hawsepipe.fhir import codec, definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.intake.dead_letters import DeadLetters
from hawsepipe.intake.effects import Effects
from hawsepipe.intake.journal import Journal
from hawsepipe.intake.merging import Merging
from hawsepipe.intake.outcomes import Outcomes
from hawsepipe.intake.pipeline import Pipeline
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Principal, RawMessage, Translation
from hawsepipe.store.contract import JournalState, Store
from hawsepipe.store.preparation import Preparation
from hawsepipe.store.sqlite.store import open_store

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
BASE = "http://test.example/fhir"
OPERATOR = Principal("Device/ops", "ops", "main", frozenset({"hawsepipe/operate"}))


class Scripted:
    """`name 1 A`: patient 1 is called A. `poison 1`: cannot be translated, and is about patient 1. `merge 1 2`: 1
    stays. `at 10 1 A`: an event of 10 o'clock. `same 3 1`: patient 3, who has the number of patient 1 as well.
    `both 1 2`: two patients.
    """

    media_types = frozenset({"text/plain"})
    rules_digest = b"\x01" * 32
    mended = False

    def translate(self, message: RawMessage) -> Translation:
        kind, *words = message.body.decode().split()
        if kind == "poison" and not self.mended:
            changes = tuple(_patient(word) for word in words[:1])
            raise MessageError("mapping", "MSH-9", "the event has no map", changes)
        event = None
        if kind == "at":
            event = START.replace(hour=int(words.pop(0)))
        if kind == "merge":
            one, other = words
            return Translation(
                (
                    _patient(one, link=[{"other": {"reference": f"Patient/{other}"}, "type": "replaces"}]),
                    _patient(
                        other, active=False, link=[{"other": {"reference": f"Patient/{one}"}, "type": "replaced-by"}]
                    ),
                ),
                (),
                (),
                "merge",
            )
        if kind == "both":
            return Translation(tuple(_patient(word) for word in words), (), (), "both")
        if kind == "same":
            items = [_number(word) for word in words]
            return Translation((_patient(words[0], identifier=items),), (), (), "same")
        return Translation((_patient(words[0], name=[{"family": words[-1]}]),), (), (), "label", event)


def _number(text: str) -> dict[str, Any]:
    return {"system": "urn:s", "value": text}


def _patient(id_: str, **more: Any) -> Change:
    resource = {"resourceType": "Patient", "id": id_, "identifier": [_number(id_)]} | more
    return Change(Method.MERGE, "Patient", id_, resource, union=frozenset({"identifier", "link"}))


class Scene:
    """A store with a pipeline over it."""

    def __init__(self, store: Store, *, passing: bool = False) -> None:
        facts = definitions.load()
        self.store = store
        self.now = START
        self.meters = Meters()
        self.translator = Scripted()
        translators = {"feed": self.translator}
        desk = Effects(translators, Preparation(Labels(), Extractor(facts, BASE), Validator(facts), BASE))
        skipped = frozenset({"feed"} if passing else ())
        self.pipeline = Pipeline(store, desk, self.clock, self.meters, lambda: None, pause=0.01, passing=skipped)
        self.journal = Journal(store, self.meters, self.pipeline.wake)
        self.letters = DeadLetters(store, translators, self.clock, self.pipeline.wake)
        self._count = 0

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    async def take(self, *texts: str) -> None:
        for text in texts:
            self._count += 1
            message = RawMessage("feed", START, "text/plain", text.encode())
            await self.journal.accept(message, key=str(self._count), reply=b"ack")
        await self.pipeline.drain()

    async def names(self, id_: str) -> list[str]:
        """What a patient was called, the first name first."""
        found = []
        for version in reversed(await self.store.history("Patient", id_, None, 100)):
            assert version.content is not None
            found += [name["family"] for name in codec.decode(version.content).get("name", [])]
        return list(dict.fromkeys(found))

    async def states(self) -> str:
        """The first letters of the states of all messages."""
        found = ""
        for number in range(1, 1000):
            record = await self.store.journal(number)
            if record is None:
                break
            found += record.state.value[0]
        return found


Opened = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    @asynccontextmanager
    async def opener() -> AsyncIterator[Store]:
        facts = definitions.load()
        async with open_store(
            tmp_path / "store",
            sealer=Commitments("test.example/log", os.urandom),
            labeller=Labels(),
            extractor=Extractor(facts, BASE),
            validator=Validator(facts),
            clock=lambda: START,
            meters=Meters(),
        ) as store:
            yield store

    return opener


@pytest.fixture
async def scene(opened: Opened) -> AsyncIterator[Scene]:
    async with opened() as store:
        yield Scene(store)


async def test_what_comes_after_a_letter_waits_and_others_go_on(scene: Scene) -> None:
    await scene.take("name 1 A", "poison 1 B", "name 1 C", "name 2 X", "name 1 D")
    assert (await scene.names("1"), await scene.names("2")) == (["A"], ["X"])
    assert await scene.states() == "adhah"
    (lane,) = await scene.letters.lanes()
    assert (lane["patient"], lane["letter"], lane["waiting"]) == ("Patient/1", 2, 2)
    waiting = (await scene.store.waiting())["feed"]
    assert (waiting.count, waiting.held) == (2, 2)


async def test_a_retry_takes_its_old_place_and_then_what_waited_goes_on_in_order(scene: Scene) -> None:
    await scene.take("name 1 A", "poison 1 B", "name 1 C", "name 1 D")
    scene.translator.mended = True
    await scene.letters.retry(2, OPERATOR)
    await scene.take("name 1 E")
    assert await scene.names("1") == ["A", "B", "C", "D", "E"]
    assert not await scene.letters.lanes()
    assert await scene.store.backlog() == 0


async def test_a_discard_lets_go_on_what_waited(scene: Scene) -> None:
    await scene.take("poison 1 B", "name 1 C", "name 1 D")
    await scene.letters.discard(1, OPERATOR)
    await scene.pipeline.drain()
    assert (await scene.names("1"), await scene.states()) == (["C", "D"], "daa")


async def test_a_retry_that_fails_again_goes_on_holding(scene: Scene) -> None:
    await scene.take("poison 1 B", "name 1 C")
    await scene.letters.retry(1, OPERATOR)
    await scene.take("name 1 D")
    assert await scene.states() == "dhdh"
    (lane,) = await scene.letters.lanes()
    assert (lane["letter"], lane["waiting"]) == (3, 2)
    await scene.letters.discard(3, OPERATOR)
    await scene.pipeline.drain()
    assert await scene.names("1") == ["C", "D"]


async def test_of_two_letters_each_holds_what_comes_after_it(scene: Scene) -> None:
    await scene.take("poison 1 A", "name 1 B", "poison 1 C", "name 1 D")
    assert await scene.states() == "dhdh"
    await scene.letters.discard(1, OPERATOR)
    await scene.pipeline.drain()
    assert (await scene.states(), await scene.names("1")) == ("dadh", ["B"])
    await scene.letters.discard(3, OPERATOR)
    await scene.pipeline.drain()
    assert await scene.names("1") == ["B", "D"]


async def test_a_merge_waits_for_both_and_both_wait_for_it(scene: Scene) -> None:
    await scene.take("name 1 A", "name 2 X", "poison 2 Y", "merge 1 2", "name 1 B", "name 2 C", "name 3 Z")
    assert await scene.states() == "aadhhha"
    await scene.letters.discard(3, OPERATOR)
    await scene.pipeline.drain()
    assert await scene.states() == "aadaaaa"
    assert (await scene.names("1"), await scene.names("2")) == (["A", "B", "C"], ["X"])


async def test_a_lane_is_held_across_a_restart(opened: Opened) -> None:
    async with opened() as store:
        await Scene(store).take("poison 1 A", "name 1 B")
    async with opened() as store:
        scene = Scene(store)
        scene._count = 2
        await scene.take("name 1 C")
        assert await scene.states() == "dhh"
        await scene.letters.discard(1, OPERATOR)
    async with opened() as store:
        scene = Scene(store)
        await scene.pipeline.drain()
        assert await scene.names("1") == ["B", "C"]


async def test_a_feed_may_let_others_pass(opened: Opened) -> None:
    async with opened() as store:
        scene = Scene(store, passing=True)
        await scene.take("poison 1 A", "name 1 B")
        assert (await scene.states(), await scene.letters.lanes()) == ("da", [])


async def test_who_waits_for_a_letter_hears_of_the_retry_that_is_applied_and_of_no_other(scene: Scene) -> None:
    outcomes = Outcomes(scene.store)
    letters = DeadLetters(scene.store, {"feed": scene.translator}, scene.clock, scene.pipeline.wake, outcomes.replayed)
    await scene.take("poison 1 A")
    waiting = asyncio.create_task(outcomes.mended(1))
    await asyncio.sleep(0)
    await letters.retry(1, OPERATOR)
    await scene.pipeline.drain()
    outcomes.look()
    await asyncio.sleep(0.05)
    assert not waiting.done(), "the retry was set aside as well"
    scene.translator.mended = True
    await letters.retry(2, OPERATOR)
    await scene.pipeline.drain()
    outcomes.look()
    await asyncio.wait_for(waiting, 5)


async def test_a_duplicate_of_what_waits_is_one(scene: Scene) -> None:
    await scene.take("poison 1 A", "name 1 B")
    message = RawMessage("feed", START, "text/plain", b"name 1 B")
    assert (await scene.journal.accept(message, key="2", reply=b"x")).duplicate


async def test_numbers_of_two_people_are_a_letter_that_names_them_and_holds_both(scene: Scene) -> None:
    await scene.take("name 1 A", "name 2 X", "same 1 2", "name 1 B", "name 2 Y")
    record = await scene.store.journal(3)
    assert record is not None
    assert record.refusal is not None
    assert (record.refusal.cause, record.state) == ("identity", JournalState.DEAD)
    assert "Patient/1" in record.refusal.text
    assert "Patient/2" in record.refusal.text
    assert await scene.states() == "aadhh"
    await Merging(scene.store, scene.clock).merge("2", "1", OPERATOR)
    await scene.letters.retry(3, OPERATOR)
    await scene.pipeline.drain()
    assert await scene.names("1") == ["A", "B", "Y"]


async def test_what_an_old_message_tells_gives_way_unless_an_operator_wants_it_current(scene: Scene) -> None:
    await scene.take("at 10 1 NEW")
    for number, (forced, name) in enumerate(((False, "NEW"), (True, "OLD")), 1):
        scene.translator.mended = False
        await scene.take(f"poison {number}x")
        letter = len(await scene.states())
        mended = b"at 9 1 OLD"
        found = await scene.letters.rehearse(letter, OPERATOR, mended, forced=forced)
        (outcome,) = found.outcomes
        assert outcome.after is not None
        assert outcome.after["name"] == [{"family": name}], "the rehearsal says so before"
        await scene.letters.retry(letter, OPERATOR, mended, forced=forced)
        await scene.pipeline.drain()
        assert (await scene.names("1"))[-1] == name


async def test_a_rehearsal_writes_nothing_and_meets_the_same_people(scene: Scene) -> None:
    await scene.take("name 1 A", "poison 9 B")
    before = await scene.store.outbox_depth()
    found = await scene.letters.rehearse(2, OPERATOR, b"same 9 1")
    assert [(it.id, it.operation) for it in found.outcomes] == [("1", "update")]
    assert await scene.store.outbox_depth() == before
    await scene.take("name 2 X")
    found = await scene.letters.rehearse(2, OPERATOR, b"same 9 1 2")
    assert found.refusal is not None
    assert found.refusal.cause == "identity"


async def test_a_merge_is_taken_back_by_new_versions(scene: Scene) -> None:
    merging = Merging(scene.store, scene.clock)
    await scene.take("name 1 A", "name 2 X")
    leaves = await scene.store.outbox_depth()
    await merging.merge("2", "1", OPERATOR)
    await scene.take("name 2 AFTER", "name 1 A", "both 3 2")
    (answer,) = [await merging.separate("2", OPERATOR)]
    assert len(answer["to_check"]) == 2, (
        "the messages that came under the old number since, whomever else they are about"
    )
    records = [await scene.store.journal(number) for number in answer["messages"]]
    assert [record.message.body for record in records if record is not None] == [b"name 2 AFTER", b"both 3 2"]
    one, other = [await scene.store.read("Patient", id_) for id_ in "12"]
    assert one is not None
    assert other is not None
    kept, restored = codec.decode(one.content or b""), codec.decode(other.content or b"")
    assert restored["name"] == [{"family": "X"}]
    assert "link" not in restored
    assert "link" not in kept
    assert kept["identifier"] == [_number("1")]
    assert (other.version, await scene.store.outbox_depth() > leaves) == (3, True)
    await scene.take("name 2 OWN")
    assert await scene.names("2") == ["X", "OWN"]
    with pytest.raises(Conflict):
        await merging.separate("2", OPERATOR)
