"""Workers of a running service: they end with it, however it ends, and one that is killed costs no message."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.service.conftest import Installation


def _message(number: int) -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^A01^ADT_A01|C{number}|P|2.5.1\r"
        f"EVN|A01|20261102083000+0100\r"
        f"PID|1||M{number}^^^HARBOUR^MR||Lindqvist^Maria||19760314|F\r"
        f"PV1|1|I|3N^312^A||||||||||||||||V{number}^^^HARBOUR^VN\r"
    ).encode()


async def _send(port: int, numbers: range) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        writer.write(b"\x0b" + _message(number) + b"\x1c\r")
        assert b"\rMSA|AA|" in await reader.readuntil(b"\x1c\r")
    writer.close()


def _children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def _is_worker(pid: int) -> bool:
    return b"hawsepipe.service.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


async def _worker(installation: Installation) -> int:
    """Wait until the worker has computed something; return its process id."""
    assert installation.process is not None
    async with asyncio.timeout(30):
        while True:
            for child in _children(installation.process.pid):
                if _is_worker(child):
                    return child
            await asyncio.sleep(0.02)


async def _gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while _exists(pid):
            await asyncio.sleep(0.02)


async def test_a_worker_that_is_killed_costs_no_message_and_another_takes_its_place(
    installation: Installation,
) -> None:
    await installation.start()
    first = await _worker(installation)
    for start in (0, 40):
        sending = asyncio.create_task(_send(installation.mllp_port, range(start, start + 40)))
        await asyncio.sleep(0.1)
        if start:
            os.kill(await _worker(installation), signal.SIGKILL)
        await sending
    await installation.settled()
    assert installation.rows("SELECT state, count(*) FROM journal GROUP BY state") == [("applied", 80)]
    async with asyncio.timeout(20):
        while await _worker(installation) == first:
            await asyncio.sleep(0.05)
    assert await installation.stop() == 0


async def test_workers_end_with_a_service_that_is_killed(installation: Installation) -> None:
    await installation.start()
    worker = await _worker(installation)
    await installation.kill()
    await _gone(worker)


async def test_workers_leave_signals_to_the_service(installation: Installation) -> None:
    await installation.start()
    worker = await _worker(installation)
    await _send(installation.mllp_port, range(10))
    await installation.settled()
    async with asyncio.timeout(20):
        # Once it ignores them; before that it is the interpreter that starts.
        while int(_status(worker, "SigIgn"), 16) & (1 << (signal.SIGTERM - 1)) == 0:
            await asyncio.sleep(0.02)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker, number)
    await _send(installation.mllp_port, range(10, 20))
    await installation.settled()
    assert await _worker(installation) == worker
    assert await installation.stop() == 0
    await _gone(worker)


def _status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))
