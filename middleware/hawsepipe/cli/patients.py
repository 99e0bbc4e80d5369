"""`patients`: decisions about who is who, in the running service."""

from __future__ import annotations

from pathlib import Path

import click

from hawsepipe.cli.calling import call
from hawsepipe.cli.options import config_option


@click.group("patients")
def patients() -> None:
    """Join two records of one person, or take a wrong merge back.

    The commands ask the running service that the configuration describes. Ids are those of Patient resources; a dead
    letter of cause `identity` names them. Nothing is rewritten: both are new versions with a Provenance.
    """


@patients.command("merge")
@config_option
@click.argument("other")
@click.option("--into", required=True, help="The record that stays.")
def merge(config_path: Path, other: str, into: str) -> None:
    """Let one record take the place of OTHER, whose numbers it gets."""
    done = call(config_path, "POST", f"patients/{_id(other)}/merge", {"into": _id(into)})
    click.echo(f"{done['merged']} gave way to {done['survivor']}")


@patients.command("unmerge")
@config_option
@click.argument("other")
def unmerge(config_path: Path, other: str) -> None:
    """Take a merge back: OTHER becomes what it was before it gave way.

    Messages that came under its number since were applied to the other record. They are listed: look at each.
    """
    done = call(config_path, "POST", f"patients/{_id(other)}/unmerge")
    click.echo(f"{done['restored']} stands for itself again, beside {done['survivor']}")
    for place in done["to_check"]:
        click.echo(f"to check: {place}")
    for number in done["messages"]:
        click.echo(f"to check: message {number} (`hawsepipe messages show {number}`)")


def _id(text: str) -> str:
    return text.removeprefix("Patient/")
