"""`deliveries`: messages that a destination would not have, in the running service."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hawsepipe.cli.calling import call, pages
from hawsepipe.cli.entries import legible
from hawsepipe.cli.options import config_option

PATH = "deliveries"


@click.group(PATH)
def deliveries() -> None:
    """List, show, send again or discard messages that a destination would not have.

    The commands ask the running service that the configuration describes.
    """


@deliveries.command("list")
@config_option
@click.option("--destination", help="Those for this destination.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(config_path: Path, destination: str | None, as_json: bool) -> None:
    """List what was set aside, oldest first: number, destination, message, since when, why. No patient data."""
    query = {} if destination is None else {"destination": destination}
    found = [*pages(config_path, PATH, "number", query)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for entry in found:
        click.echo(
            f"{entry['number']:>8}  {entry['destination']}  message {entry['sequence']} {entry['label']}"
            f"  {entry['since'][:19]}  {entry['text']}"
        )
    click.echo(f"{len(found)} set aside")


@deliveries.command()
@config_option
@click.argument("number", type=int)
def show(config_path: Path, number: int) -> None:
    """Print one with the message (patient data!) as JSON."""
    click.echo(json.dumps(legible(call(config_path, "GET", f"{PATH}/{number}")), indent=2, ensure_ascii=False))


@deliveries.command()
@config_option
@click.argument("numbers", type=int, nargs=-1, required=True)
def again(config_path: Path, numbers: tuple[int, ...]) -> None:
    """Send messages that were set aside again, each in its old place before what waits."""
    for number in numbers:
        call(config_path, "POST", f"{PATH}/{number}/again")
        click.echo(f"delivery {number} waits again")


@deliveries.command()
@config_option
@click.argument("number", type=int)
@click.option("--reason", default="", help="Why, for the access record: a line without patient data.")
def discard(config_path: Path, number: int, reason: str) -> None:
    """Take a message off the queue: the destination never gets it. The message itself stays in the journal."""
    call(config_path, "POST", f"{PATH}/{number}/discard", {"reason": reason})
    click.echo(f"delivery {number} is discarded")
