"""The pipeline: order, dead letters, foreign failures, a store that cannot write for a while."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.consent.labels import Labels
from hawsepipe.errors import HawsepipeError, MessageError, NotFound, StoreFull
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.hooks import Refusal
from hawsepipe.intake.dead_letters import DeadLetters
from hawsepipe.intake.effects import Effects
from hawsepipe.intake.journal import Journal
from hawsepipe.intake.pipeline import Pipeline
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Issue, Method, Operation, Principal, RawMessage, Severity, Translation, Version
from hawsepipe.store.answers import Held
from hawsepipe.store.contract import Application, Store
from hawsepipe.store.preparation import Preparation
from hawsepipe.store.sqlite.store import open_store

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
CANARY = "Lindqvist"
OPERATOR = Principal("Device/ops", "ops", "main", frozenset({"hawsepipe/operate"}))


class Ticking:
    """A clock that moves by a second at each look."""

    def __init__(self) -> None:
        self._now = START

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class Scripted:
    """A translator whose messages say what it shall do, by their first word."""

    media_types = frozenset({"text/plain"})
    rules_digest = b"\x01" * 32

    def translate(self, message: RawMessage) -> Translation:
        words = message.body.decode().split()
        match words[0]:
            case "patient":
                resource = {"resourceType": "Patient", "id": words[1], "name": [{"family": words[2]}]}
            case "invalid":
                resource = {"resourceType": "Patient", "id": words[1], "gender": CANARY}
            case "raise":
                raise ValueError(CANARY)
            case "refuse":
                raise MessageError("code", "PID-8", "the code is not known")
            case "odd":
                resource = {"resourceType": "Patient", "id": words[1]}
                odd = Issue(Severity.WARNING, "code", "PID-8", "the code is not known")
                change = Change(Method.MERGE, "Patient", words[1], resource)
                return Translation((change,), (odd,), (), "label")
            case "none":
                issue = Issue(Severity.ERROR, "mapping", "MSH-9", "nothing is mapped")
                return Translation((), (issue,) if len(words) > 1 else (), (), "label")
            case _:
                raise AssertionError(words)
        return Translation((Change(Method.MERGE, "Patient", words[1], resource),), (), (), f"label {words[1]}")


class Failing:
    """A store that cannot write for the first `times` calls of `apply`; everything else is the real one."""

    def __init__(self, store: Store, times: int) -> None:
        self._store = store
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def apply(self, applications: Sequence[Application]) -> Sequence[tuple[Version, ...] | HawsepipeError | Held]:
        if self.times:
            self.times -= 1
            raise StoreFull("there is no room on the disk")
        return await self._store.apply(applications)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    facts = definitions.load()
    async with open_store(
        tmp_path / "store",
        sealer=Commitments("test.example/log", os.urandom),
        labeller=Labels(),
        extractor=Extractor(facts, "http://test.example/fhir"),
        validator=Validator(facts),
        clock=Ticking(),
        meters=Meters(),
    ) as opened:
        yield opened


def _pipeline(store: Store, committed: Callable[[], None] = lambda: None, pause: float = 0.01) -> Pipeline:
    return Pipeline(store, _desk(), Ticking(), Meters(), committed, pause=pause)


def _desk() -> Effects:
    facts = definitions.load()
    base = "http://test.example/fhir"
    return Effects({"feed": Scripted()}, Preparation(Labels(), Extractor(facts, base), Validator(facts), base))


async def _accept(journal: Journal, *texts: str, feed: str = "feed") -> None:
    for number, text in enumerate(texts):
        message = RawMessage(feed, START, "text/plain", text.encode())
        await journal.accept(message, key=f"{number} {text}", reply=b"ack")


async def _families(store: Store, identity: str) -> list[str]:
    versions = await store.history("Patient", identity, None, 100)
    return [version.content.decode().split('"family":"')[1].split('"')[0] for version in versions if version.content]


async def test_messages_take_effect_in_the_order_of_the_journal(store: Store) -> None:
    pipeline = _pipeline(store)
    await _accept(Journal(store, Meters(), pipeline.wake), "patient 1 A", "patient 2 X", "patient 1 B", "patient 1 C")
    await pipeline.drain()
    assert await _families(store, "1") == ["C", "B", "A"]
    assert await store.backlog() == 0


@pytest.mark.parametrize(
    ("text", "cause", "location"),
    [
        ("raise", "mapping", ""),
        ("refuse", "code", "PID-8"),
        ("invalid 2", "mapping", "Patient.gender"),
        ("none error", "mapping", "MSH-9"),
    ],
)
async def test_what_cannot_be_applied_becomes_a_dead_letter_and_the_rest_goes_on(
    store: Store, text: str, cause: str, location: str
) -> None:
    pipeline = _pipeline(store)
    await _accept(Journal(store, Meters(), pipeline.wake), "patient 1 A", text, "patient 1 B")
    await pipeline.drain()
    assert await _families(store, "1") == ["B", "A"]
    (letter,) = await store.dead_letters(0, 10)
    assert letter.refusal is not None
    assert (letter.refusal.cause, letter.refusal.location) == (cause, location)
    assert CANARY not in letter.refusal.text
    assert letter.message.body == text.encode()


async def test_a_message_with_nothing_to_do_is_settled(store: Store) -> None:
    pipeline = _pipeline(store)
    await _accept(Journal(store, Meters(), pipeline.wake), "none")
    await pipeline.drain()
    assert await store.backlog() == 0
    assert not await store.dead_letters(0, 10)


async def test_a_message_of_a_feed_that_is_gone_becomes_a_dead_letter(store: Store) -> None:
    pipeline = _pipeline(store)
    await _accept(Journal(store, Meters(), pipeline.wake), "patient 1 A", feed="gone")
    await pipeline.drain()
    assert [letter.message.feed for letter in await store.dead_letters(0, 10)] == ["gone"]


async def test_a_message_refused_at_the_door_has_no_effect_and_can_be_seen(store: Store) -> None:
    woken: list[None] = []
    journal = Journal(store, Meters(), lambda: woken.append(None))
    message = RawMessage("feed", START, "text/plain", b"patient 1 A")
    await journal.accept(message, key="k", reply=b"ack", refusal=Refusal("parse", "MSH-2", "not readable"))
    assert woken == []
    assert [letter.key for letter in await store.dead_letters(0, 10)] == ["k"]
    assert await store.backlog() == 0


async def test_nothing_is_lost_while_the_store_cannot_write(store: Store) -> None:
    failing = Failing(store, 3)
    pipeline = _pipeline(failing)
    running = asyncio.create_task(pipeline.run())
    await _accept(Journal(store, Meters(), pipeline.wake), "patient 1 A", "patient 1 B")
    async with asyncio.timeout(10):
        await pipeline.settled()
    running.cancel()
    assert failing.times == 0
    assert await _families(store, "1") == ["B", "A"]


async def test_a_restart_applies_what_was_journalled_before(store: Store) -> None:
    await _accept(Journal(store, Meters(), lambda: None), "patient 1 A", "patient 1 B")
    await _pipeline(store).drain()
    await _pipeline(store).drain()
    assert await _families(store, "1") == ["B", "A"]


async def _letter(store: Store, text: str) -> tuple[Pipeline, DeadLetters]:
    pipeline = _pipeline(store)
    journal = Journal(store, Meters(), pipeline.wake)
    message = RawMessage("feed", START, "text/plain", text.encode())
    await journal.accept(message, key=f"k {text}", reply=b"ack", refusal=Refusal("parse", "", "not readable"))
    return pipeline, DeadLetters(store, {"feed": Scripted()}, Ticking(), pipeline.wake)


async def test_two_retries_of_one_letter_have_one_effect(store: Store) -> None:
    pipeline, letters = await _letter(store, "patient 1 A")
    retried = await letters.retry(1, OPERATOR)
    with pytest.raises(NotFound):
        await letters.retry(1, OPERATOR)
    await pipeline.drain()
    assert retried["replay_of"] == 1
    assert await _families(store, "1") == ["A"]
    assert await letters.list(0, 10) == []


async def test_a_rehearsal_says_what_would_change_and_changes_nothing(store: Store) -> None:
    pipeline, letters = await _letter(store, "patient 1 B")
    created = await letters.rehearse(1, OPERATOR)
    assert [(one.operation, one.before) for one in created.outcomes] == [(Operation.CREATE, None)]
    await _accept(Journal(store, Meters(), pipeline.wake), "patient 1 A")
    await pipeline.drain()
    (updated,) = (await letters.rehearse(1, OPERATOR)).outcomes
    assert updated.operation is Operation.UPDATE
    assert updated.before == {"resourceType": "Patient", "id": "1", "name": [{"family": "A"}]}
    assert updated.after == {"resourceType": "Patient", "id": "1", "name": [{"family": "B"}]}
    (same,) = (await letters.rehearse(1, OPERATOR, b"patient 1 A")).outcomes
    assert same.operation is None
    assert await _families(store, "1") == ["A"]
    assert [letter["sequence"] for letter in await letters.list(0, 10)] == [1]


@pytest.mark.parametrize(("text", "location"), [("refuse", "PID-8"), ("raise", "")])
async def test_a_rehearsal_of_what_still_fails_says_so_without_content(store: Store, text: str, location: str) -> None:
    _, letters = await _letter(store, text)
    found = await letters.rehearse(1, OPERATOR)
    assert found.refusal is not None
    assert found.refusal.location == location
    assert CANARY not in repr(found)


async def test_a_mended_copy_takes_effect_and_the_letter_keeps_its_bytes(store: Store) -> None:
    pipeline, letters = await _letter(store, "refuse")
    made = await letters.retry(1, OPERATOR, b"patient 1 A")
    await pipeline.drain()
    assert await _families(store, "1") == ["A"]
    original = await store.journal(1)
    assert original is not None
    assert (original.message.body, made["replay_of"]) == (b"refuse", 1)


async def test_who_looks_at_a_letter_or_decides_about_it_is_recorded_first(store: Store) -> None:
    _, letters = await _letter(store, "patient 1 A")
    await letters.show(1, OPERATOR)
    await letters.rehearse(1, OPERATOR)
    await letters.discard(1, OPERATOR)
    with pytest.raises(NotFound):
        await letters.show(1, OPERATOR)
    recorded = [access for _, access in await store.accesses(0, 10)]
    assert [(access.subject, access.interaction, access.target) for access in recorded] == [
        ("Device/ops", "read", "journal/1"),
        ("Device/ops", "rehearse", "journal/1"),
        ("Device/ops", "discard", "journal/1"),
    ]


async def test_the_ledger_is_told_after_each_batch(store: Store) -> None:
    told: list[None] = []
    pipeline = _pipeline(store, lambda: told.append(None))
    await _accept(Journal(store, Meters(), pipeline.wake), "patient 1 A")
    await pipeline.drain()
    assert told == [None]


async def test_what_the_translator_reports_is_counted(store: Store) -> None:
    meters = Meters()
    pipeline = Pipeline(store, _desk(), Ticking(), meters, lambda: None)
    await _accept(Journal(store, meters, pipeline.wake), "odd 1", "odd 2")
    await pipeline.drain()
    labels = {"feed": "feed", "cause": "code", "severity": "warning"}
    assert meters.registry.get_sample_value("hawsepipe_translation_findings_total", labels) == 2
