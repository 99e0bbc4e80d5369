"""`ledger`: how the log stands, an audit of everything, and evidence for auditors. They read; a service may run."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import click

from hawsepipe import plugins as loader
from hawsepipe.cli.options import config_option
from hawsepipe.clock import system_clock
from hawsepipe.config import Config, read
from hawsepipe.errors import ConfigError, HawsepipeError, NotFound
from hawsepipe.hooks import LedgerBackend
from hawsepipe.ledger.audit import Audit, Report
from hawsepipe.ledger.evidence import Evidence, LogKey, encoded
from hawsepipe.ledger.rotation import check
from hawsepipe.meters import Meters
from hawsepipe.model import Checkpoint
from hawsepipe.service import stores
from hawsepipe.service.kinds import Opener
from hawsepipe.service.rotating import rotate as rotated
from hawsepipe.store.sql.store import SqlReading

_BAR = 30


@click.group()
def ledger() -> None:
    """Look at the log and its ledgers."""


@ledger.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(config_path: Path, as_json: bool) -> None:
    """Print the log's size, what waits for it, and what each ledger holds.

    Exit status 1 when a ledger holds more than the log or another log, or does not answer.
    """
    told = asyncio.run(_status(read(config_path)))
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(f"channel  {told['channel']}\nlog      {told['size']} leaves, {told['waiting']} waiting")
        for name, line in told["ledgers"].items():
            click.echo(f"{name:<8} {line['state']}, holds {line['holds']}, receipt for {line['receipted']}")
    sys.exit(0 if all(line["state"] == "good" for line in told["ledgers"].values()) else 1)


@ledger.command()
@config_option
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write all findings here, as JSON.")
@click.option(
    "--seen", metavar="SIZE:ROOT", help="A state of the log that was kept elsewhere and that it must continue."
)
def audit(config_path: Path, report: Path | None, seen: str | None) -> None:
    """Audit every version, leaf and checkpoint of the store, and what the ledgers hold of it.

    Exit status 0 when nothing was found, 1 with a line for each finding.
    """
    found = asyncio.run(_audit(read(config_path), seen))
    if sys.stderr.isatty():
        click.echo("", err=True)
    if report is not None:
        report.write_text(json.dumps(_told(found), indent=1), encoding="utf-8")
    for finding in found.findings[:100]:
        click.echo(str(finding))
    if len(found.findings) > 100:
        click.echo(f"and {sum(found.counts.values()) - 100} more")
    click.echo(
        f"{found.versions} versions, {found.leaves} leaves, {found.checkpoints} checkpoints, {found.messages} messages,"
        f" {found.receipts} receipts: {'nothing found' if found.ok else f'{sum(found.counts.values())} findings'}"
    )
    sys.exit(0 if found.ok else 1)


@ledger.command()
@config_option
@click.argument("reference", metavar="TYPE/ID[/VERSION]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write it; else standard output.")
@click.option("--seen", type=int, metavar="SIZE", help="Prove that the log has only grown since it had this size.")
def export(config_path: Path, reference: str, out: Path | None, seen: int | None) -> None:
    """Write evidence of a version with the proof whether it is the latest; without VERSION, of the current one, or that
    there never was such a resource.

    It is for auditors, from whom nothing is hidden: its proof tells a little about other resources (docs/ledgers.md).
    """
    document = encoded(asyncio.run(_export(read(config_path), reference, seen)))
    if out is None:
        click.echo(document)
        return
    # It may hold a patient's record.
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(document)


@ledger.group()
def keys() -> None:
    """The log's key."""


@keys.command()
@config_option
def rotate(config_path: Path) -> None:
    """Give the log another key, while no service runs: both keys sign that the new one follows.

    Cut off, it goes on where it was when it is run again. Hand the trust file to your auditors anew.
    """
    vkey = asyncio.run(rotated(read(config_path), system_clock))
    click.echo(f"the log's key is {vkey}\nthe old one is in keys/log.key.old: take it away from here, or destroy it")


@asynccontextmanager
async def _ledgers(config: Config) -> AsyncIterator[dict[str, LedgerBackend]]:
    async with AsyncExitStack() as stack:
        loaded = loader.load(config.plugins)
        yield dict(await Opener(stack, config, system_clock, Meters()).all(loaded.ledgers, config.ledgers, "ledgers"))


async def _status(config: Config) -> dict[str, Any]:
    told: dict[str, Any] = {"channel": config.channel, "ledgers": {}}
    async with stores.read_store(config) as store, _ledgers(config) as ledgers:
        head = await store.checkpoint(config.channel)
        told["size"] = head.size if head is not None else 0
        told["waiting"] = len(await store.outbox(1_000_000))
        for name, backend in ledgers.items():
            told["ledgers"][name] = await _held(store, config.channel, name, backend, head)
    return told


async def _held(
    store: SqlReading, channel: str, name: str, backend: LedgerBackend, head: Checkpoint | None
) -> dict[str, Any]:
    receipted = await store.checkpoint(channel, name)
    line: dict[str, Any] = {"state": "good", "holds": 0, "receipted": receipted.size if receipted is not None else 0}
    try:
        held = await backend.head(channel)
    except HawsepipeError:
        return line | {"state": "unreachable"}
    if held is None:
        return line | ({"state": "rolled-back"} if receipted is not None else {})
    line["holds"] = held.size
    if head is None or held.size > head.size:
        line["state"] = "rolled-back"
    elif (await Audit(store, channel, (), {}).root_at(held.size)) != held.root:
        line["state"] = "forked"
    return line


async def _audit(config: Config, seen: str | None) -> Report:
    try:
        trust = json.loads((config.data / "trust.json").read_bytes())
        keys = [LogKey(key["vkey"], key["fromSize"], key["toSize"]) for key in trust["log"]]
        pairs = itertools.pairwise(trust["log"])
        known = [check(after, before["vkey"]) for before, after in pairs]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "service.data", "trust.json cannot be read; name the directory of a service that ran"
        ) from error
    async with stores.read_store(config) as store, _ledgers(config) as ledgers:
        await store.checkpoint(config.channel)
        depth = max(len(await store.outbox(1)), 1)
        total = (await store.anchored(config.channel, ())) + depth
        return await Audit(
            store,
            config.channel,
            keys,
            ledgers,
            seen=_seen(config.channel, seen),
            known=known,
            now=system_clock(),
            progress=lambda done: _progress(done, total),
        ).run()


def _seen(channel: str, text: str | None) -> Checkpoint | None:
    if text is None:
        return None
    size, _, root = text.partition(":")
    try:
        return Checkpoint(channel, int(size), bytes.fromhex(root), b"")
    except ValueError as error:
        raise click.BadParameter("it is a size, a colon and a root in hex", param_hint="--seen") from error


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        part = min(done / total, 1.0)
        click.echo(f"\r{'#' * int(part * _BAR):<{_BAR}} {done} versions", nl=False, err=True)


def _told(found: Report) -> dict[str, Any]:
    return {
        "versions": found.versions,
        "leaves": found.leaves,
        "checkpoints": found.checkpoints,
        "messages": found.messages,
        "receipts": found.receipts,
        "counts": dict(found.counts),
        "findings": [
            {"code": it.code, "where": it.where, "place": it.place, "reason": it.reason} for it in found.findings
        ],
    }


async def _export(config: Config, reference: str, seen: int | None) -> dict[str, Any]:
    parts = reference.split("/")
    if len(parts) not in (2, 3) or not all(parts) or (len(parts) == 3 and not parts[2].isdecimal()):
        raise click.BadParameter("it is Type/id or Type/id/version", param_hint="TYPE/ID[/VERSION]")
    async with stores.read_store(config) as store:
        maker = Evidence(store, config.channel, [instance.name for instance in config.ledgers])
        current = await store.read(parts[0], parts[1])
        if len(parts) == 2 and current is None:
            return await maker.absent(parts[0], parts[1])
        version = current if len(parts) == 2 else await store.vread(parts[0], parts[1], int(parts[2]))
        if version is None:
            raise NotFound(f"there is no {reference}")
        return await maker.of(version, state=True, seen=seen)
