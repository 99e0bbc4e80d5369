"""A small pool of threads that read, each over its own connection: reads go parallel and never wait for the writer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from hawsepipe.errors import StoreError
from hawsepipe.store.sqlite.connection import open_reader, translated
from hawsepipe.store.vault import Vault

T = TypeVar("T")


class Readers:
    """Runs reading functions; what one function reads is one snapshot."""

    def __init__(self, file: Path, threads: int, vfs: str | None = None, vault: Vault | None = None) -> None:
        self._file = file
        self._vault = vault
        self._vfs = vfs
        self._own = threading.local()
        self._connections: list[apsw.Connection] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hawsepipe-store-reader")

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run a function over a connection inside a read transaction. Raises StoreError."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    def close(self) -> None:
        """Finish what runs and close the connections. Blocks."""
        self._closed = True
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            connection: apsw.Connection | None = getattr(self._own, "connection", None)
            if connection is None:
                connection = open_reader(self._file, self._vfs, self._vault)
                self._connections.append(connection)
                self._own.connection = connection
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise translated(error) from error
