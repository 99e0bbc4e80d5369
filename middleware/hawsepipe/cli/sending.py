"""`send`: messages over MLLP, as a sending system would."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import click

from hawsepipe.cli.options import DEFAULT
from hawsepipe.config import Config, read
from hawsepipe.demo.sender import Sender
from hawsepipe.errors import ConfigError

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
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
@click.option("--ca", type=_FILE, help="Speak TLS, and trust receivers whose certificate this authority has issued.")
@click.option("--cert", type=_FILE, help="Our certificate, for a receiver that wants one (with --ca).")
@click.option("--key", type=_FILE, help="Its key, if that is not in the same file.")
@click.option("--server-name", help="The name in the receiver's certificate, if that is not the host.")
def send(
    files: tuple[Path, ...],
    target: str | None,
    name: str | None,
    config_path: Path | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    server_name: str | None,
) -> None:
    """Send messages over MLLP, one file each, and print the acknowledgements.

    Line feeds in the files become carriage returns, as HL7 v2 wants its segments ended. Exit status 1 unless every
    message is acknowledged with AA or CA.
    """
    context = _context(ca, cert, key, server_name)
    if target is None:
        path = config_path or (DEFAULT if DEFAULT.is_file() else None)
        target = _listener(read(path), name, tls=context is not None) if path is not None else _USUAL
        if path is not None:
            click.echo(f"to {target}, which {path} names", err=True)
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("it is host:port", param_hint="--to")
    bodies = [file.read_bytes().strip().replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r" for file in files]

    async def run() -> list[bytes]:
        async with Sender(host.strip("[]"), int(port), tls=context, name=server_name) as sender:
            return [await sender.exchange(body) for body in bodies]

    try:
        replies = asyncio.run(run())
    except (OSError, EOFError, TimeoutError) as error:
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else type(error).__name__
        click.echo(f"hawsepipe: no acknowledgement from {target} ({reason})", err=True)
        sys.exit(1)
    for reply in replies:
        click.echo(reply.decode("utf-8", "replace").replace("\r", "\n").rstrip())
    if not all(b"\rMSA|AA" in reply or b"\rMSA|CA" in reply for reply in replies):
        sys.exit(1)


def _context(ca: Path | None, cert: Path | None, key: Path | None, name: str | None) -> ssl.SSLContext | None:
    """Return what to speak TLS by, None without an authority. Raises UsageError and BadParameter."""
    if ca is None:
        if cert is not None or key is not None or name is not None:
            raise click.UsageError("--cert, --key and --server-name go with --ca")
        return None
    if key is not None and cert is None:
        raise click.UsageError("--key goes with --cert")
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise click.BadParameter("there is no certificate in it", param_hint="--ca") from error
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except ssl.SSLError as error:
            raise click.BadParameter("certificate and key do not fit each other", param_hint="--cert") from error
    return context


def _listener(config: Config, name: str | None, *, tls: bool) -> str:
    """Return host:port of the feed of a name, without one of the only MLLP feed. Raises ConfigError."""
    feeds = [feed for feed in config.feeds if feed.kind == "mllp" and name in (None, feed.name)]
    if not feeds:
        raise ConfigError(
            "feeds", f"there is no mllp feed {name}" if name else "there is no mllp feed: name one by --to"
        )
    if len(feeds) > 1:
        raise ConfigError("feeds", f"name one of them by --feed: {', '.join(feed.name for feed in feeds)}")
    (feed,) = feeds
    if ("tls" in feed.settings) is not tls:
        told = (
            "does not speak TLS: leave --ca away"
            if tls
            else "speaks TLS: name the authority of its certificate by --ca"
        )
        raise ConfigError(feed.key, f"this feed {told}")
    host, port = feed.settings.get("host", "127.0.0.1"), feed.settings.get("port", 2575)
    host = _ANY.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
