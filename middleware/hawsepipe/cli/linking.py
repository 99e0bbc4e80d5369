"""`migrate link`, `review` and `decide`: who is who between the sources of loads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from hawsepipe.cli.desks import Desk, desk
from hawsepipe.cli.options import config_option
from hawsepipe.ops import logs


@click.command("link")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def link(config_path: Path, as_json: bool) -> None:
    """Compare all patients; link the records that are one person for certain, list those that may be.

    Each record stays as it is and gets a link (seealso) to the others. Needs the extra `linkage`.
    """
    _print(_asked(config_path, lambda at: at.link()), as_json)


@click.command("review")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def review(config_path: Path, as_json: bool) -> None:
    """List the pairs that may be one person, the most probable first: ids and what agrees, no patient data."""
    found = _asked(config_path, lambda at: at.review())
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for pair in found:
        click.echo(f"{pair['score']:.4f}  Patient/{pair['one']}  Patient/{pair['other']}  {', '.join(pair['reasons'])}")
    click.echo(f"{len(found)} pair(s) wait for a decision")


@click.command("decide")
@config_option
@click.argument("one")
@click.argument("other")
@click.option("--same", "said", flag_value="same", help="They are one person.")
@click.option("--apart", "said", flag_value="apart", help="They are two.")
@click.option("--undo", "said", flag_value="undo", help="Take the decision back.")
def decide(config_path: Path, one: str, other: str, said: str | None) -> None:
    """Say whether two records (ids of Patient) are one person. The links follow; what was decided before is kept."""
    if said is None:
        raise click.UsageError("say --same, --apart or --undo")
    same = {"same": True, "apart": False, "undo": None}[said]
    first, second = (text.removeprefix("Patient/") for text in (one, other))
    _print(_asked(config_path, lambda at: at.decide(first, second, same)), False)


def _asked(config_path: Path, work: Callable[[Desk], Awaitable[Any]]) -> Any:
    logs.configure("warning", "text")

    async def run() -> Any:
        async with desk(config_path) as at:
            return await work(at)

    return asyncio.run(run())


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found["contradictions"]:
        people = ", ".join(f"Patient/{id_}" for id_ in one["patients"])
        click.echo(f"one person, contradictory {', '.join(one['elements'])}: {people}")
    click.echo(
        f"{found['people']} records: {found['joined']} in {found['groups']} groups, {found['review']} to review,"
        f" {found['refused']} left apart; {found['changed']} records changed"
    )
