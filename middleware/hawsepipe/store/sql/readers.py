"""A small pool of threads that read, each over its own connection: reads go parallel and never wait for the writer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hawsepipe.errors import StoreError
from hawsepipe.store.sql.connection import Connection

T = TypeVar("T")


class Readers:
    """Runs reading functions; what one function reads is one snapshot."""

    def __init__(self, opened: Callable[[], Connection], threads: int) -> None:
        """`opened` opens a connection in the thread that calls it."""
        self._opened = opened
        self._own = threading.local()
        self._connections: list[Connection] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hawsepipe-store-reader")

    async def run(self, work: Callable[[Connection], T]) -> T:
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

    def _read(self, work: Callable[[Connection], T]) -> T:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._opened()
            self._connections.append(connection)
            self._own.connection = connection
        try:
            connection.look()
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.committed()
        except connection.errors as error:
            raise connection.translated(error) from error
