"""Run consent cases: `python -m hawsepipe_conformance.consent CASES.json [--json] [--pairs N]`.

A case of kind `decision` states consents, a directory, a request, a resource version and what must come out; one of
kind `noninterference` a store, a request to the API and its answer, which must be the same without what is hidden
(`twins`). One line a case; the exit status is 1 when one fails. A case of another kind fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hawsepipe.consent.consents import gathered
from hawsepipe.consent.decide import decide
from hawsepipe.consent.directives import directive
from hawsepipe.consent.directory import Directory
from hawsepipe.consent.formula import visibility
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.request import BreakGlass, Request, request
from hawsepipe.fhir.dates import interval
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Decision, Principal
from hawsepipe.ops import logs
from hawsepipe.visibility import Subject, visible
from hawsepipe_conformance.houses import BASE
from hawsepipe_conformance.timing import Timing
from hawsepipe_conformance.twins import differences

_STATUS_403 = frozenset({"scope", "role"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case gave. `differences` is empty when it passed."""

    id: str
    title: str
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


def run(document: Mapping[str, Any], timing: Timing | None = None) -> tuple[Outcome, ...]:
    """Run every case of a document of schema `consent-cases/1`."""
    defaults = document.get("defaults", {})
    return tuple(_run(case, defaults, timing or Timing()) for case in document["cases"])


def _run(case: Mapping[str, Any], defaults: Mapping[str, Any], timing: Timing) -> Outcome:
    if case["kind"] == "decision":
        return _decided(case, defaults)
    if case["kind"] != "noninterference":
        return Outcome(case["id"], case["title"], (f"not understood: a case of kind {case['kind']}",))
    settings = _settings({**defaults, **case.get("config", {})}, case["requester"]["tenant"])
    duties = frozenset(duty["path"] for duty in case.get("obligations", ()) if duty["code"] == "REDACT")
    settings = replace(settings, base_url=BASE, redactions={case["requester"]["roleCode"]: duties} if duties else {})
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(differences(case, settings, Path(folder), timing))
    return Outcome(case["id"], case["title"], tuple(found))


def _decided(case: Mapping[str, Any], defaults: Mapping[str, Any]) -> Outcome:
    settings = _settings({**defaults, **case.get("config", {})}, case["request"]["tenant"])
    asked = _request(case)
    consents = gathered(one for consent in case["consents"] if (one := directive(consent)) is not None)
    subject = _subject(case)
    tenant = case["resourceMeta"]["tenant"]
    decision = decide(asked, subject, consents, settings, tenant=tenant)
    found = list(_differences(decision, case["expect"]))
    if (
        asked.break_glass is None
        and visible(visibility(asked, consents, settings, tenant=tenant), subject) != decision.permit
    ):
        found.append("the folded formula says otherwise than the decision")
    return Outcome(case["id"], case["title"], tuple(found))


def _settings(config: Mapping[str, Any], tenant: str) -> PolicySettings:
    roles = config.get("role_policy")
    return PolicySettings(
        default_policy=config["default_policy"],
        permit_ceiling=config["permit_ceiling"],
        role_policy={role: frozenset(types) for role, types in roles.items()} if isinstance(roles, dict) else None,
        break_glass_roles=frozenset(config["btg_roles"]),
        tenant=tenant,
    )


def _request(case: Mapping[str, Any]) -> Request:
    stated = case["request"]
    launch = stated.get("launchPatient")
    principal = Principal(
        subject=stated["user"],
        client=stated["client"].removeprefix("Device/"),
        tenant=stated["tenant"],
        scopes=frozenset(stated["scopes"].split()),
        roles=frozenset({stated["roleCode"]}),
        purpose=stated["purpose"],
        patient=None if launch is None else launch.removeprefix("Patient/"),
        actors=frozenset({stated["client"]} | ({stated["role"]} if "role" in stated else set())),
    )
    claim = stated.get("btg")
    patients = patients_of(case["resource"])
    # The cases give the reason of an emergency in words alone; its code is the purpose.
    emergency = BreakGlass(claim["reason"], claim.get("code", stated["purpose"]), patients[0]) if claim else None
    directory = Directory({f"{entry['resourceType']}/{entry['id']}": entry for entry in case["directory"]})
    return request(principal, stated["interaction"], datetime.fromisoformat(stated["time"]), directory, emergency)


def _subject(case: Mapping[str, Any]) -> Subject:
    labels, resource, meta = Labels(), case["resource"], case["resourceMeta"]
    labelled = resource if meta.get("sls") is None else labels.label(resource, None)
    return Subject(
        type=resource["resourceType"],
        id=resource["id"],
        patients=patients_of(resource),
        first_recorded=interval(meta["firstRecorded"])[0],
        last_updated=interval(resource["meta"]["lastUpdated"])[0],
        facets=labels.facets(labelled),
    )


def _differences(decision: Decision, expect: Mapping[str, Any]) -> list[str]:
    found = []
    said = "permit" if decision.permit else "deny"
    if said != expect["decision"]:
        found.append(f"{said} instead of {expect['decision']}")
    if expect["because"] not in decision.reasons:
        found.append(f"because of {', '.join(decision.reasons)} instead of {expect['because']}")
    status = 200 if decision.permit else 403 if decision.reasons[0] in _STATUS_403 else 404
    if status != expect["http"]:
        found.append(f"status {status} instead of {expect['http']}")
    if list(decision.obligations) != expect.get("obligations", []):
        found.append(f"obligations {list(decision.obligations)}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases of a file; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hawsepipe_conformance.consent", description=__doc__)
    parser.add_argument("cases", type=Path, help="a file of schema consent-cases/1")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of lines")
    parser.add_argument("--pairs", type=int, default=5_000, help="paired requests of a case about time (5000)")
    options = parser.parse_args(arguments)
    logs.configure("error", "json")
    outcomes = run(json.loads(options.cases.read_text(encoding="utf-8")), Timing(options.pairs))
    if options.json:
        print(json.dumps([asdict(outcome) | {"passed": outcome.passed} for outcome in outcomes], indent=1))
    else:
        for outcome in outcomes:
            print("ok  " if outcome.passed else "FAIL", outcome.id, outcome.title, *outcome.differences, sep="  ")
        print(f"{sum(outcome.passed for outcome in outcomes)} of {len(outcomes)} cases pass")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
