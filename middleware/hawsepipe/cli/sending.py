"""`send`: messages over MLLP, as a sending system would."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from hawsepipe.cli.options import DEFAULT
from hawsepipe.config import Config, read
from hawsepipe.demo.sender import Sender
from hawsepipe.errors import ConfigError

_USUAL = "127.0.0.1:2575"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing is bound: what is listened to everywhere is here too


@click.command()
@click.argument("files", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True)
@click.option("--to", "target", help="host:port of an MLLP listener; without it that of the configuration.")
@click.option("--feed", "name", help="The feed of the configuration to send to, when it has several of kind mllp.")
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help=f"The configuration. Without it ./{DEFAULT} counts if it is there, else {_USUAL} does.",
)
def send(files: tuple[Path, ...], target: str | None, name: str | None, config_path: Path | None) -> None:
    """Send messages over MLLP, one file each, and print the acknowledgements.

    Line feeds in the files become carriage returns, as HL7 v2 wants its segments ended. Exit status 1 unless every
    message is acknowledged with AA or CA.
    """
    if target is None:
        path = config_path or (DEFAULT if DEFAULT.is_file() else None)
        target = _listener(read(path), name) if path is not None else _USUAL
        if path is not None:
            click.echo(f"to {target}, which {path} names", err=True)
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("it is host:port", param_hint="--to")
    bodies = [file.read_bytes().strip().replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r" for file in files]

    async def run() -> list[bytes]:
        async with Sender(host.strip("[]"), int(port)) as sender:
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


def _listener(config: Config, name: str | None) -> str:
    """Return host:port of the feed of a name, without one of the only MLLP feed. Raises ConfigError."""
    feeds = [feed for feed in config.feeds if feed.kind == "mllp" and name in (None, feed.name)]
    if not feeds:
        raise ConfigError(
            "feeds", f"there is no mllp feed {name}" if name else "there is no mllp feed: name one by --to"
        )
    if len(feeds) > 1:
        raise ConfigError("feeds", f"name one of them by --feed: {', '.join(feed.name for feed in feeds)}")
    (feed,) = feeds
    if "tls" in feed.settings:
        raise ConfigError(feed.key, "this feed speaks TLS, which `send` does not")
    host, port = feed.settings.get("host", "127.0.0.1"), feed.settings.get("port", 2575)
    host = _ANY.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
