"""Security (SC)."""

from __future__ import annotations

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


@CHECKS.case(
    "SC-04",
    "AR + alert; identity comes from channel, not from MSH",
    accept={"senders": ["ADT1|GOOD"]},
)
async def _spoofed(stage: Stage) -> None:
    body = stage.admission("SC04").set("MSH-4", "OTHER").body()
    stage.claim("AR", await stage.send(body) == ["AR"])
    stage.claim("no effect", not await stage.provenances(body))
    stage.claim("an alert", await stage.grown("hawsepipe_feed_framing_events_total", event="foreign_sender") == 1)
    stage.claim("visible", len(await stage.letters()) == 1)
    stage.claim("the feed's own sender is taken", await stage.send(stage.admission("SC04b").body()) == ["AA"])


@CHECKS.case("SC-08", "grep of logs finds no name, MRN, DOB used in the suite")
async def _no_patient_data(stage: Stage) -> None:
    # A service of its own, so that its whole log is known; each kind of message passes through each kind of fate.
    async with stage.alone() as own:
        words = ("QUILLFEATHER", "OPHELIA", "19710613", "1971-06-13", "MRN-SC08-77", "LARKSPUR")

        def bodies() -> list[bytes]:
            drafts = [own.admission("SC08", words[4]), own.result("SC08r", words[4])]
            drafts += [own.admission("SC08x", words[4]).set("MSH-12", "9.9"), own.result("SC08y", words[4])]
            drafts[3].set("OBX-2", "NM").set("OBX-5", words[0])
            for draft in drafts:
                draft.set("PID-5", f"{words[0]}^{words[1]}").set("PID-7", words[2]).set("PID-11", f"1 {words[5]} ST")
            return [draft.body() for draft in drafts] + [drafts[0].body()[:-200], drafts[0].body() + b"\x1c\xff"]

        async with own.line() as line:
            for body in bodies():
                await line.send(b"\x0b" + body + b"\x1c\r")
            await line.until(6)
        await own.settled()
        await own.patient(words[4])
        shown = own.local().log() + "".join(f"{sample}" for sample in await own.product.samples())
        own.claim("the service has logged", "dead letter" in shown)
        for word in words:
            own.claim(f"{word} is nowhere", word not in shown)
