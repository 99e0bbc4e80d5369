"""What is SQLite's own: opening, locking, kill -9, plans, limits."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from hawsepipe import visibility as vis
from hawsepipe.errors import StoreError
from hawsepipe.fhir import provenance
from hawsepipe.fhir.identity import KNOWN_AS
from hawsepipe.fhir.index import DateRow, Row, TokenRow
from hawsepipe.fhir.query import (
    Clause,
    DateValue,
    Kind,
    Prefix,
    Query,
    ReferenceValue,
    Sort,
    TokenValue,
    Total,
)
from hawsepipe.model import Change, Method, RawMessage, Transaction
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import Application, JournalEntry, Store
from hawsepipe.store.sql import candidates, search
from hawsepipe.store.sql.connection import VERSION_BITS
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sqlite import schema
from hawsepipe.store.sqlite.connection import Connection
from hawsepipe.store.sqlite.store import FILE
from hawsepipe.visibility import Constant, Facets, Visibility

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ALL = Visibility(Constant(True), (), Constant(True))
Opener = Callable[..., AbstractAsyncContextManager[Store]]
Book = dict[str, tuple[list[Row], Facets]]


async def test_two_openers_of_one_directory_are_kept_apart(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path):
        with pytest.raises(StoreError, match="open in another process"):
            async with open_at(tmp_path):
                pass
    async with open_at(tmp_path):
        pass


async def test_a_store_of_a_newer_version_is_refused_and_left_alone(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path):
        pass
    with apsw.Connection(str(tmp_path / FILE)) as connection:
        connection.pragma("user_version", schema.VERSION + 1)
    with pytest.raises(StoreError, match="knows up to"):
        async with open_at(tmp_path):
            pass
    assert apsw.Connection(str(tmp_path / FILE)).pragma("user_version") == schema.VERSION + 1


async def test_a_store_from_before_events_had_times_keeps_what_it_has_and_learns_their_order(
    open_at: Opener, tmp_path: Path
) -> None:
    from .conftest import SINCE_3  # this file is a program as well, which knows no package

    def told(status: str, at: datetime | None) -> Transaction:
        body = {"resourceType": "Encounter", "status": status, "class": {"code": "IMP"}}
        return Transaction((Change(Method.MERGE, "Encounter", "v1", body),), None, "feed:adt", NOW, event_time=at)

    async with open_at(tmp_path) as store:
        await store.commit(told("planned", None))
    with apsw.Connection(str(tmp_path / FILE)) as connection:
        connection.execute(SINCE_3 + "ALTER TABLE resource DROP COLUMN event; PRAGMA user_version = 2")
    async with open_at(tmp_path) as store:
        await store.commit(told("in-progress", NOW))
        await store.commit(told("planned", NOW - timedelta(hours=1)))
        versions = await store.history("Encounter", "v1", None, 10)
    assert [b"in-progress" in (version.content or b"") for version in versions] == [True, False]


async def test_a_store_from_before_facets_were_held_in_common_gets_the_same_rows(
    open_at: Opener, book: dict[str, tuple[Sequence[Row], Facets]], tmp_path: Path
) -> None:
    from .conftest import SINCE_8  # this file is a program as well, which knows no package

    def rows() -> list[list[Any]]:
        tables = ("SELECT * FROM facet", "SELECT * FROM common_facet", "SELECT key, digest FROM common")
        kept = "SELECT key, common FROM resource WHERE deleted = 0"
        connection = apsw.Connection(str(tmp_path / FILE))
        return [connection.execute(f"{sql} ORDER BY 1, 2").fetchall() for sql in (*tables, kept)]

    shared = {"anycode": frozenset({"s|1", "s|2"}), "label": frozenset({"l|R"})}
    for number in range(1, 5):
        own = {"ref": frozenset({f"Patient/{number}"}), "author": frozenset({"Practitioner/1"})}
        book[f"o{number}"] = ((), Facets(values=own | shared if number % 2 else own))
    async with open_at(tmp_path) as store:
        for number in range(1, 5):
            change = Change(Method.PUT, "Observation", f"o{number}", {"resourceType": "Observation", "status": "final"})
            await store.commit(Transaction((change,), None, "feed:adt", NOW))
    before = rows()
    assert [len(some) for some in before] == [8, 3, 1, 4]
    with apsw.Connection(str(tmp_path / FILE)) as connection:
        connection.execute(SINCE_8 + "PRAGMA user_version = 8")
    async with open_at(tmp_path):
        pass
    assert rows() == before


async def test_a_store_from_before_there_was_an_index_of_it_knows_what_its_messages_spoke_of(
    open_at: Opener, tmp_path: Path
) -> None:
    from .conftest import SINCE_13  # this file is a program as well, which knows no package

    named = {"url": KNOWN_AS, "valueReference": {"reference": "Patient/b"}}
    draft = {"resourceType": "Provenance", "id": "p", "extension": [{"url": "urn:other"}, named]}
    change = Change(Method.PUT, "Patient", "a", {"resourceType": "Patient"})
    async with open_at(tmp_path) as store:
        await store.commit(Transaction((change,), draft, "feed:adt", NOW))
        told = await store.spoken_of("Patient", "b")
    with apsw.Connection(str(tmp_path / FILE)) as connection:
        gone = "SELECT key FROM symbol WHERE text = 'Provenance?:named-as'"
        connection.execute(f"{SINCE_13} DELETE FROM reference WHERE parameter = ({gone}); PRAGMA user_version = 9")
    async with open_at(tmp_path) as store:
        assert await store.spoken_of("Patient", "b") == told
        assert [version.reference for version in told] == ["Provenance/p"]
        assert await store.spoken_of("Patient", "a") == ()


async def test_a_store_from_before_there_was_a_list_of_it_knows_whom_its_messages_were_about(
    open_at: Opener, tmp_path: Path, book: Book
) -> None:
    from .conftest import SINCE_13  # this file is a program as well, which knows no package

    message = RawMessage("adt", NOW, "application/hl7-v2", b"MSH|1")
    change = Change(Method.PUT, "Patient", "a", {"resourceType": "Patient"})
    draft = provenance.draft("feed:adt", id="p", source=message.digest)
    book["a"] = ([TokenRow("identifier", "urn:s", "1")], Facets())
    book["p"] = ([TokenRow("entity:identifier", "urn:hawsepipe:message", message.digest.hex())], Facets())
    asked = Messages(10, identifier=("", "1"))
    async with open_at(tmp_path) as store:
        entry = await store.append(JournalEntry(message, "1", b""))
        transaction = Transaction((change,), draft, "feed:adt", NOW, source=message.digest)
        await store.apply([Application(entry.sequence, "", transaction)])
        assert [it.sequence for it in await store.messages(asked)] == [entry.sequence]
    with apsw.Connection(str(tmp_path / FILE)) as connection:
        connection.execute(SINCE_13 + "DROP TABLE concern; PRAGMA user_version = 10")
    async with open_at(tmp_path) as store:
        assert [it.sequence for it in await store.messages(asked)] == [entry.sequence]


@pytest.mark.parametrize("content", [b"not a database" * 100, b""])
async def test_a_file_that_is_not_ours_is_refused(open_at: Opener, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    if not content:
        apsw.Connection(str(tmp_path / FILE)).execute("CREATE TABLE theirs (a)")
    with pytest.raises(StoreError):
        async with open_at(tmp_path):
            pass


async def test_the_file_is_for_its_owner_alone(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path / "new" / "store") as store:
        await store.check()
        for file in (tmp_path / "new" / "store").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name


async def test_a_closed_store_says_so(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path) as store:
        pass
    with pytest.raises(StoreError, match="closed"):
        await store.check()
    with pytest.raises(StoreError, match="closed"):
        await store.read("Patient", "1")


async def test_reads_do_not_wait_for_the_writer(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path) as store:
        blocker = apsw.Connection(str(tmp_path / FILE))
        blocker.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(store.check())
        assert await store.read("Patient", "1") is None
        assert (await store.search(Query("Patient"), ALL)).versions == ()
        assert not writing.done()
        blocker.execute("ROLLBACK")
        await writing
        blocker.close()


async def test_no_thread_outlives_the_store(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path) as store:
        await asyncio.gather(*(store.read("Patient", "1") for _ in range(20)))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("hawsepipe-store")]


CHILD = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from hawsepipe.clock import system_clock
from hawsepipe.meters import Meters
from hawsepipe.model import RawMessage
from hawsepipe.store.contract import JournalEntry
from hawsepipe.store.sqlite import open_store

async def main():
    now = datetime(2026, 3, 1, tzinfo=UTC)
    async with open_store(Path(sys.argv[1]), sealer=None, labeller=None, extractor=None, validator=None,
                          clock=system_clock, meters=Meters()) as store:
        async def send(number):
            while True:
                await store.append(JournalEntry(RawMessage("f", now, "text/plain", b"%d" % number), "k", b""))
                print(number, flush=True)
                number += 8
        await asyncio.gather(*(send(number) for number in range(8)))

asyncio.run(main())
"""


def _killed(directory: Path, after: int) -> list[int]:
    """Run the child until it has told of `after` messages, kill it, and return all that it told of."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(directory)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(after)]
    os.kill(child.pid, signal.SIGKILL)
    told += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    child.stdout.close()
    child.wait()
    return told


async def test_what_was_acknowledged_is_there_after_kill_9(open_at: Opener, tmp_path: Path) -> None:
    for turn in range(3):
        told = await asyncio.to_thread(_killed, tmp_path, random.Random(turn).randint(50, 400))
        async with open_at(tmp_path) as store:
            records = await store.received(0, 10**6)
            bodies = [int(record.message.body) for record in records]
            assert len(set(bodies)) == len(bodies)
            assert set(told) <= set(bodies)
            assert await store.backlog() == len(bodies)


def _explained(query: Query, monkeypatch: pytest.MonkeyPatch, few: int = candidates.FEW) -> str:
    """Return SQLite's plan for the page's statement, the last one of a search without results."""
    connection = Connection(":memory:")
    schema.prepare(connection)
    Pen.over(connection)
    monkeypatch.setattr(candidates, "FEW", few)
    statements: list[tuple[str, apsw.Bindings | None]] = []

    def trace(_cursor: apsw.Cursor, sql: str, values: apsw.Bindings | None) -> bool:
        statements.append((sql, values))
        return True

    connection.set_exec_trace(trace)
    search.search(connection, query, ALL, 0)
    connection.set_exec_trace(None)
    sql, values = statements[-1]
    return "\n".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))


CODE = Clause("code", Kind.TOKEN, None, (TokenValue("http://loinc.org", "1"),))
SUBJECT = Clause("patient", Kind.REFERENCE, None, (ReferenceValue("Patient", "1", None),))
DAY = Clause("date", Kind.DATE, None, (DateValue(Prefix.GE, 5, 6),))


def test_one_equality_is_followed_in_key_order_without_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    for clause, index in ((CODE, "token_value"), (SUBJECT, "reference_value")):
        plan = _explained(Query("Observation", (clause,)), monkeypatch)
        assert f"USING COVERING INDEX {index} (parameter=? AND" in plan, plan
        assert "TEMP B-TREE" not in plan
        assert "SCAN resource" not in plan


def test_a_rare_clause_gives_the_candidates_and_the_others_are_probed_by_resource(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = _explained(Query("Observation", (CODE, DAY)), monkeypatch)
    assert "SEARCH r USING INTEGER PRIMARY KEY" in plan, plan
    assert "SCAN" not in plan.replace("SCAN d", "").replace("SCAN CONSTANT ROW", ""), plan


def test_with_common_clauses_only_the_type_is_followed_in_key_order(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _explained(Query("Observation", (DAY,)), monkeypatch, few=0)
    assert "resource_present" in plan, plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan


def test_the_newest_of_a_type_come_from_the_index_of_instants(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _explained(Query("Observation", (), (Sort("_lastUpdated", Kind.DATE, True),)), monkeypatch)
    assert "resource_updated (type=?" in plan, plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan, plan  # the last term alone may need one


async def _put(store: Store, type_: str, id_: str, patient: str) -> None:
    resource = {"resourceType": type_, "subject": {"reference": f"Patient/{patient}"}}
    await store.commit(Transaction((Change(Method.PUT, type_, id_, resource),), None, "feed:f", NOW))


async def test_groups_clauses_and_formulas_may_be_large(open_at: Opener, tmp_path: Path, book: Book) -> None:
    book["o"] = [TokenRow("code", "s9", "c99"), DateRow("date", 5, 6)], Facets(values={"code": frozenset({"x7"})})
    deep = vis.Any(tuple(vis.Has("code", frozenset({f"x{number}"})) for number in range(700)))
    async with open_at(tmp_path) as store:
        await _put(store, "Observation", "o", "p")
        crowd = frozenset(f"q{number}" for number in range(20_000))
        groups = ((crowd, Constant(False)), (frozenset({"p"}), deep))
        codes = tuple(TokenValue(f"s{number % 10}", f"c{number}") for number in range(1000))
        moments = tuple(DateValue(Prefix.EQ, number, number + 1) for number in range(600))
        query = Query(
            "Observation",
            (Clause("code", Kind.TOKEN, None, codes), Clause("date", Kind.DATE, None, moments)),
            total=Total.ACCURATE,
        )
        page = await store.search(query, Visibility(Constant(True), groups, Constant(False)))
        assert [version.id for version in page.versions] == ["o"]
        assert page.total == 1
        hidden = Visibility(Constant(True), ((crowd | {"p"}, Constant(False)), *groups), Constant(True))
        assert (await store.search(query, hidden)).versions == ()


async def test_an_absolute_reference_to_our_patient_makes_the_resource_theirs(open_at: Opener, tmp_path: Path) -> None:
    hidden = Visibility(Constant(True), ((frozenset({"p"}), Constant(False)),), Constant(True))
    async with open_at(tmp_path, base_url="https://ours.example/r4/") as store:
        for id_, reference in (
            ("o", "https://ours.example/r4/Patient/p"),
            ("other", "https://theirs.example/Patient/p"),
        ):
            resource = {"resourceType": "Observation", "subject": {"reference": reference}}
            await store.commit(Transaction((Change(Method.PUT, "Observation", id_, resource),), None, "feed:f", NOW))
        found = await store.search(Query("Observation"), hidden)
        assert [version.id for version in found.versions] == ["other"]


async def test_a_query_is_never_part_of_the_statement(open_at: Opener, tmp_path: Path, book: Book) -> None:
    nasty = "x' OR 1=1 --\x00:v0 ?"
    book["o"] = [TokenRow("code", nasty, nasty)], Facets()
    async with open_at(tmp_path) as store:
        await _put(store, "Observation", "o", "p")
        for parameter, code, expected in (("code", nasty, 1), ("code", nasty[:5], 0), (nasty, nasty, 0)):
            clause = Clause(parameter, Kind.TOKEN, None, (TokenValue(nasty, code),))
            page = await store.search(Query("Observation", (clause,), (Sort("code", Kind.TOKEN, False),)), ALL)
            assert len(page.versions) == expected


async def test_pages_neither_lose_nor_repeat_while_others_write(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path) as store:
        for number in range(10):
            await _put(store, "Observation", f"a{number}", "p")
        query, seen = Query("Observation", count=3), list[str]()
        for turn in range(10):
            page = await store.search(query, ALL)
            seen += [version.id for version in page.versions]
            if page.next is None:
                break
            query = Query("Observation", count=3, cursor=page.next)
            if turn < 2:
                await _put(store, "Observation", f"b{turn}", "p")
                await _put(store, "Observation", "a0", f"other{turn}")
        assert seen == [*(f"a{number}" for number in range(10)), "b0", "b1"]


async def test_an_unforeseen_failure_of_one_job_does_not_touch_its_neighbours(
    open_at: Opener, tmp_path: Path, book: Book
) -> None:
    book["bad"] = [None], Facets()  # type: ignore[list-item]  # a broken extractor is the point
    async with open_at(tmp_path) as store:
        answers = await asyncio.gather(
            _put(store, "Observation", "good", "p"),
            _put(store, "Observation", "bad", "p"),
            _put(store, "Observation", "fine", "p"),
            return_exceptions=True,
        )
        assert str(answers[1]) == "the change cannot be stored (AttributeError)"
        assert await store.read("Observation", "bad") is None
        assert await store.outbox_depth() == 2
        entry = JournalEntry(RawMessage("f", NOW, "text/plain", b"m"), "k", b"")
        assert not (await store.append(entry)).duplicate


async def test_what_changed_is_found_by_its_instant_without_a_scan(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path):
        pass
    connection = apsw.Connection(str(tmp_path / FILE))
    sql = (
        "EXPLAIN QUERY PLAN SELECT v.key FROM version v INDEXED BY version_recorded CROSS JOIN resource r"
        f" ON r.key = (v.key >> {VERSION_BITS}) WHERE r.type = 1 AND (v.recorded, v.key) < (9, 0)"
        " ORDER BY v.recorded DESC, v.key DESC LIMIT 10"
    )
    plan = [str(row[3]) for row in connection.execute(sql)]
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in plan), plan
