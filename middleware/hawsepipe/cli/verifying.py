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
def verify(file: Path, trust: Path, as_json: bool) -> None:
    """Verify an evidence file offline: that this version of a resource is what the ledger vouches for.

    Prints each numbered step. Exit status 0 when all hold, 1 with the finding's code when one does not.
    """
    arguments = [str(file), str(trust)] + (["--json"] if as_json else [])
    sys.exit(verifier.main(arguments))
