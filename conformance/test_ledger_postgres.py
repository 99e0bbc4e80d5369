"""The ledger in PostgreSQL keeps the contract of ledger backends, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hawsepipe import ConfigError, LedgerUnavailable
from hawsepipe_conformance.ledger import CHANNEL, LedgerContract, checkpoint, opened
from hawsepipe_conformance.servers import Server, postgres
from hawsepipe_ledger_postgres.backend import PostgresLedger

PLUGIN = "hawsepipe_ledger_postgres.plugin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with postgres(tmp_path_factory.mktemp("database")) as running:
        yield running


def dsn(server: Server) -> str:
    return f"postgresql://postgres@127.0.0.1:{server.port}/postgres"


class TestLedgerPostgres(LedgerContract):
    """The kind `postgres`: a schema a ledger."""

    plugin = PLUGIN
    kind_name = "postgres"

    @pytest.fixture(autouse=True)
    def _database(self, server: Server) -> None:
        self.dsn = dsn(server)

    def settings_in(self, directory: Path) -> Mapping[str, Any]:
        return {"dsn": self.dsn, "schema": f"ledger_{sha256(str(directory).encode()).hexdigest()[:16]}"}


@pytest.fixture
async def direct(server: Server) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn(server))
    yield connection
    await connection.close()


async def test_the_table_refuses_changes_and_deletions(server: Server, direct: Any, tmp_path: Path) -> None:
    async with opened(PLUGIN, "postgres", tmp_path, {"dsn": dsn(server), "schema": "kept"}) as ledger:
        await ledger.publish(checkpoint(3), None)
    for statement in ("UPDATE kept.checkpoint SET size = 4", "DELETE FROM kept.checkpoint", "TRUNCATE kept.checkpoint"):
        with pytest.raises(asyncpg.RaiseError, match="never changed"):
            await direct.execute(statement)


async def test_the_table_lets_no_second_checkpoint_follow_the_same_one(
    server: Server, direct: Any, tmp_path: Path
) -> None:
    async with opened(PLUGIN, "postgres", tmp_path, {"dsn": dsn(server), "schema": "line"}) as ledger:
        await ledger.publish(checkpoint(3), None)
        await ledger.publish(checkpoint(5), checkpoint(3))
    with pytest.raises(asyncpg.UniqueViolationError):
        await direct.execute("INSERT INTO line.checkpoint VALUES ($1, 9, 3, $2, '')", CHANNEL, bytes(32))


async def test_a_role_that_may_only_read_and_append_is_enough(server: Server, direct: Any, tmp_path: Path) -> None:
    async with opened(PLUGIN, "postgres", tmp_path, {"dsn": dsn(server), "schema": "narrow"}) as ledger:
        await ledger.health()
    await direct.execute(
        "CREATE ROLE anchor LOGIN; GRANT USAGE ON SCHEMA narrow TO anchor;"
        "GRANT SELECT, INSERT ON narrow.checkpoint TO anchor"
    )
    other = dsn(server).replace("postgres@", "anchor@")
    async with opened(PLUGIN, "postgres", tmp_path, {"dsn": other, "schema": "narrow"}) as ledger:
        await ledger.publish(checkpoint(3), None)
        assert await ledger.head(CHANNEL) == checkpoint(3)


async def test_a_session_that_commits_without_the_disk_is_set_right(
    server: Server, direct: Any, tmp_path: Path
) -> None:
    await direct.execute("CREATE ROLE hasty LOGIN SUPERUSER; ALTER ROLE hasty SET synchronous_commit = off")
    settings = {"dsn": dsn(server).replace("postgres@", "hasty@"), "schema": "hasty"}
    async with opened(PLUGIN, "postgres", tmp_path, settings) as ledger:
        assert isinstance(ledger, PostgresLedger)
        async with ledger._connection() as connection:
            assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_a_database_without_fsync_is_not_a_ledger(tmp_path: Path) -> None:
    with postgres(tmp_path, settings={"fsync": "off"}) as server:
        async with opened(PLUGIN, "postgres", tmp_path, {"dsn": dsn(server)}) as ledger:
            with pytest.raises(LedgerUnavailable, match="fsync"):
                await ledger.publish(checkpoint(3), None)


async def test_a_database_that_dies_is_unavailable_and_found_again(tmp_path: Path) -> None:
    with postgres(tmp_path) as server:
        async with opened(PLUGIN, "postgres", tmp_path, {"dsn": dsn(server)}) as ledger:
            await ledger.publish(checkpoint(3), None)
            server.kill()
            with pytest.raises(LedgerUnavailable):
                await ledger.publish(checkpoint(5), checkpoint(3))
            server.start()
            await ledger.publish(checkpoint(5), checkpoint(3))
            assert await ledger.head(CHANNEL) == checkpoint(5)


async def test_it_opens_while_the_database_is_away(tmp_path: Path) -> None:
    settings = {"dsn": "postgresql://postgres@127.0.0.1:1/postgres", "timeout_seconds": 2}
    async with opened(PLUGIN, "postgres", tmp_path, settings) as ledger:
        with pytest.raises(LedgerUnavailable):
            await ledger.health()


async def test_a_password_in_the_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="password_file") as raised:
        async with opened(PLUGIN, "postgres", tmp_path, {"dsn": "postgresql://a:geheim@localhost/x"}):
            pass
    assert "geheim" not in str(raised.value)
