"""What tests of several rooms share: one PostgreSQL for the whole session, with a schema for each test that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest
from hawsepipe_conformance.servers import Server, postgres

from hawsepipe.store.postgres import Database


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL that is started for the first test that asks for it."""
    with postgres(tmp_path_factory.mktemp("postgres"), settings={"max_connections": "60"}) as running:
        yield running


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Server) -> str:
    return f"postgresql://postgres@127.0.0.1:{postgres_server.port}/postgres"


@pytest.fixture
def database_at(postgres_url: str) -> Iterator[Callable[[Path], Database]]:
    """Gives the database of a path: a schema of its own, the same one for the same path, gone after the test."""
    made: set[str] = set()

    def database(path: Path) -> Database:
        name = f"s{sha256(str(path).encode()).hexdigest()[:16]}"
        made.add(name)
        return Database(postgres_url, schema=name)

    yield database
    asyncio.run(dropped(postgres_url, made))


async def dropped(url: str, schemas: set[str]) -> None:
    """Drop schemas with all that is in them."""
    connection = await asyncpg.connect(url)
    try:
        for name in schemas:
            await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
    finally:
        await connection.close()
