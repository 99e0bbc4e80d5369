"""How a load goes, on standard error: bars on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_EVERY: Final = 5.0
"""Seconds between two lines."""

_SHOWN: Final = 12
"""Types that are shown while they are loaded."""


class Course:
    """Shows the states of a load as they come."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), refresh_per_second=5) if _terminal() else None
        self._last: tuple[float, str] = (0.0, "")

    def __enter__(self) -> Course:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: dict[str, Any]) -> None:
        """Show a state."""
        if self._live is not None:
            self._live.update(_drawn(state))
            return
        now = time.monotonic()
        if state["phase"] != self._last[1] or now - self._last[0] >= _EVERY:
            self._last = (now, state["phase"])
            click.echo(line(state), err=True)


def line(state: dict[str, Any]) -> str:
    """Return a state as one line."""
    told = f"{state['load']} {state['phase']}: {state['done']}/{state['records']} records ({state['percent']:.1f} %)"
    if state["phase"] != "loading":
        return told
    left = "" if state["eta_seconds"] is None else f", {_span(state['eta_seconds'])} left"
    causes = " ".join(f"{cause}={count}" for cause, count in sorted(state["causes"].items()))
    return f"{told}, {state['rate']:.0f}/s{left}, dead {state['dead']}{f' ({causes})' if causes else ''}"


def _drawn(state: dict[str, Any]) -> Group:
    table = Table(box=None, padding=(0, 1))
    for name in ("type", "", "source", "loaded", "duplicate", "dead"):
        table.add_column(name, justify="left" if name in ("type", "") else "right")
    rows = sorted(state["types"].items(), key=lambda it: -it[1]["source"])
    for type_, row in rows[:_SHOWN]:
        done = row["loaded"] + row["duplicate"] + row["dead"]
        bar = ProgressBar(total=max(row["source"], 1), completed=done, width=24)
        numbers = [f"{row[name]:,}" for name in ("source", "loaded", "duplicate", "dead")]
        table.add_row(type_, bar, *numbers[:3], Text(numbers[3], style="red" if row["dead"] else ""))
    if len(rows) > _SHOWN:
        table.add_row(f"and {len(rows) - _SHOWN} more types")
    whole = ProgressBar(total=max(state["records"], 1), completed=state["done"], width=60)
    return Group(whole, Text(line(state)), table)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
