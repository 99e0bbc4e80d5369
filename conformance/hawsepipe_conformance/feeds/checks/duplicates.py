"""Duplicates (DU)."""

from __future__ import annotations

import signal
import sqlite3

from hawsepipe_conformance.feeds import generic
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


@CHECKS.case("DU-02", "same as DU-01")
async def _after_restart(stage: Stage) -> None:
    async with stage.alone() as own:
        body = own.admission("DU02").body()
        replies = []
        for restart in (False, True, False):
            if restart:
                await own.local().end(signal.SIGTERM)
                await own.local().start()
            async with own.line() as line:
                await line.send(framed(body))
                replies.append([(ack.code, ack.body) for ack in await line.until(1)])
        await own.settled()
        own.claim("the stored acknowledgement comes again", replies[0] == replies[1] == replies[2])
        own.claim("it is AA", [code for code, _ in replies[0]] == ["AA"])
        own.measure(effects=len(await own.provenances(body)))


@CHECKS.case(
    "DU-03",
    "both processed, second flagged 'control-id-reuse' (strict feeds: AE + ERR 205)."
    " NEVER silently dropped as duplicate",
)
async def _reused(stage: Stage) -> None:
    bodies = [stage.admission("DU03", f"{stage.person}-{number}").body() for number in (1, 2)]
    async with stage.line() as line:
        await line.send(b"".join(framed(body) for body in bodies))
        await generic.watch(stage, line)
    stage.claim("both have an effect", [len(await stage.provenances(body)) for body in bodies] == [1, 1])
    async with stage.alone(duplicates="strict") as strict:
        async with strict.line() as line:
            await line.send(b"".join(framed(body) for body in bodies))
            acks = await line.until(2)
        strict.claim(
            "a strict feed refuses", [(ack.code, ack.errors()) for ack in acks] == [("AA", []), ("AE", ["205"])]
        )
        strict.claim("and sets it aside", len(await strict.letters()) == 1)


@CHECKS.case(
    "DU-04",
    "AA; no new resource version when canonical R4 is equal (content-hash no-op); provenance notes the second message",
)
async def _resent_by_application(stage: Stage) -> None:
    first = stage.admission("DU04").body()
    second = stage.admission("DU04b").set("MSH-7", "20260301093000+0000").body()
    stage.claim("both AA", await stage.send(first, second) == ["AA", "AA"])
    await stage.account(b"")
    stage.measure(new_versions=len([place for place in await stage.versions(second) if "Provenance" not in place]))
    stage.claim("a Provenance notes the second message", len(await stage.provenances(second)) == 1)


@CHECKS.case("DU-05", "independent")
async def _two_senders(stage: Stage) -> None:
    bodies = [
        stage.admission("DU05", f"{stage.person}-{name}").set("MSH-3", name).set("MSH-4", f"{name}F").body()
        for name in ("ONE", "TWO")
    ]
    stage.claim("both AA", await stage.send(*bodies) == ["AA", "AA"])
    await stage.account(b"")
    stage.measure(effects=sum([len(await stage.provenances(body)) for body in bodies]))
    stage.claim("no flag", not await stage.grown("hawsepipe_feed_keys_reused_total"))


@CHECKS.case("DU-07", "processed again (a failed message is not 'seen')")
async def _failed_before(stage: Stage) -> None:
    bad = stage.admission("DU07").without("PID").body()
    stage.claim("AE each time", await stage.send(bad, bad) == ["AE", "AE"])
    stage.claim("each is looked at", len(await stage.letters()) == 2)
    good = stage.admission("DU07").body()
    stage.claim("the mended one is taken under the same id", await stage.send(good) == ["AA"])
    stage.claim("and has its effect", len(await stage.provenances(good)) == 1)


@CHECKS.case(
    "DU-10",
    "0 -> MSA-4 expected 1; repeat 1 -> ack, no effect; 3 -> reject, MSA-4=2; -1 -> resync",
    sequence_numbers=True,
)
async def _sequence(stage: Stage) -> None:
    found, bodies = [], []
    async with stage.line() as line:
        for index, number in enumerate(("0", "1", "1", "3", "-1", "7", "8")):
            # The repeat is the same message under another control id: the number alone decides.
            bodies.append(stage.admission(f"DU10-{index}", f"{stage.person}-{index}").set("MSH-13", number).body())
            await line.send(framed(bodies[-1]))
            ack = (await line.until(index + 1))[index]
            found.append((ack.code, ack.expected))
    await stage.settled()
    stage.claim(f"0: waits for 1 (found {found[0]})", found[0] == ("AA", "1"))
    stage.claim(f"1: waits for 2 (found {found[1]})", found[1] == ("AA", "2"))
    stage.claim(f"1 again: acknowledged (found {found[2]})", found[2] == ("AA", "2"))
    stage.claim("and without effect", not await stage.provenances(bodies[2]))
    stage.claim(f"3: rejected (found {found[3]})", found[3][0] in ("AR", "AE") and found[3][1] == "2")
    stage.claim("and without effect", not await stage.provenances(bodies[3]))
    stage.claim(f"-1: starts anew (found {found[4:]})", [entry[0] for entry in found[4:]] == ["AA"] * 3)
    stage.claim("with whatever comes next", [entry[1] for entry in found[5:]] == ["8", "9"])


@CHECKS.case(
    "DU-11",
    "documented window (>= 30 days or by rows); older duplicate stopped by content hash no-op at effect level",
)
async def _old_duplicate(stage: Stage) -> None:
    async with stage.alone() as own:
        product = own.local()
        body = own.admission("DU11").body()
        own.claim("AA", await own.send(body) == ["AA"])
        store = product.folder / "hawsepipe-data" / "store" / "store.db"
        before = len(await own.versions(body))
        for age, statement in (
            ("of 31 days ago", "UPDATE journal SET received_at = received_at - 31 * 86400000000"),
            ("that the journal has forgotten", "DELETE FROM journal"),
        ):
            await product.end(signal.SIGTERM)
            with sqlite3.connect(store) as opened:
                opened.execute(statement)
            await product.start()
            own.claim(f"a duplicate {age} is acknowledged", await own.send(body) == ["AA"])
            applied = await product.total("hawsepipe_intake_applied_total")
            own.claim(f"one {age} is known or looked at", applied == (0 if age.startswith("of") else 1))
            own.claim(f"one {age} makes no version", len(await own.versions(body)) == before)
