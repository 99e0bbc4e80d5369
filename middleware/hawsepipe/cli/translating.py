"""`translate`: what a message becomes, without a service."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import click
import msgspec

from hawsepipe.clock import system_clock
from hawsepipe.config import Config, read
from hawsepipe.errors import MessageError
from hawsepipe.fhir import bundle, codec
from hawsepipe.model import RawMessage, Severity, Translation
from hawsepipe.service.kinds import translated


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Take the translator and its settings from this configuration; without it the defaults hold.",
)
@click.option("--translator", "name", default="hl7v2", show_default=True, help="The translator's name.")
@click.option("--explain", is_flag=True, help="Say which v2 field wrote which element instead of printing the bundle.")
def translate(file: Path, config_path: Path | None, name: str, explain: bool) -> None:
    """Translate one message and print the FHIR transaction Bundle. FILE may be - for standard input.

    Findings go to standard error, each with its place in the message. Exit status 1 if one is an error.
    """
    body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    config: Config | None = read(config_path) if config_path else None
    message = RawMessage("file", system_clock(), "application/hl7-v2", body)
    try:
        translation = asyncio.run(translated(message, name, config, system_clock))
    except MessageError as error:
        click.echo(f"error {error.cause} {error.location or '-'}: {error.reason}", err=True)
        sys.exit(1)
    if explain:
        _explain(translation)
    else:
        encoded = codec.encode(bundle.transaction(translation.changes))
        click.echo(msgspec.json.format(encoded, indent=2).decode("utf-8"))
    for issue in translation.issues:
        click.echo(f"{issue.severity.value} {issue.cause} {issue.location or '-'}: {issue.text}", err=True)
    kinds = Counter(change.type for change in translation.changes)
    summary = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    click.echo(f"{translation.label}: {summary or 'no resources'}", err=True)
    if any(issue.severity in (Severity.ERROR, Severity.FATAL) for issue in translation.issues):
        sys.exit(1)


def _explain(translation: Translation) -> None:
    for change in translation.changes:
        reference = f"{change.type}/{change.id}"
        click.echo(f"{change.method.value} {reference}")
        for entry in translation.trail:
            if entry.resource == reference:
                click.echo(f"    {entry.path:<44} {entry.source}")
