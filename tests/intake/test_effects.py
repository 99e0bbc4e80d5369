"""Effects: threads take turns, and nothing that a translator gives ends the pipeline."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hawsepipe.consent.labels import Labels
from hawsepipe.contents.disk import DiskContents
from hawsepipe.contents.taking import Taking
from hawsepipe.fhir import contents, definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.intake.effects import Effects, Task
from hawsepipe.model import Change, Method, RawMessage, Translation
from hawsepipe.store import preparation
from hawsepipe.store.preparation import Preparation

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
BASE = "http://test.example/fhir"


class Shaping:
    """Makes a patient of each message; `odd` gives a change that is none."""

    media_types = frozenset({"text/plain"})
    rules_digest = bytes(32)

    def translate(self, message: RawMessage) -> Translation:
        id_ = message.body.decode()
        removed = frozenset({1, "name"}) if id_ == "odd" else frozenset()
        resource = {"resourceType": "Patient", "id": id_, "active": True}
        change = Change(Method.MERGE, "Patient", id_, resource, remove=removed)  # type: ignore[arg-type]  # odd
        return Translation((change,), (), (), id_)


@pytest.fixture
def effects() -> Effects:
    facts = definitions.load()
    made = Preparation(Labels(), Extractor(facts, BASE), Validator(facts), BASE)
    return Effects({"feed": Shaping()}, made)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads give way as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def _task(number: int, body: str) -> Task:
    return Task(number, START, RawMessage("feed", START, "text/plain", body.encode()))


async def test_parts_side_by_side_do_not_disturb_each_other(
    effects: Effects, restless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_KEPT", 2)
    parts = [[_task(number, f"p{number}-{place}") for place in range(8)] for number in range(60)]
    answers = await asyncio.gather(*(effects.effects(part) for part in parts))
    assert [effect.label for answer in answers for effect in answer] == [
        task.message.body.decode() for part in parts for task in part
    ]
    assert all(effect.refusal is None for answer in answers for effect in answer)


async def test_changes_of_an_unforeseen_shape_become_a_dead_letter(effects: Effects) -> None:
    before, odd, after = await effects.effects([_task(1, "a"), _task(2, "odd"), _task(3, "b")])
    assert odd.refusal is not None
    assert odd.refusal.text == "the changes cannot be prepared (TypeError)"
    assert before.refusal is None
    assert after.refusal is None


class Scanning:
    """Makes a Media of each message, with a content of so many bytes as it says."""

    media_types = frozenset({"text/plain"})
    rules_digest = bytes(32)

    def translate(self, message: RawMessage) -> Translation:
        data = base64.b64encode(bytes(int(message.body.split()[0]))).decode()
        resource = {"resourceType": "Media", "id": "m", "status": "completed", "content": {"data": data}}
        return Translation((Change(Method.PUT, "Media", "m", resource),), (), (), "scan")


def test_a_large_content_is_kept_before_anything_is_made_of_it(tmp_path: Path) -> None:
    facts = definitions.load()
    made = Preparation(Labels(), Extractor(facts, BASE), Validator(facts), BASE)
    taking = Taking(DiskContents(tmp_path), bytes(32), 1000)
    desk = Effects({"feed": Scanning()}, made, taking)
    effects = desk.all([_task(1, "5000" + " " * 6000), _task(2, "500" + " " * 6000)])
    large, small = (effect.transaction.changes[0].effect[1] for effect in effects if effect.transaction is not None)
    (digest,) = contents.named(large)
    assert b"".join(taking.contents.read(digest)) == bytes(5000)
    assert contents.named(small) == frozenset()
    assert len(large) < 1000
