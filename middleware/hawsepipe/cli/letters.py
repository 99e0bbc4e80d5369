"""`dead-letters`: messages that could not be applied, in the running service."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from difflib import unified_diff
from pathlib import Path
from typing import Any

import click
import msgspec

from hawsepipe.cli.calling import call, pages
from hawsepipe.cli.entries import content, legible, outside
from hawsepipe.cli.options import config_option
from hawsepipe.errors import Conflict, NotFound

Decorated = Callable[..., Any]
PATH = "dead-letters"
_WAIT = 5
"""Seconds for which what becomes of a retry is waited for."""


def _filters(function: Decorated) -> Decorated:
    """Add the options that choose dead letters."""
    options: tuple[Decorated, ...] = (
        click.option("--feed", help="Letters of this feed."),
        click.option("--cause", help="parse, structure, mapping, code, required, identity or delivery."),
        click.option("--location", help="Letters refused at this v2 location, or one that begins so (OBX)."),
        click.option("--since", help="Received at or after this time (2026-03-01T08:30:00+00:00)."),
        click.option("--until", help="Received before this time."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _query(**chosen: str | None) -> dict[str, str]:
    for name in ("since", "until"):
        if (text := chosen.get(name)) is not None:
            _check_time(name, text)
    return {name: value for name, value in chosen.items() if value is not None}


def _check_time(name: str, text: str) -> None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter("write it as 2026-03-01T08:30:00+00:00", param_hint=f"--{name}") from error
    if moment.tzinfo is None:
        raise click.BadParameter("it needs an offset, as in 2026-03-01T08:30:00+00:00", param_hint=f"--{name}")


@click.group(PATH)
def dead_letters() -> None:
    """List, show, mend, retry or discard messages that could not be applied.

    The commands ask the running service that the configuration describes, with the issuer key of its data directory.
    """


@dead_letters.command("list")
@config_option
@_filters
@click.option("--groups", is_flag=True, help="Count them by feed, cause, place and reason.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_letters(config_path: Path, groups: bool, as_json: bool, **chosen: str | None) -> None:
    """List dead letters, oldest first: number, cause, v2 location, reason. No patient data."""
    query = _query(**chosen)
    letters = (
        call(config_path, "GET", f"{PATH}/groups", query) if groups else [*pages(config_path, PATH, "sequence", query)]
    )
    if as_json:
        click.echo(json.dumps(letters, indent=2))
        return
    for letter in letters:
        number, received = ("count", "newest") if groups else ("sequence", "received")
        click.echo(
            f"{letter[number]:>8}  {letter['feed']}  {letter[received][:19]}  {letter['cause']}"
            f"  {letter['location'] or '-'}  {letter['text']}{'' if groups else outside(letter)}"
        )
    click.echo(f"{len(letters)} {'group' if groups else 'dead letter'}(s)")


@dead_letters.command("show")
@config_option
@click.argument("number", type=int)
@click.option("--raw", is_flag=True, help="Print the message alone, byte for byte, to mend a copy of it.")
def show(config_path: Path, number: int, raw: bool) -> None:
    """Print one dead letter with its content (patient data!) as JSON."""
    letter = call(config_path, "GET", f"{PATH}/{number}")
    if raw:
        sys.stdout.buffer.write(content(letter))
        return
    click.echo(json.dumps(legible(letter), indent=2, ensure_ascii=False))


@dead_letters.command("retry")
@config_option
@click.argument("numbers", type=int, nargs=-1)
@_filters
@click.option("--all", "every", is_flag=True, help="Retry every letter that the filters choose, oldest first.")
@click.option(
    "--edited", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A mended copy of the one letter."
)
@click.option("--as-current", is_flag=True, help="Let it be current whatever newer events have told.")
@click.option("--past-the-door", is_flag=True, help="Take what the feed's settings refuse: a debugging message, say.")
@click.option("--no-wait", is_flag=True, help="Do not wait for what becomes of them.")
@click.option("--dry-run", is_flag=True, help="Print what would change (patient data!) and change nothing.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), default=50.0, help="Letters a second (50).")
def retry(
    config_path: Path,
    numbers: tuple[int, ...],
    every: bool,
    edited: Path | None,
    as_current: bool,
    past_the_door: bool,
    no_wait: bool,
    dry_run: bool,
    rate: float,
    **chosen: str | None,
) -> None:
    """Apply dead letters again; each takes effect once, linked to the original.

    Name letters by number, or choose them with filters and --all. With --dry-run the difference between the resources
    now and after is printed for each. What an old message tells gives way to newer events, unless --as-current says
    otherwise. A letter that its feed would refuse today stays one, unless --past-the-door says otherwise.

    Exit status 1 when one is not applied.
    """
    query = _query(**chosen)
    if bool(numbers) == every or (query and not every):
        raise click.UsageError("name letters by number, or choose them with filters and --all")
    if edited is not None and len(numbers) != 1:
        raise click.UsageError("--edited goes with the number of one letter")
    body = edited.read_bytes() if edited is not None else None
    how = {"current": "true"} if as_current else {}
    how |= {"past-the-door": "true"} if past_the_door else {}
    begun, done, failed, wait = time.monotonic(), 0, 0, 0 if no_wait else _WAIT
    for number in _numbers(config_path, numbers, query):
        if done:
            time.sleep(max(0.0, begun + done / rate - time.monotonic()))
        done += 1
        if dry_run:
            failed += not _print_rehearsal(
                number, call(config_path, "POST", f"{PATH}/{number}/rehearse", how, body=body)
            )
            continue
        try:
            entry = call(config_path, "POST", f"{PATH}/{number}/retry", how | {"wait": str(wait)}, body=body)
        except NotFound:
            if not every:
                raise
            continue  # somebody else has settled it since it was listed
        except Conflict as error:
            click.echo(f"dead letter {number} stays one: {error}")
            failed += 1
            continue
        told = f"dead letter {number} is journalled again as {entry['sequence']}"
        if entry["state"] == "dead":
            click.echo(f"{told}, and dead again: {entry['location'] or 'message'}: {entry['text']}")
            failed += 1
        elif entry["state"] in ("applied", "discarded"):
            click.echo(f"{told}: {entry['state']}")
        else:
            click.echo(f"{told}" if no_wait else f"{told}; it still waits ({entry['state']})")
            wait = 0  # something is slow: not so long for each of the others too
    if not done:
        click.echo("no dead letter is chosen")
    if failed:
        sys.exit(1)


def _numbers(config_path: Path, numbers: tuple[int, ...], query: dict[str, str]) -> Iterator[int]:
    if numbers:
        yield from numbers
        return
    # Listed before the first retry: a letter that fails again is a new letter and not tried for ever.
    yield from [letter["sequence"] for letter in pages(config_path, PATH, "sequence", query)]


def _print_rehearsal(number: int, found: dict[str, Any]) -> bool:
    """Print what a retry would do; return whether it would be applied."""
    refusal, door = found["refusal"], found["door"]
    if refusal is not None:
        whose = " by the door of its feed" if refusal == door else ""
        click.echo(
            f"dead letter {number} would be refused{whose}: {refusal['location'] or 'message'}: {refusal['text']}"
        )
        return False
    click.echo(f"dead letter {number}: {found['label']}")
    if door is not None:
        click.echo(f"  past the door, which refuses it: {door['location'] or 'message'}: {door['text']}")
    for issue in found["issues"]:
        if issue["severity"] != "information":
            click.echo(f"  {issue['severity']} {issue['cause']} at {issue['location']}: {issue['text']}")
    for one in found["resources"]:
        if one["operation"] is None:
            click.echo(f"= {one['resource']} stays as it is")
            continue
        click.echo(f"{'+' if one['operation'] == 'create' else '~'} {one['resource']}: {one['operation']}")
        before, after = (_lines(one[name]) for name in ("before", "after"))
        for line in [*unified_diff(before, after, lineterm="", n=2)][2:]:
            click.echo(f"    {line}")
    return True


def _lines(text: str | None) -> list[str]:
    return [] if text is None else msgspec.json.format(text.encode(), indent=2).decode().splitlines()


@dead_letters.command("discard")
@config_option
@click.argument("number", type=int)
@click.option("--reason", default="", help="Why, for the access record: a line without patient data.")
def discard(config_path: Path, number: int, reason: str) -> None:
    """Take a dead letter off the list. Its bytes stay in the journal."""
    call(config_path, "POST", f"{PATH}/{number}/discard", {"reason": reason})
    click.echo(f"dead letter {number} is discarded")


@click.command("lanes")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lanes(config_path: Path, as_json: bool) -> None:
    """List the patients whose messages wait behind a dead letter, the longest held first. No patient data.

    Retry or discard the letter, and what waits goes on in its old order.
    """
    held = call(config_path, "GET", "lanes")
    if as_json:
        click.echo(json.dumps(held, indent=2))
        return
    for lane in held:
        click.echo(
            f"{lane['letter']:>8}  {lane['state']}  {lane['oldest'][:19]}  {lane['waiting']} wait(s)  {lane['patient']}"
        )
    click.echo(f"{len(held)} lane(s) held")


@click.command("alerts")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def alerts(config_path: Path, as_json: bool) -> None:
    """List what is wrong now, and what was since the start. Exit status 1 while something is."""
    told = call(config_path, "GET", "alerts")
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for alert in told:
            until = f"until {alert['closed'][:19]}" if alert["closed"] else "open"
            click.echo(
                f"{alert['kind']} {alert['about']}  since {alert['since'][:19]}  {until}  found {alert['found']}x"
            )
    if any(alert["closed"] is None for alert in told):
        sys.exit(1)
