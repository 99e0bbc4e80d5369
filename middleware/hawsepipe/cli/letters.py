"""`dead-letters`: messages that could not be applied, in the running service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import click

from hawsepipe.cli.options import config_option
from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.errors import ConfigError, NotFound
from hawsepipe.service.credentials import operator_token


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show, replay or discard messages that could not be applied.

    The commands ask the running service that the configuration describes, with the issuer key of its data directory.
    """


@dead_letters.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_letters(config_path: Path, as_json: bool) -> None:
    """List dead letters, oldest first: number, cause, v2 location, reason. No patient data."""
    letters: list[dict[str, Any]] = []
    while True:
        page = _call(config_path, "GET", f"?after={letters[-1]['sequence'] if letters else 0}")
        if not page:
            break
        letters += page
    if as_json:
        click.echo(json.dumps(letters, indent=2))
        return
    for letter in letters:
        click.echo(
            f"{letter['sequence']:>8}  {letter['feed']}  {letter['received'][:19]}  {letter['cause']}"
            f"  {letter['location'] or '-'}  {letter['text']}"
        )
    click.echo(f"{len(letters)} dead letter(s)")


@dead_letters.command("show")
@config_option
@click.argument("number", type=int)
def show(config_path: Path, number: int) -> None:
    """Print one dead letter with its content (patient data!) as JSON."""
    click.echo(json.dumps(_call(config_path, "GET", f"/{number}"), indent=2, ensure_ascii=False))


@dead_letters.command("replay")
@config_option
@click.argument("number", type=int)
def replay(config_path: Path, number: int) -> None:
    """Apply a dead letter again; it takes effect once, linked to the original."""
    entry = _call(config_path, "POST", f"/{number}/replay")
    click.echo(f"dead letter {number} is journalled again as {entry['sequence']}")


@dead_letters.command("discard")
@config_option
@click.argument("number", type=int)
def discard(config_path: Path, number: int) -> None:
    """Take a dead letter off the list. Its bytes stay in the journal."""
    _call(config_path, "POST", f"/{number}/discard")
    click.echo(f"dead letter {number} is discarded")


def _call(config_path: Path, method: str, path: str) -> Any:
    config = read(config_path)
    token = operator_token(config, system_clock())
    origin = f"http://{config.host}:{config.port}"

    async def ask() -> Any:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.request(method, f"{origin}/ops/dead-letters{path}") as response,
        ):
            answer = await response.json()
            if response.status == 404:
                raise NotFound(answer["error"])
            if response.status != 200:
                raise ConfigError("auth", f"the service answers {response.status}: {answer.get('error', '')}")
            return answer

    try:
        return asyncio.run(ask())
    except aiohttp.ClientConnectionError as error:
        raise ConfigError("api", f"no service answers at {origin}; start it with `hawsepipe serve`") from error
