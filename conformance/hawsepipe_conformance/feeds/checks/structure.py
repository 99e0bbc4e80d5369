"""Structure (ST)."""

from __future__ import annotations

from typing import Any

from hawsepipe_conformance.feeds import generic
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.expectations import found
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


async def _one(stage: Stage, body: bytes) -> None:
    async with stage.line() as line:
        await line.send(framed(body))
        await generic.watch(stage, line)


@CHECKS.case("ST-02", "AR + ERR-3 200; no effect; visible in dead letters (not dropped)")
async def _unknown_type(stage: Stage) -> None:
    body = stage.admission("ST02").event("ZZZ^Q99").body()
    await _one(stage, body)
    stage.claim("no effect", not await stage.provenances(body))
    stage.claim("visible in the dead letters", stage.measured["dlq"] == 1)


@CHECKS.case("ST-09", "AE 100 (strict) or accepted with warning (lenient); result equal to ordered form when lenient")
async def _order_of_segments(stage: Stage) -> None:
    ordered = stage.admission("ST09")
    visit = next(line for line in ordered.text().split("\r") if line.startswith("PV1"))
    swapped = stage.admission("ST09b").without("PV1").after("EVN", visit).body()
    async with stage.line() as line:
        await line.send(framed(swapped))
        (ack,) = await line.until(1)
    await stage.settled()
    if ack.code == "AE":
        stage.claim("AE 100", ack.errors() == ["100"])
        return
    stage.claim("accepted", ack.code == "AA")
    stage.claim("with a warning", await stage.grown("hawsepipe_translation_findings_total", severity="warning") >= 1)
    stage.claim("the ordered form is accepted", await stage.send(ordered.body()) == ["AA"])
    again = [place for place in await stage.versions(ordered.body()) if not place.startswith("Provenance")]
    stage.claim(f"its result is equal, so that nothing changes (changed: {again})", not again)


@CHECKS.case(
    "ST-10",
    "accepted; content kept raw and as a tagged extension or ignored per mapping;"
    " mapping of other segments not shifted",
)
async def _z_segment(stage: Stage) -> None:
    await _one(stage, stage.admission("ST10").after("PID", "ZPD|1|x").body())
    patient = await stage.patient()
    stage.claim("the patient is whole", patient.get("birthDate") == "1980-01-01")
    visits = await stage.product.search("Encounter", patient=f"Patient/{patient['id']}")
    stage.claim("the visit is whole", [visit["class"]["code"] for visit in visits] == ["IMP"])


@CHECKS.case("ST-12", "accepted; truncation never silent")
async def _long_field(stage: Stage) -> None:
    name = "N" * 10_000
    await _one(stage, stage.admission("ST12").set("PID-5", f"{name}^JANE").body())
    stage.claim("nothing is cut", (await stage.patient())["name"][0].get("family") == name)


@CHECKS.case(
    "ST-14",
    "precision kept (1980, 2026-03-01); feed time zone applied only where time present; DST gap/overlap flagged",
)
async def _partial_dates(stage: Stage) -> None:
    draft = stage.result("ST14").set("PID-7", "1980").set("OBX-14", "20260301").set("MSH-7", "20260301101500")
    body = draft.set("OBR-22", "20260301101500").body()
    gap = stage.result("ST14b").set("OBX-14", "20260329023000").body()
    stage.claim("both AA", await stage.send(body) == ["AA"])
    stage.claim("the year stays a year", (await stage.patient()).get("birthDate") == "1980")
    (observation,) = await stage.made(body, "Observation")
    stage.claim("the day stays a day", observation.get("effectiveDateTime") == "2026-03-01")
    (report,) = await stage.made(body, "DiagnosticReport")
    stage.claim(
        "a time gets the feed's zone",
        str(report.get("issued", "")).startswith("2026-03-01T10:15:00") and str(report["issued"]).endswith("+01:00"),
    )
    before = await stage.grown("hawsepipe_translation_findings_total", severity="warning")
    stage.claim("AA for a time that daylight saving skips", await stage.send(gap) == ["AA"])
    after = await stage.grown("hawsepipe_translation_findings_total", severity="warning")
    stage.claim("it is flagged", after > before)


@CHECKS.case("ST-15", "field omitted with data-absent reason + warning; message not lost")
async def _impossible_dates(stage: Stage) -> None:
    for number, value in enumerate(("19800230", "00000000", "99991231")):
        await stage.begin()
        person = f"{stage.person}-{number}"
        await _one(stage, stage.admission(f"ST15-{number}", person).set("PID-7", value).body())
        if value == "99991231":
            continue  # far, but a day that there will be
        patient = await stage.patient(person)
        stage.claim(f"{value} is no birth date", "birthDate" not in patient)
        urls = [entry.get("url", "") for entry in found(patient, "_birthDate.extension")]
        stage.claim(f"the absence of {value} is told", any("data-absent-reason" in url for url in urls))
        warned = await stage.grown("hawsepipe_translation_findings_total", severity="warning")
        stage.claim(f"a warning for {value}", warned >= 1)


@CHECKS.case("ST-16", "2 DiagnosticReports each with own Observations, sub-id grouping kept")
async def _groups(stage: Stage) -> None:
    draft = stage.result("ST16").without("OBX").without("OBR")
    lines = []
    for report in (1, 2):
        lines.append(f"OBR|{report}|P1|F{report}-ST16|2434{report}-7^Panel^LN|||20260301100000+0000")
        lines += [f"OBX|{n}|NM|2345-7^Glucose^LN|{n}|{report}.{n}|mmol/L|||||F" for n in (1, 2, 3)]
    body = draft.after("PID", *lines).body()
    stage.claim("AA", await stage.send(body) == ["AA"])
    reports = await stage.made(body, "DiagnosticReport")
    results = [tuple(entry["reference"] for entry in report.get("result", [])) for report in reports]
    stage.claim(f"two reports with three results each (found {results})", sorted(map(len, results)) == [3, 3])
    stage.claim("no result is in both", len({place for group in results for place in group}) == 6)
    values: list[list[Any]] = []
    for group in results:
        values.append(sorted([(await stage.product.read(place))["valueQuantity"]["value"] for place in group]))
    stage.claim("each has its own", sorted(values) == [[1.1, 1.2, 1.3], [2.1, 2.2, 2.3]])


@CHECKS.case(
    "ST-17",
    "one Observation with versions preliminary, final, corrected, then cancelled/entered-in-error;"
    " not four Observations",
)
async def _status_cycle(stage: Stage) -> None:
    places: set[str] = set()
    seen: list[str] = []
    for code in ("P", "F", "C", "D"):
        draft = stage.result(f"ST17-{code}").set("OBR-3", "F-ST17").set("OBX-11", code)
        body = draft.set("MSH-7", f"202603011{'PFCD'.index(code)}1500+0000").body()
        stage.claim(f"AA for {code}", await stage.send(body) == ["AA"])
        for observation in await stage.made(body, "Observation"):
            places.add(observation["id"])
            seen.append(observation["status"])
    stage.measure(effects_resources=len(places))
    stage.claim(f"the statuses follow (found {seen})", seen[:3] == ["preliminary", "final", "corrected"])
    stage.claim(f"the last one takes it back (found {seen})", seen[3:] in (["cancelled"], ["entered-in-error"]))


@CHECKS.case("ST-18", "reassembled; missing fragment -> parked then dead letter after timeout")
async def _continuation(stage: Stage) -> None:
    draft = stage.result("ST18-1").set("OBR-3", "F-ST18").without("OBX")
    body = draft.after("OBR", "OBX|1|NM|1-8^A^LN||1|mg|||||F", "DSC|CP1").body()
    second = stage.draft("ORU", "ST18-2").without("PID").without("OBR").without("OBX").set("MSH-14", "CP1")
    third = stage.draft("ORU", "ST18-3").without("PID").without("OBR").without("OBX").set("MSH-14", "CP2")
    parts = [
        body,
        second.after("MSH", "OBX|2|NM|2-6^B^LN||2|mg|||||F", "DSC|CP2").body(),
        third.after("MSH", "OBX|3|NM|3-4^C^LN||3|mg|||||F").body(),
    ]
    stage.claim("each fragment is accepted", await stage.send(*parts) == ["AA", "AA", "AA"])
    patient = await stage.patient()
    reports = await stage.product.search("DiagnosticReport", patient=f"Patient/{patient['id']}")
    stage.claim("one report with all three results", [len(report.get("result", [])) for report in reports] == [3])
    stage.claim("nothing is set aside", not await stage.letters())
    lost = stage.result("ST18-4").set("OBR-3", "F-ST18b").after("OBX", "DSC|CP9").body()
    stage.claim("the first of an unfinished message is accepted", await stage.send(lost) == ["AA"])
    async with stage.line() as line:
        await line.hung_up(4)
    stage.claim("it is set aside when its rest does not come", len(await stage.letters()) == 1)


@CHECKS.case("ST-21", "decoded if enabled else AR; dead letter")
async def _xml(stage: Stage) -> None:
    body = b"<ORU_R01 xmlns='urn:hl7-org:v2xml'><MSH><MSH.1>|</MSH.1></MSH></ORU_R01>"
    async with stage.line() as line:
        await line.send(framed(body))
        acks = await line.until(1)
    stage.claim("AR", [ack.code for ack in acks] == ["AR"])
    stage.claim("a dead letter", len(await stage.letters()) == 1)
