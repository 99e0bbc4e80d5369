"""What a destination would not have, in the hands of an operator."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hawsepipe.consent.labels import Labels
from hawsepipe.errors import InvalidRequest, NotFound
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.hooks import Refusal
from hawsepipe.intake.refused import Refused
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Principal, RawMessage
from hawsepipe.store.contract import Application, JournalEntry, Store
from hawsepipe.store.sqlite.store import open_store

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
OPERATOR = Principal("Device/ops", "ops", "main", frozenset({"hawsepipe/operate"}))
REFUSAL = Refusal("delivery", "", "the receiver answers AE")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with three messages for `lab`, of which the first two were refused; the second is in Latin-1."""
    facts = definitions.load()
    async with open_store(
        tmp_path / "store",
        sealer=Commitments("test.example/log", os.urandom),
        labeller=Labels(),
        extractor=Extractor(facts, "http://test.example/fhir"),
        validator=Validator(facts),
        clock=lambda: START,
        meters=Meters(),
    ) as store:
        await store.route({"lab": ["adt"]})
        for number, body in enumerate(("one", "zwölf", "three")):
            message = RawMessage("adt", START, "text/plain", body.encode("latin-1"))
            acceptance = await store.append(JournalEntry(message, str(number), b""))
            await store.apply([Application(acceptance.sequence, f"label {number}", None)])
        for _ in range(2):
            delivery = await store.next_delivery("lab")
            assert delivery is not None
            await store.set_aside(delivery.number, REFUSAL, START)
        yield store


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def refused(store: Store, woken: list[str]) -> Refused:
    return Refused(store, lambda: START, woken.append)


async def decisions(store: Store) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.interaction, one.target, one.reasons) for _, one in await store.accesses(0, 100)]


async def test_it_is_listed_with_message_and_reason_and_without_content(refused: Refused) -> None:
    listed = await refused.list("lab", 0, 10)
    assert [(it["sequence"], it["label"], it["text"], it["state"]) for it in listed] == [
        (1, "label 0", "the receiver answers AE", "set-aside"),
        (2, "label 1", "the receiver answers AE", "set-aside"),
    ]
    assert "one" not in str(listed)
    assert await refused.list("other", 0, 10) == []


async def test_who_sees_a_content_is_recorded(refused: Refused, store: Store) -> None:
    first, second = await refused.list(None, 0, 10)
    assert (await refused.show(first["number"], OPERATOR))["content"] == {"text": "one"}
    assert (await refused.show(second["number"], OPERATOR))["content"] == {"base64": "enf2bGY="}
    assert await decisions(store) == [("read", "journal/1", ("operator",)), ("read", "journal/2", ("operator",))]


async def test_one_goes_again_in_its_place_and_the_other_stays(
    refused: Refused, store: Store, woken: list[str]
) -> None:
    _, second = await refused.list("lab", 0, 10)
    await refused.again(second["number"], OPERATOR)
    assert woken == ["lab"]
    delivery = await store.next_delivery("lab")
    assert delivery is not None
    assert delivery.sequence == 2
    assert [it["sequence"] for it in await refused.list("lab", 0, 10)] == [1]
    with pytest.raises(NotFound):
        await refused.again(second["number"], OPERATOR)


async def test_one_is_discarded_with_a_reason_also_one_that_holds_the_others(
    refused: Refused, store: Store, woken: list[str]
) -> None:
    first, _ = await refused.list("lab", 0, 10)
    with pytest.raises(InvalidRequest):
        await refused.discard(first["number"], OPERATOR, "two\nlines")
    await refused.discard(first["number"], OPERATOR, "booked by hand")
    held = await store.next_delivery("lab")
    assert held is not None
    await refused.discard(held.number, OPERATOR)
    assert await store.next_delivery("lab") is None
    assert [it["sequence"] for it in await refused.list("lab", 0, 10)] == [2]
    assert woken == ["lab", "lab"]
    assert await decisions(store) == [
        ("deliver-never", f"delivery/{first['number']}", ("operator", "booked by hand")),
        ("deliver-never", f"delivery/{held.number}", ("operator",)),
    ]
    with pytest.raises(NotFound):
        await refused.show(first["number"], OPERATOR)
