"""A real `hawsepipe serve` in a process of its own, which tests may stop, kill and start again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from hawsepipe.clock import system_clock
from hawsepipe.config import TEMPLATE, Config, read
from hawsepipe.service.credentials import issued_token, make_keys


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Installation:
    """A directory with a configuration and keys, and the process that serves it."""

    config: Config
    mllp_port: int
    process: asyncio.subprocess.Process | None = None
    log: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """Start and wait until it is ready."""
        assert self.process is None
        errors = (self.config.path.parent / "stderr.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hawsepipe", "serve", "-c", str(self.config.path), stderr=errors
        )
        errors.close()
        url = f"http://{self.config.host}:{self.config.port}/health/ready"
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                assert self.process.returncode is None, self.stderr()
                try:
                    async with session.get(url) as response:
                        if response.status == 200 and await self._listening():
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; return the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        process, self.process = self.process, None
        os.kill(process.pid, number)
        async with asyncio.timeout(30):
            return await process.wait()

    async def _listening(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.mllp_port)
        except OSError:
            return False
        writer.close()
        return True

    def stderr(self) -> str:
        """Return everything that was logged."""
        return (self.config.path.parent / "stderr.log").read_text(encoding="utf-8")

    def rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Look into the store's file from outside, reading only."""
        path = self.config.data / "store" / "store.db"
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()

    async def settled(self) -> None:
        """Wait until every journalled message is applied or set aside."""
        async with asyncio.timeout(10):
            while self.rows("SELECT count(*) FROM journal WHERE state = 'received'") != [(0,)]:
                await asyncio.sleep(0.02)

    def token(self, subject: str = "Practitioner/1", scope: str = "user/*.cruds", role: str = "physician") -> str:
        """Return an access token."""
        return issued_token(
            self.config, subject=subject, scope=scope, purpose="TREAT", roles=(role,), patient=None, now=system_clock()
        )


@pytest.fixture
async def install(tmp_path: Path) -> AsyncIterator[Callable[[str], Installation]]:
    """Make installations with the shipped template's settings on free ports; none is started."""
    made: list[Installation] = []

    def make(name: str) -> Installation:
        folder = tmp_path / name
        folder.mkdir()
        mllp_port = free_port()
        text = TEMPLATE.read_text(encoding="utf-8")
        text = text.replace("port = 8080", f"port = {free_port()}").replace("port = 2575", f"port = {mllp_port}")
        path = folder / "hawsepipe.toml"
        path.write_text(text, encoding="utf-8")
        config = read(path)
        make_keys(config)
        made.append(Installation(config, mllp_port))
        return made[-1]

    yield make
    for installation in made:
        if installation.process is not None:
            await installation.kill()


@pytest.fixture
def installation(install: Callable[[str], Installation]) -> Installation:
    """One installation."""
    return install("one")


@pytest.fixture
def unused() -> int:
    """A port that nobody listens at."""
    return free_port()
