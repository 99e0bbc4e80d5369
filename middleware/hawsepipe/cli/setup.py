"""`init`, `config check`, `plugins`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hawsepipe import plugins as loader
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
    """Look at the configuration."""


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
