"""What the parties to a contract do by hand: make a key, make the contract, sign what another party proposed.

python -m hawsepipe_ledger_evm --help
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any

import click
import jsonschema

from hawsepipe import ConfigError, HawsepipeError, VerificationError, verify_log_signature
from hawsepipe_ledger_evm.chain import deploy as put_on_the_chain
from hawsepipe_ledger_evm.plugin import SCHEMA, account, address_of, holder, opened, public_key


@click.group(help=__doc__)
def commands() -> None:
    """The group."""


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
def key(file: Path) -> None:
    """Make an anchor's private key in FILE and print its public key and address."""
    secret = secrets.token_bytes(32)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as output:
        output.write(f"{secret.hex()}\n")
    made = holder(secret)
    click.echo(f"public key  {public_key(made)}\naddress     {made.address}")


@commands.command()
@click.option("--url", required=True, help="A node's JSON-RPC over HTTP.")
@click.option("--key", "file", required=True, type=click.Path(path_type=Path), help="The key that pays.")
@click.option("--anchor", "anchors", required=True, multiple=True, help="An anchor's public key; again for each.")
@click.option("--threshold", type=click.IntRange(1, 32), default=1, show_default=True, help="How many must sign.")
@click.option("--gas-price", type=click.IntRange(0), default=None, help="In wei; what the node suggests by default.")
def deploy(url: str, file: Path, anchors: tuple[str, ...], threshold: int, gas_price: int | None) -> None:
    """Put a new contract on a chain and print the settings of a ledger on it."""
    try:
        if threshold > len(set(anchors)):
            raise ConfigError("--threshold", "there are fewer anchors")
        payer = account("--key", file)
        addresses = [address_of("--anchor", anchor) for anchor in anchors]
        making = put_on_the_chain(url, payer, addresses, threshold, gas_price=gas_price, patience=120)
        chain, contract = asyncio.run(making)
    except HawsepipeError as error:
        raise click.ClickException(str(error)) from error
    settings = {"url": url, "chain_id": chain, "contract": contract, "anchors": list(anchors), "threshold": threshold}
    click.echo(json.dumps(settings, indent=2))


@commands.command()
@click.option("--config", "file", required=True, type=click.Path(path_type=Path), help="The ledger's settings as JSON.")
@click.option("--channel", required=True, help="The channel whose log this is.")
@click.option("--vkey", required=True, help="The log's public key as its trust file has it (a C2SP vkey).")
def sign(file: Path, channel: str, vkey: str) -> None:
    """Sign the checkpoint that waits in a channel, if the log's own key signed it."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        jsonschema.validate(settings, SCHEMA)
        told = asyncio.run(_signed(settings, file.parent, channel, vkey))
    except (OSError, json.JSONDecodeError) as error:
        raise click.ClickException(f"{file}: it cannot be read as JSON") from error
    except jsonschema.ValidationError as error:
        raise click.ClickException(f"{file}: {error.json_path}: {error.message}") from error
    except HawsepipeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(told)


async def _signed(settings: dict[str, Any], base: Path, channel: str, vkey: str) -> str:
    async with opened("anchor", settings, base) as ledger:
        waiting = await ledger.proposed(channel)
        if waiting is None:
            return "nothing waits"
        try:
            verify_log_signature(waiting, vkey)
        except VerificationError as error:
            raise ConfigError("--vkey", f"not signed: {error}") from error
        status = await ledger.status(await ledger.publish(waiting, await ledger.head(channel)))
        return f"signed size {waiting.size}: {status.value}"


if __name__ == "__main__":
    commands(prog_name="python -m hawsepipe_ledger_evm")
