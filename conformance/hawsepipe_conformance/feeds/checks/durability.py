"""Durability (DR) and a store that cannot write (AK-09)."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import Line, framed
from hawsepipe_conformance.feeds.product import command
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_CONNECTIONS = 16
_KILLS = 100
_PACE = 50
"""Messages a second of each connection."""
_WRITES = 60
"""Writes that fail, each in its turn."""
_RESPITE = 10
"""Kills after which a restart may catch up."""


def _room(stage: Stage, size: int) -> None:
    """Let the service's files grow to so many bytes and no further, as on a disk that is full; -1 for no limit."""
    process = stage.local().process
    assert process is not None
    hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def limited(stage: Stage) -> Iterator[None]:
    """While entered the service cannot write to its disk."""
    _room(stage, 1)
    try:
        yield
    finally:
        _room(stage, -1)


async def _codes(stage: Stage, *messages: bytes) -> list[str]:
    """As `Stage.send`, without waiting for effects."""
    codes = []
    async with stage.line() as line:
        for number, body in enumerate(messages, 1):
            await line.send(framed(body))
            acks = await line.until(number, 20)
            codes.append(acks[number - 1].code if len(acks) >= number else "")
    return codes


async def _full(stage: Stage, mode: str) -> str:
    """Fill the disk, send a message, make room again, and check that nothing was half stored; return MSA-1."""
    async with stage.alone() as own:
        first = own.admission("DR10", f"{own.person}-0").body()
        own.claim("taken before", await own.send(first) == ["AA"])
        _room(own, 1)
        body = own.admission("DR10b").set("MSH-15", mode).body()
        (code,) = await _codes(own, body)
        own.claim("not ready while there is no room", await own.product.status("/health/ready") == 503)
        _room(own, -1)
        own.claim("ready again without a restart", await _ready(own))
        own.claim("nothing was stored of it", not await own.provenances(body))
        again = await own.send(body)
        own.claim(f"taken when there is room (found {again})", again == ["CA" if mode else "AA"])
        own.claim("once", len(await own.provenances(body)) == 1)
        own.claim("what was there is there", len(await own.provenances(first)) == 1)
        return code


async def _ready(stage: Stage) -> bool:
    for _ in range(100):
        if await stage.product.status("/health/ready") == 200:
            return True
        await asyncio.sleep(0.1)
    return False


@CHECKS.case("AK-09", "CE (original mode: AR); sender may retry; nothing half stored")
async def _store_unavailable(stage: Stage) -> None:
    stage.measure(ack=[await _full(stage, "AL")])
    stage.claim("AR in original mode", await _full(stage, "") == "AR")


@CHECKS.case(
    "DR-10", "AR/CE, accept loop pauses, existing data not corrupt, recovers without restart when space returns"
)
async def _disk_full(stage: Stage) -> None:
    stage.measure(ack=[await _full(stage, "")])


@CHECKS.case("DR-11", "same, plus readiness false")
async def _write_errors(stage: Stage) -> None:
    # The limit on the size of a file makes every write fail with an error that is not "no space".
    stage.claim("AR", await _full(stage, "") == "AR")
    with tempfile.TemporaryDirectory(prefix="hawsepipe-faults-") as folder:
        faults = Path(folder) / "faults"
        faults.write_text("0", encoding="ascii")
        async with stage.alone(entry=("-m", "hawsepipe_conformance.feeds.launcher", "--faults", str(faults))) as own:
            await _each_write(own, faults)


def _tell(file: Path, number: int) -> None:
    file.write_text(str(number), encoding="ascii")


async def _each_write(stage: Stage, faults: Path) -> None:
    """Let the first write after a moment fail, then the second, and so on, each under a message that is sent until it
    is acknowledged; whatever failed, each has one effect in the end.
    """
    bodies, refused = [], 0
    for number in range(1, _WRITES + 1):
        bodies.append(stage.admission(f"DR11-{number}", f"{stage.person}-{number}").body())
        _tell(faults, number)
        for _ in range(50):
            (code,) = await _codes(stage, bodies[-1])
            if code == "AA":
                break
            refused += 1
            await asyncio.sleep(0.05)
    stage.claim(f"some writes failed under a message ({refused})", refused > 0)
    await stage.product.settled(60)
    counts = [len(await stage.provenances(body)) for body in bodies]
    stage.claim(f"each has one effect whichever write failed (found {counts})", set(counts) == {1})
    stage.claim("ready", await _ready(stage))
    stage.claim("nothing is set aside", not await stage.letters())


@dataclass
class _Toll:
    """What many kills have cost: acknowledged messages without effect, messages with two, and how many there were."""

    lost: int = 0
    doubled: int = 0
    acknowledged: int = 0
    slowest: float = 0.0


async def _killed(stage: Stage, kills: int, connections: int, seed: int) -> _Toll:
    """Kill under load so many times; now and then let a restart finish and see how long it takes to catch up.

    Most kills hit the first moments, where messages are stored and acknowledged; every fourth comes later, where
    effects are written and anchored as well.
    """
    chance, loop = random.Random(seed), asyncio.get_running_loop()
    acknowledged: set[bytes] = set()
    sent: list[bytes] = []
    waiting: list[bytes] = []
    toll = _Toll()
    for kill in range(1, kills + 1):
        senders: list[list[bytes]] = [waiting[lane::connections] for lane in range(connections)]
        tasks = [
            asyncio.create_task(until_cut_off(stage, _supply(stage, lane, sent), acknowledged)) for lane in senders
        ]
        await asyncio.sleep(chance.uniform(0.2, 1.5) if kill % 4 == 0 else chance.uniform(0.0, 0.2))
        await stage.local().end(signal.SIGKILL)
        await asyncio.gather(*tasks)
        # A sender sends again what it has no answer to.
        waiting = [body for body in sent if body not in acknowledged]
        await stage.local().start()
        if kill % _RESPITE == 0 or kill == kills:
            begun = loop.time()
            await stage.product.settled(60)
            toll.slowest = max(toll.slowest, loop.time() - begun)
    codes = await _codes(stage, *waiting)
    acknowledged |= {body for body, code in zip(waiting, codes, strict=True) if code == "AA"}
    await stage.product.settled(10)
    counts = {body: len(await stage.provenances(body)) for body in sent}
    toll.lost = sum(not counts[body] for body in acknowledged)
    toll.doubled = sum(count > 1 for count in counts.values())
    toll.acknowledged = len(acknowledged)
    return toll


def _supply(stage: Stage, first: list[bytes], sent: list[bytes]) -> Iterator[bytes]:
    """Yield what is sent again, then ever new messages."""
    yield from first
    while True:
        number = len(sent)
        body = stage.admission(f"K{number}", f"K-{number}").body()
        sent.append(body)
        yield body


async def until_cut_off(stage: Stage, messages: Iterable[bytes], acknowledged: set[bytes]) -> None:
    """Send at a steady pace, each message after the answer to the one before, until the connection breaks."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        line: Line
        async with stage.line() as line:
            begun = loop.time()
            for number, body in enumerate(messages, 1):
                await line.send(framed(body))
                acks = await line.until(number)
                if len(acks) < number:
                    return
                if acks[-1].code == "AA":
                    acknowledged.add(body)
                await asyncio.sleep(max(begun + number / _PACE - loop.time(), 0))


@CHECKS.case("DR-01", "on resend one effect; AA")
async def _after_commit(stage: Stage) -> None:
    async with stage.alone() as own:
        effects = set()
        for number in range(8):
            body = own.admission(f"DR01-{number}", f"{own.person}-{number}").body()
            line = await own.connect()
            await line.send(framed(body))
            # The journal's own file says that the message is stored; its answer may be under way or not.
            for _ in range(2000):
                if await own.product.total("hawsepipe_feed_messages_received_total", feed=own.feed) or line.received:
                    break
            await own.local().end(signal.SIGKILL)
            await line.close()
            await own.local().start()
            own.claim("AA when it is sent again", await own.send(body) == ["AA"])
            effects.add(len(await own.provenances(body)))
        own.measure(effects=effects.pop() if len(effects) == 1 else -1, acked_lost=0 if not effects else 1)


@CHECKS.case("DR-02", "not acked; nothing visible; resend works")
async def _before_commit(stage: Stage) -> None:
    async with stage.alone() as own:
        body = own.admission("DR02").body()
        line = await own.connect()
        await line.send(framed(body)[:-1])
        await own.local().end(signal.SIGKILL)
        own.claim("not acknowledged", not line.received)
        await line.close()
        await own.local().start()
        own.claim("nothing is visible", not await own.provenances(body))
        own.claim("no dead letter", not await own.letters())
        own.claim("sent again it is taken", await own.send(body) == ["AA"])
        own.claim("once", len(await own.provenances(body)) == 1)


@CHECKS.case("DR-05", "acked = stored = effects; 0 lost, 0 doubled; all acked effects present within 10 s of restart")
async def _many_kills(stage: Stage) -> None:
    async with stage.alone() as own:
        toll = await _killed(own, _KILLS, _CONNECTIONS, 20261121)
        own.claim(f"0 of {toll.acknowledged} acknowledged messages are lost (lost: {toll.lost})", toll.lost == 0)
        own.claim(f"0 effects are doubled (doubled: {toll.doubled})", toll.doubled == 0)
        own.claim(f"all effects within 10 s of a restart (slowest: {toll.slowest:.1f} s)", toll.slowest <= 10)
        own.claim(f"the kills met a load ({toll.acknowledged} messages)", toll.acknowledged > 10 * _KILLS)


@CHECKS.case("DR-13", "stops accepting, finishes or parks in-flight in <= 10 s, no AE caused by stopping")
async def _graceful(stage: Stage) -> None:
    async with stage.alone() as own:
        acknowledged: set[bytes] = set()
        lanes = [[own.admission(f"G{lane}-{n}", f"G-{lane}-{n}").body() for n in range(200)] for lane in range(8)]
        tasks = [asyncio.create_task(until_cut_off(own, lane, acknowledged)) for lane in lanes]
        await asyncio.sleep(0.3)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        own.claim("exit status 0", await own.local().end(signal.SIGTERM) == 0)
        own.claim("within 10 s", loop.time() - begun <= 10)
        await asyncio.gather(*tasks)
        await own.local().start()
        await own.settled()
        counts = {len(await own.provenances(body)) for body in acknowledged}
        own.claim("every acknowledged message has its effect, once", acknowledged and counts == {1})
        own.claim("nothing was refused", not await own.letters())


@CHECKS.case("DR-14", "lease/fence: only one processes a lane; fenced writer cannot commit")
async def _second_instance(stage: Stage) -> None:
    async with stage.alone() as own:
        product = own.local()
        refused = False
        try:
            await asyncio.wait(
                [other := asyncio.ensure_future(command("serve", "-c", str(product.config)))], timeout=30
            )
            refused = other.done() and other.exception() is not None
        finally:
            other.cancel()
        own.claim("a second process does not start", refused)
        own.claim("the first one goes on", await own.send(own.admission("DR14").body()) == ["AA"])
