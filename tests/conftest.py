"""What tests of several rooms share: one PostgreSQL for the whole session, with a schema for each test that asks;
and what comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest

from hawsepipe.store.postgres import Database
from hawsepipe_conformance.servers import Server, postgres


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What starts whole services takes longest, and none of it is to run alone at the end.
    items.sort(key=lambda item: item.path.parent.name not in ("service", "conformance"))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL that is started for the first test that asks for it."""
    with postgres(tmp_path_factory.mktemp("postgres"), settings={"max_connections": "60"}) as running:
        yield running


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Server) -> str:
    return f"postgresql://postgres@127.0.0.1:{postgres_server.port}/postgres"


class Schemas:
    """Schemas with the tables of a store, emptied and used again: to make them takes half a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._free: list[str] = []
        self._count = 0

    def taken(self, *, fresh: bool = False) -> Database:
        """Return an empty store's database, which nobody has used before if it is to be `fresh`: one that was emptied
        has statistics, and pages that a vacuum knows. Who opens the first makes its tables.
        """
        if fresh or not self._free:
            self._count += 1
            self._free.append(f"store{self._count}")
        return Database(self._url, schema=self._free.pop())

    def given_back(self, used: Iterable[Database]) -> None:
        """Empty what a test has used."""
        names = [database.schema for database in used]
        asyncio.run(_emptied(self._url, names))
        self._free += names


async def _emptied(url: str, schemas: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for name in schemas:
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", name)
            tables = {row[0] for row in rows} - {"tables", "state"}
            if not tables:
                continue
            emptied = "".join(f'DELETE FROM "{name}"."{table}";' for table in tables)
            restarted = "".join(
                f"SELECT setval(pg_get_serial_sequence('\"{name}\".{table}', '{column}'), 1, false);"
                for table, column in (("journal", "sequence"), ("delivery", "number"), ("access", "number"))
            )
            numbers = ("instant", "epoch", "log_size", "tick", "charted", "turn")
            begun = f'UPDATE "{name}".state SET {", ".join(f"{number} = 0" for number in numbers)};'
            await connection.execute(f"BEGIN;{emptied}{restarted}{begun}COMMIT")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def schemas(postgres_url: str) -> Schemas:
    return Schemas(postgres_url)


@pytest.fixture
def database_at(schemas: Schemas) -> Iterator[Callable[[Path], Database]]:
    """Gives the database of a path: the same one for the same path."""
    made: dict[Path, Database] = {}

    def database(path: Path) -> Database:
        if path not in made:
            made[path] = schemas.taken()
        return made[path]

    yield database
    schemas.given_back(made.values())
