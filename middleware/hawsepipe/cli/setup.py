"""`init`, `config check`, `plugins`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hawsepipe import plugins as loader
from hawsepipe.cli.calling import call
from hawsepipe.cli.options import config_option
from hawsepipe.config import TEMPLATE, read
from hawsepipe.errors import ConfigError, PluginError
from hawsepipe.service import kinds
from hawsepipe.service.credentials import make_keys


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--channel", help="The name of the log, such as hospital.example/hawsepipe.")
def init(directory: Path, channel: str | None) -> None:
    """Write a commented hawsepipe.toml and make the keys.

    Nothing that exists is overwritten. The keys go to the data directory, readable by you alone: the log key signs
    checkpoints, the issuer key signs access tokens. The first start adds trust.json, which is what an auditor needs.
    """
    path = directory / "hawsepipe.toml"
    if path.exists():
        raise ConfigError("file", f"{path} exists already; nothing was changed")
    directory.mkdir(parents=True, exist_ok=True)
    text = TEMPLATE.read_text(encoding="utf-8")
    if channel is not None:
        text = text.replace('channel = "localhost/hawsepipe"', f'channel = "{channel}"')
    path.write_text(text, encoding="utf-8")
    try:
        configuration = read(path)
    except ConfigError:
        path.unlink()
        raise
    make_keys(configuration)
    click.echo(f"wrote {path}\nmade the keys in {configuration.data / 'keys'}\n")
    click.echo(f"next: hawsepipe serve --config {path}")


@click.group()
def config() -> None:
    """Look at the configuration, and change that of the running service."""


@config.command("check")
@config_option
def check(config_path: Path) -> None:
    """Say everything that is wrong with the configuration, by key. Exit status 1 if anything is.

    The plugins that it names are loaded and their settings checked. No port is bound and no data touched. What is
    allowed and probably not meant is a warning, which leaves the exit status 0.
    """
    found = kinds.check(config_path)
    for problem in found:
        click.echo(f"{problem.key}: {problem.reason}", err=True)
    if found:
        sys.exit(1)
    for told in kinds.advice(config_path):
        click.echo(f"warning: {told.key}: {told.reason}", err=True)
    click.echo(f"{config_path} is good")


_AUTHOR = click.option("--author", help="Who changes it (Practitioner/7); without it, this command line.")


@config.command("apply")
@config_option
@_AUTHOR
def apply(config_path: Path, author: str | None) -> None:
    """Let the edited settings of feeds hold now. Feeds that did not change go on; so do their connections.

    A fault in the file changes nothing. Anything but the settings of feeds takes a restart, and is refused.
    """
    _applied(call(config_path, "POST", "config/apply", author=author))


@config.command("versions")
@config_option
def versions(config_path: Path) -> None:
    """List the configurations that the service has run with: number, since when, by whom."""
    for entry in call(config_path, "GET", "config"):
        click.echo(f"{entry['number']:>6}  {entry['since'][:19]}  {entry['author']}")


@config.command("diff")
@config_option
@click.argument("older", type=int)
@click.argument("newer", type=int, required=False)
def diff(config_path: Path, older: int, newer: int | None) -> None:
    """Print what differs between two versions, or between a version and the file. Exit status 1 if anything does."""
    query = None if newer is None else {"with": str(newer)}
    difference = call(config_path, "GET", f"config/{older}/difference", query)["difference"]
    click.echo(difference, nl=False)
    if difference:
        sys.exit(1)


@config.command("rollback")
@config_option
@click.argument("number", type=int)
@_AUTHOR
def rollback(config_path: Path, number: int, author: str | None) -> None:
    """Write a version to the file and let it hold now, as a version of its own."""
    _applied(call(config_path, "POST", f"config/{number}/rollback", author=author))


def _applied(result: Mapping[str, Any]) -> None:
    feeds = ", ".join(result["restarted"]) or "nothing"
    click.echo(f"version {result['version']}; started anew: {feeds}")


@click.command()
def plugins() -> None:
    """List installed plugins and the kinds that each offers.

    A plugin is installed as a package with an entry point in the group `hawsepipe`; it has no effect until the
    configuration names it under [plugins] load.
    """
    broken = False
    for point in loader.installed():
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "?"
        click.echo(f"{point.name}  ({source})")
        try:
            loaded = loader.load([point.name])
        except PluginError as error:
            click.echo(f"    broken: {error}")
            broken = True
            continue
        for label in sorted(loaded.providers):
            family, _, kind = label.partition(":")
            click.echo(f"    {family.replace('_', ' ')} {kind}")
    if broken:
        sys.exit(1)
