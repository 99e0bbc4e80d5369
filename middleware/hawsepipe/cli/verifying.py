"""`verify`: an evidence file, offline."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hawsepipe.ledger import verify as verifier


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--trust",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The trust file: whose signatures count. Get it from the organisation, not with the evidence.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--latest", is_flag=True, help="It must be the latest version of its resource.")
@click.option("--seen", metavar="SIZE:ROOT", help="The log as you have seen it before, which it must continue.")
@click.option("--type", "type_", help="The resource type that it must be of.")
@click.option("--id", "id_", help="The id that it must be of.")
def verify(
    file: Path, trust: Path, as_json: bool, latest: bool, seen: str | None, type_: str | None, id_: str | None
) -> None:
    """Verify an evidence file offline: that this version of a resource is what the ledger vouches for, or that there
    never was such a resource.

    Prints each numbered step. Exit status 0 when all hold, 1 with the finding's code when one does not.
    """
    flags = [name for name, given in (("--json", as_json), ("--latest", latest)) if given]
    wishes = [
        (name, value) for name, value in (("--seen", seen), ("--type", type_), ("--id", id_)) if value is not None
    ]
    sys.exit(verifier.main([str(file), str(trust), *flags, *(part for wish in wishes for part in wish)]))
