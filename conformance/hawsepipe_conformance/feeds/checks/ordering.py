"""Order (OR) and merges (MG), as far as one sender in order goes."""

from __future__ import annotations

from typing import Any

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.drafts import Draft
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
SUPERSEDED = "urn:hawsepipe:extension:superseded"
"""In a Provenance: names what its message was too old to change."""


def _update(stage: Stage, control: str, clock: str, name: str) -> Draft:
    draft = stage.admission(control).event("ADT^A08", "ADT_A01").set("MSH-7", f"20260301{clock}00+0000")
    return draft.set("EVN-2", f"20260301{clock}00+0000").set("PID-5", f"{name}^JANE")


async def _name(stage: Stage) -> str:
    return str((await stage.patient())["name"][0].get("family"))


@CHECKS.case("OR-01", "10:05 values stay current; late one stored in history/provenance as superseded; AA")
async def _late(stage: Stage) -> None:
    late = _update(stage, "OR01b", "1001", "EARLY").body()
    stage.claim("AA", await stage.send(_update(stage, "OR01", "1005", "LATER").body(), late) == ["AA", "AA"])
    stage.measure(current="10:05 values" if await _name(stage) == "LATER" else "10:01 values")
    noted = [extension["url"] for it in await stage.provenances(late) for extension in it.get("extension", [])]
    stage.claim(f"a Provenance notes the late one as superseded (found {noted})", SUPERSEDED in noted)


@CHECKS.case("OR-02", "Encounter created finished; later A01 fills start, does not reopen")
async def _discharge_first(stage: Stage) -> None:
    discharge = stage.admission("OR02").event("ADT^A03", "ADT_A03").set("PV1-44", "")
    discharge.set("PV1-45", "20260302100000+0000").set("EVN-2", "20260302100000+0000")
    discharge.set("MSH-7", "20260302100000+0000")
    await stage.send(discharge.body(), stage.admission("OR02b").body())
    (visit,) = await stage.made(discharge.body(), "Encounter")
    stage.measure(status=visit["status"])
    period = visit.get("period", {})
    stage.claim(f"start and end are known (found {period})", {"start", "end"} <= set(period))


@CHECKS.case("OR-09", "arrival sequence decides, deterministic on re-run")
async def _same_time(stage: Stage) -> None:
    await stage.send(*[_update(stage, f"OR09-{n}", "1000", name).body() for n, name in enumerate(("ONE", "TWO"))])
    stage.claim("the later arrival is current", await _name(stage) == "TWO")


def merge(stage: Stage, control: str, winner: str, loser: str, event: str = "A40", structure: str = "ADT_A39") -> bytes:
    """Return a merge of two people by their numbers."""
    draft = stage.draft("A01", control, winner).without("PV1").event(f"ADT^{event}", structure)
    return draft.set("MSH-7", "20260303083000+0000").after("PID", f"MRG|{loser}^^^GOOD^MR").body()


def links(patient: dict[str, Any]) -> list[tuple[str, str]]:
    """Return type and id of each link of a patient."""
    return [(link["type"], link["other"]["reference"].rpartition("/")[2]) for link in patient.get("link", [])]


async def _who(stage: Stage, body: bytes) -> str:
    """The id of the patient whom a message has made."""
    (patient,) = await stage.made(body, "Patient")
    return str(patient["id"])


async def pair(stage: Stage, tag: str = "") -> tuple[tuple[str, str], tuple[str, str]]:
    """Admit two people; return identifier and id of each."""
    people = (f"{stage.person}{tag}-1", f"{stage.person}{tag}-2")
    bodies = [stage.admission(f"{stage.case.id}{tag}{n}", who).body() for n, who in enumerate(people)]
    stage.claim("both are admitted", await stage.send(*bodies) == ["AA", "AA"])
    first, second = [await _who(stage, body) for body in bodies]
    return (people[0], first), (people[1], second)


async def _merged(stage: Stage, winner: str, loser: str) -> None:
    """Claim that one patient has taken the place of the other; both are ids."""
    survivor, gone = [await stage.product.read(f"Patient/{who}") for who in (winner, loser)]
    stage.claim("the one that went is inactive", gone.get("active") is False)
    stage.claim("it is replaced", ("replaced-by", winner) in links(gone))
    stage.claim("the survivor replaces it", ("replaces", loser) in links(survivor))


@CHECKS.case(
    "MG-01",
    "Patient MRN2 active=false, link replaced-by MRN1; MRN1 link replaces; reads of MRN2 compartment resolve to"
    " survivor; history kept",
)
async def _a40(stage: Stage) -> None:
    winner, loser = await pair(stage)
    stage.claim("a result before", await stage.send(stage.result("MG01r", loser[0]).body()) == ["AA"])
    stage.claim("AA", await stage.send(merge(stage, "MG01m", winner[0], loser[0])) == ["AA"])
    await _merged(stage, winner[1], loser[1])
    found = await stage.product.search("Observation", patient=f"Patient/{winner[1]}")
    stage.claim("what was the other's is found at the survivor", found)
    history = await stage.product.get(f"{stage.product.fhir}/Patient/{loser[1]}/_history")
    stage.claim("the history is kept", len(history["entry"]) >= 2)


@CHECKS.case("MG-02", "lands on survivor with note")
async def _after_merge(stage: Stage) -> None:
    winner, loser = await pair(stage)
    result = stage.result("MG02r", loser[0]).body()
    codes = await stage.send(merge(stage, "MG02m", winner[0], loser[0]), result)
    stage.claim("AA", codes == ["AA", "AA"])
    subjects = [entry["subject"]["reference"] for entry in await stage.made(result, "Observation")]
    stage.claim(f"it is the survivor's, not {subjects}", subjects == [f"Patient/{winner[1]}"])
    noted = [
        extension.get("valueReference", {}).get("reference")
        for provenance in await stage.provenances(result)
        for extension in provenance.get("extension", [])
    ]
    stage.claim(f"a note names the other (found {noted})", f"Patient/{loser[1]}" in noted)


@CHECKS.case("MG-03", "no-op, AA")
async def _twice(stage: Stage) -> None:
    winner, loser = await pair(stage)
    again = merge(stage, "MG03n", winner[0], loser[0])
    stage.claim("AA", await stage.send(merge(stage, "MG03m", winner[0], loser[0]), again) == ["AA", "AA"])
    changed = [place for place in await stage.versions(again) if place.startswith("Patient/")]
    stage.claim(f"nothing changes (changed: {changed})", not changed)
    await _merged(stage, winner[1], loser[1])


@CHECKS.case("MG-05", "stub recorded as merged so later messages resolve; AA")
async def _unknown_loser(stage: Stage) -> None:
    winner, loser = f"{stage.person}-1", f"{stage.person}-9"
    first, joined = stage.admission("MG05", winner).body(), merge(stage, "MG05m", winner, loser)
    stage.claim("AA", await stage.send(first, joined) == ["AA", "AA"])
    survivor = await _who(stage, first)
    gone = [patient["id"] for patient in await stage.made(joined, "Patient") if patient["id"] != survivor]
    stage.claim("there is a stub", len(gone) == 1)
    for stub in gone:
        await _merged(stage, survivor, stub)


@CHECKS.case("MG-08", "same effect as A40 on the identifiers they name")
async def _old_merges(stage: Stage) -> None:
    for event, structure in (("A18", "ADT_A18"), ("A30", "ADT_A30"), ("A34", "ADT_A30"), ("A39", "ADT_A39")):
        winner, loser = await pair(stage, event)
        codes = await stage.send(merge(stage, f"MG08{event}", winner[0], loser[0], event, structure))
        stage.claim(f"AA for {event}", codes == ["AA"])
        if codes == ["AA"]:
            await _merged(stage, winner[1], loser[1])
