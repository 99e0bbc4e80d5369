"""Load (LD)."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hawsepipe_conformance.feeds.certificates import Authority
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import Line, framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_MEBIBYTE = 1 << 20


@CHECKS.case("LD-01", "< 100 MB RSS over base; no fd leak")
async def _idle(stage: Stage) -> None:
    async with stage.alone() as own:
        product = own.local()
        await own.send(own.admission("LD01").body())
        memory, files = product.memory(), product.descriptors()
        lines: list[Line] = []
        try:
            for _ in range(1000):
                lines.append(await own.connect())
            standing = await _standing(own, 1000)
            own.claim(f"all stand ({standing:.0f} do)", standing == 1000)
            grown = (product.memory() - memory) // _MEBIBYTE
            own.claim(f"less than 100 MB over the base (grew by {grown} MiB)", grown < 95)
            await lines[-1].send(framed(own.admission("LD01b").body()))
            own.claim("they are served", [ack.code for ack in await lines[-1].until(1)] == ["AA"])
        finally:
            await asyncio.gather(*(line.close() for line in lines))
        for _ in range(100):
            if product.descriptors() <= files + 2:
                break
            await asyncio.sleep(0.1)
        own.claim("no file stays open", product.descriptors() <= files + 2)


async def _standing(stage: Stage, wanted: int) -> float:
    """Return how many connections stand, once it is the wanted number: one may just be closing, or not be taken yet."""
    standing = 0.0
    for _ in range(100):
        standing = await stage.grown("hawsepipe_feed_connections")
        if standing == wanted:
            break
        await asyncio.sleep(0.05)
    return standing


@CHECKS.case("LD-03", "accepted by kernel then closed at once with log, or refused; others not hurt")
async def _one_too_many(stage: Stage) -> None:
    async with stage.alone() as own:
        lines = [await own.connect() for _ in range(1000)]
        try:
            async with own.line() as extra:
                own.claim("closed at once", await extra.hung_up(5))
            event = await own.grown("hawsepipe_feed_framing_events_total", event="refused_connection")
            own.claim("counted", event == 1)
            for number, line in enumerate((lines[0], lines[-1])):
                await line.send(framed(own.admission(f"LD03-{number}").body()))
                own.claim("the others are served", [ack.code for ack in await line.until(1)] == ["AA"])
        finally:
            await asyncio.gather(*(line.close() for line in lines))


@CHECKS.case("LD-06", "all acked, none lost, back-pressure by TCP window, ACK p99 reported")
async def _burst(stage: Stage) -> None:
    async with stage.alone() as own:
        product = own.local()

        async def send(lane: int) -> list[str]:
            async with own.line() as line:
                bodies = [own.admission(f"LD06-{lane}-{n}", f"LD06-{lane}-{n % 20}").body() for n in range(200)]
                sending = asyncio.create_task(line.send(b"".join(framed(body) for body in bodies)))
                acks = await line.until(200, 120)
                await sending
                return [ack.code for ack in acks]

        codes = [code for lane in await asyncio.gather(*map(send, range(50))) for code in lane]
        own.claim(f"all are acknowledged ({codes.count('AA')} of 10000)", codes == ["AA"] * 10_000)
        await product.settled(300)
        own.claim("none is lost", await own.grown("hawsepipe_intake_applied_total") == 10_000)
        (feed,) = (await product.get(f"{product.origin}/feeds"))["feeds"]
        own.claim("p99 is reported", "p99" in feed["acknowledge_seconds"])


@CHECKS.case("LD-10", "all served within 10 s")
async def _reconnect_storm(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="hawsepipe-tls-") as folder:
        authority = Authority(Path(folder))
        server, context = authority.issue("server"), None
        settings = {"certificate": str(server.certificate), "key": str(server.key)}
        async with stage.alone(tls=settings) as own:
            context = authority.client()

            async def once(number: int) -> bool:
                async with own.line(context) as line:
                    await line.send(framed(own.admission(f"LD10-{number}", f"LD10-{number}").body()))
                    return [ack.code for ack in await line.until(1, 20)] == ["AA"]

            loop = asyncio.get_running_loop()
            begun = loop.time()
            served = await asyncio.gather(*(once(number) for number in range(500)), return_exceptions=True)
            took = loop.time() - begun
            own.claim(f"all are served ({served.count(True)} of 500)", served.count(True) == 500)
            own.claim(f"within 10 s ({took:.1f} s)", took < 10)
