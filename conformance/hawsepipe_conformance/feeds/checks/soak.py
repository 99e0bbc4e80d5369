"""What must stay flat over time (LD-07, LD-09): memory, files, and the view of a queue that grows.

By default a bounded replica of a minute; `--soak SECONDS` makes it as long as you like.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.product import free_port
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_MEBIBYTE = 1 << 20
_PEOPLE = 50
_SENDERS = 4
_WARM = 7000
"""Messages until what is remembered of elements and names is full."""
_LONG = 1800.0
"""Seconds from which on a slope is told an hour; a shorter run is bounded as a whole."""
_BOUND = 12 * _MEBIBYTE
"""What a short run may grow by after its warm-up: noise, and far less than a kilobyte a message would be."""
_SLOPE = _MEBIBYTE
"""What a long run may grow by in an hour."""


async def _steady(stage: Stage, seconds: float, least: int = 0) -> int:
    """Send messages about the same people for so long, and so many at least, each after the answer to the one before;
    return how many.
    """
    end, sent = monotonic() + seconds, 0

    async def send(lane: int) -> None:
        nonlocal sent
        async with stage.line() as line:
            number = 0
            while monotonic() < end or sent < least:
                number += 1
                control = f"S{lane}-{number}-{int(end)}"
                body = stage.admission(control, f"S-{lane}-{number % _PEOPLE}").set("PID-5", f"N{number}^JANE").body()
                await line.send(framed(body))
                acks = await line.until(number, 30)
                if len(acks) < number:
                    return
                sent += 1

    await asyncio.gather(*map(send, range(_SENDERS)))
    await stage.product.settled(120)
    return sent


def _grown(stage: Stage, memory: list[int], seconds: float) -> None:
    """Claim that the memory is flat: `memory` before and after so many seconds."""
    grown = memory[-1] - memory[0]
    if seconds >= _LONG:
        slope = grown * 3600 / seconds
        stage.claim(f"the memory grows by {slope / _MEBIBYTE:.2f} MiB an hour", slope < _SLOPE)
    else:
        stage.claim(f"the memory is flat (grew by {grown / _MEBIBYTE:.1f} MiB)", grown < _BOUND)


@CHECKS.case("LD-07", "queue grows on disk, RSS flat; alert on age of oldest, not only on count")
async def _slow_receiver(stage: Stage) -> None:
    # Nobody listens there: the slowest of all receivers.
    receiver = (
        f'\n[[destinations]]\nname = "slow"\nkind = "mllp-sender"\nfeeds = ["{stage.feed}"]\n'
        f'[destinations.settings]\nhost = "127.0.0.1"\nport = {free_port()}\n'
    )
    async with stage.alone(further=receiver) as own:
        product = own.local()
        warm = await _steady(own, own.soak / 3, _WARM)
        memory = [product.memory()]
        oldest = await product.total("hawsepipe_delivery_oldest_seconds", destination="slow")
        more = await _steady(own, own.soak * 2 / 3)
        memory.append(product.memory())
        queue = await product.total("hawsepipe_delivery_queue", destination="slow")
        own.claim(f"the queue has everything ({queue:.0f} of {warm + more})", queue == warm + more)
        later = await product.total("hawsepipe_delivery_oldest_seconds", destination="slow")
        own.claim("the age of the oldest is told, and grows", 0 < oldest < later)
        _grown(own, memory, own.soak * 2 / 3)
        own.claim("the sender is still served", await own.send(own.admission("LD07").body()) == ["AA"])


@CHECKS.case("LD-09", "RSS slope < 1 MB/h after warm-up; fd count flat")
async def _long(stage: Stage) -> None:
    async with stage.alone() as own:
        product = own.local()
        await _steady(own, own.soak / 3, _WARM)
        memory, files = [product.memory()], product.descriptors()
        count = await _steady(own, own.soak * 2 / 3)
        memory.append(product.memory())
        own.claim(f"there was a load ({count} messages)", count > own.soak)
        _grown(own, memory, own.soak * 2 / 3)
        own.claim(
            f"no file stays open ({files} before, {product.descriptors()} after)", product.descriptors() <= files + 2
        )
