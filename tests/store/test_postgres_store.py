"""What only the store in PostgreSQL has to hold: schemas, several processes, texts of any length, reading beside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from hawsepipe.errors import StoreError
from hawsepipe.fhir.index import Row, StringRow, TokenRow
from hawsepipe.fhir.query import Clause, Kind, Modifier, Query, StringValue, TokenValue
from hawsepipe.model import Change, Method, RawMessage, Transaction, Version
from hawsepipe.store import postgres
from hawsepipe.store.contract import JournalEntry, Store
from hawsepipe.store.postgres import Database, schema
from hawsepipe.store.sqlite import schema as sqlite_schema
from hawsepipe.store.sqlite.connection import Connection
from hawsepipe.visibility import Constant, Facets, Visibility

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ALL = Visibility(Constant(True), (), Constant(True))
Opener = Callable[..., AbstractAsyncContextManager[Store]]
Databases = Callable[[Path], Database]


def put(id_: str, **elements: object) -> Transaction:
    resource = {"resourceType": "Patient", **elements}
    return Transaction((Change(Method.PUT, "Patient", id_, resource),), None, "feed:t", NOW)


async def run(database: Database, statement: str) -> None:
    connection = await asyncpg.connect(database.url, server_settings={"search_path": database.schema})
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_two_that_write_in_turn_make_one_order(open_in_postgres: Opener, tmp_path: Path) -> None:
    async with open_in_postgres(tmp_path) as one, open_in_postgres(tmp_path) as other:
        made: list[Version] = []
        for number in range(6):
            store = (one, other)[number % 2]
            # Each changes what the other has just written: what it remembered of it must not count.
            made += await store.commit(put("a", active=bool(number % 2), multipleBirthInteger=number))
            made += await store.commit(put(f"p{number}"))
        told = [
            it for store in (one, other) for it in await asyncio.gather(*(store.commit(put(f"q{n}")) for n in "ab"))
        ]
        assert [version.version for version in made if version.id == "a"] == [1, 2, 3, 4, 5, 6]
        instants = [version.last_updated for version in made]
        assert instants == sorted(set(instants))
        assert sum(version.changed for versions in told for version in versions) == 2, "the other's are known"
        assert [anchor.sequence for anchor in await one.outbox(100)] == list(range(1, 15))
        entry = JournalEntry(RawMessage("adt", NOW, "text/plain", b"MSH"), "1", b"AA")
        answers = await asyncio.gather(one.append(entry), other.append(entry))
        assert sorted(answer.duplicate for answer in answers) == [False, True]
        assert (await one.backlog(), await other.backlog()) == (1, 1)


async def test_a_lost_connection_is_made_anew(open_in_postgres: Opener, database_at: Databases, tmp_path: Path) -> None:
    async with open_in_postgres(tmp_path) as store:
        await store.commit(put("a"))
        await store.read("Patient", "a")
        await run(
            database_at(tmp_path),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND application_name LIKE 'hawsepipe %'",
        )
        await store.commit(put("b"))
        assert await store.read("Patient", "a") is not None
        assert await store.read("Patient", "b") is not None


async def test_tables_of_a_newer_version_and_of_strangers_are_refused(
    open_in_postgres: Opener, database_at: Databases, tmp_path: Path
) -> None:
    async with open_in_postgres(tmp_path):
        pass
    database = database_at(tmp_path)
    await run(database, f"UPDATE tables SET version = {schema.VERSION + 1}")
    try:
        with pytest.raises(StoreError, match=f"tables of version {schema.VERSION + 1}"):
            async with open_in_postgres(tmp_path):
                pass
        with pytest.raises(StoreError, match="another version"):
            async with postgres.read_store(database):
                pass
    finally:
        await run(database, f"UPDATE tables SET version = {schema.VERSION}")
    async with postgres.read_store(database) as reading:
        assert await reading.read("Patient", "a") is None
        with pytest.raises(StoreError, match="reading only"):
            await reading.check()
    with pytest.raises(StoreError, match="no store"):
        async with postgres.read_store(replace(database, schema="nowhere")):
            pass


async def test_texts_of_any_length_are_kept_and_found(
    open_in_postgres: Opener, tmp_path: Path, book: dict[str, tuple[Sequence[Row], Facets]]
) -> None:
    long = "é" * 6000
    rows: list[Row] = [TokenRow("identifier", "urn:" + long, long + "1"), StringRow("name", long + "z", long + "z")]
    book["a"] = (rows, Facets())
    book["b"] = ([TokenRow("identifier", "", long + "2"), StringRow("name", "n\0ul", "n\0ul")], Facets())

    async def found(store: Store, clause: Clause) -> list[str]:
        return [it.id for it in (await store.search(Query("Patient", (clause,), (), 9), ALL)).versions]

    async with open_in_postgres(tmp_path) as store:
        for name in "ab":
            await store.commit(put(name))
        for value, ids in ((TokenValue(None, long + "1"), ["a"]), (TokenValue("urn:" + long, None), ["a"])):
            assert await found(store, Clause("identifier", Kind.TOKEN, None, (value,))) == ids
        for text, modifier, ids in (
            (long + "z", Modifier.EXACT, ["a"]),
            (long + "y", Modifier.EXACT, []),
            ("éz", Modifier.CONTAINS, ["a"]),
            ("ééé", None, ["a"]),
            ("n", None, ["b"]),
        ):
            assert await found(store, Clause("name", Kind.STRING, modifier, (StringValue(text, text),))) == ids
        entry = JournalEntry(RawMessage("adt", NOW, "text/plain", b"\0"), "k" * 9000, b"\0")
        assert not (await store.append(entry)).duplicate
        assert (await store.append(entry)).duplicate


async def test_what_is_not_kept_safe_is_refused(tmp_path: Path) -> None:
    from hawsepipe_conformance.servers import postgres as server

    with server(tmp_path, settings={"fsync": "off"}) as running:
        database = Database(f"postgresql://postgres@127.0.0.1:{running.port}/postgres")
        with pytest.raises(StoreError, match="fsync"):
            async with postgres.read_store(database):
                pass


async def test_a_database_that_is_away_is_told_as_such(unused_tcp_port: int) -> None:
    database = Database(f"postgresql://postgres@127.0.0.1:{unused_tcp_port}/postgres")
    with pytest.raises(StoreError, match="cannot do it now"):
        async with postgres.read_store(database):
            pass


async def test_both_schemas_have_the_same_tables_and_columns(
    open_in_postgres: Opener, database_at: Databases, tmp_path: Path
) -> None:
    """A table or a column that one store gets, the other gets as well."""
    file = Connection(":memory:")
    sqlite_schema.prepare(file)
    tables = [name for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    ours = {name: {row[1] for row in file.execute(f"PRAGMA table_info({name})")} for name in tables}
    del ours["sqlite_sequence"]
    async with open_in_postgres(tmp_path):
        pass
    database = database_at(tmp_path)
    connection = await asyncpg.connect(database.url)
    try:
        rows = await connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = $1", database.schema
        )
    finally:
        await connection.close()
    theirs: dict[str, set[str]] = {}
    for table, column in rows:
        theirs.setdefault(table, set()).add(column)
    del theirs["tables"]
    theirs["state"] -= {"turn", "token"}
    assert theirs == ours
