"""`translate`, `send`, `verify`: work on one file, without a running service of ours."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import click

from hawsepipe import service
from hawsepipe.clock import system_clock
from hawsepipe.config import Config, read
from hawsepipe.demo.sender import Sender
from hawsepipe.errors import MessageError
from hawsepipe.fhir import bundle, codec
from hawsepipe.ledger import verify as verifier
from hawsepipe.model import RawMessage, Severity, Translation


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
        translation = asyncio.run(service.translated(message, name, config))
    except MessageError as error:
        click.echo(f"error {error.cause} {error.location or '-'}: {error.reason}", err=True)
        sys.exit(1)
    if explain:
        _explain(translation)
    else:
        click.echo(codec.encode(bundle.transaction(translation.changes), pretty=True).decode("utf-8"))
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


@click.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True)
@click.option("--to", "target", default="127.0.0.1:2575", show_default=True, help="host:port of an MLLP listener.")
def send(files: tuple[Path, ...], target: str) -> None:
    """Send messages over MLLP, one file each, and print the acknowledgements.

    Line feeds in the files become carriage returns, as HL7 v2 wants its segments ended. Exit status 1 unless every
    message is acknowledged with AA or CA.
    """
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("it is host:port", param_hint="--to")
    bodies = [file.read_bytes().strip().replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r" for file in files]

    async def run() -> list[bytes]:
        async with Sender(host, int(port)) as sender:
            return [await sender.exchange(body) for body in bodies]

    try:
        replies = asyncio.run(run())
    except (OSError, EOFError, TimeoutError) as error:
        click.echo(f"hawsepipe: no acknowledgement from {target} ({type(error).__name__})", err=True)
        sys.exit(1)
    for reply in replies:
        click.echo(reply.decode("utf-8", "replace").replace("\r", "\n").rstrip())
    if not all(b"\rMSA|AA" in reply or b"\rMSA|CA" in reply for reply in replies):
        sys.exit(1)


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
