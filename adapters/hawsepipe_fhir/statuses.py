"""Decisions about statuses: what one version says in a flag or one code, another says in a status or in two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hawsepipe_fhir import extensions
from hawsepipe_fhir.bench import Job, Move, Place, Step
from hawsepipe_fhir.kit import TERMINOLOGY, Decision, Kit, beside, codes_of, path_to, word


def _negation(status: str) -> Decision:
    """A boolean that says that it was not done is a status in R4; the status that stood there is kept."""

    def decision(kit: Kit) -> Step:
        url = extensions.url(kit.workshop.number, kit.scope.table, "status")

        def negate(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            if type(held) is bool:
                job.moved(source, path_to(place, "status"), exact=False)
            if held is True:
                job.later.append(lambda: _override(place, job, status, url, beside(source, "status")))

        return negate

    return decision


def _taken(kit: Kit) -> Step:
    """MedicationStatement.taken: `n` and `unk` are statuses in R4; the word itself is kept in any case."""
    url = extensions.url(kit.workshop.number, kit.scope.table, "status")
    keep = kit.keeper()
    status = {"n": "not-taken", "unk": "unknown"}

    def taken(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        keep(held, twins, place, job, source)
        if word(held) in status:
            job.later.append(lambda: _override(place, job, status[held], url, beside(source, "status")))

    return taken


def _override(place: Place, job: Job, code: str, url: str, source: str) -> None:
    """Write a status; the one that stood there becomes an extension of it."""
    old = place.target.get("status")
    place.target["status"] = code
    if old is None or old == code:
        return
    held = place.target.setdefault("_status", {}).setdefault("extension", [])
    held.append({"url": url, "valueCode": old})
    at = path_to(place, "status")
    kept = f"{at}.extension[{len(held) - 1}].valueCode"
    for index, move in enumerate(job.moves):
        if move.source == source and move.target == at:
            job.moves[index] = Move(source, kept, move.exact)


_GOALS: Mapping[str, tuple[str, str]] = {
    "in-progress": ("active", "in-progress"),
    "on-target": ("active", ""),
    "ahead-of-target": ("active", ""),
    "behind-target": ("active", ""),
    "sustaining": ("active", "sustaining"),
    "achieved": ("completed", "achieved"),
}


def _goal_status(kit: Kit) -> Step:
    """Goal.status says two things in one; in R4 they are lifecycleStatus and achievementStatus."""
    plain = kit.mover("lifecycleStatus")
    url = extensions.url(kit.workshop.number, kit.scope.table, "status")

    def status(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if word(held) not in _GOALS:
            plain(held, twins, place, job, source)
            return
        life, achievement = _GOALS[held]
        at = path_to(place, "lifecycleStatus")
        place.target["lifecycleStatus"] = life
        if achievement:
            coding = {"system": f"{TERMINOLOGY}goal-achievement", "code": achievement}
            place.target["achievementStatus"] = {"coding": [coding]}
            at = path_to(place, "achievementStatus.coding[0].code")
            job.moved(source, at, exact=achievement == held)
        else:
            place.target["_lifecycleStatus"] = {"extension": [{"url": url, "valueCode": held}]}
            job.moved(source, f"{at}.extension[0].valueCode")
        twin = extensions.element(kit.workshop, twins, at, place, job, source)
        if twin and not achievement:
            job.lose(source, "the extensions of this status have no place in R4")

    return status


def _study_availability(kit: Kit) -> Step:
    """ImagingStudy.availability: a study that can be had at once or soon is available."""
    known = {"ONLINE": "available", "NEARLINE": "available", "OFFLINE": "registered", "UNAVAILABLE": "registered"}
    keep = kit.keeper()

    def availability(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if word(held) in known and not twins and "status" not in place.target:
            place.target["status"] = known[held]
            job.moved(source, path_to(place, "status"), exact=False)
        else:
            keep(held, twins, place, job, source)

    return availability


_ALLERGIES: Mapping[str, tuple[str, str]] = {
    "active": ("active", ""),
    "unconfirmed": ("", "unconfirmed"),
    "confirmed": ("active", "confirmed"),
    "inactive": ("inactive", ""),
    "resolved": ("resolved", ""),
    "refuted": ("", "refuted"),
    "entered-in-error": ("", "entered-in-error"),
}


def _allergy_status(kit: Kit) -> Step:
    """The one status of an allergy in DSTU2 is a clinical status, a verification status or both."""
    keep = kit.keeper()

    def status(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if word(held) not in _ALLERGIES or twins:
            keep(held, twins, place, job, source)
            return
        for name, system, code in (
            ("clinicalStatus", "allergyintolerance-clinical", _ALLERGIES[held][0]),
            ("verificationStatus", "allergyintolerance-verification", _ALLERGIES[held][1]),
        ):
            if code:
                place.target[name] = {"coding": [{"system": f"{TERMINOLOGY}{system}", "code": code}]}
                job.moved(source, path_to(place, f"{name}.coding[0].code"), exact=code == held)

    return status


_ADHERENCE = {"taking": "active", "not-taking": "not-taken", "stopped-taking": "stopped", "on-hold": "on-hold"}


_ADHERENCE |= {"taking-as-directed": "active", "taking-not-as-directed": "active", "stopped": "stopped"}


_ADHERENCE |= {
    "not-taking-on-hold": "on-hold",
    "on-hold-as-directed": "on-hold",
    "stopped-taking-as-directed": "stopped",
}


def _adherence(kit: Kit) -> Step:
    """Whether a medication is taken is part of its status in R4; what R5 says of it is kept in any case."""
    keep = kit.keeper()

    def adherence(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        keep(held, twins, place, job, source)
        codes = codes_of(held.get("code")) if type(held) is dict else []
        status = next((_ADHERENCE[code] for code in codes if code in _ADHERENCE), None)

        def settle() -> None:
            if status is not None and place.target.get("status") == "unknown":
                place.target["status"] = status

        job.later.append(settle)

    return adherence


def _consent_decision(kit: Kit) -> Step:
    """The base decision is the type of the root rule; each level of exceptions says the opposite of the one above."""
    move = kit.mover("provision.type")
    opposite = {"permit": "deny", "deny": "permit"}

    def decision(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            _alternate(place.target.get("provision"), held)

        def _alternate(rule: Any, type_: Any) -> None:
            for exception in rule.get("provision", ()) if type(rule) is dict else ():
                exception["type"] = opposite[type_]
                _alternate(exception, opposite[type_])

        move(held, twins, place, job, source)
        if word(held) in opposite:
            job.later.append(settle)

    return decision


DECISIONS: Mapping[str, Decision] = {
    "adherence": _adherence,
    "allergy-status": _allergy_status,
    "consent-decision": _consent_decision,
    "declined": _negation("declined"),
    "goal-status": _goal_status,
    "not-done": _negation("not-done"),
    "not-taken": _negation("not-taken"),
    "study-availability": _study_availability,
    "taken": _taken,
}
