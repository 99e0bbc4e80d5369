"""`send`: messages over MLLP, as a sending system would."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from hawsepipe.demo.sender import Sender


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
