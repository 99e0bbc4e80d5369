"""Loads of history in every store: effects and the load's own state come together or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import pytest

from hawsepipe.errors import Conflict, HawsepipeError, InvalidResource
from hawsepipe.fhir import codec, provenance
from hawsepipe.model import Change, Method, Resource, Transaction, Version
from hawsepipe.store.contract import Store
from hawsepipe.store.loads import Note, Outcome
from hawsepipe.store.sqlite import schema

from .conftest import OPENERS, SINCE_13

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
Opener = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture(params=OPENERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    open_at: Opener = request.getfixturevalue(request.param)
    async with open_at(tmp_path / "store") as opened:
        yield opened


def brought(id_: str, *, tag: str = provenance.LOAD, **elements: Any) -> Transaction:
    """A change that a load brings, with a Provenance of its own."""
    resource: Resource = {"resourceType": "Patient", **elements}
    draft = provenance.draft("feed:old", id=f"of-{id_}", source=sha256(id_.encode()).digest(), label="Patient")
    draft["meta"] = {"tag": [{"system": tag, "code": "first"}]}
    return Transaction((Change(Method.PUT, "Patient", id_, resource),), draft, "feed:old", NOW)


def noted(part: str, load: str = "first") -> Callable[[Sequence[Outcome]], Note]:
    def told(outcomes: Sequence[Outcome]) -> Note:
        return Note(load, part, ",".join(_word(it) for it in outcomes).encode())

    return told


def _word(outcome: Outcome) -> str:
    return type(outcome).__name__ if isinstance(outcome, HawsepipeError) else str(len(outcome))


async def test_effects_and_the_note_of_them_come_together(store: Store) -> None:
    outcomes = await store.load([brought("1"), brought("2", fault=True), brought("3")], noted("1"))
    assert [_word(it) for it in outcomes] == ["2", "InvalidResource", "2"]
    assert isinstance(outcomes[1], InvalidResource)
    assert await store.notes("first", "", 9) == (Note("first", "1", b"2,InvalidResource,2"),)
    assert await store.read("Patient", "1") is not None
    assert await store.read("Patient", "2") is None
    assert await store.outbox_depth() == 4


async def test_what_a_load_has_brought_before_has_no_effect(store: Store) -> None:
    await store.load([brought("1")], noted("1"))
    again = await store.load([brought("1", active=True), brought("2")], noted("2"))
    assert [_word(it) for it in again] == ["0", "2"]
    current = await store.read("Patient", "1")
    assert current is not None
    assert current.version == 1


async def test_twice_in_one_part_is_once(store: Store) -> None:
    again = await store.load([brought("1"), brought("1", active=True)], noted("1"))
    assert [_word(it) for it in again] == ["2", "0"]


async def test_what_was_withdrawn_may_come_again(store: Store) -> None:
    await store.load([brought("1", tag=provenance.WITHDRAWN)], noted("1"))
    again = await store.load([brought("1", active=True)], noted("2"))
    assert [_word(it) for it in again] == ["2"]
    (proof,) = await store.history("Provenance", "of-1", None, 1)
    assert proof.version == 2
    assert not provenance.withdrawn(_content(proof))


async def test_a_part_is_noted_once_and_its_effects_are_as_single(store: Store) -> None:
    await store.load([brought("1")], noted("1"))
    with pytest.raises(Conflict):
        await store.load([brought("2")], noted("1"))
    assert await store.read("Patient", "2") is None
    assert await store.outbox_depth() == 2
    assert [_word(it) for it in await store.load([brought("2")], noted("2"))] == ["2"]


async def test_notes_are_by_load_and_part_and_can_be_written_anew(store: Store) -> None:
    await store.keep([Note("b", "2", b"x"), Note("b", "1", b"y"), Note("a", "1", b"z")])
    await store.keep([Note("b", "2", b"new")])
    assert await store.loads() == ("a", "b")
    assert await store.notes("b", "", 1) == (Note("b", "1", b"y"),)
    assert await store.notes("b", "1", 9) == (Note("b", "2", b"new"),)
    assert await store.notes("c", "", 9) == ()


async def test_notes_outlive_the_process(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path / "store") as store:
        await store.load([brought("1")], noted("1"))
    async with open_at(tmp_path / "store") as store:
        assert [_word(it) for it in await store.load([brought("1")], noted("2"))] == ["0"]
        assert [note.part for note in await store.notes("first", "", 9)] == ["1", "2"]


async def test_a_store_without_notes_gets_them_when_it_is_opened(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path / "store"):
        pass
    file = apsw.Connection(str(tmp_path / "store" / "store.db"))
    file.execute(SINCE_13 + "DROP TABLE note; PRAGMA user_version = 12")
    file.close()
    async with open_at(tmp_path / "store") as store:
        await store.keep([Note("a", "1", b"z")])
    file = apsw.Connection(str(tmp_path / "store" / "store.db"))
    assert file.pragma("user_version") == schema.VERSION


def _content(version: Version) -> Resource:
    assert version.content is not None
    return codec.decode(version.content)
