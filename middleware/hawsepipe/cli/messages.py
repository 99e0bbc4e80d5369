"""`messages`: what is in the journal of the running service, and what other mapping rules would make of it."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from hawsepipe.cli.calling import call
from hawsepipe.cli.entries import content, legible, outside
from hawsepipe.cli.options import config_option
from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.errors import MessageError
from hawsepipe.fhir import codec
from hawsepipe.hooks import Translator
from hawsepipe.model import RawMessage
from hawsepipe.service import kinds

_PAGE = 200
Leaves = Mapping[str, str]


@click.group()
def messages() -> None:
    """Find and show messages in the journal, whatever became of them, and try other mapping rules on them."""


def _pages(config_path: Path, path: str, query: Mapping[str, str], last: int) -> Iterator[dict[str, Any]]:
    """Yield entries, newest first, `last` of them at most."""
    before: dict[str, str] = {}
    while last > 0:
        page = call(config_path, "GET", path, {**query, **before, "limit": str(min(last, _PAGE))})
        if not page:
            return
        yield from page
        last -= len(page)
        before = {"before": str(page[-1]["sequence"])}


@messages.command("list")
@config_option
@click.option("--feed", help="Messages of this feed.")
@click.option("--state", help="received, held, applied, dead or discarded.")
@click.option("--control", help="Messages with this control id (HL7 v2: MSH-10).")
@click.option("--identifier", help="Messages about the patient with this number (MRN1, or system|MRN1).")
@click.option("--text", help="Messages whose reason of refusal has this in it.")
@click.option("--since", help="Received at or after this time (2026-03-01T08:30:00+00:00).")
@click.option("--until", help="Received before this time.")
@click.option("--last", default=100, show_default=True, help="How many at most, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(config_path: Path, last: int, as_json: bool, **chosen: str | None) -> None:
    """List messages without their content."""
    query = {name: value for name, value in chosen.items() if value is not None}
    found = list(_pages(config_path, "messages", query, last))
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for entry in found:
        reason = f"  {entry['cause']} {entry['location'] or '-'}: {entry['text']}" if entry["cause"] else ""
        click.echo(
            f"{entry['sequence']:>8} {entry['feed']} {entry['received']} {_standing(entry)} {entry['label']}{reason}"
            f"{outside(entry)}"
        )


def _standing(entry: Mapping[str, Any]) -> str:
    """Return a message's state for people, with what an operator decided."""
    if entry["replayed_as"] is not None:
        return f"{entry['decision']} as {entry['replayed_as']}"
    again = f" (again, of {entry['replay_of']})" if entry["replay_of"] is not None else ""
    return f"{entry['decision'] or entry['state']}{again}"


@messages.command()
@config_option
@click.argument("number", type=int)
@click.option("--raw", is_flag=True, help="Print the message alone, byte for byte.")
def show(config_path: Path, number: int, raw: bool) -> None:
    """Show a message with its content and the answer that its sender got: patient data."""
    message = call(config_path, "GET", f"messages/{number}")
    if raw:
        sys.stdout.buffer.write(content(message))
        return
    click.echo(json.dumps(legible(message), indent=1, ensure_ascii=False))


@messages.command()
@config_option
@click.option(
    "--with",
    "other_path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The configuration whose translators are to be tried.",
)
@click.option("--feed", help="Messages of this feed alone.")
@click.option("--last", default=1000, show_default=True, help="How many messages, the newest first.")
@click.option("--full", is_flag=True, help="Print each difference with its values: patient data.")
def compare(config_path: Path, other_path: Path, feed: str | None, last: int, full: bool) -> None:
    """Translate stored messages by this configuration and by another one, and print what differs. Nothing is written.

    Exit status 0 when nothing differs, 1 when something does.
    """
    query = {} if feed is None else {"feed": feed}
    found = list(_pages(config_path, "messages/contents", query, last))
    differing, paths, shown = asyncio.run(_compared(config_path, other_path, found))
    if full:
        for line in shown:
            click.echo(line)
    for (sign, path), count in sorted(paths.items(), key=lambda it: (-it[1], it[0])):
        click.echo(f"{count:>8} {sign} {path}")
    click.echo(f"{len(found)} messages, {differing} of them differ")
    if differing:
        sys.exit(1)


async def _compared(
    here: Path, there: Path, found: list[dict[str, Any]]
) -> tuple[int, Counter[tuple[str, str]], list[str]]:
    """Return how many messages differ, in which elements how often (added, removed, changed), and each difference."""
    differing, paths, shown = 0, Counter[tuple[str, str]](), list[str]()
    async with AsyncExitStack() as stack:
        ours, theirs = [await _translators(stack, path) for path in (here, there)]
        for entry in found:
            moment = datetime.fromisoformat(entry["received"])
            body = base64.b64decode(entry["base64"])
            message = RawMessage(entry["feed"], moment, entry["media_type"], body)
            before, after = (_leaves(message, by.get(entry["feed"])) for by in (ours, theirs))
            changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
            differing += bool(changed)
            for path in changed:
                sign = "+" if path not in before else "-" if path not in after else "~"
                paths[sign, _plain(path)] += 1
                shown.append(f"{entry['sequence']} {sign} {path}: {before.get(path, '')} -> {after.get(path, '')}")
    return differing, paths, shown


async def _translators(stack: AsyncExitStack, path: Path) -> dict[str, Translator]:
    """Open the translators of a configuration; return that of each feed."""
    config = read(path)
    names = dict.fromkeys(feed.translator for feed in config.feeds)
    opened = {name: await stack.enter_async_context(kinds.translator(name, config, system_clock)) for name in names}
    return {feed.name: opened[feed.translator] for feed in config.feeds}


def _leaves(message: RawMessage, translator: Translator | None) -> Leaves:
    """Return what a message becomes, value by value, or why it becomes nothing."""
    if translator is None:
        return {"refused": "no feed of this name"}
    try:
        translation = translator.translate(message)
    except MessageError as error:
        return {"refused": str(error)}
    found: dict[str, str] = {}
    for change in translation.changes:
        name = f"{change.type}/{change.id}"
        found[f"{name}.(method)"] = change.method.value
        for path, value in _walk(change.resource, ""):
            found[f"{name}{path}"] = value
    return found


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, held in value.items():
            yield from _walk(held, f"{path}.{key}")
    elif isinstance(value, list):
        for place, held in enumerate(value):
            yield from _walk(held, f"{path}[{place}]")
    elif value is not None:
        yield path, codec.encode({"": value}).decode("utf-8")[4:-1]


def _plain(path: str) -> str:
    """Return a path without ids and places: `Patient.name.family`."""
    type_, _, rest = path.partition("/")
    below = rest.partition(".")[2] if rest else ""
    text = f"{type_}.{below}" if below else type_
    return "".join(part.partition("]")[2] if number else part for number, part in enumerate(text.split("[")))
