"""Loads over a real store and a real log: complete, once, with both times, and to be taken back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.clock import system_clock
from hawsepipe.config import Config
from hawsepipe.errors import Conflict, NotFound, StoreError
from hawsepipe.fhir import provenance
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.query import Clause, Kind, Modifier, Query, TokenValue
from hawsepipe.migrate.loads import Loads, Request
from hawsepipe.migrate.page import page
from hawsepipe.migrate.sealing import ROOT, task_id
from hawsepipe.migrate.state import END, noted
from hawsepipe.migrate.translation import HISTORICAL, proof_id
from hawsepipe.migrate.withdrawal import EVERYTHING
from hawsepipe.model import Change, Method, Principal, Resource, Transaction, Version
from hawsepipe.service.loading import alone
from hawsepipe.store.contract import Store

from .conftest import Archive, adt, consent, observation, patient

OPERATOR = Principal("Practitioner/op", "cli", "default", frozenset())


def request(folder: Path, load: str = "first", **more: Any) -> Request:
    return Request.of({"load": load, "sources": [["old", str(folder)]], "chunk": 4, **more})


def store_of(loads: Loads) -> Store:
    return loads._means.store


async def loaded(loads: Loads, asked: Request) -> dict[str, Any]:
    await loads.begin(asked)
    state = await loads.finished(asked.load)
    assert state["error"] == ""
    return state


def errors(state: dict[str, Any]) -> list[str]:
    return Path(state["result"]["errors"]).read_text(encoding="utf-8").splitlines()


async def all_of(store: Store, type_: str, tag: str | None = None) -> list[Resource]:
    clauses = () if tag is None else (Clause("_tag", Kind.TOKEN, None, (TokenValue(provenance.LOAD, tag),)),)
    page_ = await store.search(Query(type_, clauses, count=200), EVERYTHING)
    return [content(version) for version in page_.versions]


def content(version: Version | None) -> Resource:
    assert version is not None
    assert version.content is not None
    return decode(version.content)


async def test_clinical_times_stay_and_both_other_times_are_told(config: Config, archive: Archive) -> None:
    line = json.dumps(observation("o", "p")).encode()
    folder = archive("a.ndjson", [patient("p"), line, consent("c", "p")])
    begun = system_clock()
    async with alone(config, system_clock) as loads:
        state = await loaded(loads, request(folder))
        store = store_of(loads)
        (found,) = await all_of(store, "Observation")
        (whose,) = await all_of(store, "Patient")
        proof = content(
            await store.read("Provenance", proof_id("old", "Observation/o/_history/1", sha256(line).digest()))
        )
    assert (state["loaded"], state["duplicate"], state["dead"]) == (3, 0, 0)
    assert found["effectiveDateTime"] == "2009-05-01"
    assert found["meta"]["lastUpdated"][:19] >= begun.isoformat()[:19]
    assert found["subject"]["reference"] == f"Patient/{whose['id']}"
    assert found["meta"]["source"] == "urn:hawsepipe:load:first#old"
    assert {"system": provenance.LOAD, "code": "first"} in found["meta"]["tag"]
    assert json.dumps("urn:old:system") in json.dumps(whose["meta"]["extension"])
    assert proof["recorded"] == found["meta"]["lastUpdated"]
    assert proof["occurredDateTime"].startswith("2009-05-02T08:00:00")
    assert HISTORICAL in proof["activity"]["coding"]
    named = [entity["what"]["identifier"] for entity in proof["entity"] if entity["role"] == "source"]
    assert {"system": "urn:hawsepipe:source:old", "value": "Observation/o/_history/1"} in named
    assert {"system": provenance.MESSAGE, "value": sha256(line).hexdigest()} in named


async def test_a_second_run_writes_nothing_whatever_it_is_called(config: Config, archive: Archive) -> None:
    folder = archive("a.ndjson", [patient("p"), *(observation(str(number), "p") for number in range(9))])
    async with alone(config, system_clock) as loads:
        first = await loaded(loads, request(folder))
        store = store_of(loads)
        depth = await store.read("Task", task_id("first"))
        again = await loaded(loads, request(folder))
        assert again["versions"] == first["versions"]
        assert await store.read("Task", task_id("first")) == depth
        other = await loaded(loads, request(folder, "second"))
    assert (other["loaded"], other["duplicate"], other["versions"]) == (0, 10, 0)


async def test_bad_lines_are_named_and_the_rest_is_loaded(config: Config, archive: Archive) -> None:
    bad = b'{"resourceType":"Observation","status":"final"}'
    cut = json.dumps(observation("x", "p")).encode()[:-7]
    folder = archive("a.ndjson", [patient("p"), b"", b"no json", bad, observation("o", "p"), cut])
    async with alone(config, system_clock) as loads:
        state = await loaded(loads, request(folder))
    assert (state["loaded"], state["dead"], state["causes"]) == (2, 3, {"parse": 2, "structure": 1})
    assert all(row["balanced"] for row in state["result"]["types"])
    lines = errors(state)
    assert [line.split("\t")[0] for line in lines] == [
        f"a.ndjson:{number}:{sha256(body).hexdigest()}" for number, body in ((3, b"no json"), (4, bad), (6, cut))
    ]
    assert "Observation.code" in lines[1]


async def test_a_dry_run_writes_nothing_and_reports(config: Config, archive: Archive) -> None:
    folder = archive("a.ndjson", [patient("p"), {"resourceType": "Observation", "status": "final"}])
    async with alone(config, system_clock) as loads:
        state = await loaded(loads, request(folder, dry=True))
        store = store_of(loads)
        assert (await store.loads(), await store.outbox_depth(), await all_of(store, "Patient")) == ((), 0, [])
        assert (state["loaded"], state["dead"]) == (1, 1)
        assert errors(state)[0].startswith("a.ndjson:2:")
        assert (await loaded(loads, request(folder)))["loaded"] == 1


async def test_a_client_can_leave_loads_out(config: Config, archive: Archive) -> None:
    async with alone(config, system_clock) as loads:
        await loaded(loads, request(archive("a.ndjson", [patient("p")])))
        store = store_of(loads)
        change = Change(Method.PUT, "Patient", "live", {"resourceType": "Patient"})
        await store.commit(Transaction((change,), None, "Practitioner/1", system_clock()))
        any_load = Clause("_tag", Kind.TOKEN, Modifier.NOT, (TokenValue(provenance.LOAD, None),))
        found = await store.search(Query("Patient", (any_load,)), EVERYTHING)
    assert [it.id for it in found.versions] == ["live"]


async def test_versions_are_loaded_oldest_first(config: Config, archive: Archive) -> None:
    lines = [patient("p", f"Name{n}", str(n), f"201{n}-01-01T00:00:00Z") for n in (3, 1, 2)]
    async with alone(config, system_clock) as loads:
        await loaded(loads, request(archive("a.ndjson", lines)))
        (current,) = await all_of(store_of(loads), "Patient")
        history = await store_of(loads).history("Patient", current["id"], None, 9)
    assert [content(it)["name"][0]["family"] for it in history] == ["Name3", "Name2", "Name1"]


async def test_a_load_goes_on_where_it_was_broken_off_wherever_that_is(
    config: Config, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = archive("a.ndjson", [patient("p"), *(observation(str(number), "p") for number in range(18))])
    calls = 0
    async with alone(config, system_clock) as loads:
        store = store_of(loads)
        real = type(store).load
        monkeypatch.setattr("hawsepipe.migrate.loader._TRIES", 1)

        async def failing(self: Any, transactions: Sequence[Any], told: Any) -> Any:
            nonlocal calls
            calls += 1
            found = await real(self, transactions, told)
            if calls % 3 == 2:
                raise StoreError("gone after the commit")
            return found

        monkeypatch.setattr(type(store), "load", failing)
        rounds = 0
        while True:
            rounds += 1
            await loads.begin(request(folder))
            state = await loads.finished("first")
            if state["phase"] == "done":
                break
            assert state["phase"] == "failed"
        assert rounds > 2
        assert calls == 5  # chunks: none was written twice
        assert (state["loaded"], state["duplicate"], state["versions"]) == (19, 0, 38)
        assert len(await all_of(store, "Observation")) == 18


async def test_other_sources_under_the_same_name_are_refused(config: Config, archive: Archive, tmp_path: Path) -> None:
    folder = archive("a.ndjson", [patient("p")])
    async with alone(config, system_clock) as loads:
        await loaded(loads, request(folder))
        with pytest.raises(Conflict, match="other sources"):
            await loads.begin(request(tmp_path))
        with pytest.raises(NotFound):
            await loads.resume("unknown")


async def test_a_source_that_changes_under_a_load_stops_it(config: Config, archive: Archive) -> None:
    folder = archive("a.ndjson", [patient("p"), patient("q")])
    async with alone(config, system_clock) as loads:
        await loaded(loads, request(folder))
        archive("a.ndjson", [patient("p"), patient("r")])
        await loads.verify("first", 10, 1)
        state = await loads.finished("first")
    assert not state["result"]["verified"]
    assert state["result"]["findings"][0].startswith("1: the sources are not what they were")


async def test_a_load_is_verified_record_by_record(config: Config, archive: Archive) -> None:
    lines = [patient("p"), observation("o", "p"), observation("lost", "nobody"), b"bad", consent("c", "p")]
    async with alone(config, system_clock) as loads:
        await loaded(loads, request(archive("a.ndjson", lines)))
        store = store_of(loads)
        task = content(await store.read("Task", task_id("first")))
        await loads.verify("first", 100, 7)
        good = (await loads.finished("first"))["result"]
        roots = [it["valueString"] for it in task["output"] if it["type"]["coding"][0]["system"] == ROOT]
        assert roots == list(good["roots"].values())
        assert good["verified"], good["findings"]
        assert good["samples"] == {"chosen": 5, "compared": 4, "present": 0, "dead": 1, "dangling": 0}
        assert "verified" in page((await loads_end(loads)), good)


async def loads_end(loads: Loads) -> dict[str, Any]:
    found = await noted(store_of(loads), "first", END)
    assert found is not None
    return found


async def test_a_page_has_nothing_from_elsewhere_and_no_markup_of_a_source(config: Config, archive: Archive) -> None:
    folder = archive("<b>evil.txt", [b"not a record of anything"])
    archive("a.ndjson", [patient("p"), b"bad"])
    async with alone(config, system_clock) as loads:
        text = page((await loaded(loads, request(folder)))["result"])
    assert "<b>evil" not in text
    assert "&lt;b&gt;evil" in text
    assert "http" not in text
    assert "src=" not in text


async def test_a_withdrawn_load_leaves_what_is_not_its_own_and_may_come_again(config: Config, archive: Archive) -> None:
    archive("a.ndjson", [patient("p"), consent("c", "p")])
    folder = archive("b.ndjson", [observation("o", "p"), observation("live", "p")])
    async with alone(config, system_clock) as loads:
        await loaded(loads, request(folder))
        store = store_of(loads)
        live = next(it for it in await all_of(store, "Observation") if it["valueQuantity"]["value"] is not None)
        changed: Resource = {"resourceType": "Observation", "note": [{"text": "seen"}]}
        change = Change(Method.MERGE, "Observation", live["id"], changed)
        await store.commit(Transaction((change,), None, "Practitioner/1", system_clock()))
        await loads.withdraw("first", OPERATOR)
        state = await loads.finished("first")
        assert state["phase"] == "withdrawn", state["error"]
        assert state["result"]["kept"] == [f"Observation/{live['id']}"]
        assert state["result"]["deleted"] == {"Patient": 1, "Consent": 1, "Observation": 1}
        assert await all_of(store, "Patient") == []
        assert [it["id"] for it in await all_of(store, "Observation")] == [live["id"]]
        task = await store.read("Task", task_id("first"))
        assert content(task)["statusReason"]["text"] == "load withdrawn"
        assert task is not None
        assert task.version == 2
        with pytest.raises(Conflict, match="withdrawn"):
            await loads.begin(request(folder))
        again = await loaded(loads, request(folder, "again"))
        assert (again["loaded"] + again["duplicate"], again["dead"]) == (4, 0)
        (whose,) = await all_of(store, "Patient")
        history = await store.history("Patient", whose["id"], None, 9)
        assert [(it.version, it.content is None) for it in history] == [(3, False), (2, True), (1, False)]


async def test_a_withdrawn_load_restores_what_it_had_changed(config: Config, archive: Archive) -> None:
    async with alone(config, system_clock) as loads:
        folder = archive("a.ndjson", [patient("p", "First", "1", "2010-01-01T00:00:00Z")])
        await loaded(loads, request(folder))
        archive("a.ndjson", [patient("p", f"Name{n}", str(n), f"201{n}-01-01T00:00:00Z") for n in (2, 3)])
        await loaded(loads, request(folder, "second"))
        await loads.withdraw("second", OPERATOR)
        state = await loads.finished("second")
        assert state["result"]["restored"] == {"Patient": 1}
        (whose,) = await all_of(store_of(loads), "Patient")
        assert (whose["name"], whose["meta"]["versionId"]) == ([{"family": "First"}], "4")


async def test_messages_are_loaded_by_their_time_and_never_undo_what_is_newer(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    late, early = adt("2", "N1", "20100101083000+0000", "New"), adt("1", "N1", "20090101083000+0000", "Old")
    (folder / "a.hl7").write_bytes(late + early)
    (folder / "b.hl7").write_bytes(b"MSH|^~\\&|A|B|||20090101||ADT^A01|3|P|2.5\rPID|1\r")
    async with alone(config, system_clock) as loads:
        state = await loaded(loads, request(folder))
        store = store_of(loads)
        (whose,) = await all_of(store, "Patient")
        history = await store.history("Patient", whose["id"], None, 9)
        await loads.verify("first", 10, 1)
        verified = (await loads.finished("first"))["result"]
    assert (state["loaded"], state["dead"], state["causes"]) == (2, 1, {"required": 1})
    assert [content(it)["name"][0]["family"] for it in history] == ["New", "Old"]
    assert verified["verified"], verified["findings"]


async def test_older_versions_of_fhir_are_converted(config: Config, archive: Archive) -> None:
    order = {
        "resourceType": "MedicationOrder",
        "id": "m",
        "status": "active",
        "patient": {"reference": "Patient/p"},
        "medicationCodeableConcept": {"text": "something"},
        "dateWritten": "2012-03-04",
    }
    whom = {"resourceType": "Patient", "id": "p", "careProvider": [{"reference": "Practitioner/1"}]}
    folder = archive("a.ndjson", [whom, order])
    async with alone(config, system_clock) as loads:
        state = await loaded(loads, request(folder, version="DSTU2"))
        (found,) = await all_of(store_of(loads), "MedicationRequest")
        (whose,) = await all_of(store_of(loads), "Patient")
    assert (state["loaded"], state["dead"]) == (2, 0)
    assert found["authoredOn"] == "2012-03-04"
    assert found["subject"]["reference"] == f"Patient/{whose['id']}"


async def test_workers_beside_give_what_this_process_gives(config: Config, archive: Archive) -> None:
    folder = archive("a.ndjson", [patient("p"), *(observation(str(number), "p") for number in range(6)), b"bad"])
    async with alone(config, system_clock) as loads:
        state = await loaded(loads, request(folder, workers=1))
        assert (state["loaded"], state["dead"]) == (7, 1)
        assert len(await all_of(store_of(loads), "Observation", "first")) == 6
