"""What holds for a load of history, whichever way it comes (MI): here over the feeds that take FHIR."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta
from typing import Any

from hawsepipe.clock import system_clock
from hawsepipe_conformance.feeds.checks.recovery import leaf, store_file
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.checks.versions import post
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_HTTP: dict[str, Any] = {"kind": "fhir-http", "unauthenticated": True}
_META = {"versionId": "3", "lastUpdated": "2009-05-02T08:00:00Z"}
"""What a server's export says of every version; by its number a version that comes again is known."""
_PEOPLE = 40


def _patient(id_: str) -> dict[str, Any]:
    number = {"system": "urn:mrn", "value": id_}
    return {"resourceType": "Patient", "id": id_, "meta": _META, "identifier": [number]}


def _observation(id_: str, patient: str, value: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "meta": _META,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2009-05-01",
        "valueQuantity": {"value": value, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    }


@CHECKS.case(
    "MI-01",
    "effectiveDateTime 2009-05-01; meta.lastUpdated and ledger time = load time, monotonic;"
    " Provenance.occurred/recorded show both",
)
async def _times(stage: Stage) -> None:
    async with stage.alone(**_HTTP) as own:
        begun = system_clock() - timedelta(seconds=1)
        bodies = [_patient("MI01"), *(_observation(f"MI01-{n}", "MI01", 60 + n) for n in range(5))]
        for body in bodies:
            status, words = await post(own, body)
            own.claim(f"{body['id']} is taken ({status}: {words})", status == 200)
        await own.settled()
        times: list[datetime] = []
        places: list[int] = []
        for body in bodies[1:]:
            read = await own.product.read(f"Observation/{body['id']}")
            own.claim("the clinical time is what it was", read["effectiveDateTime"] == "2009-05-01")
            times.append(datetime.fromisoformat(read["meta"]["lastUpdated"]))
            (proof,) = await own.provenances(json.dumps(body).encode())
            places.append(await leaf(own, proof["id"]))
            recorded = datetime.fromisoformat(proof["recorded"])
            own.claim(f"recorded is the time of the load (found {recorded})", recorded == times[-1])
            occurred = proof.get("occurredDateTime", "")
            own.claim(f"occurred is the source's (found {occurred!r})", occurred[:10] in ("2009-05-01", "2009-05-02"))
        own.claim("all of them now", begun <= min(times) and max(times) <= system_clock() + timedelta(seconds=1))
        own.claim("each later than the one before", times == sorted(set(times)))
        own.claim("so are their places in the log", places == sorted(set(places)))


@CHECKS.case("MI-04", "second run: 0 new versions, 0 new ledger entries")
async def _twice(stage: Stage) -> None:
    async with stage.alone(**_HTTP) as own:

        async def load() -> None:
            for n in range(_PEOPLE):
                for body in (_patient(f"MI04-{n}"), _observation(f"MI04-{n}-o", f"MI04-{n}", n)):
                    status, words = await post(own, body)
                    own.claim(f"taken ({status}: {words})", status == 200)
            await own.settled()

        def counts() -> tuple[int, int]:
            with sqlite3.connect(f"file:{store_file(own)}?mode=ro", uri=True) as store:
                versions, leaves = store.execute(
                    "SELECT (SELECT count(*) FROM version), (SELECT count(*) FROM leaf)"
                ).fetchone()
            return versions, leaves

        await load()
        first = counts()
        own.claim(f"the first run makes versions (found {first})", first[0] >= 4 * _PEOPLE and first[1] >= first[0])
        await load()
        own.claim(f"the second makes none (found {counts()})", counts() == first)
        own.claim("and nothing is set aside", not await own.letters())
