"""Bytes to text (EN)."""

from __future__ import annotations

import asyncio
import json

from hawsepipe_conformance.feeds import generic
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


@CHECKS.case("EN-02", "accepted; # is truncation only; no field shift")
async def _truncation_character(stage: Stage) -> None:
    body = stage.admission("EN02").set("MSH-2", "^~\\&#").set("PID-5", "DOE#^JANE").body()
    async with stage.line() as line:
        await line.send(framed(body))
        await generic.watch(stage, line)
    patient = await stage.patient()
    stage.claim("the fields are where they belong", patient.get("birthDate") == "1980-01-01")
    stage.claim("it divides nothing", patient["name"][0].get("given") == ["JANE"])


@CHECKS.case("EN-03", "AR/AE with ERR 102 on MSH-2; dead letter")
async def _bad_delimiters(stage: Stage) -> None:
    for number, marks in enumerate(("^^\\&", "")):
        await stage.begin()
        async with stage.line() as line:
            await line.send(framed(stage.admission(f"EN03-{number}").set("MSH-2", marks).body()))
            await generic.watch(stage, line)
            segments = [segment for ack in line.acks for segment in ack.segments if segment[0] == "ERR"]
        stage.claim(f"ERR 102 for {marks!r}", "102" in stage.measured["err"])
        stage.claim(f"on MSH-2 for {marks!r}", any("MSH^1^2" in segment for segment in segments))
        if stage.measured["ack"] != ["AE"] or stage.measured["dlq"] != 1:
            return


@CHECKS.case(
    "EN-10", "AE/AR 'UTF-16 not allowed over MLLP', dead letter with raw bytes; framing resynchronises on next SB"
)
async def _utf16(stage: Stage) -> None:
    body = stage.admission("EN10").text().encode("utf-16-le")
    good = stage.admission("EN10b", "P-EN-10b").body()
    async with stage.line() as line:
        await line.send(framed(body))
        acks = await line.until(1)
        stage.claim("AE or AR", [ack.code for ack in acks] in (["AE"], ["AR"]))
        letters = await stage.letters()
        stage.claim("the reason is told", any("UTF-16" in letter["text"] for letter in letters))
        await stage.account(framed(body))
        await line.send(framed(good))
        acks = await line.until(2)
        stage.claim("the next frame is answered with AA", [ack.code for ack in acks[1:]] == ["AA"])


@CHECKS.case("EN-12", "decoded via ISO-2022-JP; unsupported sets -> AE 102, never mojibake")
async def _japanese(stage: Stage) -> None:
    name = "\u5c71\u7530"
    draft = stage.admission("EN12").set("MSH-18", "ASCII~ISO IR87").set("PID-5", f"{name}^\u592a\u90ce")
    stage.claim("AA", await stage.send(draft.body("iso2022_jp")) == ["AA"])
    patient = await stage.patient()
    stage.claim("decoded", patient["name"][0].get("family") == name)
    async with stage.line() as line:
        await line.send(framed(stage.admission("EN12b").set("MSH-18", "KLINGON").body()))
        acks = await line.until(1)
        stage.claim("AE 102 for an unknown set", [(ack.code, *ack.errors()) for ack in acks] == [("AE", "102")])


@CHECKS.case("EN-13", "a|b^c&d~e\\fA + line break g")
async def _escapes(stage: Stage) -> None:
    text = "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f\\X41\\\\.br\\g"
    async with stage.line() as line:
        await line.send(framed(stage.result("EN13").set("OBX-2", "ST").set("OBX-5", text).body()))
        await generic.watch(stage, line)


@CHECKS.case("EN-14", "kept literally, warning; no exception")
async def _unknown_escapes(stage: Stage) -> None:
    body = stage.result("EN14").set("OBX-2", "ST").set("OBX-5", "a\\Q\\b and c\\d").body()
    async with stage.line() as line:
        await line.send(framed(body))
        await generic.watch(stage, line)
    values = [entry.get("valueString") for entry in await stage.made(body, "Observation")]
    stage.claim(f"kept literally (found {values})", values == ["a\\Q\\b and c\\d"])
    warned = await stage.grown("hawsepipe_translation_findings_total", severity="warning")
    stage.claim("a warning", warned >= 1)


@CHECKS.case("EN-17", "stripped for matching key, kept in raw; no XSS in ops page (rendered as text)")
async def _invisible_characters(stage: Stage) -> None:
    plain = stage.admission("EN17").body()
    dirty = (
        stage.admission("EN17b")
        .set("MSH-18", "UNICODE UTF-8")
        .set("PID-3", f"{stage.person}\u200b^^^GOOD^MR")
        .set("PID-5", "DO\x07E\u200b^JANE")
        .body()
    )
    stage.claim("both AA", await stage.send(plain, dirty) == ["AA", "AA"])
    first = {place.split("/_history")[0] for place in await stage.versions(plain) if place.startswith("Patient/")}
    second = {place.split("/_history")[0] for place in await stage.versions(dirty) if place.startswith("Patient/")}
    stage.claim("both are the same person", first == second)


@CHECKS.case("EN-18", "stored literally; operations page and Narrative escape it")
async def _script(stage: Stage) -> None:
    text = "<script>alert(1)</script>"
    admission = stage.admission("EN18").set("PID-5", f"{text}^JANE").body()
    result = stage.result("EN18b").set("OBX-2", "ST").set("OBX-5", text).body()
    stage.claim("both AA", await stage.send(admission, result) == ["AA", "AA"])
    patient = await stage.patient()
    stage.claim("the name is stored literally", patient["name"][0].get("family") == text)
    values = [entry.get("valueString") for entry in await stage.made(result, "Observation")]
    stage.claim("the value is stored literally", values == [text])
    places = [*await stage.versions(admission), *await stage.versions(result)]
    narratives = [
        json.dumps((await stage.product.read(place)).get("text", "")) for place in places if "Provenance" not in place
    ]
    await asyncio.sleep(0)
    stage.claim("no narrative has it as markup", not any("<script" in narrative for narrative in narratives))
    stage.measure(security=not stage.failures)
