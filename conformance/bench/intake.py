"""MLLP to durable acknowledgement, and the full path to stored, indexed and queued for anchoring.

    python conformance/bench/intake.py [--messages 3000] [--connections 1,16,64] [--workers 1]
    python conformance/bench/intake.py --memory 100000    # resident memory after every 10,000 messages
    python conformance/bench/intake.py --idle 1000        # so many connections that are silent beside 64 that are not

Starts a real `hawsepipe serve` in a fresh directory and sends ADT^A01 messages over loopback, each with a person and a
visit of its own, each waiting for its acknowledgement. The baseline is a bare asyncio listener that does nothing but
one SQLite commit (synchronous FULL) for whatever came meanwhile; it runs on the same machine in the same run. Wall
times on a shared machine are noise; read CPU per message (of the service and its workers together) and the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import apsw
import uvloop

START, END = b"\x0b", b"\x1c\r"
TICKS = os.sysconf("SC_CLK_TCK")
FAMILIES = ("Lindqvist", "Okafor", "Berg", "Haddad", "Nieminen", "Sandberg", "Kaya", "Lund", "Ek", "Hassan", "Strand")
GIVEN = ("Maria", "Ida", "Amina", "Sofia", "Elin", "Leila", "Karin")


def message(run: str, number: int) -> bytes:
    """Return an admission of about 1.1 kB: a person of her own in each run, with a name, a birthday and an address."""
    mrn = f"{run}{number}"
    name = f"{FAMILIES[number % len(FAMILIES)]}{number // len(FAMILIES) % 97 or ''}"
    given = GIVEN[number % len(GIVEN)]
    born = f"19{number % 71 + 20:02d}{number % 12 + 1:02d}{number % 28 + 1:02d}"
    home = f"Sjogatan {number % 311 + 1}^^Goteborg^^{41100 + number % 89}^SWE"
    return (
        f"MSH|^~\\&|ADT1|HARBOUR|HP|HUB|20261102083015+0100||ADT^A01^ADT_A01|{mrn}|P|2.5.1|||||SWE|UNICODE UTF-8\r"
        f"EVN|A01|20261102083000+0100\r"
        f"PID|1||{mrn}^^^HARBOUR^MR~{born}{run}{number:04d}^^^SE-PNR^NI||{name}^{given}^Elisabet^^^^L||{born}|F|||"
        f"{home}^H||^PRN^PH^^46^31^{5550000 + number}~^NET^Internet^{given}.{name}{number}@example.com||swe|M\r"
        f"NK1|1|{name}^Johan|SPO^Spouse^HL70063|{home}|^PRN^PH^^46^31^{5550000 + number}\r"
        f"PV1|1|I|3N^312^A^HARBOUR||||OK7^Okafor^Ngozi^^^Dr^^^HARBOUR^L^^^EI|||MED||||1|||"
        f"OK7^Okafor^Ngozi^^^Dr^^^HARBOUR^L^^^EI|IP|V-{mrn}^^^HARBOUR^VN|||||||||||||||||||||||||20261102081500+0100\r"
        f"AL1|1|DA|7980^Penicillin G^RXNORM|MO|Urticaria\r"
        f"DG1|1||I10^Essential (primary) hypertension^I10C||20261102|A\r"
    ).encode()


async def burst(port: int, run: str, messages: int, connections: int) -> tuple[float, list[float]]:
    """Send; return the wall time of all and each message's seconds to its acknowledgement."""
    share = messages // connections
    latencies: list[float] = []

    async def one(lane: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(lane * share, (lane + 1) * share):
            body = message(run, number)
            begun = time.perf_counter()
            writer.write(START + body + END)
            reply = await reader.readuntil(END)
            latencies.append(time.perf_counter() - begun)
            assert b"MSA|AA" in reply, reply
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one(lane) for lane in range(connections)))
    return time.perf_counter() - begun, latencies


def cpu_of(process: int) -> float:
    """Return the CPU seconds that a process and its children (the workers) have used."""
    used = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(stat.parent.name) == process or int(fields[1]) == process:
            used += (int(fields[11]) + int(fields[12])) / TICKS
    return used


async def quiet(process: int) -> None:
    """Wait until it and its children do nothing: until the workers have started."""
    before = -1.0
    while (now := cpu_of(process)) - before > 0.02:
        before = now
        await asyncio.sleep(0.5)


@asynccontextmanager
async def service(folder: Path, workers: int = 1, connections: int = 1000) -> AsyncIterator[tuple[int, int, Path]]:
    """Run `hawsepipe serve`; give its MLLP port, process id and store file."""
    hawsepipe = [sys.executable, "-m", "hawsepipe"]
    maker = await asyncio.create_subprocess_exec(*hawsepipe, "init", str(folder), stdout=asyncio.subprocess.DEVNULL)
    await maker.wait()
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    path = folder / "hawsepipe.toml"
    text = path.read_text().replace("port = 8080", f"port = {ports[0]}").replace("port = 2575", f"port = {ports[1]}")
    text = text.replace("# workers = 1 ", f"workers = {workers} ")
    text = text.replace(f"port = {ports[1]}", f"port = {ports[1]}\nlimits = {{ connections = {connections} }}")
    path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *hawsepipe, "serve", "-c", str(path), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", ports[1])
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield ports[1], process.pid, folder / "hawsepipe-data" / "store" / "store.db"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


@asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[tuple[int, int, Path]]:
    """Run the baseline in a process of its own; give the same."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, "--bare", str(port), str(folder))
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield port, process.pid, folder / "bare.sqlite"
    finally:
        process.terminate()
        await process.wait()


async def serve_bare(port: int, folder: Path) -> None:
    """The baseline: append to SQLite, one commit for whatever came meanwhile, a fixed acknowledgement."""
    database = apsw.Connection(str(folder / "bare.sqlite"))
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE IF NOT EXISTS journal (body BLOB)",
    ):
        list(database.execute(statement))
    waiting: list[tuple[bytes, asyncio.Future[None]]] = []
    there = asyncio.Event()

    async def commit() -> None:
        while True:
            await there.wait()
            there.clear()
            group, waiting[:] = waiting[:], []
            with database:
                database.executemany("INSERT INTO journal VALUES (?)", [(body,) for body, _ in group])
            for _, done in group:
                done.set_result(None)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readuntil(END)
                done = asyncio.get_running_loop().create_future()
                waiting.append((frame, done))
                there.set()
                await done
                writer.write(START + b"MSH|^~\\&|||||||ACK|1|P|2.5.1\rMSA|AA|1\r" + END)
        except (EOFError, OSError):
            writer.close()

    committing = asyncio.create_task(commit())
    async with await asyncio.start_server(talk, "127.0.0.1", port) as server:
        await asyncio.gather(server.serve_forever(), committing)


async def measured(
    name: str,
    start: Callable[[Path], object],
    messages: int,
    connections: list[int],
    settled: Callable[[Path], Awaitable[None]] | None,
) -> dict[int, tuple[float, float]]:
    """Print a row for each number of connections; return (messages per second, CPU seconds per message) of each."""
    found: dict[int, tuple[float, float]] = {}
    for count in connections:
        total = messages if count > 1 else messages // 4
        with tempfile.TemporaryDirectory() as folder:
            async with start(Path(folder)) as (port, process, store):  # type: ignore[attr-defined]  # either of the two
                # The workers have started, and have met messages of this kind, before anything is measured.
                await quiet(process)
                await burst(port, "W", max(count * 4, 64), count)
                if settled is not None:
                    await settled(store)
                await quiet(process)
                before, begun = cpu_of(process), time.perf_counter()
                wall, latencies = await burst(port, "B", total, count)
                acknowledged = len(latencies)
                if settled is not None:
                    await settled(store)
                whole = time.perf_counter() - begun
                used = (cpu_of(process) - before) / acknowledged
                found[count] = (acknowledged / whole, used)
                latencies.sort()
                print(
                    f"{name:<10} {count:>3} connections  {acknowledged / wall:>7.0f} acks/s"
                    f"  p50 {statistics.median(latencies) * 1e3:>6.1f} ms"
                    f"  p99 {latencies[int(len(latencies) * 0.99)] * 1e3:>6.1f} ms"
                    f"  full path {acknowledged / whole:>7.0f}/s  CPU {used * 1e3:>6.3f} ms a message"
                )
    return found


async def settled(store: Path) -> None:
    """Wait until everything that was acknowledged is stored, indexed and in the outbox."""
    database = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    while database.execute("SELECT count(*) FROM journal WHERE state = 'received'").fetchone()[0]:
        await asyncio.sleep(0.02)
    database.close()


def resident(process: int) -> list[int]:
    """Return the resident memory, in MiB, of a process and of its children."""
    found: list[tuple[bool, int]] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(stat.parent.name) == process or int(fields[1]) == process:
            found.append((int(stat.parent.name) != process, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") >> 20))
    return [size for _, size in sorted(found)]


async def remember(messages: int, workers: int) -> None:
    """Print the memory of the service and its workers after every 10,000 messages, each with a person of her own."""
    with tempfile.TemporaryDirectory() as folder:
        async with service(Path(folder), workers) as (port, process, store):
            for done in range(0, messages, 10_000):
                begun, before = time.perf_counter(), cpu_of(process)
                await burst(port, f"M{done // 10_000}-", min(10_000, messages - done), 16)
                await settled(store)
                count = min(10_000, messages - done)
                print(
                    f"{done + count:>8} messages  service and workers {resident(process)} MiB"
                    f"  file {store.stat().st_size >> 20} MiB"
                    f"  {count / (time.perf_counter() - begun):>5.0f}/s"
                    f"  CPU {(cpu_of(process) - before) / count * 1e3:.3f} ms a message",
                    flush=True,
                )


async def crowd(idle: int, messages: int, workers: int) -> None:
    """Print what 64 busy connections get beside silent ones, each of which is answered in the end."""
    with tempfile.TemporaryDirectory() as folder:
        async with service(Path(folder), workers, idle + 64) as (port, process, store):
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(idle)]
            wall, latencies = await burst(port, "B", messages, 64)
            latencies.sort()
            late = 0.0
            for number, (reader, writer) in enumerate(silent):
                begun = time.perf_counter()
                writer.write(START + message("I", number) + END)
                reply = await reader.readuntil(END)
                assert b"MSA|AA" in reply, reply
                late = max(late, time.perf_counter() - begun)
                writer.close()
            await settled(store)
            p50, p99 = (latencies[int(len(latencies) * share)] * 1e3 for share in (0.5, 0.99))
            print(
                f"{idle} silent and 64 busy connections: {len(latencies)} messages, {len(latencies) / wall:.0f} acks/s,"
                f" p50 {p50:.1f} ms, p99 {p99:.1f} ms; then each of the silent ones sends one, answered after"
                f" {late * 1e3:.0f} ms at most; no error; memory {resident(process)} MiB"
            )


async def main(messages: int, connections: list[int], workers: int) -> None:
    """Run both and print the ratios."""
    ours = await measured("hawsepipe", partial(service, workers=workers), messages, connections, settled)
    base = await measured("bare loop", bare, messages, connections, None)
    for count in connections:
        print(
            f"ratio      {count:>3} connections"
            f"  full path {ours[count][0] / base[count][0]:.2f} of the bare loop's rate"
            f"  CPU {ours[count][1] / base[count][1]:.1f} times"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=re.sub(r"\s+", " ", __doc__ or ""))
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--memory", type=int, metavar="MESSAGES")
    parser.add_argument("--idle", type=int, metavar="CONNECTIONS")
    parser.add_argument("--bare", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        uvloop.run(serve_bare(int(arguments.bare[0]), Path(arguments.bare[1])))
    elif arguments.memory:
        uvloop.run(remember(arguments.memory, arguments.workers))
    elif arguments.idle:
        uvloop.run(crowd(arguments.idle, arguments.messages, arguments.workers))
    else:
        uvloop.run(
            main(arguments.messages, [int(part) for part in arguments.connections.split(",")], arguments.workers)
        )
