"""`accesses`: who asked for what, and what was decided."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hawsepipe.cli.calling import pages
from hawsepipe.cli.options import config_option


@click.command()
@config_option
@click.option("--patient", help="Only accesses to this patient (an id).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an entry a line.")
def accesses(config_path: Path, patient: str | None, as_json: bool) -> None:
    """Print the access record of the running service, oldest first.

    Each line: number, time, who, purpose, interaction, target, permit or deny with reasons, and the consents that
    decided.
    """
    for entry in pages(config_path, "accesses", "number"):
        if patient is not None and patient not in entry["patients"]:
            continue
        if as_json:
            click.echo(json.dumps(entry))
            continue
        verdict = "permit" if entry["permit"] else "deny"
        click.echo(
            f"{entry['number']:>8}  {entry['instant'][:19]}  {entry['subject']}  {entry['purpose'] or '-'}"
            f"  {entry['interaction']}  {entry['query'] or entry['target']}  {verdict} ({', '.join(entry['reasons'])})"
            f"  {' '.join(entry['consents'])}".rstrip()
        )
