"""A worker: `python -m hawsepipe.service.worker <descriptor>`, started by `intake.workers`.

It reads parts from the socket that it was given and answers with their effects, until the socket is closed: by the
service that stops, or by the system when the service is killed. A thread listens all the while, so that this ends the
process even if a translator does not come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import queue
import signal
import socket
import sys
import threading
import time
from contextlib import AsyncExitStack
from typing import BinaryIO, Final

from hawsepipe import plugins as loader
from hawsepipe.clock import system_clock
from hawsepipe.config import Config
from hawsepipe.errors import HawsepipeError
from hawsepipe.intake.effects import Effects
from hawsepipe.intake.frames import LENGTH, answered, framed, value
from hawsepipe.meters import Meters
from hawsepipe.ops import logs
from hawsepipe.service.kinds import Opener
from hawsepipe.service.preparing import preparation, taking

MODULE: Final = "hawsepipe.service.worker"

_GRACE_SECONDS: Final = 2.0
"""Time to finish after the socket was closed."""

_COLLECTED: Final = 1024
"""Parts after which whatever has cycles all the same is collected."""

_Frames = queue.SimpleQueue[bytes | None]


def main() -> None:
    """Work until the socket is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # What is sent to all processes of a service is meant for the one that ends the others.
        signal.signal(number, signal.SIG_IGN)
    link = socket.socket(fileno=int(sys.argv[1]))
    frames: _Frames = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(link.makefile("rb"), frames), daemon=True).start()
    setup = frames.get()
    if setup is not None:
        # Nobody listens any more: there is nobody to tell, either.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            asyncio.run(_work(value(setup), frames, link))


async def _work(config: Config, frames: _Frames, link: socket.socket) -> None:
    logs.configure(config.log_level, config.log_format)
    async with AsyncExitStack() as stack:
        try:
            opener = Opener(stack, config, system_clock, Meters())
            opened = await opener.all(loader.load(config.plugins).translators, config.translators, "translators")
            translators = {feed.name: opened[feed.translator] for feed in config.feeds}
            rules = {name: translator.rules_digest for name, translator in translators.items()}
        except HawsepipeError as error:
            link.sendall(framed(str(error)))
            return
        effects = Effects(translators, preparation(config), taking(config))
        gc.collect()
        gc.freeze()
        # What comes after is values without cycles, and going through them again and again costs a third of the work.
        gc.disable()
        link.sendall(framed(rules))
        await asyncio.to_thread(_serve, effects, frames, link)


def _serve(effects: Effects, frames: _Frames, link: socket.socket) -> None:
    parts = 0
    while (frame := frames.get()) is not None:
        parts += 1
        if parts % _COLLECTED == 0:
            gc.collect()
        link.sendall(answered(effects.all(value(frame))))


def _listen(link: BinaryIO, frames: _Frames) -> None:
    try:
        while len(head := link.read(LENGTH)) == LENGTH:
            frames.put(link.read(int.from_bytes(head, "big")))
    finally:
        frames.put(None)
        time.sleep(_GRACE_SECONDS)
        os._exit(1)


if __name__ == "__main__":
    main()
