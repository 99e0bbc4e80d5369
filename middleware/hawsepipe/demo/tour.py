"""The demo: starts the service, then walks through the steps in `demo.steps`, telling what happens.

Nothing is staged: messages go over a socket, reads over HTTP with tokens, the proof through the same `hawsepipe verify`
that an auditor would use. A step that does not find what it should ends the tour with a failure.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from hawsepipe.clock import system_clock
from hawsepipe.config import TEMPLATE, Config, read
from hawsepipe.demo.guide import Guide, StepError
from hawsepipe.demo.steps import STEPS
from hawsepipe.errors import ConfigError
from hawsepipe.service.credentials import make_keys
from hawsepipe.service.running import Service, opened

MESSAGES = Path(__file__).with_name("messages")
"""The messages that come along."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how to run. `once`: stop after the tour. Ports: 0 takes any that is free. `kept`: the folder stays."""

    folder: Path
    port: int
    mllp_port: int
    messages: Path
    once: bool
    kept: bool = True


async def run(settings: Settings, stop: asyncio.Event, say: Callable[[str], None]) -> int:
    """Run the demo; return 0 if every step did what it should, else 1."""
    config = _configured(settings)
    async with opened(config, system_clock) as running:
        say(f"Hawsepipe is running in {settings.folder}")
        for line in running.addresses():
            say(f"  {line}")
        tour = asyncio.create_task(_tour(running, settings, say))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([tour, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not tour.done():
            tour.cancel()
            await asyncio.wait([tour])
            return 1
        stopping.cancel()
        if not tour.result():
            return 1
        if not settings.once:
            say("\nServing until you press Ctrl-C.")
            await running.until(stop)
            if settings.kept:
                say(f"\nStopped. What the demo made is in {settings.folder}; delete it when you have seen enough.")
            else:
                say("\nStopped. What the demo made is gone; with --data DIR it stays.")
    return 0


async def _tour(running: Service, settings: Settings, say: Callable[[str], None]) -> bool:
    async with aiohttp.ClientSession() as session:
        guide = Guide(running=running, messages=settings.messages, folder=settings.folder, session=session, say=say)
        for number, step in enumerate(STEPS, start=1):
            title = (step.__doc__ or "").partition("\n")[0].rstrip(".")
            say(f"\n{number}. {title}")
            try:
                await step(guide)
            except StepError as failure:
                say(f"   FAILED: {failure}")
                return False
    say(f"\nAll {len(STEPS)} steps did what they should.")
    return True


def _configured(settings: Settings) -> Config:
    """Write the same file that `hawsepipe init` writes, with the ports asked for, and make the keys."""
    try:
        settings.folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ConfigError(
            "--data", f"{settings.folder} exists already; the demo starts with a fresh directory"
        ) from error
    template = TEMPLATE.read_text(encoding="utf-8")
    text = template.replace("port = 8080", f"port = {_free(settings.port)}")
    text = text.replace("port = 2575", f"port = {settings.mllp_port}")
    text = text.replace('channel = "localhost/hawsepipe"', 'channel = "demo.hawsepipe.localhost/main"')
    text = text.replace('# timezone = "Europe/Stockholm"', 'timezone = "Europe/Stockholm"')
    path = settings.folder / "hawsepipe.toml"
    path.write_text(text, encoding="utf-8")
    config = read(path)
    make_keys(config)
    return config


def _free(port: int) -> int:
    """Return `port`, or for 0 one that is free now: the base URL of the API must be known before it listens."""
    if port:
        return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
