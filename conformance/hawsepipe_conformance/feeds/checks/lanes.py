"""Order of one person's messages beside those of others (OR), with letters, holds and replays."""

from __future__ import annotations

import asyncio
import json
import os
from time import monotonic
from typing import Any

from hawsepipe_conformance.feeds.checks.ordering import SUPERSEDED
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.drafts import Draft
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
POISON = {"messages": ["ADT^*"]}
"""A door that takes an event which has no map: it is accepted and cannot be applied."""
_PATIENTS, _EACH, _CONNECTIONS, _LOOKED_AT = 1000, 20, 32, 60
_SPEED_UP, _WORKERS = 3.0, 4


def update(stage: Stage, control: str, name: str, *, when: str = "20260301083000", person: str = "") -> Draft:
    """Return an A08 that gives a patient a name."""
    draft = stage.admission(control, person).event("ADT^A08", "ADT_A01").set("MSH-7", f"{when}+0000")
    return draft.set("EVN-2", f"{when}+0000").set("PID-5", f"{name}^JANE").without("PV1")


async def names(stage: Stage, person: str = "") -> list[str]:
    """Return what a patient was called in the versions of the record, the first name first."""
    patient = await stage.patient(person)
    history = await stage.product.get(f"{stage.product.fhir}/Patient/{patient['id']}/_history", {"_count": "100"})
    versions = [entry["resource"] for entry in history["entry"] if "resource" in entry]
    found = [version["name"][0]["family"] for version in versions if version.get("name")]
    return list(dict.fromkeys(reversed(found)))


async def _load(stage: Stage, patients: int) -> float:
    """Send every patient's messages in order, patients side by side; return the seconds until all are applied."""
    lanes = [
        [
            update(stage, f"L{who}-{turn}", f"N{turn}", person=f"{stage.person}-{who}").body()
            for turn in range(_EACH)
            for who in range(lane, patients, _CONNECTIONS)
        ]
        for lane in range(_CONNECTIONS)
    ]

    async def send(bodies: list[bytes]) -> int:
        async with stage.line() as line:
            sending = asyncio.create_task(line.send(b"".join(framed(body) for body in bodies)))
            acks = await line.until(len(bodies), 600)
            await sending
            return [ack.code for ack in acks].count("AA")

    begun = monotonic()
    taken = sum(await asyncio.gather(*map(send, lanes)))
    stage.claim(f"all are acknowledged ({taken} of {patients * _EACH})", taken == patients * _EACH)
    await stage.product.settled(600)
    return monotonic() - begun


@CHECKS.case("OR-05", "for every patient effects are in arrival order; global parallel speed-up >= 3x on 4 workers")
async def _parallel(stage: Stage) -> None:
    # A speed-up by four workers can only be seen where there are processors for them and for the writer.
    cores = os.cpu_count() or 1
    async with stage.alone() as own:
        await _load(own, _PATIENTS)
        wanted = [f"N{turn}" for turn in range(_EACH)]
        for who in range(0, _PATIENTS, _PATIENTS // _LOOKED_AT):
            found = await names(own, f"{own.person}-{who}")
            own.claim(f"patient {who} was called {found}", found == wanted)
        last = {f"{own.person}-{who}": "" for who in range(_PATIENTS)}
        for patient in await _everybody(own):
            for number in patient["identifier"]:
                if number["value"] in last:
                    last[number["value"]] = patient["name"][0]["family"]
        wrong = [person for person, name in last.items() if name != wanted[-1]]
        own.claim(f"the last message counts for everybody ({len(wrong)} are wrong)", not wrong)
    if cores > _WORKERS:
        took: dict[int, float] = {}
        for workers in (1, _WORKERS):
            async with stage.alone(service={"workers": workers}) as own:
                await own.send(update(own, "warm", "W", person=f"{own.person}-w").body())
                took[workers] = await _load(own, _PATIENTS // 4)
        ratio = took[1] / took[_WORKERS]
        stage.claim(f"{_WORKERS} workers are {_SPEED_UP} times as fast as one ({ratio:.1f})", ratio >= _SPEED_UP)


async def _everybody(stage: Stage) -> list[dict[str, Any]]:
    url: str | None = f"{stage.product.fhir}/Patient?_count=200"
    found: list[dict[str, Any]] = []
    while url is not None:
        bundle = await stage.product.get(url)
        found += [entry["resource"] for entry in bundle.get("entry", [])]
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    return found


@CHECKS.case(
    "OR-06",
    "only lane P follows policy (hold|skip); other patients proceed; held lane shown in ops page; release keeps order",
    accept=POISON,
)
async def _poison(stage: Stage) -> None:
    drafts = [update(stage, f"OR06-{turn}", f"N{turn}") for turn in range(10)]
    mended = drafts[2].body()
    drafts[2].event("ADT^A99")
    other = update(stage, "OR06-q", "OTHER", person=f"{stage.person}-q").body()
    bodies = [draft.body() for draft in drafts]
    codes = await stage.send(*bodies[:5], other, *bodies[5:])
    stage.claim(f"all are acknowledged (found {codes})", codes == ["AA"] * 11)
    (letter,) = await stage.letters()
    stage.claim("what came before is applied, what came after waits", await names(stage) == ["N0", "N1"])
    stage.claim("another patient goes on", await names(stage, f"{stage.person}-q") == ["OTHER"])
    held = [lane for lane in await _lanes(stage) if lane["letter"] == letter["sequence"]]
    stage.claim(f"the lane is shown (found {held})", [lane["waiting"] for lane in held] == [7])
    (feed,) = [
        it for it in (await stage.product.get(f"{stage.product.origin}/feeds"))["feeds"] if it["name"] == stage.feed
    ]
    stage.claim("and on the board of the feeds", feed["held"] == 7)
    await stage.product.post(f"/ops/dead-letters/{letter['sequence']}/retry", mended)
    await stage.settled()
    found = await names(stage)
    stage.claim(f"released in order (found {found})", found == [f"N{turn}" for turn in range(10)])
    stage.claim("nothing is held any more", not [lane for lane in await _lanes(stage) if lane in held])
    async with stage.alone(accept=POISON, on_failure="skip") as own:
        codes = await own.send(*bodies)
        own.claim("a feed that skips goes on", codes == ["AA"] * 10)
        found = await names(own)
        own.claim(f"without the one (found {found})", found == [f"N{turn}" for turn in range(10) if turn != 2])


async def _lanes(stage: Stage) -> list[dict[str, Any]]:
    lanes: list[dict[str, Any]] = await stage.product.get(f"{stage.product.origin}/ops/lanes")
    return lanes


@CHECKS.case(
    "OR-08",
    "does not overwrite newer state unless 'force as current' is chosen; UI shows diff first",
    accept=POISON,
    on_failure="skip",
)
async def _old_replay(stage: Stage) -> None:
    march, april = "20260301083000", "20260401083000"
    for turn, how in enumerate(("", "?current=true")):
        person = f"{stage.person}-{turn}"
        old = update(stage, f"OR08-{turn}", "MARCH", when=march, person=person)
        mended = old.body()
        new = update(stage, f"OR08-{turn}n", "APRIL", when=april, person=person).body()
        codes = await stage.send(old.event("ADT^A99").body(), new)
        stage.claim("both are acknowledged", codes == ["AA", "AA"])
        letter = (await stage.letters())[-1]["sequence"]
        shown = await stage.product.post(f"/ops/dead-letters/{letter}/rehearse{how}", mended)
        after = [json.loads(one["after"]) for one in shown["resources"] if one["resource"].startswith("Patient/")]
        wanted = "MARCH" if how else "APRIL"
        stage.claim("the difference is shown first", [it["name"][0]["family"] for it in after] == [wanted])
        stage.claim("which changes nothing", await names(stage, person) == ["APRIL"])
        await stage.product.post(f"/ops/dead-letters/{letter}/retry{how}", mended)
        await stage.settled()
        current = (await stage.patient(person))["name"][0]["family"]
        stage.claim(f"{wanted} is current (found {current})", current == wanted)
        noted = [item["url"] for it in await stage.provenances(mended) for item in it.get("extension", [])]
        stage.claim("a Provenance says so", (SUPERSEDED in noted) is not bool(how))
