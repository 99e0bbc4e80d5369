"""`dead-letters`: messages that could not be applied, in the running service."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hawsepipe.cli.calling import call, pages
from hawsepipe.cli.options import config_option


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show, replay or discard messages that could not be applied.

    The commands ask the running service that the configuration describes, with the issuer key of its data directory.
    """


@dead_letters.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_letters(config_path: Path, as_json: bool) -> None:
    """List dead letters, oldest first: number, cause, v2 location, reason. No patient data."""
    letters = list(pages(config_path, "dead-letters", "sequence"))
    if as_json:
        click.echo(json.dumps(letters, indent=2))
        return
    for letter in letters:
        click.echo(
            f"{letter['sequence']:>8}  {letter['feed']}  {letter['received'][:19]}  {letter['cause']}"
            f"  {letter['location'] or '-'}  {letter['text']}"
        )
    click.echo(f"{len(letters)} dead letter(s)")


@dead_letters.command("show")
@config_option
@click.argument("number", type=int)
def show(config_path: Path, number: int) -> None:
    """Print one dead letter with its content (patient data!) as JSON."""
    click.echo(json.dumps(call(config_path, "GET", f"dead-letters/{number}"), indent=2, ensure_ascii=False))


@dead_letters.command("replay")
@config_option
@click.argument("number", type=int)
def replay(config_path: Path, number: int) -> None:
    """Apply a dead letter again; it takes effect once, linked to the original."""
    entry = call(config_path, "POST", f"dead-letters/{number}/replay")
    click.echo(f"dead letter {number} is journalled again as {entry['sequence']}")


@dead_letters.command("discard")
@config_option
@click.argument("number", type=int)
def discard(config_path: Path, number: int) -> None:
    """Take a dead letter off the list. Its bytes stay in the journal."""
    call(config_path, "POST", f"dead-letters/{number}/discard")
    click.echo(f"dead letter {number} is discarded")
