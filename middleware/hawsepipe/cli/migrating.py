"""`migrate`: history from files and archives, in the running service or with the store to itself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from hawsepipe.cli import linking
from hawsepipe.cli.courses import Course
from hawsepipe.cli.desks import Desk, desk
from hawsepipe.cli.options import config_option
from hawsepipe.config import read
from hawsepipe.migrate.loads import VERSIONS, Request, name_of
from hawsepipe.migrate.page import page
from hawsepipe.migrate.planning import CHUNK
from hawsepipe.migrate.sources import source
from hawsepipe.ops import logs
from hawsepipe.service.copies import copied

_ENDED: Final = frozenset({"done", "failed", "stopped", "verified", "withdrawn"})
_LOOK: Final = 0.2


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Group(click.Group):
    """What is no command is a source: `hawsepipe migrate archive/` is `hawsepipe migrate load archive/`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["load", *args]
        return super().parse_args(ctx, args)


@click.group("migrate", cls=_Group)
def migrate() -> None:
    """Load history: `hawsepipe migrate SOURCE...`, with fresh instants, the original times kept, and a report.

    While the service runs it does the work (below the folders of `migration.folders`); else this command has the store
    to itself. Broken off anywhere, the same command or `migrate resume` goes on; done twice, nothing is written twice.
    """


for _command in (linking.link, linking.review, linking.decide):
    migrate.add_command(_command)


@migrate.command("load")
@config_option
@click.argument("sources", nargs=-1, required=True)
@click.option("--load-id", "load", help="The name of the load; the same sources have the same by default.")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="Processes that translate.")
@click.option("--rate", help="Records a second at most, live messages included (200 or 200/s).")
@click.option("--fhir-version", type=click.Choice(VERSIONS), help="Of FHIR records that do not tell theirs.")
@click.option("--chunk", type=click.IntRange(1, 10_000), default=CHUNK, show_default=True, help="Records of a commit.")
@click.option("--dry-run", is_flag=True, help="Write nothing; report what would become of each record.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="JSON; a page goes beside it (.html).")
@click.option("--server", type=_FILE, help="TOML with the settings of servers, as of a fhir-poll feed.")
def load(
    config_path: Path,
    sources: tuple[str, ...],
    load: str | None,
    workers: int,
    rate: str | None,
    fhir_version: str | None,
    chunk: int,
    dry_run: bool,
    report: Path | None,
    server: Path | None,
) -> None:
    """Load SOURCE...: directories, files and archives of NDJSON, Bundles, resources and HL7 v2, and FHIR servers.

    A server (NAME=https://old.example/fhir) is copied first, as `migrate copy` does. NAME=PATH names a source; its name
    is part of the ids that are made, by default that of the file or directory.
    """
    found = [source(text) for text in _copied(config_path, sources, server)]
    request = Request.of(
        {
            "load": load or name_of(found),
            "sources": [[it.name, str(it.path)] for it in found],
            "version": fhir_version,
            "workers": workers,
            "rate": _rate(rate),
            "chunk": chunk,
            "dry": dry_run,
        }
    )
    _finish(_followed(config_path, request.load, lambda at: at.begin(request)), report)


@migrate.command("copy")
@config_option
@click.argument("server_and_name")
@click.option("--server", type=_FILE, help="TOML with the settings of the server, as of a fhir-poll feed.")
def copy(config_path: Path, server_and_name: str, server: Path | None) -> None:
    """Copy the FHIR server NAME=URL into files below the data directory, to be loaded when they are complete.

    Everything once, then what has changed meanwhile, again and again until nothing has. Broken off, it goes on.
    """
    (told,) = _copied(config_path, (server_and_name,), server)
    click.echo(told)


@migrate.command("resume")
@config_option
@click.argument("load")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="JSON; a page goes beside it (.html).")
def resume(config_path: Path, load: str, report: Path | None) -> None:
    """Go on with LOAD where it was broken off."""
    _finish(_followed(config_path, load, lambda at: at.resume(load)), report)


@migrate.command("status")
@config_option
@click.argument("load", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(config_path: Path, load: str | None, as_json: bool) -> None:
    """Print how LOAD stands, or every load."""

    async def ask() -> list[dict[str, Any]]:
        async with desk(config_path) as at:
            return [await at.status(name) for name in ([load] if load is not None else await at.list())]

    found = _run(ask)
    if as_json:
        click.echo(json.dumps(found[0] if load is not None else found, indent=2))
        return
    for state in found:
        click.echo(
            f"{state['load']}  {state['phase']}  {state['done']}/{state['records']}"
            f"  loaded {state['loaded']}  duplicate {state['duplicate']}  dead {state['dead']}"
            + (f"  {state['error']}" if state["error"] else "")
        )


@migrate.command("verify")
@config_option
@click.argument("load")
@click.option(
    "--samples", type=click.IntRange(0, 10_000_000), default=1000, show_default=True, help="Records compared."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the choice of records.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="JSON; a page goes beside it (.html).")
def verify(config_path: Path, load: str, samples: int, seed: int, report: Path | None) -> None:
    """Read the sources of LOAD anew and compare them with the record. Exit status 1 unless all is as it should be."""

    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        async with desk(config_path) as at:
            before = await at.status(load)
            await at.verify(load, samples, seed)
            return before, await _until(at, load)

    before, state = _run(work)
    _failed(state)
    found = state["result"]
    for finding in found["findings"]:
        click.echo(finding)
    chosen = found["samples"]
    click.echo(
        f"load {load}: {'verified' if found['verified'] else 'NOT verified'}, {found['finding_count']} finding(s);"
        f" {chosen['compared']} of {chosen['chosen']} records compared leaf by leaf, {chosen['present']} present after"
        f" conversion, {chosen['dead']} dead; seed {seed}"
    )
    if report is not None:
        _write(report, {"load": before["result"], "verification": found}, page(before["result"], found))
    sys.exit(0 if found["verified"] else 1)


@migrate.command("withdraw")
@config_option
@click.argument("load")
def withdraw(config_path: Path, load: str) -> None:
    """Take LOAD back by new versions: what it made is deleted, what it changed becomes what it was before.

    What somebody else has changed since stays, and is listed. Nothing that was anchored is rewritten.
    """
    state = _followed(config_path, load, lambda at: at.withdraw(load))
    found = state["result"]
    for place in found["kept"]:
        click.echo(f"changed since, left as it is: {place}")
    deleted, restored = sum(found["deleted"].values()), sum(found["restored"].values())
    click.echo(f"load {load} withdrawn: {deleted} deleted, {restored} restored, {len(found['kept'])} left")
    sys.exit(1 if found["kept"] else 0)


def _copied(config_path: Path, sources: Sequence[str], server: Path | None) -> list[str]:
    """Copy the servers among some sources; return the sources with the folders in their places."""
    found: list[str] = []
    for text in sources:
        name, _, url = text.partition("=")
        if not url.startswith(("http://", "https://")):
            if text.startswith(("http://", "https://")):
                raise click.UsageError("a server needs a name, which is part of the ids: NAME=URL")
            found.append(text)
            continue
        folder, window = asyncio.run(copied(read(config_path), name, url, server, _counted))
        passes = window["passes"]
        click.echo(f"{name}: copied from {window['begun']} to {window['ended']} in {len(passes)} passes", err=True)
        for type_, count in window["missing"].items():
            click.echo(f"{name}: the server tells of {count} more {type_} than it shows", err=True)
        found.append(f"{name}={folder}")
    return found


def _counted(records: int) -> None:
    if records % 1000 < 200:
        click.echo(f"copying: {records} records", err=True)


def _rate(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text.removesuffix("/s"))
    except ValueError as error:
        raise click.BadParameter("write it as 200 or 200/s", param_hint="--rate") from error


def _run(work: Callable[[], Awaitable[Any]]) -> Any:
    logs.configure("warning", "text")

    async def run() -> Any:
        return await work()

    return asyncio.run(run())


def _followed(config_path: Path, load: str, begin: Callable[[Desk], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Carry something out and show how it goes; return the last state. Exits with status 2 when it failed."""

    async def work() -> dict[str, Any]:
        async with desk(config_path) as at:
            await begin(at)
            return await _until(at, load)

    state: dict[str, Any] = _run(work)
    _failed(state)
    return state


async def _until(at: Desk, load: str) -> dict[str, Any]:
    with Course() as course:
        while True:
            state = await at.status(load)
            course.show(state)
            if state["phase"] in _ENDED:
                return state
            await asyncio.sleep(_LOOK)


def _failed(state: dict[str, Any]) -> None:
    if state["phase"] in ("failed", "stopped"):
        click.echo(f"hawsepipe: load {state['load']}: {state['error'] or 'broken off'}", err=True)
        sys.exit(2)


def _finish(state: dict[str, Any], report: Path | None) -> None:
    found = state["result"]
    balanced = all(row["balanced"] for row in found["types"])
    word = "would be " if found["dry"] else ""
    click.echo(
        f"load {state['load']}: {found['records']} records, {found['loaded']} {word}loaded,"
        f" {found['duplicate']} duplicate, {found['dead']} dead; {state['versions']} versions"
    )
    for cause, count in sorted(found["causes"].items()):
        click.echo(f"  dead, {cause}: {count}")
    for name, window in found["windows"].items():
        click.echo(f"  {name}: as the server was between {window['begun']} and {window['ended']}")
    if found["unread"]:
        click.echo(f"  files not read: {len(found['unread'])} (see the report)")
    if found["dead"]:
        click.echo(f"  error file: {found['errors']}")
    if report is not None:
        _write(report, found, page(found))
    sys.exit(0 if balanced and not found["dead"] else 1)


def _write(path: Path, told: Any, text: str) -> None:
    beside = path.with_suffix(".html")
    plain = path if path.suffix != ".html" else path.with_suffix(".json")
    plain.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.write_text(text, encoding="utf-8")
    click.echo(f"  report: {plain}, {beside}")
