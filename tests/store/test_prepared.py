"""A prepared transaction has the effect of the one that it was made from: the two fill a store with the same rows."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hawsepipe.consent.labels import Labels
from hawsepipe.errors import HawsepipeError, InvalidRequest
from hawsepipe.fhir import definitions, provenance
from hawsepipe.fhir.canonical import digests
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Operation, RawMessage, Resource, Trail, Transaction, Version
from hawsepipe.store.contract import Application, JournalEntry, Store
from hawsepipe.store.preparation import Preparation
from hawsepipe.store.prepared import PreparedTransaction
from hawsepipe.store.sql.current import Current
from hawsepipe.store.sqlite.store import FILE, open_store

BASE = "http://test.example/fhir"
INSTANT = b"2026-11-02T08:00:00.000000Z"
START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
FACTS = definitions.load()
PARTS = (Labels(base_url=BASE), Extractor(FACTS, BASE), Validator(FACTS))
LABELLER, EXTRACTOR, VALIDATOR = PARTS


def _counting() -> Callable[[int], bytes]:
    numbers: Iterator[int] = iter(range(10**9))
    return lambda count: sha256(b"salt %d" % next(numbers)).digest()[:count]


def _ticking() -> Callable[[], datetime]:
    ticks = (START + timedelta(seconds=number) for number in range(10**9))
    return lambda: next(ticks)


@asynccontextmanager
async def _open(path: Path) -> AsyncIterator[Store]:
    async with open_store(
        path,
        sealer=Commitments("test.example/log", _counting()),
        labeller=LABELLER,
        extractor=EXTRACTOR,
        validator=VALIDATOR,
        clock=_ticking(),
        meters=Meters(),
        base_url=BASE,
    ) as store:
        yield store


def _resource(chance: random.Random, type_: str, id_: str) -> Resource:
    patient = {"reference": f"Patient/{chance.choice('12')}"}
    code = {"coding": [{"system": "http://loinc.org", "code": chance.choice(["718-7", "2345-7"])}]}
    odd: Resource = {"unknown": True} if chance.random() < 0.08 else {}
    labels = [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": chance.choice("NRV")}]
    meta: Resource = {"meta": {"security": labels, "profile": ["http://p.example/a"]}} if chance.random() < 0.3 else {}
    body: Resource
    match type_:
        case "Patient":
            body = {
                "identifier": [{"system": "urn:x", "value": chance.choice("abc")}],
                "name": [{"family": chance.choice(["Åström", "Berg"]), "given": ["Ida"]}],
                "birthDate": "1976-03-14",
            }
            if chance.random() < 0.3:
                body["link"] = [{"other": patient, "type": "seealso"}]
        case "Observation":
            value = chance.choice([Decimal("1.00"), msgspec.Raw(b"1e2"), 7])
            body = {"status": "final", "code": code, "subject": patient, "valueQuantity": {"value": value, "code": "g"}}
            if chance.random() < 0.5:
                body["performer"] = [{"reference": f"{BASE}/Practitioner/1"}]
        case "Condition":
            hiv = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "B20"}]}
            body = {"code": chance.choice([code, hiv]), "subject": patient, "onsetDateTime": "2026-01-02"}
        case _:
            body = {"name": [{"family": chance.choice(["Okafor", "Lind"])}], "active": True}
    return {"resourceType": type_, "id": id_} | meta | body | odd


def _change(chance: random.Random) -> Change:
    type_ = chance.choice(["Patient", "Observation", "Condition", "Practitioner"])
    id_ = chance.choice("1234")
    method = chance.choices([Method.MERGE, Method.PUT, Method.CREATE, Method.DELETE], weights=[8, 3, 2, 1])[0]
    if method is Method.DELETE:
        return Change(method, type_, id_, None)
    change = Change(method, type_, id_, _resource(chance, type_, id_), chance.choices([None, 0, 1], [8, 1, 1])[0])
    if method is Method.MERGE and chance.random() < 0.4:
        return replace(
            change,
            remove=frozenset({"birthDate", "performer"}),
            union=frozenset({"identifier", "name"}),
            keep=frozenset({"code"}),
        )
    return change


def _transaction(chance: random.Random, number: int) -> Transaction:
    source = sha256(b"%d" % number).digest()
    changes = tuple(_change(chance) for _ in range(chance.randint(1, 5)))
    trail = tuple(Trail(f"{it.type}/{it.id}", "id", f"PID-{place}") for place, it in enumerate(changes))
    draft = provenance.draft("feed:adt", id=f"p{number}", source=source, label="ADT^A01", rules=bytes(32))
    return Transaction(changes, draft, "feed:adt", START + timedelta(seconds=number // 3), source, bytes(32), trail)


async def _filled(path: Path, applications: list[Application], size: int) -> tuple[list[Any], list[Any]]:
    answers: list[Any] = []
    async with _open(path) as store:
        for application in applications:
            body = b"%d" % application.sequence
            await store.append(JournalEntry(RawMessage("adt", START, "text/plain", body), body.decode(), b""))
        for start in range(0, len(applications), size):
            answers += await store.apply(applications[start : start + size])
    database = sqlite3.connect(path / FILE)
    try:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
        rows = [(name, database.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()) for name in names]
    finally:
        database.close()
    return [_told(answer) for answer in answers], rows


def _told(answer: tuple[Version, ...] | HawsepipeError) -> Any:
    return (type(answer), str(answer)) if isinstance(answer, HawsepipeError) else answer


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_the_two_fill_a_store_with_the_same_rows(tmp_path: Path, seed: int, forgetful: bool) -> None:
    """Who forgets works out each change, also one that the store has met before."""
    chance = random.Random(seed)
    plain = [Application(number, "", _transaction(chance, number)) for number in range(1, 81)]
    preparation = Preparation(*PARTS, BASE)

    def prepared_(transaction: Transaction) -> PreparedTransaction:
        if forgetful:
            preparation._worked_out.clear()
        return preparation.transaction(transaction)

    prepared = [
        replace(it, transaction=prepared_(it.transaction)) for it in plain if isinstance(it.transaction, Transaction)
    ]
    one = await _filled(tmp_path / "plain", plain, 7)
    other = await _filled(tmp_path / "prepared", prepared, 7)
    assert one == other
    refused = [answer for answer in one[0] if isinstance(answer[0], type)]
    assert 5 < len(refused) < 70, "some are refused, and the same ones"


async def test_what_is_told_again_is_known_by_what_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a restart, and where a later version shows it again; but not where labels or a text differ."""
    chance = random.Random(1)
    asked: list[str] = []
    label = Labels.label

    def counted(self: Labels, resource: Resource, before: Resource | None) -> Resource:
        asked.append(str(resource["id"]))
        return label(self, resource, before)

    async def told(store: Store, number: int, *resources: Resource, method: Method = Method.MERGE) -> list[bool]:
        changes = tuple(Change(method, it["resourceType"], it["id"], it) for it in resources)
        transaction = replace(_transaction(chance, number), changes=changes, trail=())
        message = RawMessage("adt", START, "text/plain", b"%d" % number)
        accepted = await store.append(JournalEntry(message, str(number), b""))
        prepared = Preparation(*PARTS, BASE).transaction(transaction)
        asked.clear()
        (answer,) = await store.apply([Application(accepted.sequence, "", prepared)])
        assert isinstance(answer, tuple)
        return [it.changed for it in answer if it.type != "Provenance"]

    person: Resource = {"resourceType": "Patient", "id": "1", "name": [{"family": "Berg"}], "gender": "female"}
    ill: Resource = {"resourceType": "Condition", "id": "2", "subject": {"reference": "Patient/1"}}
    moved = person | {"gender": "male"}
    secret = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}
    text = {"text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}}
    async with _open(tmp_path) as store:
        assert await told(store, 1, person, ill) == [True, True]
        assert await told(store, 2, moved) == [True]
        assert await told(store, 3, person) == [True]
    monkeypatch.setattr(Labels, "label", counted)
    async with _open(tmp_path) as store:
        assert await told(store, 4, person, ill) == [False, False]
        assert set(asked) <= {"p4"}, "but for the Provenance, nothing was looked at"
        assert await told(store, 5, ill, person, method=Method.PUT) == [False, False]
        assert set(asked) <= {"p5"}
        assert await told(store, 6, person | {"meta": secret}) == [True]
        assert await told(store, 7, person) == [False]
        assert await told(store, 8, person | text, method=Method.PUT) == [True]
        assert await told(store, 9, person, method=Method.PUT) == [True]
        assert (version := await store.read("Patient", "1")) is not None
        assert b"<div" not in (version.content or b"")


def _of(resource: Resource) -> Change:
    return Change(Method.PUT, resource["resourceType"], resource["id"], resource)


def test_what_is_worked_out_beforehand_is_what_the_content_gives() -> None:
    chance = random.Random(5)
    for number in range(60):
        resource = _resource(chance, chance.choice(["Patient", "Observation", "Condition"]), str(number))
        first = Preparation(*PARTS, BASE).change(_of(resource), INSTANT).first
        if "unknown" in resource:
            assert first is None
            continue
        assert first is not None
        assert first.digests == first.digests_at(INSTANT) == digests(first.at(INSTANT))
        assert b'"lastUpdated":"2026-11-02T08:00:00.000000Z"' in first.at(INSTANT)
        assert first.digests_at(b"2026-11-02T08:00:00.000001Z") is None


def test_an_instant_that_stands_twice_is_not_worked_out() -> None:
    held = {"resourceType": "Patient", "name": [{"text": "0001-01-01T00:00:00.000000Z"}]}
    assert (
        Preparation(*PARTS, BASE).change(_of(held | {"id": "1", "contained": [held | {"id": "2"}]}), INSTANT).first
        is None
    )


def test_an_instant_that_an_element_holds_is_told_from_that_of_the_version() -> None:
    same = {"resourceType": "Patient", "id": "1", "name": [{"text": "0001-01-01T00:00:00.000000Z"}]}
    first = Preparation(*PARTS, BASE).change(_of(same), INSTANT).first
    assert first is not None
    content = first.at(INSTANT)
    assert b'{"text":"0001-01-01T00:00:00.000000Z"}' in content
    assert first.digests == digests(content)


def test_a_change_is_worked_out_once() -> None:
    preparation = Preparation(*PARTS, BASE)
    change = _of({"resourceType": "Practitioner", "id": "1", "active": True})
    assert preparation.change(change, INSTANT).first is not None
    again = preparation.change(change, INSTANT)
    assert again.first is None
    assert again.change == change


def test_content_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Preparation(*PARTS, BASE).change(_of({"resourceType": "Patient", "id": "1", "x": object()}), INSTANT)


def test_what_is_remembered_is_bounded() -> None:
    current = Current(1, 0, _version())
    for number in range(100):
        current.remember((Method.MERGE, b"%d" % number, (), (), ()))
    current.remember((Method.MERGE, b"x" * 20_000, (), (), ()))
    assert len(current.idle) <= 8
    assert (Method.MERGE, b"99", (), (), ()) in current.idle
    preparation = Preparation(*PARTS, BASE)
    large = _of({"resourceType": "Patient", "id": "1", "name": [{"text": "x" * 20_000}]})
    assert preparation.change(large, INSTANT).first is not None
    assert preparation.change(large, INSTANT).first is not None, "it was not kept"


def _version() -> Version:
    return Version("Patient", "1", 1, START, START, Operation.CREATE, b"{}", ("1",), bytes(32), None, None)
