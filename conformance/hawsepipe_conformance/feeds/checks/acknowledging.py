"""Acknowledgements (AK)."""

from __future__ import annotations

import asyncio

from hawsepipe_conformance.feeds import generic
from hawsepipe_conformance.feeds.checks.lanes import POISON, update
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.drafts import Draft
from hawsepipe_conformance.feeds.line import Ack, framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


async def _answers(stage: Stage, draft: Draft, count: int) -> list[Ack]:
    async with stage.line() as line:
        await line.send(framed(draft.body()))
        await line.until(count, 3)
        await stage.settled()
        await asyncio.sleep(generic.QUIET)
        await stage.account(bytes(line.sent))
        return line.acks


def _asked(draft: Draft, accept: str, application: str) -> Draft:
    return draft.set("MSH-15", accept).set("MSH-16", application)


@CHECKS.case(
    "AK-02",
    "CA first after durable store, AA/AE/AR later as own message with own MSH-10; the AA waits for effect,"
    " not just storage",
)
async def _both(stage: Stage) -> None:
    draft = _asked(stage.admission("AK02"), "AL", "AL")
    acks = await _answers(stage, draft, 2)
    stage.measure(ack=[ack.code for ack in acks])
    stage.claim("both name the message", [ack.control for ack in acks] == ["AK02", "AK02"])
    stage.claim("each has a control id of its own", len({ack.own for ack in acks}) == 2)
    stage.claim("the effect is there", len(await stage.provenances(draft.body())) == 1)
    # An application error shows that the AA waits for the effect: stored, and no resource can be made of it.
    bad = _asked(stage.result("AK02b"), "AL", "AL").set("OBX-2", "NM").set("OBX-5", "abc")
    codes = [ack.code for ack in await _answers(stage, bad, 2)]
    stage.claim(f"a failure of the effect is told (found {codes})", codes in (["CA", "AE"], ["CE", "AE"], ["CE"]))


@CHECKS.case("AK-03", "CA only; failures surface in dead letters")
async def _accept_only(stage: Stage) -> None:
    acks = await _answers(stage, _asked(stage.admission("AK03"), "AL", "NE"), 1)
    stage.measure(ack=[ack.code for ack in acks])
    bad = _asked(stage.result("AK03b"), "AL", "NE").set("OBX-2", "NM").set("OBX-5", "abc")
    await _answers(stage, bad, 1)
    stage.claim("a failure is a dead letter", len(await stage.letters()) == 1)


@CHECKS.case("AK-05", "silence on success; CE/CR or AE/AR on failure")
async def _errors_only(stage: Stage) -> None:
    acks = await _answers(stage, _asked(stage.admission("AK05"), "ER", "ER"), 1)
    stage.claim("silence on success", not acks)
    acks = await _answers(stage, _asked(stage.admission("AK05b"), "ER", "ER").set("MSH-12", "9.9"), 1)
    stage.claim("CR for a version", [ack.code for ack in acks][:1] == ["CR"])
    acks = await _answers(stage, _asked(stage.admission("AK05c"), "ER", "ER").without("PID"), 1)
    stage.claim("CE or AE for content", [ack.code for ack in acks][:1] in (["CE"], ["AE"]))


@CHECKS.case("AK-07", "enhanced mode, empty = NE")
async def _one_valued(stage: Stage) -> None:
    acks = await _answers(stage, stage.admission("AK07").set("MSH-15", "AL"), 1)
    stage.measure(ack=[ack.code for ack in acks])
    acks = await _answers(stage, stage.admission("AK07b").set("MSH-16", "AL"), 1)
    stage.claim("MSH-16 alone: no accept acknowledgement", [ack.code for ack in acks] == ["AA"])


@CHECKS.case("AK-10", "ERR-1 (ELD) before 2.5; ERR-2/3/4 with severity from 2.5; MSA-3 text for old")
async def _error_shape(stage: Stage) -> None:
    (old,) = await _answers(stage, stage.admission("AK10").set("MSH-12", "2.3.1").without("PID"), 1)
    (new,) = await _answers(stage, stage.admission("AK10b").without("PID"), 1)
    before = next((segment for segment in old.segments if segment[0] == "ERR"), ("ERR",))
    since = next((segment for segment in new.segments if segment[0] == "ERR"), ("ERR",))
    stage.claim("AE for both", (old.code, new.code) == ("AE", "AE"))
    stage.claim("ERR-1 before 2.5", len(before) == 2 and before[1].startswith("PID^") and "101" in before[1])
    stage.claim("MSA-3 before 2.5", old.text)
    stage.claim("no ERR-1 from 2.5", len(since) > 4 and since[1] == "")
    stage.claim("location, code, severity from 2.5", since[2].startswith("PID") and since[3].startswith("101^"))
    stage.claim("the severity is an error", since[4:5] == ("E",))


@CHECKS.case("AK-14", "deferred AA sent (or suppressed by config) exactly once", accept=POISON)
async def _deferred(stage: Stage) -> None:
    await _retried(stage, ["CA", "AE", "AA"])
    async with stage.alone(accept=POISON, late_acknowledgements=False) as own:
        await _retried(own, ["CA", "AE"])


async def _retried(stage: Stage, wanted: list[str]) -> None:
    """Have a message set aside, retry it twice, and look at all that is answered on its connection."""
    draft = _asked(update(stage, "AK14", "NAME"), "AL", "AL")
    mended = draft.body()
    async with stage.line() as line:
        await line.send(framed(draft.event("ADT^A99").body()))
        await line.until(2)
        await stage.settled()
        (letter,) = await stage.letters()
        await stage.product.post(f"/ops/dead-letters/{letter['sequence']}/retry")  # fails again
        await stage.settled()
        again = (await stage.letters())[-1]["sequence"]
        await stage.product.post(f"/ops/dead-letters/{again}/retry", mended)
        await stage.settled()
        await line.until(len(wanted), 5)
        await asyncio.sleep(generic.QUIET)
        codes = [ack.code for ack in line.acks]
        stage.claim(f"the answers are {wanted} (found {codes})", codes == wanted)
        stage.claim("each names the message", {ack.control for ack in line.acks} == {"AK14"})
