"""HL7 v2 over HTTP (HT)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_V2 = "application/hl7-v2"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    retry_after: str


async def _post(stage: Stage, body: bytes, type_: str = _V2, **headers: str) -> _Answer:
    address = await stage.product.feed(stage.feed)
    told = {"Content-Type": type_, **{name.replace("_", "-"): value for name, value in headers.items()}}
    url = f"http://{address.host}:{address.port}/"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=told) as response:
        return _Answer(response.status, await response.text(), response.headers.get("Retry-After", ""))


@CHECKS.case(
    "HT-01",
    "charset from Content-Type wins over MSH-18 with warning if they differ; body = HL7 ACK",
    kind="hl7v2-http",
    unauthenticated=True,
)
async def _charset(stage: Stage) -> None:
    draft = stage.admission("HT01").set("MSH-18", "UNICODE UTF-8").set("PID-5", "SJÖGREN^BJÖRN")
    answer = await _post(stage, draft.body("latin-1"), f"{_V2}; charset=ISO-8859-1")
    stage.claim(f"taken (found {answer.status})", answer.status == 200)
    stage.claim("the body is an HL7 acknowledgement", "\rMSA|AA|HT01" in answer.text and answer.text.startswith("MSH|"))
    await stage.settled()
    stage.claim("the charset of Content-Type wins", (await stage.patient())["name"][0]["family"] == "SJÖGREN")
    warned = await stage.grown("hawsepipe_translation_findings_total", severity="warning")
    stage.claim("a warning that they differ", warned >= 1)
    same = stage.admission("HT01b", "P-HT01-b").set("MSH-18", "8859/1").set("PID-5", "ÅNGSTRÖM")
    await _post(stage, same.body("latin-1"), f"{_V2}; charset=ISO-8859-1")
    await stage.settled()
    after = await stage.grown("hawsepipe_translation_findings_total", severity="warning")
    stage.claim("no warning when they do not", after == warned)


@CHECKS.case("HT-02", "same response, one effect; same key other body -> 422", kind="hl7v2-http", unauthenticated=True)
async def _retry(stage: Stage) -> None:
    body = stage.admission("HT02").body()
    first, again = [await _post(stage, body, Idempotency_Key="HT02") for _ in range(2)]
    stage.claim("the same response", first == again and first.status == 200)
    await stage.settled()
    stage.claim("one effect", len(await stage.provenances(body)) == 1)
    other = stage.admission("HT02c").set("PID-5", "OTHER^NAME").body()
    answer = await _post(stage, other, Idempotency_Key="HT02")
    stage.claim(f"422 for another body (found {answer.status})", answer.status == 422)
    await stage.settled()
    stage.claim("without effect", not await stage.provenances(other))


@CHECKS.case("HT-03", "429 or 503 with Retry-After; never 200 before commit")
async def _overload(stage: Stage) -> None:
    async with stage.alone(kind="hl7v2-http", unauthenticated=True, limits={"waiting": 2}) as own:
        bodies = [own.admission(f"HT03-{number}", f"HT03-{number}").body() for number in range(200)]
        answers = await asyncio.gather(*(_post(own, body) for body in bodies))
        refused = [answer for answer in answers if answer.status != 200]
        own.claim("some are too many", refused)
        own.claim("they are told so", {answer.status for answer in refused} <= {429, 503})
        own.claim("and when to come again", all(answer.retry_after for answer in refused))
        # What was answered with 200 is on the disk: a kill cannot take it away.
        taken = [body for body, answer in zip(bodies, answers, strict=True) if answer.status == 200]
        last = own.admission("HT03-last", "HT03-last").body()
        answer = await _post(own, last)
        await own.local().crash()
        await own.settled()
        own.claim("one more is taken", answer.status == 200)
        effects = [len(await own.provenances(body)) for body in [*taken, last]]
        own.claim("each 200 has its effect, once", set(effects) == {1})
        others = [body for body, told in zip(bodies, answers, strict=True) if told.status != 200]
        own.claim("no refused one has any", not [body for body in others if await own.provenances(body)])


@CHECKS.case("HT-04", "nothing stored", kind="hl7v2-http", unauthenticated=True)
async def _aborted(stage: Stage) -> None:
    body = stage.admission("HT04").body()
    address = await stage.product.feed(stage.feed)
    _, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {_V2}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    whole = stage.admission("HT04b").body()
    stage.claim("the feed goes on", (await _post(stage, whole)).status == 200)
    await stage.settled()
    stage.claim("no effect", not await stage.provenances(body))
    stage.claim("no dead letter", not await stage.letters())
    stage.claim("nothing but the other one is stored", await stage.grown("hawsepipe_intake_applied_total") == 1)
