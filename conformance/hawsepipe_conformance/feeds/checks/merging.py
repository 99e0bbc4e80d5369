"""Merges, moves and deletions beyond A40 (MG): visits, an operator's decisions, consents."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hawsepipe_conformance.feeds.cases import Unclear
from hawsepipe_conformance.feeds.checks.ordering import merge, pair
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.drafts import Draft
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_TERMS = "http://terminology.hl7.org/CodeSystem"


def _visit_event(stage: Stage, event: str, person: str, visit: str, old: str, former: str = "") -> Draft:
    draft = stage.admission(f"{stage.case.id}{event}m", person).event(f"ADT^{event}", f"ADT_{event}")
    draft.set("PV1-19", f"{visit}^^^GOOD^VN").set("MSH-7", "20260303083000+0000").set("EVN-2", "20260303083000+0000")
    return draft.after("PID", f"MRG|{former or person}^^^GOOD^MR||||{old}^^^GOOD^VN")


async def _visit(stage: Stage, body: bytes, number: str) -> dict[str, Any]:
    """Return the visit of a message that has this number first."""
    made = await stage.made(body, "Encounter")
    for visit in made:
        if visit["identifier"][0]["value"] == number:
            return visit
    raise Unclear(f"the message has made no visit {number}")


@CHECKS.case("MG-10", "Encounter merged / re-parented / renumbered; old visit id resolvable")
async def _visits(stage: Stage) -> None:
    for event in ("A42", "A45", "A50"):
        person = former = f"{stage.person}-{event}"
        old, new = f"{person}-V1", f"{person}-V2"
        if event == "A45":
            former = f"{person}-before"
        first = stage.admission(f"MG10{event}1", former).set("PV1-19", f"{old}^^^GOOD^VN").body()
        bodies = [first]
        if event != "A50":
            bodies.append(stage.admission(f"MG10{event}2", person).set("PV1-19", f"{new}^^^GOOD^VN").body())
        moved = _visit_event(stage, event, person, new, old, former).body()
        codes = await stage.send(*bodies, moved)
        stage.claim(f"AA for {event} (found {codes})", set(codes) == {"AA"})
        kept, gone = await _visit(stage, moved, new), await _visit(stage, first, old)
        stage.claim(f"{event}: the old number is entered in error", gone["status"] == "entered-in-error")
        stage.claim(
            f"{event}: and part of the other", gone.get("partOf", {}).get("reference") == f"Encounter/{kept['id']}"
        )
        (owner,) = await stage.product.search("Patient", identifier=person)
        stage.claim(f"{event}: it is the patient's", kept["subject"]["reference"] == f"Patient/{owner['id']}")
        found = [visit["id"] for visit in await stage.product.search("Encounter", identifier=old)]
        stage.claim(f"{event}: the old number finds it", kept["id"] in found)
        later = stage.admission(f"MG10{event}l", person).event("ADT^A08", "ADT_A01").set("PV1-19", f"{old}^^^GOOD^VN")
        later.set("MSH-7", "20260304083000+0000").set("EVN-2", "20260304083000+0000").set("PV1-3", "W7^700^A")
        stage.claim(f"{event}: a later message under the old number is taken", await stage.send(later.body()) == ["AA"])
        made = [visit["id"] for visit in await stage.made(later.body(), "Encounter")]
        stage.claim(f"{event}: it is about the other visit (found {made})", made == [kept["id"]])


@CHECKS.case("MG-13", "restores both records from history by a new transaction; ledger gains entries, none removed")
async def _unmerge(stage: Stage) -> None:
    winner, loser = await pair(stage)
    own = stage.result("MG13r", loser[0]).body()
    await stage.send(own)
    before = [await stage.product.read(f"Patient/{who}") for who in (winner[1], loser[1])]
    after = stage.result("MG13a", loser[0]).body()
    codes = await stage.send(merge(stage, "MG13m", winner[0], loser[0]), after)
    stage.claim("merged", codes == ["AA", "AA"])
    counts = [await _versions(stage, who) for who in (winner[1], loser[1])]
    wanted = [f"Provenance/{proof['id']}" for proof in await _applied(stage, after)]
    stage.claim("the message under the old number is applied", wanted)
    done = await stage.product.post(f"/ops/patients/{loser[1]}/unmerge")
    listed = done["to_check"]
    stage.claim(f"what came under the old number since is listed (found {listed})", listed == wanted)
    for (_, who), was, count in zip((winner, loser), before, counts, strict=True):
        now = await stage.product.read(f"Patient/{who}")
        bare = [{key: value for key, value in one.items() if key != "meta"} for one in (was, now)]
        stage.claim("the record is what it was", bare[0] == bare[1])
        stage.claim("by a new version", await _versions(stage, who) == count + 1)
    found = [it["id"] for it in await stage.product.search("Observation", patient=f"Patient/{winner[1]}")]
    theirs = [it["id"] for it in await stage.made(own, "Observation")]
    stage.claim("each has what is about it alone", not set(theirs) & set(found))
    again = stage.result("MG13b", loser[0]).body()
    await stage.send(again)
    subjects = {it["subject"]["reference"] for it in await stage.made(again, "Observation")}
    stage.claim("the number is its own again", subjects == {f"Patient/{loser[1]}"})


async def _applied(stage: Stage, body: bytes) -> list[dict[str, Any]]:
    """Return the Provenances of a message once there are any; after ten seconds, none."""
    for _ in range(200):
        if told := await stage.provenances(body):
            return told
        await asyncio.sleep(0.05)
    return []


async def _versions(stage: Stage, who: str) -> int:
    history = await stage.product.get(f"{stage.product.fhir}/Patient/{who}/_history", {"_count": "100"})
    return len(history["entry"])


def _consent(patient: str, kind: str) -> dict[str, Any]:
    purpose = {"system": f"{_TERMS}/v3-ActReason", "code": "HRESCH"}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": f"{_TERMS}/consentscope", "code": "research"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2026-01-01T00:00:00Z",
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": {"type": kind, "purpose": [purpose]},
    }


@CHECKS.case("MG-14", "survivor = most restrictive until a person decides; alert")
async def _contradiction(stage: Stage) -> None:
    product = stage.local()
    (winner, permitting), (loser, denying) = await pair(stage)
    bodies = [stage.result(f"MG14{n}", who).body() for n, who in enumerate((winner, loser))]
    await stage.send(*bodies)
    officer = await product.token_for("user/*.cruds", "privacy-officer")
    consents = {}
    for who, kind in ((permitting, "permit"), (denying, "deny")):
        body = json.dumps(_consent(who, kind)).encode()
        consents[who] = await product.post("/fhir/Consent", body, token=officer, media="application/fhir+json")
    research = await product.token_for("user/*.rs", "physician", purpose="HRESCH")
    places = [(await stage.made(body, "Observation"))[0]["id"] for body in bodies]

    async def statuses() -> list[int]:
        return [await product.allowed(f"/fhir/Observation/{place}", research) for place in places]

    stage.claim("before, each as consented", await statuses() == [200, 404])
    alerts = await product.total("hawsepipe_consent_contradictions")
    stage.claim("AA", await stage.send(merge(stage, "MG14m", winner, loser)) == ["AA"])
    stage.claim("after the merge the deny holds for both", await statuses() == [404, 404])
    stage.claim("an alert", await product.total("hawsepipe_consent_contradictions") == alerts + 1)
    # A person decides: the consent that denied is withdrawn.
    withdrawn = consents[denying] | {"status": "inactive"}
    await product.put(f"/fhir/Consent/{withdrawn['id']}", withdrawn, officer)
    stage.claim("then what was decided", await statuses() == [200, 200])
    stage.claim("and no alert", await product.total("hawsepipe_consent_contradictions") == alerts)
    stage.measure(security=not stage.failures)


@CHECKS.case("MG-15", "entered-in-error or inactive, never physical; A29 needs feed permission")
async def _deletions(stage: Stage) -> None:
    first = stage.admission("MG15").body()
    gone = stage.admission("MG15b").event("ADT^A23", "ADT_A21").set("MSH-7", "20260302083000+0000")
    codes = await stage.send(first, gone.set("EVN-2", "20260302083000+0000").body())
    stage.claim("AA for A23", codes == ["AA", "AA"])
    (visit,) = await stage.made(first, "Encounter")
    stage.claim("the visit is entered in error and still there", visit["status"] == "entered-in-error")
    person = stage.admission("MG15c").event("ADT^A29", "ADT_A21").without("PV1").set("MSH-7", "20260303083000+0000")
    body = person.set("EVN-2", "20260303083000+0000").body()
    stage.claim("A29 needs a permission", await stage.send(body) == ["AR"])
    stage.claim("without it the person stays", (await stage.patient()).get("active") is not False)
    async with stage.alone(accept={"messages": ["ADT^A01", "ADT^A29"]}) as own:
        stage.claim("with it, it is taken", await own.send(first, body) == ["AA", "AA"])
        patient = await own.patient()
        own.claim("the person is inactive and still there", patient.get("active") is False)
        own.claim("with what was known", patient["name"][0]["family"] == "DOE")
