"""The command `python -m hawsepipe_conformance.tamper`."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hawsepipe_conformance.servers import nats, postgres
from hawsepipe_conformance.tamper.ground import LOG, Backend, Ground, honest, made
from hawsepipe_conformance.tamper.rows import ROWS, Row


async def outcome(row: Row, ground: Ground) -> tuple[bool, str]:
    """Tamper with a copy; return whether it was found as it must be, and what was found."""
    try:
        found = await row.work(ground)
    except Exception as error:
        # A finder that crashes has found nothing.
        return False, f"{type(error).__name__}: {error}"
    code = row.code_at(cosigns=ground.backend.cosigns)
    if not ground.backend.cosigns and code != row.code:
        # Evidence cannot show what no receipt says: the audit asks the ledger itself.
        found = [(finder, codes) for finder, codes in found if finder == "audit"]
    good = bool(found) and all(code in codes and codes <= row.beside | {row.code, code} for _, codes in found)
    return good, "; ".join(f"{finder}: {', '.join(sorted(codes)) or 'nothing'}" for finder, codes in found)


async def table(backend: Backend, directory: Path, only: str = "") -> int:
    """Run the rows whose title or code has `only` in it, print a line each, and return how many deviate."""
    true = await made(directory / "true", backend)
    report = await true.audit()
    deviations = 0 if report.ok else 1
    print(f"{'ok  ' if report.ok else 'FAIL'} {'nothing':<22} nothing is tampered with {list(report.counts)}")
    for number, row in enumerate(ROWS):
        if (only not in row.title and only not in row.code) or row.code_at(cosigns=backend.cosigns) is None:
            continue
        place = directory / f"row{number}"
        # A ledger on a server cannot be copied: it is made anew.
        good, told = await outcome(row, true.copy(place) if backend is LOG else await made(place, backend))
        deviations += not good
        print(f"{'ok  ' if good else 'FAIL'} {row.code:<22} {row.title} ({told})", flush=True)
    return deviations


@contextmanager
def started(kind: str, directory: Path) -> Iterator[Backend]:
    """Start what a kind of ledger needs."""

    def name(place: Path) -> str:
        return f"t{hashlib.sha256(str(place).encode()).hexdigest()[:16]}"

    if kind == "postgres":
        with postgres(directory) as server:
            dsn = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
            yield Backend("hawsepipe_ledger_postgres.plugin", kind, lambda place: {"dsn": dsn, "schema": name(place)})
    elif kind == "nats":
        with nats(directory) as server:
            address = f"nats://127.0.0.1:{server.port}"
            yield Backend(
                "hawsepipe_ledger_nats.plugin", kind, lambda place: {"servers": [address], "stream": name(place)}
            )
    else:
        yield LOG


async def run(kinds: Sequence[str], versions: int, only: str) -> int:
    """Run everything; return how many deviations there are."""
    deviations = 0
    for kind in kinds:
        with (
            tempfile.TemporaryDirectory() as server,
            started(kind, Path(server)) as backend,
            tempfile.TemporaryDirectory() as name,
        ):
            print(f"ledger kind {backend.kind}")
            deviations += await table(backend, Path(name), only)
            alarms = await honest(Path(name) / "honest", backend, versions, _progress)
            deviations += len(alarms)
            print(
                f"{'ok  ' if not alarms else 'FAIL'} {versions} honest versions with restarts: {alarms or 'no alarm'}"
            )
    return deviations


def _progress(done: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} honest versions", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the table and return the exit status: 0 when each tampering was found by its code and no other alarm came."""
    parser = argparse.ArgumentParser(prog="python -m hawsepipe_conformance.tamper", description=__doc__)
    parser.add_argument("--only", default="", help="rows with this in their title or code")
    parser.add_argument("--honest", type=int, default=100, help="how many honest versions must give no alarm")
    parser.add_argument("--ledgers", default="log", help="kinds of ledgers, by commas: log, postgres, nats")
    given = parser.parse_args(arguments)
    deviations = asyncio.run(run(given.ledgers.split(","), given.honest, given.only))
    print(f"{deviations} deviations")
    return 1 if deviations else 0


if __name__ == "__main__":
    sys.exit(main())
