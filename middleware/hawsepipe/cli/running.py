"""`serve` and `demo`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
import uvloop

from hawsepipe.cli.options import config_option
from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.demo import tour
from hawsepipe.ops import logs
from hawsepipe.service.running import opened


@click.command()
@config_option
def serve(config_path: Path) -> None:
    """Run the service until it is interrupted (SIGINT or SIGTERM)."""
    config = read(config_path)
    logs.configure(config.log_level, config.log_format)

    # A thread that computes gives way to the event loop after a millisecond: acknowledgements wait for nobody's sums.
    sys.setswitchinterval(0.001)

    async def run(stop: asyncio.Event) -> int:
        async with opened(config, system_clock) as running:
            # What is loaded now lives as long as the process: the collector need not go through it again and again,
            # which doubled the cost of translating a message.
            gc.collect()
            gc.freeze()
            # The rest is values without cycles for the most part; the default looks for cycles every 700 of them.
            gc.set_threshold(20_000, 50, 50)
            for line in running.addresses():
                click.echo(line, err=True)
            await running.until(stop)
        return 0

    sys.exit(_run(run))


@click.command()
@click.option("--once", is_flag=True, help="Exit after the tour; status 0 only if each step did what it should.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to put the data, which stays; it must not exist yet. Without it a temporary directory that is gone at"
    " the end.",
)
@click.option("--port", default=8080, show_default=True, help="Port of the FHIR API; 0 takes any.")
@click.option("--mllp-port", default=2575, show_default=True, help="Port of the MLLP listener; 0 takes any.")
@click.option(
    "--messages",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=tour.MESSAGES,
    help="Send these messages instead of the ones that come along (same file names).",
)
def demo(once: bool, data: Path | None, port: int, mllp_port: int, messages: Path) -> None:
    """Run the whole path on loopback and show it: messages in, resources out, consent, proof.

    Starts the real service in a fresh directory, sends HL7 v2 messages over MLLP as a hospital would, and goes through
    what came of them. Keeps serving until interrupted.
    """
    logs.configure("error", "text")
    with contextlib.ExitStack() as stack:
        folder = data
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hawsepipe-demo-"))) / "data"
        settings = tour.Settings(
            folder=folder, port=port, mllp_port=mllp_port, messages=messages, once=once, kept=data is not None
        )
        status = _run(lambda stop: tour.run(settings, stop, click.echo))
    sys.exit(status)


def _run(work: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Run until done; SIGINT and SIGTERM set the event, a second one kills."""

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stopped(number: signal.Signals) -> None:
            stop.set()
            loop.remove_signal_handler(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped, number)
        return await work(stop)

    with contextlib.closing(asyncio.Runner(loop_factory=uvloop.new_event_loop)) as runner:
        return runner.run(main())
