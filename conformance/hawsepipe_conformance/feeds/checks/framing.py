"""Framing (FR)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from hawsepipe_conformance.feeds import generic
from hawsepipe_conformance.feeds.checks.durability import limited
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_PAYLOAD = 5_000_000


@CHECKS.case("FR-03", "one AA only after CR arrived")
async def _split_end(stage: Stage) -> None:
    async with stage.line() as line:
        *before, last = stage.case.wire
        await line.play(before)
        stage.claim("nothing is answered before the end is whole", not line.received)
        await line.play([last])
        await generic.watch(stage, line)


@CHECKS.case("FR-05", "100 ACKs in send order; memory bounded by read high-water mark")
async def _pipelined(stage: Stage) -> None:
    async with stage.line() as line:
        bodies = [stage.admission(f"FR05-{number}").body() for number in range(100)]
        await line.send(b"".join(framed(body) for body in bodies))
        await generic.watch(stage, line)
    async with stage.alone(limits={"window": 8}) as own:
        # Fifty megabytes that are only stored, so that what the translation of messages takes is not in the way.
        product = own.local()
        large = own.admission("FR05-%03d").set("MSH-12", "9.9").set("PV1-3", "W" * 500_000).text()
        before = 0
        for turn in (0, 1):
            # The first turn is what it takes to work at all.
            before = product.peak()
            async with own.line() as line:
                for number in range(100):
                    await line.send(framed((large % (number + 100 * turn)).encode()))
                own.claim("all are answered", len(await line.until(100, 30)) == 100)
        grown = (product.peak() - before) >> 20
        own.claim(f"the memory does not grow with what was sent (it grew by {grown} MiB)", grown < 32)


@CHECKS.case(
    "FR-15",
    "AA; payload extracted to DocumentReference/Binary/Attachment off-ledger, only its SHA-256 anchored;"
    " peak RSS growth < 4x payload",
)
async def _large_payload(stage: Stage) -> None:
    async with stage.alone() as own:
        # What first messages cost (tables compiled, modules loaded, wherever that is) is not what the payload costs.
        product = own.local()
        before, same = 0, 0
        for number in range(40):
            await own.send(own.result(f"FR15-{number}").set("OBX-2", "ED").set("OBX-5", _file(b"small")).body())
            await asyncio.sleep(0.5)
            same = same + 1 if product.peak() == before else 0
            before = product.peak()
            if same == 4:
                break
        await own.begin()
        content = bytes(range(250)) * (_PAYLOAD * 3 // 4 // 250)
        body = own.result("FR15").set("OBX-2", "ED").set("OBX-5", _file(content)).body()
        async with own.line() as line:
            await line.send(framed(body))
            await generic.watch(own, line)
        grown = product.peak() - before
        own.claim(f"the peak grows by less than four payloads (it grew by {grown >> 20} MiB)", grown < 4 * _PAYLOAD)
        found = [await own.product.read(place) for place in await own.versions(body)]
        named = [it for resource in found for it in _attachments(resource) if it.get("size") == len(content)]
        own.claim("an attachment names the payload, and does not hold it", named and "data" not in named[0])
        digest = hashlib.sha256(content).hexdigest()
        own.claim("by its SHA-256, which is part of what is anchored", digest in json.dumps(named))
        own.claim("no resource is large", all(len(json.dumps(resource)) < 100_000 for resource in found))
        if named:
            given = await own.product.content(f"{own.product.fhir}/{named[0]['url']}")
            own.claim("its address gives the payload", given == content)


def _file(content: bytes) -> str:
    return f"^application^pdf^Base64^{base64.b64encode(content).decode()}"


def _attachments(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("attachment"), dict):
            yield node["attachment"]
        for child in node.values():
            yield from _attachments(child)
    elif isinstance(node, list):
        for child in node:
            yield from _attachments(child)


@CHECKS.case(
    "FR-20",
    "after durable commit send SB 0x06 EB CR; on store failure SB 0x15 EB CR; HL7 application ACK travels separately",
    release=2,
)
async def _release_2(stage: Stage) -> None:
    async with stage.line() as line:
        await line.send(framed(stage.admission("FR20").body()))
        await line.until(2)
        stage.claim("a commit block, then the acknowledgement", line.frames[:1] == [b"\x06"])
        stage.claim("which is AA", [ack.code for ack in line.acks] == ["AA"])
    async with stage.alone(release=2) as own:
        with limited(own):
            async with own.line() as line:
                await line.send(framed(own.admission("FR20b").body()))
                await line.until(1)
                own.claim(f"a failure block (found {line.frames})", line.frames == [b"\x15"])


@CHECKS.case("FR-16", "not legal MLLP content: treat per FR-09 rule; dead letter, never silent corruption")
async def _end_inside(stage: Stage) -> None:
    async with stage.line() as line:
        body = stage.result("FR16").set("OBX-2", "TX").set("OBX-5", "one\x1ctwo").body()
        await line.send(framed(body))
        await line.until(1)
        await asyncio.sleep(generic.QUIET)
        stage.claim("nothing positive is answered", all(ack.code not in ("AA", "CA") for ack in line.acks))
        await stage.account(bytes(line.sent))
        letters = await stage.letters()
        kept = await stage.product.get(f"{stage.product.origin}/ops/dead-letters/{letters[0]['sequence']}")
        stage.claim("the bytes are kept as they came", kept["content"].get("text", "").encode() == body)
